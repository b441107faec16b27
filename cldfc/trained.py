"""From a run folder to its trained network: for `cldfc eval`, `predict`, `export` and `cldfc.Run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from cldfc.compilation import Compilation
from cldfc.data.catalogue import DATA_DIR
from cldfc.files import read_text, written_aside
from cldfc.plan import compilation_of_run
from cldfc.runs.recorded_data import described_dataset
from cldfc.runs.run_folder import RunFolder, check_seal, read_record
from cldfc.syntax.spelling import ascii_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cldfc.algebra.fold_norms import Folded
    from cldfc.network.graph import Graph
    from cldfc.recipe import Part
    from cldfc.runs.evaluate import Evaluation
    from cldfc.runs.run_folder import RunRecord
    from cldfc.weights.export.classifier import About, Classifier, ScoreDifference, Scores
    from cldfc.weights.inference import WeightOrigin


def folded_code(folded: Folded) -> str:
    from cldfc.emit.torch_module import emit_module

    return emit_module(folded.graph, f"for inference: {folded.count:,} normalisation{'s' * (folded.count != 1)} folded")


def fold_file(folded: Folded, path: Path) -> dict[str, Tensor]:
    """The weights of the folded class from a safetensors file with those of the trained one, in the file's type.

    Raises UsageError when the file is missing, or does not fit. torch is loaded here.
    """
    from cldfc.emit.torch_module import emit_module
    from cldfc.weights.inference import fold_weights, read_trained

    tensors = read_trained(path, emit_module(folded.trained), ascii_name(folded.trained.program.model))
    return fold_weights(tensors, origins_of(folded))


def _load_folded(folded: Folded, path: Path) -> nn.Module:
    from cldfc.weights.network import build_network

    network = build_network(folded_code(folded), ascii_name(folded.graph.program.model))
    network.load_state_dict(fold_file(folded, path))
    return network


def origins_of(folded: Folded) -> dict[str, WeightOrigin]:
    from cldfc.emit.naming import parameter_names
    from cldfc.ops import BatchNorm
    from cldfc.weights.inference import WeightOrigin

    graph, pairs = folded.graph, folded.pairs
    before, after = parameter_names(folded.trained), parameter_names(graph)
    origins: dict[str, WeightOrigin] = {}
    for key, stored in graph.parameters.items():
        norm, is_transposed = pairs.get(key), stored.operator.is_transposed
        if norm is None:
            origins[after[key]] = WeightOrigin(before[key], is_transposed=is_transposed)
            continue
        operator = folded.trained.parameters[norm.statistics].operator
        assert isinstance(operator, BatchNorm)
        names = before[norm.scale], before[norm.statistics]
        origins[after[key]] = WeightOrigin(before[key], names[0], is_transposed, names[1], operator.eps)
    return origins


def _recompile(run: RunFolder, record: RunRecord) -> Compilation:
    """A run's network, from the spec in its folder. Raises UsageError when that is not the one that was trained."""
    check_seal(run.path)
    return compilation_of_run(read_text(run.spec), record)


def trained_code(text: str, record: RunRecord) -> str:
    return compilation_of_run(text, record).code()


def folded_network(run: RunFolder, record: RunRecord) -> nn.Module:
    """The network of a run with its weights, normalisations folded where that is possible.

    Raises CldfError, and UsageError when the weights are missing or do not fit. torch is loaded here.
    """
    return _load_folded(_recompile(run, record).folded(), run.weights)


def evaluate_again(
    folder: Path,
    data_dir: Path | None = None,
    data: str | None = None,
    part: Part = "test",
    as_trained: bool = False,
    is_compiled: bool = False,
    is_trusting: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> tuple[Evaluation, Evaluation | None]:
    """The test of a run that counts, and that of its folded network, which is faster and left out with `as_trained`.

    The folded one counts where it has the recorded accuracy, or none is recorded; else the module of the training is
    tested, too. Raises CldfError, and what `evaluate_run` raises. torch is loaded here.
    """
    from cldfc.runs.evaluate import evaluate_fast, evaluate_run

    images = data_dir or DATA_DIR
    fast = None
    if not as_trained:
        fast = evaluate_fast(folder, folded_network, images, data, is_compiled, part, is_trusting, device, workers)
        if fast.recorded_accuracy is None or fast.agrees:
            return fast, fast
    return evaluate_run(folder, trained_code, images, data, part, is_trusting, device, workers), fast


def _with_rules_applied(network: nn.Module, graph: Graph) -> tuple[nn.Module, dict[str, tuple[str, ...]]]:
    """A network that stores each weight as the rules of its kernel make it, and the rules by the names of such weights.

    It computes the same: the rules leave alone what obeys them. A kernel that is shared is still stored once.
    """
    from copy import deepcopy

    from cldfc.emit.naming import parameter_names
    from cldfc.ops import Kernel
    from cldfc.weights.network import apply_rule

    network, names = deepcopy(network), parameter_names(graph)
    applied: dict[str, tuple[str, ...]] = {}
    for key, stored in graph.parameters.items():
        rules = stored.operator.rules if isinstance(stored.operator, Kernel) else ()
        made = tuple(rule for rule in rules if rule != "shared")
        if made:
            for rule in made:
                apply_rule(network, names[key], rule, has_groups="shared" not in rules)
            applied[f"{names[key]}.weight"] = made
    return network, applied


Format = Literal["onnx", "torch_export", "safetensors"]

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}


class _ExportFormat(Protocol):
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
    compilation = _recompile(files, record)

    from cldfc.weights.export.classifier import Classifier, compare_scores, describe_network
    from cldfc.weights.network import count_parameters, load_network

    trained = load_network(compilation.code(), compilation.class_name, dataset, files.weights)
    path = output or folder / f"{compilation.class_name}{SUFFIXES[format]}"
    allow(path)
    folded = compilation.folded() if is_folded else None
    network = _load_folded(folded, files.weights) if folded else trained
    count, rules = folded.count if folded else 0, dict[str, tuple[str, ...]]()
    if format == "safetensors":
        network, rules = _with_rules_applied(network, folded.graph if folded else compilation.simplified)
    classifier = Classifier(network, dataset)
    about = describe_network(compilation.class_name, dataset, format != "safetensors", count, rules)
    formatter = cast(_ExportFormat, import_module(f"cldfc.weights.export.{format}"))
    say(f"exporting {about.model} to {path}")
    # The file gets its name when it has been read back, and computes what the trained network does.
    with written_aside(path, formatter.write(classifier, about)) as aside:
        say(f"comparing the file with the network by {formatter.reader()}")
        written = formatter.read(aside.read_bytes(), classifier)
        difference = compare_scores(written, Classifier(trained, dataset), dataset)
    return Exported(path, about, count_parameters(classifier.network), difference, formatter.reader(), folded)
