"""The iterations of a spec, and the weights of earlier values in an equation."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

from cldfc.algebra.residual.linear_form import LinearForms, Multiples
from cldfc.algebra.residual.vocabulary import (
    NOWHERE,
    Signed,
    Vocabulary,
    family_of,
    opposite,
    signed_terms,
    substitute,
    transform,
)
from cldfc.network.constants import resolve_bound
from cldfc.network.names import Family
from cldfc.network.numbers import reciprocal
from cldfc.network.positions import Binding, Formula, NoNumber, OutOfRange
from cldfc.syntax import tree
from cldfc.syntax.walk import reductions

if TYPE_CHECKING:
    from cldfc.algebra.residual.definition import Definition


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
    """The iterations of a spec: first those with only index names on their left sides; direct ones before others."""
    found: list[tuple[tree.Equation, int]] = []
    for equation in words.equations():
        reads = words.reads(equation.right, family_of(equation.left))
        places = (_step_place(equation.left, read, words) for read in reads)
        found += [(equation, place) for place in places if place is not None][:1]
    direct = {id(equation) for equation, _ in found}
    reached = reachable(words)
    for equation in words.equations():
        family = family_of(equation.left)
        back = [read for read, _ in _links_of(equation, words) if family in reached.get(family_of(read), {})]
        if id(equation) not in direct and back:
            found.append((equation, reached[family][family]))
    found.sort(key=lambda it: not _has_start(it[0], it[1], words))
    every = [
        Iteration(equation, place, left) for equation, place in found for left in _lefts(equation.left, place, words)
    ]
    plain = [it for it in every if it.left == it.equation.left and is_general(it.left, words)]
    general = [it for it in every if it not in plain and is_general(it.left, words)]
    yield from (*plain, *general, *(it for it in every if not is_general(it.left, words)))


def _has_start(equation: tree.Equation, place: int, words: Vocabulary) -> bool:
    """Whether a family has an equation for one step, such as u@ℓ,0: what it iterates on is what it starts from."""
    same = [e for e in words.equations() if family_of(e.left) == family_of(equation.left)]
    return any(words.positions(e.left)[place].base is None for e in same)


def is_general(left: tree.Symbol, words: Vocabulary) -> bool:
    return all(index.name in words.bound for index in left.tag)


def _step_place(left: tree.Symbol, read: tree.Symbol, words: Vocabulary) -> int | None:
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

    Each has the place of the step in its tag at which it lies earlier; families without such a place are left out.
    """
    links: dict[Family, dict[Family, int | None]] = {}
    for equation in words.equations():
        own = links.setdefault(family_of(equation.left), {})
        for read, place in _links_of(equation, words):
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


def _links_of(equation: tree.Equation, words: Vocabulary) -> Iterator[tuple[tree.Symbol, int | None]]:
    """The values that an equation reads on its level: at its own step, or, with the place of that, an earlier one."""
    for read in words.values(equation.right):
        if len(read.tag) == len(equation.left.tag) > 0:
            place = _step_place(equation.left, read, words)
            if place is not None or words.positions(read) == words.positions(equation.left):
                yield read, place


def _lefts(left: tree.Symbol, place: int, words: Vocabulary) -> Iterator[tree.Symbol]:
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


_Weight = Mapping[tuple[Hashable, ...], Fraction]
"""Products of trainable scalars, each with its factor; the factor of none of them is a plain number."""

_ONE: _Weight = {(): Fraction(1)}
_MOST_TERMS = 10_000
"""Of a sum over the history, and of the steps of a network, whose weights are added up."""


# Terms


def distributed(expression: tree.Expression, families: Collection[Family], words: Vocabulary) -> Iterator[Signed]:
    """The terms of a sum, those of some families one by one: `1/2 * (u@i-1 + u@i-2)` has two."""
    for part in signed_terms(expression):
        for inner in _distributed_term(part.term, families, words):
            yield Signed(inner.sign if part.sign > 0 else opposite(inner.sign), inner.term)


def _distributed_term(term: tree.Expression, families: Collection[Family], words: Vocabulary) -> Iterator[Signed]:
    reads = any(family_of(read) in families for read in words.values(term))
    match term:
        case tree.Star(left, 1, right) if (
            right is not None and reads and (words.is_multiplier(left) or words.is_scalar(left))
        ):
            for inner in distributed(right, families, words):
                yield Signed(inner.sign, tree.Star(left, 1, inner.term, term.span))
        case tree.Quotient(above, below) if reads and words.is_multiplier(below):
            yield from _distributed_term(tree.Star(reciprocal(below), 1, above, term.span), families, words)
        case tree.Reduction("sum", _, _, _, body) if reads and not isinstance(body, tree.Symbol):
            for inner in distributed(body, families, words):
                yield Signed(inner.sign, replace(term, body=inner.term))
        case _:
            yield Signed(1, term)


def multiple_of(term: tree.Expression, left: tree.Symbol, place: int, words: Vocabulary) -> Family | None:
    """The family of which a term is a multiple, at the level of the left side, or a sum of those over the history."""
    match term:
        case tree.Symbol(settings=()) if words.names.is_value(term) and is_same_level(left, term, place, words):
            return family_of(term)
        case tree.Star(number, 1, right) if right is not None and words.is_scalar(number):
            return multiple_of(right, left, place, words)
        case tree.Reduction("sum", _, _, _, body):
            return multiple_of(body, left, place, words)
        case tree.Compose() | tree.Apply():
            form = LinearForms(words, left.tag).value(term)
            atoms = [found.atom.written for found in form if not found.word]
            found = {multiple_of(atom, left, place, words) for atom in atoms if isinstance(atom, tree.Symbol)}
            return found.pop() if len(atoms) == len(form) > 0 and len(found) == 1 else None
        case _:
            return None


