"""A recipe that uses only some of the training images: which ones, and what is said of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data.catalogue import find
from cldfc.data.class_folders import Sample
from cldfc.data.images import ImageFiles, Split, load_images
from cldfc.data.loader import Resident, open_loader
from cldfc.data.subset import draw_stratified, used_for_training
from cldfc.device import choose_device
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe

RECIPE = Recipe(epochs=1, batch=16, lr=0.1, images=200)
SPEC = Path(__file__).parents[2] / "specs" / "preact18.cldf"


@pytest.mark.parametrize("count", [1, 10, 333, 999, 1000])
def test_each_class_has_its_share(count: int) -> None:
    labels = torch.from_numpy(np.random.default_rng(0).choice(4, 1000, p=[0.6, 0.3, 0.09, 0.01]))
    drawn = draw_stratified(labels, count)
    assert len(drawn) == len(set(drawn.tolist())) == count and drawn.tolist() == sorted(drawn.tolist())
    sizes, found = Counter(labels.tolist()), Counter(labels[drawn].tolist())
    for label, size in sizes.items():
        assert abs(found[label] - size * count / 1000) <= 1


def test_a_smaller_draw_is_part_of_a_larger_one_and_neither_depends_on_what_was_drawn_before() -> None:
    labels = torch.arange(500) % 7
    torch.manual_seed(1)
    large = draw_stratified(labels, 300).tolist()
    torch.manual_seed(2)
    assert set(draw_stratified(labels, 50).tolist()) < set(large) and draw_stratified(labels, 300).tolist() == large
    assert large[:10] != list(range(10))


def test_a_loader_trains_on_these_images_whatever_the_seed(tmp_path: Path) -> None:
    """On all test images, too: they are compared with what the reader gives."""
    dataset = find("digits")
    everything = load_images(dataset, tmp_path)
    assert isinstance(everything, Split)
    used = everything.train[draw_stratified(everything.train.labels, 200)]
    for seed in (0, 1):
        loader = open_loader(dataset, change_recipe(RECIPE, {"seed": seed}), choose_device(), tmp_path)
        assert isinstance(loader, Resident) and loader.steps == 200 // 16
        shown = torch.cat([batch.pixels for batch in loader.train_batches(1)]).flatten(1)
        assert {tuple(image) for image in shown.tolist()} <= {tuple(i) for i in used.pixels.flatten(1).tolist()}
        assert torch.equal(loader.test.pixels, everything.test.pixels.to(loader.test.pixels.device))


def test_files_are_drawn_as_images_are() -> None:
    labels = torch.arange(40) % 4
    train = [Sample(f"{number}.png", int(label)) for number, label in enumerate(labels)]
    found = used_for_training(ImageFiles(train, train[:3]), find("digits"), change_recipe(RECIPE, {"images": 12}))
    assert isinstance(found, ImageFiles) and found.test == train[:3]
    assert found.train == [train[number] for number in draw_stratified(labels, 12).tolist()]


@pytest.mark.parametrize(
    ("images", "message"),
    [(1438, "`images` is 1,438, but `digits` has 1,437 images to train on"), (9, "`digits` has 10 classes")],
)
def test_what_cannot_be_drawn(images: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_loader(find("digits"), change_recipe(RECIPE, {"images": images}), choose_device(), tmp_path)
    file = tmp_path / "my.toml"
    file.write_text(f"images = {images}\n")
    result = CliRunner().invoke(app, ["train", str(SPEC), "--data", "digits", "--recipe", str(file), "--dry-run"])
    assert result.exit_code == 2 and message in result.stderr


def test_the_dry_run_says_so(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("images = 320\n")
    result = CliRunner().invoke(app, ["train", str(SPEC), "--data", "digits", "--recipe", str(file), "--dry-run"])
    text = " ".join(result.stdout.replace("\n#", "").split())
    assert "Of the training images 320 are used" in text
    # 320 images in batches of 64, twelve times.
    assert "5 in an epoch, 60 in all" in text and "images = 320 # " in text


def test_another_data_set_is_tested_whole(tmp_path: Path) -> None:
    """Even one that has fewer images to train on than the run used: none of them is needed."""
    runs, file = CliRunner(), tmp_path / "my.toml"
    file.write_text("images = 1100\nepochs = 1\n")
    narrow = ["--let", "c = 2, 2, 2, 2", "--quiet", "-o", str(tmp_path / "run")]
    trained = runs.invoke(app, ["train", str(SPEC), "--data", "digits", "--recipe", str(file), *narrow])
    assert trained.exit_code == 0
    own = runs.invoke(app, ["eval", str(tmp_path / "run")])
    assert own.exit_code == 0 and "1,100 are used" in own.stdout
    other = runs.invoke(app, ["eval", str(tmp_path / "run"), "--data", "fake:1x8x8:10"])
    assert other.exit_code == 0 and "are used" not in other.stdout
