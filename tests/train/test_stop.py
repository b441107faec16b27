"""Signals, kill -9 at random moments, and two trainers in one folder: real processes, which the kernel ends."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import program
import pytest
import torch
from networks import ROOT, some
from program import Program, cldfc
from small_run import EVERY_STEP, IMAGES, STEPS, reached, resume, start_forked, train

from cldfc.cli import app
from cldfc.diagnostics import UsageError
from cldfc.runs.journal import Saving
from cldfc.runs.lock import is_locked
from cldfc.runs.run_folder import RunFolder
from cldfc.stop import listen
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.metrics import Silence, TrainingPosition

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
KILLS = int(os.environ.get("CLDFC_TORTURE", "2"))
SPEC = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
OPTIONS = [*SPEC, "--data", IMAGES, "--epochs", "6", "--lr", "0.01", "--save-minutes", "0"]
PATIENCE = 30
wait_for = partial(program.wait_for, seconds=PATIENCE)


def go_on(folder: Path) -> None:
    """Start a run, or go on with it."""
    if (folder / "recipe.json").exists():
        resume(folder, saving=Saving(EVERY_STEP))
    else:
        train(folder, saving=Saving(EVERY_STEP))


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """With CLDFC_TORTURE as many times as it says."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance, run = random.Random(seed), tmp_path / "run"
    start = time.monotonic()
    train(tmp_path / "whole", saving=Saving(EVERY_STEP))
    most = 0.6 * (time.monotonic() - start)
    for _ in range(KILLS):
        process = start_forked(go_on, run)
        process.join(chance.uniform(0, most))
        process.kill()
        process.join()
        if run.exists() and not (run / "recipe.json").exists():
            run.rename(tmp_path / f"killed-before-it-began-{chance.random()}")
        elif process.exitcode == 0:
            assert reached(run) == reached(tmp_path / "whole")
            run.rename(tmp_path / f"finished-{chance.random()}")
    go_on(run)
    assert reached(run) == reached(tmp_path / "whole")


