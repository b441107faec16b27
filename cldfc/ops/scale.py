"""Numbers and trainable scalars times a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cldfc.ops.base import Operator
from cldfc.ops.kept import OPERAND, Kept
from cldfc.ops.shapes import Form, Shape, Sized, Sizes
from cldfc.ops.solver import Solver


@dataclass(frozen=True)
class Scale(Operator):
    """a * x: a number times a value; PyTorch's text takes the number where others take their module."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Literal["call", "product", "sum"]] = "product"
    factor: float

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module} * {operands[0]}"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return self.factor >= 0 and all(operands)


class ScaleBy(Operator):
    """ω * x: a trainable scalar times a value, such as the step size of a smoother."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Literal["call", "product", "sum"]] = "product"
    parameters: ClassVar[str] = "1"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module} * {operands[0]}"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND

    def stored(self, sizes: Sizes) -> int:
        return 1

    def module(self, sizes: Mapping[str, str]) -> str:
        init = sizes["init"]
        return f"nn.Parameter(torch.tensor({init}{'.0' if init.removeprefix('-').isdecimal() else ''}))"
