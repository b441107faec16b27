"""The Python interface to trained networks: `cldfc.load_run` and `Spec.train` give a `Run`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cldfc.compilation import Changes
from cldfc.diagnostics import Source, UsageError
from cldfc.spec import Spec
from cldfc.train.files import read_text
from cldfc.train.launch import MOST_WORKERS, read_launch
from cldfc.train.metrics import chosen_epoch, read_epochs, read_part
from cldfc.train.recipe import Recipe
from cldfc.train.run import RunFolder, RunRecord, folder_of, read_record
from cldfc.train.runs import State, read_run
from cldfc.train.seal import check_seal

if TYPE_CHECKING:
    import numpy
    from PIL import Image
    from torch import Tensor, nn

    from cldfc.train.evaluate import Evaluation
    from cldfc.training import Surroundings

    ImageFile = str | os.PathLike[str] | Image.Image
    Images = Tensor | numpy.ndarray[Any, Any] | ImageFile | list[ImageFile] | tuple[ImageFile, ...]
    """What `Run.predict` takes."""


class Row(NamedTuple):
    """What was measured in an epoch: a row of `metrics.csv`; `pandas.DataFrame(run.metrics)` is the table.

    Accuracies are shares, from 0 to 1; what was not measured is None.
    """

    epoch: int
    """Its number, from 1."""
    train_loss: float
    """On the augmented training images, while the weights changed."""
    train_accuracy: float
    """On the same images."""
    test_loss: float
    """On the test images, after the epoch."""
    test_accuracy: float
    """On the same images."""
    seconds: float
    """Wall-clock time, with its tests."""
    lr: float | None
    """The learning rate of its last step."""
    images_per_second: float | None
    """Training images, over the time of the training alone."""
    validation_loss: float | None
    """On the images for validation, if there are any."""
    validation_accuracy: float | None
    """On the same images."""


@dataclass(frozen=True, slots=True)
class Predictions:
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
    """The run in a folder that `cldfc train` or `Spec.train` has left behind.

    Raises UsageError when there is none, or its spec, recipe or weights are not what the training wrote. Warns
    where other files are not, and where a run of an earlier release has no seal that would tell.
    """
    folder = Path(path)
    record = read_record(RunFolder(folder))
    for remark in check_seal(folder):
        warnings.warn(remark, stacklevel=2)
    return Run(folder, record)


@dataclass(frozen=True, repr=False)
class Run:
    """A training in its folder: finished, or as far as it has come.

    The folder is read when it is asked, and never changed. All that needs the network compiles the spec in it, for the
    source beside that is code and may come from somebody else. They raise UsageError when a file is missing, or is not
    what the training wrote.
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
        return read_run(self.path).state

    @cached_property
    def spec(self) -> Spec:
        """The network, for the images and the classes that it was trained on."""
        source = Source(str(self.files.spec), read_text(self.files.spec))
        return Spec(source, Changes(self.record.input_shape, self.record.classes))

    @property
    def files(self) -> RunFolder:
        """The files in the folder, by name."""
        return RunFolder(self.path)

    @property
    def metrics(self) -> tuple[Row, ...]:
        """What was measured, a row for each epoch; none before the first one has ended."""
        if not self.files.metrics.exists():
            return ()
        return tuple(Row(**epoch.model_dump()) for epoch in read_epochs(self.files.metrics))

    @property
    def chosen(self) -> Row:
        """The epoch whose weights are saved. Raises UsageError before there is one."""
        return Row(**chosen_epoch(read_epochs(self.files.metrics), self.record.chosen_by).model_dump())

    def network(self) -> nn.Module:
        """The network with its trained weights, on the CPU and in evaluation mode; a new one at each call.

        It takes images that are standardised: pixels minus `record.mean`, divided by `record.std`, channel by channel.
        """
        from cldfc.train.network import build_network
        from cldfc.train.state import generators_kept
        from cldfc.train.weights import load_weights

        check_seal(self.path)
        with generators_kept():
            network = build_network(self.spec.source(), self.record.class_name)
        load_weights(network, self.files.weights)
        return network.eval()

    def predict(self, images: Images, device: str | None = None) -> Predictions:
        """What the network takes images for, as `cldfc predict` computes it.

        `images` are pixels in the units of the data set, whole numbers in an array or tensor n × channels × height ×
        width; or paths and Pillow's images, one or several, which are made grey or coloured and scaled. They are
        standardised here as in training. Raises UsageError for other images, and for files that cannot be read.
        """
        from cldfc.train.predict import name_of, pixels_of, predict_pixels
        from cldfc.train.recorded_data import described_dataset
        from cldfc.train.state import generators_kept
        from cldfc.trained import folded_network

        dataset = described_dataset(self.record)
        pixels = pixels_of(images, dataset)
        with generators_kept():
            found = predict_pixels(folded_network(self.files, self.record), dataset, pixels, device)
        return Predictions(found, tuple(name_of(number, dataset) for number in range(dataset.classes)))

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
        from cldfc.train.state import generators_kept
        from cldfc.trained import evaluate_again

        images = None if data_dir is None else Path(data_dir)
        with generators_kept():
            exact, fast = evaluate_again(
                self.path, images, data, read_part(on), as_trained, compile, trust_files, device, workers
            )
        found = exact or fast
        assert found is not None
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
        """Go on with the training where it was interrupted, as `cldfc train --resume` does.

        Raises what `Spec.train` raises, and UsageError when it cannot go on, or another process trains in the folder.
        """
        from cldfc.train.state import generators_kept
        from cldfc.training import resume_run

        changes = {key: value for key, value in (("epochs", epochs), ("dataset", data)) if value is not None}
        around = surroundings(quiet, data_dir, False, save_minutes, tensorboard, device=device, workers=workers)
        refuse_several()
        with generators_kept():
            resume_run(self.path, changes, around, from_start)
        return load_run(self.path)

    def __repr__(self) -> str:
        done = self.metrics
        reached = f", test accuracy {done[-1].test_accuracy:.2%}" if done else ""
        epochs = f"{len(done)} of {self.recipe.epochs} epochs"
        return f"<cldfc.Run {self.path}: {self.record.class_name} on {self.record.dataset}, {epochs}{reached}>"


