"""Pooling, over the whole map or by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cldfc.ops.base import INDEX, NOTHING, OPERAND, Kept, Operator, whole
from cldfc.ops.solver import Form, Shape, Sized, Solver, Unfit

_LARGEST_WINDOW = 2**20


@dataclass(frozen=True)
class Pool(Operator):
    """A window of size × size at every `stride`-th pixel; without a size the whole map, then flattened."""

    shapes: ClassVar[str] = (
        "C×H×W → C; with a window C×H'×W', where H' = ⌊(H + 2·padding - size)/stride⌋ + 1, or rounded up"
    )
    kind: ClassVar[str] = ""
    size: int | None = whole(None, 1, _LARGEST_WINDOW)
    stride: int | None = whole(None, 1, _LARGEST_WINDOW)
    padding: int | None = whole(None, 0, _LARGEST_WINDOW)
    ceil: int = whole(0, 0, 1)

    def window(self) -> tuple[int, int, int] | None:
        """Size, stride and padding with their defaults; None for the whole map."""
        if self.size is None:
            return None
        stride = self.size if self.stride is None else self.stride
        customary = (self.size - 1) // 2 if stride < self.size else 0
        return self.size, stride, customary if self.padding is None else self.padding

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        window, (channels, *before) = self.window(), shapes.map(operands[0])
        self.check()
        if window is None:
            return shapes.equal(shapes.vector(result), channels)
        channels_out, *after = shapes.map(result)
        shapes.equal(channels_out, channels)
        for small, large in zip(after, before, strict=True):
            shapes.windowed(small, large, *window, is_ceil=bool(self.ceil))
        return None

    def check(self) -> None:
        """Raise Unfit for what PyTorch refuses."""
        size, padding = self.size, self.padding
        if size is None and (self.stride is not None or padding is not None or self.ceil):
            help = f"write the size first: `{self.keyword}[3, stride=2]`"
            raise Unfit("a window needs its size before a stride, padding or `ceil`", help)
        if size is not None and padding is not None and 2 * padding > size:
            reason = f"a padding of {padding} is more than half of a window of {size}"
            raise Unfit(reason, f"write a padding of at most {size // 2}, or a larger window")

    def left_out(self, rows: int) -> int:
        """How many of so many rows no window reaches: beyond the last one, or in between."""
        window = self.window()
        if window is None or self.ceil:
            return 0
        size, stride, padding = window
        starts = range(-padding, rows + padding - size + 1, stride)
        reached = starts[-1] + size if stride <= size else sum(min(at + size, rows) - max(at, 0) for at in starts)
        return max(0, rows - reached)

    def torch(self, operands: list[str], module: str) -> str:
        window = self.window()
        if window is None:
            return f"F.adaptive_{self.kind}_pool{self.dimension}d({operands[0]}, 1).flatten(1)"
        size, stride, padding = window
        rest = [f", stride={stride}"] * (stride != size) + [f", padding={padding}"] * (padding != 0)
        rest += [", ceil_mode=True"] * self.ceil
        return f"F.{self.kind}_pool{self.dimension}d({operands[0]}, {size}{''.join(rest)})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return all(operands)


class AvgPool(Pool):
    """avgpool(x): the mean over the whole map, then flattened: R_ave of Algorithm 1; or over windows.

    With a size: stride = size unless given. Padding, unless given: none; ⌊(size-1)/2⌋ where windows overlap,
    that is, where stride < size. It counts as zeros. With `ceil`, a last window may reach beyond the map.
    """

    keyword: ClassVar[str | None] = "avgpool"
    kind: ClassVar[str] = "avg"
    linear: ClassVar[bool] = True

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, though only the sizes would be needed; over the whole map it is a mean, which keeps those."""
        return NOTHING if self.size is None else OPERAND


class MaxPool(Pool):
    """maxpool(x): the largest number of the whole map, then flattened; or of each window.

    With a size: stride = size unless given. Padding, unless given: none; ⌊(size-1)/2⌋ where windows overlap,
    that is, where stride < size. It counts as -∞. With `ceil`, a last window may reach beyond the map.
    """

    keyword: ClassVar[str | None] = "maxpool"
    keeps_zero: ClassVar[bool] = True
    kind: ClassVar[str] = "max"

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """Its operand, and where in it each number of the result stands."""
        return Kept((0,), each_image=INDEX * prod(result))


@dataclass(frozen=True)
class Unpool(Operator):
    """unpool(x, y): each number of x at the place of the maximum of its window in y, zeros elsewhere.

    `unpool[2](x, y)` has the size of y, and its places are those where `maxpool[2](y)` finds its numbers, the first of
    equal ones. It is linear in x. Zeiler et al. 2011; SegNet, Badrinarayanan et al. 2015.
    """

    keyword: ClassVar[str | None] = "unpool"
    takes_operands: ClassVar[int] = 2
    shapes: ClassVar[str] = "C×⌊H/size⌋×⌊W/size⌋, C×H×W → C×H×W"
    size: int = whole(2, 2, _LARGEST_WINDOW)

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        (channels, *few), (channels_out, *many) = shapes.map(operands[0]), shapes.map(result)
        shapes.equal(channels_out, channels)
        shapes.same(result, operands[1])
        for small, large in zip(few, many, strict=True):
            shapes.windowed(small, large, self.size, self.size, 0)

    def torch(self, operands: list[str], module: str) -> str:
        return f"unpool({', '.join(operands)}, {self.size})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        return operands[0]

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """The place of each number of x in the result; and y, from which the places are computed, if it is trained."""
        channels, *sides = result
        places = INDEX * channels * prod(side // self.size for side in sides)
        return Kept((1,) if trained[1] else (), each_image=places)
