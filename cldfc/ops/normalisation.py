"""Normalisations; each place of one has parameters of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import FLOAT, Kept, Operator, whole
from cldfc.ops.solver import Form, Shape, Sized, Sizes, Solver, whole_size


class Normalisation(Operator):
    """A scale and a shift for each channel, after mean 0 and variance 1 over some of the numbers."""

    bounded: ClassVar[bool] = True
    parameters: ClassVar[str] = "2·C"

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return 2 * whole_size(sizes, "channels")


class BatchNorm(Normalisation):
    """bn(x): batch normalisation by channel, Ioffe and Szegedy 2015, the paper's [18].

    `bn@ℓ` shares scale and shift by its tag; each use keeps running statistics of its own.
    """

    keyword: ClassVar[str | None] = "bn"
    repeatable: ClassVar[bool] = False
    owns: ClassVar[str | None] = "bn"
    shapes: ClassVar[str] = "C×H×W → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.equal(shapes.map(operands[0])[0], parameter.dimension("channels"))
        shapes.same(result, operands[0])

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.BatchNorm2d({sizes['channels']})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each channel over the batch."""
        return Kept((0,), each_batch=2 * FLOAT * result[0])


class SharedBatchNorm(BatchNorm):
    """bn@ℓ(x): batch normalisation whose scale and shift several uses share; each use has statistics of its own."""

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.BatchNorm2d({sizes['channels']}, track_running_stats=False)"

    def torch(self, operands: list[str], module: str) -> str:
        """The operands are x and the module of the statistics."""
        return f"shared_norm({', '.join([operands[0], module, *operands[1:]])})"


class Statistics(Operator):
    """The running statistics of one use of a shared batch normalisation: its mean and variance, no parameters."""

    bounded: ClassVar[bool] = True
    repeatable: ClassVar[bool] = False
    shapes: ClassVar[str] = BatchNorm.shapes

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.equal(shapes.map(operands[0])[0], parameter.dimension("channels"))
        shapes.same(result, operands[0])

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.BatchNorm2d({sizes['channels']}, affine=False)"

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"


@dataclass(frozen=True)
class GroupNorm(Normalisation):
    """gn(x): normalisation of each image over pixels and the channels of a group, Wu and He 2018."""

    keyword: ClassVar[str | None] = "gn"
    owns: ClassVar[str | None] = "gn"
    shapes: ClassVar[str] = "C×H×W → the same; C → the same"
    groups: int = whole(32, 1, 2**20)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels = parameter.dimension("channels")
        shapes.same(result, operands[0])
        shapes.grouped(channels, self.groups)
        shapes.when_ranked(operands, lambda rank: shapes.equal(shapes.dims(operands[0], rank)[0], channels))

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.GroupNorm({self.groups}, {sizes['channels']})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each group of each image."""
        return Kept((0,), each_image=2 * FLOAT * self.groups)


class LayerNorm(Normalisation):
    """ln(x): normalisation of each image over channels and pixels, affine by channel, Ba et al. 2016."""

    keyword: ClassVar[str | None] = "ln"
    owns: ClassVar[str | None] = "ln"
    shapes: ClassVar[str] = "C×H×W → the same; C → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels = parameter.dimension("channels")
        shapes.same(result, operands[0])
        shapes.when_ranked(operands, lambda rank: shapes.equal(shapes.dims(operands[0], rank)[0], channels))

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.GroupNorm(1, {sizes['channels']})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each image."""
        return Kept((0,), each_image=2 * FLOAT)
