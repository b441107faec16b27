"""Where a spec iterates on a residual: u@ℓ,i from u@ℓ,i-1 by a correction of f@ℓ - 𝒜@ℓ(u@ℓ,i-1), eq. (4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.linear_form import Form, LinearForms, Term, add, written
from cldfc.algebra.residual.trees import Signed, negated, put_in, signed_terms, transform
from cldfc.algebra.residual.vocabulary import Vocabulary, depends_on, family_of
from cldfc.diagnostics import CldfError
from cldfc.network.names import Family
from cldfc.network.numbers import level_index
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.keywords import STATEMENTS, WORDS_INSIDE
from cldfc.syntax.walk import mentions

RESIDUALS = ("r", "s", "q", "ρ", "residual")
CORRECTIONS = ("e", "d", "ε", "correction")


@dataclass(frozen=True, slots=True)
class Iteration:
    """An equation that gives a family's value from that of an earlier step; `place` is that of the step in its tag."""

    equation: tree.Equation
    place: int

    @property
    def family(self) -> Family:
        """The family that is iterated."""
        return family_of(self.equation.left)

    @property
    def step(self) -> str:
        """The index name of the step."""
        return self.equation.left.tag[self.place].name or ""


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
    steady = [part for part in data if not any(changes(part.term, step, words) for step in steps)]
    shorter = forms.total(steady)
    steady = written(shorter) if len(shorter) < len(steady) else steady
    return refusal or (define(steady, with_feature, form, iteration, words) if shorter else None)


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


def define(
    data: Sequence[Signed],
    with_feature: Sequence[Signed],
    form: Form,
    iteration: Iteration,
    words: Vocabulary,
) -> Definition:
    """The definition with f@ℓ counted as positive: for 𝒜(u) - f the residual is f - 𝒜(u) as well."""
    left = iteration.equation.left
    mapping = list(negated(with_feature))
    reads = {words.positions(read) for part in with_feature for read in words.reads(part.term, iteration.family)}
    if len(reads) > 1:
        mapping = written(at_head(form, left, words))
    if data[0].sign < 0:
        data, mapping = negated(data), list(negated(mapping))
    placed = [Signed(part.sign, put_in(part.term, *iteration.family, lambda _: left)) for part in mapping]
    family, terms = iteration.family, (with_levels(data, left, words), with_levels(placed, left, words))
    found = Definition(words, family, left.tag, iteration.place, "", *terms)
    known = defining_equation(found)
    name = known.left.name if known is not None else free_name(words, RESIDUALS)
    return replace(found, name=name, equation=known)


def with_levels(terms: Sequence[Signed], left: tree.Symbol, words: Vocabulary) -> tuple[Signed, ...]:
    """Terms in which constants of the level say which: elsewhere, another left side would say it for them."""

    def change(part: object) -> object | None:
        constants = words.tags.constants
        if not isinstance(part, tree.Symbol) or part.tag or not constants.is_per_level(part.name):
            return None
        constant = constants.constant(part.name)
        level = level_index(left.tag, constant.index or "", constants.is_per_level) if constant is not None else None
        return None if level is None else replace(part, tag=(level,))

    return tuple(Signed(part.sign, transform(part.term, change)) for part in terms)


def at_head(form: Form, left: tree.Symbol, words: Vocabulary) -> Form:
    """The mapping of an extrapolated residual, f - A * (2 * u@i-1 - u@i-2): all that is done to u, done to one u."""
    found: Form = {}
    for term, factor in form.items():
        atom = replace(term.atom, key=(left.name, words.positions(left)), written=left)
        found = add(found, {Term(term.scalars, term.word, atom): -factor})
    return found


def defining_equation(found: Definition) -> tree.Equation | None:
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


def free_name(words: Vocabulary, wanted: Sequence[str]) -> str:
    """The first name that a spec has not taken."""
    names = words.names
    taken = {*names.declared, *names.by_name, *words.bound, *BUILTINS, *STATEMENTS, *WORDS_INSIDE}
    numbered = (f"{wanted[0]}_{at}" for at in count(2))
    return next(name for name in chain(wanted, numbered) if name not in taken)
