"""Recipes as TOML: there and back, and what is said when a file is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cldfc.data.catalogue import CATALOGUE
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, as_toml, change_recipe, read_recipe

OTHER = Recipe(
    epochs=7,
    batch=3,
    lr=1e-7,
    schedule="step",
    drop_every=2,
    drop_by=1.5,
    warmup=0,
    optimizer="adamw",
    momentum=0.5,
    weight_decay=1e-20,
    images=5,
    clip=None,
    label_smoothing=0.3,
    shift_rows=1,
    shift_columns=2,
    flip=True,
    sync_bn=True,
    compile="off",
    seed=11,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my.toml"


@pytest.mark.parametrize("recipe", [OTHER, *(dataset.recipe for dataset in CATALOGUE.values())])
def test_there_and_back(recipe: Recipe, file: Path) -> None:
    """Read on top of another recipe, of which nothing is left."""
    file.write_text(as_toml(recipe, dict.fromkeys(Recipe.model_fields, "as it is")), encoding="utf-8")
    base = Recipe(epochs=1, batch=9, lr=9, images=9, clip=9)
    assert change_recipe(base, read_recipe(file).changes) == recipe


def test_every_field_has_its_place(file: Path) -> None:
    file.write_text('\n# lr = 3\nepochs = 3\n "lr" = 1 # the rate\n\nclip = inf\n')
    found = read_recipe(file)
    assert found.changes == {"epochs": 3, "lr": 1.0, "clip": None}
    assert found.places == {"epochs": f"{file}, line 3", "lr": f"{file}, line 4", "clip": f"{file}, line 6"}


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("epoch = 3", "my.toml, line 2: a recipe has no field `epoch`", "did you mean `epochs`?"),
        ("[batch]\nsize = 3", "my.toml, line 2: `batch` cannot be {'size': 3}", "`batch`: Images per step"),
        (
            "settings.lr = 1",
            "my.toml, line 2: a recipe has no field `settings`",
            "a recipe has the fields `epochs`, `batch`",
        ),
        ('lr = "0.1"', "my.toml, line 2: `lr` cannot be '0.1': it must be a number", "`lr`: Learning rate"),
        ("epochs = 3.0", "my.toml, line 2: `epochs` cannot be 3.0: it must be a whole number", "Passes over"),
        ("epochs = 1\nflip = 1", "my.toml, line 3: `flip` cannot be 1: it must be true or false", "mirrored"),
        ("seed = true", "my.toml, line 2: `seed` cannot be True: it must be a whole number", "`seed`: Where"),
        ("lr = nan", "my.toml, line 2: `lr` cannot be nan", "`lr`: Learning rate"),
        ("weight_decay = inf", "my.toml, line 2: `weight_decay` cannot be inf", "`weight_decay`: Weight decay"),
        ("clip = -inf", "my.toml, line 2: `clip` cannot be -inf", "`clip`: Largest"),
        ('compile = "fast"', "my.toml, line 2: `compile` cannot be 'fast': it must be 'auto', 'on'", "by measuring"),
        ("compile = 1", "my.toml, line 2: `compile` cannot be 1: it must be 'auto', 'on' or 'off'", "by measuring"),
        ("batch = 1", "my.toml, line 2: `batch` cannot be 1: it must be at least 2", "`batch`: Images per step"),
        ("lr = 1979-05-27", "my.toml, line 2: `lr` cannot be datetime.date", "`lr`: Learning rate"),
        (
            "lr 0.1",
            "my.toml` is not TOML: Expected '=' after a key in a key/value pair (at line 2, column 4)",
            "lr = 0",
        ),
        ("lr = 1\nlr = 2", "my.toml` is not TOML: Cannot overwrite a value", "`lr = 0.1`"),
        ("x = " + "[" * 2000, "my.toml` is not TOML", "`lr = 0.1`"),
        ("x = " + "9" * 5000, "my.toml` is not TOML", "`lr = 0.1`"),
    ],
)
def test_what_is_no_recipe(file: Path, text: str, message: str, help: str) -> None:
    file.write_text(f"\n{text}\n")
    with pytest.raises(UsageError) as caught:
        read_recipe(file)
    assert message in caught.value.message and help in caught.value.help


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="cannot read"):
            read_recipe(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_recipe(tmp_path / "binary")
