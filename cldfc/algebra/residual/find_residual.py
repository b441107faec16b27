"""Where a spec iterates on a residual: u@ℓ,i from u@ℓ,i-1 by a correction of f@ℓ - 𝒜@ℓ(u@ℓ,i-1), eq. (4.2)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import cast

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.define_residual import define_residual
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.iterations import Iteration, is_general, iterations, reachable
from cldfc.algebra.residual.linear_form import Form, LinearForms, Term, add, terms_of, without_scalars
from cldfc.algebra.residual.vocabulary import NOWHERE, Signed, Vocabulary, depends_on, family_of, signed_terms, sum_tree
from cldfc.diagnostics import CldfError
from cldfc.network.names import Family
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


def find_residuals(words: Vocabulary, known: Sequence[Definition] = ()) -> Iterator[Definition]:
    """The residuals on which a spec may iterate. After the last, raises CldfError: why there is no other.

    `known` are those that were found before, which the spec already computes.
    """
    found = list(iterations(words))
    if not found:
        raise refusals.nothing_iterates(words)
    reasons: list[CldfError] = []
    seen: set[Hashable] = set()
    done = {(other.family, words.positions(other.feature(other.head))) for other in known}
    derived = {name for other in known for name in (other.name, other.correction)}
    for iteration in found:
        is_known = is_general(iteration.left, words) and any(iteration.family == other.family for other in known)
        if is_known or (iteration.family, words.positions(iteration.left)) in done or iteration.family[0] in derived:
            continue
        others = [e for e in words.equations() if family_of(e.left) != iteration.family]
        elsewhere = [] if _is_numbered(iteration, words) else others
        for equation in (iteration.equation, *elsewhere):
            for candidate in _candidates(equation, iteration, words, known):
                if isinstance(candidate, CldfError):
                    reasons.append(candidate)
                elif (key := (candidate.family, candidate.head, candidate.data, candidate.mapping)) not in seen:
                    seen.add(key)
                    yield candidate
    raise (reasons[0] if reasons else refusals.reads_no_data(found, words))


def _candidates(
    equation: tree.Equation, iteration: Iteration, words: Vocabulary, known: Sequence[Definition]
) -> Iterator[Definition | CldfError]:
    """The residuals that an equation computes, or the reason why something that looks like one is not."""
    forms = LinearForms(words, iteration.left.tag)
    is_own = equation is iteration.equation
    is_definition = not is_own and not words.is_own(equation.right)
    for right in dict.fromkeys((iteration.over_left(equation.right), equation.right)):
        if right is equation.right and is_own and iteration.left != equation.left:
            continue
        sums = list(_sums_as_arguments(right, words, is_argument=is_definition))
        for sum, is_guess in [(sum, False) for sum in sums] + [
            (sum, True) for sum in _sums_taken_apart(right, forms, iteration)
        ]:
            reads = [read for read in words.reads(sum, iteration.family) if _is_iterated(read, iteration, words)]
            others = [read for read in words.reads(sum, iteration.family) if read not in reads]
            if reads and all(_is_fixed(read, iteration, words) for read in others):
                found = _residual_of(sum, forms, iteration, words, known)
                if found is not None and not (is_guess and isinstance(found, CldfError)):
                    yield found


def _sums_as_arguments(expression: tree.Expression, words: Vocabulary, is_argument: bool) -> Iterator[tree.Sum]:
    """The sums that an operator is applied to, the innermost first."""
    match expression:
        case tree.Star(_, _, right) if right is not None:
            yield from _sums_as_arguments(right, words, True)
        case tree.Compose(_, inner) | tree.Apply(_, inner):
            yield from _sums_as_arguments(inner, words, True)
        case tree.Quotient(one, other) | tree.Pairing(one, other):
            yield from _sums_as_arguments(one, words, True)
            yield from _sums_as_arguments(other, words, True)
        case tree.Norm(inner) | tree.Power(inner):
            yield from _sums_as_arguments(inner, words, True)
        case tree.Fix(name, body, right):
            for part in (body, right):
                for sum in () if part is None else _sums_as_arguments(part, words, True):
                    # What an iteration looks for is no data.
                    terms = [each for each in signed_terms(sum) if name not in _names_in(each.term)]
                    if len(terms) > 1:
                        yield cast(tree.Sum, sum_tree(terms))
        case tree.ApplyToSeveral(_, parts):
            for part in parts:
                yield from _sums_as_arguments(part, words, True)
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            is_sum = isinstance(expression, tree.Sum)
            for part in parts:
                yield from _sums_as_arguments(part, words, not is_sum)
            if isinstance(expression, tree.Sum) and is_argument:
                yield expression
        case tree.Reduction(_, _, _, _, body):
            yield from _sums_as_arguments(body, words, True)
        case _:
            pass


def _names_in(expression: tree.Expression) -> set[str]:
    return {found.name for found in mentions(expression) if isinstance(found, tree.Symbol)}


def _sums_taken_apart(right: tree.Expression, forms: LinearForms, iteration: Iteration) -> Iterator[tree.Sum]:
    """Residuals whose terms are spread over a sum: f - A * u in `u + f - A * u`, and in `u + B * f - B * A * u`."""
    if not isinstance(right, tree.Sum):
        return
    form = forms.value(right)
    mapped = [term for term in form if term.atom.family == iteration.family and term.word]
    prefixes = dict.fromkeys(
        Term(scalars, term.word[:length], term.atom)
        for term in mapped
        for scalars in dict.fromkeys((term.scalars, ()))
        for length in range(len(term.word) - 1, -1, -1)
    )
    for prefix in prefixes:
        rest: Form = {}
        for term, factor in form.items():
            found = _without_prefix(term, prefix)
            if found is not None and not (term.atom.family == iteration.family and not found.word):
                rest = add(rest, {found: factor})
        terms = terms_of(rest)
        if len(terms) > 1:
            yield tree.Sum(tuple(part.term for part in terms), tuple(part.sign for part in terms), NOWHERE)


def _without_prefix(term: Term, prefix: Term) -> Term | None:
    """A term without the scalars and the first operators of another; None if it lacks one of them."""
    scalars, length = without_scalars(term, prefix), len(prefix.word)
    if scalars is None or term.word[:length] != prefix.word:
        return None
    return Term(scalars, term.word[length:], term.atom)


def _is_iterated(read: tree.Symbol, iteration: Iteration, words: Vocabulary) -> bool:
    """Whether a value of the iterated family has the tag of the iteration, at a step that varies."""
    pairs = enumerate(zip(words.positions(read), words.positions(iteration.left), strict=True))
    return all(isinstance(own.base, str) if at == iteration.place else own == head for at, (own, head) in pairs)


def _is_fixed(read: tree.Symbol, iteration: Iteration, words: Vocabulary) -> bool:
    """Whether a value of the iterated family belongs to one step, such as u@ℓ,0, and so is the same in every step."""
    pairs = enumerate(zip(words.positions(read), words.positions(iteration.left), strict=True))
    return all(own.base is None if at == iteration.place else own == head for at, (own, head) in pairs)


def _residual_of(
    sum: tree.Sum, forms: LinearForms, iteration: Iteration, words: Vocabulary, known: Sequence[Definition]
) -> Definition | CldfError | None:
    """The definition of the residual that a sum is; None when it has no data, or no mapping."""

    def features(expression: tree.Expression) -> list[tree.Symbol]:
        return [read for read in words.reads(expression, iteration.family) if _is_iterated(read, iteration, words)]

    terms = list(signed_terms(sum))
    with_feature = [part for part in terms if features(part.term)]
    data = [part for part in terms if part not in with_feature]
    form = forms.total(with_feature)
    others = {
        term: factor
        for term, factor in form.items()
        if term.atom.family != iteration.family or not features(term.atom.written)
    }
    hiding = [term for term in others if features(term.atom.written)]
    if hiding:
        seen = [*(part.term for part in data), *(term.atom.written for term in others if term not in hiding)]
        has_data = any(not _is_of_iteration(term, iteration, words) for term in seen)
        return refusals.hides(with_feature, iteration, words) if has_data else None
    if others:
        form = add(form, others, -1)
        data, with_feature = [*data, *terms_of(others)], terms_of(form)
    if not data or not form:
        return None
    is_identity = not any(term.word for term in form)
    if is_identity and (_is_numbered(iteration, words) or any(factor * data[0].sign > 0 for factor in form.values())):
        return None
    steps = dict.fromkeys([iteration.step, *(read.tag[iteration.place].name or "" for read in features(sum))])
    found = (_changes_with_step(form, data, step, iteration.left, words) for step in steps)
    refusal = next((error for error in found if error is not None), None)
    if refusal is not None:
        has_data = any(not _is_of_iteration(part.term, iteration, words) for part in data)
        return refusal if has_data and not is_identity else None
    steady = _shortest_sum([part for part in data if not any(_varies(part.term, step, words) for step in steps)], forms)
    if is_identity and steady and any(factor * steady[0].sign > 0 for factor in form.values()):
        return None
    if any(
        _is_of_iteration(part.term, iteration, words, besides=not _is_numbered(iteration, words)) for part in steady
    ):
        return None
    return define_residual(steady, with_feature, form, iteration, words, known) if steady else None


def _is_of_iteration(term: tree.Expression, iteration: Iteration, words: Vocabulary, besides: bool = False) -> bool:
    """Whether a term is computed from the iterated values themselves, step by step, and so cannot be data.

    `besides`: except values of u itself, such as u@ℓ,0.
    """
    reached = reachable(words)
    families = {family_of(value) for value in words.values(term)} - ({iteration.family} if besides else set[Family]())
    return any(iteration.family in reached.get(family, {}) for family in families)


def _is_numbered(iteration: Iteration, words: Vocabulary) -> bool:
    """Whether the equation speaks of one step alone: u@2 = u@1 + …"""
    return iteration.equation.left.tag[iteration.place].name not in words.bound


def _shortest_sum(terms: Sequence[Signed], forms: LinearForms) -> Sequence[Signed]:
    """Terms as they are, unless some of them cancel or can be collected: f for `2 * f - f`."""
    form = forms.total(terms)
    return terms_of(form) if len(form) < len(terms) else terms


def _changes_with_step(
    form: Form, data: Sequence[Signed], step: str, left: tree.Symbol, words: Vocabulary
) -> CldfError | None:
    """Why there is no residual form if the mapping, or all data, differ from step to step; else None."""
    for term in form:
        for letter in (*term.scalars, *term.word):
            if any(depends_on(position, step) for position in letter.positions):
                return refusals.mapping_changes(letter.written, step, words)
    if all(_varies(part.term, step, words) for part in data):
        return refusals.data_changes(data[0].term, step, left)
    return None


def _varies(data: tree.Expression, step: str, words: Vocabulary) -> bool:
    """Whether data differ from step to step: by an index, or because each place computes its own."""
    return any(found.name == step for found in mentions(data)) or words.is_own(data)
