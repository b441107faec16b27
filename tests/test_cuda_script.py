"""`make cuda` without a CUDA device: what is skipped, a rehearsal, and parts that crash, hang or take too long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from networks import ROOT, only_in_fuzz
from program import Program

from benchmarks import cuda
from benchmarks.cuda_parts.tables import tables

COMMAND = [sys.executable, str(ROOT / "benchmarks" / "cuda.py")]

# A stand-in for the processes of the parts. Of the items a to e it does a, crashes in b, fails in c, and hangs in d.
PARTS = """
import argparse, json, os, sys, time

parser = argparse.ArgumentParser()
for name in ("--work-on", "--until", "--done", "--data-dir", "--device"):
    parser.add_argument(name)
given = parser.parse_args()

def say(said):
    print(json.dumps(said), flush=True)

if given.work_on == "probe":
    machine = {"missing": [], "missing_of": {"training": ["pytest"]}, "torch": "9.9", "cuda": True, "device": "Card"}
    say({"item": "machine", "values": machine})
elif given.work_on == "speed":
    say({"begin": "long"})
    say({"update": "long", "values": {"epochs": 3, "planned": 60, "test_accuracy": 0.9}})
    time.sleep(99)
else:
    for name in "abcde":
        if name in json.loads(given.done):
            continue
        say({"begin": name})
        if name == "b":
            print("the device has left", file=sys.stderr)
            os._exit(3)
        if name == "d":
            time.sleep(99)
        say({"item": name, "values": {"error": "AssertionError: far off"} if name == "c" else {}})
say("ended")
"""


def options(tmp_path: Path, **changes: object) -> Namespace:
    given = {"device": None, "data_dir": tmp_path, "wheels": None, "parts": cuda.PARTS}
    return Namespace(**{**given, **changes})


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "parts.py"
    script.write_text(PARTS)
    monkeypatch.setattr(cuda, "SCRIPT", script)
    return script


@only_in_fuzz
def test_without_a_device_everything_is_skipped(tmp_path: Path) -> None:
    """By the command itself; figures that are there already stay."""
    (tmp_path / "cuda.json").write_text("mine")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(COMMAND, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    for part in cuda.PARTS:
        assert f"{part}: skipped: torch finds no CUDA device" in done.stdout
    record = json.loads((tmp_path / "cuda-2.json").read_text())
    assert {found["state"] for found in record["parts"].values()} == {"skipped"}
    assert record["machine"]["torch"] == torch.__version__
    assert (tmp_path / "cuda.json").read_text() == "mine" and not list(tmp_path.glob(".*"))


def work_in_a_copy(
    part: str, found: cuda.Record, options: Namespace, environment: dict[str, str], log: Path, until: float
) -> tuple[str, str]:
    """As `cuda.run_process`, but the process need not load torch."""
    ended = Program(*cuda.words_of(part, found, options, until), script=cuda.SCRIPT, **environment).end()
    assert ended.returncode == 0, ended.stderr
    *said, last = map(json.loads, ended.stdout.splitlines())
    for word in said:
        cuda.note(found, word, "")
    return last, ""


@pytest.mark.skipif("CLDFC_TORTURE" not in os.environ, reason="takes a minute: part of `make torture`")
def test_a_rehearsal_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every part, tiny: what runs on the day there is a device has run before."""
    words = ["--device", "cpu", "--minutes", "60", "--output", str(tmp_path / "figures.json")]
    monkeypatch.setattr(sys, "argv", ["cuda.py", *words])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(cuda, "run_process", work_in_a_copy)
    assert cuda.main() == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "figures.json").read_text())
    assert {found["state"] for found in record["parts"].values()} == {"done"}
    items = {part: found["items"] for part, found in record["parts"].items()}
    assert items["specs"]["lenet5"]["float64"] == {"output": 0.0, "gradient": 0.0, "output in evaluation": 0.0}
    assert "seconds" in items["tests"]["test_augmentation_is_that_of_the_cpu"]
    assert [
        set(found["images_per_second"]) for name, found in items["speed"].items() if name != "outside resnet18 16"
    ] == [
        {"loop", "launched", "bare", "plain", "good"},
        {"loop", "good, compiled", "loop, compiled"},
    ]
    assert set(items["training"]) == {
        f"{name}{end}" for name in ("preact18_Al", "preact18") for end in ("", ", 2 epochs")
    }
    assert "| resnet18 | 16 |" in printed and "a rehearsal on the CPU" in printed


