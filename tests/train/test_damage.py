"""Checkpoints that are torn, damaged, or cannot be written."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import some
from small_run import EVERY_STEP, RECIPE, SMALL, kill, reached, resume, start_forked, train

from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.journal import Saving
from cldfc.training import checkpoint_folder
from cldfc.training.checkpoint_folder import Damaged, list_checkpoints, read_checkpoint
from cldfc.training.task import Diverged

FILES = ("tensors.safetensors", "state.json", "SHA256SUMS")
PLACES = 100


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


@pytest.mark.parametrize("damaged", [1, 2])
def test_the_checkpoint_before_a_damaged_one_is_used(whole: Path, run: Path, damaged: int) -> None:
    heard: list[str] = []
    for path in list_checkpoints(run / "checkpoints")[-damaged:]:
        (path / "tensors.safetensors").write_bytes(b"")
    resume(run, heard.append, saving=Saving(EVERY_STEP))
    assert reached(run) == reached(whole)
    assert sum("is damaged" in line for line in heard) == damaged
    assert all(read_checkpoint(path) for path in list_checkpoints(run / "checkpoints"))


def test_before_the_first_checkpoint_it_starts_from_the_beginning(whole: Path, tmp_path: Path) -> None:
    run, heard = kill(tmp_path / "run", 1, 3, minutes=10), list[str]()
    resume(run, heard.append)
    assert reached(run) == reached(whole)
    assert heard == [f"`{run}` has no checkpoint yet: it is trained from the beginning"]


def everything(folder: Path) -> dict[str, bytes]:
    """The contents of all files in a folder, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def without_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def all_damaged(run: Path) -> None:
    for path in list_checkpoints(run / "checkpoints"):
        (path / "tensors.safetensors").write_bytes(b"")


def of_a_later_release(run: Path) -> None:
    for path in list_checkpoints(run / "checkpoints"):
        rewrite(path, "state.json", (path / "state.json").read_bytes().replace(b'"format": 2', b'"format": 99'))


def newest_of_another_release(run: Path) -> None:
    rewrite(newest(run), "state.json", b'{"place": 3}')


def newest_renamed(run: Path) -> None:
    newest(run).rename(run / "checkpoints" / "epoch-00009-step-0000000")


def newest_a_link(run: Path) -> None:
    path = newest(run)
    path.symlink_to(path.rename(run / "elsewhere"))


def newest_with_a_pipe(run: Path) -> None:
    (newest(run) / "state.json").unlink()
    os.mkfifo(newest(run) / "state.json")


