"""The input, zero, sums and differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Sized, Solver


class Input(Operator):
    """The network's input f."""

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the input is an argument, not an operation")


class Zero(Operator):
    """The zero tensor, of whatever shape fits: `u@1,0 = 0`, Algorithm 2."""

    linear: ClassVar[bool] = True

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the emitter writes zeros: their code depends on the shape")


@dataclass(frozen=True)
class Add(Operator):
    """x + y - z: terms of one shape, each with its sign."""

    linear: ClassVar[bool] = True
    signs: tuple[Literal[1, -1], ...]

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        for operand in operands:
            shapes.same(result, operand)

    def torch(self, operands: list[str], module: str) -> str:
        first = operands[0] if self.signs[0] > 0 else f"-{operands[0]}"
        rest = zip(self.signs[1:], operands[1:], strict=True)
        return first + "".join(f" {'+' if sign > 0 else '-'} {operand}" for sign, operand in rest)
