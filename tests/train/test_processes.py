"""Several processes that share every batch train as one does, and are resumed bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import only_in_fuzz, some
from safetensors.torch import load_file
from small_run import EVERY_STEP, IMAGES, RECIPE, SMALL, reached, start_forked, train
from torch import Tensor

from cldfc import device
from cldfc.data.batches import Share, frame
from cldfc.data.catalogue import find
from cldfc.data.images import Images
from cldfc.data.loader import Resident
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.journal import Saving, TrainingSetting
from cldfc.runs.resume import read_interrupted, resume_network
from cldfc.training import descent
from cldfc.training.checkpoint_folder import list_checkpoints, read_checkpoint
from cldfc.training.launch import read_launch
from cldfc.training.metrics import Progress, Silence, TrainingPosition, read_epochs
from cldfc.training.processes import Processes, together
from cldfc.training.task import Diverged
from cldfc.weights.compiled import Compiled

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
PLAIN = SMALL.replace("nn.Dropout(0.1)", "nn.Identity()")
WITHOUT_IDLE = SMALL.replace("self.idle = nn.Conv2d(4, 4, 3)", "self.idle = nn.Identity()")
WITHOUT_NORM = PLAIN.replace("self.norm(self.first(x))", "self.first(x)").replace("nn.BatchNorm2d(4)", "nn.Identity()")
PATIENCE = 240
Work = Callable[[Processes], None]
SHORT = change_recipe(RECIPE, {"epochs": 2})


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums in bfloat16 are another matter."""
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def work_together(rank: int, count: int, port: int, work: Work) -> None:
    """What one of several processes does."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ["MASTER_ADDR"] = "localhost"
    with together() as processes:
        work(processes)


def exit_codes(count: int, work: Work) -> list[int]:
    """How several processes end that work together."""
    port = free_port()
    started = [start_forked(work_together, rank, count, port, work) for rank in range(count)]
    for process in started:
        process.join(PATIENCE)
        process.kill()
        process.join()
    return [process.exitcode for process in started]


def train_by(
    count: int, folder: Path, recipe: Recipe = RECIPE, source: str = SMALL, progress: Progress | None = None
) -> list[int]:
    """Train a new run by several processes, which save after every step; gives how they end."""

    def work(processes: Processes) -> None:
        train(folder, recipe, progress, Saving(EVERY_STEP), source, processes)

    return exit_codes(count, work)


def resume_by(count: int, folder: Path, source: str = SMALL, **changes: object) -> list[str]:
    """Go on with a run by several processes; gives the warnings of the first one."""
    heard = folder.parent / "heard"
    heard.touch()

    def work(processes: Processes) -> None:
        def warn(line: str) -> None:
            if processes.is_first:
                heard.write_text(f"{heard.read_text()}{line}\n")

        run = read_interrupted(folder, changes)
        setting = TrainingSetting(saving=Saving(EVERY_STEP), processes=processes)
        resume_network(run, Compiled("", source, "Small"), warn, setting)

    assert exit_codes(count, work) == [0] * count
    return heard.read_text().splitlines()


def train_by_two(folder: Path, recipe: Recipe, source: str) -> dict[str, Tensor]:
    """The last state of a training by two processes."""
    assert train_by(2, folder, recipe, source) == [0, 0]
    return last_state(folder)


def last_state(folder: Path) -> dict[str, Tensor]:
    """All tensors of the last checkpoint of a run."""
    return load_file(list_checkpoints(folder / "checkpoints")[-1] / "tensors.safetensors")


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Equal up to rounding."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=1e-5, atol=1e-5), name


def assert_measured_alike(one: Path, other: Path) -> None:
    """Two runs have measured the same in every epoch, up to rounding, which may recognise one test image more."""
    for mine, theirs in zip(*(read_epochs(folder / "metrics.csv") for folder in (one, other)), strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert mine.test_loss == pytest.approx(theirs.test_loss, rel=1e-5)
        assert mine.test_accuracy == pytest.approx(theirs.test_accuracy, abs=1 / 256)


@pytest.mark.parametrize(
    ("source", "sync_bn"),
    some([(PLAIN, True), (WITHOUT_NORM, False)], 2),
    ids=some(["synchronised norm", "without norm"], 2),
)
def test_two_processes_train_as_one(tmp_path: Path, source: str, sync_bn: bool) -> None:
    """The parameter without a gradient, `idle`, is among those compared."""
    recipe = change_recipe(SHORT, {"sync_bn": sync_bn})
    train(tmp_path / "one", recipe, source=source)
    one, two = last_state(tmp_path / "one"), train_by_two(tmp_path / "two", recipe, source)
    assert_close(one, two)
    assert_measured_alike(tmp_path / "one", tmp_path / "two")


@only_in_fuzz
def test_norms_of_their_own_are_something_else(tmp_path: Path) -> None:
    """The test above would notice."""
    train(tmp_path / "one", SHORT, source=PLAIN)
    one, two = last_state(tmp_path / "one"), train_by_two(tmp_path / "two", SHORT, PLAIN)
    assert not torch.allclose(one["network.norm.running_var"], two["network.norm.running_var"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_test_image_is_seen_once(count: int) -> None:
    numbered = Images(torch.zeros(25, 1, 4, 4, dtype=torch.uint8), torch.arange(25))
    recipe = change_recipe(SHORT, {"batch": 8})
    shares = [Resident(frame(numbered, recipe), numbered, recipe, Share(rank, count)) for rank in range(count)]
    seen = [int(label) for share in shares for batch in share.test_batches() for label in batch.labels]
    assert sorted(seen) == list(range(25))


class Killer(Silence):
    """Ends the last process in a step, as `kill -9` does."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch, step

    def step(self, position: TrainingPosition) -> None:
        if (position.epoch, position.step) == self.place and int(os.environ["RANK"]) == int(
            os.environ["WORLD_SIZE"]
        ) - 1:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("count", "source"),
    some([(2, SMALL), (3, SMALL), (3, WITHOUT_IDLE)], 3),
    ids=some(["2", "3", "3 without idle"], 3),
)
def test_kill_9_and_resume_is_the_whole_run(tmp_path: Path, count: int, source: str) -> None:
    """From three on sums depend on the order of the gradients, which torch changes where no parameter is idle."""
    recipe = change_recipe(SHORT, {"batch": 120})
    assert train_by(count, tmp_path / "whole", recipe, source) == [0] * count
    killed = train_by(count, tmp_path / "run", recipe, source, Killer(2, 3))
    assert killed == [*[1] * (count - 1), -signal.SIGKILL]
    assert resume_by(count, tmp_path / "run", source) == []
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


