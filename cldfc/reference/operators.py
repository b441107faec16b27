"""The built-in operators and convolutions, from their definitions, on tensors with the batch in front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import isfunction, signature

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-5
"""What normalisations add to the variance, unless `eps` says otherwise."""
MOMENTUM = 0.1
"""The weight of the newest batch in running statistics, unless `momentum` says otherwise."""

NORMS = ("bn", "gn", "ln", "inorm", "cln")
OWNERS = (*NORMS, "prelu", "linear")
"""The operators with parameters."""


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """max(0, x) + slope · min(0, x)."""
    return torch.where(x > 0, x, slope * x)


def elu(x: Tensor, alpha: float = 1) -> Tensor:
    """max(0, x) + alpha · (exp(min(0, x)) - 1)."""
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def soft_threshold(x: Tensor, threshold: float = 0.5) -> Tensor:
    """sign(x) · max(0, |x| - threshold)."""
    return torch.where(x.abs() > threshold, x - threshold * x.sign(), torch.zeros_like(x))


def gelu(x: Tensor) -> Tensor:
    """x · Φ(x), with Φ the normal distribution function."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def silu(x: Tensor) -> Tensor:
    """x · sigmoid(x)."""
    return x * torch.sigmoid(x)


def celu(x: Tensor, alpha: float = 1) -> Tensor:
    """max(0, x) + alpha · (exp(min(0, x) / alpha) - 1)."""
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0) / alpha))


def relu6(x: Tensor) -> Tensor:
    """min(6, max(0, x))."""
    return x.clamp(0, 6)


def hard_sigmoid(x: Tensor) -> Tensor:
    """min(1, max(0, x / 6 + 1/2))."""
    return (x / 6 + 1 / 2).clamp(0, 1)


def hard_swish(x: Tensor) -> Tensor:
    """x · hard_sigmoid(x)."""
    return x * hard_sigmoid(x)


def mish(x: Tensor) -> Tensor:
    """x · tanh(log(1 + exp(x)))."""
    return x * torch.tanh(F.softplus(x))


def identity(x: Tensor) -> Tensor:
    return x


def drop(x: Tensor, rate: float, training: bool) -> Tensor:
    """dropout(x): in training each number is 0 with probability `rate`, else divided by 1 - rate."""
    return F.dropout(x, rate, training)


def drop_images(x: Tensor, rate: float, training: bool) -> Tensor:
    """droppath(x): the same with one draw for each image."""
    return x * drop(x.new_ones(len(x)), rate, training).reshape(-1, *[1] * (x.dim() - 1))


DRAWING: Mapping[str, tuple[Callable[[Tensor, float, bool], Tensor], float]] = {
    "dropout": (drop, 0.5),
    "droppath": (drop_images, 0.1),
}
"""The operators that draw at random, each with the rate that it has unless it is set."""

