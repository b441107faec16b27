"""A network as the compiler hands it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Parameter:
    """A shared parameter of a network, or several of one name that are not shared, for the report."""

    name: str
    """In the symbols of the spec."""
    shape: str
    uses: int
    """How often the equations use it."""
    numbers: int
    """How many numbers it stores."""
    saved: int = 0
    """How many more there would be without sharing."""
    colour: str | None = None
    """That of a shared kernel in the picture."""


@dataclass(frozen=True, slots=True)
class Head:
    """An output head that no normalisation bounds."""

    value: str
    """The value that can grow, in the symbols of the spec: `r@3`, with the quotes."""
    help: str
    """What to write instead."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A generated module, and what is shown of it in the report."""

    spec_text: str
    source: str
    class_name: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    picture: str = ""
    """The network as SVG; empty where there is none."""
    equations: str = ""
    """As MathML."""
    parameters: Sequence[Parameter] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """For each module of parameters the values that it helps to compute, such as `r@4,1`, in the order of its calls."""
    head: Head | None = None
    """What lets the scores grow without limit, if anything does."""
