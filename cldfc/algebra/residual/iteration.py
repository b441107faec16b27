"""The iteration of the residual, (3.4) → (3.5): what is done to u, done to r; the correction under the mapping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import Entry, Origin, Proof, Step
from cldfc.algebra.residual.linear_form import LinearForms
from cldfc.algebra.residual.rewrite import Rewriting
from cldfc.algebra.residual.trees import NOWHERE, Signed, negated, opposite, put_in, signed_terms, sum_of
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.network.names import NUMBERS
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Split:
    """The right side of an iteration: earlier values of u with their weights, and the correction."""

    features: tuple[Signed, ...]
    correction: tuple[Signed, ...]


@dataclass(frozen=True)
class IterationForm:
    """One iteration u@ℓ,i = u@ℓ,i-1 + correction, and the equations that it becomes.

    `correction` is the name of the family that holds the corrections; None: u is not needed, and
    they are written where the residual needs them.
    """

    definition: Definition
    equation: tree.Equation
    correction: str | None

    def entries(self) -> Iterator[Entry]:
        """The correction, u and r. Raises CldfError: u or f cannot be removed."""
        split, origin = self.split(), (Origin(self.equation, {}),)
        sign, whole = one_sign(split.correction)
        if self.correction is None:
            residual = self.residual(split.features, sign, whole)
            yield Entry(replace(self.equation, left=self.left, right=residual), origin, self.proof(split, residual))
            return
        named: list[tree.Equation] = []
        if not isinstance(whole, tree.Symbol):
            symbol = tree.Symbol(self.correction, self.equation.left.tag, NOWHERE)
            named = [replace(self.equation, left=symbol, right=whole)]
            yield Entry(named[0], origin)
            whole = symbol
        feature = sum_of([*split.features, Signed(sign, whole)])
        yield Entry(replace(self.equation, right=feature), ())
        residual = self.residual(split.features, sign, whole)
        proof = self.proof(split, residual, named)
        yield Entry(replace(self.equation, left=self.left, right=residual), (), proof)

    @property
    def left(self) -> tree.Symbol:
        """The left side of the equation for the residual."""
        return self.definition.residual(self.equation.left.tag)

    def split(self) -> Split:
        """The right side with r put in, in its two parts; the weights of earlier values add up to 1."""
        right = Rewriting(self.definition, self.equation.left).expression(self.equation.right)
        words = self.definition.words
        forms = LinearForms(words, self.equation.left.tag)
        features: list[Signed] = []
        correction: list[Signed] = []
        for part in distributed(right, self.definition):
            is_feature = any(self.is_same_level(read) for read in words.reads(part.term, self.definition.family))
            if is_feature and not self.is_multiple(part.term, forms):
                raise refusals.feature_stays(part.term, self.definition)
            (features if is_feature else correction).append(part)
        weights: dict[tuple[object, ...], Fraction] = {}
        for term, factor in forms.total(features).items():
            weights[term.scalars] = weights.get(term.scalars, Fraction(0)) + factor
        if {scalars: weight for scalars, weight in weights.items() if weight} != {(): 1}:
            raise refusals.data_stay(self.equation, self.definition)
        return Split(tuple(features), tuple(correction))

    def is_multiple(self, term: tree.Expression, forms: LinearForms) -> bool:
        """Whether a term is a multiple of a value of u on the same level."""
        for found in forms.value(term):
            if found.word or found.atom.family != self.definition.family:
                return False
            if not isinstance(found.atom.written, tree.Symbol) or not self.is_same_level(found.atom.written):
                return False
        return True

    def is_same_level(self, read: tree.Symbol) -> bool:
        """Whether a value of u differs from the left side at the step alone."""
        return is_same_level(self.equation.left, read, self.definition)

    def residual(self, features: Sequence[Signed], sign: int, correction: tree.Expression) -> tree.Expression:
        """r@ℓ,i-1 - 𝒜@ℓ(correction)."""
        family, residual = self.definition.family, self.definition.residual
        kept = [Signed(part.sign, put_in(part.term, *family, lambda read: residual(read.tag))) for part in features]
        if isinstance(correction, tree.Number):
            return sum_of(kept)
        mapped = self.definition.mapped(self.equation.left.tag, correction)
        return sum_of([*kept, *(negated(mapped) if sign > 0 else mapped)])

    # The proof

    def proof(self, split: Split, residual: tree.Expression, named: Sequence[tree.Equation] = ()) -> Proof:
        """The steps of section 3.1: definition, equation for u, linearity, definition again."""
        definition, equation, tag = self.definition, self.equation, self.equation.left.tag
        name, feature = definition.name, definition.family[0]
        data = definition.data_at(tag)
        apart = list(data)
        for part in distributed(equation.right, definition):
            mapped = definition.mapped(tag, part.term)
            apart += negated(mapped) if part.sign > 0 else mapped
        unnamed = self.residual(split.features, *one_sign(split.correction))
        put = [*data, *negated(definition.mapped(tag, equation.right))]
        steps = [
            Step(sum_of(definition.at(tag)), "definition of", name),
            Step(sum_of(put), "equation for", feature),
            Step(sum_of(apart), "linearity of", definition.mapping_name),
            Step(unnamed, "definition of", name),
        ]
        steps += [Step(residual, "definition of", correction.left.name) for correction in named]
        return Proof(self.left, (equation,), tuple(steps), tuple(named))


def one_sign(terms: Sequence[Signed]) -> tuple[Literal[1, -1], tree.Expression]:
    """A correction as one expression; the sign before a single term stays outside."""
    if len(terms) == 1:
        return terms[0].sign, terms[0].term
    return 1, sum_of(terms)


def distributed(expression: tree.Expression, definition: Definition) -> Iterator[Signed]:
    """The terms of a sum, those of u one by one: `1/2 * (u@i-1 + u@i-2)` has two."""
    words = definition.words
    for part in signed_terms(expression):
        match part.term:
            case tree.Star(left, 1, tree.Sum() as right) if words.reads(right, definition.family) and words.names.kind(
                left
            ) in (*NUMBERS, "a scalar"):
                for inner in distributed(right, definition):
                    sign = inner.sign if part.sign > 0 else opposite(inner.sign)
                    yield Signed(sign, tree.Star(left, 1, inner.term, part.term.span))
            case _:
                yield part


def is_iteration(equation: tree.Equation, definition: Definition) -> bool:
    """Whether an equation for u reads u at another step of the same level."""
    if family_of(equation.left) != definition.family:
        return False
    reads = definition.words.reads(equation.right, definition.family)
    return any(is_same_level(equation.left, read, definition) for read in reads)


def is_same_level(left: tree.Symbol, read: tree.Symbol, definition: Definition) -> bool:
    """Whether two values of u differ at the step alone."""
    pairs = enumerate(zip(definition.words.positions(left), definition.words.positions(read), strict=True))
    return all(own == other for at, (own, other) in pairs if at != definition.place)
