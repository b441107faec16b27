"""Convolutions on a CPU by other algorithms where oneDNN's is slow; results agree up to rounding.

- A result of a single pixel is a matrix product.
- Where the result is a few pixels wide, several images are laid into one, with zeros between them that serve as the
  padding of both neighbours. oneDNN reaches a fraction of its rate on such maps in bfloat16 on AMX, and for a
  kernel's gradient.
- In float32, kernels of 3×3 take Winograd's method in some or all passes: forward, the gradient of the images, that of
  the kernel.

What pays depends on processor and shape, so it is measured before training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from time import perf_counter
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from cldfc.device import Device
from cldfc.recipe import Algorithm, Algorithms, Pass
from cldfc.weights import winograd

# It has no types.
_grad: Any = import_module("torch.nn.grad")

PASSES: tuple[Pass, ...] = get_args(Pass)
USUAL: Algorithm = 1

WIDEST = 8
"""The widest result, in columns, for which laying images side by side is tried."""
WIDTH = 32
"""The width, in columns, that results side by side reach or slightly exceed."""
LEAST_WORK = 2**29
"""Shapes with fewer multiply-adds per batch take too small a part of a step to be measured."""
TRIED_WORK, TRIED_WORK_BF16, TRIED_IMAGES, TRIED_TILES = 2**29, 2**31, 16, 2 * winograd.TILES
"""Multiply-adds, images, and tiles for Winograd's method, that the measured part of a batch has at least."""
FEWEST_CHANNELS = 32
"""For Winograd's method: with fewer, transforming them takes longer than it saves."""
ROUNDS = 2
GAIN = 1.15
"""How many times as fast another algorithm must be to be chosen, so that noise chooses nothing."""
LIMIT = 5.0
"""Seconds after which no further shape is measured."""


