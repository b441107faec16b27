"""What is copied and then written beside the training: the bytes of the library, one thing at a time, errors heard."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
import torch
from safetensors.torch import save
from small_run import EVERY_STEP, NEVER, reached, resume, train
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.runs import journal
from cldfc.runs.journal import Saving, Writer
from cldfc.stop import Request, Stopped
from cldfc.training import checkpoint_folder
from cldfc.training.checkpoint_folder import list_checkpoints, read_checkpoint
from cldfc.training.metrics import Silence, TrainingPosition
from cldfc.training.snapshot import Snapshot
from cldfc.training.state import not_finite

PATIENCE = 30


def all_types() -> dict[str, Tensor]:
    """Tensors of every type, of none, one and several dimensions, empty ones, and one that lies channels-last."""
    types = [torch.int64, torch.float64, torch.float32, torch.int32, torch.bfloat16, torch.float16]
    types += [torch.int16, torch.int8, torch.uint8, torch.bool]
    found = {f"{shape}.{dtype}": (torch.randn(shape) * 3).to(dtype) for dtype in types for shape in [(), (3,), (0, 2)]}
    found["w.α \"'\\ "] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    return {**found, "W": nn.Parameter(torch.randn(2, 5)), "_": torch.randn(4, 3).t()}


def test_the_bytes_are_those_of_the_library() -> None:
    memory = Snapshot()
    for tensors in (all_types(), all_types(), {"one": torch.ones(3)}, {}):
        memory.take(tensors)
        assert bytes(memory.content()) == save({name: tensor.detach().contiguous() for name, tensor in tensors.items()})


def test_what_is_copied_stays_as_it_was() -> None:
    weights, memory = torch.ones(5), Snapshot()
    memory.take({"weights": weights})
    before = bytes(memory.content())
    weights.zero_()
    assert bytes(memory.content()) == before
    memory.take({"weights": weights})
    assert bytes(memory.content()) != before


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_the_first_tensor_that_is_not_finite(wrong: float) -> None:
    fine = {"a": torch.ones(2), "n": torch.tensor(3), "e": torch.ones(0)}
    assert not_finite(fine) is None and not_finite({}) is None
    # Their sum is too large for a number, and they are not.
    assert (
        not_finite({**fine, "large": torch.full((9,), 3e38), "half": torch.full((9,), 6e4, dtype=torch.float16)})
        is None
    )
    spoiled = torch.tensor([[1.0, wrong, -wrong]])
    assert not_finite({**fine, "b": spoiled, "c": spoiled}) == "b"


def test_a_writer_does_one_thing_after_another() -> None:
    begun, go, done = Event(), Event(), list[int]()

    def slow() -> None:
        begun.set()
        go.wait(PATIENCE)
        done.append(1)

    with Writer() as writer:
        writer.write([slow, lambda: done.append(2)])
        assert begun.wait(PATIENCE) and not done
        go.set()
        writer.write([lambda: done.append(3)])
        assert done[:2] == [1, 2]
    assert done == [1, 2, 3]


def test_what_fails_aside_is_heard_once() -> None:
    def fail() -> None:
        raise UsageError("no", "yes")

    done: list[int] = []
    with Writer() as writer:
        writer.write([fail, lambda: done.append(1)])
        with pytest.raises(UsageError, match="no"):
            writer.write([lambda: done.append(2)])
        writer.write([lambda: done.append(3)])
        writer.finish()
    assert done == [3]
    with pytest.raises(UsageError), Writer() as writer:
        writer.write([fail])
    with pytest.raises(KeyError), Writer() as writer:
        writer.write([fail])
        raise KeyError


class Waiting(Silence):
    """Says when a step of an epoch has been taken."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place, self.reached = (epoch, step), Event()

    def step(self, position: TrainingPosition) -> None:
        if (position.epoch, position.step) == self.place:
            self.reached.set()


@pytest.mark.parametrize(("name", "after"), [("write_checkpoint", ""), ("write_report", "metrics.csv")])
def test_the_next_epoch_goes_on_while_an_epoch_is_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: str
) -> None:
    """Writing the first epoch takes until the fifth step of the second; what is written is of the end of the first."""
    progress, write, waited = Waiting(2, 5), getattr(journal, name), list[bool]()

    def slow(*arguments: Any) -> None:
        if current_thread() is not main_thread() and not waited:
            waited.append(progress.reached.wait(PATIENCE))
            assert not after or (tmp_path / "run" / after).exists()
        write(*arguments)

    monkeypatch.setattr(journal, name, slow)
    train(tmp_path / "run", progress=progress)
    assert waited == [True]
    assert reached(tmp_path / "run") == reached(whole)


@pytest.mark.parametrize("minutes", [EVERY_STEP, NEVER])
def test_a_stop_waits_for_what_is_being_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    request, write, written = Request(), journal.write_checkpoint, list[str]()

    class Asking(Silence):
        def step(self, position: TrainingPosition) -> None:
            if (position.epoch, position.step) == (2, 1):
                request.number = 15

    def noted(folder: Path, tensors: memoryview, saved: Any, choice: Any) -> None:
        write(folder, tensors, saved, choice)
        written.append(f"epoch-{saved.position.epoch:05}-step-{saved.position.step:07}")

    monkeypatch.setattr(journal, "write_checkpoint", noted)
    with pytest.raises(Stopped):
        train(tmp_path / "run", progress=Asking(), saving=Saving(minutes, request))
    assert written[-1] == list_checkpoints(tmp_path / "run" / "checkpoints")[-1].name > "epoch-00002-step-0000000"
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(whole)


def test_a_disk_that_is_full_while_the_next_epoch_is_trained(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said at the end of that epoch, in the words that it always had; the checkpoint before it is intact."""
    write, progress = checkpoint_folder.write_run_file, Waiting(3, 8)

    def write_file(path: Path, content: str | bytes | memoryview) -> None:
        if path.name == "SHA256SUMS" and path.parent.name == "epoch-00003-step-0000000":
            raise UsageError(f"`{path}` cannot be written: {os.strerror(errno.ENOSPC)}", "make room")
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_folder, "write_run_file", write_file)
        with pytest.raises(UsageError, match=r"epoch-00003-step-0000000` cannot be saved: .*No space left") as caught:
            train(tmp_path / "run", progress=progress)
    assert caught.value.help.startswith("the one before it is intact; make room, ")
    assert progress.reached.is_set()
    (left,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert read_checkpoint(left).saved.position.epoch == 2
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(whole)