def test_what_crashes_fails_and_hangs_does_not_end_the_rest(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cuda.PATIENCE, "specs", 1)
    found: cuda.Record = {"state": "not reached", "items": {}}
    cuda.run_part("specs", found, options(tmp_path), dict(os.environ), tmp_path, time.monotonic() + 60)
    assert found["state"] == "done" and found["items"]["a"] == found["items"]["e"] == {}
    assert found["items"]["b"]["error"] == "the process has ended with 3; its last lines:\nthe device has left"
    assert found["items"]["c"]["error"] == "AssertionError: far off"
    assert found["items"]["d"]["error"].startswith("no word for 1 s")
    record = {"machine": {}, "parts": {"specs": found}}
    assert cuda.has_failed(record)


def test_when_the_time_is_over_what_was_found_is_kept(tmp_path: Path, stand_in: Path) -> None:
    found: cuda.Record = {"state": "not reached", "items": {}}
    cuda.run_part("speed", found, options(tmp_path), dict(os.environ), tmp_path, time.monotonic() + 2)
    assert found["state"] == "cut short" and found["items"]["long"]["epochs"] == 3 and found["seconds"] < 20
    record = {"machine": {}, "commit": "", "started": "", "rehearsal": False, "parts": {"training": found}}
    assert "- long: cut short after 3 of 60 epochs, 90 %" in tables(record)
    assert not cuda.has_failed(record)


def test_a_part_that_does_not_begin(tmp_path: Path, stand_in: Path) -> None:
    stand_in.write_text("import sys; sys.exit('no module named so')")
    found: cuda.Record = {"state": "not reached", "items": {}}
    cuda.run_part("specs", found, options(tmp_path), dict(os.environ), tmp_path, time.monotonic() + 60)
    assert found["state"] == "failed" and found["error"].endswith("no module named so")


def test_sigterm_prints_the_tables_and_writes_the_figures(tmp_path: Path, stand_in: Path) -> None:
    start = (
        "import sys; from pathlib import Path; from benchmarks import cuda; "
        f"cuda.SCRIPT = Path({str(stand_in)!r}); sys.exit(cuda.main())"
    )
    command = [sys.executable, "-c", start, "--parts", "training", "speed", "--output", str(tmp_path / "cuda.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "speed: …\n":
            break
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    record = json.loads((tmp_path / "cuda.json").read_text())
    assert record["ended_by"] == "SIGTERM" and record["parts"]["speed"]["state"] == "cut short"
    assert record["parts"]["training"]["error"] == "pytest missing: give wheels by `--wheels DIR`"
    assert "Card; torch 9.9" in said and "### speed: cut short" in said and "ended by SIGTERM" in said


def test_wheels_that_fit_are_unpacked(tmp_path: Path) -> None:
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    fits = [
        "pure-1-py3-none-any",
        "both-1-py2.py3-none-any",
        f"built-1-{own}-{own}-manylinux_2_17_{os.uname().machine}.manylinux2014_{os.uname().machine}",
        f"stable-1-cp39-abi3-linux_{os.uname().machine}",
    ]
    others = ["old-1-py2-none-any", f"other-1-cp30-cp30-linux_{os.uname().machine}", f"far-1-{own}-{own}-win_amd64"]
    for name in (*fits, *others):
        with zipfile.ZipFile(tmp_path / f"{name}.whl", "w") as wheel:
            wheel.writestr(f"{name.partition('-')[0]}.py", "")
    environment = cuda.environment_of(options(tmp_path, wheels=tmp_path), tmp_path)
    assert {path.stem for path in (tmp_path / "wheels").iterdir()} == {"pure", "both", "built", "stable"}
    assert environment["PYTHONPATH"].split(os.pathsep)[:2] == [str(ROOT), str(tmp_path / "wheels")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--minutes", "0"], "minutes above 0"),
        (["--wheels", "nowhere"], "there is no folder"),
        (["--output", "nowhere/cuda.json"], "there is no folder"),
        (["--parts", "all"], "invalid choice: 'all'"),
    ],
    ids=str,
)
def test_wrong_options(tmp_path: Path, given: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *given], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr and not list(tmp_path.iterdir())
