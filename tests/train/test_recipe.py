"""Recipes and the catalogue: what is accepted, and what is said when it is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cldfc.data.catalogue import CATALOGUE, find
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe

ROOT = Path(__file__).parents[2]
BASE = Recipe(epochs=3, batch=32, lr=0.1)


def test_torch_is_not_imported() -> None:
    program = (
        "import sys, cldfc.recipe, cldfc.data.catalogue, cldfc.runs.progress\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'rich.progress')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_fields_are_documented() -> None:
    assert all(field.description for field in Recipe.model_fields.values())


def test_every_field_is_used() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "cldfc").rglob("*.py"))
    for name in Recipe.model_fields:
        assert re.search(rf"recipe\.{name}\b", sources), f"`{name}` of the recipe is used nowhere"


def test_every_field_is_on_its_page() -> None:
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    rows = page.split("| field | means |")[1].split("\n\n")[0].splitlines()
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    for name in Recipe.model_fields:
        assert name in named, f"`{name}` is not in the table of docs/training.md"
    for name in named:
        assert name in Recipe.model_fields, f"docs/training.md has `{name}`, which no recipe has"


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        BASE.epochs = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_change() -> None:
    changed = change_recipe(BASE, {"lr": "0.2", "seed": 7})
    assert (changed.lr, changed.seed, changed.epochs) == (0.2, 7, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch", 1),
        ("lr", 0),
        ("lr", float("nan")),
        ("warmup", 1),
        ("momentum", 1),
        ("weight_decay", -1),
        ("clip", 0),
        ("schedule", "steps"),
        ("drop_every", 0),
        ("drop_by", 1),
        ("label_smoothing", 1),
        ("optimizer", "adam"),
        ("shift_rows", -1),
        ("seed", 2**16),
        ("flip", "perhaps"),
    ],
)
def test_values_out_of_range(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"`{name}` cannot be") as caught:
        change_recipe(BASE, {name: value})
    assert name in caught.value.help


def test_unknown_field() -> None:
    with pytest.raises(UsageError) as caught:
        change_recipe(BASE, {"epoch": 3})
    assert caught.value.help.startswith("did you mean `epochs`? a recipe has the fields `epochs`, `batch`")


def test_unknown_data_set() -> None:
    with pytest.raises(UsageError) as caught:
        find("digit")
    assert caught.value.help.startswith("did you mean `digits`?")
    for name in ("xyz", "ImageNette", "digit"):
        with pytest.raises(UsageError) as caught:
            find(name)
        assert all(f"`{known}`" in caught.value.help for known in (*CATALOGUE, "folder:PATH", "idx:PATH"))


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "drop_every"),
    [("mnist", 60, 128, 30), ("cifar10", 120, 128, 30), ("cifar100", 120, 128, 30), ("imagenet", 120, 256, 40)],
)
def test_recipes_are_those_of_the_paper(name: str, epochs: int, batch: int, drop_every: int) -> None:
    recipe = find(name).recipe
    assert (recipe.epochs, recipe.batch, recipe.drop_every) == (epochs, batch, drop_every)
    assert (recipe.optimizer, recipe.schedule, recipe.lr, recipe.drop_by) == ("sgd", "step", 0.1, 10)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 1e-4)
    assert (recipe.warmup, recipe.clip, recipe.label_smoothing) == (0, None, 0)


def test_random_images_are_described_by_their_name() -> None:
    found = find("fake:2x5x7:11")
    assert (found.shape, found.classes, found.name) == ((2, 5, 7), 11, "fake:2x5x7:11")


@pytest.mark.parametrize("name", ["fake", "fake:3x32x32", "fake:0x1x1:2", "fake:99x999x999:2", "fakes:1x1x1:1"])
def test_names_that_describe_no_images(name: str) -> None:
    with pytest.raises(UsageError, match="describes no random images") as caught:
        find(name)
    assert "`fake:3x32x32:10`" in caught.value.help


def test_catalogue_names_its_entries() -> None:
    assert all(find(name).name == name for name in CATALOGUE)
