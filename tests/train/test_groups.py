"""Signals to a training whose images other processes read, and to those: what `timeout`, systemd and Slurm send."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import only_in_fuzz
from PIL import Image
from small_run import NEVER, RECIPE, SMALL, reached, start_forked
from test_stop import PATIENCE, Slow, wait_for

from cldfc.data.catalogue import find
from cldfc.recipe import change_recipe
from cldfc.runs.journal import Saving, TrainingSetting
from cldfc.runs.resume import read_interrupted, resume_network
from cldfc.runs.training_run import train_network
from cldfc.stop import Stopped, listen
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.weights.compiled import Compiled

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
KILLS = int(os.environ.get("CLDFC_TORTURE", "1"))


def children(process: int) -> set[int]:
    """The processes that a process has started; none where it has ended."""
    try:
        return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return set()


def is_alive(process: int) -> bool:
    """Whether a process runs, and has not just ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stream(folder: Path) -> None:
    """Train, or go on, in a group of its own; the images are read by processes of that group."""
    os.setsid()
    run, images = folder / "run", f"folder:{folder / 'images'}"
    compiled = Compiled("", SMALL.replace("Conv2d(1,", "Conv2d(3,").replace("128, 10", "128, 2"), "Small")
    with listen() as request:
        setting = TrainingSetting(progress=Slow(), saving=Saving(NEVER, request))
        try:
            if run.exists():
                resume_network(read_interrupted(run, {}), compiled, lambda line: None, setting)
            else:
                recipe = change_recipe(RECIPE, {"batch": 8})
                train_network(compiled, find(images, (3, 8, 8)), recipe, run, setting)
        except Stopped as stopped:
            sys.exit(stopped.exit_code)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that are read as they are needed, since they are larger than the input."""
    chance = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("streamed")
    for part, label, number in product(("train", "test"), "ab", range(20)):
        path = folder / "images" / part / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (12, 10, 3)).astype(np.uint8)).save(path)
    return folder


def signal_all(streamed: Path, number: int, delay: float) -> int | None:
    """Signal a training and the processes that read for it, or kill it alone; gives its exit code when all are gone."""
    process = start_forked(stream, streamed)
    wait_for(lambda: children(process.pid) or not process.is_alive())
    time.sleep(delay)
    workers = children(process.pid)
    with suppress(ProcessLookupError):
        (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    process.join(PATIENCE)
    wait_for(lambda: not any(map(is_alive, workers)))
    return process.exitcode


@only_in_fuzz
def test_whole_groups_are_signalled_while_images_are_streamed(streamed: Path) -> None:
    """As by `timeout`, systemd and Slurm, then by `kill -9`; as many times as CLDFC_TORTURE says, else once."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance, run = random.Random(seed), streamed / "run"
    for turn in range(KILLS):
        number = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)[turn % 3]
        code = signal_all(streamed, number, chance.uniform(0, 0.3))
        assert code in (0, -signal.SIGKILL if number == signal.SIGKILL else 128 + number)
        if code == 128 + number:
            assert ">stopped: " in (run / "report.html").read_text() and list_checkpoints(run / "checkpoints")
    start_forked(stream, streamed).join()
    run.rename(streamed / "stopped")
    start_forked(stream, streamed).join()
    assert reached(streamed / "stopped") == reached(run)
