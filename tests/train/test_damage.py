"""Checkpoints that are torn, damaged, or cannot be written."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_run import EVERY_STEP, RECIPE, SMALL, reached, resume, start_forked, train
from test_resume import kill

from cldfc.diagnostics import UsageError
from cldfc.train import checkpoint_folder
from cldfc.train.checkpoint_folder import Damaged, list_checkpoints, read_checkpoint
from cldfc.train.keep import Saving
from cldfc.train.loop import Diverged
from cldfc.train.recipe import change_recipe

pytestmark = pytest.mark.usefixtures("one_thread")
FILES = ("tensors.safetensors", "state.json", "SHA256SUMS")
PLACES = 100


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A run that was killed in its third epoch."""
    return kill(tmp_path_factory.mktemp("interrupted") / "run", 3, 3)


@pytest.fixture
def run(interrupted: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(interrupted, tmp_path / "run")
    return tmp_path / "run"


def newest(folder: Path) -> Path:
    return list_checkpoints(folder / "checkpoints")[-1]


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_found(run: Path, name: str) -> None:
    path, chance = newest(run) / name, random.Random(0)
    content = path.read_bytes()
    for _ in range(PLACES):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(Damaged):
            read_checkpoint(path.parent)
    path.write_bytes(content)
    read_checkpoint(path.parent)


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_is_cut_off_is_found(run: Path, name: str) -> None:
    path, chance = newest(run) / name, random.Random(1)
    content = path.read_bytes()
    for _ in range(PLACES):
        path.write_bytes(content[: chance.randrange(len(content))])
        with pytest.raises(Damaged):
            read_checkpoint(path.parent)
    path.unlink()
    with pytest.raises(Damaged, match=f"cannot read .*{name}"):
        read_checkpoint(path.parent)


def test_the_sums_are_what_sha256sum_reads(run: Path) -> None:
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=newest(run), capture_output=True, text=True)
    assert checked.stdout == "tensors.safetensors: OK\nstate.json: OK\n"


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_the_checkpoint_before_a_damaged_one_is_used(run: Path, tmp_path: Path, damaged: int) -> None:
    train(tmp_path / "whole")
    heard: list[str] = []
    for path in list_checkpoints(run / "checkpoints")[-damaged:]:
        (path / "tensors.safetensors").write_bytes(b"")
    resume(run, heard.append, saving=Saving(EVERY_STEP))
    assert reached(run) == reached(tmp_path / "whole")
    assert sum("is damaged" in line for line in heard) == damaged
    assert all(read_checkpoint(path) for path in list_checkpoints(run / "checkpoints"))


def test_without_any_checkpoint_it_starts_from_the_beginning(run: Path, tmp_path: Path) -> None:
    train(tmp_path / "whole")
    shutil.rmtree(run / "checkpoints")
    heard: list[str] = []
    resume(run, heard.append)
    assert reached(run) == reached(tmp_path / "whole")
    assert heard == [f"`{run}` has no intact checkpoint: it is trained from the beginning"]


def test_a_renamed_checkpoint_is_not_believed(run: Path) -> None:
    renamed = newest(run).rename(run / "checkpoints" / "epoch-00009-step-0000000")
    with pytest.raises(Damaged, match="another name"):
        read_checkpoint(renamed)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_full_disk_leaves_the_last_checkpoint_intact(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, writes: int
) -> None:
    before, left = newest(run), writes
    train(tmp_path / "whole")

    def fsync(handle: int) -> None:
        nonlocal left
        if str(run / "checkpoints/epoch") in os.readlink(f"/proc/self/fd/{handle}"):
            left -= 1
            if left < 0:
                raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(UsageError, match=rf"cannot be saved: .*{os.strerror(number)}") as caught:
            resume(run)
    assert f"then `cldfc train --resume {run}`" in caught.value.help
    assert newest(run) == before and read_checkpoint(before)
    assert not list((run / "checkpoints").rglob("*.part"))
    resume(run)
    assert reached(run) == reached(tmp_path / "whole")


def test_a_full_disk_before_the_first_checkpoint_promises_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = checkpoint_folder.write_file

    def write_file(path: Path, content: str | bytes) -> None:
        if path.name == "SHA256SUMS":
            raise UsageError(f"`{path}` cannot be written: {os.strerror(errno.ENOSPC)}", "make room")
        write(path, content)

    monkeypatch.setattr(checkpoint_folder, "write_file", write_file)
    with pytest.raises(UsageError, match="cannot be saved") as caught:
        train(tmp_path / "run", saving=Saving(EVERY_STEP))
    assert caught.value.help.startswith("make room, ")


