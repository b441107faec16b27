"""Operators that act on the channels of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cldfc.ops.base import RESULT, Kept, Operator
from cldfc.ops.solver import Form, Shape, Sized, Solver


class Softmax(Operator):
    """softmax(x) = exp(x) / Σ exp(x), with the sum over the channels of each pixel; of a vector over its numbers.

    `output` takes scores before a softmax: the loss has one of its own.
    """

    keyword: ClassVar[str | None] = "softmax"
    bounded: ClassVar[bool] = True

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.softmax({operands[0]}, 1)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT
