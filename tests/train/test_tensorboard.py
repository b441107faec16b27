"""What TensorBoard's own reader finds in a run."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from small_run import EVERY_STEP, IMAGES, RECIPE, SMALL, Killed, Killer, resume
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cldfc.data.catalogue import find
from cldfc.diagnostics import UsageError
from cldfc.runs.journal import Saving, TrainingSetting
from cldfc.runs.tensorboard import add_to_board, open_board, require_tensorboard
from cldfc.runs.training_run import train_network
from cldfc.training.metrics import Progress, Silence, read_epochs
from cldfc.weights.compiled import Compiled


def train(folder: Path, progress: Progress) -> None:
    """A run that writes for TensorBoard."""
    setting = TrainingSetting(progress=progress, saving=Saving(EVERY_STEP), tensorboard=True)
    train_network(Compiled("", SMALL, "Small"), find(IMAGES), RECIPE, folder, setting)


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values, by tag."""
    found: Any = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """The same by metrics.csv; TensorBoard stores float32."""
    names = {
        "loss/train": "train_loss",
        "loss/test": "test_loss",
        "accuracy/train": "train_accuracy",
        "accuracy/test": "test_accuracy",
        "learning rate": "lr",
        "images per second": "images_per_second",
    }
    epochs = read_epochs(folder / "metrics.csv")
    return {
        tag: [(epoch.epoch, pytest.approx(getattr(epoch, name), rel=1e-6)) for epoch in epochs]
        for tag, name in names.items()
    }


def test_every_epoch_is_there(tmp_path: Path) -> None:
    train(tmp_path / "run", Silence())
    assert read(tmp_path / "run") == expected(tmp_path / "run")


@pytest.mark.parametrize(("epoch", "step"), [(1, 3), (3, 1), (3, 8)])
def test_no_epoch_is_doubled_or_missing_after_an_interruption(tmp_path: Path, epoch: int, step: int) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", Killer(epoch, step))
    assert len(read(tmp_path / "run").get("loss/train", [])) == epoch - 1
    # A kill within the write of an epoch leaves half a record.
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    resume(tmp_path / "run")
    assert read(tmp_path / "run") == expected(tmp_path / "run")


def test_epochs_before_a_resumption_keep_their_distance(tmp_path: Path) -> None:
    train(tmp_path / "run", Silence())
    epochs = [epoch.model_copy(update={"seconds": 100}) for epoch in read_epochs(tmp_path / "run" / "metrics.csv")]
    open_board(tmp_path / "run" / "tensorboard", epochs)
    found: Any = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    times = [each.wall_time for each in found.Scalars("loss/test")]
    assert [later - sooner for sooner, later in pairwise(times)] == pytest.approx([100] * 3)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("cldfc.runs.tensorboard.find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        require_tensorboard()
    assert caught.value.help == "pip install 'cldfc[tensorboard]'"


def test_a_board_that_cannot_be_written(tmp_path: Path) -> None:
    board = open_board(tmp_path, [])
    board.unlink()
    board.mkdir()
    train(tmp_path / "run", Silence())
    with pytest.raises(UsageError, match="cannot be written: it is not a regular file"):
        add_to_board(board, read_epochs(tmp_path / "run" / "metrics.csv")[0])
