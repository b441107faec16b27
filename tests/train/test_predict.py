"""`cldfc predict`: image files against the module run by hand."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from finished_run import cldfc, digits, scores_by_hand, train_small
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

from cldfc.data.catalogue import find
from cldfc.data.pictures import UnreadableImage
from cldfc.diagnostics import UsageError
from cldfc.runs.prediction import predict_files, read_image


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The test images of the digits, as a person would save them: white is 255."""
    folder = tmp_path_factory.mktemp("files")
    for place, pixels in enumerate(digits().pixels):
        Image.fromarray((pixels[0].numpy() * 255.0 / 16).round().astype(np.uint8)).save(folder / f"{place:03}.png")
    return sorted(folder.iterdir())


def test_classes_and_probabilities_are_those_of_the_module_by_hand(run: Path, files: list[Path]) -> None:
    shares, numbers = scores_by_hand(run, digits().pixels).softmax(1).sort(descending=True)
    found = json.loads(cldfc("predict", run, *files, "--top", 10, "--json").stdout)
    assert [each["file"] for each in found] == list(map(str, files))
    for each, values, order in zip(found, shares, numbers, strict=True):
        torch.testing.assert_close(torch.tensor([guess["probability"] for guess in each["classes"]]), values)
        assert [guess["class"] for guess in each["classes"]][:2] == order[:2].tolist()
        assert all(guess["name"] == str(guess["class"]) for guess in each["classes"])


def test_a_line_for_each_image(run: Path, files: list[Path]) -> None:
    probability, number = scores_by_hand(run, digits().pixels[:2]).softmax(1).max(1)
    lines = cldfc("predict", run, *files[:2]).stdout.splitlines()
    assert [line.split() for line in lines] == [
        [str(path), str(int(best)), f"{float(share):.2%}"]
        for path, best, share in zip(files, number, probability, strict=False)
    ]
    three = cldfc("predict", run, files[0], "--top", 3).stdout.split()
    assert len(three) == 7 and three[:3] == lines[0].split()


def test_what_cannot_be_read_is_named_and_the_rest_is_predicted(run: Path, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:60])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    wrong = {
        "text.png": "it is not an image",
        "cut.png": "truncated",
        "deep.png": "more than 8 bits",
        "none.png": "No such",
    }
    result = cldfc("predict", run, files[3], *(tmp_path / name for name in wrong), tmp_path, files[3])
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and lines[0].startswith(str(files[3]))
    first, *reasons, _ = result.stderr.splitlines()
    assert first == "error: 5 of 7 images cannot be read:"
    for name, reason in wrong.items():
        assert any(f"{tmp_path / name}: " in line and reason in line for line in reasons)
    assert f"  {tmp_path}: Is a directory" in reasons


def test_there_are_not_so_many_classes(run: Path, files: list[Path]) -> None:
    result = cldfc("predict", run, files[0], "--top", 11)
    assert result.exit_code == 2 and "there are 10 classes, not 11" in result.stderr


def test_images_of_two_channels_come_from_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 2 channels"):
        predict_files(nn.Linear(2, 2), find("fake:2x8x8:10"), [tmp_path / "none.png"], 1)


def test_classes_have_names(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    nn.init.zeros_(network[1].weight)
    network[1].bias.data = torch.arange(10.0)
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    (found,), _ = predict_files(network, find("cifar10"), [tmp_path / "black.png"], 10)
    # As `meta` in the published archive of CIFAR-10 has them.
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    assert [guess.name for guess in found.guesses] == names[::-1]
    (found,), _ = predict_files(network, find("fake:3x32x32:10"), [tmp_path / "black.png"], 1)
    assert found.guesses[0].name == "9"


@pytest.mark.parametrize(("name", "brightest"), [("digits", 16), ("mnist", 255), ("cifar10", 255)])
def test_white_is_the_full_brightness_of_the_data_set(tmp_path: Path, name: str, brightest: int) -> None:
    Image.new("RGB", (50, 40), "white").save(tmp_path / "white.png")
    pixels = read_image(tmp_path / "white.png", find(name))
    assert pixels.dtype == torch.uint8 and tuple(pixels.shape) == find(name).shape
    assert bool((pixels == brightest).all())


def test_a_larger_image_is_scaled_with_antialiasing(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    Image.fromarray(image.numpy()).save(tmp_path / "large.png")
    small = interpolate(image.permute(2, 0, 1)[None].float(), (32, 32), mode="bilinear", antialias=True)[0]
    assert float((read_image(tmp_path / "large.png", find("cifar10")).float() - small).abs().max()) <= 1


def test_a_colour_image_is_grey_for_a_grey_network(tmp_path: Path) -> None:
    Image.new("RGB", (28, 28), (255, 0, 0)).save(tmp_path / "red.png")
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
    assert bool((read_image(tmp_path / "red.png", find("mnist")) == round(0.299 * 255)).all())


def test_imagenet_is_cut_as_in_testing(tmp_path: Path) -> None:
    functional: Any = import_module("torchvision.transforms.v2.functional")
    pixels = np.random.default_rng(5).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    image = functional.pil_to_tensor(Image.open(tmp_path / "image.png"))
    wanted = functional.center_crop(functional.resize(image, [256]), [224])
    assert int((read_image(tmp_path / "image.png", find("imagenet")).int() - wanted.int()).abs().max()) <= 2


def test_floating_point_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "image.tiff")
    with pytest.raises(UnreadableImage, match="more than 8 bits"):
        read_image(tmp_path / "image.tiff", find("digits"))
