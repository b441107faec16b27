"""The options that change a network on the command line: `--let`, `--tie`, `--input`, `--classes`, `--form`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from cldfc.compilation import Changes, Form
from cldfc.diagnostics import Source, UsageError, choices
from cldfc.network.limits import LARGEST_SIZE

SHAPE = re.compile(r"\s*([0-9]{1,9})\s*[x×,]\s*([0-9]{1,9})\s*[x×,]\s*([0-9]{1,9})\s*")


def read_changes(
    lets: Sequence[str] | None = None,
    ties: Sequence[str] | None = None,
    input: str | None = None,
    classes: int | None = None,
) -> Changes:
    """What the command line asks for instead of what the spec says. Raises UsageError."""
    changes = [*(change("let", text) for text in lets or ()), *(change("tie", text) for text in ties or ())]
    if classes is not None and not 1 <= classes <= LARGEST_SIZE:
        raise UsageError(f"{classes:,} classes are not possible", f"write a number from 1 to {LARGEST_SIZE:,}")
    return Changes(None if input is None else read_shape(input), classes, tuple(changes))


def change(word: str, text: str) -> Source:
    """One statement of the command line, on one line; it may name its first word again."""
    statement = " ".join(text.split("\n")).strip()
    if not statement.startswith(f"{word} "):
        statement = f"{word} {statement}"
    return Source(f"--{word}", statement, is_command=True)


def read_form(text: str) -> Form:
    """`written`, `simplified`. Raises UsageError."""
    forms: tuple[Form, ...] = get_args(Form)
    for form in forms:
        if form == text:
            return form
    raise UsageError(f"`{text}` is no form of a network", choices(text, forms, "the forms are"))


def read_shape(text: str) -> tuple[int, int, int]:
    """`3x224x224`. Raises UsageError."""
    found = SHAPE.fullmatch(text)
    sizes = [int(size) for size in found.groups()] if found else []
    if not sizes or not all(1 <= size <= LARGEST_SIZE for size in sizes):
        raise UsageError(f"`{text}` is no shape of an input", "write channels, height and width: `--input 3x32x32`")
    channels, height, width = sizes
    return channels, height, width
