"""A remark on pooling whose windows leave rows or columns out: the network does not see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cldfc.diagnostics import Diagnostic, Label, Span, shape_text
from cldfc.network.positions import format_key
from cldfc.network.shapes import Inferred
from cldfc.ops import Pool


def remark_left_out(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0902 on each pooling that leaves something out, at the first value where it does."""
    said: set[Span] = set()
    for operation in inferred.expansion.operations:
        operator = operation.operator
        if not isinstance(operator, Pool) or operation.span in said:
            continue
        sides = inferred.shapes[operation.operands[0]][1:]
        left = [operator.left_out(size) for size in sides]
        if any(left):
            said.add(operation.span)
            value = format_key(inferred.expansion.instances[operation.instance].value)
            yield Diagnostic(
                "R0902",
                f"`{operation.span.text}` leaves {rows_and_columns(left, sides)} out, in `{value}`",
                (Label(operation.span, f"applied to a map of {shape_text(sides)} here"),),
                help_for_pooling(operator, sides),
            )


def rows_and_columns(left: list[int], sides: tuple[int, ...]) -> str:
    """`1 of 7 rows and 1 of 7 columns`."""
    each = zip(left, sides, ("row", "column"), strict=True)
    return " and ".join(f"{count} of {size} {word}{'s' * (size != 1)}" for count, size, word in each if count)


def help_for_pooling(operator: Pool, sides: tuple[int, ...]) -> str:
    """What would leave nothing out: windows side by side, or a padding."""
    size, stride, padding = operator.window() or (1, 1, 0)
    if stride > size:
        return f"write a stride of at most {size}, the size of the window"
    for wider in range(padding + 1, size // 2 + 1):
        if not any(replace(operator, padding=wider).left_out(side) for side in sides):
            return f"write `padding={wider}`, or a window that fits into the map"
    return "write a window and a stride that fit into the map"
