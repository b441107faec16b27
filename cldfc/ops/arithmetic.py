"""The input, zero, sums, products, quotients, and what numbers and scalars do to a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from math import prod
from typing import ClassVar, Literal

from cldfc.ops.base import FLOAT, OPERAND, Kept, Operator, Spreading, Strength
from cldfc.ops.solver import ACROSS, Form, Shape, Sized, Sizes, Solver, Unfit, is_spread, whole_size


class Input(Operator):
    """The network's input f, a number for each image if it has no shape."""

    gives_number: ClassVar[bool] = True
    shapes: ClassVar[str] = "as declared"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the input is an argument, not an operation")


class Zero(Operator):
    """0: the zero tensor, of whatever shape fits: `u@1,0 = 0`, Algorithm 2."""

    linear: ClassVar[bool] = True
    gives_number: ClassVar[bool] = True
    shapes: ClassVar[str] = "whatever fits"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        pass

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the emitter writes zeros: their code depends on the shape")

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True


@dataclass(frozen=True)
class Alike(Spreading):
    """Several operands of one shape, which is that of the result; scalars and numbers of images are spread over it.

    So are vectors of parameters over maps.
    """

    shapes: ClassVar[str] = "any, all alike → the same"

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        spread = tuple(rank if own == 0 and rank else 0 for own in ranks)
        return replace(self, spread=spread if any(spread) else ())

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        axes = [operand for operand in operands if operand.root().dims != ()]
        maps = [operand for operand in axes if not is_spread(operand)]
        for operand in maps or axes or operands:
            shapes.same(result, operand)
        for vector in filter(is_spread, axes if maps else ()):
            shapes.equal(shapes.map(result)[0], shapes.dims(vector, shapes.dimension + 1)[0])

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


@dataclass(frozen=True)
class Spread(Alike):
    """Several operands of one shape, which is that of the result, or that are spread over it.

    Beside a map of C channels, a vector of C numbers or parameters has one for each channel, a map of one channel one
    for each pixel.
    """

    takes_vectors: ClassVar[bool] = True
    shapes: ClassVar[str] = "any, all alike → the same; beside C×H×W also C, and 1×H×W"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        ranks = list(map(_rank, operands))
        trained = [operand for operand in operands if is_spread(operand)]
        vectors = [operand for operand, rank in zip(operands, ranks, strict=True) if rank == 1]
        maps = [operand for operand, rank in zip(operands, ranks, strict=True) if (rank or 0) > 1]
        maps = [operand for operand in maps if not is_spread(operand)] if trained else maps
        narrow = [operand for operand in maps if shapes.map(operand)[0].root().size == 1]
        wide = [operand for operand in maps if not any(operand is other for other in narrow)] if narrow else maps
        if not maps or not (vectors or (narrow and (wide or trained))):
            return super().shape(shapes, operands, result, parameter)
        channels, *sides = shapes.map(result)
        for operand in maps:
            for side, own in zip(sides, shapes.map(operand)[1:], strict=True):
                shapes.equal(side, own)
        for operand in wide:
            shapes.equal(channels, shapes.map(operand)[0])
        for operand in vectors:
            shapes.equal(channels, shapes.vector(operand))
        for operand in trained:
            shapes.equal(channels, shapes.dims(operand, shapes.dimension + 1)[0])
        for operand in operands:
            if _rank(operand) is None:
                shapes.same(result, operand)
        if narrow and channels.root().size is None:
            shapes.suppose(channels, shapes.map(narrow[0])[0], lambda one: one)
        return None


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

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        if rank and 0 in ranks:
            reason = "a sum over an index adds numbers of images to maps or vectors"
            raise Unfit(reason, "write the terms one by one, as in `x@0 + α@1`: there such a number is spread")
        return self

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


class MultiplyBy(Multiply):
    """α * x: a number of each image times a value, or a vector times a map, channel by channel."""

    shapes: ClassVar[str] = "a number, any → the same; C, C×H×W → the same"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        dims = operands[0].root().dims
        if dims is None:
            shapes.is_shape(operands[0], ())
        elif len(dims) == 1:
            return super().shape(shapes, operands, result, parameter)
        elif dims:
            reason = f"what stands before `*` is a map of {operands[0]}"
            help = "write `⊙` for the pointwise product; a number, a scalar, a vector or a kernel stands before `*`"
            raise Unfit(reason, help)
        shapes.same(result, operands[1])
        return None


