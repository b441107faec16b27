"""The start of the residual: r@1,0 = f@1 where u@1,0 = 0, and r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν, eq. (6.2), from (4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import DerivedEquation, Origin, Proof, ProofStep, Rule
from cldfc.algebra.residual.linear_form import LinearForms
from cldfc.algebra.residual.rewrite import Rewriting
from cldfc.algebra.residual.start import Start
from cldfc.algebra.residual.trees import Signed, negated, signed_terms, substitute, sum_tree
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.network.numbers import Tag
from cldfc.syntax import tree


@dataclass
class StartForm:
    definition: Definition
    start: Start
    whole: Definition
    given: list[tree.Equation] = field(default_factory=list[tree.Equation])
    steps: list[ProofStep] = field(default_factory=list[ProofStep])

    @property
    def tag(self) -> Tag:
        return self.start.tag

    @property
    def is_zero(self) -> bool:
        return not list(signed_terms(self.start.feature.right))

    def entry(self) -> DerivedEquation:
        """r at the start: f - 𝒜(u), without what is zero or cancels."""
        definition = self.definition
        self.note(sum_tree(definition.at(self.tag)), "definition of", definition.name)
        kept = self.without_zeros(self.cancel([*self.data(), *negated(self.mapped())]))
        right = Rewriting(self.whole, definition.residual(self.tag)).expression(sum_tree(kept))
        self.note(right, "definition of", definition.name)
        right = self.by_another() or right
        left = definition.residual(self.tag)
        equation = replace(self.start.feature, left=left, right=right, clauses=self.start.clauses)
        origins = (Origin(self.start.data, {}),) if self.start.data is not None else ()
        return DerivedEquation(equation, origins, Proof(left, tuple(self.given), tuple(self.steps)))

    def note(self, expression: tree.Expression, rule: Rule, name: str = "") -> None:
        if not self.steps or self.steps[-1].expression != expression:
            self.steps.append(ProofStep(expression, rule, name))

    def mapped(self) -> list[Signed]:
        """𝒜(u) at the start; nothing where u is zero."""
        return [] if self.is_zero else self.definition.mapped(self.tag, self.definition.feature(self.tag))

    def data(self) -> list[Signed]:
        """f at the start: as it is, or what its equation says."""
        definition, start = self.definition, self.start
        data = definition.data_at(self.tag)
        if self.is_zero:
            put = negated(definition.mapped(self.tag, start.feature.right))
            self.given.append(start.feature)
            self.note(sum_tree([*data, *put]), "equation for", definition.family[0])
            self.note(sum_tree(data), "zero")
        if start.data is None:
            return data
        self.given.append(start.data)
        data = list(signed_terms(start.data.right))
        self.note(sum_tree([*data, *negated(self.mapped())]), "equation for", start.data.left.name)
        return data

    def cancel(self, terms: Sequence[Signed]) -> list[Signed]:
        forms = LinearForms(self.definition.words, self.tag)
        total = forms.total(terms)
        kept = [
            part
            for part in terms
            if all(total.get(term) == part.sign * factor for term, factor in forms.value(part.term).items())
        ]
        if forms.total(kept) != total:
            return list(terms)
        self.note(sum_tree(kept), "cancellation")
        return kept

    def without_zeros(self, terms: Sequence[Signed]) -> list[Signed]:
        """Terms without those of u, where u is zero."""
        forms, own = LinearForms(self.definition.words, self.tag), self.definition.feature(self.tag)
        zero = next(iter(forms.value(own))).atom
        kept = [part for part in terms if any(term.atom != zero for term in forms.value(part.term))]
        if not self.is_zero:
            return list(terms)
        self.note(sum_tree(kept), "zero")
        return kept

    def by_another(self) -> tree.Symbol | None:
        """The residual of another family, where u starts from that: s@J,0 = r@J,ν where v@J,0 = u@J,ν."""
        right, definition = substitute(self.start.feature.right, self.start.indices), self.definition
        if self.start.data is not None or not isinstance(right, tree.Symbol):
            return None
        forms = LinearForms(definition.words, self.tag)
        put = [*definition.data_at(self.tag), *negated(definition.mapped(self.tag, right))]
        for known in definition.known:
            if known.family == family_of(right) and forms.total(put) == forms.total(known.at(right.tag)):
                self.given.append(self.start.feature)
                self.note(sum_tree(put), "equation for", definition.family[0])
                self.note(known.residual(right.tag), "definition of", known.name)
                return known.residual(right.tag)
        return None

    def replacement(self) -> DerivedEquation:
        """f from r, where it is needed elsewhere: f@ℓ+1 = r@ℓ+1,0 + 𝒜@ℓ+1(u@ℓ+1,0)."""
        assert self.start.data is not None
        right = sum_tree([Signed(1, self.definition.residual(self.tag)), *self.mapped()])
        return DerivedEquation(replace(self.start.data, right=right), ())
