"""Linear combinations: coefficient · scalars · word of linear operators · atom, with equal terms collected."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product

from cldfc.algebra.residual.vocabulary import NOWHERE, Signed, Vocabulary, number_tree, substitute
from cldfc.network.names import NUMBERS, Family, Kind
from cldfc.network.numbers import Tag, reciprocal
from cldfc.network.positions import Positions
from cldfc.ops import BUILTINS
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Letter:
    """A factor that is no sum: a kernel with its stride, a pooling, a scalar, a number."""

    key: Hashable
    written: tree.Expression = field(compare=False)
    positions: Positions = field(compare=False, default=())
    """The indices that it depends on."""
    is_diagonal: bool = field(compare=False, default=False)
    """Whether it multiplies numbers one by one: a vector, which is its own adjoint."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """What a word is applied to: a value, or an expression that is not linear in anything."""

    key: Hashable
    written: tree.Expression = field(compare=False)
    family: Family | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Term:
    """Scalars, which commute, in the order of their keys, and a word of operators, the last one applied first."""

    scalars: tuple[Letter, ...]
    word: tuple[Letter, ...]
    atom: _Atom


Form = dict[Term, Fraction]
Multiples = dict[tuple[Letter, ...], Fraction]


def add(form: Form, other: Form, factor: Fraction | int = 1) -> Form:
    """form + factor · other, without what cancels."""
    found = dict(form)
    for term, coefficient in other.items():
        found[term] = found.get(term, Fraction(0)) + factor * coefficient
    return {term: coefficient for term, coefficient in found.items() if coefficient}


def in_order(scalars: Sequence[Letter]) -> tuple[Letter, ...]:
    """A product of scalars in the one order that all products have."""
    return tuple(sorted(scalars, key=lambda letter: repr(letter.key)))


@dataclass(frozen=True)
class LinearForms:
    """Brings expressions into normal form; `level` is the tag that says the level of constants without one."""

    words: Vocabulary
    level: Tag

    def total(self, terms: Sequence[Signed]) -> Form:
        found: Form = {}
        for part in terms:
            found = add(found, self.value(part.term), part.sign)
        return found

    def value(self, expression: tree.Expression) -> Form:
        """The normal form of a value; what is not linear becomes an atom."""
        match expression:
            case tree.Number(0):
                return {}
            case tree.Symbol(name, tag, settings=()):
                key = (name, self.words.positions(expression))
                return {Term((), (), _Atom(key, expression, (name, len(tag)))): Fraction(1)}
            case tree.Star(left, _, right) if right is not None:
                return self.star(expression, left, self.value(right))
            case tree.Compose(factor, argument) | tree.Apply(factor, argument) if self.words.is_multiplier(factor):
                return self.star(tree.Star(factor, 1, argument, expression.span), factor, self.value(argument))
            case tree.Quotient(above, below) if self.words.is_multiplier(below):
                factor = reciprocal(below)
                return self.star(tree.Star(factor, 1, above, expression.span), factor, self.value(above))
            case tree.Compose(function, argument) | tree.Apply(function, argument) if self.words.is_map(function):
                return self.apply(function, self.value(argument), self.level)
            case tree.Sum(terms, signs):
                return self.total([Signed(sign, term) for sign, term in zip(signs, terms, strict=True)])
            case _:
                return {Term((), (), self.opaque(expression)): Fraction(1)}

    def opaque(self, expression: tree.Expression) -> _Atom:
        """An expression as an atom; if it owns parameters, each place is a different atom."""
        place = (expression.span.start, id(expression)) if self.words.is_own(expression) else None
        return _Atom((expression, place), expression)

    def apply(self, function: tree.Expression, form: Form, level: Tag) -> Form:
        match function:
            case tree.Symbol(name, tag) if self.words.can_expand(name):
                let = self.words.lets[name]
                indices = {head.name or "": index for head, index in zip(let.symbol.tag, tag, strict=True)}
                return LinearForms(self.words, tag).apply(substitute(let.values[0], indices), form, tag)
            case tree.Symbol("identity"):
                return form
            case tree.Star(left, _, right):
                return self.star(function, left, form if right is None else self.apply(right, form, level))
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, form, level), level)
            case tree.Sum(terms, signs):
                found: Form = {}
                for sign, term in zip(signs, terms, strict=True):
                    found = add(found, self.apply(term, form, level), sign)
                return found
            case _:
                return _prefix(Letter(function, function, tuple(self.words.indices(function))), form)

    def star(self, star: tree.Star, left: tree.Expression, form: Form) -> Form:
        if isinstance(left, tree.Symbol) and left.name in self.words.biased:
            return {Term((), (), self.opaque(star)): Fraction(1)}
        kernel = left.kernel if isinstance(left, tree.Adjoint) else left
        if self.words.names.kind(kernel) == Kind.KERNEL and isinstance(kernel, tree.Symbol):
            positions = self.words.parameter(kernel)
            key = (kernel.name, positions, star.stride, star.is_transposed, kernel is left)
            return _prefix(Letter(key, replace(star, right=None, span=NOWHERE), positions), form)
        if self.words.names.kind(left) is Kind.VECTOR:
            # It does not commute with a kernel: it stays where it is.
            is_symbol = isinstance(left, tree.Symbol)
            positions = self.words.parameter(left) if is_symbol else tuple(self.words.indices(left))
            key = (left.name, positions) if is_symbol else left
            vector = Letter(key, replace(star, right=None, span=NOWHERE), positions, is_diagonal=True)
            return _prefix(vector, form)
        if not self.words.is_scalar(left):
            return {Term((), (), self.opaque(star)): Fraction(1)}
        found: Form = {}
        for (scalars, factor), (term, coefficient) in product(self.multiples(left).items(), form.items()):
            longer = Term(in_order([*scalars, *term.scalars]), term.word, term.atom)
            found = add(found, {longer: factor * coefficient})
        return found

    def multiples(self, left: tree.Expression) -> Multiples:
        """A number or scalar as a sum of products of scalars and of numbers without a known value."""
        names = self.words.names
        match left:
            case tree.Sum(terms, signs):
                found: Multiples = {}
                for sign, term in zip(signs, terms, strict=True):
                    for scalars, factor in self.multiples(term).items():
                        found[scalars] = found.get(scalars, Fraction(0)) + sign * factor
                return found
            case tree.Symbol() if names.kind(left) is Kind.VALUE:
                positions = self.words.positions(left)
                return {(Letter((left.name, "image", positions), left, positions),): Fraction(1)}
            case tree.Symbol() if names.kind(left) == Kind.SCALAR:
                positions = self.words.parameter(left)
                return {(Letter((left.name, positions), left, positions),): Fraction(1)}
            case _ if names.kind(left) == Kind.SCALAR:
                return {(Letter(left, left, tuple(self.words.indices(left))),): Fraction(1)}
            case _:
                assert names.kind(left) in NUMBERS or (isinstance(left, tree.Symbol) and left.name in self.words.bound)
                formula = self.words.tags.constants.formula(left, self.words.bound, self.level)
                if formula is not None and formula.is_fixed():
                    exact = formula.exact({})
                    return {(): Fraction(str(exact)) if isinstance(exact, float) else Fraction(exact)}
                positions = tuple(formula.positions()) if formula is not None else ()
                return {(Letter(formula, left, positions),): Fraction(1)}


def without_scalars(term: Term, other: Term) -> tuple[Letter, ...] | None:
    """The scalars of a term without those of another, each as often as it is there; None if some are missing."""
    scalars = list(term.scalars)
    for scalar in other.scalars:
        if scalar not in scalars:
            return None
        scalars.remove(scalar)
    return tuple(scalars)


def _prefix(letter: Letter, form: Form) -> Form:
    return {Term(term.scalars, (letter, *term.word), term.atom): factor for term, factor in form.items()}


def terms_of(form: Form) -> list[Signed]:
    return [_written_term(term, coefficient) for term, coefficient in form.items()]


def _written_term(term: Term, coefficient: Fraction) -> Signed:
    """`1/2 * ω@ℓ * A@ℓ * u@ℓ,i`, and its sign."""
    expression = term.atom.written
    for letter in reversed((*term.scalars, *term.word)):
        match letter.written:
            case tree.Star(left, stride, None, span, is_transposed):
                expression = tree.Star(left, stride, expression, span, is_transposed)
            case operator if isinstance(operator, tree.Symbol) and operator.name in BUILTINS:
                expression = tree.Apply(operator, expression, NOWHERE)
            case scalar if letter in term.scalars:
                expression = tree.Star(scalar, 1, expression, NOWHERE)
            case operator:
                expression = tree.Apply(operator, expression, NOWHERE)
    if abs(coefficient) != 1:
        expression = tree.Star(number_tree(abs(coefficient)), 1, expression, NOWHERE)
    return Signed(1 if coefficient > 0 else -1, expression)