POINTWISE: Mapping[str, Callable[..., Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "celu": celu,
    "gelu": gelu,
    "silu": silu,
    "hard_swish": hard_swish,
    "mish": mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "softplus": F.softplus,
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "cos": torch.cos,
    "sin": torch.sin,
    "soft_threshold": soft_threshold,
}
"""The operators that act on each number for itself; their settings are keyword arguments."""


def softmax(x: Tensor) -> Tensor:
    """exp(x) / Σ exp(x), over the channels of each pixel."""
    powers = (x - x.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def lrn(x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha/size · Σ x²)^beta, with the sum over `size` channels, from size // 2 before each on."""
    channels = x.shape[1]
    first = [max(0, at - size // 2) for at in range(channels)]
    last = [min(channels, at + (size - 1) // 2 + 1) for at in range(channels)]
    sums = [x[:, start:stop].square().sum(1) for start, stop in zip(first, last, strict=True)]
    return x / (k + alpha / size * torch.stack(sums, 1)) ** beta


BY_PIXEL: Mapping[str, Callable[..., Tensor]] = {"softmax": softmax, "lrn": lrn}
"""The operators without parameters that act on the channels of each pixel."""


def flatten(x: Tensor) -> Tensor:
    """All numbers of a map as one vector."""
    return x.reshape(len(x), -1)


def upsample(x: Tensor, factor: int = 2, mode: str = "nearest") -> Tensor:
    """Every number repeated so often along each axis; or linear between the middles of pixels."""
    for axis in range(2, x.dim()):
        x = x.repeat_interleave(factor, axis) if mode == "nearest" else _interpolate(x, factor, axis)
    return x


def _interpolate(x: Tensor, factor: int, axis: int) -> Tensor:
    """Along one axis, where pixel i of the result lies at (i + 1/2) / factor - 1/2; constant beyond the ends."""
    size = x.shape[axis]
    numbers = torch.arange(size * factor, dtype=x.dtype, device=x.device)
    places = ((numbers + 0.5) / factor - 0.5).clamp(0, size - 1)
    before = places.floor().long()
    after = (before + 1).clamp(max=size - 1)
    share = (places - before).reshape([-1 if at == axis else 1 for at in range(x.dim())])
    return (1 - share) * x.index_select(axis, before) + share * x.index_select(axis, after)


def shuffle(x: Tensor, groups: int = 2) -> Tensor:
    """The first channel of each group, then the second of each, and so on."""
    size = x.shape[1] // groups
    return torch.cat([x[:, at::size] for at in range(size)], 1)


def depth_to_space(x: Tensor, factor: int = 2) -> Tensor:
    """Channel c·factor² + i·factor + j of pixel (y, x) is pixel (factor·y + i, factor·x + j) of channel c."""
    images, channels, height, width = x.shape
    parts = x.reshape(images, channels // factor**2, factor, factor, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(images, -1, factor * height, factor * width)


def space_to_depth(x: Tensor, factor: int = 2) -> Tensor:
    """Channel c·factor² + i·factor + j has the pixels (factor·y + i, factor·x + j) of channel c."""
    parts = [x[:, :, i::factor, j::factor] for i in range(factor) for j in range(factor)]
    return torch.stack(parts, 2).flatten(1, 2)


def pad(
    x: Tensor, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, front: int = 0, back: int = 0
) -> Tensor:
    """Zeros around a map; left and right are the sides of its last axis."""
    for axis, (before, behind) in zip((-1, -2, -3), ((left, right), (top, bottom), (front, back)), strict=True):
        if before or behind:
            shapes = [[*x.shape] for _ in "ab"]
            shapes[0][axis], shapes[1][axis] = before, behind
            x = torch.cat([x.new_zeros(shapes[0]), x, x.new_zeros(shapes[1])], axis)
    return x


def pad_channels(x: Tensor, front: int = 0, back: int = 0) -> Tensor:
    """Channels of zeros before and behind."""
    images, _, *sides = x.shape
    return torch.cat([x.new_zeros(images, front, *sides), x, x.new_zeros(images, back, *sides)], 1)


def crop(
    x: Tensor, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0, front: int = 0, back: int = 0
) -> Tensor:
    """A map without so many numbers at each side."""
    for axis, (before, behind) in zip((-1, -2, -3), ((left, right), (top, bottom), (front, back)), strict=True):
        if before or behind:
            x = x.narrow(axis, before, x.shape[axis] - before - behind)
    return x


def avgpool(
    x: Tensor, size: int | None = None, stride: int | None = None, padding: int | None = None, ceil: int = 0
) -> Tensor:
    """The mean over windows, whose padding counts as zeros; without a size over the whole map."""
    if size is None:
        return x.flatten(2).mean(2)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.dim() - 3]
    return pool(x, size, stride or size, _margin(size, stride, padding), bool(ceil))


def maxpool(
    x: Tensor, size: int | None = None, stride: int | None = None, padding: int | None = None, ceil: int = 0
) -> Tensor:
    """The largest number of windows; without a size of the whole map."""
    if size is None:
        return x.flatten(2).max(2).values
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[x.dim() - 3]
    return pool(x, size, stride or size, _margin(size, stride, padding), ceil_mode=bool(ceil))


def _margin(size: int, stride: int | None, padding: int | None) -> int:
    """The padding of a window, unless given: ⌊(size-1)/2⌋ where windows overlap, else none."""
    if padding is not None:
        return padding
    return 0 if stride is None or stride >= size else (size - 1) // 2


def unpool(x: Tensor, y: Tensor, size: int) -> Tensor:
    """Each number of x at the first place of its window where the largest number of y stands; zeros elsewhere."""
    result = torch.zeros_like(y)
    windows, places = y, result
    for axis in range(2, y.ndim):
        windows, places = windows.unfold(axis, size, size), places.unfold(axis, size, size)
    numbers = windows.flatten(y.ndim)
    is_largest = numbers == numbers.amax(-1, keepdim=True)
    is_first = is_largest & (is_largest.cumsum(-1) == 1)
    places.copy_(x.reshape(*x.shape, *[1] * (y.ndim - 2)) * is_first.reshape(windows.shape))
    return result


REARRANGING: Mapping[str, Callable[..., Tensor]] = {
    "flatten": flatten,
    "upsample": upsample,
    "shuffle": shuffle,
    "depth_to_space": depth_to_space,
    "space_to_depth": space_to_depth,
    "pad": pad,
    "pad_channels": pad_channels,
    "crop": crop,
    "avgpool": avgpool,
    "maxpool": maxpool,
}
"""The operators without parameters that change the shape."""

BUILT_IN = frozenset({*OWNERS, *POINTWISE, *BY_PIXEL, *REARRANGING, *DRAWING, "split", "unpool"})

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "dropout": ("rate",),
    "droppath": ("rate",),
    "prelu": ("shared",),
    "linear": ("outputs",),
    **dict.fromkeys(NORMS, ("eps", "affine")),
    "bn": ("eps", "affine", "momentum", "fixed"),
    "split": ("parts",),
    "unpool": ("size",),
    "gn": ("groups", "eps", "affine"),
    **{
        name: tuple(signature(formula).parameters)[1:]
        for name, formula in {**POINTWISE, **BY_PIXEL, **REARRANGING}.items()
        if isfunction(formula)
    },
}
"""What may stand in brackets, in this order: the arguments of a formula; those that are torch's own take none."""


WORDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "upsample": ("mode", ("nearest", "bilinear", "linear", "trilinear"))
}
"""A setting that is a word, and which words it may be."""


FLAGS = ("affine", "ceil", "fixed", "shared")
"""The settings that a word alone turns on: `ceil` is `ceil=1`."""


# Convolutions


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    dilation: int,
    groups: int,
    padding: tuple[int, ...] | None = None,
    boundary: str = "same",
) -> Tensor:
    """K *_s x: padding (k-1)/2 · dilation unless stated, by zeros or by numbers of x itself."""
    widths = padding or tuple(dilation * (size - 1) // 2 for size in weight.shape[2:])
    mode = boundary if boundary in ("circular", "reflect", "replicate") else "constant"
    padded = F.pad(x, tuple(width for width in reversed(widths) for _ in range(2)), mode)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
    return convolve(padded, weight, bias, stride, 0, dilation, groups)


def prolongation(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int) -> Tensor:
    """K *^s x: every pixel adds its number times the kernel; the result is cut out, or filled up, to s times the size.

    Of the e = dilation · (k-1) + 1 - s numbers too many on each axis, max(0, ⌈e/2⌉) are cut off in front.
    """
    transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[x.dim() - 3]
    whole = transposed(x, weight, None, stride, 0, 0, groups, dilation)
    front = max(0, math.ceil((dilation * (weight.shape[-1] - 1) + 1 - stride) / 2))
    for axis in range(2, x.dim()):
        wanted = x.shape[axis] * stride
        part = whole.narrow(axis, front, min(wanted, whole.shape[axis] - front))
        shape = [*part.shape]
        shape[axis] = wanted - part.shape[axis]
        whole = torch.cat([part, part.new_zeros(shape)], axis)
    return whole if bias is None else whole + by_channel(whole, bias)


def adjoint(apply: Callable[[Tensor], Tensor], x: Tensor, before: tuple[int, ...]) -> Tensor:
    """The adjoint at x of a linear map from tensors of the shape `before`: the gradient of ⟨apply(u), x⟩ for u."""
    is_recorded = torch.is_grad_enabled()
    u = torch.zeros(before, dtype=x.dtype, device=x.device, requires_grad=True)
    with torch.enable_grad():
        return torch.autograd.grad(apply(u), u, x, create_graph=is_recorded)[0]


# Normalisations


def by_channel(x: Tensor, vector: Tensor) -> Tensor:
    """A number for each channel, as wide as x."""
    return vector.reshape(1, -1, *[1] * (x.dim() - 2))


def normalise(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Mean 0 and variance 1, nearly."""
    return (x - mean) / (variance + eps).sqrt()


def normalise_over(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """Mean 0 and variance 1 over these axes."""
    mean = x.mean(axes, keepdim=True)
    return normalise(x, mean, (x - mean).square().mean(axes, keepdim=True), eps)


def batch_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over batch and pixels."""
    axes = (0, *range(2, x.dim()))
    mean = x.mean(axes)
    return mean, (x - by_channel(x, mean)).square().mean(axes)


def group_norm(x: Tensor, groups: int, eps: float) -> Tensor:
    """gn(x) before scale and shift: each image over pixels and the channels of a group; ln has one group."""
    return normalise_over(x.reshape(len(x), groups, -1), (2,), eps).reshape(x.shape)
