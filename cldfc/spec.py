"""The Python interface: `cldfc.load` gives a `Spec`, `cldfc.load_run` and `Spec.train` give a `Run`.

They give the same answers as the command line. torch and pydantic are loaded only when they are needed.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cldfc.compilation import AS_WRITTEN, Compilation, Form, change, read_changes, read_form
from cldfc.diagnostics import CldfError, Problems, Source, UsageError, did_you_mean, end_text, shape_text
from cldfc.files import write_generated
from cldfc.library import SUFFIX, folder, spec_names
from cldfc.network.resolve import Changes
from cldfc.output import ignore, say
from cldfc.syntax import tree
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.read import BUNDLED, decode, read_source, read_spec
from cldfc.syntax.spelling import ascii_name, canonical_name

if TYPE_CHECKING:
    import networkx
    import numpy
    from PIL import Image
    from torch import Tensor, nn

    from cldfc.network.cost import Cost
    from cldfc.network.graph import Graph
    from cldfc.plan import Surroundings
    from cldfc.recipe import Compile, Recipe
    from cldfc.runs.evaluate import Evaluation
    from cldfc.runs.listing import State
    from cldfc.runs.run_folder import RunFolder, RunRecord
    from cldfc.show.comparison import Comparison

    ImageFile = str | os.PathLike[str] | Image.Image
    Images = Tensor | numpy.ndarray[Any, Any] | ImageFile | list[ImageFile] | tuple[ImageFile, ...]
    """What `Run.predict` takes."""

_Value = str | float | Iterable[float]
"""What `Spec.let` takes: the text of an expression, a number, or one number for each level."""


def load(spec: str | os.PathLike[str]) -> Spec:
    """A spec from a file, by the name of one that comes with cldfc, or from text, which is a string of several lines.

    It is only read here; `Spec.check`, and everything that needs the network, say what is wrong with it. Files that a
    text extends are looked for in the working folder. Raises UsageError if there is no such file, CldfError if it is
    not UTF-8.
    """
    if isinstance(spec, str) and "\n" in spec:
        return spec_from_text(spec)
    return Spec(read_source(Path(spec)))


@dataclass(frozen=True, slots=True)
class _Listed:
    """A spec that comes with cldfc: its name, one line about it, and its parameters, shared ones counted once."""

    name: str
    about: str
    params: int


def specs() -> tuple[_Listed, ...]:
    """The specs that come with cldfc; `load` takes their names."""
    return tuple(bundled(name)[0] for name in spec_names())


def bundled(name: str) -> tuple[_Listed, str]:
    """One of them, and its text: `about` is the first paragraph of its comment, `params` the count that it expects.

    Raises UsageError when there is none of that name.
    """
    if name not in spec_names():
        raise UsageError(f"there is no spec `{name}`", did_you_mean(name, spec_names(), BUNDLED))
    source = read_source(folder() / f"{name}{SUFFIX}")
    expected = [one for one in parse_spec(source, Problems()).statements if isinstance(one, tree.Expect)]
    params = next(int(one.number.value) for one in expected if one.quantity == "params")
    comment = takewhile(lambda line: line.startswith("# "), source.text.splitlines())
    about = " ".join(line.removeprefix("#").strip() for line in comment)
    return _Listed(name, about, params), source.text


def spec_from_text(text: str, name: str = "<text>") -> Spec:
    """A spec from text, and the name that errors print for it."""
    return Spec(decode(name, text.encode(errors="surrogatepass")))


@dataclass(frozen=True, repr=False)
class Spec:
    """A network as recurrence equations, with changes to it. Immutable: changes give new specs.

    All methods but the changes raise CldfError, with everything that is wrong, unless the spec is right.
    """

    origin: Source
    """The text, and the name of its file."""
    changes: Changes = AS_WRITTEN
    """What is changed."""

    # Changes

    def let(self, *statements: str, **values: _Value) -> Spec:
        """The spec with some of its `let` statements replaced: `let("ν = 3,4,6,3")`, `let(ν=[3, 4, 6, 3], σ="relu")`.

        A name without a tag takes that of the `let` that it replaces. Names may be spelled in ASCII (`nu`, `cal_A`);
        Python reads 𝒜 as A, which means 𝒜 if the spec has no `let A`. If there is no such `let` at all, the first
        question that needs the network says so.
        """
        given = [f"{self.spelled(name)} = {_value_text(value)}" for name, value in values.items()]
        return self.changed("let", [*statements, *given])

    def tie(self, *statements: str) -> Spec:
        """The spec with kernels, scalars or vectors shared: `tie("A@ℓ")`, `tie("B@ℓ for i >= 1")`, eq. (3.6)."""
        return self.changed("tie", statements)

    def input(self, channels: int, *sides: int, name: str | None = None) -> Spec:
        """The spec for images, signals or volumes of another shape; `name` says which of several inputs has it.

        For an input of numbers it is their count: `input(3, name="t")`. Sizes that the spec leaves open become numbers.
        Raises UsageError for an invalid shape.
        """
        shape = "x".join(map(str, (channels, *sides)))
        given = read_changes(input=f"{name}={shape}" if name else shape)
        if name is None:
            return replace(self, changes=replace(self.changes, shape=given.shape))
        inputs = tuple({**dict(self.changes.inputs), **dict(given.inputs)}.items())
        return replace(self, changes=replace(self.changes, inputs=inputs))

    def classes(self, count: int) -> Spec:
        """The spec for another number of classes. Raises UsageError for an invalid number."""
        return replace(self, changes=replace(self.changes, classes=read_changes(classes=count).classes))

    def changed(self, word: str, statements: Iterable[str]) -> Spec:
        """The spec with statements in place of its own; later changes go on from earlier ones."""
        sources = (replace(change(word, statement), name=f"{word}(…)") for statement in statements)
        return replace(self, changes=replace(self.changes, statements=(*self.changes.statements, *sources)))

    def spelled(self, keyword: str) -> str:
        """The name of the `let` that a Python keyword argument means."""
        statements = read_spec(self.origin, Problems()).statements
        names = [statement.symbol.name for statement in statements if isinstance(statement, tree.Let)]
        if canonical_name(keyword) in names:
            return canonical_name(keyword)
        return next((name for name in names if unicodedata.normalize("NFKC", name) == keyword), keyword)

    # Answers

    @cached_property
    def _compilation(self) -> Compilation:
        return Compilation(self.origin, self.changes)

    def check(self) -> Spec:
        """The spec itself, if nothing is wrong with it."""
        self._compilation.check()
        return self

    @property
    def written(self) -> Graph:
        """The network as the spec writes it, with all that cldfc knows of it."""
        return self._compilation.written

    @property
    def graph(self) -> networkx.MultiDiGraph[int]:
        """The network as the spec writes it: a node for each operation, an edge for each operand. A copy.

        Nodes are numbered in an order in which they can be computed, and have under `node` the operator, the shape
        of the result (channels, height, width) and the parameter; edges have under `operand` their place.
        """
        return self.written.net.copy()

    @property
    def cost(self) -> Cost:
        """Parameters, and multiply-adds, convolutions, depth and bytes kept for one image, as the spec writes it."""
        return self._compilation.cost

    def source(self, form: Form = "simplified") -> str:
        """The source of the PyTorch module, as `cldfc compile` writes it. It imports torch alone."""
        return self._compilation.code(read_form(form))

    def build(self, form: Form = "simplified") -> nn.Module:
        """The PyTorch module with new weights, drawn from torch's generator; loads torch.

        A classifier maps images, batch × channels × height × width, to scores, batch × classes. Several inputs are
        arguments in their order: numbers as batch × numbers, a family over levels as a list, a sequence as
        batch × steps × …. Several outputs are returned as a NamedTuple.
        """
        from cldfc.weights.network import build_network

        name = self._compilation.graph(read_form(form)).program.model
        return build_network(self._compilation.code(read_form(form)), ascii_name(name))

    def compare(self, *others: Spec) -> Comparison:
        """What networks cost, side by side, and what the others say and share differently from this one.

        Print it, or let a notebook show it; `rows` and `differences` are the data.
        """
        from cldfc.show.comparison import compare_networks

        specs = (self, *others)
        return compare_networks([spec.name for spec in specs], [spec.written for spec in specs])

    def derive(self) -> Spec:
        """The spec with residuals in place of features, by Theorem 1. Raises CldfError also when it has none."""
        residual = self._compilation.residual
        return Spec(residual.source, residual.changes)

    # Training

    def train(
        self,
        data: str,
        *,
        output: str | os.PathLike[str] | None = None,
        name: str | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        clip: float | None = None,
        holdout: float | None = None,
        patience: int | None = None,
        seed: int | None = None,
        precise: bool = False,
        compile: Compile | bool | None = None,
        recipe: str | os.PathLike[str] | Mapping[str, object] | None = None,
        device: str | None = None,
        workers: int | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        download: bool = False,
        trust_files: bool = False,
        skip_unreadable: bool = False,
        save_minutes: float = 10,
        tensorboard: bool = False,
        quiet: bool = False,
    ) -> Run:
        """Train the network on a data set, as `cldfc train` does, and return the run; keywords are its options.

        A recipe is a TOML file or a mapping of fields to values; the other keywords override it. Ctrl-C raises
        `Stopped` once the state is saved. torch's generators are restored afterwards. Raises CldfError, and UsageError
        if network, data set and recipe do not fit, files are missing, or the training diverges.
        """
        from cldfc.plan import start_run
        from cldfc.recipe import read_recipe
        from cldfc.runs.run_folder import asked_folder
        from cldfc.training.state import generators_kept

        around = _surroundings(
            quiet, data_dir, save_minutes, tensorboard, device, workers, download, trust_files, skip_unreadable
        )
        folder = asked_folder(None if output is None else Path(output), name)
        fields: dict[str, object] = {}
        if recipe is not None:
            fields |= recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe)).changes
        options = {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "clip": clip}
        options |= {"holdout": holdout, "patience": patience, "seed": seed}
        options |= {"precise": precise or None, "compile": compile}
        fields |= {name: value for name, value in options.items() if value is not None}
        with generators_kept():
            result = start_run(self.origin, data, self.changes, fields, folder, "", around)
        assert result is not None
        return load_run(result.folder)

    # Pictures

    def show(self) -> None:
        """Draw the network, as `cldfc show` does; in a notebook, like a spec at the end of a cell."""
        from cldfc.console import console
        from cldfc.show.terminal import is_notebook, put_out, show_network

        graph = self._compilation.simplified
        if is_notebook():
            put_out(self)
            return
        with console() as shown:
            show_network(graph, shown)

    def write(self, path: str | os.PathLike[str], width: str | None = None) -> None:
        """Write the network to a file whose suffix says how, as `cldfc show -o` does; a picture as wide as `17cm`.

        Raises UsageError when the suffix is unknown, or the file cannot be written or is there, not as cldfc wrote it.
        """
        from cldfc.show.drawing import read_width
        from cldfc.show.formats import check_place, writer_for

        path = Path(path)
        write = writer_for(path, width=None if width is None else read_width(width))
        check_place(path)
        write_generated(path, write(self.written))

    @property
    def name(self) -> str:
        """The file and the changes: `specs/preact18.cldf, tie A@ℓ`."""
        said = [source.text for source in self.changes.statements]
        if self.changes.shape is not None:
            said.append(f"input {shape_text(self.changes.shape)}")
        said += [f"input {name} : {end_text(shape)}" for name, shape in self.changes.inputs]
        if self.changes.classes is not None:
            said.append(f"{self.changes.classes} classes")
        return ", ".join([self.origin.name, *said])

    def __repr__(self) -> str:
        return f"<cldfc.Spec {self.name}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the network's picture, or what is wrong."""
        from cldfc.show.svg import draw_svg
        from cldfc.show.terminal import picture_html, picture_text, preformatted

        try:
            graph = self._compilation.simplified
        except (CldfError, UsageError) as error:
            return {"text/plain": str(error), "text/html": preformatted(str(error))}
        svg = draw_svg(graph.as_written)
        return {"text/plain": picture_text(graph), "text/html": picture_html(graph, svg)}


