"""The networks of the rows, compiled for a data set."""

from __future__ import annotations

from cldfc.changes import read_changes
from cldfc.compilation import Compilation
from cldfc.library import folder
from cldfc.reproduce.recipes import find_dataset, widths_of
from cldfc.reproduce.tables import TableRow
from cldfc.syntax.read import read_source


def network_of(row: TableRow, dataset: str, is_miniature: bool) -> Compilation:
    """The network of a row for a data set. Raises UsageError when the spec cannot be read."""
    images = find_dataset(dataset)
    lets = (*row.lets, widths_of(dataset)) if is_miniature else row.lets
    changes = read_changes(lets).on(images.name, images.shape, images.classes)
    return Compilation(read_source(folder() / f"{row.spec}.cldf"), changes)
