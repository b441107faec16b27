"""Two processes that share every batch train as one does."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from subprocess import run

import pytest
import torch
from networks import ROOT
from safetensors.torch import load_file
from small_run import EVERY_STEP, IMAGES, RECIPE, SMALL, start_forked, train
from torch import Tensor

from cldfc.diagnostics import UsageError
from cldfc.train import device
from cldfc.train.checkpoint_folder import list_checkpoints
from cldfc.train.images import Images
from cldfc.train.keep import Saving
from cldfc.train.launch import read_launch
from cldfc.train.metrics import read_epochs
from cldfc.train.processes import Processes, Shared, together
from cldfc.train.recipe import Recipe, change_recipe

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork"),
]
PLAIN = SMALL.replace("nn.Dropout(0.1)", "nn.Identity()")
WITHOUT_NORM = PLAIN.replace("self.norm(self.first(x))", "self.first(x)").replace("nn.BatchNorm2d(4)", "nn.Identity()")
SHORT = change_recipe(RECIPE, {"epochs": 2})


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums in bfloat16 are another matter."""
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return int(found.getsockname()[1])


def train_share(rank: int, port: int, folder: Path, recipe: Recipe, source: str) -> None:
    """What one of two processes does."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ["MASTER_ADDR"] = "localhost"
    with together() as processes:
        train(folder, recipe, saving=Saving(EVERY_STEP), source=source, processes=processes)


def train_by_two(folder: Path, recipe: Recipe, source: str) -> dict[str, Tensor]:
    """The last state of a training by two processes."""
    port = free_port()
    started = [start_forked(train_share, rank, port, folder, recipe, source) for rank in range(2)]
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0]
    return last_state(folder)


def last_state(folder: Path) -> dict[str, Tensor]:
    """All tensors of the last checkpoint of a run."""
    return load_file(list_checkpoints(folder / "checkpoints")[-1] / "tensors.safetensors")


@pytest.mark.parametrize(
    ("source", "sync_bn"), [(WITHOUT_NORM, False), (PLAIN, True)], ids=["without norm", "synchronised norm"]
)
def test_two_processes_train_as_one(tmp_path: Path, source: str, sync_bn: bool) -> None:
    """The parameter without a gradient, `idle`, is among those compared."""
    recipe = change_recipe(SHORT, {"sync_bn": sync_bn})
    train(tmp_path / "one", recipe, source=source)
    one, two = last_state(tmp_path / "one"), train_by_two(tmp_path / "two", recipe, source)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-5, atol=1e-5), name
    for mine, other in zip(*(read_epochs(tmp_path / name / "metrics.csv") for name in ("one", "two")), strict=True):
        assert mine.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert mine.test_loss == pytest.approx(other.test_loss, rel=1e-5)
        assert mine.test_accuracy == pytest.approx(other.test_accuracy, abs=1 / 256)


def test_norms_of_their_own_are_something_else(tmp_path: Path) -> None:
    """The test above would notice."""
    train(tmp_path / "one", SHORT, source=PLAIN)
    one, two = last_state(tmp_path / "one"), train_by_two(tmp_path / "two", SHORT, PLAIN)
    assert not torch.allclose(one["network.norm.running_var"], two["network.norm.running_var"], rtol=1e-5, atol=1e-5)


class Numbered:
    """A loader of numbered images."""

    steps = 3

    def train_batches(self, epoch: int, first: int = 0) -> list[Images]:
        return self.test_batches()[first:3]

    def test_batches(self) -> list[Images]:
        numbers = torch.arange(25)
        return [Images(part.view(-1, 1, 1, 1), part) for part in numbers.split(8)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_test_image_is_seen_once(count: int) -> None:
    shares = [Shared(Numbered(), Processes(rank, count)) for rank in range(count)]  # pyright: ignore[reportArgumentType]
    seen = [int(label) for share in shares for batch in share.test_batches() for label in batch.labels]
    assert sorted(seen) == list(range(25))


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a batch of 128 images cannot be shared by 3 processes"):
        train(tmp_path / "run", processes=Processes(0, 3))


def test_an_environment_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UsageError, match="the environment says RANK=first"):
        read_launch()


def test_torchrun(tmp_path: Path) -> None:
    """The program under torchrun prints once, and one process goes on with what two have begun."""
    changes = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8", "--lr", "0.01", "--sync-bn"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    made = ["-m", "cldfc", "train", "specs/fbresnet.cldf", "--data", IMAGES, *changes, "-o", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    trained = run([*torchrun, *made], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.count("test accuracy") == 1 and trained.stdout.count("report ") == 1
    assert "Warning" not in trained.stderr
    again = run(
        [sys.executable, "-m", "cldfc", "train", "--resume", str(tmp_path / "run")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0
    assert again.stderr == (
        "warning: the number of processes was 2 and is 1 now: the weights may differ in their last bits\n"
    )
