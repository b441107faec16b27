"""Why a normalisation is not folded into a kernel."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from cldfc.algebra.norms_after import Norm, norm_of, norms_after_kernels, readers_of
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.ops import Add, BatchNorm, Kernel, Multiply, Operator, Scale, ScaleBy, Total


@dataclass(frozen=True, slots=True)
class KeptNorm:
    """A normalisation that stays, with its keyword, the kernel right before it if there is one, and the reason."""

    norm: Norm
    keyword: str
    kernel: Key | None
    reason: str


def explain_kept(graph: Graph, folded: Container[Key]) -> list[KeptNorm]:
    """A reason for each normalisation that stays when these kernels have taken up theirs, in the order of use."""
    readers, norms = readers_of(graph), norms_after_kernels(graph)
    found: dict[KeptNorm, None] = {}
    for at, node in enumerate(graph.nodes()):
        norm = norm_of(node)
        if norm is None:
            continue
        before = graph.operands(at)[0]
        kernel = graph.node(before).parameter if isinstance(graph.node(before).operator, Kernel) else None
        keyword = node.operator.keyword or ""
        if not isinstance(node.operator, BatchNorm):
            kernel, reason = None, "it depends on the data"
        elif kernel is None:
            is_padded = any(isinstance(graph.node(reader).operator, Kernel) for reader in readers[at])
            reason = (
                PADDED if is_padded else f"it follows {what_precedes(graph.node(before).operator)}, not a convolution"
            )
        elif kernel in folded:
            continue
        else:
            reason = why_not(norms[kernel], len(readers[before]))
        found[KeptNorm(norm, keyword, kernel, reason)] = None
    return list(found)


PADDED = "it stands before a convolution, whose zero padding would lack its shift"


def what_precedes(operator: Operator) -> str:
    match operator:
        case Add() | Total():
            return "a sum"
        case Multiply() | Scale() | ScaleBy():
            return "a product"
        case _:
            return f"`{operator.keyword}`" if operator.keyword else f"the {type(operator).__name__.lower()}"


def why_not(norms: list[Norm | None], readers: int) -> str:
    if readers > 1:
        return "the result of the convolution is used elsewhere too"
    if None in norms:
        return "the kernel is used without it too"
    if len(set(norms)) == len(norms):
        return f"the kernel is shared by {len(norms)} uses with a bn each"
    return f"the kernel is shared by {len(norms)} uses with {len(set(norms))} bn"
