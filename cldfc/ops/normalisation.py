"""Normalisations; each place of one has parameters of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cldfc.ops.base import FLOAT, Kept, Operator, decimal, real, whole
from cldfc.ops.size import Size
from cldfc.ops.solver import Dim, Form, Shape, Sized, Sizes, Solver, Unfit, whole_size


@dataclass(frozen=True)
class Normalisation(Operator):
    """A scale and a shift for each channel, after mean 0 and variance 1 over some of the numbers.

    `eps` is added to the variance; with `affine=0` there is neither scale nor shift.
    """

    bounded: ClassVar[bool] = True
    parameters: ClassVar[str] = "2·C"
    shapes: ClassVar[str] = "C×H×W → the same; C → the same"
    eps: float = real(1e-5, 1e-12, 1, kw_only=True)
    affine: int = whole(1, 0, 1, kw_only=True)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels = parameter.dimension("channels")
        shapes.same(result, operands[0])
        shapes.when_ranked(operands, lambda rank: shapes.equal(shapes.dims(operands[0], rank)[0], channels))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return 2 * whole_size(sizes, "channels") if self.affine else 0

    def constructor(self, name: str, sizes: str, more: str = "", is_affine: bool = True) -> str:
        """`nn.GroupNorm(32, 64, eps=0.001)`; `more` follows `eps`, `is_affine` is torch's default."""
        eps = "" if self.eps == 1e-5 else f", eps={decimal(self.eps)}"
        affine = "" if self.affine == is_affine else f", affine={bool(self.affine)}"
        return f"nn.{name}({sizes}{eps}{more}{affine})"


@dataclass(frozen=True)
class BatchNorm(Normalisation):
    """bn(x): batch normalisation by channel, Ioffe and Szegedy 2015, the paper's [18].

    In training running statistics move towards those of the batch by the share `momentum`. `bn@ℓ` shares scale and
    shift by its tag; each use keeps running statistics of its own. `bn fixed`, which fmt writes `bn[fixed]`, is frozen:
    it uses its running statistics in training, too, and nothing in it changes.
    """

    keyword: ClassVar[str | None] = "bn"
    repeatable: ClassVar[bool] = False
    owns: ClassVar[str | None] = "bn"
    shapes: ClassVar[str] = "C×H×W → the same"
    momentum: float = real(0.1, 0, 1, kw_only=True)
    fixed: int = whole(0, 0, 1, kw_only=True)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.equal(shapes.map(operands[0])[0], parameter.dimension("channels"))
        shapes.same(result, operands[0])

    def module(self, sizes: Mapping[str, str]) -> str:
        momentum = "" if self.momentum == 0.1 else f", momentum={decimal(self.momentum)}"
        return self.constructor(f"BatchNorm{self.dimension}d", sizes["channels"], momentum)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each channel over the batch."""
        return Kept((0,), each_batch=2 * FLOAT * result[0])


@dataclass(frozen=True)
class SharedBatchNorm(BatchNorm):
    """bn@ℓ(x): batch normalisation whose scale and shift several uses share; each use has statistics of its own."""

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.BatchNorm{self.dimension}d({sizes['channels']}, track_running_stats=False)"

    def torch(self, operands: list[str], module: str) -> str:
        """The operands are x and the module of the statistics."""
        function = "frozen_norm" if self.fixed else "shared_norm"
        return f"{function}({', '.join([operands[0], module, *operands[1:]])})"

    def stored(self, sizes: Sizes) -> int:
        return 0 if self.fixed else super().stored(sizes)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept((0,)) if self.fixed else super().keeps(result, trained)

    def statistics(self) -> Statistics:
        """What one use keeps for itself."""
        return Statistics(eps=self.eps, momentum=self.momentum, affine=0, dimension=self.dimension)


@dataclass(frozen=True)
class FrozenBatchNorm(BatchNorm):
    """bn[fixed](x): a scale and a shift by running statistics, which training does not change."""

    repeatable: ClassVar[bool] = True
    bounded: ClassVar[bool] = False
    parameters: ClassVar[str] = "none"

    def torch(self, operands: list[str], module: str) -> str:
        return f"frozen_norm({operands[0]}, {module})"

    def stored(self, sizes: Sizes) -> int:
        return 0

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept((0,))


@dataclass(frozen=True)
class Statistics(BatchNorm):
    """The running statistics of one use of a shared batch normalisation: its mean and variance, no parameters."""

    keyword: ClassVar[str | None] = None
    owns: ClassVar[str | None] = None
    parameters: ClassVar[str] = "none"
    affine: int = whole(0, 0, 0, kw_only=True)


@dataclass(frozen=True)
class GroupNorm(Normalisation):
    """gn(x): normalisation of each image over pixels and the channels of a group, Wu and He 2018."""

    keyword: ClassVar[str | None] = "gn"
    owns: ClassVar[str | None] = "gn"
    groups: int = whole(32, 1, 2**20)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        super().shape(shapes, operands, result, parameter)
        assert parameter is not None
        shapes.grouped(parameter.dimension("channels"), self.groups)

    def module(self, sizes: Mapping[str, str]) -> str:
        return self.constructor("GroupNorm", f"{self.groups}, {sizes['channels']}")

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each group of each image."""
        return Kept((0,), each_image=2 * FLOAT * self.groups)


