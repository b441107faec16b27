"""The input, zero, sums, products, quotients, and what numbers and scalars do to a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from cldfc.ops.base import FLOAT, OPERAND, Kept, Operator, Strength
from cldfc.ops.solver import Form, Shape, Sized, Sizes, Solver


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
    """Several operands of one shape, which is that of the result; scalars are spread over it."""

    shapes: ClassVar[str] = "any, all alike → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        spread = [operand for operand in operands if operand.root().dims != ()]
        for operand in spread or operands:
            shapes.same(result, operand)

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class Spread(Alike):
    """Several operands of one shape, which is that of the result, or that are spread over it.

    Beside a map of C channels, a vector of C numbers has one for each channel, a map of one channel one for each pixel.
    """

    shapes: ClassVar[str] = "any, all alike → the same; beside C×H×W also C, and 1×H×W"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        vectors = [operand for operand in operands if _rank(operand) == 1]
        maps = [operand for operand in operands if _rank(operand) == 3]
        narrow = [operand for operand in maps if shapes.map(operand)[0].root().size == 1]
        wide = [operand for operand in maps if not any(operand is other for other in narrow)]
        if not maps or not (vectors or (narrow and wide)):
            return super().shape(shapes, operands, result, parameter)
        channels, height, width = shapes.map(result)
        for operand in maps:
            own = shapes.map(operand)
            shapes.equal(height, own[1])
            shapes.equal(width, own[2])
        for operand in wide:
            shapes.equal(channels, shapes.map(operand)[0])
        for operand in vectors:
            shapes.equal(channels, shapes.vector(operand))
        for operand in operands:
            if _rank(operand) is None:
                shapes.same(result, operand)
        if narrow and channels.root().size is None:
            shapes.suppose(channels, shapes.map(narrow[0])[0], lambda one: one)
        return None

    @staticmethod
    def is_spread(operand: Shape, result: Shape) -> bool:
        """Whether an operand is a vector that is spread over a map, which PyTorch does not do by itself."""
        return len(operand) == 1 and len(result) == 3


def _rank(form: Form) -> int | None:
    dims = form.root().dims
    return None if dims is None else len(dims)


@dataclass(frozen=True)
class Add(Spread):
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


class Multiply(Spread):
    """x ⊙ y: the product number by number (Hadamard)."""

    binds: ClassVar[Strength] = "product"

    def torch(self, operands: list[str], module: str) -> str:
        return " * ".join(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Of x * y * z, which is (x * y) * z, each factor whose other factor is trained."""
        first = (0,) * trained[1]
        others = (place for place in range(1, len(trained)) if any(trained[:place]))
        return Kept((*first, *others), each_image=sum(trained[2:]) * FLOAT * prod(result))


class Divide(Spread):
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


class WithScalar(Operator):
    """What has a trainable scalar."""

    parameters: ClassVar[str] = "1"

    def stored(self, sizes: Sizes) -> int:
        return 1

    def module(self, sizes: Mapping[str, str]) -> str:
        init = sizes["init"]
        if init.removeprefix("-").isdecimal():
            init = f"{init}.0"
        elif "." not in init and "/" not in init:
            init = f"float({init})"  # a loop variable, or an entry of a table, may be a whole number
        return f"nn.Parameter(torch.tensor({init}))"


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
