"""What is iterated: values that are computed from an earlier step of themselves, directly or through other values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cldfc.algebra.residual.trees import NOWHERE, substitute, transform
from cldfc.algebra.residual.vocabulary import Vocabulary, family_of
from cldfc.network.names import Family
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Iteration:
    """An equation that gives a family's value from that of an earlier step; `place` is that of the step in its tag.

    `left` is its left side as the definition of the residual has it: u@ℓ,i for u@ℓ,i+1, for u@1,i and for u@1,2. An
    index that is a number there, such as the 1 of u@1,i, stands for itself: the residual is that of level 1 alone.
    """

    equation: tree.Equation
    place: int
    left: tree.Symbol

    @property
    def family(self) -> Family:
        return family_of(self.left)

    @property
    def step(self) -> str:
        return self.left.tag[self.place].name or ""

    def over_left(self, expression: tree.Expression) -> tree.Expression:
        """An expression of the equation over the indices of `left`: f@ℓ - A@ℓ * u@ℓ,i for f@1 - A@1 * u@1,i."""
        pairs = list(zip(self.equation.left.tag, self.left.tag, strict=True))
        shifts = {
            own.name or "": tree.Index(own.name, None, -own.offset, NOWHERE)
            for own, other in pairs
            if own != other and own.name == other.name
        }
        named = [(at, own, other) for at, (own, other) in enumerate(pairs) if own.name != other.name]

        def change(part: object) -> object | None:
            if not isinstance(part, tree.Symbol) or not part.tag:
                return None
            tag = list(part.tag)
            for at, own, name in named:
                if family_of(part) == self.family and tag[at].name == own.name and at == self.place:
                    tag[at] = replace(name, offset=tag[at].offset - own.offset)
                elif own in tag:
                    tag[tag.index(own)] = name
            return replace(part, tag=tuple(tag))

        return substitute(transform(expression, change) if named else expression, shifts)


def iterations(words: Vocabulary) -> Iterator[Iteration]:
    """The iterations of a spec: first those with index names alone on their left sides; direct ones before others."""
    found: list[tuple[tree.Equation, int]] = []
    for equation in words.equations():
        reads = words.reads(equation.right, family_of(equation.left))
        places = (step_place(equation.left, read, words) for read in reads)
        found += [(equation, place) for place in places if place is not None][:1]
    direct = {id(equation) for equation, _ in found}
    reached = reachable(words)
    for equation in words.equations():
        family = family_of(equation.left)
        back = [read for read, _ in links_of(equation, words) if family in reached.get(family_of(read), {})]
        if id(equation) not in direct and back:
            found.append((equation, reached[family][family]))
    found.sort(key=lambda it: not has_start(it[0], it[1], words))
    every = [
        Iteration(equation, place, left) for equation, place in found for left in lefts(equation.left, place, words)
    ]
    plain = [it for it in every if it.left == it.equation.left and is_general(it.left, words)]
    general = [it for it in every if it not in plain and is_general(it.left, words)]
    yield from (*plain, *general, *(it for it in every if not is_general(it.left, words)))


def has_start(equation: tree.Equation, place: int, words: Vocabulary) -> bool:
    """Whether a family has an equation for one step, such as u@ℓ,0: what it iterates on is what it starts from."""
    same = [e for e in words.equations() if family_of(e.left) == family_of(equation.left)]
    return any(words.positions(e.left)[place].base is None for e in same)


def is_general(left: tree.Symbol, words: Vocabulary) -> bool:
    return all(index.name in words.bound for index in left.tag)


def step_place(left: tree.Symbol, read: tree.Symbol, words: Vocabulary) -> int | None:
    """The one place at which a value that is read lies before the left side; None if it lies elsewhere.

    In a sum over the history its index has a name of its own.
    """
    pairs = list(zip(words.positions(left), words.positions(read), strict=True))
    differing = [place for place, (own, other) in enumerate(pairs) if own != other]
    if len(differing) != 1:
        return None
    own, other = pairs[differing[0]]
    is_summed = isinstance(own.base, str) and other.base in words.summed
    return differing[0] if is_summed or (own.base == other.base and other.offset < own.offset) else None


def reachable(words: Vocabulary) -> dict[Family, dict[Family, int]]:
    """The families that each one is computed from on the same level, at the same step or an earlier one.

    With each the place of the step in its tag, where some step on the way is an earlier one; others are left out.
    """
    links: dict[Family, dict[Family, int | None]] = {}
    for equation in words.equations():
        own = links.setdefault(family_of(equation.left), {})
        for read, place in links_of(equation, words):
            known = own.get(family_of(read))
            own[family_of(read)] = place if known is None else known
    found: dict[Family, dict[Family, int]] = {}
    for start in links:
        seen: dict[tuple[Family, int | None], None] = {}
        open: list[tuple[Family, int | None]] = [(start, None)]
        while open:
            family, place = open.pop()
            for other, step in links.get(family, {}).items():
                state = (other, place if step is None else step)
                if state not in seen and (None in (place, step) or place == step):
                    seen[state] = None
                    open.append(state)
        found[start] = {family: place for family, place in seen if place is not None}
    return found


def links_of(equation: tree.Equation, words: Vocabulary) -> Iterator[tuple[tree.Symbol, int | None]]:
    """The values that an equation reads on its level: at its own step, or, with the place of that, an earlier one."""
    for read in words.values(equation.right):
        if len(read.tag) == len(equation.left.tag) > 0:
            place = step_place(equation.left, read, words)
            if place is not None or words.positions(read) == words.positions(equation.left):
                yield read, place


def lefts(left: tree.Symbol, place: int, words: Vocabulary) -> Iterator[tree.Symbol]:
    """A left side with index names for its indices: for all of them, and then without one for the level.

    An iteration goes over steps: neither f@ℓ+1 from f@ℓ is one, nor, where there are levels, f@2 from f@1.
    """
    ranges = {s.name: s.kind for s in words.spec.statements if isinstance(s, tree.Range)}
    index = left.tag[place]
    if ranges.get(index.name or "", "") == "levels" and index.offset:
        return
    if index.name not in words.bound and len(left.tag) == 1 and "levels" in ranges.values():
        return
    tag = list(left.tag)
    for at, index in enumerate(tag):
        if index.name in words.bound and index.at is None:
            tag[at] = replace(index, offset=0)
    general, taken = list(tag), {index.name for index in tag}
    for at, index in enumerate(tag):
        if index.name not in words.bound:
            kind = "steps" if at == place else "levels"
            name = next((name for name, found in ranges.items() if found == kind and name not in taken), None)
            if name is not None:
                general[at] = tree.Index(name, None, 0, NOWHERE)
                taken.add(name)
    for found in dict.fromkeys((tuple(general), tuple(tag))):
        if found[place].name in words.bound:
            yield replace(left, tag=found)
