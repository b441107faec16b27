"""What has a declared kernel: convolution, prolongation and their adjoints; and the classifier."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import OPERAND, Kept, Operator, whole
from cldfc.ops.solver import Form, Shape, Sized, Sizes, Solver, Unfit, whole_size

_HELP_FOR_EVEN_SIZES = "write an odd size; an even kernel can only prolong, as in `K *^2 x`"


@dataclass(frozen=True)
class Kernel(Operator):
    """What convolution, prolongation and their adjoints share: a kernel of size × size, perhaps in groups.

    It is linear unless its declaration says `bias`, which only the sizes of its parameter know; an adjoint always is.
    """

    is_transposed: ClassVar[bool] = False
    """Whether the kernel is stored as in × out/groups, as that of a transposed convolution, not as out × in/groups."""
    is_adjoint: ClassVar[bool] = False
    """Whether it leads from the kernel's outputs to its inputs, by a function: the module is that of the kernel."""
    linear: ClassVar[bool] = True
    is_layer: ClassVar[bool] = True
    parameters: ClassVar[str] = "C/g·C'·k², and C' with bias"
    stride: int = 1

    def grouped(self, shapes: Solver, parameter: Sized) -> None:
        groups = whole_size(parameter.given, "groups")
        if groups > 1:
            shapes.grouped(parameter.dimension("in"), groups)
            shapes.grouped(parameter.dimension("out"), groups)

    def torch(self, operands: list[str], module: str) -> str:
        """A call of its module; that of an adjoint is the kernel's, which knows its own sizes."""
        if self.is_adjoint:
            return self.torch_unlike(operands, module, {"size": "size", "groups": "groups", "dilation": "dilation"})
        return f"{module}({operands[0]})"

    @abstractmethod
    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        """The same by a function, with the weight of a module that was made for another use.

        `beyond` says how many rows and columns the result of an adjoint has beyond the least.
        """

    def arguments(self, sizes: Mapping[str, str], module: str, rest: Mapping[str, str]) -> str:
        """`, stride=2, padding=1`: what a function of torch is given beside the weight, but for defaults."""
        given = {"stride": str(self.stride), **rest}
        for name in ("groups", "dilation"):
            given[name] = text if (text := sizes.get(name, "1")).isdecimal() else f"{module}.{name}"
        defaults = {"stride": "1", "padding": "0", "output_padding": "0", "groups": "1", "dilation": "1"}
        return "".join(f", {name}={text}" for name, text in given.items() if text != defaults[name])

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND

    def stored(self, sizes: Sizes) -> int:
        weights = self.weights(sizes) * whole_size(sizes, "in")
        return weights + whole_size(sizes, "bias", 0) * whole_size(sizes, "out")

    def weights(self, sizes: Sizes) -> int:
        """How many numbers of the kernel stand for one channel before it."""
        return whole_size(sizes, "out") // whole_size(sizes, "groups") * whole_size(sizes, "size") ** 2


@dataclass(frozen=True)
class Convolution(Kernel):
    """K * x and K *_s x: convolution with zero padding (k-1)/2 · dilation and stride s, eq. (2.1), (2.2).

    It is linear; affine where its kernel is declared with `bias`.
    """

    shapes: ClassVar[str] = "C×H×W → C'×⌈H/s⌉×⌈W/s⌉"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        _check_middle(parameter)
        channels, height, width = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("in"))
        self.grouped(shapes, parameter)
        out = parameter.dimension("out")
        if self.stride == 1:
            return shapes.is_shape(result, (out, height, width))
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, out)
        for small, large in zip(after, (height, width), strict=True):
            shapes.divided(small, large, self.stride)
        return None

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        given = _keywords(sizes or {}, module)
        bias = f", {module}.bias" if "bias" in given else ""
        rest = "".join(f", {name}={given[name]}" for name in ("dilation", "groups") if name in given)
        return f"F.conv2d({operands[0]}, {module}.weight{bias}, stride={self.stride}, padding={module}.padding{rest})"

    def module(self, sizes: Mapping[str, str]) -> str:
        stride = f", stride={self.stride}" if self.stride > 1 else ""
        return f"conv({sizes['in']}, {sizes['out']}, {sizes['size']}{stride}{_arguments(sizes)})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        _, height, width = result
        return self.weights(sizes) * whole_size(sizes, "in") * height * width


