"""`derive_residual`: the residual form of a spec, source to source; Theorem 1, (3.4) → (3.5) and (4.2) → (4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cldfc.algebra.infer import infer_network
from cldfc.algebra.residual import refusals
from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.derivation import Derivation, DerivedEquation
from cldfc.algebra.residual.equations import residual_equations
from cldfc.algebra.residual.find_residual import find_residuals
from cldfc.algebra.residual.keep_names import keep_names
from cldfc.algebra.residual.vocabulary import read_vocabulary
from cldfc.algebra.residual.write_spec import notes_on_left_out, outline_spec, recomputed, write_spec
from cldfc.diagnostics import CldfError, Problems
from cldfc.network.positions import format_key
from cldfc.network.program import Program
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree


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
    found, network, definition = derive_once(spec, original, ())
    known = list(definition.every)
    while True:
        try:
            more, network, definition = derive_once(found.spec, network, known)
        except CldfError as error:
            # A second family that has no iteration, or no residual, is nothing to speak of.
            refused = [each.message for each in error.diagnostics if each.code not in ("E0801", "E0802")]
            return replace(found, notes=(*found.notes, *refused))
        notes = tuple(dict.fromkeys([*found.notes, *more.notes]))
        found = Derivation(more.spec, (*found.proofs, *more.proofs), notes)
        known += definition.every


def derive_once(
    spec: tree.Tree, original: Inferred, known: Sequence[Definition]
) -> tuple[Derivation, Inferred, Definition]:
    """The residual form of one iterated family, its network, and what its residual is; `known` are those of others.

    Of what may be a residual the first is taken that gives a residual form.
    """
    words = read_vocabulary(spec, original.expansion.instances)
    others = [replace(other, words=words) for other in known]
    reasons: list[CldfError] = []
    try:
        for definition in find_residuals(words, others):
            try:
                return *derive_by(definition, original), definition
            except CldfError as error:
                reasons.append(error)
    except CldfError as error:
        reasons.append(error)
    raise reasons[0]


def derive_by(definition: Definition, original: Inferred) -> tuple[Derivation, Inferred]:
    entries, derived, inferred = check_derived(definition, original.expansion.program)
    proofs = tuple(entry.proof for entry in entries if entry.proof is not None)
    notes = [*notes_on_left_out(definition, entries), *notes_on_unused(original, inferred)]
    return Derivation(derived, proofs, tuple(notes)), inferred


def check_derived(definition: Definition, program: Program) -> tuple[list[DerivedEquation], tree.Tree, Inferred]:
    """The equations and their spec, which has passed all checks; f stays where its range is another than that of r.

    `program` is that of the spec whose names the parameters keep.
    """
    found: list[CldfError] = []
    for puts_data_in in (True, False):
        entries = residual_equations(definition, puts_data_in)
        try:
            inferred = infer_derived(outline_spec(definition, entries))
        except CldfError:
            # Once more, with the places of the derived text.
            try:
                inferred = infer_derived(write_spec(definition, entries))
            except CldfError as error:
                found.append(error)
                continue
        renames = keep_names(entries, inferred.expansion.program, program)
        derived = write_spec(definition, entries, renames, recomputed(definition.words.spec, inferred))
        inferred = infer_derived(derived)
        return entries, derived, inferred
    raise refusals.has_errors(found[0], definition)


def infer_derived(spec: tree.Tree) -> Inferred:
    """The network of a spec. Raises CldfError."""
    problems = Problems()
    inferred = infer_network(spec, Changes(), problems)
    problems.stop_if_any()
    return inferred


def notes_on_unused(original: Inferred, inferred: Inferred) -> list[str]:
    """Notes on parameters that the residual form does without; of many, on the first two."""
    keys = sorted(original.parameters.keys() - inferred.parameters.keys())
    texts = [f"`{format_key(key)}` has no part in the residual form: what it computes cancels" for key in keys]
    return texts if len(texts) <= 3 else [*texts[:2], f"and {len(texts) - 2} more have none"]