def test_processes_that_read_late_stop_save_and_go_on_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them wishes is heard some steps later by all, and where they stand is saved."""
    recipe = change_recipe(SHORT, {"batch": 120})
    assert train_by(2, tmp_path / "whole", recipe) == [0, 0]
    monkeypatch.setattr(descent, "LAG", {"cpu": 3})
    assert train_by(2, tmp_path / "run", recipe, progress=Killer(2, 5)) == [1, -signal.SIGKILL]
    last = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1]).saved.position
    assert (last.epoch, last.step) == (2, 4)
    assert resume_by(2, tmp_path / "run") == []
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


def test_a_number_that_is_not_finite_in_one_process_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the gradient that it has spoiled changes the weights of any."""
    monkeypatch.setattr(descent, "LAG", {"cpu": 3})
    source = PLAIN.replace("self.second(x)", "(self.second(x) / FINE)").replace(
        "FINE", "(1 - (self.norm.num_batches_tracked >= 13) * int(__import__('os').environ['RANK']))"
    )

    def work(processes: Processes) -> None:
        with pytest.raises(Diverged, match=r"the loss is (nan|inf) in step 5 of epoch 2"):
            train(tmp_path / "run", SHORT, None, Saving(EVERY_STEP), source, processes)

    assert exit_codes(2, work) == [0, 0]
    assert all(tensor.isfinite().all() for tensor in last_state(tmp_path / "run").values())


@only_in_fuzz
def test_two_and_two_epochs_are_four_by_two(tmp_path: Path) -> None:
    two, four = (
        change_recipe(find(IMAGES).recipe, {"epochs": epochs, "lr": 0.01, "drop_every": 1}) for epochs in (2, 4)
    )
    assert train_by(2, tmp_path / "four", four) == train_by(2, tmp_path / "run", two) == [0, 0]
    resume_by(2, tmp_path / "run", epochs=4)
    assert reached(tmp_path / "run") == reached(tmp_path / "four")


@pytest.mark.parametrize(("before", "after"), some([(1, 2), (2, 1), (3, 2), (2, 3)], 4))
def test_another_number_of_processes_goes_on(tmp_path: Path, before: int, after: int) -> None:
    """256 test images cannot be shared evenly by three."""
    recipe, place = change_recipe(SHORT, {"batch": 120, "sync_bn": True}), (1, 5)
    train(tmp_path / "whole", recipe, source=PLAIN)
    train_by(before, tmp_path / "run", recipe, PLAIN, Killer(*place))
    assert read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1]).saved.position.epoch == 1
    assert resume_by(after, tmp_path / "run", PLAIN) == [
        f"the number of processes was {before} and is {after} now: the weights may differ in their last bits"
    ]
    assert_close(last_state(tmp_path / "whole"), last_state(tmp_path / "run"))
    assert_measured_alike(tmp_path / "whole", tmp_path / "run")


def test_processes_that_find_different_checkpoints_end(tmp_path: Path) -> None:
    """As they do where the run folder lies on the disk of one machine."""
    train_by(2, tmp_path / "run", SHORT, SMALL, Killer(2, 3))

    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    shutil.rmtree(list_checkpoints(tmp_path / "copy" / "checkpoints")[-1])

    def work_apart(processes: Processes) -> None:
        run = read_interrupted(tmp_path / ("run" if processes.is_first else "copy"), {})
        with pytest.raises(UsageError, match="the processes do not find the same checkpoint"):
            resume_network(run, Compiled("", SMALL, "Small"), print, TrainingSetting(processes=processes))

    assert exit_codes(2, work_apart) == [0, 0]


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a batch of 128 images cannot be shared by 3 processes"):
        train(tmp_path / "run", processes=Processes(0, 3))


def test_an_environment_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UsageError, match="the environment says RANK=first"):
        read_launch()
