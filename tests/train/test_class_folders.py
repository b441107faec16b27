"""`folder:PATH`: images in class folders, what is made of them, and what is said when they are no data set."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from networks import ROOT
from PIL import Image
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data import folder as folder_reader
from cldfc.data.catalogue import find
from cldfc.data.class_folders import list_samples, look_at_folder
from cldfc.data.data_set import DataSet
from cldfc.data.images import ImageFiles, Images, Split, load_images
from cldfc.data.loader import Resident, Stream, open_loader
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.runs.prediction import read_image
from cldfc.training.metrics import read_epochs

CPU = Device("cpu", False)
SMALL = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
TIMED = {"seconds", "images_per_second"}
TRAIN = ["train", str(ROOT / "specs" / "fbresnet.cldf"), *SMALL, "--data", "folder:flowers", "--batch", "4"]


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes in the working directory: 5 + 4 coloured images of 8 × 8 to train on, 3 + 2 to test on."""
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(7)
    for part, counts in {"train": (5, 4), "test": (3, 2)}.items():
        for name, count in zip(("rose", "Aster"), counts, strict=True):
            (tmp_path / "flowers" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "flowers" / part / name / f"{number}.png")
    return tmp_path / "flowers"


def dataset(channels: int = 3) -> DataSet:
    return find("folder:flowers", (channels, 8, 8))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# What is read


def test_the_folders_are_the_classes(flowers: Path) -> None:
    found = dataset()
    assert (found.classes, found.class_names, found.images) == (2, ("Aster", "rose"), (9, 5))
    assert found.split == ("Class folders: 9 training images of `flowers/train`, 5 test images of `flowers/test`.")


def test_the_order_is_that_of_torchvision(flowers: Path) -> None:
    (flowers / "train" / "rose" / "more").mkdir()
    shutil.copy(flowers / "train" / "rose" / "0.png", flowers / "train" / "rose" / "more" / "a.PNG")
    (flowers / "train" / "rose" / ".DS_Store").write_bytes(b"")
    other: Any = import_module("torchvision.datasets").ImageFolder(flowers / "train")
    assert [tuple(sample) for sample in list_samples(flowers / "train")] == other.samples
    assert list(look_at_folder(str(flowers)).classes) == other.classes


def test_a_folder_is_read_again_only_when_it_has_changed(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: read.append(str(path)) or scandir(path))
    classes = sorted(str(flowers / part / name) for part in ("train", "test") for name in ("rose", "Aster"))
    for folder in (*classes, flowers / "train", flowers / "test"):
        os.utime(folder, (1_000_000_000, 1_000_000_000))
    before = look_at_folder("flowers")
    assert len(read) == len(set(read)) == 6
    read.clear()
    assert look_at_folder("flowers") == before and read == []
    (flowers / "train" / "rose" / "0.png").rename(flowers / "train" / "rose" / "9.png")
    assert look_at_folder("flowers").fingerprint != before.fingerprint
    # A folder that has just been changed is always read: another change may leave its time as it is.
    found = os.stat(flowers / "train" / "rose")
    (flowers / "train" / "rose" / "8.png").touch()
    os.utime(flowers / "train" / "rose", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert look_at_folder("flowers").images == (10, 5) and set(read) == {"flowers/train/rose"}


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (1, "L")])
def test_images_of_the_size_of_the_input_lie_in_memory_as_they_are(flowers: Path, channels: int, mode: str) -> None:
    Image.open(flowers / "train" / "rose" / "0.png").convert("L").save(flowers / "train" / "rose" / "0.png")
    Image.open(flowers / "train" / "rose" / "1.png").convert("P").save(flowers / "train" / "rose" / "1.png")
    split = load_images(dataset(channels), Path())
    assert isinstance(split, Split)
    for images, part in zip(split, ("train", "test"), strict=True):
        paths = [*sorted((flowers / part / "Aster").iterdir()), *sorted((flowers / part / "rose").iterdir())]
        pixels = [np.array(Image.open(path).convert(mode)).reshape(8, 8, channels) for path in paths]
        assert np.array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), np.stack(pixels))
        assert images.labels.tolist() == [int(path.parent.name == "rose") for path in paths]
    assert isinstance(open_loader(dataset(channels), dataset().recipe, CPU, Path()), Resident)


