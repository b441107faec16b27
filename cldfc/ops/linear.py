"""The classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Shape, Sized, Sizes, Solver


class Linear(Operator):
    """linear(x) = W x + b: as many numbers as the output has classes."""

    keyword: ClassVar[str | None] = "linear"
    owns: ClassVar[str | None] = "linear"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.equal(shapes.vector(operands[0]), parameter.dimension("in"))
        shapes.equal(shapes.vector(result), parameter.dimension("out"))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return sizes["out"] * (sizes["in"] + 1)

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Linear({sizes['in']}, {sizes['out']})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        return sizes["in"] * sizes["out"]
