"""The definition of a residual from the sum in which it was found: its sign, its mapping on one u, its name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, count

from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.iterations import Iteration, partners
from cldfc.algebra.residual.linear_form import Form, LinearForms, Term, add, terms_of
from cldfc.algebra.residual.vocabulary import Signed, Vocabulary, family_of, negated, put_in, transform
from cldfc.network.numbers import level_index
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.keywords import STATEMENTS, WORDS_INSIDE

_RESIDUALS = ("r", "s", "q", "ρ", "residual")
_CORRECTIONS = ("e", "d", "ε", "correction")


def define_residual(
    data: Sequence[Signed],
    with_feature: Sequence[Signed],
    form: Form,
    iteration: Iteration,
    words: Vocabulary,
    known: Sequence[Definition] = (),
) -> Definition:
    """The definition with f@ℓ counted as positive: for 𝒜(u) - f the residual is f - 𝒜(u) as well.

    Other values that take part in the iteration, such as those of half a step, have residuals of their own.
    """
    left = iteration.left
    mapping = list(negated(with_feature))
    reads = {words.positions(read) for part in with_feature for read in words.reads(part.term, iteration.family)}
    if len(reads) > 1:
        mapping = terms_of(_at_head(form, left, words))
    if data[0].sign < 0:
        data, mapping = negated(data), list(negated(mapping))
    placed = [Signed(part.sign, put_in(part.term, *iteration.family, lambda _: left)) for part in mapping]
    family, terms = iteration.family, (_with_levels(data, left, words), _with_levels(placed, left, words))
    found = Definition(words, family, left.tag, iteration.place, "", *terms, known=tuple(known))
    found = _with_names(found, ())
    taken = [found]
    for partner in partners(found):
        placed = [Signed(p.sign, put_in(p.term, *family, lambda u: replace(u, name=partner[0]))) for p in found.mapping]  # noqa: B023
        taken.append(_with_names(replace(found, family=partner, mapping=tuple(placed), equation=None), taken))
    return replace(found, partners=tuple(taken[1:]))


def _with_names(found: Definition, taken: Sequence[Definition]) -> Definition:
    """A definition with the names of its residual and its corrections, which are the same on every level."""
    same = next((other for other in found.known if other.family == found.family), None)
    if same is not None and not found.covers(same.head):
        return replace(found, name=same.name, correction=same.correction)
    words, names = found.words, [name for other in taken for name in (other.name, other.correction)]
    equation = _defining_equation(found)
    name = equation.left.name if equation is not None else unused_name(words, _RESIDUALS, names)
    return replace(found, name=name, correction=unused_name(words, _CORRECTIONS, [*names, name]), equation=equation)


def _with_levels(terms: Sequence[Signed], left: tree.Symbol, words: Vocabulary) -> tuple[Signed, ...]:
    """Terms in which per-level constants name their level; otherwise they would take that of another left side."""

    def change(part: object) -> object | None:
        constants = words.tags.constants
        if not isinstance(part, tree.Symbol) or part.tag or not constants.is_per_level(part.name):
            return None
        constant = constants.constant(part.name)
        level = level_index(left.tag, constant.index or "", constants.is_per_level) if constant is not None else None
        return None if level is None else replace(part, tag=(level,))

    return tuple(Signed(part.sign, transform(part.term, change)) for part in terms)


def _at_head(form: Form, left: tree.Symbol, words: Vocabulary) -> Form:
    """The mapping of an extrapolated residual, f - A * (2 * u@i-1 - u@i-2): all that is done to u, done to one u."""
    found: Form = {}
    for term, factor in form.items():
        atom = replace(term.atom, key=(left.name, words.positions(left)), written=left)
        found = add(found, {Term(term.scalars, term.word, atom): -factor})
    return found


def _defining_equation(found: Definition) -> tree.Equation | None:
    """The equation by which a spec defines its residual itself, r@ℓ,i = f@ℓ - A@ℓ * u@ℓ,i, eq. (1.5), if it does."""
    words = found.words
    for equation in words.equations():
        left = equation.left
        same = [e for e in words.equations() if family_of(e.left) == family_of(left)]
        if left.tag and words.positions(left) == words.positions(found.feature(found.head)) and len(same) == 1:
            forms = LinearForms(words, left.tag)
            if forms.value(equation.right) == forms.total(found.at(found.head)):
                return equation
    return None


def unused_name(words: Vocabulary, wanted: Sequence[str], besides: Collection[str] = ()) -> str:
    """The first of some names that neither a spec nor what is given besides has taken."""
    names = words.names
    taken = {*names.declared, *names.by_name, *words.bound, *BUILTINS, *STATEMENTS, *WORDS_INSIDE, *besides}
    numbered = (f"{wanted[0]}_{at}" for at in count(2))
    return next(name for name in chain(wanted, numbered) if name not in taken)
