"""Convolutions on small maps, faster: a single pixel as a matrix product, several images side by side.

oneDNN's convolution reaches a fraction of its rate where the result is a few pixels wide, most of all in bfloat16 on
AMX, and for the gradient of a kernel. So several images are laid into one, with zeros between them that serve as the
padding of both neighbours. Whether that pays depends on processor and shape, so it is measured before training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from cldfc.device import Device

Counts = Mapping[str, int]
"""For the name of a shape of convolution, how many images lie side by side; other shapes are left alone."""

WIDEST = 8
"""The widest result, in columns, for which laying images side by side is tried."""
WIDTH = 32
"""The width, in columns, that results side by side reach or slightly exceed."""
LEAST_WORK = 2**29
"""Shapes with fewer multiply-adds per batch take too small a part of a step to be measured."""
TRIED_WORK = 2**29
"""Multiply-adds of the batch that is measured, which has `TRIED_IMAGES` images at least."""
TRIED_IMAGES = 16
PAIRS = 3
GAIN = 1.15
"""How many times as fast a form must be to be chosen, so that noise chooses nothing."""
LIMIT = 1.5
"""Seconds after which no further shape is measured."""


class SmallConv2d(nn.Conv2d):
    """A convolution that computes small maps by other means where it can; results agree up to rounding."""

    side_by_side: Mapping[tuple[int, ...], int] = {}
    """For the height and width of a map, how many images lie side by side."""

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros" or input.dim() != 4:
            return super().forward(input)
        if self.gives_pixel(input, padding):
            rows, columns = (slice(pad, pad + size) for pad, size in zip(padding, input.shape[2:], strict=True))
            taps = self.weight[:, :, rows, columns]
            return linear(input.flatten(1), taps.flatten(1), self.bias)[:, :, None, None]
        count = min(self.side_by_side.get(tuple(input.shape[2:]), 1), len(input))
        if count < 2:
            return super().forward(input)
        width = input.shape[3]
        results = self.columns(width)
        # A distance that is not a multiple of the stride would move the kernel by a part of it from image to image.
        apart = max(results, -(-(width + padding[1]) // self.stride[1]))
        laid = cast(Tensor, _Lay.apply(input, count, apart * self.stride[1]))  # pyright: ignore[reportUnknownMemberType]
        found = super().forward(laid)
        return cast(Tensor, _Take.apply(found, len(input), count, results, apart))  # pyright: ignore[reportUnknownMemberType]

    def gives_pixel(self, input: Tensor, padding: tuple[int, ...]) -> bool:
        """Whether the result is one pixel: the kernel covers the whole map."""
        if self.groups > 1 or self.dilation != (1, 1):
            return False
        axes = zip(input.shape[2:], padding, self.kernel_size, self.stride, strict=True)
        return all(size + 2 * pad - taps < stride and pad + size <= taps for size, pad, taps, stride in axes)

    def columns(self, width: int, axis: int = 1) -> int:
        """The columns of the result for a map with this many; for axis 0, the rows."""
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        return (width + 2 * int(self.padding[axis]) - reach) // self.stride[axis] + 1

    def work(self, size: tuple[int, ...]) -> int:
        """Multiply-adds for a map of this height and width."""
        return self.columns(size[0], 0) * self.columns(size[1]) * self.weight.numel()

    def name_on(self, size: tuple[int, ...]) -> str:
        """The name of its shape on a map: `512 → 512, 3×3, padding 1×1, on 4×4`."""
        settings = (
            ("stride", self.stride, (1, 1)),
            ("padding", self.padding, (0, 0)),
            ("dilation", self.dilation, (1, 1)),
        )
        others = [f"{name} {value[0]}×{value[1]}, " for name, value, usual in settings if value != usual]
        groups = f"{self.groups} groups, " * (self.groups > 1)
        kernel = f"{self.in_channels} → {self.out_channels}, {self.kernel_size[0]}×{self.kernel_size[1]}, {groups}"
        return f"{kernel}{''.join(others)}on {size[0]}×{size[1]}"


class _Lay(torch.autograd.Function):
    """Images side by side, n × c × h × w → n/count × c × h × W; each starts `apart` columns after the last."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, count: int, apart: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.taken = len(images), count, images.shape[3], apart
        return _lay(images, count, apart)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Take.apply(gradient, *ctx.taken), None, None  # pyright: ignore[reportUnknownMemberType]


class _Take(torch.autograd.Function):
    """The adjoint: takes `count` images, `width` columns each, from where they lie side by side."""

    @staticmethod
    def forward(ctx: Any, laid: Tensor, images: int, count: int, width: int, apart: int) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.laid = count, apart
        shape = (images, *laid.shape[1:3], width)
        taken = torch.empty(shape, dtype=laid.dtype, device=laid.device, memory_format=_layout_of(laid))
        for own, place in _places(taken, laid, count, apart):
            own.copy_(place)
        return taken

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Lay.apply(gradient, *ctx.laid), None, None, None, None  # pyright: ignore[reportUnknownMemberType]


