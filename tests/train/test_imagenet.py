"""A handful of JPEG files in class folders, read by worker processes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cldfc.data.batches import Share
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.images import Images
from cldfc.data.loader import Loader, centre_cut, open_loader, random_cut
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.run_folder import RunRecord
from cldfc.runs.training_run import train_network
from cldfc.weights.compiled import Compiled

SMALL = find("imagenet").model_copy(update={"shape": (3, 28, 28), "classes": 2})
RECIPE = change_recipe(SMALL.recipe, {"batch": 4, "epochs": 2, "lr": 0.01})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes: 5 + 4 images to train on, 3 + 2 to test on, each of another size, one of them grey."""
    root, chance = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(5)
    for part, counts in {"train": (5, 4), "val": (3, 2)}.items():
        for name, count in zip(("n01", "n02"), counts, strict=True):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                shape = (40 + number, 64 - number, 3) if number else (40, 64)
                pixels = chance.integers(0, 256, shape).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}.JPEG")
    return root


@pytest.fixture(scope="module")
def loader(folder: Path) -> Loader:
    return open_loader(SMALL, RECIPE, Device("cpu", False), folder)


def same(one: Images, other: Images) -> bool:
    return torch.equal(one.pixels, other.pixels) and torch.equal(one.labels, other.labels)


def test_batches(loader: Loader) -> None:
    batches = list(loader.train_batches(1))
    assert len(batches) == loader.steps == 2
    assert all(batch.pixels.shape == (4, 3, 28, 28) and batch.pixels.dtype == torch.uint8 for batch in batches)


def test_test_images_are_the_centres_at_torchvisions_scale(loader: Loader, folder: Path) -> None:
    functional: Any = import_module("torchvision.transforms.v2.functional")
    paths = sorted((folder / "val").rglob("*.JPEG"))
    found = torch.cat([batch.pixels for batch in loader.test_batches()])
    for path, pixels in zip(paths, found, strict=True):
        image = functional.pil_to_tensor(Image.open(path).convert("RGB"))
        # 256 / 224 of 28 pixels are 32.
        wanted = functional.center_crop(functional.resize(image, [32]), [28])
        assert (pixels.int() - wanted.int()).abs().max() <= 2
    assert [int(label) for batch in loader.test_batches() for label in batch.labels] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("size", [(64, 128), (200, 90), (64, 64), (40, 300)])
@pytest.mark.parametrize("shape", [(3, 32, 64), (3, 64, 32), (3, 35, 35)])
def test_the_centre_is_seven_eighths_of_what_fits(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    """Pixels that say where they are: the first of red is its column, that of green its row."""
    (_, height, width), (rows, columns) = shape, size
    across, down = np.meshgrid(np.linspace(0, 255, columns), np.linspace(0, 255, rows))
    image = Image.fromarray(np.stack([across, down, down], 2).astype(np.uint8))
    pixels = centre_cut(SMALL.model_copy(update={"shape": shape}))(image).float() / 255
    assert tuple(pixels.shape) == shape
    seen = [float(band.max() - band.min()) for band in pixels[:2]]
    scale = max(height / rows, width / columns) * 8 / 7
    for share, part in zip(seen, (width / columns / scale, height / rows / scale), strict=True):
        assert share == pytest.approx(part, abs=0.05)
    # Seven eighths of the direction in which less is left over.
    assert max(seen) == pytest.approx(7 / 8, abs=0.05)
    for band, axis in zip(pixels[:2], (1, 0), strict=True):
        middle = band.mean(1 - axis)
        assert float(middle[0] + middle[-1]) == pytest.approx(1, abs=0.05)


def test_parts_for_training_have_the_shape_of_the_input() -> None:
    """A disc stays round but for 4:3, though the input is twice as wide as high."""
    across, down = np.meshgrid(np.arange(400), np.arange(200))
    image = Image.fromarray(np.stack([across * 255 / 400, down * 255 / 200, down], 2).astype(np.uint8))
    cut = random_cut(SMALL.model_copy(update={"shape": (3, 32, 64)}), change_recipe(RECIPE, {"flip": False}))
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    for _ in range(50):
        pixels = cut(image).float() / 255
        # Pixels of the image in one of the input, across and down.
        wide = 400 * float(pixels[0].max() - pixels[0].min()) / 63
        high = 200 * float(pixels[1].max() - pixels[1].min()) / 31
        assert 0.65 < wide / high < 1.5


def test_a_very_long_image_fits_into_memory() -> None:
    image = Image.new("RGB", (3_000_000, 2), "red")
    assert tuple(centre_cut(SMALL)(image)[:, 5, 5]) == (255, 0, 0)


def test_processes_read_their_shares_alone(loader: Loader, folder: Path) -> None:
    shares = [open_loader(SMALL, RECIPE, Device("cpu", False), folder, Share(rank, 2)) for rank in range(2)]
    for whole, one, other in zip(loader.train_batches(1), *(share.train_batches(1) for share in shares), strict=True):
        assert same(one, whole[0::2]) and same(other, whole[1::2])
    tested = [label for share in shares for batch in share.test_batches() for label in batch.labels.tolist()]
    assert sorted(tested) == [0, 0, 0, 1, 1]


def test_an_epoch_is_a_pure_function_and_can_be_entered_in_its_middle(loader: Loader) -> None:
    state = torch.get_rng_state()
    whole = list(loader.train_batches(1))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(9)  # pyright: ignore[reportUnknownMemberType]
    assert all(same(one, other) for one, other in zip(whole, loader.train_batches(1), strict=True))
    (last,) = loader.train_batches(1, 1)
    assert same(last, whole[1])
    assert not same(whole[0], next(iter(loader.train_batches(2))))


def test_it_trains_and_is_evaluated_from_the_files(
    tiny: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiny.replace("Conv2d(1,", "Conv2d(3,").replace("512, 10", "32 * 14 * 14, 2")
    result = train_network(
        Compiled("", source, "Tiny"), SMALL, RECIPE, tmp_path / "run", TrainingSetting(data_dir=folder)
    )
    assert result.final.epoch == 2

    def small(_record: RunRecord, _name: str | None) -> DataSet:
        return SMALL

    monkeypatch.setattr("cldfc.runs.evaluate.recorded_dataset", small)
    assert evaluate_run(tmp_path / "run", lambda _spec, _record: source, folder).agrees


def test_an_unreadable_image(folder: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for name in ("n01", "n02"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "0.JPEG").write_bytes((folder / part / name / "0.JPEG").read_bytes()[:200])
    loader = open_loader(SMALL, RECIPE, Device("cpu", False), tmp_path)
    with pytest.raises(UsageError, match=r"cannot read 2 images:\n  `.*n01.0\.JPEG`: .*\n  `.*n02.0\.JPEG`: "):
        list(loader.test_batches())


def test_folders_that_are_not_those_of_the_data_set(folder: Path, tmp_path: Path) -> None:
    device = Device("cpu", False)
    with pytest.raises(UsageError, match="has 2 class folders, not 1,000"):
        open_loader(find("imagenet"), RECIPE, device, folder)
    with pytest.raises(UsageError, match="lacks `train` and 1 more of `imagenet`") as caught:
        open_loader(SMALL, RECIPE, device, tmp_path)
    assert "`DIR/val/CLASS/*.JPEG`" in caught.value.help
    for name in ("train/n01", "train/n02", "val/n01", "val/n02"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"train/n01` holds no images"):
        open_loader(SMALL, RECIPE, device, tmp_path)
