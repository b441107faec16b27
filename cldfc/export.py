"""From a run folder to a file that other programs read, compared with the network: what `cldfc export` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from cldfc.files import written_aside
from cldfc.inference import load_folded
from cldfc.train.recorded_data import described_dataset
from cldfc.train.run import RunFolder, read_record
from cldfc.trained import recompile

if TYPE_CHECKING:
    from cldfc.algebra.fold_norms import Folded
    from cldfc.train.export.about import About
    from cldfc.train.export.classifier import Classifier
    from cldfc.train.export.difference import ScoreDifference, Scores

Format = Literal["onnx", "torch_export", "safetensors"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}


class ExportFormat(Protocol):
    def write(self, classifier: Classifier, about: About) -> bytes: ...

    def read(self, data: bytes, classifier: Classifier) -> Scores:
        """What a file computes; `classifier` is the one that it was written from."""
        ...

    def reader(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Exported:
    path: Path
    about: About
    parameters: int
    difference: ScoreDifference
    reader: str
    folded: Folded | None


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
    files = RunFolder(folder)
    record = read_record(files)
    dataset = described_dataset(record)
    compilation = recompile(files, record)

    from cldfc.train.export.about import describe_network
    from cldfc.train.export.classifier import Classifier
    from cldfc.train.export.difference import compare_scores
    from cldfc.train.network import count_parameters, load_network

    trained = load_network(compilation.code(), compilation.class_name, dataset, files.weights)
    path = output or folder / f"{compilation.class_name}{SUFFIXES[format]}"
    allow(path)
    folded = compilation.folded() if is_folded else None
    classifier = Classifier(load_folded(folded, files.weights) if folded else trained, dataset)
    count = folded.count if folded else 0
    about = describe_network(compilation.class_name, dataset, format != "safetensors", count)
    formatter = cast(ExportFormat, import_module(f"cldfc.train.export.{format}"))
    say(f"exporting {about.model} to {path}")
    # The file gets its name when it has been read back, and computes what the trained network does.
    with written_aside(path, formatter.write(classifier, about)) as aside:
        say(f"comparing the file with the network by {formatter.reader()}")
        written = formatter.read(aside.read_bytes(), classifier)
        difference = compare_scores(written, Classifier(trained, dataset), dataset)
    return Exported(path, about, count_parameters(classifier.network), difference, formatter.reader(), folded)