def _check_middle(parameter: Sized) -> None:
    """Raise Unfit for a kernel that has no middle."""
    size, dilation = whole_size(parameter.given, "size"), whole_size(parameter.given, "dilation")
    if dilation * (size - 1) % 2:
        raise Unfit(f"a kernel of {size}×{size} has no middle; a convolution needs an odd one", _HELP_FOR_EVEN_SIZES)


def _keywords(sizes: Mapping[str, str], module: str) -> dict[str, str]:
    """What a module has beside its weight, where that is not torch's default."""
    defaults = {"dilation": "1", "groups": "1", "bias": "0"}
    return {name: f"{module}.{name}" for name, default in defaults.items() if sizes.get(name, default) != default}


def _arguments(sizes: Mapping[str, str]) -> str:
    """The arguments of a constructor for what a declaration says beside the sizes of a kernel."""
    found = [f", {n}={sizes[n]}" for n in ("groups", "dilation") if sizes.get(n, "1") != "1"]
    return "".join([*found, *[", bias=True"] * (sizes.get("bias", "0") != "0")])


@dataclass(frozen=True)
class Prolongation(Kernel):
    """K *^s x: transposed convolution whose result is exactly s times as large, Long et al. 2015.

    With e = dilation · (k-1) + 1 - s, it pads by p = max(0, ⌈e/2⌉) and adds 2p - e at the end.
    """

    is_transposed: ClassVar[bool] = True
    shapes: ClassVar[str] = "C×H×W → C'×s·H×s·W"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        size, dilation = whole_size(parameter.given, "size"), whole_size(parameter.given, "dilation")
        if _prolongation_padding(size, dilation, self.stride)[1] >= max(self.stride, dilation):
            raise _no_middle(size)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("in"))
        self.grouped(shapes, parameter)
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, parameter.dimension("out"))
        for large, small in zip(after, before, strict=True):
            shapes.multiplied(large, small, self.stride)

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        padding, rest = _prolongation_padding(int(sizes["size"]), int(sizes.get("dilation", "1")), self.stride)
        given = _keywords(sizes, module)
        numbers = {"padding": padding, "output_padding": rest}
        texts = [f", {module}.bias" if "bias" in given else "", f", stride={self.stride}"]
        texts += [f", {name}={numbers[name]}" for name in numbers if numbers[name]]
        texts += [f", {name}={given[name]}" for name in ("groups", "dilation") if name in given]
        return f"F.conv_transpose2d({operands[0]}, {module}.weight{''.join(texts)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"prolong({sizes['in']}, {sizes['out']}, {sizes['size']}, {self.stride}{_arguments(sizes)})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        channels, height, width = operands[0]
        return self.weights(sizes) * channels * height * width