@pytest.mark.parametrize(("name", "number"), [("write", errno.ENOSPC), ("open", errno.EROFS)])
def test_a_lock_that_cannot_be_written(run: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"cldfc.train.lock.os.{name}", fail)
    with pytest.raises(UsageError, match=f"checkpoints/lock` cannot be locked: {os.strerror(number)}"):
        resume(run)


def test_a_file_system_without_locks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.lockf", fail)
    with pytest.raises(UsageError, match=f"cannot be locked: {os.strerror(errno.ENOLCK)}"):
        resume(run)


OPERATIONS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod")
"""What changes a folder, as Python's audit hooks name it; files are made by `open` and synced."""


def train_until(folder: Path, operation: int) -> None:
    """Train, or go on, and die before an operation on files, counted from 1; else say how many there were."""
    left = operation

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(9)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in OPERATIONS and str(folder.parent) in str(arguments[0]):
            count()

    sync = os.fsync

    def fsync(handle: int) -> None:
        count()
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(hook)
    go_on(folder)
    (folder.parent / "operations").write_text(str(operation - left))


def go_on(folder: Path) -> None:
    """Train for three epochs of two steps, or go on."""
    if folder.exists():
        resume(folder, saving=Saving(EVERY_STEP))
    else:
        train(folder, change_recipe(RECIPE, {"epochs": 3, "batch": 512}), saving=Saving(EVERY_STEP))


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
def test_a_death_before_any_operation_on_files_loses_nothing(tmp_path: Path) -> None:
    """Twice in each run; with CLDFC_TORTURE before every operation, else before 20 of them."""
    start_forked(train_until, tmp_path / "whole", sys.maxsize).join(240)
    operations = range(1, int((tmp_path / "operations").read_text()) + 1)
    seed = random.randrange(2**32)
    print("seed", seed, operations)
    chance = random.Random(seed)
    for operation in operations if "CLDFC_TORTURE" in os.environ else chance.sample(operations, 20):
        run = tmp_path / "runs" / str(operation)
        for place in (operation, chance.randrange(1, 30)):
            process = start_forked(train_until, run, place)
            process.join(240)
            assert process.exitcode in (0, 9), (operation, place)
        go_on(run)
        assert reached(run) == reached(tmp_path / "whole"), operation
        assert not list(run.rglob("*.part")), operation
        assert all(read_checkpoint(path) for path in list_checkpoints(run / "checkpoints")), operation


def spoiled(old: str, new: str) -> str:
    """The small network with something wrong in it, from its 13th step on."""
    assert old in SMALL
    return SMALL.replace(old, new.replace("FINE", "(self.norm.num_batches_tracked < 13)"))


@pytest.mark.parametrize(
    ("old", "new", "layer"),
    [
        ("self.second(x)", "(self.second(x) / FINE)", "drop"),
        ("(self.first(x)).relu()", "(self.first(x)).relu() / FINE", "second"),
    ],
)
def test_divergence_names_the_layer_and_keeps_the_last_finite_checkpoint(
    tmp_path: Path, old: str, new: str, layer: str
) -> None:
    message = f"in step 5 of epoch 2: training has diverged, what `{layer}` is given is the first value that is not finite"
    with pytest.raises(Diverged, match=message) as caught:
        train(tmp_path / "run", saving=Saving(EVERY_STEP), source=spoiled(old, new))
    assert "a lower `--lr` (now 0.02), for instance 0.005" in caught.value.help
    position = read_checkpoint(newest(tmp_path / "run")).saved.position
    assert (position.epoch, position.step) == (2, 4)


def test_a_layer_that_overflows_is_named(tmp_path: Path) -> None:
    source = spoiled("self.second = nn", "self.second = Loud") + (
        "class Loud(nn.Conv2d):\n    def forward(self, x):\n        return super().forward(x) * 1e38 * 1e38\n"
    )
    with pytest.raises(Diverged, match="the result of `second` is the first value that is not finite"):
        train(tmp_path / "run", source=source.replace("Loud.Conv2d", "Loud"))


def test_weights_that_are_no_longer_finite_are_not_saved(tmp_path: Path) -> None:
    """A finite loss can have an infinite gradient; the next loss would be too late for the checkpoint between them."""
    hook = "        self.last.weight.register_hook(lambda gradient: gradient / FINE)\n\n"
    source = spoiled("    def forward", f"{hook}    def forward")
    recipe = change_recipe(RECIPE, {"clip": None})
    with pytest.raises(Diverged, match=r"`network.last.weight` is no longer finite in epoch 2: training has diverged"):
        train(tmp_path / "run", recipe, saving=Saving(EVERY_STEP), source=source)
    position = read_checkpoint(newest(tmp_path / "run")).saved.position
    assert (position.epoch, position.step) == (2, 4)
    with pytest.raises(Diverged, match=r"the loss is nan in step \d+ of epoch 2: .*, `last.weight` is no longer finite"):
        train(tmp_path / "other", recipe, source=source)