def _value_text(value: _Value) -> str:
    """A value as the language writes it: `3, 4, 6, 3`."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ", ".join(map(str, value))


class Row(NamedTuple):
    """What was measured in an epoch: a row of `metrics.csv`; `pandas.DataFrame(run.metrics)` is the table.

    Accuracies are shares, from 0 to 1; what was not measured is None.
    """

    epoch: int
    """Its number, from 1."""
    train_loss: float
    """On the augmented training images, while the weights changed."""
    train_accuracy: float
    test_loss: float
    """On the test images, after the epoch."""
    test_accuracy: float
    seconds: float
    """Wall-clock time, with its tests."""
    lr: float | None
    """The learning rate of its last step."""
    images_per_second: float | None
    """Training images, over the time of the training alone."""
    validation_loss: float | None
    """On the images for validation, if there are any."""
    validation_accuracy: float | None


@dataclass(frozen=True, slots=True)
class _Predictions:
    """What a network makes of n images, in their order."""

    probabilities: Tensor
    """n × classes, float32; each row adds up to 1."""
    class_names: tuple[str, ...]
    """What the classes are called, by their numbers."""

    @property
    def classes(self) -> Tensor:
        """The number of the most probable class of each image: n, int64."""
        return self.probabilities.argmax(1)

    @property
    def names(self) -> list[str]:
        """What the most probable class of each image is called."""
        return [self.class_names[int(number)] for number in self.classes]

    def __len__(self) -> int:
        return len(self.probabilities)


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder that `cldfc train` or `Spec.train` has written.

    Raises UsageError if there is none, or if its spec, recipe or weights are not what the training wrote. Warns if
    other files are not, or if the run is of an earlier release and has no seal that would tell.
    """
    from cldfc.runs.run_folder import RunFolder, check_seal, read_record

    folder = Path(path)
    record = read_record(RunFolder(folder))
    for remark in check_seal(folder):
        warnings.warn(remark, stacklevel=2)
    return Run(folder, record)


