"""`idx:PATH`: IDX files of any kind of images, and what is said when they are no data set."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import ROOT, only_in_fuzz
from published_files import CHANCE, Bytes, gzipped, plain
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.images import load_images
from cldfc.diagnostics import UsageError

SMALL = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8"]
TRAIN = ["train", str(ROOT / "specs" / "fbresnet.cldf"), *SMALL, "--epochs", "1", "--batch", "4"]


def pixels(*shape: int) -> Bytes:
    return CHANCE.integers(0, 256, shape).astype(np.uint8)


def labels(*values: int) -> Bytes:
    return np.array(values, np.uint8)


ARRAYS = {
    "train-images-idx3-ubyte": pixels(8, 6, 5),
    "train-labels-idx1-ubyte": labels(0, 1, 2, 0, 1, 2, 0, 1),
    "t10k-images-idx3-ubyte": pixels(4, 6, 5),
    "t10k-labels-idx1-ubyte": labels(2, 1, 0, 1),
}


def write(folder: Path, arrays: dict[str, Bytes]) -> None:
    """Files of the arrays; gzipped, where the name ends so."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(gzipped(plain(array)) if name.endswith(".gz") else plain(array))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set in the working directory."""
    monkeypatch.chdir(tmp_path)
    write(Path("small"), ARRAYS)
    return Path("small")


def renamed(change: Callable[[str], str], arrays: dict[str, Bytes] = ARRAYS) -> dict[str, Bytes]:
    return {change(name): array for name, array in arrays.items()}


def read(name: str) -> tuple[DataSet, list[Any]]:
    dataset = find(name)
    train, test = load_images(dataset, Path("nowhere"))
    return dataset, [train.pixels.numpy(), train.labels.numpy(), test.pixels.numpy(), test.labels.numpy()]


@pytest.mark.parametrize(
    "change",
    [
        str,
        lambda name: f"{name}.gz",
        lambda name: name.replace("t10k", "test"),
        lambda name: f"emnist-letters-{name.replace('t10k', 'test')}.gz",
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"{name}.gz" if "images" in name else name,
    ],
)
def test_files_are_found_and_measured(tmp_path: Path, change: Callable[[str], str]) -> None:
    write(tmp_path, renamed(change))
    dataset, found = read(f"idx:{tmp_path}")
    for one, other in zip(found, ARRAYS.values(), strict=True):
        assert np.array_equal(one.squeeze(1) if one.ndim == 4 else one, other)
    images = ARRAYS["train-images-idx3-ubyte"]
    assert (dataset.shape, dataset.classes, dataset.class_names, dataset.images) == ((1, 6, 5), 3, (), (8, 4))
    assert dataset.mean == pytest.approx([images.mean()]) and dataset.std == pytest.approx([images.std()])


@only_in_fuzz
def test_the_files_of_fashion_mnist(fashion_mnist_dir: Path, tmp_path: Path) -> None:
    """What is measured of them is what the entry has."""
    entry = find("fashion_mnist")
    split = load_images(entry, fashion_mnist_dir)
    parts = [split.train.pixels[:, 0], split.train.labels.byte(), split.test.pixels[:, 0], split.test.labels.byte()]
    write(tmp_path, {name: part.numpy() for name, part in zip(ARRAYS, parts, strict=True)})
    dataset, found = read(f"idx:{tmp_path}")
    assert (dataset.shape, dataset.classes, dataset.images) == (entry.shape, entry.classes, entry.images)
    assert dataset.mean == pytest.approx(entry.mean, abs=0.02) and dataset.std == pytest.approx(entry.std, abs=0.02)
    assert np.array_equal(found[0], split.train.pixels) and np.array_equal(found[3], split.test.labels)


@pytest.mark.parametrize("first", [True, False])
def test_coloured_images(tmp_path: Path, first: bool) -> None:
    arrays = renamed(lambda name: name.replace("idx3", "idx4"))
    shape = (3, 6, 5) if first else (6, 5, 3)
    train, test = pixels(8, *shape), pixels(4, *shape)
    write(tmp_path, {**arrays, "train-images-idx4-ubyte": train, "t10k-images-idx4-ubyte": test})
    dataset, found = read(f"idx:{tmp_path}")
    assert dataset.shape == (3, 6, 5)
    assert np.array_equal(found[0], train if first else train.transpose(0, 3, 1, 2))
    assert dataset.mean == pytest.approx(found[0].mean(axis=(0, 2, 3)))
    assert dataset.std == pytest.approx(found[0].std(axis=(0, 2, 3)))


def test_labels_that_do_not_count_from_0(tmp_path: Path) -> None:
    """As EMNIST's letters do, from 1 to 26."""
    train, test = labels(1, 26, 3, 1, 26, 3, 1, 26), labels(26, 1, 3, 3)
    write(tmp_path, {**ARRAYS, "train-labels-idx1-ubyte": train, "t10k-labels-idx1-ubyte": test})
    dataset, found = read(f"idx:{tmp_path}")
    assert (dataset.classes, dataset.class_names) == (3, ("1", "3", "26"))
    assert found[1].tolist() == [0, 2, 1, 0, 2, 1, 0, 2] and found[3].tolist() == [2, 0, 1, 1]


