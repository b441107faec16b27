"""Links, pipes, devices and giants among the files of a run: nothing is written through them, nothing hangs."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_run import SMALL, resume, train

from cldfc.diagnostics import UsageError
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.listing import listed_runs
from cldfc.weights.network import read_tensors

FILES = ("spec.cldf", "recipe.json", "metrics.csv", "best.safetensors")
"""What is read of a run."""
WRITTEN = (*FILES, "network.py", "report.html", "environment.json", "diverged.txt", "checkpoints", "checkpoints/lock")


@pytest.fixture
def run(interrupted: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(interrupted, tmp_path / "runs" / "run")
    return tmp_path / "runs" / "run"


@pytest.mark.parametrize("name", [*WRITTEN, "tensorboard"])
def test_nobody_elses_file_is_written_through_a_link(run: Path, tmp_path: Path, name: str) -> None:
    place, mine = run / name, tmp_path / "mine"
    if place.exists():
        shutil.move(place, mine)
    elif name == "tensorboard":
        mine.mkdir()
    else:
        mine.write_text("mine\n")
    place.symlink_to(mine)
    before = {path: path.read_bytes() for path in (mine, *mine.rglob("*")) if path.is_file()}
    with pytest.raises(UsageError, match=f"{name}` cannot be written: it is a link"):
        resume(run)
    assert before == {path: path.read_bytes() for path in (mine, *mine.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("make", [os.link, os.symlink])
def test_a_link_to_nothing_and_a_lock_of_two_names_are_refused(
    run: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    lock, mine = run / "checkpoints" / "lock", tmp_path / "mine"
    lock.unlink()
    if make is os.link:
        mine.write_text("42\n")
    make(mine, lock)
    with pytest.raises(UsageError, match=r"lock` (cannot be written: it is a link|is not a lock)"):
        resume(run)
    assert not mine.exists() or mine.read_text() == "42\n"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(12 * 2**30)


@pytest.mark.parametrize("make", [pipe, device, folder, giant])
@pytest.mark.parametrize("name", FILES)
def test_only_regular_files_of_a_sane_size_are_read(run: Path, name: str, make: Callable[[Path], None]) -> None:
    shutil.copytree(run, run.with_name("other"))
    (run / name).unlink()
    make(run / name)
    first, second = listed_runs(run.parent)
    assert (first.path.name, second.path, second.state) == ("other", run, "broken")
    assert name in second.problem
    # What is measured stands in the checkpoint, too: a file of it is written anew.
    if (name, make) != ("metrics.csv", giant):
        with pytest.raises(UsageError, match=name):
            resume(run)
    with pytest.raises(UsageError, match=name):
        evaluate_run(run, lambda _spec, _record: SMALL)


@pytest.mark.parametrize("make", [pipe, device, folder, giant])
def test_a_lock_and_a_word_of_divergence_that_are_no_files(run: Path, make: Callable[[Path], None]) -> None:
    (run / "checkpoints" / "lock").unlink()
    make(run / "checkpoints" / "lock")
    (found,) = listed_runs(run.parent)
    assert found.state == "interrupted"
    with pytest.raises(UsageError, match="lock"):
        resume(run)
    make(run / "diverged.txt")
    (found,) = listed_runs(run.parent)
    assert found.state == "broken" and "diverged.txt" in found.problem


@pytest.mark.parametrize(
    "header",
    [
        '{"x":{"dtype":"F32","shape":[1%s],"data_offsets":[0,4]}}' % ("0" * 400),
        '{"x":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}}',
        '{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}',
        '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,1%s]}}' % ("0" * 400),
        '{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        '{"x":{"dtype":"F32","shape":[1],"data_offsets":[4]}}',
        '{"x":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}',
        "[" * 100_000,
    ],
    ids=range(8),
)
def test_weights_with_a_header_that_makes_no_sense(run: Path, header: str) -> None:
    weights = run / "best.safetensors"
    weights.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
    (found,) = listed_runs(run.parent)
    assert found.state == "broken" and found.problem == f"`{weights}` is not a safetensors file"
    with pytest.raises(UsageError, match="is not a safetensors file"):
        read_tensors(weights)


def test_headers_of_all_kinds_of_numbers_are_read(tmp_path: Path) -> None:
    kinds = (torch.bool, torch.uint8, torch.int64, torch.float64, torch.bfloat16, torch.float8_e4m3fn)
    tensors = {str(kind): torch.zeros(3, 2).to(kind) for kind in kinds}
    tensors |= {"none": torch.zeros(0, 3), "one": torch.zeros(())}
    save_file(tensors, tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors").keys() == tensors.keys()


def test_a_new_run_does_not_land_in_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        train(tmp_path / "run")
    assert not (tmp_path / "nowhere").exists()
