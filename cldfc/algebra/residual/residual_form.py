"""`derive_residual`: the residual form of a spec, source to source; Theorem 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cldfc.algebra.infer import infer_network
from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import Derivation, DerivedEquation, Origin
from cldfc.algebra.residual.find_residual import find_residuals
from cldfc.algebra.residual.iteration_form import (
    IterationForm,
    Rewriting,
    Start,
    StartForm,
    data_equations,
    iteration_of,
    starts,
)
from cldfc.algebra.residual.normal_equation import write_normal
from cldfc.algebra.residual.vocabulary import family_of, read_vocabulary
from cldfc.algebra.residual.write_out import write_out
from cldfc.algebra.residual.write_spec import keep_names, notes_on_left_out, outline_spec, recomputed, write_spec
from cldfc.diagnostics import CldfError, Problems
from cldfc.network.names import Family
from cldfc.network.positions import format_key
from cldfc.network.program import Program
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


def _residual_equations(definition: Definition, puts_data_in: bool) -> list[DerivedEquation]:
    """The equations of the residual form, in the order of the spec; raises CldfError where there is none.

    Corrections are values of their own if both u and r need them, or r several times. `puts_data_in` says whether f may
    disappear into the start of r.
    """
    named = _needed(list(_Equations(definition, puts_data_in, True).entries()), definition)
    needs_feature = any(definition.of(entry.equation.left) is not None for entry in named)
    if needs_feature or definition.uses > 1:
        return named
    return _needed(list(_Equations(definition, puts_data_in, False).entries()), definition)


@dataclass(frozen=True)
class _Equations:
    """All equations, needed or not, with corrections under a name or without one."""

    definition: Definition
    puts_data_in: bool
    is_named: bool

    def entries(self) -> Iterator[DerivedEquation]:
        """The equations in the order of the spec: r behind u."""
        whole = self.definition
        found = list(self.starts())
        replaced = {id(start.data): (definition, start) for definition, start in found if start.data is not None}
        for equation in whole.words.equations():
            if any(equation is definition.equation for definition in whole.every):
                continue
            if id(equation) in replaced:
                yield StartForm(*replaced[id(equation)], whole).replacement()
            elif (form := self.iteration(equation)) is not None:
                yield from form.entries()
            else:
                right = Rewriting(whole, equation.left).expression(equation.right)
                yield DerivedEquation(replace(equation, right=right), (Origin(equation, {}),))
                for definition, start in found:
                    if start.feature is equation:
                        yield StartForm(definition, start, whole).entry()

    def iteration(self, equation: tree.Equation) -> IterationForm | None:
        """An equation as an iteration, if it is one; that of a single step, u@ℓ,1 = …, may be a start instead."""
        whole = self.definition
        definition = iteration_of(equation, whole)
        if definition is None:
            return None
        form = IterationForm(whole, definition, equation, self.is_named)
        if definition.is_numbered(equation):
            try:
                form.split()
            except CldfError:
                return None
        return form

    def starts(self) -> Iterator[tuple[Definition, Start]]:
        """Where residuals start, each with its definition; an equation for f is put in once only."""
        used: list[tree.Equation] = []
        for definition in self.definition.every:
            of_feature = [e for e in definition.words.equations() if family_of(e.left) == definition.family]
            plain = [equation for equation in of_feature if self.iteration(equation) is None]
            for equation in plain:
                if definition.covers(equation.left.tag) and not definition.is_numbered(equation):
                    raise refusals.feature_stays(equation.right, definition)
            data = [e for e in data_equations(definition) if self.puts_data_in and e not in used]
            for start in starts(definition, plain, data):
                used += [] if start.data is None else [start.data]
                yield definition, start


def _needed(entries: Sequence[DerivedEquation], definition: Definition) -> list[DerivedEquation]:
    wanted: set[Family] = set()
    open: list[Family] = [(s.name, 0) for s in definition.words.spec.statements if isinstance(s, tree.Output)]
    while open:
        family = open.pop()
        if family not in wanted:
            wanted.add(family)
            same = (entry for entry in entries if family_of(entry.equation.left) == family)
            # Parameters and operators are among them, but no family is called like one.
            found = (symbol for entry in same for symbol in mentions(entry.equation.right))
            open += [family_of(symbol) for symbol in found if isinstance(symbol, tree.Symbol)]
    return [entry for entry in entries if family_of(entry.equation.left) in wanted]


def derive_residual(spec: tree.Tree, original: Inferred) -> Derivation:
    """The residual form of a spec that extends no other; `original` is its network.

    One iterated family after the other is rewritten, as long as there is one: a V-cycle has two.
    Raises CldfError with the reason when the first has no residual form.

    Before::

        steps i = 1..3
        u@0 = 0
        u@i = u@i-1 + relu(B * (f - A * u@i-1))
        h = linear(avgpool(u@3))

    After::

        u@0 = 0
        r@0 = f
        e@i = relu(B * r@i-1)
        u@i = u@i-1 + e@i
        r@i = r@i-1 - A * e@i
        h   = linear(avgpool(u@3))
    """
    spec, original = write_out(spec, original)
    found, network, definition = _derive_once(spec, original, ())
    known = list(definition.every)
    while True:
        try:
            more, network, definition = _derive_once(found.spec, network, known)
        except CldfError as error:
            # That a second family has no iteration, or no residual, is not worth a note.
            refused = [each.message for each in error.diagnostics if each.code not in ("E0801", "E0802")]
            return replace(found, notes=(*found.notes, *refused))
        notes = tuple(dict.fromkeys([*found.notes, *more.notes]))
        found = Derivation(more.spec, (*found.proofs, *more.proofs), notes)
        known += definition.every


def derive_normal(spec: tree.Tree, original: Inferred) -> tree.Tree:
    """The iteration for the normal equation 𝒜ᵀ𝒜(u) = 𝒜ᵀ(f); raises CldfError where Theorem 1 has no 𝒜."""
    spec, original = write_out(spec, original)
    _, _, definition = _derive_once(spec, original, ())
    return write_normal(spec, definition)


def _derive_once(
    spec: tree.Tree, original: Inferred, known: Sequence[Definition]
) -> tuple[Derivation, Inferred, Definition]:
    """The residual form of one iterated family, its network, and what its residual is; `known` are those of others.

    Of the possible residuals, the first that gives a residual form is taken.
    """
    words = read_vocabulary(spec, original.expansion.instances)
    others = [replace(other, words=words) for other in known]
    reasons: list[CldfError] = []
    try:
        for definition in find_residuals(words, others):
            try:
                return *_derive_by(definition, original), definition
            except CldfError as error:
                reasons.append(error)
    except CldfError as error:
        reasons.append(error)
    raise reasons[0]


def _derive_by(definition: Definition, original: Inferred) -> tuple[Derivation, Inferred]:
    entries, derived, inferred = _check_derived(definition, original.expansion.program)
    proofs = tuple(entry.proof for entry in entries if entry.proof is not None)
    notes = [*notes_on_left_out(definition, entries), *_notes_on_unused(original, inferred)]
    return Derivation(derived, proofs, tuple(notes)), inferred


def _check_derived(definition: Definition, program: Program) -> tuple[list[DerivedEquation], tree.Tree, Inferred]:
    """The equations and their spec, which has passed all checks; f stays where its range is another than that of r.

    `program` is that of the spec whose names the parameters keep.
    """
    found: list[CldfError] = []
    for puts_data_in in (True, False):
        entries = _residual_equations(definition, puts_data_in)
        try:
            inferred = _infer_derived(outline_spec(definition, entries))
        except CldfError:
            # Once more, with the places of the derived text.
            try:
                inferred = _infer_derived(write_spec(definition, entries))
            except CldfError as error:
                found.append(error)
                continue
        renames = keep_names(entries, inferred.expansion.program, program)
        derived = write_spec(definition, entries, renames, recomputed(definition.words.spec, inferred))
        inferred = _infer_derived(derived)
        return entries, derived, inferred
    raise refusals.has_errors(found[0], definition)


def _infer_derived(spec: tree.Tree) -> Inferred:
    """The network of a spec. Raises CldfError."""
    problems = Problems()
    inferred = infer_network(spec, Changes(), problems)
    problems.stop_if_any()
    return inferred


def _notes_on_unused(original: Inferred, inferred: Inferred) -> list[str]:
    """Notes on parameters that the residual form does not use; of many, on the first two."""
    keys = sorted(original.parameters.keys() - inferred.parameters.keys())
    texts = [f"`{format_key(key)}` has no part in the residual form: what it computes cancels" for key in keys]
    return texts if len(texts) <= 3 else [*texts[:2], f"and {len(texts) - 2} more have none"]
