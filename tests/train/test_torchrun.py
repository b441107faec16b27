"""The program under torchrun: it starts all processes again when one dies, and the run goes on bit for bit.

The processes are copies, which need not load torch; with CLDFC_TORTURE they are those that the command starts.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import program
import pytest
import torch
import torch.distributed.run
from networks import only_in_fuzz
from program import Program, wait_for
from small_run import IMAGES, reached

from cldfc.training.checkpoint_folder import list_checkpoints

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="two processes would share a device")
IS_TORTURE = "CLDFC_TORTURE" in os.environ
KILLS, EPOCHS = (20, 8) if IS_TORTURE else (1, 3)
COPIES = Path(__file__).with_name("torchrun_of_copies.py")
NARROW = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
NEW = ["fbresnet", "--data", IMAGES, *NARROW, "--lr", "0.01", "--epochs", str(EPOCHS), "--sync-bn"]


def train(*arguments: object) -> list[str]:
    """Train, and save each step."""
    return ["train", *map(str, arguments), "--save-minutes", "0"]


def start(folder: Path, restarts: int, *arguments: object) -> Program:
    """Start torchrun in a folder, with two processes."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--rdzv-id", "tests"]
    launch = [*meeting, "--nproc-per-node", 2, "--max-restarts", restarts, "-m", "cldfc", *train(*arguments)]
    script = Path(torch.distributed.run.__file__) if IS_TORTURE else COPIES
    return Program(*launch, script=script, cwd=folder, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by two processes that was left alone."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    trained = start(folder.parent, 0, *NEW, "-o", folder).end()
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.count("test accuracy") == 1 and trained.stdout.count("report ") == 1
    assert "Warning" not in trained.stderr
    return folder


class Started:
    """Processes that torchrun has started in a folder."""

    def __init__(self, torchrun: Program, folder: Path) -> None:
        self.torchrun = torchrun
        self.folder = folder
        self.met: set[int] = set()

    def trainers(self) -> list[int]:
        """Their ids."""
        with suppress(FileNotFoundError):
            tasks = Path(f"/proc/{self.torchrun.pid}/task/{self.torchrun.pid}/children")
            return [int(number) for number in tasks.read_text().split()]
        return []

    def wait_for_trainers(self) -> None:
        """Wait for processes that were not here before."""
        wait_for(lambda: self.torchrun.is_over or len(set(self.trainers()) - self.met) == 2)
        self.met |= set(self.trainers())

    def wait_for_checkpoint(self) -> None:
        """Wait until they have saved a step, all their own."""
        before = self.newest()
        wait_for(lambda: self.torchrun.is_over or self.newest() != before)

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
        ended = self.torchrun.end()
        return ended.returncode, ended.stdout, ended.stderr


@contextmanager
def started(folder: Path, restarts: int, *arguments: str) -> Iterator[Started]:
    """Start torchrun in a folder, and leave nothing of it behind."""
    found = Started(start(folder, restarts, *arguments), folder)
    try:
        yield found
    finally:
        for trainer in found.trainers():
            with suppress(ProcessLookupError):
                os.kill(trainer, signal.SIGKILL)
        found.torchrun.kill()


@only_in_fuzz
def test_processes_that_are_killed_at_random_moments(whole: Path, tmp_path: Path) -> None:
    """Without `-o`: the next attempt finds the folder. With CLDFC_TORTURE 20 kills, else one."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    with started(tmp_path, KILLS, *NEW) as found:
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
    with started(tmp_path, 1, *NEW, "-o", "run") as found:
        found.wait_for_trainers()
        found.wait_for_checkpoint()
        found.signal(signal.SIGTERM, 1)
        code, _, said = found.end()
    assert code == 1 and said.count("stopped and saved; continue with `cldfc train --resume run`") == 2
    assert ">stopped: " in (folder / "report.html").read_text(encoding="utf-8")
    with started(tmp_path, 1, "--resume", "run") as found:
        found.wait_for_trainers()
        found.wait_for_checkpoint()
        found.signal(signal.SIGKILL, 1)
        code, _, said = found.end()
    assert code == 0, said
    assert "warning" not in said
    assert reached(folder) == reached(whole)


@only_in_fuzz
def test_one_process_goes_on_with_what_two_have_begun(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    again = program.cldfc(*train("--resume", "run"), cwd=tmp_path)
    assert again.returncode == 0
    assert again.stderr == (
        "warning: the number of processes was 2 and is 1 now: the weights may differ in their last bits\n"
    )
