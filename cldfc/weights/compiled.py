"""A compiled network, as training and its report need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row of the report: a shared parameter, or all unshared ones of a name."""

    name: str
    """As the spec writes it."""
    shape: str
    uses: int
    """How often the equations use it."""
    numbers: int
    """How many numbers it stores."""
    saved: int = 0
    """How many more there would be without sharing."""
    colour: str | None = None
    """The colour of a shared kernel in the picture."""


@dataclass(frozen=True, slots=True)
class Head:
    """A classifier whose input no normalisation bounds."""

    value: str
    """The value that can grow, as the spec writes it, in backquotes: `r@3`."""
    help: str
    """What to write instead."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A generated module, and what the report shows of it."""

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
    """For each module, the values whose equations call it, such as `r@4,1`, in the order of the calls."""
    head: Head | None = None
    """The classifier whose scores can grow without limit, if there is one."""