def _lay(images: Tensor, count: int, apart: int) -> Tensor:
    number, *others, width = images.shape
    shape = (-(-number // count), *others, (count - 1) * apart + width)
    laid = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=_layout_of(images)).zero_()
    for own, place in _places(images, laid, count, apart):
        place.copy_(own)
    return laid


def _places(images: Tensor, laid: Tensor, count: int, apart: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images in groups of `count`, then the rest."""
    places = laid.unfold(3, images.shape[3], apart).permute(0, 3, 1, 2, 4)
    whole, left = divmod(len(images), count)
    yield images[: whole * count].unflatten(0, (whole, count)), places[:whole]
    if left:
        yield images[whole * count :], places[whole, :left]


def _layout_of(maps: Tensor) -> torch.memory_format:
    is_last = maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format


def speed_up_small_maps(network: nn.Module) -> None:
    """Let each convolution of a network compute single pixels, and the maps that it is told, by other means.

    Parameters, their names and gradients stay what they are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = SmallConv2d


Use = tuple[SmallConv2d, tuple[int, ...]]
"""A convolution, and the height and width of its input."""


def find_narrow(network: nn.Module, device: Device, shape: tuple[int, int, int]) -> list[Use]:
    """The convolutions with a narrow result, one for each call, for images of a shape."""
    found: list[Use] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        conv, size = cast(SmallConv2d, module), tuple(inputs[0].shape[2:])
        padding = conv.padding
        if isinstance(padding, str) or conv.padding_mode != "zeros" or conv.gives_pixel(inputs[0], padding):
            return
        if conv.columns(size[1]) <= WIDEST:
            found.append((conv, size))

    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, SmallConv2d)]
    was_training = network.training
    try:
        with torch.no_grad():
            device.scores(network.eval(), torch.zeros(1, *shape))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def lay_side_by_side(uses: Iterable[Use], counts: Counts) -> None:
    """Set how many images the convolutions of each shape lay side by side."""
    for conv, size in uses:
        if (count := counts.get(conv.name_on(size))) is not None:
            conv.side_by_side = {**conv.side_by_side, size: count}


def measure_counts(uses: Sequence[Use], device: Device, layout: torch.memory_format, batch: int) -> dict[str, int]:
    """The shapes for which laying images side by side pays, and how many images.

    The narrowest results, which gain the most, come first, and of these the most work.
    Nothing is drawn from a generator. Another measurement may choose otherwise, and so give other last bits.
    """
    work: Counter[str] = Counter()
    for conv, size in uses:
        if batch * conv.work(size) >= LEAST_WORK:
            work[conv.name_on(size)] += conv.work(size)
    one_of_each = {conv.name_on(size): (conv, size) for conv, size in uses if conv.name_on(size) in work}
    ordered = sorted(one_of_each.items(), key=lambda one: (one[1][0].columns(one[1][1][1]), -work[one[0]]))
    found: dict[str, int] = {}
    start = perf_counter()
    for name, (conv, size) in ordered:
        if perf_counter() - start > LIMIT:
            break
        count = count_for(conv.columns(size[1]), batch)
        if count > 1 and pays(conv, size, count, device, layout, batch):
            found[name] = count
    return found


def count_for(columns: int, batch: int) -> int:
    """How many results of this width fill a wide one: a power of two, at most a quarter of the batch."""
    count = 1
    while count * columns < WIDTH and 8 * count <= batch:
        count *= 2
    return count


def pays(
    conv: SmallConv2d, size: tuple[int, ...], count: int, device: Device, layout: torch.memory_format, batch: int
) -> bool:
    """Whether a convolution, forward and backward, is faster with so many images side by side."""
    wished = min(batch, max(TRIED_IMAGES, TRIED_WORK // conv.work(size)))
    shape = (max(1, wished // count) * count, conv.in_channels, *size)
    type = torch.bfloat16 if device.bf16 else torch.float32
    images = torch.ones(shape, dtype=type).contiguous(memory_format=layout).requires_grad_()
    laid = copy(conv)
    laid.side_by_side = {size: count}

    def seconds(module: nn.Module) -> float:
        start = perf_counter()
        with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
            result: Tensor = module(images)
        torch.autograd.grad(result, [images, *module.parameters()], torch.ones_like(result))
        return perf_counter() - start

    # The first call of each form includes its preparations.
    _ = seconds(conv), seconds(laid)
    best = best_laid = math.inf
    for _ in range(PAIRS):
        best, best_laid = min(best, seconds(conv)), min(best_laid, seconds(laid))
        if best < best_laid:
            return False
    return best > GAIN * best_laid