def test_one_of_several_sets(tmp_path: Path) -> None:
    write(tmp_path, renamed(lambda name: f"emnist-digits-{name}"))
    write(
        tmp_path,
        {**renamed(lambda name: f"emnist-mnist-{name}"), "emnist-mnist-train-images-idx3-ubyte": pixels(8, 6, 5)},
    )
    with pytest.raises(UsageError, match="holds 2 sets of IDX files") as caught:
        find(f"idx:{tmp_path}")
    assert caught.value.help == f"name one of them: `idx:{tmp_path}/emnist-digits`, `idx:{tmp_path}/emnist-mnist`"
    _, found = read(f"idx:{tmp_path}/emnist-digits")
    assert np.array_equal(found[0].squeeze(1), ARRAYS["train-images-idx3-ubyte"])


def test_a_run_from_training_to_prediction(small: Path) -> None:
    trained = CliRunner().invoke(app, [*TRAIN, "--data", "idx:small"])
    assert trained.exit_code == 0, trained.output
    assert "IDX files of `small`: 8 training and 4 test images." in trained.output
    record = json.loads(Path("runs", "FBResNet-small-1", "recipe.json").read_text())
    assert record["dataset"] == "idx:small" and (record["input_shape"], record["classes"]) == ([1, 6, 5], 3)
    assert record["mean"] == pytest.approx([ARRAYS["train-images-idx3-ubyte"].mean()])
    tested = CliRunner().invoke(app, ["eval", "runs/FBResNet-small-1"])
    assert tested.exit_code == 0 and "as recorded" in tested.output, tested.output
    resumed = CliRunner().invoke(app, ["train", "--resume", "runs/FBResNet-small-1", "--epochs", "2"])
    assert resumed.exit_code == 0, resumed.output
    small.rename("elsewhere")
    moved = CliRunner().invoke(app, ["eval", "runs/FBResNet-small-1", "--data", "idx:elsewhere"])
    assert moved.exit_code == 0 and "as recorded" in moved.output and not moved.stderr
    Path("elsewhere").rename(small)
    whole = (small / "t10k-images-idx3-ubyte").read_bytes()
    (small / "t10k-images-idx3-ubyte").write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    changed = CliRunner().invoke(app, ["predict", "runs/FBResNet-small-1", "nowhere.png"])
    assert "warning: `idx:small` holds other images than the run was trained on" in changed.stderr
    write(small, {"train-labels-idx1-ubyte": labels(0, 1, 2, 3, 1, 2, 0, 1)})
    other = CliRunner().invoke(app, ["eval", "runs/FBResNet-small-1"])
    assert other.exit_code == 2 and "has other classes now than when the run was trained: 4, not 3" in other.output
    for path in small.iterdir():
        path.unlink()
    from PIL import Image

    Image.fromarray(pixels(6, 5)).save("seven.png")
    predicted = CliRunner().invoke(app, ["predict", "runs/FBResNet-small-1", "seven.png"])
    assert predicted.exit_code == 0, predicted.output


def test_held_out_images_are_those_that_were(small: Path) -> None:
    """Other labels would be divided otherwise."""
    trained = CliRunner().invoke(app, [*TRAIN, "--data", "idx:small", "--holdout", "0.4", "-o", "run"])
    assert trained.exit_code == 0, trained.output
    assert CliRunner().invoke(app, ["eval", "run"]).exit_code == 0
    write(small, {"train-labels-idx1-ubyte": labels(2, 1, 0, 0, 1, 2, 0, 1)})
    refused = CliRunner().invoke(app, ["eval", "run"])
    assert refused.exit_code == 2 and "holds other images now than when the run was trained" in refused.output


def test_a_dry_run_says_what_the_files_hold(small: Path) -> None:
    planned = CliRunner().invoke(app, [*TRAIN, "--data", "idx:small", "--dry-run", "--json"])
    data = json.loads(planned.output)
    assert (data["data"], data["missing"], data["steps"]) == ("idx:small", [], 2)
    refused = CliRunner().invoke(app, [*TRAIN, "--data", "idx:small", "--trust-files"])
    assert refused.exit_code == 2 and "`idx:small` has no published files" in refused.output


# What is refused


