"""From a run folder to a file that other programs read, compared with the network: what `cldfc export` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from cldfc.files import written_aside
from cldfc.inference import load_folded
from cldfc.train.catalogue import DataSet
from cldfc.train.recorded_data import described_dataset
from cldfc.train.run import RunFolder, read_record
from cldfc.trained import recompile

if TYPE_CHECKING:
    from torch import nn

    from cldfc.algebra.fold_norms import Folded
    from cldfc.compilation import Compilation
    from cldfc.train.export.about import About
    from cldfc.train.export.classifier import Classifier
    from cldfc.train.export.difference import ScoreDifference, Scores

Format = Literal["onnx", "torch_export", "safetensors"]
"""Each is a file of `cldfc/train/export`."""

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}


class ExportFormat(Protocol):
    """What a file of `cldfc/train/export` defines."""

    def write(self, classifier: Classifier, about: About) -> bytes:
        """The file. Raises UsageError when it cannot be made."""
        ...

    def read(self, data: bytes, classifier: Classifier) -> Scores:
        """What a file computes; `classifier` is the one that it was written from."""
        ...

    def reader(self) -> str:
        """The program that reads a file back, with its release."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """The trained network of a run folder, with its weights, and its data set."""

    files: RunFolder
    dataset: DataSet
    compilation: Compilation
    network: nn.Module


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, read back by `reader`, and compared."""

    path: Path
    about: About
    parameters: int
    difference: ScoreDifference
    reader: str
    folded: Folded | None
    """What was folded, if that was asked for."""


def export_run(
    folder: Path,
    format: Format,
    is_folded: bool,
    output: Path | None,
    allow: Callable[[Path], None],
    say: Callable[[str], None],
) -> Exported:
    """Write the network of a run in another form, read the file back and compare; by default into the run folder.

    `allow` raises UsageError for a place that must stay as it is, `say` hears what is being done. The source in the
    folder is not run: the spec is compiled again. Raises CldfError and UsageError; the place is then as it was.
    """
    run = read_run(folder)
    path = output or folder / f"{run.compilation.class_name}{SUFFIXES[format]}"
    allow(path)

    from cldfc.train.export.about import describe_network
    from cldfc.train.export.classifier import Classifier
    from cldfc.train.network import count_parameters

    folded = run.compilation.folded() if is_folded else None
    network = load_folded(folded, run.files.weights) if folded else run.network
    classifier = Classifier(network, run.dataset)
    count = folded.count if folded else 0
    about = describe_network(run.compilation.class_name, run.dataset, format != "safetensors", count)
    formatter = cast(ExportFormat, import_module(f"cldfc.train.export.{format}"))
    difference = write_compared(path, formatter, classifier, about, run, say)
    parameters = count_parameters(classifier.network)
    return Exported(path, about, parameters, difference, formatter.reader(), folded)


def read_run(folder: Path) -> TrainedRun:
    """The network of a run folder. Raises CldfError and UsageError."""
    files = RunFolder(folder)
    record = read_record(files)
    dataset = described_dataset(record)
    compilation = recompile(files, record)

    from cldfc.train.network import build_network, check_fit
    from cldfc.train.weights import load_weights

    network = build_network(compilation.code(), compilation.class_name)
    check_fit(network, dataset)
    load_weights(network, files.weights)
    return TrainedRun(files, dataset, compilation, network)


def write_compared(
    path: Path,
    formatter: ExportFormat,
    classifier: Classifier,
    about: About,
    run: TrainedRun,
    say: Callable[[str], None],
) -> ScoreDifference:
    """Write a network; the file gets its name when it has been read back, and computes what the trained one does."""
    from cldfc.train.export.classifier import Classifier
    from cldfc.train.export.difference import compare_scores

    say(f"exporting {about.model} to {path}")
    with written_aside(path, formatter.write(classifier, about)) as aside:
        say(f"comparing the file with the network by {formatter.reader()}")
        written = formatter.read(aside.read_bytes(), classifier)
        return compare_scores(written, Classifier(run.network, run.dataset), run.dataset)