@pytest.mark.parametrize("channels", [3, 1])
def test_images_of_another_size_are_read_and_cut_as_they_are_needed(flowers: Path, channels: int) -> None:
    Image.new("RGB", (20, 12), (255, 0, 0)).save(flowers / "test" / "rose" / "9.png")
    loader = open_loader(dataset(channels), dataset().recipe, CPU, Path())
    assert isinstance(loader, Stream)
    (test,) = loader.test_batches()
    assert test.pixels.shape == (6, channels, 8, 8) and test.labels.tolist() == [0, 0, 1, 1, 1, 1]
    # A red square is 255, 0, 0, or its luminance 0.299 · 255.
    wanted = [255, 0, 0] if channels == 3 else [76]
    assert test.pixels[-1].float().mean((1, 2)).tolist() == wanted
    (train,) = loader.train_batches(1)
    assert train.pixels.shape == (9, channels, 8, 8)


def test_each_image_is_prepared_by_its_own_size(flowers: Path) -> None:
    """One image of another size changes nothing for the others: they are shifted and mirrored, and tested whole."""
    resident = open_loader(dataset(), dataset().recipe, CPU, Path())
    (before,) = resident.test_batches()
    shifts = {tuple(pixels.flatten().tolist()) for pixels in all_shifts(load_images(dataset(), Path()).train)}
    Image.new("RGB", (20, 12), (255, 0, 0)).save(flowers / "test" / "rose" / "9.png")
    Image.new("RGB", (20, 12), (255, 0, 0)).save(flowers / "train" / "rose" / "9.png")
    loader = open_loader(dataset(), dataset().recipe, CPU, Path())
    assert isinstance(loader, Stream)
    (test,) = loader.test_batches()
    assert torch.equal(test.pixels[:-1], before.pixels)
    for epoch in (1, 2):
        (train,) = loader.train_batches(epoch)
        seen = [tuple(pixels.flatten().tolist()) for pixels in train.pixels]
        assert sum(pixels in shifts for pixels in seen) == 9 and len(seen) == 10


def all_shifts(images: Images) -> list[torch.Tensor]:
    """The images by up to four pixels in each direction, in a frame of zeros, and their mirror images."""
    framed = torch.nn.functional.pad(images.pixels, (4, 4, 4, 4))
    parts = [framed[:, :, y : y + 8, x : x + 8] for y in range(9) for x in range(9)]
    return [image for part in parts for each in (part, part.flip(3)) for image in each]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8), (3, 16, 24), (3, 9, 5)])
def test_an_image_is_predicted_as_it_is_tested(flowers: Path, shape: tuple[int, int, int]) -> None:
    for number, size in enumerate([(20, 12), (5, 50), (24, 16), (5, 9), (9, 5)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 4)).astype(np.uint8)
        Image.fromarray(pixels, "RGBA").save(flowers / "test" / "rose" / f"{5 + number}.png")
    found = find("folder:flowers", shape)
    (test,) = open_loader(found, found.recipe, CPU, Path()).test_batches()
    samples = list_samples(flowers / "test")
    assert len(samples) == len(test.pixels) == 10
    for sample, pixels in zip(samples, test.pixels, strict=True):
        assert torch.equal(read_image(Path(sample.path), found), pixels)