class FastConv2d(nn.Conv2d):
    """A convolution that can be computed by other algorithms."""

    algorithms: Mapping[tuple[int, ...], Algorithm] = {}
    """For the height and width of a map, its algorithm."""

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if isinstance(padding, str) or self.padding_mode != "zeros" or input.dim() != 4:
            return super().forward(input)
        if self.gives_pixel(input, padding):
            rows, columns = (slice(pad, pad + size) for pad, size in zip(padding, input.shape[2:], strict=True))
            taps = self.weight[:, :, rows, columns]
            return linear(input.flatten(1), taps.flatten(1), self.bias)[:, :, None, None]
        algorithm = self.algorithms.get(tuple(input.shape[2:]), USUAL)
        if not isinstance(algorithm, int):
            return self.by_winograd(input, padding, algorithm)
        count = min(algorithm, len(input))
        if count < 2:
            return super().forward(input)
        width = input.shape[3]
        results = self.columns(width)
        # A distance that is not a multiple of the stride would move the kernel by a part of it from image to image.
        apart = max(results, -(-(width + padding[1]) // self.stride[1]))
        laid = cast(Tensor, _Lay.apply(input, count, apart * self.stride[1]))  # pyright: ignore[reportUnknownMemberType]
        found = super().forward(laid)
        return cast(Tensor, _Take.apply(found, len(input), count, results, apart))  # pyright: ignore[reportUnknownMemberType]

    def by_winograd(self, input: Tensor, padding: tuple[int, ...], passes: tuple[Pass, ...]) -> Tensor:
        # Of this, torch.compile would make a statement for each part of a batch.
        if torch.compiler.is_compiling():
            return super().forward(input)
        found = cast(Tensor, _Winograd.apply(input, self.weight, padding, passes))  # pyright: ignore[reportUnknownMemberType]
        return found if self.bias is None else found + self.bias[:, None, None]

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

    def takes_winograd(self, size: tuple[int, ...]) -> bool:
        """Whether Winograd's method may pay for a map of this height and width, filled up to whole tiles."""
        settings = self.kernel_size, self.stride, self.dilation, self.groups
        if settings != ((3, 3), (1, 1), (1, 1), 1) or min(self.in_channels, self.out_channels) < FEWEST_CHANNELS:
            return False
        rows, columns = self.columns(size[0], 0), self.columns(size[1])
        return 8 * winograd.tiles_of(rows, columns) <= rows * columns

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


class _Winograd(torch.autograd.Function):
    """A convolution with some passes by Winograd's method."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, kernel: Tensor, padding: tuple[int, int], passes: tuple[Pass, ...]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(images, kernel)
        ctx.settings = padding, passes
        if "forward" not in passes:
            return conv2d(images, kernel, padding=padding)
        return winograd.convolve(images, kernel, padding).contiguous(memory_format=_layout_of(images))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        images, kernel = ctx.saved_tensors
        padding, passes = ctx.settings
        if torch.is_grad_enabled():
            # The gradient is to have a gradient.
            passes = ()
        of_images = of_kernel = None
        if ctx.needs_input_grad[0]:
            if "images" in passes:
                of_images = winograd.images_gradient(gradient, kernel, padding)
            else:
                of_images = _grad.conv2d_input(images.shape, kernel, gradient, padding=padding)
        if ctx.needs_input_grad[1]:
            if "kernel" in passes:
                of_kernel = winograd.kernel_gradient(images, gradient, padding)
            else:
                of_kernel = _grad.conv2d_weight(images, kernel.shape, gradient, padding=padding)
        return of_images, of_kernel, None, None


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


def speed_up_convolutions(network: nn.Module) -> None:
    """Let convolutions of a network compute single pixels as products, and take the algorithms that they are told.

    Parameters, their names and gradients stay what they are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = FastConv2d


Use = tuple[FastConv2d, tuple[int, ...]]
"""A convolution, and the height and width of its input."""


def find_uses(network: nn.Module, device: Device, shape: tuple[int, int, int]) -> list[Use]:
    """The convolutions that other algorithms may suit, one for each call, for images of a shape."""
    found: list[Use] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        conv, size = cast(FastConv2d, module), tuple(inputs[0].shape[2:])
        padding = conv.padding
        if isinstance(padding, str) or conv.padding_mode != "zeros" or conv.gives_pixel(inputs[0], padding):
            return
        if conv.columns(size[1]) <= WIDEST or (not device.bf16 and conv.takes_winograd(size)):
            found.append((conv, size))

    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if isinstance(m, FastConv2d)]
    was_training = network.training
    try:
        with torch.no_grad():
            device.scores(network.eval(), torch.zeros(1, *shape))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def set_algorithms(uses: Iterable[Use], algorithms: Algorithms, device: Device) -> None:
    """Let convolutions take the algorithms of their shapes; in bfloat16 Winograd's method would be too coarse."""
    for conv, size in uses:
        algorithm = algorithms.get(conv.name_on(size))
        if isinstance(algorithm, int) or (algorithm and not device.bf16):
            conv.algorithms = {**conv.algorithms, size: algorithm}


def measure_algorithms(
    uses: Sequence[Use], device: Device, layout: torch.memory_format, batch: int
) -> dict[str, Algorithm]:
    """The shapes for which another algorithm pays, and that algorithm.

    The narrowest results, which gain the most, come first, and of these the most work.
    Nothing is drawn from a generator. Another measurement may choose otherwise, and so give other last bits.
    """
    work: Counter[str] = Counter()
    for conv, size in uses:
        if batch * conv.work(size) >= LEAST_WORK:
            work[conv.name_on(size)] += conv.work(size)
    one_of_each = {conv.name_on(size): (conv, size) for conv, size in uses if conv.name_on(size) in work}
    ordered = sorted(one_of_each.items(), key=lambda one: (one[1][0].columns(one[1][1][1]), -work[one[0]]))
    found: dict[str, Algorithm] = {}
    start = perf_counter()
    for name, (conv, size) in ordered:
        if perf_counter() - start > LIMIT:
            break
        if (algorithm := fastest(conv, size, device, layout, batch)) != USUAL:
            found[name] = algorithm
    return found


def count_for(columns: int, batch: int) -> int:
    """How many results of this width fill a wide one: a power of two, at most a quarter of the batch."""
    count = 1
    while columns <= WIDEST and count * columns < WIDTH and 8 * count <= batch:
        count *= 2
    return count


def fastest(
    conv: FastConv2d, size: tuple[int, ...], device: Device, layout: torch.memory_format, batch: int
) -> Algorithm:
    """The algorithm that is fastest, by far enough, in all passes together."""
    rows, columns = conv.columns(size[0], 0), conv.columns(size[1])
    tried = TRIED_WORK_BF16 if device.bf16 else TRIED_WORK
    images, count = max(TRIED_IMAGES, tried // conv.work(size)), count_for(columns, batch)
    other: Algorithm = count
    if not device.bf16 and conv.takes_winograd(size):
        images, count, other = max(images, TRIED_TILES // winograd.tiles_of(rows, columns)), 1, PASSES
    if other == USUAL:
        return USUAL
    seconds = time_passes(conv, (max(1, min(batch, images) // count) * count, conv.in_channels, *size), device, layout)
    best = {algorithm: [math.inf] * len(PASSES) for algorithm in (USUAL, other)}
    # In the first round each prepares itself; its seconds are seldom the fewest.
    for _ in range(ROUNDS):
        best = {algorithm: [*map(min, before, seconds(algorithm))] for algorithm, before in best.items()}
    return choose(best[USUAL], best[other], other)


def time_passes(
    conv: FastConv2d, shape: tuple[int, ...], device: Device, layout: torch.memory_format
) -> Callable[[Algorithm], list[float]]:
    """Tells the seconds of each pass by an algorithm, for images of a shape n × c × h × w."""
    type = torch.bfloat16 if device.bf16 else torch.float32
    images = torch.ones(shape, dtype=type).contiguous(memory_format=layout)
    tried = deepcopy(conv).requires_grad_(False)

    def seconds(algorithm: Algorithm) -> list[float]:
        tried.algorithms = {shape[2:]: algorithm}
        found: list[float] = []
        # Where both gradients are asked for, some algorithms compute both, whichever is taken.
        for given in (None, images, tried.weight):
            if given is not None:
                given.requires_grad_()
            start = perf_counter()
            with torch.autocast(device.kind, torch.bfloat16, enabled=device.bf16):
                result: Tensor = tried(images)
            if given is not None:
                slope, start = torch.ones_like(result), perf_counter()
                torch.autograd.grad(result, [given], slope)
                given.requires_grad_(False)
            found.append(perf_counter() - start)
        return found

    return seconds


def choose(usual: Sequence[float], other: Sequence[float], algorithm: Algorithm) -> Algorithm:
    """The algorithm to take, by the seconds of each pass in the usual way and by another algorithm.

    Images lie side by side in all passes or in none; Winograd's method is taken in those that gain enough.
    """
    if isinstance(algorithm, int):
        return algorithm if sum(usual) > GAIN * sum(other) else USUAL
    gaining: list[Pass] = [one for one, old, new in zip(PASSES, usual, other, strict=True) if old > GAIN * new]
    return tuple(gaining) or USUAL
