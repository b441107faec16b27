"""The iteration of the residual, (3.4) → (3.5), and where it starts, (6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import DerivedEquation, Origin, Proof, ProofStep, Rule
from cldfc.algebra.residual.iterations import Weights, distributed, is_same_level, multiple_of
from cldfc.algebra.residual.linear_form import Form, LinearForms, add, terms_of
from cldfc.algebra.residual.vocabulary import (
    NOWHERE,
    Indices,
    Signed,
    Vocabulary,
    family_of,
    negated,
    put_in,
    signed_terms,
    substitute,
    sum_tree,
    transform,
)
from cldfc.network.names import Kind
from cldfc.network.numbers import Tag
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
        """Whether r at a value of u is what the equation itself defines, or is computed from that."""
        words, own = definition.words, self.left
        data = (value for part in definition.data_at(read.tag) for value in words.values(part.term))
        return any(
            family_of(value) == family_of(own) and words.positions(value) == words.positions(own)
            for value in (definition.residual(read.tag), *data)
        )


@dataclass(frozen=True, slots=True)
class _SplitIteration:
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
        sign, whole = _one_sign(split.correction)
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

    def split(self) -> _SplitIteration:
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
                return _SplitIteration(tuple(kept), tuple(part for part in parts if part not in chosen))
        raise refusals.data_stay(self.equation, self.whole)

    def reads(self, term: tree.Expression, is_steady: bool) -> bool:
        """Whether a term reads u or a partner on the same level: at one fixed step, if `is_steady`, else at others."""
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

    def proof(self, split: _SplitIteration, residual: tree.Expression, named: Sequence[tree.Equation] = ()) -> Proof:
        """The steps of section 3.1: definition, equation for u, linearity, definition again."""
        definition, equation, tag = self.definition, self.equation, self.equation.left.tag
        name, feature = definition.name, definition.family[0]
        data = definition.data_at(tag)
        apart = list(data)
        for part in distributed(equation.right, self.whole.families, definition.words):
            mapped = definition.mapped(tag, part.term)
            apart += negated(mapped) if part.sign > 0 else mapped
        unnamed = self.residual(split.features, *_one_sign(split.correction))
        put = [*data, *negated(definition.mapped(tag, equation.right))]
        steps = [
            ProofStep(sum_tree(definition.at(tag)), "definition of", name),
            ProofStep(sum_tree(put), "equation for", feature),
            ProofStep(sum_tree(apart), "linearity of", definition.mapping_name),
            ProofStep(unnamed, "definition of", name),
        ]
        steps += [ProofStep(residual, "definition of", correction.left.name) for correction in named]
        return Proof(self.left, (equation,), tuple(steps), tuple(named))


def _one_sign(terms: Sequence[Signed]) -> tuple[Literal[1, -1], tree.Expression]:
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


@dataclass(frozen=True, slots=True)
class Start:
    """An equation for u that is no iteration, at a tag; `data` is the equation for f there, if it is put in.

    `indices` replace those of its index names that are narrowed to the range of the residual.
    """

    feature: tree.Equation
    tag: Tag
    clauses: tuple[tree.Clause, ...]
    data: tree.Equation | None
    indices: Indices


def starts(definition: Definition, equations: Sequence[tree.Equation], data: Sequence[tree.Equation]) -> list[Start]:
    """Where the residual starts; each equation for f in `data` is put in only once, because it may own parameters."""
    narrowed = [(e, indices) for e in equations if (indices := definition.narrowed(e)) is not None]
    pairs = [_pair(definition, e, indices, equation) for e, indices in narrowed for equation in data]
    known = [start for start in pairs if start is not None]
    chosen = [start for start in known if _best(definition, start.data, known) is start]
    partly = {id(start.feature) for start in known if start not in chosen}
    found: list[Start] = []
    for equation, indices in narrowed:
        mine = [start for start in chosen if start.feature is equation and id(equation) not in partly]
        clauses = tuple(clause for clause in equation.clauses if clause.name not in indices)
        found += mine or [Start(equation, substitute(equation.left, indices).tag, clauses, None, indices)]
    return found


def _best(definition: Definition, data: tree.Equation | None, known: Sequence[Start]) -> Start:
    """The start at which an equation for f is put in: one whose u it contains, if there is one, else the last."""
    assert data is not None
    words = definition.words
    same = [start for start in known if start.data is data]
    read = [words.positions(feature) for feature in words.reads(data.right, definition.family)]
    cancelling = [start for start in same if words.positions(definition.feature(start.tag)) in read]
    return (cancelling or same)[-1]


def data_equations(definition: Definition) -> list[tree.Equation]:
    """The equations for f, where the data are one value of a family."""
    words = definition.words
    part = definition.data[0]
    if len(definition.data) > 1 or part.sign < 0 or not isinstance(part.term, tree.Symbol):
        return []
    return [e for e in words.equations() if family_of(e.left) == family_of(part.term)]


def _pair(definition: Definition, feature: tree.Equation, indices: Indices, data: tree.Equation) -> Start | None:
    """An equation for u and one for f on the same level, if they are; u@ℓ,0 = 0 is narrowed to the level of f."""
    words = definition.words
    left = substitute(feature.left, indices)
    (part,) = definition.data_at(left.tag)
    narrowed = _match(words, part.term, data.left)
    if narrowed is None or ((narrowed or indices) and feature.clauses):
        return None
    tag = substitute(left, narrowed).tag
    # Where the level does not stand first, constants without a tag would be those of another level.
    if words.positions(replace(data.left, tag=tag[: len(data.left.tag)])) != words.positions(data.left):
        return None
    if feature.clauses and data.clauses and feature.clauses != data.clauses:
        return None
    return Start(feature, tag, feature.clauses or data.clauses, data, {**indices, **narrowed})


def _match(words: Vocabulary, read: tree.Expression, left: tree.Symbol) -> Indices | None:
    """What the index names of a value that is read must be, so that a left side defines it."""
    assert isinstance(read, tree.Symbol)
    indices: dict[str, tree.Index] = {}
    pairs = zip(read.tag, left.tag, words.positions(read), words.positions(left), strict=True)
    for index, other, at, other_at in pairs:
        if at == other_at:
            continue
        if index.name not in words.bound or index.offset or index.at is not None:
            return None
        indices[index.name or ""] = other
    return indices


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
