"""Which parameter of the spec each parameter of the residual form is: worked out place by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cldfc.algebra.residual.derivation import Entry
from cldfc.algebra.residual.vocabulary import Vocabulary
from cldfc.network.positions import Key, Position
from cldfc.network.program import Program, Template, Use
from cldfc.network.shapes import Inferred
from cldfc.ops import Kernel, ScaleBy
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Place:
    """A normalisation in the residual form, and the same one in the spec."""

    new: Use
    old: Use
    indices: Mapping[str, Position]
    """What stands for the index names of the old place."""


def match_parameters(
    entries: Sequence[Entry], derived: Inferred, program: Program, words: Vocabulary
) -> dict[Key, Key]:
    """Each parameter of the residual form → the same one of the spec; `program` is the spec's.

    Kernels and scalars keep their names. Normalisations keep their order: those of an equation
    are those of its origins, one after the other.
    """
    equations = [s for s in derived.expansion.program.spec.statements if isinstance(s, tree.Equation)]
    found = {key: key for key in derived.parameters}
    for equation, entry in zip(equations, entries, strict=True):
        mine = [t for t in derived.expansion.program.templates if t.statement is equation]
        places = list(match_places(mine, entry, program, words))
        for instance in derived.expansion.instances:
            if instance.template.statement is not equation:
                continue
            uses = {id(use.tag) for use in owned(instance.template)}
            for place in places:
                if id(place.new.tag) in uses:
                    binding = instance.binding
                    old = (at.substitute(place.indices) for at in place.old.positions)
                    new = (place.new.name, tuple(at.value(binding) for at in place.new.positions))
                    found[new] = (place.old.name, tuple(at.value(binding) for at in old))
    return found


def match_places(templates: Sequence[Template], entry: Entry, program: Program, words: Vocabulary) -> Iterator[Place]:
    """The normalisations of an equation, each with that of its origin."""
    new = [use for template in templates for use in owned(template)]
    old: list[tuple[Use, Mapping[str, Position]]] = []
    for origin in entry.origins:
        head = tree.Symbol("", tuple(origin.indices.values()), origin.equation.span)
        indices = dict(zip(origin.indices, words.positions(head), strict=True))
        same = [template for template in program.templates if template.statement is origin.equation]
        old += [(use, indices) for template in same for use in owned(template)]
    for use, (other, indices) in zip(new, old, strict=True):
        yield Place(use, other, indices)


def owned(template: Template) -> Iterator[Use]:
    """What the normalisations and linear layers of an equation store, in their order."""
    for step in template.steps:
        if not isinstance(step.operator, Kernel | ScaleBy):
            yield from step.uses()