@dataclass(frozen=True, repr=False)
class Run:
    """A training in its folder: finished, or as far as it has come.

    The folder is read when it is needed, and never changed. What needs the network compiles the spec in the folder,
    because the source beside it is code and may come from somebody else. It raises UsageError if a file is missing, or
    is not what the training wrote.
    """

    path: Path
    """The folder."""
    record: RunRecord
    """How the run was made."""

    @property
    def recipe(self) -> Recipe:
        """How it was trained, every default filled in."""
        return self.record.recipe

    @property
    def state(self) -> State:
        """`finished`, `running`, `interrupted`, `diverged` or `broken`, as in `cldfc runs`."""
        from cldfc.runs.listing import listed_run

        return listed_run(self.path).state

    @cached_property
    def spec(self) -> Spec:
        """The network, for the images and the classes that it was trained on."""
        from cldfc.files import read_text

        source = Source(str(self.files.spec), read_text(self.files.spec))
        return Spec(source, Changes(self.record.input_shape, self.record.classes))

    @property
    def files(self) -> RunFolder:
        """The files in the folder, by name."""
        from cldfc.runs.run_folder import RunFolder

        return RunFolder(self.path)

    @property
    def metrics(self) -> tuple[Row, ...]:
        """What was measured, a row for each epoch; none before the first one has ended."""
        from cldfc.training.metrics import read_epochs

        if not self.files.metrics.exists():
            return ()
        return tuple(Row(**epoch.model_dump()) for epoch in read_epochs(self.files.metrics))

    @property
    def chosen(self) -> Row:
        """The epoch whose weights are saved. Raises UsageError before there is one."""
        from cldfc.training.metrics import chosen_epoch, read_epochs

        return Row(**chosen_epoch(read_epochs(self.files.metrics), self.record.chosen_by).model_dump())

    def network(self) -> nn.Module:
        """The network with its trained weights, on the CPU and in evaluation mode; a new one at each call.

        It takes images that are standardised: pixels minus `record.mean`, divided by `record.std`, channel by channel.
        """
        from cldfc.runs.run_folder import check_seal
        from cldfc.training.state import generators_kept
        from cldfc.weights.network import load_weights

        check_seal(self.path)
        with generators_kept():
            network = self.spec.build()
        load_weights(network, self.files.weights)
        return network.eval()

    def predict(self, images: Images, device: str | None = None) -> _Predictions:
        """The classes of images, as `cldfc predict` computes them.

        `images` are pixels in the units of the data set, whole numbers in an array or tensor n × channels × height ×
        width; or paths and Pillow's images, one or several, which are made grey or coloured and scaled. They are
        standardised here as in training. Raises UsageError for other images, and for files that cannot be read.
        """
        from cldfc.runs.prediction import class_name_of, pixels_of, predict_pixels
        from cldfc.runs.recorded_data import described_dataset
        from cldfc.trained import folded_network
        from cldfc.training.state import generators_kept

        dataset = described_dataset(self.record)
        pixels = pixels_of(images, dataset)
        with generators_kept():
            found = predict_pixels(folded_network(self.files, self.record), dataset, pixels, device)
        return _Predictions(found, tuple(class_name_of(number, dataset) for number in range(dataset.classes)))

    def evaluate(
        self,
        data: str | None = None,
        *,
        on: str = "test",
        as_trained: bool = False,
        compile: bool = False,
        data_dir: str | os.PathLike[str] | None = None,
        trust_files: bool = False,
        device: str | None = None,
        workers: int | None = None,
    ) -> Evaluation:
        """Test the weights again, as `cldfc eval` does; `accuracy`, `recorded_accuracy` and `agrees` say what is found.

        Raises UsageError when the images are not at hand or do not fit.
        """
        from cldfc.trained import evaluate_again
        from cldfc.training.metrics import parse_part
        from cldfc.training.state import generators_kept

        images = None if data_dir is None else Path(data_dir)
        with generators_kept():
            found, _ = evaluate_again(
                self.path, images, data, parse_part(on), as_trained, compile, trust_files, device, workers
            )
        return found

    def resume(
        self,
        *,
        epochs: int | None = None,
        from_start: bool = False,
        data: str | None = None,
        device: str | None = None,
        workers: int | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        save_minutes: float = 10,
        tensorboard: bool = False,
        quiet: bool = False,
    ) -> Run:
        """Continue the training where it was interrupted, as `cldfc train --resume` does.

        Raises what `Spec.train` raises, and UsageError if it cannot continue, or another process trains in the folder.
        """
        from cldfc.plan import resume_run
        from cldfc.training.state import generators_kept

        changes = {key: value for key, value in (("epochs", epochs), ("dataset", data)) if value is not None}
        around = _surroundings(quiet, data_dir, save_minutes, tensorboard, device, workers)
        with generators_kept():
            resume_run(self.path, changes, around, from_start)
        return load_run(self.path)

    def __repr__(self) -> str:
        done = self.metrics
        reached = f", test accuracy {done[-1].test_accuracy:.2%}" if done else ""
        epochs = f"{len(done)} of {self.recipe.epochs} epochs"
        return f"<cldfc.Run {self.path}: {self.record.class_name} on {self.record.dataset}, {epochs}{reached}>"


