"""Operators that act on each number for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cldfc.ops.arithmetic import Alike
from cldfc.ops.base import FLOAT, NOTHING, OPERAND, RESULT, Kept, Operator, Strength, decimal, real, whole
from cldfc.ops.solver import Form, Shape, Sized, Sizes, Solver, whole_size


class Pointwise(Operator):
    """Leaves the shape as it is; most give no negative number for one that is not negative, and keep their operand."""

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND


class Positive(Pointwise):
    """One whose values are never negative."""

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True


class Identity(Pointwise):
    """identity(x) = x."""

    keyword: ClassVar[str | None] = "identity"
    linear: ClassVar[bool] = True
    # Its text is that of its operand, which may be a sum.
    binds: ClassVar[Strength] = "sum"

    def torch(self, operands: list[str], module: str) -> str:
        return operands[0]

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return NOTHING

    def is_view(self) -> bool:
        return True


class Relu(Positive):
    """relu(x) = max(0, x): the paper's σ, eq. (1.4)."""

    keyword: ClassVar[str | None] = "relu"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.relu({operands[0]})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT


class Relu6(Positive):
    """relu6(x) = min(6, max(0, x)), Howard et al. 2017 (MobileNet)."""

    keyword: ClassVar[str | None] = "relu6"
    bounded: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.relu6({operands[0]})"


@dataclass(frozen=True)
class LeakyRelu(Pointwise):
    """leaky_relu(x) = max(0, x) + slope · min(0, x), Maas et al. 2013."""

    keyword: ClassVar[str | None] = "leaky_relu"
    keeps_zero: ClassVar[bool] = True
    of_call: ClassVar[str | None] = "slope"
    slope: float = real(0.01, 0, 1_000)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.leaky_relu({operands[0]}{_setting(module, self.slope, 0.01)})"


@dataclass(frozen=True)
class PRelu(Pointwise):
    """prelu(x) = max(0, x) + a · min(0, x) with a trained slope a for each channel, He et al. 2015.

    `prelu[shared=1]` has one slope for all channels, as PyTorch's nn.PReLU() has. Slopes start at 1/4.
    """

    keyword: ClassVar[str | None] = "prelu"
    owns: ClassVar[str | None] = "prelu"
    keeps_zero: ClassVar[bool] = True
    parameters: ClassVar[str] = "C"
    shared: int = whole(0, 0, 1)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.same(result, operands[0])
        if not self.shared:
            channels = parameter.dimension("channels")
            shapes.when_ranked(operands, lambda rank: shapes.equal(shapes.dims(operands[0], rank)[0], channels))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return 1 if self.shared else whole_size(sizes, "channels")

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.PReLU({'' if self.shared else sizes['channels']})"


@dataclass(frozen=True)
class Elu(Pointwise):
    """elu(x) = max(0, x) + alpha · (exp(min(0, x)) - 1), Clevert et al. 2016."""

    keyword: ClassVar[str | None] = "elu"
    keeps_zero: ClassVar[bool] = True
    of_call: ClassVar[str | None] = "alpha"
    alpha: float = real(1.0, 0, 1_000)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.elu({operands[0]}{_setting(module, self.alpha, 1)})"


@dataclass(frozen=True)
class Celu(Pointwise):
    """celu(x) = max(0, x) + alpha · (exp(min(0, x) / alpha) - 1), Barron 2017."""

    keyword: ClassVar[str | None] = "celu"
    keeps_zero: ClassVar[bool] = True
    of_call: ClassVar[str | None] = "alpha"
    alpha: float = real(1.0, 1e-6, 1_000)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.celu({operands[0]}{_setting(module, self.alpha, 1)})"


class Gelu(Pointwise):
    """gelu(x) = x · Φ(x), with Φ the normal distribution function, Hendrycks and Gimpel 2016."""

    keyword: ClassVar[str | None] = "gelu"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.gelu({operands[0]})"


class Silu(Pointwise):
    """silu(x) = x · sigmoid(x), Elfwing et al. 2018."""

    keyword: ClassVar[str | None] = "silu"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.silu({operands[0]})"


class HardSwish(Pointwise):
    """hard_swish(x) = x · hard_sigmoid(x), Howard et al. 2019 (MobileNetV3)."""

    keyword: ClassVar[str | None] = "hard_swish"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.hardswish({operands[0]})"


class Mish(Pointwise):
    """mish(x) = x · tanh(softplus(x)), Misra 2019."""

    keyword: ClassVar[str | None] = "mish"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.mish({operands[0]})"


class Tanh(Pointwise):
    """tanh(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""

    keyword: ClassVar[str | None] = "tanh"
    bounded: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.tanh({operands[0]})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT


class Sigmoid(Positive):
    """sigmoid(x) = 1 / (1 + exp(-x))."""

    keyword: ClassVar[str | None] = "sigmoid"
    bounded: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.sigmoid({operands[0]})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT


class HardSigmoid(Positive):
    """hard_sigmoid(x) = min(1, max(0, x / 6 + 1/2)), Howard et al. 2019 (MobileNetV3)."""

    keyword: ClassVar[str | None] = "hard_sigmoid"
    bounded: ClassVar[bool] = True
    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        """Not F.hardsigmoid, whose gradient is 1/6 in single precision whatever the precision of x is."""
        return f"F.relu6({operands[0]} + 3) / 6"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand plus 3."""
        return Kept(each_image=FLOAT * prod(result))


