"""The seal of a run: whatever changes in its files after the training is found."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from finished_run import cldfc, train_small
from safetensors.torch import load_file, save_file
from small_run import EVERY_STEP, RECIPE, kill, reached, resume, train

from cldfc.data.catalogue import find
from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.recipe import change_recipe
from cldfc.runs import run_folder
from cldfc.runs.journal import Saving
from cldfc.runs.run_folder import changed_files, seal_run
from cldfc.training.checkpoint_folder import list_checkpoints


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a spec; not to be changed."""
    return train_small(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def flip(path: Path) -> None:
    """Two bits of a file are others."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    content[-1] ^= 64
    path.write_bytes(content)


def checked_by_tool(folder: Path) -> list[str]:
    """What `sha256sum` says of a run."""
    result = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    return result.stdout.splitlines()


def test_the_seal_is_what_sha256sum_reads(finished: Path) -> None:
    names = ("spec.cldf", "network.py", "recipe.json", "best.safetensors", "metrics.csv")
    assert checked_by_tool(finished) == [f"{name}: OK" for name in names]
    assert cldfc("eval", finished, "--as-trained").exit_code == 0


@pytest.mark.parametrize("name", ["spec.cldf", "recipe.json", "best.safetensors"])
def test_what_decides_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    changes = {"spec.cldf": ("relu", "sigmoid"), "recipe.json": ('"lr": ', '"lr": 1')}
    replace(run / name, *changes[name]) if name in changes else flip(run / name)
    (tmp_path / "digit.png").touch()
    commands = [["eval", run], ["predict", run, tmp_path / "digit.png"], ["export", run, "--safetensors"]]
    if name != "best.safetensors":
        commands.append(["train", "--resume", run])
    for command in commands:
        result = cldfc(*command)
        assert result.exit_code == 2 and not result.stdout
        assert f"`{run / name}` is not what the training wrote" in result.stderr
        assert "sha256sum spec.cldf" in result.stderr
    anew = result.stderr.partition("if the change is intended: `")[2].partition("`")[0]
    subprocess.run(anew, shell=True, check=True)
    assert changed_files(run) == []


def test_weights_that_were_changed_come_back(run: Path) -> None:
    before = (run / "best.safetensors").read_bytes()
    flip(run / "best.safetensors")
    result = cldfc("train", "--resume", run)
    assert result.exit_code == 0 and (run / "best.safetensors").read_bytes() == before
    assert f"warning: `{run / 'best.safetensors'}` is not what the training wrote" in result.stderr
    assert changed_files(run) == []


@pytest.mark.parametrize("name", ["metrics.csv", "network.py"])
def test_what_decides_nothing_is_said(run: Path, name: str) -> None:
    (run / name).write_text((run / name).read_text() + "\n")
    result = cldfc("eval", run)
    assert result.exit_code == 0
    assert result.stderr == f"warning: `{run / name}` is not what the training wrote\n"


def test_the_table_of_runs_says_what_was_changed(run: Path) -> None:
    for name, state in (("metrics.csv", "finished"), ("recipe.json", "broken")):
        (run / name).write_text((run / name).read_text() + "\n")
        (found,) = json.loads(cldfc("runs", run.parent, "--json").stdout)
        assert found["state"] == state and f"`{name}`" in found["problem"]
        assert f"`{name}`" in cldfc("runs", run.parent).stderr


def test_a_run_of_an_earlier_release_has_no_seal(run: Path) -> None:
    (run / "SHA256SUMS").unlink()
    result = cldfc("eval", run)
    assert result.exit_code == 0 and f"warning: `{run}` has no `SHA256SUMS`" in result.stderr
    assert cldfc("train", "--resume", run).exit_code == 0
    assert changed_files(run) == []


@pytest.mark.parametrize("content", ["", "x", "0" * 64 + "  ../../passwd\n"])
def test_a_seal_that_is_none(run: Path, content: str) -> None:
    (run / "SHA256SUMS").write_text(content)
    result = cldfc("eval", run)
    assert result.exit_code == 2 and "SHA256SUMS" in result.stderr


def test_an_accuracy_that_is_missed_has_an_exit_code_of_its_own(run: Path) -> None:
    weights = load_file(run / "best.safetensors")
    name = next(name for name in reversed(weights) if name.endswith(".weight"))
    save_file({**weights, name: torch.zeros_like(weights[name])}, run / "best.safetensors")
    seal_run(run)
    assert cldfc("eval", run).exit_code == 3
    found = cldfc("eval", run, "--json")
    assert found.exit_code == 3 and json.loads(found.stdout)["agrees"] is False


def test_a_network_without_finite_scores_predicts_nothing(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "digit.png")
    weights = load_file(run / "best.safetensors")
    name = next(name for name in weights if name.startswith("linear") and name.endswith(".bias"))
    save_file({**weights, name: weights[name] * float("nan")}, run / "best.safetensors")
    seal_run(run)
    result = cldfc("predict", run, tmp_path / "digit.png")
    assert result.exit_code == 2 and "digit.png` are not finite" in result.stderr and "nan" not in result.stdout


def test_a_checkpoint_knows_its_spec_and_its_recipe(tmp_path: Path) -> None:
    """A changed recipe under a new seal is found all the same."""
    run = kill(tmp_path / "run", 3, 3)
    state = json.loads((list_checkpoints(run / "checkpoints")[-1] / "state.json").read_text())
    assert state["recipe"] == json.loads((run / "recipe.json").read_text())["recipe"]
    assert f"{state['spec']}  spec.cldf" in (run / "SHA256SUMS").read_text()
    replace(run / "recipe.json", '"lr": 0.02', '"lr": 0.2')
    seal_run(run)
    with pytest.raises(UsageError, match=r"is from a training with lr 0\.02, not 0\.2"):
        resume(run)
    replace(run / "recipe.json", '"lr": 0.2', '"lr": 0.02')
    for path in list_checkpoints(run / "checkpoints"):
        assert '"spec": "' + state["spec"] in (path / "state.json").read_text()


def test_a_checkpoint_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    from test_damage import rewrite

    train(tmp_path / "whole")
    run = kill(tmp_path / "run", 3, 3)
    (run / "SHA256SUMS").unlink()
    for path in list_checkpoints(run / "checkpoints"):
        state = json.loads((path / "state.json").read_text())
        old = {name: value for name, value in state.items() if name not in ("spec", "recipe")}
        rewrite(path, "state.json", json.dumps({**old, "format": 1}).encode())
    heard: list[str] = []
    resume(run, heard.append)
    assert reached(run) == reached(tmp_path / "whole")
    assert len(heard) == 1 and "has no `SHA256SUMS`" in heard[0]


def test_the_seal_holds_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever a process is killed, and whenever another one looks: after each file that is written."""
    moments: list[list[str] | None] = []
    write = run_folder.write_run_file

    def write_run_file(path: Path, content: str | bytes) -> None:
        write(path, content)
        moments.append(changed_files(path.parent))

    monkeypatch.setattr(run_folder, "write_run_file", write_run_file)
    recipe = change_recipe(find("fake:1x8x8:10").recipe, {"epochs": 2, "lr": 0.01, "drop_every": 2})
    train(tmp_path / "run", recipe, saving=Saving(EVERY_STEP))
    resume(tmp_path / "run", epochs=3)
    assert len(moments) > 20 and all(moment == [] for moment in moments)


def test_what_is_changed_during_a_training_is_not_sealed(tmp_path: Path) -> None:
    run = kill(tmp_path / "run", 2, 3, recipe=RECIPE)
    write_file(run / "network.py", "changed\n")
    resume(run)
    assert changed_files(run) == ["network.py"]
