"""Which values an equation reads, in the order in which it needs them."""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.reference.declarations import Key
from cldfc.reference.numbers import Binding, ReferenceNumbers, Tag
from cldfc.reference.places import reduction_turns
from cldfc.syntax import tree


def reads_of(equation: tree.Equation, binding: Binding, numbers: ReferenceNumbers) -> list[Key]:
    """The values on the right of an equation at one choice of its index names, each once."""
    return list(dict.fromkeys(values_read(equation.right, binding, equation.left.tag, numbers)))


def values_read(expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers) -> Iterator[Key]:
    """The values in an expression: those that inner operations need before those that this one needs itself."""
    own: list[Key] = []
    for operand, inner in operands(expression, binding, tag, numbers):
        if isinstance(operand, tree.Symbol):
            own.append((operand.name, numbers.indices(operand, inner)))
        else:
            yield from values_read(operand, inner, tag, numbers)
    yield from own


def operands(
    expression: tree.Expression, binding: Binding, tag: Tag, numbers: ReferenceNumbers
) -> list[tuple[tree.Expression, Binding]]:
    match expression:
        case tree.Symbol():
            return [(expression, binding)]
        case tree.Star(_, _, right) if right is not None:
            return [(right, binding)]
        case tree.Compose(_, argument) | tree.Apply(_, argument):
            return [(argument, binding)]
        case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
            return [(part, binding) for part in parts]
        case tree.Reduction(_, name, _, _, body):
            turns = reduction_turns(numbers, expression, binding, tag)
            return [(body, {**binding, name: j}) for j in turns]
        case _:
            return []
