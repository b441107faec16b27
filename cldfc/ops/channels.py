"""Operators that act on the channels of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import RESULT, Kept, Operator
from cldfc.ops.size import Size
from cldfc.ops.solver import Form, Shape, Sized, Solver, Unfit


@dataclass(frozen=True)
class Channels(Operator):
    """x[a..b]: the channels of a value from a to b, counted from 0, both included."""

    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → (b-a+1)×H×W; vectors likewise"
    first: int
    last: int

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.when_ranked([*operands, result], lambda rank: self.take(shapes, operands[0], result, rank))

    def take(self, shapes: Solver, operand: Form, result: Form, rank: int) -> None:
        """Sizes but the first agree; of the first there are enough. Raises Unfit."""

        def check(count: Size) -> None:
            if count <= self.last:
                reason = f"there is no channel {self.last} among {count}"
                raise Unfit(reason, f"channels are counted from 0: write at most `0..{count - 1}`")

        (channels, *sides), (taken, *others) = shapes.dims(operand, rank), shapes.dims(result, rank)
        shapes.when_known(channels, check)
        for one, other in zip(sides, others, strict=True):
            shapes.equal(one, other)
        shapes.known(taken, self.last - self.first + 1)

    def torch(self, operands: list[str], module: str) -> str:
        """The module is the first channel and their number."""
        return f"torch.narrow({operands[0]}, 1, {module})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)

    def is_view(self) -> bool:
        return True


class Softmax(Operator):
    """softmax(x) = exp(x) / Σ exp(x), with the sum over the channels of each pixel; of a vector over its numbers.

    `output` takes scores before a softmax: the loss has one of its own.
    """

    keyword: ClassVar[str | None] = "softmax"
    bounded: ClassVar[bool] = True

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])
        shapes.when_ranked(operands, lambda rank: None)

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.softmax({operands[0]}, 1)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT
