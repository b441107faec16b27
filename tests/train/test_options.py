"""Options of `cldfc train` and its relatives: devices, workers, names, the newest interrupted run, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import program
import pytest
import torch
from finished_run import cldfc
from networks import ROOT
from PIL import Image
from program import wait_for
from small_run import reached, resume, start_forked

from cldfc.data.catalogue import find
from cldfc.data.images import ImageFiles, load_images
from cldfc.data.loader import Stream
from cldfc.device import Device, choose_device, number_of, on_device
from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.lock import locked
from cldfc.runs.run_folder import RunFolder, folder_named
from cldfc.training.processes import together

SPEC = str(ROOT / "examples" / "01_one_iteration.cldf")
SHORT = ["--data", "fake:1x8x8:10", "--epochs", "1"]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A machine with two CUDA devices, as far as torch says; holds which one is made the current one."""
    made: list[object] = []

    class Current:
        def __init__(self, number: int) -> None:
            self.number = number

        def __enter__(self) -> None:
            made.append(self.number)

        def __exit__(self, *_: object) -> None:
            made.append("back")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "device", Current)
    return made


# Devices


def test_the_device_that_is_wished_for(two_devices: list[object]) -> None:
    assert choose_device() == choose_device(wished="cuda") == Device("cuda", True)
    assert choose_device(wished="cpu").kind == "cpu"
    second = choose_device(wished="cuda:1")
    assert second.torch == torch.device("cuda:1") and str(second) == "cuda:1, bfloat16 autocast, channels-last"
    assert two_devices == [1, "back"]
    with on_device("cuda:1"):
        assert two_devices[2:] == [1]
    assert two_devices[2:] == [1, "back"]
    with on_device("cpu"), on_device(None), on_device("cuda"):
        assert len(two_devices) == 4


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "CUDA", "", "cpu:0", "cuda:2"])
def test_a_device_that_is_not_there(two_devices: list[object], name: str) -> None:
    with pytest.raises(UsageError) as error:
        number_of(name)
    assert "`cpu`, `cuda`, `cuda:0`, `cuda:1`" in error.value.help


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_no_cuda_device_is_said_by_every_command() -> None:
    assert cldfc("train", SPEC, *SHORT, "--name", "run").exit_code == 0
    Image.new("L", (8, 8)).save("black.png")
    commands = [
        ["train", SPEC, *SHORT],
        ["train", SPEC, *SHORT, "--dry-run"],
        ["train", "--resume", "runs/run"],
        ["eval", "runs/run"],
        ["predict", "runs/run", "black.png"],
        ["reproduce", "table1", "--miniature", "--rows", "fbresnet-A-B", "--epochs", "1"],
    ]
    for command in commands:
        result = cldfc(*command, "--device", "cuda:1")
        assert result.exit_code == 2 and not result.stdout, command
        assert "there is no device `cuda:1` here: torch finds no CUDA device\n" in result.stderr
        assert "  = help: this machine has `cpu`\n" in result.stderr
    assert [path.name for path in Path("runs").iterdir()] == ["run"]
    for command in (["eval", "runs/run"], ["predict", "runs/run", "black.png"], ["train", "--resume", "runs/run"]):
        assert cldfc(*command, "--device", "cpu").exit_code == 0