@dataclass(frozen=True)
class Extreme(Spread):
    """max(x, y) and min(x, y): the larger and the smaller one, number by number."""

    which: Literal["max", "min"]

    def torch(self, operands: list[str], module: str) -> str:
        word = "maximum" if self.which == "max" else "minimum"
        return reduce(lambda one, other: f"torch.{word}({one}, {other})", operands)

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return any(operands) if self.which == "max" else all(operands)

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Both operands of each comparison from the first trained one on; the left one is what was found so far."""
        compared = range(max(1, trained.index(True)), len(trained))
        operands = (0, *compared) if compared.start == 1 else tuple(compared)
        between = len(compared) - (compared.start == 1)
        return Kept(operands, each_image=between * FLOAT * prod(result))


@dataclass(frozen=True)
class Stacked(Alike):
    """What is found over an index, of values of one shape in one tensor."""

    shapes: ClassVar[str] = "any, all alike → the same"
    is_mixed: bool = field(default=False, kw_only=True)
    """Whether numbers of each image and of the whole batch meet."""

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        return replace(self, is_mixed=len(set(ranks)) > 1)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        for operand in operands:
            shapes.same(result, operand)

    def stack(self, operands: list[str]) -> str:
        listed = f"[{', '.join(operands)}]"
        return f"torch.stack(torch.broadcast_tensors(*{listed}))" if self.is_mixed else f"torch.stack({listed})"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept(each_image=len(trained) * FLOAT * prod(result), result=True)


@dataclass(frozen=True)
class ExtremeTotal(Stacked):
    """max(j = a..b : x@j) and min(j = a..b : x@j): the largest and the smallest over an index, number by number."""

    which: Literal["max", "min"]

    def torch(self, operands: list[str], module: str) -> str:
        return f"{self.stack(operands)}.a{self.which}(0)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return any(operands) if self.which == "max" else all(operands)


class LogTotal(Stacked):
    """The logarithm of a sum of powers of e over an index, by which `softmax` divides."""

    def torch(self, operands: list[str], module: str) -> str:
        return f"torch.logsumexp({self.stack(operands)}, 0)"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return False


@dataclass(frozen=True)
class InnerProduct(Operator):
    """⟨x, y⟩: the sum of all x_i · y_i, a number for each image."""

    shapes: ClassVar[str] = "any, both alike → a number"
    gives_number: ClassVar[bool] = True
    takes: ClassVar[Strength | None] = "product"
    rank: int = field(default=3, kw_only=True)
    """Of the axes that it sums over."""

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        return replace(self, rank=ranks[0] or 0)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        if any(operand.root().dims == () for operand in operands):
            raise Unfit("an inner product is one of maps or vectors, not of numbers", "write `*` between numbers")
        if all(map(is_spread, operands)):
            reason = (
                "a vector of parameters does not depend on the image, so it has no inner product or norm of its own"
            )
            raise Unfit(reason, "write one with a map of each image, as in `⟨γ ⊙ x, x⟩`")
        for operand in operands[1:]:
            shapes.same(operands[0], operand)
        shapes.is_shape(result, ())

    def torch(self, operands: list[str], module: str) -> str:
        axes = "1" if self.rank == 1 else str(tuple(range(1, self.rank + 1)))
        return f"({' * '.join(operands)}).sum({axes})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        return prod(operands[0])

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept(tuple(place for place, other in ((0, 1), (1, 0)) if trained[other]))


class EuclideanNorm(InnerProduct):
    """‖x‖: the root of ⟨x, x⟩, a number for each image."""

    shapes: ClassVar[str] = "any → a number"
    takes: ClassVar[Strength | None] = None

    def torch(self, operands: list[str], module: str) -> str:
        axes = "1" if self.rank == 1 else str(tuple(range(1, self.rank + 1)))
        return f"torch.linalg.vector_norm({operands[0]}, dim={axes})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return True

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return Kept((0,), result=True)


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
        return Kept(each_image=FLOAT * prod(result))


class RaiseTo(WithNumber):
    """x^a: a power of a scalar or of a number of each image; the exponent is a number."""

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
        shapes.is_shape(result, (parameter.dimension("channels"), *[ACROSS] * shapes.dimension))

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}.view(-1{', 1' * self.dimension})"


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
        return f"{module}.view(-1{', 1' * self.dimension}) * {operands[0]}"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND
