"""Recipes as TOML: read for `--recipe`, and written by `--dry-run`."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.output import printable
from cldfc.train.files import read_text
from cldfc.train.recipe import Recipe, check_recipe, recipe_help

BASE: Mapping[str, object] = {"epochs": 1, "batch": 2, "lr": 1.0}
"""A recipe to check a single field in."""

NO_BOUND = math.inf
"""TOML has no word for nothing: a gradient that is never clipped may be infinitely long."""
BOUNDS = {"clip", "images"}
"""Fields that may have none."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """The fields of a recipe that a file sets, and where in the file each of them stands."""

    changes: Mapping[str, object]
    places: Mapping[str, str]


def read_recipe(path: Path) -> RecipeFile:
    """The fields that a TOML file sets. Raises UsageError: no such file, no TOML, an unknown field, a wrong value."""
    text = read_text(path, "name a TOML file with a recipe").removeprefix("\ufeff")
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"`{path}` is not TOML: {error}", "a recipe has lines such as `lr = 0.1`") from error
    places = {name: place_of(name, text, path) for name in found}
    return RecipeFile({name: field_value(name, value, places[name]) for name, value in found.items()}, places)


def place_of(name: str, text: str, path: Path) -> str:
    """`my.toml, line 3`: where a field is set."""
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return f"{path}, line {text.count(chr(10), 0, found.start()) + 1}" if found else str(path)


def field_value(name: str, value: object, place: str) -> object:
    """The value of a field, as a recipe has it. Raises UsageError when there is no such field or no such value."""
    if name not in Recipe.model_fields:
        raise UsageError(f"{place}: a recipe has no field `{name}`", recipe_help(name))
    if name in BOUNDS and value == NO_BOUND:
        return None
    try:
        return getattr(check_recipe({**BASE, name: value}, is_strict=True), name)
    except UsageError as error:
        raise UsageError(f"{place}: {error.message.removeprefix('recipe: ')}", error.help) from None


def as_toml(recipe: Recipe, comments: Mapping[str, str]) -> str:
    """A recipe as a file that `read_recipe` reads, with a comment after each field."""
    lines = {name: f"{name} = {toml_value(value)}" for name, value in recipe.model_dump().items()}
    width = max(map(len, lines.values()))
    return "".join(f"{line:<{width}}  # {printable(comments[name])}\n" for name, line in lines.items())


def toml_value(value: object) -> str:
    if value is None:
        return "inf"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, str) else repr(value)