@dataclass(frozen=True)
class LayerNorm(Normalisation):
    """ln(x): normalisation of each image over channels and pixels, affine by channel, Ba et al. 2016."""

    keyword: ClassVar[str | None] = "ln"
    owns: ClassVar[str | None] = "ln"

    def module(self, sizes: Mapping[str, str]) -> str:
        return self.constructor("GroupNorm", f"1, {sizes['channels']}")

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each image."""
        return Kept((0,), each_image=2 * FLOAT)


@dataclass(frozen=True)
class InstanceNorm(Normalisation):
    """inorm(x): normalisation of each channel of each image over its pixels, Ulyanov et al. 2016.

    PyTorch's nn.InstanceNorm2d has neither scale nor shift unless asked for: that is `inorm[affine=0]`.
    """

    keyword: ClassVar[str | None] = "inorm"
    owns: ClassVar[str | None] = "inorm"
    shapes: ClassVar[str] = "C×H×W → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels, *sides = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("channels"))
        shapes.same(result, operands[0])
        self.check(shapes, sides)

    def check(self, shapes: Solver, sides: Sequence[Dim]) -> None:
        """Raise Unfit for a map of a single pixel, which would become 0."""

        def look(size: Size) -> None:
            if size == 1 and len(sides) > 1:
                self.check(shapes, sides[1:])
            elif size == 1:
                reason = "`inorm` turns a map of one pixel into 0"
                raise Unfit(reason, "write `ln` or `gn[8]`, which normalise over channels, too")

        shapes.when_known(sides[0], look)

    def module(self, sizes: Mapping[str, str]) -> str:
        return self.constructor(f"InstanceNorm{self.dimension}d", sizes["channels"], is_affine=False)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and for each channel of each image the mean, the inverse deviation and a copy of the scale."""
        return Kept((0,), each_image=(2 + self.affine) * FLOAT * result[0])


@dataclass(frozen=True)
class ChannelNorm(Normalisation):
    """cln(x): normalisation of each pixel over its channels, as in ConvNeXt, Liu et al. 2022."""

    keyword: ClassVar[str | None] = "cln"
    owns: ClassVar[str | None] = "cln"

    def module(self, sizes: Mapping[str, str]) -> str:
        return self.constructor("LayerNorm", sizes["channels"]).replace("affine=", "elementwise_affine=")

    def torch(self, operands: list[str], module: str) -> str:
        """nn.LayerNorm takes the channels last."""
        return f"torch.movedim({module}(torch.movedim({operands[0]}, 1, -1)), -1, 1)"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and the mean and the inverse deviation of each pixel."""
        return Kept((0,), each_image=2 * FLOAT * prod(result[1:]))


@dataclass(frozen=True)
class ResponseNorm(Operator):
    """lrn(x) = x / (k + alpha/size · Σ x²)^beta, summed over `size` neighbouring channels, Krizhevsky et al. 2012.

    As in PyTorch, `alpha` is divided by the size; the paper has k = 2.
    """

    keyword: ClassVar[str | None] = "lrn"
    keeps_zero: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → the same"
    size: int = whole(5, 1, 2**20)
    alpha: float = real(1e-4, 1e-12, 1_000)
    beta: float = real(0.75, 0.5, 100)
    k: float = real(1.0, 1e-6, 1_000)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.map(operands[0])
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        defaults = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        given = {name: getattr(self, name) for name in defaults}
        rest = "".join(f", {n}={decimal(value)}" for n, value in given.items() if value != defaults[n])
        return f"F.local_response_norm({operands[0]}, {self.size}{rest})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, what it is divided by, before and after the power, and the squares with channels of padding."""
        channels, *sides = result
        return Kept((0,), each_image=FLOAT * (3 * channels + self.size - 1) * prod(sides))