class Softplus(Positive):
    """softplus(x) = log(1 + exp(x)), Dugas et al. 2001."""

    keyword: ClassVar[str | None] = "softplus"

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.softplus({operands[0]})"


class Abs(Positive):
    """abs(x) = max(x, -x)."""

    keyword: ClassVar[str | None] = "abs"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.abs({operands[0]})"


class Exp(Positive):
    """exp(x) = e^x."""

    keyword: ClassVar[str | None] = "exp"

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.exp({operands[0]})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT


class Log(Pointwise):
    """log(x): the natural logarithm; it is not a number where x < 0."""

    keyword: ClassVar[str | None] = "log"

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.log({operands[0]})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return False


class Sqrt(Pointwise):
    """sqrt(x): the square root; it is not a number where x < 0, and its slope is infinite at 0."""

    keyword: ClassVar[str | None] = "sqrt"
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.sqrt({operands[0]})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return RESULT


class Cos(Pointwise):
    """cos(x), of an angle in radians."""

    keyword: ClassVar[str | None] = "cos"
    bounded: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.cos({operands[0]})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return False


class Sin(Pointwise):
    """sin(x), of an angle in radians."""

    keyword: ClassVar[str | None] = "sin"
    bounded: ClassVar[bool] = True
    keeps_zero: ClassVar[bool] = True

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.sin({operands[0]})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return False


@dataclass(frozen=True)
class SoftThreshold(Pointwise):
    """soft_threshold(x) = sign(x) · max(0, |x| - threshold), Donoho 1995; the step of ISTA."""

    keyword: ClassVar[str | None] = "soft_threshold"
    keeps_zero: ClassVar[bool] = True
    of_call: ClassVar[str | None] = "threshold"
    threshold: float = real(0.5, 0, 1_000_000)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.softshrink({operands[0]}{_setting(module, self.threshold, 0.5)})"


@dataclass(frozen=True)
class Dropout(Pointwise):
    """dropout(x): in training each number is 0 with probability `rate`, else x / (1 - rate), Srivastava et al. 2014."""

    keyword: ClassVar[str | None] = "dropout"
    repeatable: ClassVar[bool] = False
    of_call: ClassVar[str | None] = "rate"
    rate: float = real(0.5, 0, 1)

    def torch(self, operands: list[str], module: str) -> str:
        return f"F.dropout({operands[0]}, {module or decimal(self.rate)}, self.training)"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its mask, which on the CPU is of floats; of a rate of 0 nothing, of a rate of 1 the number 0."""
        if self.rate == 1:
            return Kept(each_batch=FLOAT)
        return NOTHING if self.is_view() else Kept(each_image=FLOAT * prod(result))

    def is_view(self) -> bool:
        return self.rate == 0


@dataclass(frozen=True)
class DropPath(Pointwise):
    """droppath(x): in training each image is 0 with probability `rate`, else x / (1 - rate), Huang et al. 2016.

    Applied to what a step adds it is stochastic depth: `r@ℓ,i-1 + droppath ∘ B@ℓ,i * σ(r@ℓ,i-1)`.
    """

    keyword: ClassVar[str | None] = "droppath"
    repeatable: ClassVar[bool] = False
    of_call: ClassVar[str | None] = "rate"
    rate: float = real(0.1, 0, 1)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        super().shape(shapes, operands, result, parameter)
        shapes.when_ranked(operands, lambda rank: None)

    def torch(self, operands: list[str], module: str) -> str:
        return f"drop_path({operands[0]}, {module or decimal(self.rate)}, self.training)"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """One number for each image."""
        return NOTHING if self.is_view() else Kept(each_image=FLOAT)

    def is_view(self) -> bool:
        return self.rate == 0


def _setting(written: str, value: float, default: float) -> str:
    """The argument behind a function's operand: a formula, or a number that is not PyTorch's own."""
    return f", {written}" if written else "" if value == default else f", {decimal(value)}"


class WithTrainedSetting(Alike):
    """An operator whose setting is a scalar or a vector, its second operand; torch's own functions take a number."""

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return operands[0]


class TrainedThreshold(WithTrainedSetting):
    """soft_threshold[θ](x): sign(x) · max(0, |x| - θ) with a trained threshold, as in LISTA, Gregor and LeCun 2010."""

    def torch(self, operands: list[str], module: str) -> str:
        return f"soft_threshold({', '.join(operands)})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its sign, what is left of its absolute value, and the operand itself where that is trained."""
        return Kept((0,) if trained[0] else (), each_image=2 * FLOAT * prod(result))


class TrainedSlope(WithTrainedSetting):
    """leaky_relu[a](x): max(0, x) + a · min(0, x) with a trained slope, as in prelu, He et al. 2015."""

    def torch(self, operands: list[str], module: str) -> str:
        return f"leaky_relu({', '.join(operands)})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Where its operand is positive, and of the product each factor where the other is trained."""
        factors = tuple(place for place in (0, 1) if trained[1 - place])
        return Kept(factors, each_image=prod(result))


TRAINED_SETTINGS: Mapping[type[Operator], type[WithTrainedSetting]] = {
    SoftThreshold: TrainedThreshold,
    LeakyRelu: TrainedSlope,
}
"""The operators whose first setting may be a scalar or a vector, and what they are then."""
