"""How a network is trained: every number that the epoch loop needs, checked; recipes as TOML."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from cldfc.diagnostics import UsageError, choices, first_error
from cldfc.files import read_text
from cldfc.output import printable

# A batch order is drawn from the number `seed * EPOCH_LIMIT + epoch`. torch keeps 32 bits of it, so
# both stay below 2**16: no two epochs of any two seeds then share their draws.
EPOCH_LIMIT = 2**16

_MOST_DIGITS = 300
"""By which a learning rate may fall; Python's numbers have little more."""

Part = Literal["validation", "test"]
"""A part of a data set that a network is tested on."""

Compile = Literal["auto", "on", "off"]
"""Whether training steps go through torch.compile; `auto`: where that pays, as measured before a training."""

Pass = Literal["forward", "images", "kernel"]
"""What a training computes of a convolution: its result, the gradient of the images, that of the kernel."""

Algorithm = int | tuple[Pass, ...]
"""How a convolution is computed: with so many images side by side, or with some passes by Winograd's method."""

Algorithms = Mapping[str, Algorithm]
"""For the name of a shape of convolution, its algorithm; other shapes have the usual one."""


class Recipe(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True):
    """How a network is trained; with the data set and the device it fixes a run."""

    epochs: int = Field(ge=1, lt=EPOCH_LIMIT)
    """Passes over the training images."""
    batch: int = Field(ge=2, le=65_536)
    """Images per step; the few left over at the end of an epoch are not used in it."""
    lr: float = Field(gt=0, ge=1e-37)
    """Learning rate at its highest, after the warm-up."""
    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls after the warm-up: along a half cosine to 0, or in steps."""
    drop_every: int = Field(default=30, ge=1)
    """With the schedule `step`: epochs from one drop of the learning rate to the next."""
    drop_by: float = Field(default=10.0, gt=1)
    """With the schedule `step`: what a drop divides the learning rate by."""
    warmup: float = Field(default=0.2, ge=0, lt=1)
    """Share of all steps over which the learning rate rises linearly."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """Stochastic gradient descent with momentum, or Adam with decoupled weight decay."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """How much of the mean gradient is kept from step to step; the first β of Adam."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of every parameter, relative to the learning rate."""
    images: int | None = Field(default=None, ge=1)
    """Training images that are used, drawn once with equal shares of each class; all are without a number."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest Euclidean norm of the whole gradient; a longer one is shortened to it, none is without a number."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each training label that is spread evenly over all classes."""
    shift_rows: int = Field(default=0, ge=0, le=16)
    """Training images move up or down by at most this many pixels; what comes in is 0."""
    shift_columns: int = Field(default=0, ge=0, le=16)
    """The same to the left or right."""
    flip: bool = False
    """Whether a training image is mirrored left to right half of the time."""
    holdout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training images that is kept for validation, which chooses the epoch whose weights are saved."""
    patience: int = Field(default=0, ge=0, lt=EPOCH_LIMIT)
    """Epochs without a better validation accuracy after which training stops; 0 for never."""
    sync_bn: bool = False
    """Whether batch norm takes its statistics over the whole batch where several processes share it."""
    precise: bool = False
    """Whether everything is computed in float32 by deterministic algorithms, and not as fast as the device can."""
    compile: Compile = "auto"
    """Whether training steps go through torch.compile: on, off or, by measuring, auto."""
    seed: int = Field(default=0, ge=0, lt=2**16)
    """Where the initial weights, the hold-out, the batch order and the augmentation are drawn from."""

    @field_validator("compile", mode="before")
    @classmethod
    def reads_switch(cls, value: object) -> object:
        return _without_switch(value)

    @model_validator(mode="after")
    def keeps_learning(self) -> Self:
        drops = (self.epochs - 1) // self.drop_every
        if self.schedule == "step" and drops * math.log10(self.drop_by) > _MOST_DIGITS:
            raise ValueError(f"after {drops:,} drops by {self.drop_by:g} the learning rate would be 0")
        return self


def _without_switch(compile: object) -> object:
    """What earlier releases wrote as true or false, in a word."""
    return {True: "on", False: "off"}[compile] if isinstance(compile, bool) else compile


def change_recipe(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """The recipe with some fields changed; raises UsageError for a wrong name or value."""
    return _check_recipe({**recipe.model_dump(), **changes})


def _check_recipe(fields: Mapping[str, object], is_strict: bool = False) -> Recipe:
    """The recipe of these fields, strictly of their types or of what reads as such; raises UsageError."""
    try:
        return Recipe.model_validate(fields, strict=is_strict)
    except ValidationError as error:
        name, value, reason = first_error(error)
        cannot = f"`{name}` cannot be {value!r}: " if name else ""
        raise UsageError(f"recipe: {cannot}{reason}", _recipe_help(name)) from None


def other_fields(before: Mapping[str, object], recipe: Recipe) -> list[str]:
    """`lr 0.1, not 0.2`: the fields in which two recipes differ, as far as they are known."""
    now = recipe.model_dump(mode="json")
    if "compile" in before:
        before = {**before, "compile": _without_switch(before["compile"])}
    names = (name for name in before if name in now and before[name] != now[name])
    return [f"{name.replace('_', ' ')} {before[name]}, not {now[name]}" for name in names]


def _recipe_help(name: str) -> str:
    fields = Recipe.model_fields
    if not name:
        return "make `drop_by` smaller, or `drop_every` larger"
    if name in fields:
        return f"`{name}`: {fields[name].description}"
    return choices(name, fields, "a recipe has the fields")


def tested_parts(has_validation: bool) -> Sequence[Part]:
    """The parts that a network is tested on, in the order in which that is done."""
    return ("validation", "test") if has_validation else ("test",)


_BASE: Mapping[str, object] = {"epochs": 1, "batch": 2, "lr": 1.0}
"""A recipe to check a single field in."""

_NO_BOUND = math.inf
"""TOML has no null: a gradient that is never clipped may be infinitely long."""
_BOUNDS = {"clip", "images"}
"""Fields that may have none."""


@dataclass(frozen=True, slots=True)
class _RecipeFile:
    """The fields of a recipe that a file sets, and where in the file each of them stands."""

    changes: Mapping[str, object]
    places: Mapping[str, str]


def read_recipe(path: Path) -> _RecipeFile:
    """The fields that a TOML file sets. Raises UsageError: no such file, no TOML, an unknown field, a wrong value."""
    text = read_text(path, "name a TOML file with a recipe").removeprefix("\ufeff")
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"`{path}` is not TOML: {error}", "a recipe has lines such as `lr = 0.1`") from error
    places = {name: _place_of(name, text, path) for name in found}
    return _RecipeFile({name: _field_value(name, value, places[name]) for name, value in found.items()}, places)


def _place_of(name: str, text: str, path: Path) -> str:
    """`my.toml, line 3`: where a field is set."""
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return f"{path}, line {text.count(chr(10), 0, found.start()) + 1}" if found else str(path)


def _field_value(name: str, value: object, place: str) -> object:
    """The value of a field, as a recipe has it. Raises UsageError when there is no such field or no such value."""
    if name not in Recipe.model_fields:
        raise UsageError(f"{place}: a recipe has no field `{name}`", _recipe_help(name))
    if name in _BOUNDS and value == _NO_BOUND:
        return None
    try:
        return getattr(_check_recipe({**_BASE, name: value}, is_strict=True), name)
    except UsageError as error:
        raise UsageError(f"{place}: {error.message.removeprefix('recipe: ')}", error.help) from None


def as_toml(recipe: Recipe, comments: Mapping[str, str]) -> str:
    """A recipe as a file that `read_recipe` reads, with a comment after each field."""
    lines = {name: f"{name} = {_toml_value(value)}" for name, value in recipe.model_dump().items()}
    width = max(map(len, lines.values()))
    return "".join(f"{line:<{width}}  # {printable(comments[name])}\n" for name, line in lines.items())


def _toml_value(value: object) -> str:
    if value is None:
        return "inf"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, str) else repr(value)


def steps_per_epoch(images: int, recipe: Recipe) -> int:
    """Number of batches in an epoch; one smaller batch where the images fill none."""
    return max(1, images // recipe.batch)
