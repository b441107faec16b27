"""What the names in expressions mean, and what their indices stand for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

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
        return Scope({**self.values, name: position}, self.tag)


@dataclass(frozen=True, slots=True)
class Claim:
    """A name that the equations for one family of values want for something of theirs; `is_own` is `bn_r` for r."""

    wanted: str
    owner: tuple[str, int]
    is_own: bool


@dataclass
class OwnedNames:
    """Names for what the spec has no name for: the parameters of each `bn` or `linear`, the terms of a reduction.

    They come from what owns them, never from the order of statements. `bn_B` normalises what B gives, the second in
    one equation is `bn_B_2`. Where several families want a name, it is that of the family that it speaks of, `bn_r`
    for r, and the others add theirs: `bn_r_a`. Until all are known, each has a provisional name, with blanks in it.
    """

    taken: frozenset[str] = frozenset()
    counts: dict[Claim, int] = field(default_factory=dict[Claim, int])
    provisional: dict[str, tuple[Claim, int]] = field(default_factory=dict[str, tuple[Claim, int]])

    def claim(self, kind: str, head: str, owner: tuple[str, int], here: dict[str, int]) -> str:
        """A provisional name; `here` counts those that an equation has claimed so far."""
        wanted = f"{kind}_{head}" if head else kind
        number = here[wanted] = here.get(wanted, 0) + 1
        claim = Claim(wanted, owner, head == owner[0])
        self.counts[claim] = max(number, self.counts.get(claim, 0))
        name = f"{wanted} {number} {owner[0]} {owner[1]}"
        self.provisional[name] = claim, number
        return name

    def wanted(self, name: str) -> str:
        """What a provisional name will be, if it can; others are what they are."""
        return self.provisional[name][0].wanted if name in self.provisional else name

    def settle(self, owners: Mapping[str, str]) -> dict[str, str]:
        """The name for each provisional one; `owners` has those of families without a name in the spec."""
        taken, bases = set(self.taken), dict[Claim, str]()
        longer = {claim: f"{claim.wanted}_{owners.get(claim.owner[0], claim.owner[0])}" for claim in self.counts}
        own = {claim: claim.wanted for claim in self.counts if claim.is_own}
        for wishes in (own, {claim: claim.wanted for claim in self.counts}, longer):
            names = {c: self.numbered(wish, c) for c, wish in wishes.items() if c not in bases}
            asked = Counter(name for some in names.values() for name in some)
            won = [c for c, some in names.items() if all(asked[n] == 1 and n not in taken for n in some)]
            bases.update((claim, wishes[claim]) for claim in won)
            taken.update(name for claim in won for name in names[claim])
        left = self.counts.keys() - bases.keys()
        for claim in sorted(left, key=lambda claim: (claim.wanted, longer[claim], claim.owner[1])):
            free = (f"{longer[claim]}_{number}" for number in count(2))
            bases[claim] = next(base for base in free if taken.isdisjoint(self.numbered(base, claim)))
            taken.update(self.numbered(bases[claim], claim))
        return {name: self.numbered(bases[claim], claim)[at - 1] for name, (claim, at) in self.provisional.items()}

    def numbered(self, base: str, claim: Claim) -> list[str]:
        """The names for all that a claim is for: `bn_r`, `bn_r_2`."""
        return [base, *(f"{base}_{number}" for number in range(2, self.counts[claim] + 1))]


@dataclass
class Words:
    """What the names in expressions mean: the same for all equations of a spec."""

    names: Names
    tags: Tags
    owned: OwnedNames
    parameters: Mapping[str, Declaration]
    ties: Mapping[str, TieRule]
    problems: Problems
    families: OwnedNames = field(default_factory=OwnedNames)
    inner: list[Template] = field(default_factory=list[Template])
    """The terms of reductions, as equations of their own."""

    def alone(self) -> Words:
        """The same for an expression that is only checked: it leaves no names and no terms behind."""
        return Words(self.names, self.tags, OwnedNames(), self.parameters, self.ties, self.problems)
