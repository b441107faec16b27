"""The built-in operators and convolutions, from their definitions, on tensors with the batch in front."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from inspect import isfunction, signature

import torch
from torch import Tensor
from torch.nn import functional as F

_EPSILON = 1e-5
"""Of all normalisations, added to the variance."""
MOMENTUM = 0.1
"""The weight of the newest batch in running statistics."""

_NORMS = ("bn", "gn", "ln")
OWNERS = (*_NORMS, "linear")
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


def identity(x: Tensor) -> Tensor:
    return x


POINTWISE: Mapping[str, Callable[..., Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "silu": silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "abs": torch.abs,
    "soft_threshold": soft_threshold,
}
"""The operators that act on each number for itself; their settings are keyword arguments."""


def flatten(x: Tensor) -> Tensor:
    """All numbers of a map as one vector."""
    return x.reshape(len(x), -1)


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Every number repeated in a square of factor × factor."""
    return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def avgpool(
    x: Tensor, size: int | None = None, stride: int | None = None, padding: int | None = None, ceil: int = 0
) -> Tensor:
    """The mean over windows, whose padding counts as zeros; without a size over the whole map."""
    if size is None:
        return x.mean((2, 3))
    return F.avg_pool2d(x, size, stride or size, _margin(size, stride, padding), bool(ceil))


def maxpool(
    x: Tensor, size: int | None = None, stride: int | None = None, padding: int | None = None, ceil: int = 0
) -> Tensor:
    """The largest number of windows; without a size of the whole map."""
    if size is None:
        return F.adaptive_max_pool2d(x, 1).flatten(1)
    return F.max_pool2d(x, size, stride or size, _margin(size, stride, padding), ceil_mode=bool(ceil))


def _margin(size: int, stride: int | None, padding: int | None) -> int:
    """The padding of a window, unless given: ⌊(size-1)/2⌋ where windows overlap, else none."""
    if padding is not None:
        return padding
    return 0 if stride is None or stride >= size else (size - 1) // 2


REARRANGING: Mapping[str, Callable[..., Tensor]] = {
    "flatten": flatten,
    "upsample": upsample,
    "avgpool": avgpool,
    "maxpool": maxpool,
}
"""The operators without parameters that change the shape."""

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "dropout": ("rate",),
    "gn": ("groups",),
    "linear": ("outputs",),
    **{
        name: tuple(signature(formula).parameters)[1:]
        for name, formula in {**POINTWISE, **REARRANGING}.items()
        if isfunction(formula)
    },
}
"""What may stand in brackets, in this order: the arguments of a formula; those that are torch's own take none."""


# Convolutions


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | tuple[int, int],
    dilation: int,
    groups: int,
    padding: tuple[int, int] | None = None,
    boundary: str = "same",
) -> Tensor:
    """K *_s x: padding (k-1)/2 · dilation unless stated, by zeros or by numbers of x itself."""
    height, width = weight.shape[2:]
    rows, columns = padding or (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
    mode = boundary if boundary in ("circular", "reflect", "replicate") else "constant"
    padded = F.pad(x, (columns, columns, rows, rows), mode)
    return F.conv2d(padded, weight, bias, stride, 0, dilation, groups)


def prolongation(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int) -> Tensor:
    """K *^s x: every pixel adds its number times the kernel; the result is cut out, or filled up, to s times the size.

    Of the e = dilation · (k-1) + 1 - s numbers too many on each axis, max(0, ⌈e/2⌉) are cut off in front.
    """
    whole = F.conv_transpose2d(x, weight, None, stride, 0, 0, groups, dilation)
    height, width = x.shape[2] * stride, x.shape[3] * stride
    front = max(0, math.ceil((dilation * (weight.shape[-1] - 1) + 1 - stride) / 2))
    part = whole[:, :, front : front + height, front : front + width]
    filled = F.pad(part, (0, width - part.shape[3], 0, height - part.shape[2]))
    return filled if bias is None else filled + bias[:, None, None]


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


def normalise(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Mean 0 and variance 1, nearly."""
    return (x - mean) / (variance + _EPSILON).sqrt()


def batch_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over batch and pixels."""
    mean = x.mean((0, 2, 3))
    return mean, (x - by_channel(x, mean)).square().mean((0, 2, 3))


def group_norm(x: Tensor, groups: int) -> Tensor:
    """gn(x) before scale and shift: each image over pixels and the channels of a group; ln has one group."""
    parts = x.reshape(len(x), groups, -1)
    mean = parts.mean(2, keepdim=True)
    return normalise(parts, mean, (parts - mean).square().mean(2, keepdim=True)).reshape(x.shape)
