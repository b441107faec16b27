"""The program under torchrun: it starts all processes again when one dies, and the run goes on bit for bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen, run

import pytest
import torch
from networks import ROOT
from small_run import IMAGES, reached

from cldfc.train.checkpoint_folder import list_checkpoints

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="two processes would share a device")
KILLS = 20 if "CLDFC_TORTURE" in os.environ else 1
PATIENCE = 300
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
NARROW = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
NEW = [str(ROOT / "specs/fbresnet.cldf"), "--data", IMAGES, *NARROW, "--lr", "0.01", "--epochs", "8", "--sync-bn"]


def program(*arguments: str) -> list[str]:
    return ["-m", "cldfc", "train", *arguments, "--save-minutes", "0"]


def torchrun(restarts: int, *arguments: str) -> list[str]:
    """The command that trains by two processes."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    return [sys.executable, *launch, *program(*arguments)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by two processes that was left alone."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    command = torchrun(0, *NEW, "-o", str(folder))
    trained = run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.count("test accuracy") == 1 and trained.stdout.count("report ") == 1
    assert "Warning" not in trained.stderr
    return folder


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Started:
    """Processes that torchrun has started in a folder."""

    def __init__(self, torchrun: Popen[str], folder: Path) -> None:
        self.torchrun = torchrun
        self.folder = folder
        self.met: set[int] = set()

    @property
    def is_over(self) -> bool:
        return self.torchrun.poll() is not None

    def trainers(self) -> list[int]:
        """Their ids."""
        tasks = Path(f"/proc/{self.torchrun.pid}/task/{self.torchrun.pid}/children")
        return [] if self.is_over else [int(number) for number in tasks.read_text().split()]

    def wait_for_trainers(self) -> None:
        """Wait for processes that were not here before."""
        wait_for(lambda: self.is_over or len(set(self.trainers()) - self.met) == 2)
        self.met |= set(self.trainers())

    def wait_for_checkpoint(self) -> None:
        """Wait until they have saved a step, all their own."""
        before = self.newest()
        wait_for(lambda: self.is_over or self.newest() != before)

    def newest(self) -> list[Path]:
        """The checkpoints of whatever run there is; a folder that is being made has another name soon."""
        runs = [self.folder / "run", *(self.folder / "runs").glob("[!.]*")]
        return [path for run in runs for path in list_checkpoints(run / "checkpoints")]

    def signal(self, number: int, rank: int) -> bool:
        """Send a signal to one of them, if they are still there."""
        trainers = self.trainers()[rank:]
        if trainers:
            os.kill(trainers[0], number)
        return bool(trainers)

    def end(self) -> tuple[int, str, str]:
        """Wait for their end: exit code, and what was printed."""
        printed = self.torchrun.communicate(timeout=PATIENCE)
        return self.torchrun.returncode, *printed


@contextmanager
def started(folder: Path, *command: str) -> Iterator[Started]:
    """Start torchrun in a folder, and leave nothing of it behind."""
    with Popen(command, cwd=folder, env=ENVIRONMENT, stdout=PIPE, stderr=PIPE, text=True) as process:
        found = Started(process, folder)
        try:
            yield found
        finally:
            for trainer in found.trainers():
                os.kill(trainer, signal.SIGKILL)
            process.kill()


def test_processes_that_are_killed_at_random_moments(whole: Path, tmp_path: Path) -> None:
    """Without `-o`: the next attempt finds the folder. With CLDFC_TORTURE 20 kills, else one."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    with started(tmp_path, *torchrun(KILLS, *NEW)) as found:
        for kill in range(KILLS):
            found.wait_for_trainers()
            if kill % 2:
                time.sleep(chance.uniform(0, 4))
            else:
                found.wait_for_checkpoint()
                time.sleep(chance.uniform(0, 0.3))
            killed = found.signal(signal.SIGKILL, chance.randrange(2))
            print("kill", kill, killed)
        code, printed, said = found.end()
    assert code == 0, said
    assert printed.count("test accuracy") == 1
    runs = [path for path in (tmp_path / "runs").iterdir() if path.suffix != ".part"]
    assert len(runs) == 1
    assert reached(runs[0]) == reached(whole)


def test_a_stop_is_no_death_and_resume_survives_one(whole: Path, tmp_path: Path) -> None:
    """SIGTERM to one process stops all; torchrun starts them again, and they stay stopped."""
    folder = tmp_path / "run"
    with started(tmp_path, *torchrun(1, *NEW, "-o", "run")) as found:
        found.wait_for_trainers()
        found.wait_for_checkpoint()
        found.signal(signal.SIGTERM, 1)
        code, _, said = found.end()
    assert code == 1 and said.count("stopped and saved; go on with `cldfc train --resume run`") == 2
    assert ">stopped: " in (folder / "report.html").read_text(encoding="utf-8")
    with started(tmp_path, *torchrun(1, "--resume", "run")) as found:
        found.wait_for_trainers()
        found.wait_for_checkpoint()
        found.signal(signal.SIGKILL, 1)
        code, _, said = found.end()
    assert code == 0, said
    assert "warning" not in said
    assert reached(folder) == reached(whole)


def test_one_process_goes_on_with_what_two_have_begun(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    command = [sys.executable, *program("--resume", "run")]
    again = run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert again.returncode == 0
    assert again.stderr == (
        "warning: the number of processes was 2 and is 1 now: the weights may differ in their last bits\n"
    )
