"""Rearrangements: concatenation, flattening, upsampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import Operator, whole
from cldfc.ops.solver import Form, Sized, Solver


class Concat(Operator):
    """concat(x, y, …): the channels of all operands one after another, Huang et al. 2017 (DenseNet)."""

    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C₁×H×W, C₂×H×W, … → (C₁+C₂+…)×H×W; vectors likewise"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.when_ranked([*operands, result], lambda rank: self.join(shapes, operands, result, rank))

    def join(self, shapes: Solver, operands: list[Form], result: Form, rank: int) -> None:
        """Sizes but the first agree; the first add up."""
        channels, *sides = shapes.dims(result, rank)
        parts = [shapes.dims(operand, rank) for operand in operands]
        for part in parts:
            for one, other in zip(part[1:], sides, strict=True):
                shapes.equal(one, other)
        shapes.summed(channels, [part[0] for part in parts])

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.cat([{', '.join(operands)}], 1)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


class Flatten(Operator):
    """flatten(x): all numbers of a map as one vector, channel by channel; a vector stays as it is."""

    keyword: ClassVar[str | None] = "flatten"
    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C·H·W; n → n"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        length = shapes.vector(result)
        shapes.when_ranked(operands, lambda rank: shapes.multiplied_out(length, shapes.dims(operands[0], rank)))

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.flatten({operands[0]}, 1)"

    def is_view(self) -> bool:
        return True

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class Upsample(Operator):
    """upsample(x): every number repeated in a square of factor × factor, the nearest neighbour's value."""

    keyword: ClassVar[str | None] = "upsample"
    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C×factor·H×factor·W"
    factor: int = whole(2, 1, 2**10)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        channels, *before = shapes.map(operands[0])
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, channels)
        for large, small in zip(after, before, strict=True):
            shapes.multiplied(large, small, self.factor)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.interpolate({operands[0]}, scale_factor={self.factor})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)
