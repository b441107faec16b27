"""What `cldfc train` prints, and the command that repeats it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from networks import ROOT
from typer.testing import CliRunner, Result

from cldfc.cli import app
from cldfc.runs.environment import command_line

SPEC = str(ROOT / "examples" / "01_one_iteration.cldf")
DATA = ["--data", "fake:1x8x8:10", "--epochs", "1"]


def train(*arguments: object) -> Result:
    """`cldfc train` with some arguments."""
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_quiet_prints_the_folder_alone(tmp_path: Path) -> None:
    done = train(SPEC, *DATA, "-o", tmp_path / "run", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{tmp_path / 'run'}\n", "")


def test_quiet_lets_warnings_and_errors_through(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(SPEC, *DATA, "-o", run, "--quiet").exit_code == 0
    (run / "network.py").write_text("# changed\n")
    done = train("--resume", run, "--quiet")
    assert done.stdout == f"{run}\n" and "warning: " in done.stderr
    for damaged in (run / "checkpoints").glob("*/tensors.safetensors"):
        damaged.write_bytes(b"")
    done = train("--resume", run, "--quiet")
    assert (done.exit_code, done.stdout) == (2, "") and "error: " in done.stderr
    done = train(SPEC, *DATA, "-o", run, "--quiet")
    assert (done.exit_code, done.stdout) == (2, "") and "exists already" in done.stderr


def test_quiet_and_json_contradict_each_other(tmp_path: Path) -> None:
    done = train(SPEC, *DATA, "-o", tmp_path / "run", "--quiet", "--json")
    assert done.exit_code == 2 and "`--quiet` and `--json` cannot be used together" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_tensorboard_is_noticed_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cldfc.runs.tensorboard.find_spec", lambda name: None)
    done = train(SPEC, *DATA, "-o", tmp_path / "run", "--tensorboard")
    assert done.exit_code == 2 and "pip install 'cldfc[tensorboard]'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_recorded_command_repeats_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[bytes] = []
    words = ["train", SPEC, *DATA, "--tie", "B"]
    for number, seed in enumerate((["--seed", "3"], [])):
        folder = tmp_path / str(number)
        monkeypatch.setattr("sys.argv", ["cldfc", *words, *seed])
        assert train(*words[1:], *seed, "-o", folder).exit_code == 0
        command = json.loads((folder / "recipe.json").read_text())["command"]
        assert command.endswith(["--seed 3", "--seed 0"][number])
        again = tmp_path / f"again-{number}"
        assert train(*shlex.split(command)[2:], "-o", again).exit_code == 0
        weights += [(path / "best.safetensors").read_bytes() for path in (folder, again)]
    assert weights[0] == weights[1] != weights[2] == weights[3]


@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ({}, "cldfc"),
        ({"WORLD_SIZE": "1"}, "cldfc"),
        ({"WORLD_SIZE": "no number"}, "cldfc"),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, "torchrun --nproc-per-node 2 -m cldfc"),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, "torchrun --nnodes 2 --nproc-per-node 4 -m cldfc"),
    ],
)
def test_the_command_line(environment: dict[str, str], start: str) -> None:
    words = ["train", "a b.cldf", "--let", "ν=3,4"]
    assert command_line(words, environment) == f"{start} train 'a b.cldf' --let 'ν=3,4'"
