"""Where the residual starts: the equations for u that are no iterations, each with the one for f on its level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cldfc.algebra.residual.definition import Definition
from cldfc.algebra.residual.trees import Indices, substitute
from cldfc.algebra.residual.vocabulary import Vocabulary, family_of
from cldfc.network.numbers import Tag
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Start:
    """An equation for u that is no iteration, at a tag; `data` is the equation for f there, if it is put in.

    `indices` stand for those of its index names that are narrowed to what the residual speaks of.
    """

    feature: tree.Equation
    tag: Tag
    clauses: tuple[tree.Clause, ...]
    data: tree.Equation | None
    indices: Indices


def starts(definition: Definition, equations: Sequence[tree.Equation], data: Sequence[tree.Equation]) -> list[Start]:
    """Where the residual starts; each equation for f, in `data`, is put in at one start only: it may own parameters."""
    narrowed = [(e, indices) for e in equations if (indices := definition.narrowed(e)) is not None]
    pairs = [pair(definition, e, indices, equation) for e, indices in narrowed for equation in data]
    known = [start for start in pairs if start is not None]
    chosen = [start for start in known if best(definition, start.data, known) is start]
    partly = {id(start.feature) for start in known if start not in chosen}
    found: list[Start] = []
    for equation, indices in narrowed:
        mine = [start for start in chosen if start.feature is equation and id(equation) not in partly]
        clauses = tuple(clause for clause in equation.clauses if clause.name not in indices)
        found += mine or [Start(equation, substitute(equation.left, indices).tag, clauses, None, indices)]
    return found


def best(definition: Definition, data: tree.Equation | None, known: Sequence[Start]) -> Start:
    """The start at which an equation for f is put in: the last, but rather one whose u it contains."""
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


def pair(definition: Definition, feature: tree.Equation, indices: Indices, data: tree.Equation) -> Start | None:
    """An equation for u and one for f on the same level, if they are; u@ℓ,0 = 0 is narrowed to the level of f."""
    words = definition.words
    left = substitute(feature.left, indices)
    (part,) = definition.data_at(left.tag)
    narrowed = match(words, part.term, data.left)
    if narrowed is None or ((narrowed or indices) and feature.clauses):
        return None
    tag = substitute(left, narrowed).tag
    # Where the level does not stand first, constants without a tag would be those of another level.
    if words.positions(replace(data.left, tag=tag[: len(data.left.tag)])) != words.positions(data.left):
        return None
    if feature.clauses and data.clauses and feature.clauses != data.clauses:
        return None
    return Start(feature, tag, feature.clauses or data.clauses, data, {**indices, **narrowed})


def match(words: Vocabulary, read: tree.Expression, left: tree.Symbol) -> Indices | None:
    """What has to stand for the index names of a value that is read, so that a left side defines it."""
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
