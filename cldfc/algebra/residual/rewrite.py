"""r put in for f - 𝒜(u) wherever that stands, also taken apart, as in `B * f - B * A * u`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.linear_form import Form, LinearForms, add, terms_of
from cldfc.algebra.residual.trees import signed_terms, sum_tree, transform
from cldfc.algebra.residual.vocabulary import family_of
from cldfc.network.advice import Kind
from cldfc.syntax import tree


@dataclass(frozen=True)
class Rewriting:
    """Writes the right side of an equation by a residual; `left` is its left side."""

    definition: Definition
    left: tree.Symbol

    @cached_property
    def forms(self) -> LinearForms:
        return LinearForms(self.definition.words, self.left.tag)

    def expression(self, expression: tree.Expression) -> tree.Expression:
        return transform(expression, self.change)

    def change(self, part: object) -> object | None:
        """What a sum of values becomes, its terms first; None for any other part."""
        words = self.definition.words
        if not isinstance(part, tree.Sum) or words.names.kind(part) != Kind.VALUE:
            return None
        inner = replace(part, terms=tuple(self.expression(term) for term in part.terms))
        terms = list(signed_terms(inner))
        old = self.forms.total(terms)
        new = self.shortest(old)
        changed = {term for term in old.keys() | new.keys() if old.get(term) != new.get(term)}
        kept = [part for part in terms if changed.isdisjoint(self.forms.value(part.term))]
        # The order of normalisations, by which parameters are matched, stays as it is.
        if new == old or any(words.is_own(part.term) for part in terms if part not in kept):
            return inner
        instead = terms_of(add(new, self.forms.total(kept), -1))
        at = next(at for at, part in enumerate(terms) if part not in kept)
        before, after = ([part for part in some if part in kept] for some in (terms[:at], terms[at:]))
        return sum_tree([*before, *instead, *after])

    def shortest(self, form: Form) -> Form:
        """A combination with r put in at those values of u that make it shorter, one by one or all at once."""
        reads = self.features(form)
        for chosen in (*([read] for read in reads), reads):
            found = form
            for definition, read in chosen:
                found = definition.rewrite(self.forms, found, [read])
            form = found if len(found) < len(form) else form
        return form

    def features(self, form: Form) -> list[tuple[Definition, tree.Symbol]]:
        """The values of u and its partners in a combination at which r can be put in."""
        words, families = self.definition.words, self.definition.families
        reads: dict[object, tree.Symbol] = {}
        for term in form:
            if term.atom.family in families:
                for read in words.values(term.atom.written):
                    reads.setdefault((family_of(read), words.positions(read)), read)
        found = [(definition, read) for read in reads.values() if (definition := self.definition.of(read)) is not None]
        return [(definition, read) for definition, read in found if not self.is_circular(definition, read)]

    def is_circular(self, definition: Definition, read: tree.Symbol) -> bool:
        """Whether r at a value of u is what the equation itself is for, or is computed from that."""
        words, own = definition.words, self.left
        data = (value for part in definition.data_at(read.tag) for value in words.values(part.term))
        return any(
            family_of(value) == family_of(own) and words.positions(value) == words.positions(own)
            for value in (definition.residual(read.tag), *data)
        )
