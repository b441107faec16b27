"""`cldfc runs`: what the folders of runs show, finished, running, interrupted and broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from finished_run import cldfc
from networks import ROOT
from small_run import SMALL, start_forked, train

from cldfc.diagnostics import UsageError
from cldfc.runs.listing import listed_run, listed_runs
from cldfc.runs.lock import is_locked, locked
from cldfc.runs.run_folder import RunFolder
from cldfc.runs.training_run import Result
from cldfc.training.metrics import as_csv, read_epochs
from cldfc.weights.network import build_network

forking = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs; not to be changed."""
    return train(tmp_path_factory.mktemp("finished") / "run").folder


@pytest.fixture
def folder(finished: Path, trained: Result, tmp_path: Path) -> Path:
    """Runs in all states, and what is none."""
    for name in ("done", "half", "fresh", "blown", "edited", "emptied"):
        shutil.copytree(finished, tmp_path / name)
    shutil.copytree(trained.folder, tmp_path / "digits")
    first, second, *_ = read_epochs(finished / "metrics.csv")
    best = second.model_copy(update={"test_accuracy": 0.9})
    (tmp_path / "half" / "metrics.csv").write_text(as_csv([first, best]))
    (tmp_path / "fresh" / "metrics.csv").unlink()
    (tmp_path / "blown" / "metrics.csv").unlink()
    (tmp_path / "blown" / "diverged.txt").write_text("the loss is nan in epoch 1\n")
    (tmp_path / "edited" / "recipe.json").write_text('{"epochs": 4}')
    (tmp_path / "emptied" / "best.safetensors").write_bytes(b"")
    (tmp_path / "other").mkdir()
    (tmp_path / "file").touch()
    return tmp_path


def test_runs_come_by_data_set_the_best_first_and_broken_ones_last(folder: Path) -> None:
    states = [(run.path.name, run.state) for run in listed_runs(folder)]
    assert states == [
        ("digits", "finished"),
        ("half", "interrupted"),
        ("done", "finished"),
        ("blown", "diverged"),
        ("fresh", "interrupted"),
        ("edited", "broken"),
        ("emptied", "broken"),
    ]


def test_what_is_said_of_a_run(finished: Path) -> None:
    (found,) = json.loads(cldfc("runs", finished, "--json").stdout)
    epochs = read_epochs(finished / "metrics.csv")
    wanted = {
        "folder": str(finished),
        "state": "finished",
        "problem": None,
        "model": "Small",
        "data": "fake:1x8x8:10",
        "parameters": sum(parameter.numel() for parameter in build_network(SMALL, "Small").parameters()),
        "epochs": 4,
        "planned_epochs": 4,
        "seed": 0,
        "stopped_early": False,
        "test_accuracy": epochs[-1].test_accuracy,
        "validation_accuracy": None,
        "chosen_by": "last",
        "chosen_epoch": 4,
        "chosen_test_accuracy": epochs[-1].test_accuracy,
        "chosen_validation_accuracy": None,
        "seconds": pytest.approx(sum(epoch.seconds for epoch in epochs)),
    }
    assert found == wanted


def test_the_table_and_the_remarks(folder: Path) -> None:
    result = cldfc("runs", folder)
    assert result.exit_code == 0
    head, first, second, *_, last = result.stdout.splitlines()
    assert head.split() == ["run", "model", "data", "params", "epochs", "validation", "test", "time", "state"]
    assert first.split()[:3] == ["digits", "Tiny", "digits"]
    assert second.split()[:3] == ["half", "Small", "fake:1x8x8:10"] and "2/4              90.00%  " in second
    assert second.endswith("interrupted")
    assert last.split() == ["emptied", "broken"]
    assert f"{folder / 'edited'} is broken: " in result.stderr and "`class_name`: it is missing" in result.stderr
    assert f"{folder / 'blown'} has diverged: the loss is nan in epoch 1\n" in result.stderr
    assert f"`cldfc train --resume {folder / 'half'}`" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.json", b"\xff"),
        ("metrics.csv", b"epoch\n"),
        ("metrics.csv", b"epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds\n1,2,0.5,2,9.5,1\n"),
        ("best.safetensors", None),
        ("best.safetensors", b"\x08\0\0\0\0\0\0\0[1, 2  ]"),
        ("best.safetensors", b"\xff" * 8 + b"{"),
        ("best.safetensors", b"\x0f\0\0\0\0\0\0\0" + b'{"x": "shape" }'),
        ("spec.cldf", None),
    ],
)
def test_a_damaged_run_is_a_row_that_names_the_file(
    finished: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    damaged = tmp_path / "run" / name
    damaged.unlink() if content is None else damaged.write_bytes(content)
    (found,) = listed_runs(tmp_path)
    assert found.state == "broken" and name in found.problem


def test_folders_without_runs(tmp_path: Path) -> None:
    assert listed_runs(tmp_path) == []
    result = cldfc("runs", tmp_path)
    assert result.exit_code == 0 and not result.stdout and "there are no runs in" in result.stderr
    assert json.loads(cldfc("runs", tmp_path, "--json").stdout) == []
    with pytest.raises(UsageError, match="No such file"):
        listed_runs(tmp_path / "nowhere")
    assert cldfc("runs", tmp_path / "nowhere").exit_code == 2


def hold(run: RunFolder, ready: Path) -> None:
    """Hold the lock of a run until the process is killed, or a minute has passed."""
    with locked(run):
        ready.touch()
        time.sleep(60)


@forking
def test_a_run_whose_lock_is_held_is_running_until_its_process_ends(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    assert listed_run(run.path).state == "finished"
    process = start_forked(hold, run, tmp_path / "ready")
    while not (tmp_path / "ready").exists():
        assert process.is_alive()
        time.sleep(0.01)
    assert listed_run(run.path).state == "running"
    # The question has not taken it away.
    with pytest.raises(UsageError, match="in use"), locked(run):
        pass
    process.kill()
    process.join()
    assert listed_run(run.path).state == "finished"


def ask(run: RunFolder) -> None:
    """Ask for ever."""
    while True:
        is_locked(run)


@forking
def test_asking_never_keeps_a_trainer_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with locked(run):
        pass
    process = start_forked(ask, run)
    try:
        for _ in range(1000):
            with locked(run):
                pass
        assert process.is_alive()
    finally:
        process.kill()
        process.join()


def test_nothing_of_torch_is_loaded(finished: Path) -> None:
    code = "import sys; from cldfc.cli import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    command = [sys.executable, "-c", code, "runs", str(finished)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "safetensors", "sklearn", "networkx"} & set(result.stdout.splitlines()[-1].split())


def test_a_training_loads_neither_torch_compile_nor_scikit_learn(tmp_path: Path) -> None:
    """Each takes two seconds, of the three from the command to its first step."""
    code = (
        "import sys; from cldfc.cli import app; app(sys.argv[1:], standalone_mode=False); print('loaded', *sys.modules)"
    )
    words = ["train", "preact18_Al", "--let", "c = 2, 2, 2, 2", "--data", "digits", "--epochs", "1", "--device", "cpu"]
    command = [sys.executable, "-c", code, *words, "-o", str(tmp_path / "run")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "test accuracy" in result.stdout
    loaded = {*result.stdout.splitlines()[-1].split()}
    assert "torch" in loaded and not {"torch._dynamo", "torch._inductor", "sklearn"} & loaded
