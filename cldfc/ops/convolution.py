"""Convolution with a declared kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.errors import Unfit
from cldfc.ops.kept import OPERAND, Kept
from cldfc.ops.shapes import Form, Shape, Sized, Sizes, whole_size
from cldfc.ops.solver import Solver

HELP_FOR_EVEN_SIZES = "write an odd size; an even kernel can only prolong, as in `K *^2 x`"


@dataclass(frozen=True)
class Kernel(Operator):
    """What convolution and prolongation share: a kernel of size × size, perhaps in groups.

    It is linear unless its declaration says `bias`, which only the sizes of its parameter know.
    """

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
        return f"{module}({operands[0]})"

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
        size, dilation = whole_size(parameter.given, "size"), whole_size(parameter.given, "dilation")
        if dilation * (size - 1) % 2:
            raise Unfit(f"a kernel of {size}×{size} has no middle; a convolution needs an odd one", HELP_FOR_EVEN_SIZES)
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

    def torch_unlike(self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None) -> str:
        """The same with a module that was made for another stride."""
        given = keywords(sizes or {}, module)
        bias = f", {module}.bias" if "bias" in given else ""
        rest = "".join(f", {name}={given[name]}" for name in ("dilation", "groups") if name in given)
        return f"F.conv2d({operands[0]}, {module}.weight{bias}, stride={self.stride}, padding={module}.padding{rest})"

    def module(self, sizes: Mapping[str, str]) -> str:
        stride = f", stride={self.stride}" if self.stride > 1 else ""
        return f"conv({sizes['in']}, {sizes['out']}, {sizes['size']}{stride}{arguments(sizes)})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        _, height, width = result
        return self.weights(sizes) * whole_size(sizes, "in") * height * width


def keywords(sizes: Mapping[str, str], module: str) -> dict[str, str]:
    """What a module has beside its weight, where that is not torch's default."""
    defaults = {"dilation": "1", "groups": "1", "bias": "0"}
    return {name: f"{module}.{name}" for name, default in defaults.items() if sizes.get(name, default) != default}


def arguments(sizes: Mapping[str, str]) -> str:
    """The arguments of a constructor for what a declaration says beside the sizes of a kernel."""
    found = [f", {n}={sizes[n]}" for n in ("groups", "dilation") if sizes.get(n, "1") != "1"]
    return "".join([*found, *[", bias=True"] * (sizes.get("bias", "0") != "0")])
