"""The iteration of the residual, (3.4) → (3.5): what is done to u, done to r; the correction under the mapping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import DerivedEquation, Origin, Proof, ProofStep
from cldfc.algebra.residual.rewrite import Rewriting
from cldfc.algebra.residual.trees import NOWHERE, Signed, negated, put_in, sum_tree
from cldfc.algebra.residual.weights import Weights, distributed, is_same_level, multiple_of
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class SplitIteration:
    """The right side of an iteration: earlier values of u with their weights, and the correction."""

    features: tuple[Signed, ...]
    correction: tuple[Signed, ...]


@dataclass(frozen=True)
class IterationForm:
    """One iteration u@ℓ,i = u@ℓ,i-1 + correction, and the equations that it becomes.

    `definition` is that of the residual of u itself, `whole` that of the iteration. `is_named`: corrections are values
    of their own; else u is not needed, and they are written where the residual needs them.
    """

    whole: Definition
    definition: Definition
    equation: tree.Equation
    is_named: bool

    def entries(self) -> Iterator[DerivedEquation]:
        """The correction, u and r. Raises CldfError: u or f cannot be removed."""
        split, origin = self.split(), (Origin(self.equation, {}),)
        sign, whole = one_sign(split.correction)
        if not self.is_named or isinstance(whole, tree.Number):
            feature = replace(self.equation, right=sum_tree(split.features))
            yield from [DerivedEquation(feature, ())] if self.is_named else []
            residual = self.residual(split.features, sign, whole)
            yield DerivedEquation(
                replace(self.equation, left=self.left, right=residual), origin, self.proof(split, residual)
            )
            return
        named: list[tree.Equation] = []
        if not isinstance(whole, tree.Symbol):
            symbol = tree.Symbol(self.definition.correction, self.equation.left.tag, NOWHERE)
            named = [replace(self.equation, left=symbol, right=whole)]
            yield DerivedEquation(named[0], origin)
            whole = symbol
        feature = sum_tree([*split.features, Signed(sign, whole)])
        yield DerivedEquation(replace(self.equation, right=feature), ())
        residual = self.residual(split.features, sign, whole)
        proof = self.proof(split, residual, named)
        yield DerivedEquation(replace(self.equation, left=self.left, right=residual), (), proof)

    @property
    def left(self) -> tree.Symbol:
        return self.definition.residual(self.equation.left.tag)

    def split(self) -> SplitIteration:
        """The right side with r put in, in its two parts; the weights of earlier values add up to 1.

        A value of one step, such as u@ℓ,0, is the same in every step: it may be part of the correction as well.
        """
        right = Rewriting(self.whole, self.equation.left).expression(self.equation.right)
        words, left, place = self.definition.words, self.equation.left, self.definition.place
        parts = list(distributed(right, self.whole.families, words))
        features = [part for part in parts if self.reads(part.term, is_steady=False)]
        for part in features:
            if multiple_of(part.term, left, place, words) not in self.whole.families:
                raise refusals.feature_stays(part.term, self.definition)
        steady = [part for part in parts if part not in features and self.reads(part.term, is_steady=True)]
        multiples = [p for p in steady if multiple_of(p.term, left, place, words) in self.whole.families]
        for chosen in ([*features, *multiples], features):
            if Weights(self.equation, words).are_one(chosen):
                kept = [part for part in parts if part in chosen]
                return SplitIteration(tuple(kept), tuple(part for part in parts if part not in chosen))
        raise refusals.data_stay(self.equation, self.whole)

    def reads(self, term: tree.Expression, is_steady: bool) -> bool:
        """Whether a term reads u or a partner on the same level: at a step that is the same always, or at another."""
        found = [read for family in self.whole.families for read in self.definition.words.reads(term, family)]
        place, words = self.definition.place, self.definition.words
        same = [read for read in found if is_same_level(self.equation.left, read, place, words)]
        steps = [words.positions(read)[place] for read in same]
        is_numbered = self.definition.is_numbered(self.equation)
        return any((step.base is None and not is_numbered) == is_steady for step in steps)

    def residual(self, features: Sequence[Signed], sign: int, correction: tree.Expression) -> tree.Expression:
        """r@ℓ,i-1 - 𝒜@ℓ(correction)."""
        kept = list(features)
        for definition in self.whole.every:
            residual = definition.residual
            kept = [Signed(p.sign, put_in(p.term, *definition.family, lambda u: residual(u.tag))) for p in kept]  # noqa: B023
        if isinstance(correction, tree.Number):
            return sum_tree(kept)
        mapped = self.definition.mapped(self.equation.left.tag, correction)
        return sum_tree([*kept, *(negated(mapped) if sign > 0 else mapped)])

    # The proof

    def proof(self, split: SplitIteration, residual: tree.Expression, named: Sequence[tree.Equation] = ()) -> Proof:
        """The steps of section 3.1: definition, equation for u, linearity, definition again."""
        definition, equation, tag = self.definition, self.equation, self.equation.left.tag
        name, feature = definition.name, definition.family[0]
        data = definition.data_at(tag)
        apart = list(data)
        for part in distributed(equation.right, self.whole.families, definition.words):
            mapped = definition.mapped(tag, part.term)
            apart += negated(mapped) if part.sign > 0 else mapped
        unnamed = self.residual(split.features, *one_sign(split.correction))
        put = [*data, *negated(definition.mapped(tag, equation.right))]
        steps = [
            ProofStep(sum_tree(definition.at(tag)), "definition of", name),
            ProofStep(sum_tree(put), "equation for", feature),
            ProofStep(sum_tree(apart), "linearity of", definition.mapping_name),
            ProofStep(unnamed, "definition of", name),
        ]
        steps += [ProofStep(residual, "definition of", correction.left.name) for correction in named]
        return Proof(self.left, (equation,), tuple(steps), tuple(named))


def one_sign(terms: Sequence[Signed]) -> tuple[Literal[1, -1], tree.Expression]:
    """A correction as one expression; the sign before a single term stays outside."""
    if len(terms) == 1:
        return terms[0].sign, terms[0].term
    return 1, sum_tree(terms)


def iteration_of(equation: tree.Equation, whole: Definition) -> Definition | None:
    """The residual of u, for an equation that gives u from u or a partner at another step of the same level."""
    definition = whole.of(equation.left)
    if definition is None:
        return None
    words = whole.words
    reads = (read for family in whole.families for read in words.reads(equation.right, family))
    found = any(is_same_level(equation.left, read, definition.place, words) for read in reads)
    return definition if found else None
