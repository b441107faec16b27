"""With which weights an equation takes earlier values of u and of its partners: only if they add up to 1, f cancels.

r@ℓ,i = f@ℓ - 𝒜@ℓ(w₁ * u@ℓ,i-1 + w₂ * u@ℓ,i-2 + e) is w₁ * r@ℓ,i-1 + w₂ * r@ℓ,i-2 - 𝒜@ℓ(e) if w₁ + w₂ = 1.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

from cldfc.algebra.residual.linear_form import LinearForms, Multiples
from cldfc.algebra.residual.trees import Signed, opposite, signed_terms
from cldfc.algebra.residual.vocabulary import Vocabulary, family_of
from cldfc.network.advice import Kind
from cldfc.network.formula import Formula, NoNumber
from cldfc.network.names import NUMBERS, Family
from cldfc.network.positions import Binding, OutOfRange
from cldfc.network.ranges import resolve_bound
from cldfc.syntax import tree
from cldfc.syntax.walk import reductions

if TYPE_CHECKING:
    from cldfc.algebra.residual.definition import Definition

Weight = Mapping[tuple[Hashable, ...], Fraction]
"""Products of trainable scalars, each with its factor; the factor of none of them is a plain number."""

ONE: Weight = {(): Fraction(1)}
MOST_TERMS = 10_000
"""Of a sum over the history, and of the steps of a network, whose weights are added up."""


# Terms


def distributed(expression: tree.Expression, families: Collection[Family], words: Vocabulary) -> Iterator[Signed]:
    """The terms of a sum, those of some families one by one: `1/2 * (u@i-1 + u@i-2)` has two."""
    for part in signed_terms(expression):
        for inner in distributed_term(part.term, families, words):
            yield Signed(inner.sign if part.sign > 0 else opposite(inner.sign), inner.term)


def distributed_term(term: tree.Expression, families: Collection[Family], words: Vocabulary) -> Iterator[Signed]:
    reads = any(family_of(read) in families for read in words.values(term))
    match term:
        case tree.Star(left, 1, right) if right is not None and reads and is_multiplier(left, words):
            for inner in distributed(right, families, words):
                yield Signed(inner.sign, tree.Star(left, 1, inner.term, term.span))
        case tree.Reduction("sum", _, _, _, body) if reads and not isinstance(body, tree.Symbol):
            for inner in distributed(body, families, words):
                yield Signed(inner.sign, replace(term, body=inner.term))
        case _:
            yield Signed(1, term)


def is_multiplier(left: tree.Expression, words: Vocabulary) -> bool:
    is_index = isinstance(left, tree.Symbol) and left.name in words.bound
    return is_index or words.names.kind(left) in (*NUMBERS, Kind.INDEX, Kind.SCALAR)


def multiple_of(term: tree.Expression, left: tree.Symbol, place: int, words: Vocabulary) -> Family | None:
    """The family of which a term is a multiple, at the level of the left side, or a sum of those over the history."""
    match term:
        case tree.Symbol() if words.names.is_value(term) and is_same_level(left, term, place, words):
            return family_of(term)
        case tree.Star(number, 1, right) if right is not None and is_multiplier(number, words):
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
            if total_of([{term.scalars: factor} for term, factor in forms.total(terms).items()]) == ONE:
                return True
        bindings = self.words.bindings.get(id(self.equation), ())
        if not terms or not 0 < len(bindings) <= MOST_TERMS:
            return False
        try:
            return all(self.total(terms, binding) == ONE for binding in bindings)
        except (NoNumber, OutOfRange, ArithmeticError, KeyError):
            return False

    def total(self, terms: Sequence[Signed], binding: Binding) -> Weight:
        weights = [(part.sign, self.weight(part.term, binding)) for part in terms]
        return total_of([{s: sign * factor for s, factor in weight.items()} for sign, weight in weights])

    def weight(self, term: tree.Expression, binding: Binding) -> Weight:
        """The weight of one term, which is a multiple of values, or a sum of those over the history."""
        forms = LinearForms(self.words, self.equation.left.tag)
        match term:
            case tree.Reduction(_, name, lower, upper, body):
                first, last = (self.bound(end, binding) for end in (lower, upper))
                if last - first > MOST_TERMS:
                    raise NoNumber("it has too many terms")
                each = [self.weight(body, {**binding, name: j}) for j in range(first, last + 1)]
                return total_of(each)
            case tree.Star(left, 1, right) if right is not None:
                outer, inner = evaluated(forms.multiples(left), binding), self.weight(right, binding)
                products = [{product_of((*a, *b)): x * y} for a, x in outer.items() for b, y in inner.items()]
                return total_of(products)
            case tree.Symbol():
                return ONE
            case _:
                parts = forms.value(term).items()
                return total_of([evaluated({part.scalars: factor}, binding) for part, factor in parts])

    def bound(self, end: tree.Expression, binding: Binding) -> int:
        found = resolve_bound(self.words.tags.constants, end, self.words.bound, self.equation.left.tag)
        if found is None:
            raise NoNumber("it is no bound")
        return found.value(binding)


def evaluated(multiples: Multiples, binding: Binding) -> Weight:
    """Products of scalars and numbers at a choice of indices; what is no scalar becomes part of the factor."""
    found: list[Weight] = []
    for letters, factor in multiples.items():
        scalars: list[Hashable] = []
        for letter in letters:
            if isinstance(letter.key, Formula):
                exact = letter.key.exact(binding)
                factor *= Fraction(str(exact)) if isinstance(exact, float) else Fraction(exact)
            else:
                scalars.append((letter.key, tuple(position.value(binding) for position in letter.positions)))
        found.append({product_of(scalars): factor})
    return total_of(found)


def total_of(weights: Sequence[Weight]) -> Weight:
    found: dict[tuple[Hashable, ...], Fraction] = {}
    for weight in weights:
        for scalars, factor in weight.items():
            found[scalars] = found.get(scalars, Fraction(0)) + factor
    return {scalars: factor for scalars, factor in found.items() if factor}


def product_of(scalars: Sequence[Hashable]) -> tuple[Hashable, ...]:
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
                found += missing_families(equation, found, definition)
        at += 1
    return found[1:]


def missing_families(equation: tree.Equation, found: Sequence[Family], definition: Definition) -> Sequence[Family]:
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
