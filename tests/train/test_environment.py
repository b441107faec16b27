"""What a run was trained with: releases, machine, and the commit of its spec."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from small_run import EVERY_STEP, kill, resume, train

import cldfc
from cldfc.diagnostics import UsageError
from cldfc.runs import environment
from cldfc.runs.environment import find_commit, read_environment
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.metrics import read_epochs


def git(folder: Path, *words: str) -> str:
    """Let git do something in a folder."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def spec(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A spec that is committed, in a folder of a repository."""
    file = tmp_path / "some where" / "net.cldf"
    file.parent.mkdir()
    file.write_text("model Net\n")
    git(tmp_path, "init", "--quiet", f"--object-format={request.param}")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return file


def test_the_commit_of_a_spec(spec: Path) -> None:
    found = find_commit([spec])
    assert found and found.commit == git(spec.parent, "rev-parse", "HEAD") and not found.is_changed
    assert found.in_words() == found.commit
    spec.write_bytes(b"model Net\r\n")
    found = find_commit([spec])
    assert found and not found.is_changed


def test_a_spec_that_is_not_as_it_was_committed(spec: Path) -> None:
    other = spec.with_name("other.cldf")
    other.write_text("model Other\n")
    found = find_commit([spec, other])
    assert found and found.is_changed, "a file that it extends is not committed"
    spec.write_text("model Net # changed\n")
    found = find_commit([spec])
    assert found and found.is_changed and found.in_words().startswith(f"{found.commit}, but")


def test_a_spec_that_is_reached_by_a_link(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("elsewhere") / "link.cldf"
    link.symlink_to(spec)
    found = find_commit([link])
    assert found and found.commit == git(spec.parent, "rev-parse", "HEAD") and not found.is_changed


def test_no_repository_no_commit_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "net.cldf"
    file.touch()
    assert find_commit([]) is None and find_commit([file]) is None
    git(tmp_path, "init", "--quiet")
    assert find_commit([file]) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_commit([file]) is None


def test_a_git_that_does_not_answer(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = spec.parent / "git"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spec.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(environment, "LIMIT", 0.2)
    assert find_commit([spec]) is None


def test_no_program_that_a_repository_names_is_started(spec: Path, tmp_path: Path) -> None:
    sign = tmp_path / "started"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{sign}'\ncat\n")
    program.chmod(0o755)
    for name in ("core.fsmonitor", "filter.bad.clean", "filter.bad.smudge", "diff.external", "core.pager"):
        git(tmp_path, "config", name, str(program))
    (tmp_path / ".gitattributes").write_text("*.cldf filter=bad\n")
    os.utime(spec, (0, 0))
    found = find_commit([spec])
    assert found and not found.is_changed and not sign.exists()
    git(tmp_path, "status")
    assert sign.exists(), "git itself would have started it"


def test_another_repository_in_the_environment_is_not_asked(
    spec: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert find_commit([spec]) is not None


def test_a_run_says_what_it_was_trained_with(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    folder = train(tmp_path / "run").folder
    (session,) = read_environment(folder / "environment.json").sessions
    assert before <= session.started <= datetime.now(UTC)
    assert (session.epoch, session.step, session.processes, session.threads) == (1, 0, 1, 1)
    assert session.python == platform.python_version() and session.platform == platform.platform()
    assert session.packages["torch"] == torch.__version__.partition("+")[0]
    assert session.packages["cldfc"] == cldfc.__version__
    assert session.commit is None


def test_a_session_is_added_where_a_run_goes_on(tmp_path: Path) -> None:
    folder = kill(tmp_path / "run", 2, 5, EVERY_STEP)
    torch.set_num_threads(2)
    try:
        resume(folder)
    finally:
        torch.set_num_threads(1)
    first, second = read_environment(folder / "environment.json").sessions
    assert (first.epoch, first.step, first.threads) == (1, 0, 1)
    assert (second.epoch, second.step, second.threads) == (2, 4, 2)
    report = (folder / "report.html").read_text()
    assert "in epoch 2 after step 4; threads 2 (was 1)</td>" in report


@pytest.mark.parametrize("content", ["", "{}x", '{"sessions": [{}]}', '{"session": []}'])
def test_a_file_that_holds_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "environment.json").write_text(content)
    with pytest.raises(UsageError, match="does not hold the environment") as caught:
        read_environment(tmp_path / "environment.json")
    assert "move it away" in caught.value.help


def make_older(checkpoint: Path) -> None:
    """Let a checkpoint be one of a release that measured less."""
    file, sums = checkpoint / "state.json", checkpoint / "SHA256SUMS"
    before = file.read_bytes()
    state = json.loads(before)
    for epoch in state["position"]["epochs"]:
        del epoch["lr"], epoch["images_per_second"]
    file.write_text(json.dumps(state))
    digests = (hashlib.sha256(data).hexdigest() for data in (before, file.read_bytes()))
    sums.write_text(sums.read_text().replace(*digests))


def test_a_run_of_an_older_release_goes_on(tmp_path: Path) -> None:
    folder = kill(tmp_path / "run", 3, 5, EVERY_STEP)
    (folder / "environment.json").unlink()
    for checkpoint in list_checkpoints(folder / "checkpoints"):
        make_older(checkpoint)
    warnings: list[str] = []
    resume(folder, warnings.append)
    assert warnings == []
    assert len(read_environment(folder / "environment.json").sessions) == 1
    epochs = read_epochs(folder / "metrics.csv")
    assert [epoch.lr is None for epoch in epochs] == [True, True, False, False]
    assert "Learning rate" not in (folder / "report.html").read_text()
