"""Pooling."""

from __future__ import annotations

from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Sized, Solver


class AvgPool(Operator):
    """avgpool(x): the mean over the whole map, then flattened: R_ave of Algorithm 1."""

    keyword: ClassVar[str | None] = "avgpool"
    linear: ClassVar[bool] = True

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        channels, _, _ = shapes.map(operands[0])
        shapes.equal(shapes.vector(result), channels)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.adaptive_avg_pool2d({operands[0]}, 1).flatten(1)"