def _prolongation_padding(size: int, dilation: int, stride: int) -> tuple[int, int]:
    """What torch calls padding and output_padding where the result is exactly stride times as large."""
    excess = dilation * (size - 1) + 1 - stride
    padding = max(0, -(-excess // 2))
    return padding, 2 * padding - excess


def _no_middle(size: int) -> Unfit:
    reason = f"a kernel of {size}×{size} has no middle; without stride it needs an odd one"
    return Unfit(reason, _HELP_FOR_EVEN_SIZES)


@dataclass(frozen=True)
class ConvolutionAdjoint(Kernel):
    """Aᵀ * x and Aᵀ *_s x: the adjoint of A *_s, ⟨A *_s x, y⟩ = ⟨x, Aᵀ *_s y⟩ for all x and y.

    It has the weight of A, and no bias. Its result has the size that the other values require, of those from which
    A *_s leads to the operand's; where nothing decides, it is s times as large.
    """

    is_adjoint: ClassVar[bool] = True
    shapes: ClassVar[str] = "C'×⌈H/s⌉×⌈W/s⌉ → C×H×W"
    parameters: ClassVar[str] = "those of A"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        _check_middle(parameter)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("out"))
        self.grouped(shapes, parameter)
        channels_in, *after = shapes.map(result)
        shapes.equal(channels_in, parameter.dimension("in"))
        for small, large in zip(before, after, strict=True):
            shapes.divided(small, large, self.stride)
            if self.stride > 1:
                shapes.suppose(large, small, self.stride)

    def beyond(self, operand: Shape, result: Shape) -> tuple[int, int]:
        """How many rows and columns the result has beyond the least: what torch calls output_padding."""
        rows, columns = (
            large - (small - 1) * self.stride - 1 for small, large in zip(operand[1:], result[1:], strict=True)
        )
        return rows, columns

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        size, dilation = sizes["size"], sizes.get("dilation", "1")
        is_known = size.isdecimal() and dilation.isdecimal()
        padding = str(int(dilation) * (int(size) - 1) // 2) if is_known else f"{module}.padding"
        rest = {"padding": padding, "output_padding": beyond}
        return f"F.conv_transpose2d({operands[0]}, {module}.weight{self.arguments(sizes, module, rest)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return Convolution(self.stride).module(sizes)

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        _, height, width = operands[0]
        return self.weights(sizes) * whole_size(sizes, "in") * height * width


@dataclass(frozen=True)
class ProlongationAdjoint(Kernel):
    """Kᵀ *^s x: the adjoint of K *^s, the restriction to a map that is exactly s times as small.

    It has the weight of K, and no bias.
    """

    is_transposed: ClassVar[bool] = True
    is_adjoint: ClassVar[bool] = True
    shapes: ClassVar[str] = "C'×s·H×s·W → C×H×W"
    parameters: ClassVar[str] = "those of K"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        size, dilation = whole_size(parameter.given, "size"), whole_size(parameter.given, "dilation")
        if _prolongation_padding(size, dilation, self.stride)[1] >= self.stride:
            raise _no_middle(size)
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("out"))
        self.grouped(shapes, parameter)
        channels_in, *after = shapes.map(result)
        shapes.equal(channels_in, parameter.dimension("in"))
        for large, small in zip(before, after, strict=True):
            shapes.when_known(large, self.check)
            shapes.multiplied(large, small, self.stride)

    def check(self, size: int) -> None:
        if size % self.stride:
            help = "use a kernel as a convolution, `K *_s x`, or another stride"
            raise Unfit(f"a map of size {size} is not {self.stride} times as large as another", help)

    def torch_unlike(
        self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None, beyond: str = "0"
    ) -> str:
        sizes = sizes or {}
        size, dilation = sizes["size"], sizes.get("dilation", "1")
        is_known = size.isdecimal() and dilation.isdecimal()
        padding = _prolongation_padding(int(size), int(dilation), self.stride)[0] if is_known else f"{module}.padding"
        rest = {"padding": str(padding)}
        return f"F.conv2d({operands[0]}, {module}.weight{self.arguments(sizes, module, rest)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return Prolongation(self.stride).module(sizes)

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        channels, height, width = result
        return self.weights(sizes) * channels * height * width


@dataclass(frozen=True)
class Linear(Operator):
    """linear(x) = W x + b: as many numbers as `outputs` says, or as the network has classes.

    It is affine, for its bias, so it does not count as linear.
    """

    keyword: ClassVar[str | None] = "linear"
    owns: ClassVar[str | None] = "linear"
    is_layer: ClassVar[bool] = True
    shapes: ClassVar[str] = "n → outputs"
    parameters: ClassVar[str] = "(n + 1)·outputs"
    outputs: int | None = whole(None, 1, 2**20)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        out = parameter.dimension("out")
        if self.outputs is not None:
            shapes.known(out, self.outputs)
        shapes.equal(shapes.vector(operands[0]), parameter.dimension("in"))
        shapes.equal(shapes.vector(result), out)

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return whole_size(sizes, "out") * (whole_size(sizes, "in") + 1)

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.Linear({sizes['in']}, {sizes['out']})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        return whole_size(sizes, "in") * whole_size(sizes, "out")

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        return OPERAND
