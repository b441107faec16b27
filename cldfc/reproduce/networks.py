"""The networks of the rows, compiled for a data set."""

from __future__ import annotations

from dataclasses import dataclass

from cldfc.compiler import Task, analyse, whole_text
from cldfc.diagnostics import Source
from cldfc.library import folder
from cldfc.network.expect import count_params
from cldfc.reproduce.recipes import find_dataset, widths_of
from cldfc.reproduce.tables import Row
from cldfc.syntax.read import read_source
from cldfc.task import read_task


@dataclass(frozen=True, slots=True)
class Network:
    """A spec, and what changes in it."""

    source: Source
    task: Task

    @property
    def text(self) -> str:
        """The spec that stands for itself, as it is written into a run folder."""
        return whole_text(self.source, self.task)

    def count(self) -> int:
        """Parameters, shared ones once. Raises CldfError."""
        return count_params(analyse(self.source, self.task))


def network_of(row: Row, dataset: str, is_miniature: bool) -> Network:
    """The network of a row for a data set. Raises UsageError when the spec cannot be read."""
    images = find_dataset(dataset)
    lets = (*row.lets, widths_of(dataset)) if is_miniature else row.lets
    task = read_task(lets).on(images.name, images.shape, images.classes)
    return Network(read_source(folder() / f"{row.spec}.cldf"), task)
