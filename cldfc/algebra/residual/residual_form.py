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
from cldfc.algebra.residual.write_spec import left_out, outline, recomputed, write_spec
from cldfc.diagnostics import CldfError, Problems
from cldfc.network.positions import Key, format_key
from cldfc.network.program import Program
from cldfc.network.resolve import Changes
from cldfc.network.shapes import Inferred
from cldfc.syntax import tree


def derive_residual(spec: tree.Tree, original: Inferred) -> Derivation:
    """The residual form of a spec that extends no other; `original` is its network.

    One iterated family after the other is rewritten, as long as there is one: a V-cycle has two.
    Raises CldfError with the reason when the first has no residual form.
    """
    found, network, definition = derive_once(spec, original, ())
    known = list(definition.every)
    while True:
        try:
            more, network, definition = derive_once(found.spec, network, known)
        except CldfError as error:
            return replace(found, notes=(*found.notes, *note_refused(error)))
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
    """The residual form of a spec by one residual, and its network. Raises CldfError."""
    entries, derived, inferred = checked(definition, original.expansion.program)
    proofs = tuple(entry.proof for entry in entries if entry.proof is not None)
    gone = original.parameters.keys() - inferred.parameters.keys()
    notes = [*left_out(definition, entries), *note_unused(gone)]
    return Derivation(derived, proofs, tuple(notes)), inferred


def checked(definition: Definition, program: Program) -> tuple[list[DerivedEquation], tree.Tree, Inferred]:
    """The equations and their spec, which has passed all checks; f stays where its range is another than that of r.

    `program` is that of the spec whose names the parameters keep.
    """
    found: list[CldfError] = []
    for puts_data_in in (True, False):
        entries = residual_equations(definition, puts_data_in)
        try:
            inferred = infer(outline(definition, entries))
        except CldfError:
            # Once more, with the places of the derived text.
            try:
                inferred = infer(write_spec(definition, entries))
            except CldfError as error:
                found.append(error)
                continue
        renames = keep_names(entries, inferred.expansion.program, program)
        derived = write_spec(definition, entries, renames, recomputed(definition.words.spec, inferred))
        inferred = infer(derived)
        return entries, derived, inferred
    raise refusals.has_errors(found[0], definition)


def infer(spec: tree.Tree) -> Inferred:
    """The network of a spec. Raises CldfError."""
    problems = Problems()
    inferred = infer_network(spec, Changes(), problems)
    problems.stop_if_any()
    return inferred


def note_refused(error: CldfError) -> list[str]:
    """A note on a second iterated family that has a residual, but no residual form."""
    return [found.message for found in error.diagnostics if found.code not in ("E0801", "E0802")]


def note_unused(keys: Sequence[Key] | set[Key]) -> list[str]:
    """Notes on parameters that the residual form does without."""
    texts = [f"`{format_key(key)}` has no part in the residual form: what it computes cancels" for key in sorted(keys)]
    return texts if len(texts) <= 3 else [*texts[:2], f"and {len(texts) - 2} more have none"]
