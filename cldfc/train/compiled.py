"""A network as the compiler hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Compiled:
    """A generated module, and what is shown of it."""

    spec_text: str
    """The spec, as it was compiled."""

    source: str
    """The module."""

    class_name: str
    """Its class."""

    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What is known of the network, for the report."""

    picture: str = ""
    """The network as SVG, for the report; empty where there is none."""