def test_several_processes_have_devices_of_their_own(
    two_devices: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes cannot share `cuda:1`"), together("cuda:1"):
        pass


# Workers


def streamed(tmp_path: Path) -> Callable[[int | None], Stream]:
    """Class folders that so many workers read."""
    for part, count in (("train", 6), ("test", 3)):
        for name in ("a", "b"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (20, 12 + number), (40 * number, 7, 99)).save(
                    tmp_path / "data" / part / name / f"{number}.png"
                )
    dataset = find("folder:data", (3, 8, 8))
    files = load_images(dataset, tmp_path)
    assert isinstance(files, ImageFiles)
    recipe = change_recipe(dataset.recipe, {"batch": 4})
    return lambda workers: Stream(files, dataset, recipe, Device("cpu", False), workers=workers)


@pytest.mark.filterwarnings("error::UserWarning")
def test_workers_change_no_pixel(tmp_path: Path) -> None:
    seen: list[list[torch.Tensor]] = []
    made = streamed(tmp_path)
    for workers in (None, 0, 1, 3):
        stream = made(workers)
        seen.append([batch.pixels for batch in (*stream.train_batches(1), *stream.test_batches())])
    for other in seen[1:]:
        assert len(other) == len(seen[0]) and all(map(torch.equal, other, seen[0]))


def test_workers_live_through_epochs_and_no_longer(tmp_path: Path) -> None:
    """An epoch that is left in its midst, as where a number is not finite, disturbs none after it."""
    made = streamed(tmp_path)
    stream, alone = made(2), made(0)
    before = set(active_children())
    next(stream.train_batches(1))
    workers = set(active_children()) - before
    assert len(workers) == 2
    for epoch, first in ((2, 0), (3, 1), (1, 0)):
        left = stream.train_batches(epoch)
        next(left)
        for one, other in (
            (stream.train_batches(epoch, first), alone.train_batches(epoch, first)),
            (stream.test_batches(), alone.test_batches()),
        ):
            pairs = list(zip(one, other, strict=True))
            assert len(pairs) in (3 - first, 2)
            assert all(torch.equal(a.pixels, b.pixels) and torch.equal(a.labels, b.labels) for a, b in pairs)
        with pytest.raises(AssertionError, match="something else was asked for meanwhile"):
            next(left)
        assert set(active_children()) - before == workers
    del stream, one, left
    wait_for(lambda: not workers & set(active_children()))


def test_workers_that_change_nothing_are_remarked_on() -> None:
    result = cldfc("train", SPEC, *SHORT, "--name", "run", "--workers", "2")
    assert result.exit_code == 0
    assert "remark: `--workers` changes nothing: the images of `fake:1x8x8:10` lie in memory" in result.stderr
    assert cldfc("train", SPEC, *SHORT, "--workers", "-1").exit_code == 2


# Names


def test_a_run_has_the_name_that_it_is_given() -> None:
    planned = cldfc("train", SPEC, *SHORT, "--name", "ablation ν=2", "--dry-run", "--json")
    assert json.loads(planned.stdout)["folder"] == "runs/ablation ν=2" and not Path("runs").exists()
    result = cldfc("train", SPEC, *SHORT, "--name", "ablation ν=2", "--quiet")
    assert result.stdout == "runs/ablation ν=2\n"
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    again = cldfc("train", SPEC, *SHORT, "--name", "ablation ν=2")
    assert again.exit_code == 2 and "`runs/ablation ν=2` exists already" in again.stderr and "--name" in again.stderr
    assert before == {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    for command in ((SPEC, *SHORT, "-o", "x", "--name", "y"), ("--resume", "runs/ablation ν=2", "--name", "y")):
        assert cldfc("train", *command).exit_code == 2


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "a\nb", "a\x1b[0m", "-a", ".a", "a" * 201, "a\0", "\udcff"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a run"):
        folder_named(name)


# Which run is meant


@pytest.fixture
def runs(interrupted: Path) -> Path:
    """Interrupted runs in `runs`, written an hour apart; `new` is the newest."""
    for hours, name in enumerate(("new", "old", "older")):
        shutil.copytree(interrupted, Path("runs", name))
        for path in Path("runs", name).iterdir():
            os.utime(path, times=(2e9 - 3600 * hours,) * 2)
    return Path("runs")


def newest() -> str:
    """What is said of `--resume` alone; the run has no spec that a command could go on with."""
    result = cldfc("train", "--resume")
    assert result.exit_code in (1, 2)
    return result.stderr


def test_the_newest_interrupted_run_is_resumed_and_named(runs: Path) -> None:
    assert newest().startswith("going on with runs/new\n")
    resume(runs / "new")
    os.utime(runs / "new" / "metrics.csv", times=(2e9 + 9,) * 2)
    assert newest().startswith("going on with runs/old\n")


def test_a_run_of_the_command_line_goes_on() -> None:
    options = [SPEC, "--data", "fake:1x8x8:10", "--epochs", "2"]
    assert cldfc("train", *options, "-o", "whole").exit_code == 0
    shutil.copytree("whole", "runs/half")
    for path in Path("runs/half/checkpoints").glob("epoch-00003*"):
        shutil.rmtree(path)
    Path("runs/half/metrics.csv").unlink()
    result = cldfc("train", "--resume", "--quiet")
    assert result.stdout == "runs/half\n" and result.stderr.startswith("going on with runs/half\n")
    assert reached(Path("runs/half")) == reached(Path("whole"))
    again = cldfc("train", "--resume")
    assert again.exit_code == 2 and "`runs` has no interrupted run" in again.stderr


def test_two_that_were_stopped_together_are_refused(runs: Path) -> None:
    for path in (runs / "old").iterdir():
        os.utime(path, times=(2e9,) * 2)
    assert "were stopped at the same time" in newest() and "name one: `--resume runs/" in newest()


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")
def test_a_run_in_which_another_process_trains_is_not_taken(runs: Path) -> None:
    def hold() -> None:
        with locked(RunFolder(runs / "new")):
            Path("held").touch()
            signal.pause()

    process = start_forked(hold)
    try:
        while not Path("held").exists():
            assert process.is_alive()
        assert newest().startswith("going on with runs/old\n")
        for name in ("old", "older"):
            shutil.rmtree(runs / name)
        assert "has no interrupted run: `runs/new` is in use, another process trains there" in newest()
    finally:
        process.kill()
        process.join()


def test_without_runs_and_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "`runs` has no interrupted run" in newest()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "several processes cannot look for a run" in newest()


def test_paths_that_are_no_run_say_which_is_meant(interrupted: Path) -> None:
    shutil.copytree(interrupted, "runs/FBResNet-digits-1")
    Path("empty").mkdir()
    run = "runs/FBResNet-digits-1"
    for path, message, help in (
        (f"{run}/best.safetensors", "is in the folder of a run", f"give the folder: `{run}`"),
        (f"{run}/checkpoints", "is in the folder of a run", f"give the folder: `{run}`"),
        (f"{run}/none", "is in the folder of a run", f"give the folder: `{run}`"),
        ("runs/FBResNet-digit-1", "there is no folder `runs/FBResNet-digit-1`", f"did you mean `{run}`?"),
        ("runs", "is not a run folder: it holds 1 run", f"give `{run}`"),
        ("empty", "`empty` is not a run folder: it has no `recipe.json`", "as `cldfc train` leaves it behind"),
        ("nowhere/x", "there is no folder `nowhere/x`", "`cldfc runs` lists those"),
    ):
        commands = [["eval", path], ["predict", path, "x.png"], ["export", path, "--onnx"], ["train", "--resume", path]]
        if "best" in path:
            commands.append(["runs", path])
        for command in commands:
            result = cldfc(*command)
            assert result.exit_code == 2 and not result.stdout
            assert message in result.stderr and help in result.stderr, (command, result.stderr)


# A stem for small images on large ones


@pytest.mark.parametrize(
    ("spec", "options", "like"),
    [
        ("preact18_Al", ["--data", "imagenet"], "imagenet/preact18_Al"),
        ("fbresnet", ["--data", "imagenet"], "imagenet/resnet18"),
        ("preact18", ["--data", "folder:photos", "--input", "3x160x160"], "imagenet/preact18"),
        ("preact18", ["--data", "folder:photos", "--input", "3x64x64"], None),
        ("preact18", ["--data", "cifar10"], None),
        ("imagenet/preact18", ["--data", "imagenet"], None),
        ("imagenet/vgg11", ["--data", "imagenet"], None),
    ],
)
def test_a_stem_for_small_images_is_remarked_on(spec: str, options: list[str], like: str | None) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            Path("photos", part, name).mkdir(parents=True)
            Image.new("RGB", (9, 9)).save(Path("photos", part, name, "1.png"))
    result = cldfc("train", spec, *options, "--dry-run")
    assert result.exit_code == 0
    if like is None:
        assert not result.stderr
    else:
        assert "with a 3×3 kernel at stride 1" in result.stderr and f"such as `{like}`\n" in result.stderr
        assert not cldfc("train", spec, *options, "--dry-run", "--quiet").stderr


# Exit codes


def code_of(*arguments: object) -> int:
    """What a shell sees."""
    return program.cldfc(*arguments).returncode


def test_exit_codes_are_those_of_the_page(tmp_path: Path) -> None:
    """The codes of signals are seen in test_stop."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    rows = [line.split("|")[1].strip() for line in page.partition("Errors")[0].splitlines() if line.startswith("| ")]
    assert rows[1:] == ["0", "1", "2", "3", "130", "143"]
    wrong, changed = tmp_path / "wrong.cldf", tmp_path / "changed.py"
    wrong.write_text(Path(SPEC).read_text(encoding="utf-8").replace("A *", "Q *"), encoding="utf-8")
    (tmp_path / "loose.cldf").write_text("model  X\n")
    assert cldfc("compile", SPEC, "-o", changed).exit_code == 0
    changed.write_text(changed.read_text(encoding="utf-8").replace("r - ", "r + "), encoding="utf-8")
    found = {
        "fine": code_of("check", SPEC),
        "help": cldfc("train", "--help").exit_code,
        "a wrong spec": code_of("check", wrong),
        "a wrong spec, trained": cldfc("train", wrong, *SHORT).exit_code,
        "a format": cldfc("fmt", "--check", tmp_path / "loose.cldf").exit_code,
        "a difference": cldfc("verify", SPEC, changed).exit_code,
        "no such command": code_of("chek"),
        "no such option": cldfc("check", SPEC, "--jsn").exit_code,
        "nothing": cldfc().exit_code,
        "no such file": cldfc("check", "no_such.cldf").exit_code,
        "--let": cldfc("check", SPEC, "--let", "q = 3").exit_code,
        "no run": cldfc("eval", tmp_path).exit_code,
        "no data": cldfc("train", SPEC, "--data", "cifar10", "--input", "3x32x32").exit_code,
        "no accuracy": cldfc("reproduce", "table1", "--data-dir", tmp_path).exit_code,
        "diverged": cldfc("train", SPEC, *SHORT, "--lr", "1e37", "--clip", "1e30").exit_code,
    }
    fine = {"fine", "help"}
    wrong_spec = {"a wrong spec", "a wrong spec, trained", "a format", "a difference"}
    assert found == {name: 0 if name in fine else 1 if name in wrong_spec else 2 for name in found}