def is_same_level(left: tree.Symbol, read: tree.Symbol, place: int, words: Vocabulary) -> bool:
    """Whether the tags of two values differ at the step alone."""
    if len(left.tag) != len(read.tag):
        return False
    pairs = enumerate(zip(words.positions(left), words.positions(read), strict=True))
    return all(own == other for at, (own, other) in pairs if at != place)


# Weights


@dataclass(frozen=True)
class Weights:
    equation: tree.Equation
    words: Vocabulary

    def are_one(self, terms: Sequence[Signed]) -> bool:
        """Whether weights add up to 1: as formulas, or else as numbers in every step of the network."""
        forms = LinearForms(self.words, self.equation.left.tag)
        if not any(next(reductions(part.term), None) for part in terms):
            if _total_of([{term.scalars: factor} for term, factor in forms.total(terms).items()]) == _ONE:
                return True
        bindings = self.words.bindings.get(id(self.equation), ())
        if not terms or not 0 < len(bindings) <= _MOST_TERMS:
            return False
        try:
            return all(self.total(terms, binding) == _ONE for binding in bindings)
        except (NoNumber, OutOfRange, ArithmeticError, KeyError):
            return False

    def total(self, terms: Sequence[Signed], binding: Binding) -> _Weight:
        weights = [(part.sign, self.weight(part.term, binding)) for part in terms]
        return _total_of([{s: sign * factor for s, factor in weight.items()} for sign, weight in weights])

    def weight(self, term: tree.Expression, binding: Binding) -> _Weight:
        """The weight of one term, which is a multiple of values, or a sum of those over the history."""
        forms = LinearForms(self.words, self.equation.left.tag)
        match term:
            case tree.Reduction(_, name, lower, upper, body):
                first, last = (self.bound(end, binding) for end in (lower, upper))
                if last - first > _MOST_TERMS:
                    raise NoNumber("it has too many terms")
                each = [self.weight(body, {**binding, name: j}) for j in range(first, last + 1)]
                return _total_of(each)
            case tree.Star(left, 1, right) if right is not None:
                outer, inner = _evaluated(forms.multiples(left), binding), self.weight(right, binding)
                products = [{_product_of((*a, *b)): x * y} for a, x in outer.items() for b, y in inner.items()]
                return _total_of(products)
            case tree.Symbol():
                return _ONE
            case _:
                parts = forms.value(term).items()
                return _total_of([_evaluated({part.scalars: factor}, binding) for part, factor in parts])

    def bound(self, end: tree.Expression, binding: Binding) -> int:
        found = resolve_bound(self.words.tags.constants, end, self.words.bound, self.equation.left.tag)
        if found is None:
            raise NoNumber("it is no bound")
        return found.value(binding)


def _evaluated(multiples: Multiples, binding: Binding) -> _Weight:
    """Products of scalars and numbers at a choice of indices; numbers become part of the factor."""
    found: list[_Weight] = []
    for letters, factor in multiples.items():
        scalars: list[Hashable] = []
        for letter in letters:
            if isinstance(letter.key, Formula):
                exact = letter.key.exact(binding)
                factor *= Fraction(str(exact)) if isinstance(exact, float) else Fraction(exact)
            else:
                scalars.append((letter.key, tuple(position.value(binding) for position in letter.positions)))
        found.append({_product_of(scalars): factor})
    return _total_of(found)


def _total_of(weights: Sequence[_Weight]) -> _Weight:
    found: dict[tuple[Hashable, ...], Fraction] = {}
    for weight in weights:
        for scalars, factor in weight.items():
            found[scalars] = found.get(scalars, Fraction(0)) + factor
    return {scalars: factor for scalars, factor in found.items() if factor}


def _product_of(scalars: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """A product of scalars in the one order that all products have."""
    return tuple(sorted(scalars, key=repr))


# Partners


def partners(definition: Definition) -> list[Family]:
    """The families that take part in an iteration, each with a residual of its own.

    Half a step, t@ℓ,i = u@ℓ,i-1 + … and u@ℓ,i = t@ℓ,i + …, has two; so has one that starts from y@ℓ,i, a point beyond
    u@ℓ,i-1. A family belongs to the iteration if weights add up to 1 with it, and not without.
    """
    words, found = definition.words, [definition.family]
    at = 0
    while at < len(found):
        same = [e for e in words.equations() if family_of(e.left) == found[at] and definition.covers(e.left.tag)]
        for equation in same:
            if words.positions(equation.left)[definition.place].base is not None:
                found += _missing_families(equation, found, definition)
        at += 1
    return found[1:]


def _missing_families(equation: tree.Equation, found: Sequence[Family], definition: Definition) -> Sequence[Family]:
    """The families with which the weights of an equation add up to 1, where they do not without them."""
    words, families = definition.words, {family_of(read) for read in definition.words.values(equation.right)}
    of_family: dict[Family, list[Signed]] = {}
    for part in distributed(equation.right, families, words):
        family = multiple_of(part.term, equation.left, definition.place, words)
        if family is not None:
            of_family.setdefault(family, []).append(part)
    own = [part for family in found for part in of_family.get(family, [])]
    weights, others = Weights(equation, words), [family for family in of_family if family not in found]
    if weights.are_one(own):
        return ()
    for count in range(1, len(others) + 1):
        for chosen in combinations(others, count):
            if weights.are_one([*own, *(part for family in chosen for part in of_family[family])]):
                return chosen
    return ()
