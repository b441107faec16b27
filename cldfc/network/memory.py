"""Activation memory: the tensors that a network keeps for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from cldfc.ops.kept import FLOAT

if TYPE_CHECKING:
    from cldfc.network.graph import Graph


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes for each image of a batch, and bytes however many images there are."""

    each_image: int = 0
    each_batch: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.each_image + other.each_image, self.each_batch + other.each_batch)

    def of(self, images: int) -> int:
        return images * self.each_image + self.each_batch


def kept_by_operation(graph: Graph) -> list[Memory]:
    """What each operation is the first to keep for the backward pass; in training, in float32, on the CPU.

    That is what PyTorch's autograd saves, parameters and running statistics apart. A tensor that several
    operations keep is there once, and so is one that has several shapes. What depends on no parameter has no gradient.
    """
    tensors: list[int] = []
    trained: list[bool] = []
    known: set[int] = set()
    kept: list[Memory] = []
    for at, node in enumerate(graph.nodes()):
        operands = graph.operands(at)
        tensors.append(tensors[operands[0]] if node.operator.is_view() else at)
        trained.append(node.parameter is not None or any(trained[operand] for operand in operands))
        if not trained[at]:
            kept.append(Memory())
            continue
        keeps = node.operator.keeps(node.shape, [trained[operand] for operand in operands])
        wanted = {tensors[operands[place]] for place in keeps.operands} | {at for _ in range(keeps.result)}
        new = wanted - known
        known |= new
        numbers = sum(prod(graph.node(tensor).shape) for tensor in new)
        kept.append(Memory(FLOAT * numbers + keeps.each_image, keeps.each_batch))
    return kept