def surroundings(
    quiet: bool,
    data_dir: str | os.PathLike[str] | None,
    download: bool,
    save_minutes: float,
    tensorboard: bool,
    trust_files: bool = False,
    skip_unreadable: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> Surroundings:
    """What a training that is started from Python has to do with. Raises UsageError."""
    from cldfc.output import ignore, say
    from cldfc.train.progress import show_progress, silent
    from cldfc.train.tensorboard import require_tensorboard
    from cldfc.training import Surroundings

    # The command line's own bounds are those of its options.
    if workers is not None and not 0 <= workers <= MOST_WORKERS:
        raise UsageError(f"{workers} workers are not possible", f"write a number from 0 to {MOST_WORKERS}")
    if not save_minutes >= 0:
        raise UsageError(f"the state cannot be saved every {save_minutes} minutes", "write a number from 0 on")
    if tensorboard:
        require_tensorboard()
    return Surroundings(
        None if data_dir is None else Path(data_dir),
        download,
        save_minutes,
        ignore if quiet else say,
        say,
        silent if quiet else show_progress,
        tensorboard,
        trust_files,
        skip_unreadable,
        device,
        workers,
    )


def train_spec(
    source: Source,
    changes: Changes,
    data: str,
    recipe: str | os.PathLike[str] | Mapping[str, object] | None,
    options: Mapping[str, object],
    output: str | os.PathLike[str] | None,
    name: str | None,
    around: Surroundings,
) -> Run:
    """A run of a spec on a data set, with a recipe that options change. Raises what `Spec.train` raises."""
    from cldfc.train.recipe_file import read_recipe
    from cldfc.train.state import generators_kept
    from cldfc.training import start_run

    folder = folder_of(None if output is None else Path(output), name)
    fields: Mapping[str, object] = {}
    if recipe is not None:
        fields = recipe if isinstance(recipe, Mapping) else read_recipe(Path(recipe)).changes
    refuse_several()
    with generators_kept():
        result = start_run(source, data, changes, {**fields, **options}, folder, "", around)
    assert result is not None
    return load_run(result.folder)


def refuse_several() -> None:
    """Raises UsageError in one of several processes that torchrun has started."""
    if read_launch().count > 1:
        raise UsageError(
            "several processes train by the command line alone", "write `torchrun -m cldfc train SPEC --data NAME`"
        )
