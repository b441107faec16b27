"""`expect params = 8_038_858`: what a spec says of its own size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cldfc.diagnostics import Problems, did_you_mean
from cldfc.network.cost import count_multiply_adds, is_convolution
from cldfc.network.shapes import Inferred, count_stored
from cldfc.syntax import tree


def count_params(inferred: Inferred) -> int:
    return count_stored(inferred.parameters)


def count_macs(inferred: Inferred) -> int:
    """Multiply-adds for one image."""
    total = 0
    for operation, shape in zip(inferred.expansion.operations, inferred.shapes, strict=True):
        if operation.parameter is not None:
            operands = [inferred.shapes[at] for at in operation.operands]
            parameter = inferred.parameters[operation.parameter]
            total += count_multiply_adds(operation.operator, operands, shape, parameter)
    return total


def count_convs(inferred: Inferred) -> int:
    return sum(is_convolution(operation.operator) for operation in inferred.expansion.operations)


QUANTITIES: Mapping[str, tuple[Callable[[Inferred], int], str]] = {
    "params": (count_params, "parameters"),
    "macs": (count_macs, "multiply-adds"),
    "convs": (count_convs, "convolutions"),
}


def check_expectations(spec: tree.Tree, inferred: Inferred, problems: Problems) -> None:
    for expect in spec.statements:
        if not isinstance(expect, tree.Expect):
            continue
        if expect.quantity not in QUANTITIES:
            known = ", ".join(f"`{name}`" for name in QUANTITIES)
            help = did_you_mean(expect.quantity, QUANTITIES, f"write one of {known}")
            message = f"`{expect.quantity}` cannot be used with `expect`"
            problems.report("E0602", message, expect.name_span, "unknown quantity", help)
            continue
        count, what = QUANTITIES[expect.quantity]
        found = count(inferred)
        if found != expect.number.value:
            help = f"correct the network, or write `expect {expect.quantity} = {found:_}`"
            message = f"the network has {found:,} {what}, not {expect.number.span.text}"
            problems.report("E0601", message, expect.number.span, f"{found:,} counted", help)
