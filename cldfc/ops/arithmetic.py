"""The input, zero, sums, products, quotients, and what numbers and scalars do to a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import ClassVar, Literal

from cldfc.ops.base import FLOAT, OPERAND, Kept, Operator, Strength
from cldfc.ops.solver import ACROSS, Form, Shape, Sized, Sizes, Solver, is_spread, whole_size


class Input(Operator):
    """The network's input f."""

    shapes: ClassVar[str] = "as declared"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the input is an argument, not an operation")


class Zero(Operator):
    """0: the zero tensor, of whatever shape fits: `u@1,0 = 0`, Algorithm 2."""

    linear: ClassVar[bool] = True
    shapes: ClassVar[str] = "whatever fits"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the emitter writes zeros: their code depends on the shape")

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True


@dataclass(frozen=True)
class Alike(Operator):
    """Several operands of one shape, which is that of the result; scalars and vectors are spread over it."""

    shapes: ClassVar[str] = "any, all alike → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        axes = [operand for operand in operands if operand.root().dims != ()]
        maps = [operand for operand in axes if not is_spread(operand)]
        for operand in maps or axes or operands:
            shapes.same(result, operand)
        for vector in filter(is_spread, axes if maps else ()):
            channels, *_ = vector.root().dims or shapes.map(vector)
            shapes.equal(shapes.map(result)[0], channels)

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class Add(Alike):
    """x + y - z: terms of one shape, each with its sign."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Strength] = "sum"
    signs: tuple[Literal[1, -1], ...]

    def torch(self, operands: list[str], module: str) -> str:
        first = operands[0] if self.signs[0] > 0 else f"-{operands[0]}"
        rest = zip(self.signs[1:], operands[1:], strict=True)
        return first + "".join(f" {'+' if sign > 0 else '-'} {operand}" for sign, operand in rest)

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands) and all(sign > 0 for sign in self.signs)

    def is_view(self) -> bool:
        return self.signs == (1,)


class Total(Alike):
    """sum(j = a..b : x@j) = x@a + … + x@b: a sum over an index, as in dense connections."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Strength] = "sum"

    def torch(self, operands: list[str], module: str) -> str:
        return " + ".join(operands)


class Multiply(Alike):
    """x ⊙ y: the product number by number (Hadamard)."""

    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        return " * ".join(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Of x * y * z, which is (x * y) * z, each factor whose other factor is trained."""
        first = (0,) * trained[1]
        others = (place for place in range(1, len(trained)) if any(trained[:place]))
        return Kept((*first, *others), each_image=sum(trained[2:]) * FLOAT * prod(result))


@dataclass(frozen=True)
class Extreme(Alike):
    """max(x, y) and min(x, y): the larger and the smaller one, number by number; also over an index."""

    which: Literal["max", "min"]

    def torch(self, operands: list[str], module: str) -> str:
        """A single operand stands for several, those of a reduction."""
        if len(operands) == 1:
            return f"torch.stack([{operands[0]}]).a{self.which}(0)"
        word = "maximum" if self.which == "max" else "minimum"
        return reduce(lambda one, other: f"torch.{word}({one}, {other})", operands)

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return any(operands) if self.which == "max" else all(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operands, and of more than two what is found on the way."""
        between = max(0, len(trained) - 2) * FLOAT * prod(result)
        return Kept(tuple(range(len(trained))), each_image=between)


class LogTotal(Alike):
    """The logarithm of a sum of powers of e over an index, by which `softmax` divides."""

    shapes: ClassVar[str] = "numbers → a number"

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.logsumexp(torch.stack([{', '.join(operands)}]), 0)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return False


class Divide(Alike):
    """x / y: the quotient number by number; of a scalar, all by one number."""

    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        return " / ".join(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept((0, 1)) if trained[1] else Kept((1,))


@dataclass(frozen=True)
class WithNumber(Operator):
    """What one number does to a value; PyTorch's text takes the number where others take their module."""

    factor: float

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])


