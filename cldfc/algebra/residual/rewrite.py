"""r put in for f - 𝒜(u) wherever that stands, also taken apart, as in `B * f - B * A * u`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cldfc.algebra.residual.definition import Definition, distinct
from cldfc.algebra.residual.linear_form import Form, LinearForms, add, written
from cldfc.algebra.residual.trees import Signed, signed_terms, sum_of, transform
from cldfc.network.numbers import Tag
from cldfc.syntax import tree


@dataclass(frozen=True)
class Rewriting:
    """Writes the values of an equation by a residual; `level` is the tag on its left side.

    The equation of the residual at `own` itself cannot be written by it.
    """

    definition: Definition
    level: Tag
    own: tree.Symbol | None = None

    @cached_property
    def forms(self) -> LinearForms:
        """Normal forms at the level of the equation."""
        return LinearForms(self.definition.words, self.level)

    def expression(self, expression: tree.Expression) -> tree.Expression:
        """An expression with every sum rewritten that becomes shorter so."""
        return transform(expression, self.change)

    def change(self, part: object) -> object | None:
        """What a sum of values becomes; None when its parts are to be looked at instead."""
        if not isinstance(part, tree.Sum) or self.definition.words.names.kind(part) != "a value":
            return None
        terms = list(signed_terms(part))
        old = self.forms.total(terms)
        new = self.shortest(old)
        changed = {term for term in old.keys() | new.keys() if old.get(term) != new.get(term)}
        kept = [part for part in terms if changed.isdisjoint(self.forms.value(part.term))]
        # The order of normalisations, by which parameters are matched, stays as it is.
        if new == old or any(self.definition.words.is_own(part.term) for part in terms if part not in kept):
            return None
        return sum_of(self.replaced(terms, kept, new))

    def shortest(self, form: Form) -> Form:
        """A combination with r put in at those values of u that make it shorter: at all of them, or one by one."""
        reads = self.features(form)
        found = self.definition.rewrite(self.forms, form, reads)
        if len(found) < len(form):
            return found
        for read in reads:
            found = self.definition.rewrite(self.forms, form, [read])
            form = found if len(found) < len(form) else form
        return form

    def features(self, form: Form) -> list[tree.Symbol]:
        """The values of u in a combination at which r can be put in."""
        family, words = self.definition.family, self.definition.words
        atoms = (term.atom for term in form if term.atom.family == family)
        reads = distinct([read for atom in atoms for read in words.values(atom.written)], words)
        return [read for read in reads if self.own is None or words.positions(read) != words.positions(self.own)]

    def replaced(self, terms: Sequence[Signed], kept: Sequence[Signed], new: Form) -> list[Signed]:
        """The terms of a sum, those left as they are that have not changed."""
        instead = written(add(new, self.forms.total(kept), -1))
        at = next(at for at, part in enumerate(terms) if part not in kept)
        before = [part for part in terms[:at] if part in kept]
        after = [part for part in terms[at:] if part in kept]
        return [*self.inside(before), *instead, *self.inside(after)]

    def inside(self, terms: Sequence[Signed]) -> list[Signed]:
        """Terms with what stands inside them rewritten."""
        return [Signed(part.sign, self.expression(part.term)) for part in terms]
