"""The classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import Operator, whole
from cldfc.ops.kept import OPERAND, Kept
from cldfc.ops.shapes import Form, Shape, Sized, Sizes, whole_size
from cldfc.ops.solver import Solver


@dataclass(frozen=True)
class Linear(Operator):
    """linear(x) = W x + b: as many numbers as `outputs` says, or as the network has classes.

    It is affine, for its bias, so it does not count as linear.
    """

    keyword: ClassVar[str | None] = "linear"
    owns: ClassVar[str | None] = "linear"
    is_layer: ClassVar[bool] = True
    shapes: ClassVar[str] = "n → outputs"
    parameters: ClassVar[str] = "(n + 1)·outputs"
    outputs: int | None = whole(None, 1, 2**20)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        out = parameter.dimension("out")
        if self.outputs is not None:
            shapes.known(out, self.outputs)
        shapes.equal(shapes.vector(operands[0]), parameter.dimension("in"))
        shapes.equal(shapes.vector(result), out)

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return whole_size(sizes, "out") * (whole_size(sizes, "in") + 1)

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Linear({sizes['in']}, {sizes['out']})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        return whole_size(sizes, "in") * whole_size(sizes, "out")

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND
