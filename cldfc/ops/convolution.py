"""Convolution with a declared kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Shape, Sized, Sizes, Solver


@dataclass(frozen=True)
class Convolution(Operator):
    """K * x and K *_s x: convolution with zero padding (k-1)/2 and stride s, eq. (2.1), (2.2)."""

    linear: ClassVar[bool] = True
    stride: int = 1

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels, *before = shapes.map(operands[0])
        channels_out, *after = shapes.map(result)
        shapes.equal(channels, parameter.dimension("in"))
        shapes.equal(channels_out, parameter.dimension("out"))
        for small, large in zip(after, before, strict=True):
            shapes.divided(small, large, self.stride)

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def torch_unlike(self, operands: list[str], module: str) -> str:
        """The same with a module that was made for another stride."""
        return f"F.conv2d({operands[0]}, {module}.weight, stride={self.stride}, padding={module}.padding)"

    def stored(self, sizes: Sizes) -> int:
        return sizes["in"] * sizes["out"] * sizes["size"] ** 2

    def module(self, sizes: Mapping[str, str]) -> str:
        stride = f", stride={self.stride}" if self.stride > 1 else ""
        return f"conv({sizes['in']}, {sizes['out']}, {sizes['size']}{stride})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        out, height, width = result
        return sizes["in"] * sizes["size"] ** 2 * out * height * width
