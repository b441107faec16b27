"""What the names in expressions mean, and what their indices stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cldfc.diagnostics import Problems
from cldfc.network.names import Names
from cldfc.network.positions import Position
from cldfc.network.program import Declaration, Template, TieRule
from cldfc.network.tags import Tags
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Scope:
    """What the index names of an expression stand for, over those of the equation; and the tag that says the level."""

    values: Mapping[str, Position]
    tag: tuple[tree.Index, ...]

    def inside(self, name: str, position: Position) -> Scope:
        """The scope of a reduction's body."""
        return Scope({**self.values, name: position}, self.tag)


@dataclass
class OwnedNames:
    """Names for what the spec has no name for, such as the parameters of each place of a `bn` or `linear`.

    `bn_B` normalises what B gives. The equations of one family share names: their values, and so
    the tags of these parameters, differ.
    """

    taken: dict[str, object]

    def choose(self, wanted: str, family: object, here: dict[str, int]) -> str:
        """The wanted name, or it with the first number that is free; `here` are the last numbers so far."""
        while True:
            here[wanted] = here.get(wanted, 0) + 1
            name = f"{wanted}_{here[wanted]}" if here[wanted] > 1 else wanted
            if self.taken.setdefault(name, family) == family:
                return name


@dataclass
class Words:
    """What the names in expressions mean: the same for all equations of a spec."""

    names: Names
    tags: Tags
    owned: OwnedNames
    parameters: Mapping[str, Declaration]
    ties: Mapping[str, TieRule]
    problems: Problems
    families: OwnedNames = field(default_factory=lambda: OwnedNames({}))
    """Those of values, and of declarations; the terms of a reduction take one that is free."""
    numbers: dict[str, int] = field(default_factory=dict[str, int])
    inner: list[Template] = field(default_factory=list[Template])
    """The terms of reductions, as equations of their own."""

    def alone(self) -> Words:
        """The same for an expression that is only checked: it leaves no names and no terms behind."""
        return Words(self.names, self.tags, OwnedNames({}), self.parameters, self.ties, self.problems)
