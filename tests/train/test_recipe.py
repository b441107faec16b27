"""Recipes and the catalogue: what is accepted, and what is said when it is not."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import CATALOGUE, find
from cldfc.train.recipe import Recipe, change_recipe

BASE = Recipe(epochs=3, batch=32, lr=0.1)


def test_torch_is_not_imported() -> None:
    program = (
        "import sys, cldfc.train.recipe, cldfc.train.catalogue, cldfc.train.progress\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'rich.progress')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_fields_are_documented() -> None:
    assert all(field.description for field in Recipe.model_fields.values())


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
    assert caught.value.help == "did you mean `epochs`?"


def test_unknown_data_set() -> None:
    with pytest.raises(UsageError) as caught:
        find("digit")
    assert caught.value.help == "did you mean `digits`?"
    with pytest.raises(UsageError) as caught:
        find("xyz")
    assert all(name in caught.value.help for name in CATALOGUE)


def test_catalogue_names_its_entries() -> None:
    assert all(find(name).name == name for name in CATALOGUE)