def has_steps(folder: Path) -> bool:
    """Whether a run has saved a step."""
    return bool(list_checkpoints(folder / "checkpoints"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was left alone."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert cldfc("train", "specs/fbresnet.cldf", *OPTIONS, "-o", run).returncode == 0
    return run


@pytest.mark.parametrize(("number", "code"), some([(signal.SIGTERM, 143), (signal.SIGINT, 130)], 2))
def test_a_signal_lets_the_step_finish_and_saves(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    monkeypatch.chdir(ROOT)
    run = tmp_path / "run"
    process = start_forked(app, ["train", "specs/fbresnet.cldf", *OPTIONS, "-o", str(run)])
    wait_for(lambda: has_steps(run))
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    said = capfd.readouterr().err
    assert "finishing this step and saving; another Ctrl-C quits at once" in said
    assert f"stopped and saved; continue with `cldfc train --resume {run}`" in said
    assert "stopped: " in (run / "report.html").read_text()
    start_forked(app, ["train", "--resume", str(run)]).join()
    assert reached(run) == reached(whole)
    report = (run / "report.html").read_text()
    assert "finished: " in report and "<th>resumed, 1</th>" in report


class Sleeper(Silence):
    """Stays in the second step for long, and says so by a file."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def step(self, position: TrainingPosition) -> None:
        if position.step == 2:
            self.sign.touch()
            time.sleep(PATIENCE)


def sleep_in_a_step(folder: Path) -> None:
    """A training that hangs in its second step."""
    with listen() as request:
        train(folder / "run", progress=Sleeper(folder / "sleeps"), saving=Saving(EVERY_STEP, request))


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[Any]:
    """Such a training, in a process, in its second step."""
    process = start_forked(sleep_in_a_step, tmp_path)
    wait_for((tmp_path / "sleeps").exists)
    yield process
    process.kill()
    process.join()


def test_a_second_sigint_leaves_at_once(sleeping: Any) -> None:
    os.kill(sleeping.pid, signal.SIGINT)
    sleeping.join(0.5)
    assert sleeping.is_alive()
    os.kill(sleeping.pid, signal.SIGINT)
    sleeping.join(PATIENCE / 2)
    assert sleeping.exitcode == -signal.SIGINT


def test_a_second_trainer_is_refused_until_the_first_is_gone(sleeping: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"is in use: process {sleeping.pid} trains there"):
        resume(tmp_path / "run")
    sleeping.kill()
    sleeping.join()
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(train(tmp_path / "whole").folder)


def test_the_program_goes_on_where_kill_9_left_it(whole: Path, tmp_path: Path) -> None:
    """Processes that share nothing: the folder is all that is needed."""
    run = tmp_path / "run"
    process = Program("train", "specs/fbresnet.cldf", *OPTIONS, "-o", run)
    wait_for(lambda: len(list_checkpoints(run / "checkpoints")) > 1)
    process.kill()
    assert process.end().returncode == -signal.SIGKILL
    resumed = cldfc("train", "--resume", run)
    assert resumed.returncode == 0, resumed.stderr
    assert reached(run) == reached(whole)


def train_slowly(folder: Path) -> None:
    """A training that saves each step, and is slow."""
    train(folder, progress=Slow(), saving=Saving(EVERY_STEP))


class Slow(Silence):
    """Takes a while for a step."""

    def step(self, position: TrainingPosition) -> None:
        time.sleep(0.03)


def test_a_lock_that_is_removed_lets_nobody_in_and_comes_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    process = start_forked(train_slowly, run.path)
    wait_for(lambda: has_steps(run.path))
    run.lock.unlink()
    with pytest.raises(UsageError, match=r"is in use: (another )?process"):
        resume(run.path)
    wait_for(lambda: is_locked(run))
    process.join()
    assert process.exitcode == 0
    assert reached(run.path) == reached(train(tmp_path / "whole").folder)


def moved(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def replaced(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))
    run.mkdir()


def deleted(run: Path) -> None:
    shutil.rmtree(run.rename(run.with_name("deleted")))


def half_deleted(run: Path) -> None:
    (run / "recipe.json").unlink()


def taken(run: Path) -> None:
    """As by a machine that shares the folder, but not its lock."""
    (run / "checkpoints" / "lock").unlink()
    (run / "checkpoints" / "lock").touch()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (moved, "run` was moved or deleted while it was trained"),
        (replaced, "run` was moved or deleted while it was trained"),
        (deleted, "run` was moved or deleted while it was trained"),
        (half_deleted, "recipe.json` was deleted while the run was trained"),
        (taken, "run` is in use: another process trains there"),
    ],
)
@pytest.mark.parametrize("step", [3, STEPS])
def test_a_run_that_is_not_in_its_place_any_more(
    tmp_path: Path, change: Callable[[Path], None], message: str, step: int
) -> None:
    """Nothing is written where it was, nor where it is now."""
    run = tmp_path / "run"
    after: dict[Path, bytes] = {}

    class Meddler(Silence):
        def step(self, position: TrainingPosition) -> None:
            if (position.epoch, position.step) == (2, step):
                change(run)
                after.update(contents(tmp_path))

    with pytest.raises(UsageError, match=message):
        train(run, progress=Meddler(), saving=Saving(EVERY_STEP))
    assert contents(tmp_path) == after and (change is deleted or after)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def test_a_training_whose_folder_goes_does_not_end_well(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["train", str(ROOT / "specs/fbresnet.cldf"), *OPTIONS[:-4], "--epochs", "60", "-o", str(run)]
    process = start_forked(app, command)
    wait_for((run / "metrics.csv").exists)
    deleted(run)
    process.join()
    assert process.exitcode == 2 and list(tmp_path.iterdir()) == []
