"""Prolongation with a declared kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.convolution import HELP_FOR_EVEN_SIZES, Kernel, arguments, keywords
from cldfc.ops.errors import Unfit
from cldfc.ops.shapes import Form, Shape, Sized, Sizes, whole_size
from cldfc.ops.solver import Solver


@dataclass(frozen=True)
class Prolongation(Kernel):
    """K *^s x: transposed convolution whose result is exactly s times as large, Long et al. 2015.

    With e = dilation · (k-1) + 1 - s, it pads by p = max(0, ⌈e/2⌉) and adds 2p - e at the end.
    """

    shapes: ClassVar[str] = "C×H×W → C'×s·H×s·W"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        size, dilation = whole_size(parameter.given, "size"), whole_size(parameter.given, "dilation")
        if self.padding(size, dilation)[1] >= max(self.stride, dilation):
            raise Unfit(
                f"a kernel of {size}×{size} has no middle; without stride it needs an odd one", HELP_FOR_EVEN_SIZES
            )
        channels, *before = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("in"))
        self.grouped(shapes, parameter)
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, parameter.dimension("out"))
        for large, small in zip(after, before, strict=True):
            shapes.multiplied(large, small, self.stride)

    def padding(self, size: int, dilation: int) -> tuple[int, int]:
        """What torch calls padding and output_padding."""
        excess = dilation * (size - 1) + 1 - self.stride
        padding = max(0, -(-excess // 2))
        return padding, 2 * padding - excess

    def torch_unlike(self, operands: list[str], module: str, sizes: Mapping[str, str] | None = None) -> str:
        """The same with a module that was made for another stride; the kernel's size must be a number."""
        sizes = sizes or {}
        padding, beyond = self.padding(int(sizes["size"]), int(sizes.get("dilation", "1")))
        given = keywords(sizes, module)
        numbers = {"padding": padding, "output_padding": beyond}
        texts = [f", {module}.bias" if "bias" in given else "", f", stride={self.stride}"]
        texts += [f", {name}={numbers[name]}" for name in numbers if numbers[name]]
        texts += [f", {name}={given[name]}" for name in ("groups", "dilation") if name in given]
        return f"F.conv_transpose2d({operands[0]}, {module}.weight{''.join(texts)})"

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"prolong({sizes['in']}, {sizes['out']}, {sizes['size']}, {self.stride}{arguments(sizes)})"

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        channels, height, width = operands[0]
        return self.weights(sizes) * channels * height * width
