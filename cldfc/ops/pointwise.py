"""Operators that act on each number for itself."""

from __future__ import annotations

from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Sized, Solver


class Pointwise(Operator):
    """Leaves the shape as it is."""

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])


class Identity(Pointwise):
    """identity(x) = x."""

    keyword: ClassVar[str | None] = "identity"
    linear: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return operands[0]


class Relu(Pointwise):
    """relu(x) = max(0, x): the paper's σ, eq. (1.4)."""

    keyword: ClassVar[str | None] = "relu"

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.relu({operands[0]})"