def test_images_that_would_fill_the_memory_are_read_as_they_are_needed(
    flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_of_all = 14 * 3 * 8 * 8
    monkeypatch.setattr(folder_reader, "MOST_BYTES", bytes_of_all)
    assert isinstance(load_images(dataset(), Path()), Split)
    monkeypatch.setattr(folder_reader, "MOST_BYTES", bytes_of_all - 1)
    assert isinstance(load_images(dataset(), Path()), ImageFiles)


def test_test_images_may_lie_in_val(flowers: Path) -> None:
    split = load_images(dataset(), Path())
    (flowers / "test").rename(flowers / "val")
    again = load_images(dataset(), Path())
    assert torch.equal(split.test.pixels, again.test.pixels)
    shutil.copytree(flowers / "val", flowers / "test")
    assert "`flowers/test`" in dataset().split


# From the command line


def test_it_trains_is_evaluated_and_goes_on(flowers: Path) -> None:
    """The spec's input is 3 × 32 × 32; what is compiled is for the folder's number of classes."""
    trained = run(*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o", "runs/a")
    assert trained.exit_code == 0, trained.output
    record = json.loads(Path("runs/a/recipe.json").read_text())
    assert record["dataset"] == "folder:flowers" and record["class_names"] == ["Aster", "rose"]
    assert (record["input_shape"], record["classes"]) == ([3, 8, 8], 2)
    assert record["mean"] == list(find("imagenet").mean) and record["std"] == list(find("imagenet").std)
    assert "as recorded" in run("eval", "runs/a").output
    resumed = run("train", "--resume", "runs/a", "--epochs", "2")
    assert resumed.exit_code == 0, resumed.output
    whole = run(*TRAIN, "--input", "3x8x8", "--epochs", "2", "-o", "runs/b")
    assert whole.exit_code == 0, whole.output
    one, other = (read_epochs(Path(f"runs/{name}/metrics.csv")) for name in "ab")
    assert len(one) == 2
    for epoch, same in zip(one, other, strict=True):
        assert epoch.model_dump(exclude=TIMED) == same.model_dump(exclude=TIMED)


def test_the_input_of_the_spec_is_the_size(flowers: Path) -> None:
    planned = json.loads(run(*TRAIN, "--dry-run", "--json").output)
    assert planned["data"] == "folder:flowers" and planned["missing"] == []
    assert planned["folder"] == "runs/FBResNet-flowers-1"
    assert planned["steps_per_epoch"] == 2
    refused = run(*TRAIN, "--classes", "3")
    assert refused.exit_code == 2 and "the images of `folder:flowers` are 3×32×32, in 2 classes" in refused.output
    refused = run(*TRAIN, "--input", "2x8x8")
    assert refused.exit_code == 2 and "have 1 or 3 channels, and the network wants 2" in refused.output


def test_a_folder_that_has_changed_since_it_was_trained_on(flowers: Path) -> None:
    assert run(*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o", "run").exit_code == 0
    shutil.copy(flowers / "train" / "rose" / "0.png", flowers / "train" / "rose" / "another.png")
    resumed = run("train", "--resume", "run", "--epochs", "2")
    said = "warning: `folder:flowers` holds other images than the run was trained on: there are other files in `rose`\n"
    assert resumed.exit_code == 0 and said in resumed.stderr
    assert said in run("eval", "run").stderr
    for part in ("train", "test"):
        shutil.copytree(flowers / part / "rose", flowers / part / "tulip")
    for command in (["eval", "run"], ["train", "--resume", "run"]):
        refused = run(*command)
        assert refused.exit_code == 2 and "has other classes now than when the run was trained: tulip" in refused.output
    shutil.rmtree(flowers)
    for command in (["eval", "run"], ["train", "--resume", "run"]):
        refused = run(*command)
        assert refused.exit_code == 2 and "there is no folder `flowers`; the working directory is" in refused.output


def exchange(folder: Path, one: str, other: str) -> None:
    """Let two class folders change their names."""
    for part in ("train", "test"):
        (folder / part / one).rename(folder / part / "between")
        (folder / part / other).rename(folder / part / one)
        (folder / part / "between").rename(folder / part / other)


def test_classes_that_were_exchanged_or_renamed_are_noticed(flowers: Path) -> None:
    """Also where all files have the same names and sizes."""
    for part, (number, name) in product(("train", "test"), enumerate(("rose", "Aster"))):
        for path in (flowers / part / name).iterdir():
            path.unlink()
        for place in range(3):
            pixels = np.random.default_rng((number, place)).integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(flowers / part / name / f"{place}.bmp")
    assert run(*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o", "run").exit_code == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    exchange(flowers, "rose", "Aster")
    image = str(flowers / "test" / "rose" / "0.bmp")
    said = "`Aster` holds what `rose` held; `rose` holds what `Aster` held\n"
    for command in (["eval", "run"], ["train", "--resume", "run"], ["eval", "run", "--data", f"folder:{flowers}"]):
        refused = run(*command)
        assert refused.exit_code == 2 and said in refused.stderr and not refused.stdout
    for command in (["predict", "run", image], ["export", "run", "--safetensors"]):
        warned = run(*command)
        assert (
            warned.exit_code == 0 and f"warning: `folder:flowers` holds other images {OTHERS}: {said}" in warned.stderr
        )
    exchange(flowers, "rose", "Aster")
    for command in (["eval", "run"], ["predict", "run", image]):
        assert run(*command).exit_code == 0 and not run(*command).stderr
    for part in ("train", "test"):
        (flowers / part / "rose").rename(flowers / part / "tulip")
    for command in (["eval", "run"], ["train", "--resume", "run"]):
        refused = run(*command)
        assert refused.exit_code == 2 and "has other classes now than when the run was trained: rose, tulip" in (
            refused.stderr
        )
    assert "`tulip` holds what `rose` held" in run("predict", "run", image.replace("rose", "tulip")).stderr
    assert before == {path: path.read_bytes() for path in before}


OTHERS = "than the run was trained on"


def test_images_that_have_moved_are_named_anew(flowers: Path) -> None:
    train = [*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o"]
    assert run(*train, "run").exit_code == run(*train, "whole").exit_code == 0
    flowers.rename("petals")
    for command in (["eval", "run"], ["train", "--resume", "run", "--epochs", "2"]):
        refused = run(*command)
        assert refused.exit_code == 2 and "`--data folder:PATH` says where they are" in refused.stderr
        again = run(*command, "--data", "folder:petals")
        assert again.exit_code == 0 and "warning" not in again.stderr
        assert command[0] == "train" or "as recorded in epoch 1" in again.stdout
    # It is now recorded, and nothing else is another than without the move.
    assert "`petals/train`" in run("eval", "run").stdout and run("eval", "run").exit_code == 0
    Path("petals").rename("flowers")
    assert run("train", "--resume", "whole", "--epochs", "2").exit_code == 0
    assert Path("run/best.safetensors").read_bytes() == Path("whole/best.safetensors").read_bytes()
    records = [json.loads(Path(name, "recipe.json").read_text()) for name in ("run", "whole")]
    assert {name for name in records[0] if records[0][name] != records[1][name]} == {"dataset", "split"}
    shutil.copytree("flowers", "others")
    (Path("others") / "train" / "rose" / "0.png").unlink()
    refused = run("train", "--resume", "whole", "--data", "folder:others")
    assert refused.exit_code == 2
    assert "`folder:others` does not hold the images that the run was trained on: there are other files in `rose`" in (
        refused.stderr
    )
    # To be tested on, they are another data set.
    tested = run("eval", "whole", "--data", "folder:others")
    assert tested.exit_code == 0 and f"`folder:others` holds other images {OTHERS}" in tested.stderr
    assert "recorded" not in tested.stdout
    exchange(Path("others"), "rose", "Aster")
    refused = run("eval", "whole", "--data", "folder:others")
    assert refused.exit_code == 2 and "in other classes: `rose` holds what `Aster` held" in refused.stderr
    shutil.copytree(Path("flowers", "train"), "undivided")
    refused = run("eval", "whole", "--data", "folder:undivided")
    assert refused.exit_code == 2 and "the split is random" in refused.stderr
    exchange(Path("others"), "rose", "Aster")
    for part in ("train", "test"):
        Path("others", part, "rose").rename(Path("others", part, "tulip"))
    refused = run("eval", "whole", "--data", "folder:others")
    assert refused.exit_code == 2 and "has other classes now than when the run was trained: rose, tulip" in (
        refused.stderr
    )


def spoil(flowers: Path) -> None:
    """Three bad files: no image, one without its end, and one that is damaged within."""
    (flowers / "train" / "rose" / "0.png").write_text("red")
    whole = (flowers / "train" / "Aster" / "1.png").read_bytes()
    (flowers / "train" / "Aster" / "1.png").write_bytes(whole[:80])
    (flowers / "test" / "rose" / "2.png").write_bytes(whole[:60] + bytes(60) + whole[120:])


def test_all_bad_files_are_named_before_the_first_step(flowers: Path) -> None:
    spoil(flowers)
    refused = run(*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o", "runs/a")
    assert refused.exit_code == 2 and not Path("runs/a").exists()
    assert "cannot read 2 images:\n  `flowers/train/Aster/1.png`: " in refused.output
    assert "\n  `flowers/train/rose/0.png`: it is not an image" in refused.output
    assert "`--skip-unreadable` trains without such files" in refused.output
    (flowers / "train" / "rose" / "0.png").unlink()
    (flowers / "train" / "Aster" / "1.png").unlink()
    # What is damaged within is found when it is decoded.
    refused = run(*TRAIN, "--input", "3x8x8", "--epochs", "1", "-o", "runs/a")
    assert refused.exit_code == 2 and "cannot read the image `flowers/test/rose/2.png`" in refused.output


def test_a_training_goes_on_without_bad_files(flowers: Path) -> None:
    spoil(flowers)
    train = [*TRAIN, "--input", "3x8x8", "--epochs", "1", "--skip-unreadable"]
    planned = json.loads(run(*train, "--dry-run", "--json").stdout)
    sentence = (
        "Class folders: 9 training images of `flowers/train`, 5 test images of `flowers/test`. Of these, 3 "
        "cannot be read and are left out: `test/rose/2.png`, `train/Aster/1.png`, `train/rose/0.png`."
    )
    assert planned["split"] == sentence
    trained = run(*train, "-o", "runs/a")
    assert trained.exit_code == 0, trained.output
    assert "left out: `flowers/train/rose/0.png`: it is not an image" in trained.output
    record = json.loads(Path("runs/a/recipe.json").read_text())
    assert record["split"] == sentence
    assert record["skipped_files"] == ["train/Aster/1.png", "train/rose/0.png", "test/rose/2.png"]
    assert "as recorded" in run("eval", "runs/a").output
    resumed = run("train", "--resume", "runs/a", "--epochs", "2")
    assert resumed.exit_code == 0 and "the images are others" not in resumed.output, resumed.output
    for path in (flowers / "test" / "Aster").iterdir():
        path.write_text("blue")
    refused = run(*train, "-o", "runs/b")
    assert refused.exit_code == 2 and "no test image of the class `Aster` can be read" in refused.output
    refused = run(*TRAIN[:-4], "--data", "digits", "--skip-unreadable")
    assert refused.exit_code == 2 and "`digits` has no class folders" in refused.output


def test_hidden_folders_are_passed_over_and_a_link_that_leads_back_is_refused(flowers: Path) -> None:
    before = dataset().images
    for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX"):
        shutil.copytree(flowers / "test" / "rose", flowers / "train" / "rose" / name)
        shutil.copytree(flowers / "test" / "rose", flowers / "train" / "rose" / "more" / name)
        shutil.copytree(flowers / "test" / "rose", flowers / "train" / name)
    assert dataset().images == before and dataset().classes == 2
    (flowers / "train" / "rose" / "more" / "again").symlink_to(flowers / "train", target_is_directory=True)
    with pytest.raises(UsageError, match="`flowers/train/rose/more/again` is a link to a folder that it lies in"):
        dataset()


def test_all_files_that_are_no_images_by_their_names_are_named(flowers: Path) -> None:
    for number in range(7):
        (flowers / "train" / "rose" / f"{number}.txt").write_text("red")
    with pytest.raises(UsageError, match=r"rose/0.txt` is not an image file, nor are 6 more: `.*1.txt`, .*4.txt`, …"):
        dataset()


# What is no data set


def remove_images(folder: Path) -> None:
    for path in (folder / "train" / "rose").iterdir():
        path.unlink()


def deep(folder: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(folder / "train" / "rose" / "0.png")


WRONG: list[tuple[Callable[[Path], object], str, str]] = [
    (shutil.rmtree, "there is no folder `flowers`", "`PATH/train/CLASS/*.png`"),
    (lambda f: shutil.rmtree(f / "train"), "`flowers` has no folder `train`", "`flowers/train/CLASS/*.png`"),
    (lambda f: shutil.rmtree(f / "test"), "`flowers` has no folder `test`", "or `val` in place of `test`"),
    (
        lambda f: [shutil.rmtree(f / "train" / name) for name in ("rose", "Aster")],
        "`flowers/train` has no class folders",
        "a folder for each class",
    ),
    (
        lambda f: [shutil.rmtree(f / part / "rose") for part in ("train", "test")],
        "`flowers/train` has only the class `Aster`",
        "at least two",
    ),
    (
        lambda f: shutil.rmtree(f / "test" / "rose"),
        "the class `rose` is in `flowers/train` and not in `flowers/test`",
        "make the folder `flowers/test/rose`",
    ),
    (
        lambda f: shutil.copytree(f / "test" / "rose", f / "test" / "tulip"),
        "the class `tulip` is in `flowers/test` and not in `flowers/train`",
        "make the folder `flowers/train/tulip`",
    ),
    (remove_images, "`flowers/train/rose` holds no images", ".png"),
    (
        lambda f: (f / "train" / "rose" / "notes.txt").write_text("red"),
        "`flowers/train/rose/notes.txt` is not an image file",
        "keep it elsewhere",
    ),
    (
        lambda f: (f / "train" / "rose" / "0.png").write_text("red"),
        "cannot read the image `flowers/train/rose/0.png`",
        "mend the file, or keep it elsewhere",
    ),
    (
        lambda f: (f / "test" / "rose" / "0.png").write_bytes((f / "test" / "rose" / "0.png").read_bytes()[:80]),
        "cannot read the image `flowers/test/rose/0.png`",
        "mend the file, or keep it elsewhere",
    ),
    (deep, "`flowers/train/rose/0.png`: it has more than 8 bits in a channel", "mend the file, or keep it elsewhere"),
]


def test_a_folder_named_without_its_prefix_is_recognised(flowers: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find("flowers")
    assert "there is no data set `flowers`" in caught.value.message and "`folder:flowers`" in caught.value.help


@pytest.mark.parametrize(("change", "message", "help"), WRONG)
def test_what_is_no_data_set(flowers: Path, change: Callable[[Path], object], message: str, help: str) -> None:
    change(flowers)
    with pytest.raises(UsageError) as caught:
        load_images(dataset(), Path())
    assert message in caught.value.message and help in caught.value.help


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("folder:", (3, 8, 8), "there is no folder ``"),
        ("folder:x", None, "the images of `folder:x` have no size of their own"),
        ("folder:~nobody-of-this-name/x", (3, 8, 8), "there is no folder"),
        (f"folder:{'x' * 300}", (3, 8, 8), "cannot read `x.*: File name too long"),
    ],
)
def test_a_name_that_means_no_folder(name: str, shape: tuple[int, int, int] | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find(name, shape)


def test_a_folder_that_may_not_be_read(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for somebody who is not root."""
    scandir = os.scandir

    def forbidden(path: str) -> Any:
        if str(path).endswith("rose"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UsageError, match=r"cannot read `flowers/train/rose`: Permission denied"):
        dataset()