def _surroundings(
    quiet: bool,
    data_dir: str | os.PathLike[str] | None,
    save_minutes: float,
    tensorboard: bool,
    device: str | None,
    workers: int | None,
    download: bool = False,
    trust_files: bool = False,
    skip_unreadable: bool = False,
) -> Surroundings:
    """What a training that is started from Python has to do with.

    Raises UsageError, also in one of several processes that torchrun has started.
    """
    from cldfc.plan import Surroundings
    from cldfc.runs.progress import show_progress, silent
    from cldfc.runs.tensorboard import require_tensorboard
    from cldfc.training.launch import MOST_WORKERS, read_launch

    # The command line's own bounds are those of its options.
    if workers is not None and not 0 <= workers <= MOST_WORKERS:
        raise UsageError(f"{workers} workers are not possible", f"write a number from 0 to {MOST_WORKERS}")
    if not save_minutes >= 0:
        raise UsageError(f"the state cannot be saved every {save_minutes} minutes", "write a number from 0 on")
    if tensorboard:
        require_tensorboard()
    if read_launch().count > 1:
        raise UsageError(
            "several processes train by the command line alone", "write `torchrun -m cldfc train SPEC --data NAME`"
        )
    return Surroundings(
        data_dir=None if data_dir is None else Path(data_dir),
        download=download,
        save_minutes=save_minutes,
        say=ignore if quiet else say,
        warn=say,
        show=silent if quiet else show_progress,
        tensorboard=tensorboard,
        trust_files=trust_files,
        skip_unreadable=skip_unreadable,
        device=device,
        workers=workers,
    )
