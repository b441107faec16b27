"""Where a spec iterates on a residual: u@ℓ,i from u@ℓ,i-1 by a correction of f@ℓ - 𝒜@ℓ(u@ℓ,i-1), eq. (4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.define_residual import Iteration, define
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.linear_form import Form, LinearForms, add, written
from cldfc.algebra.residual.trees import Signed, signed_terms
from cldfc.algebra.residual.vocabulary import Vocabulary, depends_on, family_of
from cldfc.diagnostics import CldfError
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


def iterations(words: Vocabulary) -> Iterator[Iteration]:
    """The iterations of a spec, with index names alone on their left sides."""
    for equation in words.equations():
        tag = equation.left.tag
        if not tag or any(i.name not in words.bound or i.offset or i.at for i in tag):
            continue
        for read in words.reads(equation.right, family_of(equation.left)):
            place = step_place(equation.left, read, words)
            if place is not None:
                yield Iteration(equation, place)
                break


def step_place(left: tree.Symbol, read: tree.Symbol, words: Vocabulary) -> int | None:
    """The one place at which a value that is read lies before the left side; None if it lies elsewhere."""
    pairs = list(zip(words.positions(left), words.positions(read), strict=True))
    differing = [place for place, (own, other) in enumerate(pairs) if own != other]
    if len(differing) != 1:
        return None
    own, other = pairs[differing[0]]
    return differing[0] if own.base == other.base and other.offset < own.offset else None


def find_residual(words: Vocabulary) -> Definition:
    """The residual of the first iteration that has one. Raises CldfError: there is none, and why."""
    found = list(iterations(words))
    if not found:
        raise refusals.nothing_iterates(words)
    reasons: list[CldfError] = []
    for iteration in found:
        elsewhere = [e for e in words.equations() if family_of(e.left) != iteration.family]
        for equation in (iteration.equation, *elsewhere):
            for candidate in candidates(equation, iteration, words):
                if isinstance(candidate, CldfError):
                    reasons.append(candidate)
                else:
                    return candidate
    smallest = min(found, key=lambda iteration: len(words.needs(iteration.family)))
    raise (reasons[0] if reasons else refusals.reads_no_data(smallest.equation, words))


def candidates(equation: tree.Equation, iteration: Iteration, words: Vocabulary) -> Iterator[Definition | CldfError]:
    """The residuals that an equation computes, or why what looks like one is none."""
    forms = LinearForms(words, equation.left.tag)
    is_definition = equation is not iteration.equation and not words.is_own(equation.right)
    for sum in arguments(equation.right, words, is_argument=is_definition):
        reads = words.reads(sum, iteration.family)
        if reads and all(is_iterated(read, iteration, words) for read in reads):
            found = residual_of(sum, forms, iteration, words)
            if found is not None:
                yield found


def arguments(expression: tree.Expression, words: Vocabulary, is_argument: bool) -> Iterator[tree.Sum]:
    """The sums that an operator is applied to, the innermost first."""
    match expression:
        case tree.Star(_, _, right) if right is not None:
            yield from arguments(right, words, True)
        case tree.Compose(_, inner) | tree.Apply(_, inner):
            yield from arguments(inner, words, True)
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            is_sum = isinstance(expression, tree.Sum)
            for part in parts:
                yield from arguments(part, words, not is_sum)
            if isinstance(expression, tree.Sum) and is_argument:
                yield expression
        case tree.Reduction(_, _, _, _, body):
            yield from arguments(body, words, True)
        case _:
            return


def is_iterated(read: tree.Symbol, iteration: Iteration, words: Vocabulary) -> bool:
    """Whether a value of the iterated family has the tag of the iteration, at a step that varies."""
    pairs = enumerate(zip(words.positions(read), words.positions(iteration.equation.left), strict=True))
    return all(isinstance(own.base, str) if at == iteration.place else own == head for at, (own, head) in pairs)


def residual_of(
    sum: tree.Sum, forms: LinearForms, iteration: Iteration, words: Vocabulary
) -> Definition | CldfError | None:
    """The definition of the residual that a sum is; None when it has no data, or no mapping."""
    terms = list(signed_terms(sum))
    with_feature = [part for part in terms if words.reads(part.term, iteration.family)]
    data = [part for part in terms if part not in with_feature]
    form = forms.total(with_feature)
    others = {term: factor for term, factor in form.items() if term.atom.family != iteration.family}
    hiding = [term for term in others if words.reads(term.atom.written, iteration.family)]
    if hiding:
        has_data = bool(data) or len(hiding) < len(others)
        return refusals.not_linear(with_feature, iteration, words) if has_data else None
    if others:
        form = add(form, others, -1)
        data, with_feature = [*data, *written(others)], written(form)
    if not data or not any(term.word for term in form):
        return None
    steps = dict.fromkeys(read.tag[iteration.place].name or "" for read in words.reads(sum, iteration.family))
    found = (changes_with_step(form, data, step, iteration.equation.left, words) for step in steps)
    refusal = next((error for error in found if error is not None), None)
    steady = shortest([part for part in data if not any(changes(part.term, step, words) for step in steps)], forms)
    return refusal or (define(steady, with_feature, form, iteration, words) if steady else None)


def shortest(terms: Sequence[Signed], forms: LinearForms) -> Sequence[Signed]:
    """Terms as they are, unless some of them cancel or meet: f for `2 * f - f`."""
    form = forms.total(terms)
    return written(form) if len(form) < len(terms) else terms


def changes_with_step(
    form: Form, data: Sequence[Signed], step: str, left: tree.Symbol, words: Vocabulary
) -> CldfError | None:
    """Why a mapping, or data of which all differ from step to step, give no residual form."""
    for term in form:
        for letter in (*term.scalars, *term.word):
            if any(depends_on(position, step) for position in letter.positions):
                return refusals.mapping_changes(letter.written, step, words)
    if all(changes(part.term, step, words) for part in data):
        return refusals.data_changes(data[0].term, step, left)
    return None


def changes(data: tree.Expression, step: str, words: Vocabulary) -> bool:
    """Whether data differ from step to step: by an index, or because each place computes its own."""
    return any(found.name == step for found in mentions(data)) or words.is_own(data)
