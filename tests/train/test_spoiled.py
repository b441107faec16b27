"""Runs of which anything is spoiled in any way: refused and left alone, or gone on with to the bits of a whole one."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from small_run import EVERY_STEP, SMALL, reached, resume, train

from cldfc.diagnostics import UsageError
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.journal import Saving
from cldfc.runs.listing import listed_runs
from cldfc.runs.run_folder import check_seal
from cldfc.training.checkpoint_folder import list_checkpoints

RUNS = 10 * int(os.environ["CLDFC_TORTURE"]) if "CLDFC_TORTURE" in os.environ else 6
Chance = random.Random


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    return train(tmp_path_factory.mktemp("whole") / "run", saving=Saving(EVERY_STEP)).folder


def flip(path: Path, chance: Chance) -> None:
    with path.open("r+b") as file:  # which may be a giant
        place = chance.randrange(max(1, path.stat().st_size))
        file.seek(place)
        content = file.read(1) or b"x"
        file.seek(place)
        file.write(bytes([content[0] ^ 1 << chance.randrange(8)]))


def cut(path: Path, chance: Chance) -> None:
    os.truncate(path, chance.randrange(max(1, path.stat().st_size)))


def remove(path: Path, chance: Chance) -> None:
    path.unlink()


def pipe(path: Path, chance: Chance) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, chance: Chance) -> None:
    path.unlink()
    path.mkdir()


def giant(path: Path, chance: Chance) -> None:
    os.truncate(path, 12 * 2**30)


def link(path: Path, chance: Chance) -> None:
    """To somebody else's file, which is the same; now and then to a file that has no end."""
    if chance.random() < 0.2:
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path.rename(outside(path) / f"{chance.random()}"))


def link_folder(path: Path, chance: Chance) -> None:
    path = path.parent
    path.symlink_to(path.rename(outside(path) / f"{chance.random()}"))


def outside(path: Path) -> Path:
    """A folder of somebody else."""
    (runs,) = (parent for parent in path.parents if parent.name == "runs")
    (runs.parent / "mine").mkdir(exist_ok=True)
    return runs.parent / "mine"


def forbid(path: Path, chance: Chance) -> None:
    """Root may read it all the same: `unreadable` sees to that."""
    path.chmod(0)


SPOIL: list[Callable[[Path, Chance], None]] = [
    flip,
    cut,
    remove,
    pipe,
    folder,
    giant,
    link,
    link_folder,
    forbid,
    forbid,
]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What nobody may read cannot be read by root either."""
    real = os.open

    def opened(path: str | Path, flags: int, *rest: int, **named: int) -> int:
        if os.path.isfile(path) and not os.path.islink(path) and not os.lstat(path).st_mode & 0o777:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        yield


def everything(folder: Path) -> dict[str, object]:
    """What there is in a folder, but for the lock: contents, where links lead, sizes of giants."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else (path.stat().st_size > 2**30 or path.read_bytes())
        if path.is_file()
        else path.lstat().st_mode
        for path in folder.rglob("*")
        if path.name != "lock"
    }


def spoil(run: Path, chance: Chance) -> str:
    """Spoil something of a run, and say what."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    # A checkpoint is what most depends on.
    files += [path for path in files if path.parent.parent.name == "checkpoints"]
    path, how = chance.choice(files), chance.choice(SPOIL)
    if how is link_folder and path.parent == run:
        how = link
    how(path, chance)
    return f"{how.__name__} {path.relative_to(run)}"


def test_anything_spoiled_in_any_way(interrupted: Path, whole: Path, tmp_path: Path, unreadable: None) -> None:
    """Ten times as many runs as CLDFC_TORTURE says, else 6."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    outcomes = {"refused": 0, "the same": 0}
    for number in range(RUNS):
        place = tmp_path / str(number)
        run = shutil.copytree(interrupted, place / "runs" / "run")
        done = [spoil(run, chance) for _ in range(chance.choice([1, 1, 2]))]
        print(number, done)
        before, mine = everything(run), everything(place / "mine") if (place / "mine").exists() else {}
        assert len(listed_runs(run.parent)) <= 1
        with suppress(UsageError):
            check_seal(run)
            evaluate_run(run, lambda _spec, _record: SMALL)
        assert everything(run) == before
        try:
            resume(run, saving=Saving(EVERY_STEP))
        except UsageError as error:
            print("   ", error.message)
            outcomes["refused"] += 1
            assert everything(run) == before
        else:
            outcomes["the same"] += 1
            assert reached(run) == reached(whole)
        assert mine == (everything(place / "mine") if mine else {})
        shutil.rmtree(place)
    print(outcomes)
    # Of a few, all may have ended in the same way.
    assert RUNS < 100 or all(outcomes.values())


@pytest.mark.parametrize("from_start", [False, True])
def test_a_run_is_refused_before_anything_of_it_is_moved(interrupted: Path, tmp_path: Path, from_start: bool) -> None:
    run = shutil.copytree(interrupted, tmp_path / "run")
    (list_checkpoints(run / "checkpoints")[-1] / "tensors.safetensors").write_bytes(b"")
    (run / "environment.json").write_bytes(b"\xff")
    before = everything(run)
    with pytest.raises(UsageError, match=r"environment\.json"):
        resume(run, from_start=from_start)
    assert everything(run) == before