def head(*sizes: int, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


IMAGES = "train-images-idx3-ubyte"
HOSTILE: list[tuple[str, bytes, str]] = [
    (IMAGES, head(10**9, 10**3, 1), "says that it holds 1000000000 × 1000 × 1 bytes; at least 1 and at most"),
    (IMAGES, gzipped(head(2**32 - 1, 2**32 - 1, 2**32 - 1)), "says that it holds 4294967295 × 4294967295 ×"),
    (IMAGES, head(8, 6, 5) + bytes(239), "says that it holds 8 × 6 × 5 bytes, and holds 239"),
    (IMAGES, head(8, 6, 5) + bytes(241), "says that it holds 8 × 6 × 5 bytes, and holds more"),
    (IMAGES, gzipped(head(8, 6, 5) + bytes(10**8)), "says that it holds 8 × 6 × 5 bytes, and holds more"),
    (IMAGES, gzipped(head(20_000, 300, 300) + bytes(10**3)), "20000 × 300 × 300 bytes, and holds 1,000"),
    (IMAGES, gzipped(head(8, 6, 5) + bytes(240))[:-12], "is truncated or damaged"),
    (IMAGES, gzipped(head(8, 6, 5) + bytes(240)) + b"x", "is truncated or damaged"),
    (IMAGES, head(0, 6, 5), "says that it holds 0 × 6 × 5 bytes; at least 1"),
    (IMAGES, head(8, 6, 5)[:-1], "is truncated within its head"),
    (IMAGES, b"", "is not an IDX file with 3 or 4 axes of bytes: it is empty"),
    (IMAGES, b"<html>", "is not an IDX file with 3 or 4 axes of bytes: it begins with 3c 68 74 6d"),
    (IMAGES, head(8) + bytes(8), "is not an IDX file with 3 or 4 axes of bytes"),
    (IMAGES, head(8, 6, 5, kind=13) + bytes(960), "holds float32; cldfc reads IDX files of bytes"),
    (IMAGES, head(8, 2, 6, 5) + bytes(480), "neither its second nor its last axis has 1 or 3"),
    (IMAGES, head(8, 5, 5) + bytes(200), "have 1 × 5 × 5 pixels, those of `small/t10k-images-idx3-ubyte` 1 × 6 × 5"),
    ("train-labels-idx1-ubyte", head(7) + bytes(7), "holds 7 labels, of 8 images"),
    ("train-labels-idx1-ubyte", head(8) + bytes(8), "has the label 1, which `small/train-labels-idx1-ubyte` lacks"),
    ("t10k-labels-idx1-ubyte", head(4) + b"\0\1\2\3", "has the label 3, which `small/train-labels-idx1-ubyte` lacks"),
    ("train-labels-idx1-ubyte", head(8, 1, 1) + bytes(8), "is not an IDX file with 1 axis of bytes"),
]


@pytest.mark.parametrize(("name", "content", "said"), HOSTILE)
def test_a_file_that_is_no_array_of_images_or_labels(small: Path, name: str, content: bytes, said: str) -> None:
    (small / name).write_bytes(content)
    refused = CliRunner().invoke(app, [*TRAIN, "--data", "idx:small"])
    assert refused.exit_code == 2 and said in " ".join(refused.output.split()) and "Traceback" not in refused.output
    assert not Path("runs").exists()


def test_one_class(small: Path) -> None:
    write(small, {"train-labels-idx1-ubyte": labels(*[7] * 8), "t10k-labels-idx1-ubyte": labels(*[7] * 4)})
    with pytest.raises(UsageError, match="`small/train-labels-idx1-ubyte` has only the label 7"):
        find("idx:small")


def test_what_is_no_file(small: Path) -> None:
    path = small / IMAGES
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="`small/train-images-idx3-ubyte` is a FIFO, not a file"):
        find("idx:small")
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="is a broken link, not a file"):
        find("idx:small")


def test_files_that_are_missing(small: Path) -> None:
    (small / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match="`small` holds no labels to test on") as caught:
        find("idx:small")
    assert "`t10k-labels-idx1-ubyte`, gzipped or not" in caught.value.help
    write(small, {"t10k-labels-idx1-ubyte": labels(0, 1, 2, 0), "test-labels-idx1-ubyte": labels(0, 1, 2, 0)})
    with pytest.raises(UsageError, match="`small` holds `t10k-labels-idx1-ubyte` and `test-labels-idx1-ubyte`"):
        find("idx:small")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("idx:", "`idx:` names no folder"),
        ("idx:nowhere", "`nowhere` is not there"),
        ("idx:nowhere/emnist-letters", "`nowhere/emnist-letters` is not there"),
        ("idx:small/emnist-letters", "`small/emnist-letters` is not there"),
        ("idx:.", "`.` holds no IDX files"),
        (f"idx:small/{IMAGES}", f"`small/{IMAGES}` is a file, not a folder"),
        (f"idx:{'x' * 300}", "is not there|File name too long"),
    ],
)
def test_a_name_that_means_no_files(small: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(name)


def test_equal_pixels_divide_by_no_0(small: Path) -> None:
    write(small, {IMAGES: np.full((8, 6, 5), 9, np.uint8)})
    assert (find("idx:small").mean, find("idx:small").std) == ((9,), (1,))