@dataclass(frozen=True)
class Scale(WithNumber):
    """a * x: a number times a value."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module} * {operands[0]}"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return self.factor >= 0 and all(operands)


@dataclass(frozen=True)
class Shift(WithNumber):
    """x + a and a - x: a number, spread over the value."""

    binds: ClassVar[Strength] = "sum"
    sign: Literal[1, -1] = 1
    """Before the value."""

    def torch(self, operands: list[str], module: str) -> str:
        if self.sign < 0:
            return f"{module} - {operands[0]}"
        return f"{operands[0]} - {module[1:]}" if module.startswith("-") else f"{operands[0]} + {module}"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return self.factor >= 0 and self.sign > 0 and all(operands)


@dataclass(frozen=True)
class Limit(WithNumber):
    """max(x, a) and min(x, a): a value, but at least or at most a number."""

    which: Literal["max", "min"] = "max"

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.clamp({operands[0]}, {'min' if self.which == 'max' else 'max'}={module})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands) or self.factor >= 0 if self.which == "max" else all(operands) and self.factor >= 0

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND


class Reciprocal(WithNumber):
    """a / x: a number divided by a value, number by number."""

    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module} / {operands[0]}"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """torch computes 1/x, keeps it, and multiplies it with a."""
        return Kept(each_image=FLOAT * prod(result)) if result else Kept(each_batch=FLOAT)


class RaiseTo(WithNumber):
    """ω^a: a power of a scalar; the exponent is a number."""

    binds: ClassVar[Strength] = "power"

    def torch(self, operands: list[str], module: str) -> str:
        is_simple = operands[0].replace(".", "_").isidentifier()
        return f"{operands[0]}**{module}" if is_simple else f"{operands[0]} ** {module}"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return self.factor % 2 == 0 or all(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND


def _real_number(text: str) -> str:
    """An initial value as Python computes it; PyTorch would make a whole number of `1`."""
    if text.removeprefix("-").isdecimal():
        return f"{text}.0"
    is_real = "/" in text or text.removeprefix("-")[:1].isdecimal()
    return text if is_real else f"float({text})"


class WithScalar(Operator):
    """What has a trainable scalar."""

    parameters: ClassVar[str] = "1"

    def stored(self, sizes: Sizes) -> int:
        return 1

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Parameter(torch.tensor({_real_number(sizes['init'])}))"


class ScalarValue(WithScalar):
    """ω: a trainable scalar as a value, in a sum, a quotient or a function."""

    shapes: ClassVar[str] = "a number"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.is_shape(result, ())

    def torch(self, operands: list[str], module: str) -> str:
        return module


class ScaleBy(WithScalar):
    """ω * x: a trainable scalar times a value, such as the step size of a smoother."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Strength] = "product"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module} * {operands[0]}"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND


class WithVector(WithScalar):
    """What has a trainable vector, one number for each channel."""

    parameters: ClassVar[str] = "C"

    def stored(self, sizes: Sizes) -> int:
        return whole_size(sizes, "channels")

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Parameter(torch.full(({sizes['channels']},), {_real_number(sizes['init'])}))"


class VectorValue(WithVector):
    """γ: a trainable vector as a value; it is spread over a map, channel by channel."""

    shapes: ClassVar[str] = "C numbers"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.is_shape(result, (parameter.dimension("channels"), ACROSS, ACROSS))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}.view(-1, 1, 1)"


class ScaleChannels(WithVector):
    """γ * x: a trainable vector times a map, channel by channel."""

    linear: ClassVar[bool] = True
    binds: ClassVar[Strength] = "product"
    shapes: ClassVar[str] = "C×H×W → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        shapes.same(result, operands[0])
        dims = operands[0].root().dims if is_spread(operands[0]) else None
        shapes.equal((dims or shapes.map(operands[0]))[0], parameter.dimension("channels"))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}.view(-1, 1, 1) * {operands[0]}"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND
