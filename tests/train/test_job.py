"""What an attempt under torchrun knows of those before it; the test is the agent, with a store of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from networks import ROOT, some
from small_run import IMAGES, Killed, reached
from typer.testing import CliRunner, Result

from cldfc.cli import app
from cldfc.runs import journal
from cldfc.training.launch import this_job

NARROW = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
NEW = [str(ROOT / "specs/fbresnet.cldf"), "--data", IMAGES, *NARROW, "--epochs", "2", "--save-minutes", "0"]
stores: Any = dist


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment that torchrun gives to one process."""
    store = stores.TCPStore("localhost", 0, None, True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    yield
    del store


@pytest.fixture
def attempt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `cldfc train` after so many restarts."""

    def run(restarts: int, *arguments: str) -> Result:
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        return CliRunner().invoke(app, ["train", *arguments])

    return run


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets something happen once, after the third checkpoint has been saved."""

    def patch(event: Callable[[], object]) -> None:
        save, calls = journal.save_state, list[None]()

        def save_state(*arguments: Any) -> Callable[[], None]:
            write = save(*arguments)
            calls.append(None)
            if len(calls) != 3:
                return write
            write()
            event()
            return lambda: None

        monkeypatch.setattr(journal, "save_state", save_state)

    return patch


def die() -> None:
    raise Killed


@pytest.mark.parametrize("output", some([[], ["-o", "run"]], 2), ids=some(["numbered", "named"], 2))
def test_the_next_attempt_goes_on(attempt: Any, interrupt: Any, output: list[str], monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("TORCHELASTIC_USE_AGENT_STORE")
        assert attempt(0, *NEW, "-o", "whole").exit_code == 0
    interrupt(die)
    assert isinstance(attempt(0, *NEW, *output).exception, Killed)
    folder = Path("run" if output else "runs/FBResNet-fake-1x8x8-10-1")
    assert len(list(folder.parent.iterdir())) == (2 if output else 1)
    resumed = attempt(1, *NEW, *output)
    assert resumed.exit_code == 0
    assert resumed.stderr.startswith(f"the processes were started again: they continue with `{folder}`\n")
    assert reached(folder) == reached(Path("whole"))
    assert len(list(folder.parent.iterdir())) == (2 if output else 1)


def test_an_attempt_that_made_no_folder_is_begun_anew(attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the note and the name, it leaves a hidden folder beside."""
    with monkeypatch.context() as patch:
        patch.setattr("cldfc.runs.run_folder.rename_aside", lambda aside, folder: die())
        assert isinstance(attempt(0, *NEW, "-o", "run").exception, Killed)
    assert this_job().noted("run") == "run" and not Path("run").exists()
    assert attempt(1, *NEW, "-o", "run").exit_code == 0
    assert Path("run/report.html").exists()


def test_a_folder_of_somebody_else_is_refused_in_every_attempt(attempt: Any) -> None:
    Path("run").mkdir()
    for restarts in range(3):
        refused = attempt(restarts, *NEW, "-o", "run")
        assert refused.exit_code == 2 and "`run` exists already" in refused.stderr
        assert "again" not in refused.stderr
    assert not list(Path("run").iterdir())


def test_a_divergence_is_said_again_but_not_tried(attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = attempt(0, *NEW, "-o", "run", "--lr", "1e30")
    assert first.exit_code == 2 and "training has diverged" in first.stderr
    monkeypatch.setattr("cldfc.runs.training_run.train_and_save", None)
    again = attempt(1, *NEW, "-o", "run", "--lr", "1e30")
    assert again.exit_code == 2 and again.stderr.strip() in first.stderr


def test_a_stopped_run_stays_stopped(attempt: Any, interrupt: Any) -> None:
    interrupt(lambda: os.kill(os.getpid(), signal.SIGTERM))
    said = "stopped and saved; continue with `cldfc train --resume run`\n"
    for restarts in range(3):
        stopped = attempt(restarts, *NEW, "-o", "run")
        assert stopped.exit_code == 143 and stopped.stderr.endswith(said)
    assert "stopped: 0 of 2 epochs done" in Path("run/report.html").read_text(encoding="utf-8")
    resumed = attempt(3, "--resume", "run")
    assert resumed.exit_code == 143 and resumed.stderr == said


def test_a_stop_before_a_change_of_members_is_none(attempt: Any, interrupt: Any) -> None:
    """torchrun stops all processes by SIGTERM when another machine joins, which is no restart."""
    interrupt(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert attempt(0, *NEW, "-o", "run").exit_code == 143
    assert attempt(0, *NEW, "-o", "run").exit_code == 0


def test_without_a_store_nobody_knows(attempt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE")
    refused = attempt(1, *NEW)
    assert refused.exit_code == 2
    assert "torchrun has started the processes again, but keeps no store" in refused.stderr
    assert not list(Path().iterdir())


def test_an_error_of_torch_is_tried_again(attempt: Any, interrupt: Any) -> None:
    """Nobody knows whether it comes again."""
    interrupt(lambda: torch.zeros(2) @ torch.zeros(3))
    assert isinstance(attempt(0, *NEW, "-o", "run").exception, RuntimeError)
    assert attempt(1, *NEW, "-o", "run").exit_code == 0
