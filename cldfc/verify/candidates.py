"""The generated code that is compared with a spec, and the small maps on which it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError

LARGEST_MAP = 64
"""Pixels on a side; larger inputs are cut down to this, to keep the work small."""


@dataclass(frozen=True)
class Candidate:
    """Generated code that should compute what a spec says, and what it calls the spec's parameters.

    `names` leads from names of the spec, in ASCII, with or without their tags, to other ones. A literal candidate uses
    each parameter as often as the equations do; a rewritten one may need it less often. `class_name` is None where
    the class is called as the spec.
    """

    name: str
    code: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    is_literal: bool = True
    class_name: str | None = None


def candidates_of(network: Compilation) -> tuple[Candidate, ...]:
    """The forms in which the compiler can write a network. Raises CldfError."""
    candidates = (
        Candidate("written", network.code("written")),
        Candidate("simplified", network.code(), is_literal=False),
    )
    try:
        residual = network.residual
        return *candidates, Candidate("residual", residual.code(), is_literal=False, class_name=residual.class_name)
    except CldfError:
        return candidates


def smaller(network: Compilation) -> Compilation:
    """The same network on smaller maps, where its own are large and it can do with less. Raises CldfError."""
    shape = network.program.shape
    if len(shape) != 3 or max(shape[1:]) <= LARGEST_MAP:
        return network
    channels, height, width = shape
    small = network.sized((channels, min(height, LARGEST_MAP), min(width, LARGEST_MAP)), network.changes.classes)
    return small if small.is_right else network