def rewrite(path: Path, name: str, content: bytes) -> None:
    """Give a checkpoint another file, and the sums that belong to it."""
    (path / name).write_bytes(content)
    names = ("tensors.safetensors", "state.json")
    (path / "SHA256SUMS").write_bytes(checkpoint_folder.sums({name: (path / name).read_bytes() for name in names}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_checkpoints, "has no checkpoint, but has reached `metrics.csv`"),
        (all_damaged, "has no intact checkpoint:(\n  epoch-.*does not agree with the files){3}\n  ="),
        (of_a_later_release, "cannot be read:(\n  epoch-.*has format 99, of a later release of cldfc.*){3}\n  ="),
        (newest_of_another_release, "cannot be read:\n  epoch-.*it is not from this release"),
        (newest_renamed, "cannot be read:\n  epoch-00009-step-0000000: it was made under another name"),
        (newest_a_link, "cannot be read:\n  epoch-.*it is a link"),
        (newest_with_a_pipe, "cannot be read:\n  epoch-.*state.json`: it is not a regular file"),
    ],
)
def test_nothing_that_a_run_has_reached_is_thrown_away(
    whole: Path, run: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(run)
    if spoil is newest_with_a_pipe:
        with pytest.raises(UsageError, match=reason):
            resume(run)
        return
    before = everything(run)
    with pytest.raises(UsageError, match=reason) as caught:
        resume(run)
    assert f"`cldfc train --resume {run} --from-start`" in caught.value.help
    assert everything(run) == before
    heard: list[str] = []
    resume(run, heard.append, from_start=True)
    assert reached(run) == reached(whole)
    assert f"what `{run}` had produced was moved to `{run / 'before'}`" in heard
    kept = everything(run)
    assert all(
        kept[f"before/{name.removeprefix('checkpoints/')}"] == before[name] for name in before if reachable(name)
    )


def reachable(name: str) -> bool:
    """Whether a file is one that a training reaches, by its path in the run folder."""
    return name in ("metrics.csv", "best.safetensors") or name.startswith("checkpoints/")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", FILES)
def test_what_cannot_be_read_now_is_not_lost(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    before, bad, real = everything(run), newest(run) / name, os.open

    def fail(path: str | Path, flags: int, *rest: int) -> int:
        if Path(path) == bad:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(UsageError, match=f"cannot be read:\n  {bad.parent.name}: .*{os.strerror(number)}\n  ="):
            resume(run)
    assert everything(run) == before
    resume(run)
    assert reached(run) == reached(whole)


def test_what_the_trainer_did_not_write_stays(whole: Path, run: Path) -> None:
    copies, oldest = run / "checkpoints", list_checkpoints(run / "checkpoints")[0]
    shutil.copytree(oldest, copies / f"{oldest.name}-good")
    (copies / "epoch-notes-step-by-step").mkdir()
    (copies / "epoch-notes-step-by-step" / "notes.txt").write_text("good\n")
    (oldest / "why.txt").write_text("the best one\n")
    for name in (".notes.part", ".spec.cldf.part", ".metrics.csv.old.part"):
        (run / name).write_text("mine\n")
    mine = {name: content for name, content in everything(run).items() if "good" in name or "notes" in name}
    mine |= {f"checkpoints/{oldest.name}/{name}": (oldest / name).read_bytes() for name in os.listdir(oldest)}
    resume(run)
    assert reached(run) == reached(whole)
    assert mine.items() <= everything(run).items()
    assert (run / ".spec.cldf.part").exists() and (run / ".metrics.csv.old.part").exists()


def test_damaged_checkpoints_are_kept_under_another_name(run: Path) -> None:
    path = newest(run)
    (path / "tensors.safetensors").write_bytes(b"torn")
    resume(run)
    assert (path.with_name(f"{path.name}.damaged") / "tensors.safetensors").read_bytes() == b"torn"


def test_a_torn_checkpoint_with_a_folder_in_it_is_out_of_the_way(whole: Path, run: Path) -> None:
    path = newest(run)
    (path / "SHA256SUMS").unlink()
    (path / "state.json").unlink()
    (path / "state.json").mkdir()
    resume(run, saving=Saving(EVERY_STEP))
    assert reached(run) == reached(whole)
    assert (path.with_name(f"{path.name}.damaged") / "state.json").is_dir()


def test_an_old_checkpoint_that_cannot_be_removed_does_not_harm_the_new_one(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, real = list_checkpoints(run / "checkpoints")[0], os.unlink

    def unlink(path: str | Path, **rest: int | None) -> None:
        if Path(path).parent == oldest:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        real(path, **rest)

    monkeypatch.setattr(os, "unlink", unlink)
    resume(run)
    assert reached(run) == reached(whole) and read_checkpoint(oldest)


def test_a_renamed_checkpoint_is_not_believed(run: Path) -> None:
    renamed = newest(run).rename(run / "checkpoints" / "epoch-00009-step-0000000")
    with pytest.raises(Damaged, match="another name"):
        read_checkpoint(renamed)


@pytest.mark.parametrize("number", some([errno.ENOSPC, errno.EROFS, errno.EACCES], 3))
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_full_disk_leaves_the_last_checkpoint_intact(
    whole: Path, run: Path, monkeypatch: pytest.MonkeyPatch, number: int, writes: int
) -> None:
    before, left = newest(run), writes

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
    assert reached(run) == reached(whole)


def test_a_full_disk_before_the_first_checkpoint_promises_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = checkpoint_folder.write_run_file

    def write_file(path: Path, content: str | bytes) -> None:
        if path.name == "SHA256SUMS":
            raise UsageError(f"`{path}` cannot be written: {os.strerror(errno.ENOSPC)}", "make room")
        write(path, content)

    monkeypatch.setattr(checkpoint_folder, "write_run_file", write_file)
    with pytest.raises(UsageError, match="cannot be saved") as caught:
        train(tmp_path / "run", saving=Saving(EVERY_STEP))
    assert caught.value.help.startswith("make room, ")


@pytest.mark.parametrize(("name", "number"), [("ftruncate", errno.ENOSPC), ("open", errno.EROFS)])
def test_a_lock_that_cannot_be_written(run: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    real = getattr(os, name)

    def fail(where: str | Path | int, *arguments: int) -> int:
        if name == "open" and Path(str(where)).name != "lock":
            return real(where, *arguments)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)
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
    """Twice in each run; with CLDFC_TORTURE before every operation, else before 4 of them."""
    start_forked(train_until, tmp_path / "whole", sys.maxsize).join(240)
    operations = range(1, int((tmp_path / "operations").read_text()) + 1)
    seed = random.randrange(2**32)
    print("seed", seed, operations)
    chance = random.Random(seed)
    for operation in operations if "CLDFC_TORTURE" in os.environ else chance.sample(operations, 4):
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
    message = (
        f"in step 5 of epoch 2: training has diverged, what `{layer}` is given is the first value that is not finite"
    )
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
    with pytest.raises(
        Diverged, match=r"the loss is nan in step \d+ of epoch 2: .*, `last.weight` is no longer finite"
    ):
        train(tmp_path / "other", recipe, source=source)
