"""The definition r@ℓ,i := f@ℓ - 𝒜@ℓ(u@ℓ,i), eq. (1.5), and what follows from it for a combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cldfc.algebra.residual.linear_form import Form, LinearForms, Term, add, in_order, without_scalars
from cldfc.algebra.residual.vocabulary import (
    NOWHERE,
    Indices,
    Signed,
    Vocabulary,
    family_of,
    negated,
    put_in,
    substitute,
)
from cldfc.network.names import Family
from cldfc.network.numbers import Tag
from cldfc.syntax import tree


@dataclass(frozen=True)
class Definition:
    """What the residual `name` of a family is, over the index names of `head`; other names stand for themselves.

    `data` are the terms of f@ℓ, `mapping` those of 𝒜@ℓ(u@ℓ,i); `place` is the position of the step in the head.
    `equation` is the one of the spec, if any, that already defines it under this name. `correction` is the name of
    corrections of u, if they have one. `partners` are the residuals of other families that take part in the iteration.
    """

    words: Vocabulary
    family: Family
    head: Tag
    place: int
    name: str
    data: tuple[Signed, ...]
    mapping: tuple[Signed, ...]
    equation: tree.Equation | None = None
    correction: str = ""
    partners: tuple[Definition, ...] = ()
    known: tuple[Definition, ...] = ()
    """Residuals of other families, which the spec already computes."""

    @property
    def every(self) -> tuple[Definition, ...]:
        return (self, *self.partners)

    @property
    def families(self) -> tuple[Family, ...]:
        return tuple(definition.family for definition in self.every)

    def of(self, value: tree.Symbol) -> Definition | None:
        mine = (definition for definition in self.every if definition.family == family_of(value))
        return next((definition for definition in mine if definition.covers(value.tag)), None)

    def covers(self, tag: Tag) -> bool:
        """Whether it holds for the value at a tag: a definition for level 1 does not hold for level 2."""
        words = self.words
        found, own = words.positions(self.feature(tag)), words.positions(self.feature(self.head))
        pairs = zip(self.head, found, own, strict=True)
        return all(index.name in words.bound or given == wanted for index, given, wanted in pairs)

    def is_numbered(self, equation: tree.Equation) -> bool:
        """Whether an equation gives u at one step alone, such as u@ℓ,0."""
        return self.words.positions(equation.left)[self.place].base is None

    def narrowed(self, equation: tree.Equation) -> Indices | None:
        """The indices to put into an equation for u so that it gives a value this holds for; None if it gives none.

        u@ℓ,0 = 0 holds at level 1, too.
        """
        words, found = self.words, dict[str, tree.Index]()
        places = [at for at, index in enumerate(self.head) if index.name not in words.bound]
        own = words.positions(self.feature(self.head))
        for at in places:
            index, given = equation.left.tag[at], words.positions(equation.left)[at]
            if isinstance(given.base, str):
                found[given.base] = replace(self.head[at], offset=self.head[at].offset - index.offset)
            elif given != own[at]:
                return None
        if not found:
            return found
        wanted = {at: own[at].value({}) for at in places}
        bindings = words.bindings.get(id(equation), ())
        values = [words.positions(equation.left)[at] for at in places]
        there = ([position.value(binding) for position in values] for binding in bindings)
        return found if list(wanted.values()) in there else None

    def indices(self, tag: Tag) -> Indices:
        """What the index names of the head are at a tag."""
        bound = self.words.bound
        return {own.name or "": index for own, index in zip(self.head, tag, strict=True) if own.name in bound}

    def residual(self, tag: Tag) -> tree.Symbol:
        return tree.Symbol(self.name, tag, NOWHERE)

    def feature(self, tag: Tag) -> tree.Symbol:
        return tree.Symbol(self.family[0], tag, NOWHERE)

    def data_at(self, tag: Tag) -> list[Signed]:
        """The terms of f@ℓ at the level of a tag."""
        return [Signed(part.sign, substitute(part.term, self.indices(tag))) for part in self.data]

    def mapped(self, tag: Tag, argument: tree.Expression) -> list[Signed]:
        """The terms of 𝒜@ℓ(argument), at the level of a tag."""
        terms: list[Signed] = []
        for part in self.mapping:
            term = substitute(part.term, self.indices(tag))
            terms.append(Signed(part.sign, put_in(term, *self.family, lambda _: argument)))
        return terms

    def at(self, tag: Tag) -> list[Signed]:
        """The terms of f@ℓ - 𝒜@ℓ(u@ℓ,i) at a tag."""
        return [*self.data_at(tag), *negated(self.mapped(tag, self.feature(tag)))]

    @cached_property
    def mapping_name(self) -> str:
        """What the mapping is called, 𝒜 or A; empty if several names are in it."""
        found: list[str] = []
        for part in self.mapping:
            expression = part.term
            while isinstance(expression, tree.Star) and expression.right is not None:
                found += [expression.left.name] if isinstance(expression.left, tree.Symbol) else []
                expression = expression.right
            match expression:
                case tree.Apply(tree.Symbol(name)) | tree.Compose(tree.Symbol(name)):
                    found.append(name)
                case _:
                    pass
        return found[0] if len(set(found)) == 1 else ""

    @property
    def uses(self) -> int:
        return sum(len(self.words.reads(part.term, self.family)) for part in self.mapping)

    # Rewriting of combinations

    def rewrite(self, forms: LinearForms, form: Form, reads: Sequence[tree.Symbol]) -> Form:
        """A combination with f@ℓ - r@ℓ,i put in for 𝒜@ℓ(u@ℓ,i), at each of some values of u."""
        for read in reads:
            mapped = forms.total(self.mapped(read.tag, self.feature(read.tag)))
            if not mapped:
                continue
            leading = max(mapped, key=lambda term: len(term.word))
            instead = forms.total([*self.data_at(read.tag), Signed(-1, self.residual(read.tag))])
            rest = add(instead, {term: factor for term, factor in mapped.items() if term != leading}, -1)
            for term, factor in form.items():
                if (left := _quotient(term, leading)) is not None:
                    form = add(form, {term: -factor})
                    form = add(form, _multiplied(left, rest), factor / mapped[leading])
        return form


def _quotient(term: Term, by: Term) -> Term | None:
    """The factors before one term in another: A * ω before C * u in A * ω * C * u; None if it does not end in it."""
    length = len(term.word) - len(by.word)
    if term.atom != by.atom or length < 0 or term.word[length:] != by.word:
        return None
    scalars = without_scalars(term, by)
    return None if scalars is None else Term(scalars, term.word[:length], term.atom)


def _multiplied(left: Term, form: Form) -> Form:
    return {
        Term(in_order([*left.scalars, *term.scalars]), (*left.word, *term.word), term.atom): factor
        for term, factor in form.items()
    }
