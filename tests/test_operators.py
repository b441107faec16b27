"""Every operator against its formula written out by hand, torch's shapes, its sizes and its claims."""

import ast
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from inspect import isabstract
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from networks import in_one_test
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cldfc import ops
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.emit.constructor import (
    conv_lines,
    drop_path_lines,
    frozen_norm_lines,
    prolong_lines,
    rule_lines,
    shared_norm_lines,
    slope_lines,
    threshold_lines,
    unpad_lines,
    unpool_lines,
)
from cldfc.ops import Dim, Form, Indivisible, Mismatch, Sized, Solver, TooSmall, Unfit
from cldfc.ops.manual import operators_page
from cldfc.reference import operators as reference
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

EVERYTHING = {"groups", "dilation", "bias", "padding", "padding_mode", "width", "strides"}
HELPERS: dict = {"torch": torch, "nn": nn, "F": F}
LINES = [*conv_lines(EVERYTHING), *prolong_lines(EVERYTHING), *shared_norm_lines(), *unpad_lines(), *drop_path_lines()]
LINES += [*threshold_lines(), *slope_lines(), *frozen_norm_lines(), *unpool_lines()]
LINES += rule_lines(["shared", "zero_sum", "symmetric", "unit_norm"], True)
exec("\n".join(LINES), HELPERS)


@dataclass
class Case:
    """An operator, shapes to try it on, what is declared of its parameter, and its formula."""

    operator: ops.Operator
    formula: Callable
    shapes: list = field(default_factory=lambda: [[(4, 5, 6)], [(7,)]])
    dims: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)

    def __str__(self) -> str:
        sizes = "_".join(f"{name}{size}" for name, size in (self.dims | self.given).items())
        return f"{self.operator} {sizes}"


def infer(case: Case, shapes) -> tuple[tuple[int, ...] | None, dict]:
    """The result's shape and the parameter's sizes, from those of the operands."""
    solver, result = Solver(), Form()
    sized = Sized({name: Dim(size) for name, size in case.dims.items()}, dict(case.given))
    case.operator.shape(solver, [Form(tuple(map(Dim, shape))) for shape in shapes], result, sized)
    solver.settle()
    for supposition in solver.take_suppositions():
        solver.known(*supposition.size())
        solver.settle()
    return result.known(), sized.known()


def make(case: Case, sizes: dict):
    """The module that the operator's text constructs, with random parameters."""
    try:
        text = case.operator.module({name: str(size) for name, size in sizes.items()})
    except AssertionError:
        return None
    module = eval(text, dict(HELPERS))
    holder = nn.ParameterList([module]) if isinstance(module, nn.Parameter) else module
    for parameter in holder.parameters():
        parameter.data = torch.randn(parameter.shape, dtype=torch.float64)
    if isinstance(case.operator, ops.SharedBatchNorm):
        module.use = eval(case.operator.statistics().module({"channels": str(len(module.weight))}), dict(HELPERS))
    if isinstance(case.operator, ops.FrozenBatchNorm) and case.operator.affine:
        HELPERS["freeze"](module)
    return module.double() if isinstance(module, nn.Module) else module


def numbers(module) -> int:
    if module is None:
        return 0
    return module.numel() if isinstance(module, nn.Parameter) else sum(p.numel() for p in module.parameters())


def evaluate(case: Case, module, operands: list[Tensor], training: bool = False) -> Tensor:
    """The operator's PyTorch text on these operands."""
    names = [f"x{at}" for at in range(len(operands))]
    called = str(case.operator.factor) if isinstance(case.operator, ops.WithNumber) else "m"
    if case.operator.of_call is not None:
        called = ""
    if isinstance(case.operator, ops.Channels):
        called = f"{case.operator.first}, {case.operator.last - case.operator.first + 1}"
    if isinstance(case.operator, ops.SplitChannels):
        called = str(case.operator.place)
    scope = (
        HELPERS | dict(zip(names, operands, strict=True)) | {"m": module, "self": SimpleNamespace(training=training)}
    )
    if isinstance(module, nn.Module):
        module.train(training)
    if isinstance(case.operator, ops.ConvolutionAdjoint):
        sizes = {name: str(size) for name, size in case.given.items()}
        rows = case.operator.stride - 1
        return eval(case.operator.torch_unlike(names, called, sizes, str(rows)), scope)
    if isinstance(case.operator, ops.SharedBatchNorm):
        names.append("use")
        scope["use"] = module.use
    return eval(case.operator.torch(names, called), scope)


# The formulas


def convolve(case: Case) -> Callable:
    """Convolution as a matrix product over patches, group by group."""
    s, k, d, g = case.operator.stride, case.given["size"], case.given.get("dilation", 1), case.given.get("groups", 1)

    def formula(x: Tensor, m) -> Tensor:
        height, width = (-(-n // s) for n in x.shape[2:])
        outs = []
        for part, weight in zip(x.chunk(g, 1), m.weight.chunk(g, 0), strict=True):
            patches = F.unfold(part, k, dilation=d, padding=d * (k - 1) // 2, stride=s)
            outs.append((weight.flatten(1) @ patches).unflatten(2, (height, width)))
        out = torch.cat(outs, 1)
        return out if m.bias is None else out + m.bias[:, None, None]

    return formula


def prolong(case: Case) -> Callable:
    """The adjoint of the strided convolution with the same numbers."""
    s, k, d, g = case.operator.stride, case.given["size"], case.given.get("dilation", 1), case.given.get("groups", 1)
    padding = max(0, math.ceil((d * (k - 1) + 1 - s) / 2))

    def formula(x: Tensor, m) -> Tensor:
        fine = torch.zeros(len(x), case.dims["out"], x.shape[2] * s, x.shape[3] * s, dtype=x.dtype, requires_grad=True)
        coarse = F.conv2d(fine, m.weight, stride=s, padding=padding, dilation=d, groups=g)
        out = torch.autograd.grad(coarse, fine, x)[0]
        return out if m.bias is None else out + m.bias[:, None, None]

    return formula


def adjoint(case: Case) -> Callable:
    """The gradient of ⟨A u, x⟩, whatever u is."""
    operator, given = case.operator, case.given
    rest = {"stride": operator.stride, "dilation": given.get("dilation", 1), "groups": given.get("groups", 1)}
    reach = rest["dilation"] * (given["size"] - 1)

    def formula(x: Tensor, m) -> Tensor:
        height, width = (n // rest["stride"] if operator.is_transposed else n * rest["stride"] for n in x.shape[2:])
        u = torch.randn(len(x), case.dims["in"], height, width, dtype=x.dtype, requires_grad=True)
        if operator.is_transposed:
            whole = F.conv_transpose2d(u, m.weight, **rest)
            front = max(0, math.ceil((reach + 1 - operator.stride) / 2))
            part = whole[..., front : front + x.shape[2], front : front + x.shape[3]]
            image = F.pad(part, (0, x.shape[3] - part.shape[3], 0, x.shape[2] - part.shape[2]))
        else:
            image = F.conv2d(u, m.weight, padding=reach // 2, **rest)
        return torch.autograd.grad((image * x).sum(), u)[0]

    return formula


def normalise(groups: int | None, eps: float = 1e-5, affine: bool = True) -> Callable:
    """Mean 0, variance 1 over each group of channels; by channel over the batch when there are no groups."""

    def formula(x: Tensor, m) -> Tensor:
        if groups is None:
            mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
            normal = (x - mean) / (variance + eps).sqrt()
        else:
            y = x.reshape(len(x), groups, -1)
            y = (y - y.mean(2, keepdim=True)) / (y.var(2, unbiased=False, keepdim=True) + eps).sqrt()
            normal = y.reshape(x.shape)
        return scaled(normal, m) if affine else normal

    return formula


def scaled(x: Tensor, m) -> Tensor:
    channel = (-1, *[1] * (x.dim() - 2))
    return x * m.weight.reshape(channel) + m.bias.reshape(channel)


def normalise_pixels(eps: float = 1e-5) -> Callable:
    """Each pixel as an image of its own."""
    return lambda x, m: torch.stack([normalise(1, eps)(pixel, m) for pixel in x.flatten(2).unbind(2)], 2).view_as(x)


def running(eps: float = 1e-5) -> Callable:
    """Batch normalisation in evaluation, with the statistics that it starts with: mean 0, variance 1."""
    return lambda x, m: x / math.sqrt(1 + eps) if m.weight is None else scaled(x / math.sqrt(1 + eps), m)


def response(size: int, alpha: float, beta: float, k: float) -> Callable:
    """Each channel by itself."""

    def formula(x: Tensor, m) -> Tensor:
        near = range(-(size // 2), (size + 1) // 2)
        channels = range(x.shape[1])
        sums = [sum(x[:, c + d] ** 2 for d in near if c + d in channels) for c in channels]
        return torch.stack([x[:, c] * (k + alpha / size * sums[c]) ** -beta for c in channels], 1)

    return formula


def windows(size: int, stride: int, padding: int, reduce: Callable, beyond: float) -> Callable:
    """Each window by itself."""

    def formula(x: Tensor, m) -> Tensor:
        padded = F.pad(x, [padding] * 4, value=beyond)
        return reduce(padded.unfold(2, size, stride).unfold(3, size, stride))

    return formula


def windows_to_the_end(x: Tensor) -> Tensor:
    """The largest number of 2 × 2 numbers; a last row or column alone is filled up."""
    rows, columns = x.shape[2] % 2, x.shape[3] % 2
    padded = F.pad(x, (0, columns, 0, rows), value=-math.inf)
    return padded.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))


def kernel_cases() -> list[Case]:
    maps = [[(4, h, w)] for h, w in [(1, 1), (2, 3), (5, 4), (8, 7)]]
    cases = []
    for k, s, d in itertools.product((1, 2, 3, 4, 5), (1, 2, 3, 4), (1, 2)):
        for g, bias in [(1, 0), (2, 1)]:
            given = {"size": k, "groups": g, "dilation": d, "bias": bias}
            if d * (k - 1) % 2 == 0:
                cases.append(Case(ops.Convolution(s), convolve, maps, {"out": 6}, given))
                cases.append(Case(ops.ConvolutionAdjoint(s), adjoint, maps, {"in": 6}, given))
            if s > 1 or d * (k - 1) % 2 == 0:
                cases.append(Case(ops.Prolongation(s), prolong, maps, {"out": 6}, given))
                if s > 1 or d * (k - 1) % 2 == 0:
                    times = [[(4, s * h, s * w)] for ((_, h, w),) in maps]
                    cases.append(Case(ops.ProlongationAdjoint(s), adjoint, times, {"in": 6}, given))
    cases.append(Case(ops.Convolution(2), convolve, maps, {"out": 6}, {"size": 3}))
    cases.append(Case(ops.Prolongation(2), prolong, maps, {"out": 6}, {"size": 4}))
    for case in cases:
        case.formula = case.formula(case)
    return cases


def pool_cases() -> list[Case]:
    maps = [[(3, h, w)] for h, w in [(4, 4), (5, 7), (8, 6)]]
    mean, largest = (lambda x: x.mean((-1, -2))), (lambda x: x.amax((-1, -2)))
    cases = [
        Case(ops.AvgPool(), lambda x, m: x.mean((2, 3)), maps),
        Case(ops.MaxPool(), lambda x, m: x.amax((2, 3)), maps),
    ]
    for size, stride, padding in itertools.product((1, 2, 3, 4), (None, 1, 2, 3), (None, 0, 1)):
        if padding == 1 and size == 1:
            continue
        overlap = stride is not None and stride < size
        used = (size, stride or size, (size - 1) // 2 * overlap if padding is None else padding)
        cases.append(Case(ops.AvgPool(size, stride, padding), windows(*used, mean, 0.0), maps))
        cases.append(Case(ops.MaxPool(size, stride, padding), windows(*used, largest, -math.inf), maps))
    cases.append(Case(ops.MaxPool(2, 2, 0, 1), lambda x, m: windows_to_the_end(x), maps))
    return cases


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def leaky(slope: float) -> Callable:
    return lambda x: torch.where(x > 0, x, slope * x)


def elu(alpha: float) -> Callable:
    return lambda x: torch.where(x > 0, x, alpha * (x.exp() - 1))


def shrink(threshold: float) -> Callable:
    return lambda x: x.sign() * (x.abs() - threshold).clamp(min=0)


MAPS, VECTORS = [(8, 2, 3)], [(8,)]
PAIRS = [[(4, 5, 6)] * 2, [(7,)] * 2]


def builtin(keyword: str, formula: Callable, **settings: float) -> Case:
    """A built-in operator without parameters that leaves shapes as they are."""
    assert keyword in ops.BUILTINS, f"no class of cldfc/ops has the keyword `{keyword}`"
    return Case(ops.BUILTINS[keyword](**settings), lambda x, m: formula(x))


PRelu, InstanceNorm, ChannelNorm, ResponseNorm = (ops.BUILTINS[name] for name in ("prelu", "inorm", "cln", "lrn"))
Shuffle, DepthToSpace, SpaceToDepth = (ops.BUILTINS[name] for name in ("shuffle", "depth_to_space", "space_to_depth"))
Pad, Crop, PadChannels = (ops.BUILTINS[name] for name in ("pad", "crop", "pad_channels"))
UNEVEN = [[(2, 3, 4)], [(1, 1, 1)]]


def hats(factor: int, size: int) -> Tensor:
    """The hat function of each pixel at the places of an axis that is `factor` times as fine."""
    places = (torch.arange(factor * size).double() * 2 + 1 - factor) / (2 * factor)
    return (1 - (places.clamp(0, size - 1)[:, None] - torch.arange(size)).abs()).clamp(min=0)


def filled(size: int) -> Callable:
    """unpool by the gradient of pooling: the derivative of ⟨x, maxpool(y)⟩ for y."""

    def formula(x: Tensor, y: Tensor, m) -> Tensor:
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            return torch.autograd.grad(F.max_pool2d(y, size), y, x, create_graph=True)[0]

    return formula


POINTWISE = [
    builtin("identity", lambda x: x),
    builtin("relu", lambda x: torch.where(x > 0, x, 0.0)),
    builtin("relu6", lambda x: 6 - torch.where(x < 6, 6 - torch.where(x > 0, x, 0.0), 0.0)),
    builtin("leaky_relu", leaky(0.01)),
    builtin("leaky_relu", leaky(0.3), slope=0.3),
    builtin("leaky_relu", leaky(0), slope=0),
    builtin("elu", elu(1)),
    builtin("elu", elu(2), alpha=2),
    builtin("celu", elu(1)),
    builtin("celu", lambda x: 2 * elu(1)(x / 2), alpha=2),
    builtin("gelu", lambda x: x * (1 + torch.special.erf(x / math.sqrt(2))) / 2),
    builtin("silu", lambda x: x * sigmoid(x)),
    builtin("hard_swish", lambda x: torch.where(x > 3, x, torch.where(x > -3, x * (x + 3) / 6, 0.0))),
    builtin("mish", lambda x: x * ((1 + x.exp()) ** 2 - 1) / ((1 + x.exp()) ** 2 + 1)),
    builtin("tanh", lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
    builtin("sigmoid", sigmoid),
    builtin("hard_sigmoid", lambda x: ((x + 3).abs() - (x - 3).abs() + 6) / 12),
    builtin("softplus", lambda x: (1 + x.exp()).log()),
    builtin("abs", lambda x: torch.maximum(x, -x)),
    builtin("exp", lambda x: 1 / torch.expm1(-x).add(1)),
    builtin("log", lambda x: -(1 / x).log()),
    builtin("sqrt", lambda x: x**0.5),
    builtin("cos", lambda x: 1 - 2 * (x / 2).sin() ** 2),
    builtin("sin", lambda x: 2 * (x / 2).sin() * (x / 2).cos()),
    builtin("soft_threshold", shrink(0.5)),
    builtin("soft_threshold", shrink(0.1), threshold=0.1),
    builtin("dropout", lambda x: x),
    builtin("dropout", lambda x: x, rate=0.2),
    builtin("droppath", lambda x: x),
    builtin("droppath", lambda x: x, rate=0.5),
]
OTHERS = [
    Case(ops.Add((1, -1)), lambda x, y, m: x - y, PAIRS),
    Case(ops.Add((-1, 1)), lambda x, y, m: y - x, PAIRS),
    Case(ops.Add((1, 1)), lambda x, y, m: x + y, PAIRS),
    Case(ops.Total(), lambda *xs: sum(xs[:-1]), [[(4, 5, 6)] * count for count in (1, 2, 5)] + [[(7,)] * 3]),
    Case(ops.Extreme("max"), lambda x, y, m: (x + y + (x - y).abs()) / 2, PAIRS),
    Case(
        ops.Extreme("min"), lambda *xs: -reduce(torch.maximum, [-x for x in xs[:-1]]), [[(4, 5, 6)] * n for n in (3, 2)]
    ),
    Case(ops.ExtremeTotal("max"), lambda *xs: reduce(torch.maximum, xs[:-1]), [[(4, 5, 6)] * n for n in (1, 2, 3)]),
    Case(ops.ExtremeTotal("min"), lambda *xs: reduce(torch.minimum, xs[:-1]), [[(7,)] * n for n in (1, 2, 3)]),
    Case(ops.MultiplyBy(), lambda x, y, m: y / (1 / x), [[(), ()]]),
    Case(ops.LogTotal(), lambda *xs: sum(x.exp() for x in xs[:-1]).log(), [[(7,)] * n for n in (1, 2, 3)]),
    Case(ops.Limit(0.3), lambda x, m: torch.where(x > 0.3, x, 0.3)),
    Case(ops.Limit(-0.3, "min"), lambda x, m: torch.where(x < -0.3, x, -0.3)),
    Case(ops.VectorValue(), lambda m: m.detach()[:, None, None], [[]], {"channels": 4}, {"init": 1.0}),
    Case(ops.ScaleChannels(), lambda x, m: torch.einsum("nchw,c->nchw", x, m), [[(4, 5, 6)]], given={"init": 1}),
    Case(ops.TrainedThreshold(), lambda x, y, m: shrink(y)(x), PAIRS),
    Case(ops.TrainedSlope(), lambda x, y, m: leaky(y)(x), PAIRS),
    Case(
        ops.Multiply(), lambda x, y, m: (x.log() + y.log()).exp() if (x > 0).all() and (y > 0).all() else x * y, PAIRS
    ),
    Case(ops.Scale(-1.5), lambda x, m: -(x + x / 2)),
    Case(ops.Scale(2.0), lambda x, m: x + x),
    Case(ops.ScaleBy(), lambda x, m: x * m.item(), given={"init": 1.0}),
    Case(ops.ScaleBy(), lambda x, m: x * m.item(), given={"init": 1}),
    Case(ops.ScalarValue(), lambda m: m.detach(), [[]], given={"init": 1.0}),
    Case(ops.Divide(), lambda x, y, m: x * y.sign() / (y * y).sqrt(), PAIRS),
    Case(ops.Shift(1.5), lambda x, m: (2 * x + 3) / 2),
    Case(ops.Shift(-1.5), lambda x, m: (2 * x - 3) / 2),
    Case(ops.Shift(1.5, -1), lambda x, m: (3 - 2 * x) / 2),
    Case(ops.Reciprocal(2.0), lambda x, m: x.sign() * (2 / (x * x).sqrt())),
    Case(ops.RaiseTo(3), lambda x, m: x * x * x),
    Case(ops.Flatten(), lambda x, m: x.reshape(len(x), -1), [[(4, 5, 6)], [(1, 1, 1)], [(7,)]]),
    Case(ops.Linear(), lambda x, m: torch.einsum("ni,oi->no", x, m.weight) + m.bias, [[(7,)]], {"out": 3}),
    Case(ops.Linear(5), lambda x, m: torch.einsum("ni,oi->no", x, m.weight) + m.bias, [[(7,)], [(1,)]]),
    Case(ops.BatchNorm(), running(), [MAPS]),
    Case(ops.BatchNorm(eps=1e-3, momentum=0.01), running(1e-3), [MAPS]),
    Case(ops.BatchNorm(affine=0), running(), [MAPS]),
    Case(ops.SharedBatchNorm(), running(), [MAPS]),
    Case(ops.FrozenBatchNorm(), running(), [MAPS]),
    Case(ops.Statistics(), running(), [MAPS]),
    Case(ops.LayerNorm(), normalise(1), [MAPS, VECTORS]),
    Case(ops.LayerNorm(eps=1e-3, affine=0), normalise(1, 1e-3, affine=False), [MAPS, VECTORS]),
    Case(ops.GroupNorm(2, eps=1e-3, affine=0), normalise(2, 1e-3, affine=False), [MAPS, VECTORS]),
    Case(InstanceNorm(), normalise(8), [MAPS]),
    Case(InstanceNorm(eps=1e-3, affine=0), normalise(8, 1e-3, affine=False), [MAPS]),
    Case(ChannelNorm(), normalise_pixels(), [MAPS]),
    Case(ChannelNorm(), normalise(1), [VECTORS]),
    Case(ChannelNorm(eps=1e-6), normalise_pixels(1e-6), [MAPS]),
    Case(ResponseNorm(), response(5, 1e-4, 0.75, 1), [MAPS, [(3, 4, 5)]]),
    Case(ResponseNorm(2, 0.1, 0.6, 2), response(2, 0.1, 0.6, 2), [MAPS]),
    Case(ops.Channels(0, 3), lambda x, m: torch.stack(x.unbind(1)[:4], 1), [MAPS, VECTORS]),
    Case(ops.Channels(7, 7), lambda x, m: x.unflatten(1, (8, 1)).unbind(1)[7], [MAPS, VECTORS]),
    Case(ops.SplitChannels(), lambda x, m: torch.stack(x.unbind(1)[:4], 1), [MAPS, VECTORS]),
    Case(ops.SplitChannels(4, 3), lambda x, m: torch.stack(x.unbind(1)[6:], 1), [MAPS, VECTORS]),
    Case(ops.Unpool(), filled(2), [[(2, 2, 3), (2, 5, 6)], [(1, 1, 1), (1, 2, 3)]]),
    Case(ops.Unpool(3), filled(3), [[(2, 2, 1), (2, 6, 5)]]),
    Case(ops.Softmax(), lambda x, m: x.exp() / x.exp().sum(1, keepdim=True), [MAPS, VECTORS]),
    Case(PRelu(), lambda x, m: x.relu() - torch.einsum("nc...,c->nc...", (-x).relu(), m.weight), [MAPS, VECTORS]),
    Case(PRelu(shared=1), lambda x, m: x.relu() - m.weight * (-x).relu(), [MAPS, VECTORS]),
    *(Case(ops.GroupNorm(groups), normalise(groups), [MAPS, VECTORS]) for groups in (1, 2, 4)),
    Case(ops.GroupNorm(), normalise(32), [[(64, 3, 2)]]),
    *(
        Case(ops.Upsample(s), lambda x, m, s=s: torch.kron(x, x.new_ones(s, s)), [[(2, 3, 4)], [(1, 1, 1)]])
        for s in (1, 2, 3)
    ),
    Case(ops.Upsample(), lambda x, m: torch.kron(x, x.new_ones(2, 2)), [[(2, 3, 4)]]),
    *(
        Case(ops.Upsample(s, "bilinear"), lambda x, m, s=s: hats(s, x.shape[2]) @ x @ hats(s, x.shape[3]).T, UNEVEN)
        for s in (2, 3)
    ),
    Case(Shuffle(), lambda x, m: x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2), [[(8, 2, 3)], [(2, 1, 1)]]),
    Case(Shuffle(4), lambda x, m: x.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), [MAPS]),
    *(
        Case(
            DepthToSpace(r),
            lambda x, m, r=r: F.fold(x.flatten(2), [r * n for n in x.shape[2:]], r, stride=r),
            [[(2 * r * r, 2, 3)]],
        )
        for r in (2, 3)
    ),
    *(
        Case(
            SpaceToDepth(r),
            lambda x, m, r=r: F.unfold(x, r, stride=r).unflatten(2, [n // r for n in x.shape[2:]]),
            [[(3, 6, 12)]],
        )
        for r in (2, 3)
    ),
    Case(Pad(), lambda x, m: x, UNEVEN),
    Case(Pad(1, 2, 3, 0), lambda x, m: nn.ZeroPad2d((1, 2, 3, 0))(x), UNEVEN),
    Case(Pad(bottom=1), lambda x, m: torch.cat([x, torch.zeros_like(x[:, :, :1])], 2), UNEVEN),
    Case(PadChannels(), lambda x, m: x, UNEVEN),
    Case(PadChannels(1, 3), lambda x, m: torch.stack([*[0 * x[:, 0]], *x.unbind(1), *[0 * x[:, 0]] * 3], 1), UNEVEN),
    Case(Crop(), lambda x, m: x, UNEVEN),
    Case(Crop(1, 2, 0, 1), lambda x, m: x[:, :, :-1, 1:-2], [[(3, 2, 4)]]),
    Case(
        ops.Concat(),
        lambda *xs: torch.stack([channel for x in xs[:-1] for channel in x.unbind(1)], 1),
        [[(4, 5, 6)], [(1, 5, 6), (4, 5, 6), (2, 5, 6)], [(3,), (2,)]],
    ),
]
CASES = [*POINTWISE, *OTHERS, *pool_cases(), *kernel_cases()]
each = in_one_test(CASES)
# One case for each class and configuration of small size, for what takes random trials.
FEW = list({repr(case.operator): case for case in CASES}.values())
each_operator = in_one_test(FEW)


def random_operands(case: Case, shapes, batch: int = 3) -> list[Tensor]:
    """Of roots and logarithms there are none but of positive numbers."""
    found = [torch.randn(batch, *shape, dtype=torch.float64) for shape in shapes]
    return [x.abs() for x in found] if case.operator.keyword in ("log", "sqrt") else found


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


ELSEWHERE = {
    *("Input", "Zero", "Pool", "Normalisation", "Margins"),
    *("InnerProduct", "EuclideanNorm"),  # tests/test_inner_products.py
    *("Unknown", "Iterated", "FixedPoint", "ConjugateGradients"),  # tests/test_fixed_points.py
}


def test_every_operator_has_a_case():
    tested = {type(case.operator) for case in CASES}
    for kind in ops.all_operators():
        if kind.__name__ not in ELSEWHERE and not isabstract(kind):
            name = kind.keyword or kind.__name__
            assert kind in tested, f"`{name}` has no case in tests/test_operators.py"


def test_every_file_of_operators_is_loaded():
    folder = Path(ops.__file__).parent
    for path in folder.glob("*.py"):
        is_loaded = path.stem == "__init__" or f"cldfc.ops.{path.stem}" in sys.modules
        assert is_loaded, f"cldfc/ops/{path.name} is not imported by cldfc/ops/__init__.py"


# The facts that a class states, or leaves as they are, measured.

ALONE = [case for case in FEW if all(len(shapes) == 1 for shapes in case.shapes)]
each_alone = in_one_test(ALONE)


def called(case: Case) -> str:
    return f"`{case.operator.keyword or case.operator}`"


def in_training(case: Case, scale: float) -> list[Tensor]:
    """The operator of random numbers of this size, of each shape: the same numbers and parameters, but for the size."""
    torch.manual_seed(2)
    modules = [(make(case, infer(case, shapes)[1]), shapes) for shapes in case.shapes]
    return [
        evaluate(case, module, [scale * x for x in random_operands(case, s)], training=True) for module, s in modules
    ]


@in_one_test(ops.BUILTINS)
def test_docstring(keyword):
    said = (ops.BUILTINS[keyword].__doc__ or "").startswith((f"{keyword}(x)", f"{keyword}(x, y)"))
    assert said, f"`{keyword}` has no docstring `{keyword}(x) = …` with its formula and its source"


@each_alone
def test_zero(case):
    """What gives 0 for 0, whatever its parameters are, says so: `drop_zeros` leaves it out then."""
    is_scalar = isinstance(case.operator, ops.RaiseTo)  # no zero, but a scalar that may be 0
    has_no_shift = not case.given.get("bias") and getattr(case.operator, "affine", 1)
    if case.operator.repeatable and has_no_shift and not is_scalar:
        gives = all(not found.any() for found in in_training(case, 0))
        claims = case.operator.linear or case.operator.keeps_zero
        assert claims or not gives, f"{called(case)} says neither `keeps_zero` nor `linear`, but gives 0 for 0"
        assert gives or not claims, f"{called(case)} says `keeps_zero` or `linear`, but does not give 0 for 0"
        assert not (case.operator.linear and case.operator.keeps_zero), f"{called(case)} is `linear`: that is enough"


@each_alone
def test_bounds(case):
    """Whether numbers beyond all bounds make the result grow."""
    if isinstance(case.operator, ops.Reciprocal):
        assert not case.operator.bounded  # it grows near 0
        return
    large, larger = (max(found.abs().max().item() for found in in_training(case, scale)) for scale in (1e50, 1e100))
    is_bounded = larger <= 1.5 * large < math.inf
    assert case.operator.bounded == is_bounded, f"`bounded` of {called(case)} should be {is_bounded}"


@each_operator
def test_it_can_be_computed_twice(case):
    """It neither draws nor counts its uses."""
    shapes = case.shapes[-1]
    module, operands = make(case, infer(case, shapes)[1]), random_operands(case, shapes, batch=30)
    state = (lambda: {k: v.clone() for k, v in module.state_dict().items()}) if isinstance(module, nn.Module) else dict
    before, first, between = state(), evaluate(case, module, operands, training=True), state()
    second = evaluate(case, module, operands, training=True)
    is_same = torch.equal(first, second) and all(torch.equal(before[name], between[name]) for name in before)
    assert case.operator.repeatable == is_same, f"`repeatable` of {called(case)} should be {is_same}"


@each
def test_words_of_the_language_reference(case):
    """What is told of shapes, of parameters and of depth is so."""
    for shapes in case.shapes:
        result, sizes = infer(case, shapes)
        if case.operator.shapes == "any → the same":
            assert [result] == shapes, f"{called(case)} changes the shape, and does not say so in `shapes`"
        stores = case.operator.stored(sizes) > 0
        is_plain = getattr(case.operator, "affine", 1)
        assert stores == (case.operator.parameters != "none" and is_plain), f"`parameters` of {called(case)}"
        assert case.operator.is_layer == (case.operator.multiply_adds(shapes, result, sizes) > 0), called(case)


@each_operator
def test_how_tightly_its_text_binds(case):
    tree = ast.parse(case.operator.torch(["x", "y"][: len(case.shapes[0])], "m"), mode="eval").body
    kind = "call"
    if isinstance(tree, ast.BinOp):
        kinds = {ast.Mult: "product", ast.Div: "product", ast.Pow: "power"}
        kind = kinds.get(type(tree.op), "sum")
    if isinstance(tree, ast.Name | ast.UnaryOp) and not isinstance(case.operator, ops.ScalarValue):
        kind = "sum"
    assert case.operator.binds == kind, f"`binds` of {called(case)} should be {kind!r}"


@pytest.mark.parametrize("keyword", [k for k, kind in ops.BUILTINS.items() if kind.owns is None and k != "unpool"])
def test_every_provable_sign_is_claimed(keyword):
    operator = ops.BUILTINS[keyword]()
    numbers = torch.cat([torch.linspace(-50, 50, 20_001), torch.logspace(-9, 9, 181)]).double()
    x = numbers[: len(numbers) // 4 * 4, None, None].expand(1, -1, 4, 4)
    for sign in (False, True):
        results = eval(operator.torch(["x"], ""), HELPERS | {"x": x.abs() if sign else x, "self": nn.Identity()})
        found, claim = bool((results >= 0).all()), operator.nonnegative([sign])
        about = f"`nonnegative` of `{keyword}` is {claim} where its operand is {'≥ 0' if sign else 'of any sign'}"
        assert found == claim, about


# The second opinion


@pytest.mark.parametrize("keyword", ops.BUILTINS)
def test_settings_of_the_reference(keyword):
    assert reference.SETTINGS.get(keyword, ()) == tuple(ops.BUILTINS[keyword].settings())


IN_NETWORKS = ("split", "unpool")
"""They need an equation for each part, and two operands: test_words.py has them in networks."""
FORMULAS = [
    k for k, kind in ops.BUILTINS.items() if kind.owns is None and k not in reference.DRAWING and k not in IN_NETWORKS
]


@pytest.mark.parametrize("keyword", FORMULAS)
def test_formula_of_the_reference(keyword):
    formula = {**reference.POINTWISE, **reference.BY_PIXEL, **reference.REARRANGING}.get(keyword)
    assert formula is not None, f"`{keyword}` has no formula in cldfc/reference/operators.py"
    for case in CASES:
        if case.operator.keyword == keyword:
            settings = {name: getattr(case.operator, name) for name in case.operator.settings()}
            for shapes in case.shapes:
                (x,) = random_operands(case, shapes)
                assert torch.allclose(formula(x, **settings), case.formula(x, None), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("keyword", [k for k in ops.BUILTINS if k not in IN_NETWORKS])
def test_in_a_network(keyword):
    """Its generated code and the reference agree, on a map, or on the vector that it needs."""
    shapes = next(case.shapes[0] for case in CASES if case.operator.keyword == keyword)
    operand = "K * f" if len(shapes[0]) == 3 else "flatten ∘ K * f"
    bracketed = "[4]" if keyword == "gn" else ""
    operand = f"1 + abs({operand})" if keyword in ("log", "sqrt") else operand
    text = f"model N\ninput f : 3 × 6 × 8\noutput h : 5\nkernel K : 3×3 → 8\nx = {keyword}{bracketed}({operand})\n"
    network = Compilation(Source("n.cldf", f"{text}h = linear ∘ flatten(x)\n"))
    assert verify_forms(network, candidates_of(network), 1e-10).worst < 1e-10


@pytest.mark.parametrize(
    "written", ["prelu[shared]", "bn[affine]", "bn[fixed]", "maxpool[3, ceil]", "avgpool[2, ceil=1]"]
)
def test_a_word_alone_turns_a_setting_on(written):
    """For the equations executed, too."""
    text = f"model N\ninput f : 3 × 6 × 8\noutput h : 5\nkernel K : 3×3 → 8\nx = {written}(K * f)\n"
    network = Compilation(Source("n.cldf", f"{text}h = linear ∘ flatten(x)\n"))
    assert verify_forms(network, candidates_of(network), 1e-10).agrees


@each
def test_value_shape_and_size(case):
    for shapes in case.shapes:
        shape, sizes = infer(case, shapes)
        module, operands = make(case, sizes), random_operands(case, shapes)
        found = evaluate(case, module, operands)
        is_spread = isinstance(case.operator, ops.VectorValue)
        assert found.shape == shape if is_spread else found.shape[1:] == shape
        assert torch.allclose(found, case.formula(*operands, module), rtol=1e-10, atol=1e-10)
        assert case.operator.stored(sizes) == numbers(module)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("beyond", [None, 0, 1])
def test_windows_that_do_not_overlap_are_torchs(size, beyond):
    """`avgpool[4]`, the customary head of a network, is nn.AvgPool2d(4): all 16 pixels of a 4 × 4 map."""
    x, stride = torch.randn(2, 3, 16, 17), None if beyond is None else size + beyond
    for ours, torchs in ((ops.AvgPool, nn.AvgPool2d), (ops.MaxPool, nn.MaxPool2d)):
        operator = ours(size, stride)
        (shape, _), found = infer(Case(operator, leaky(0)), [(3, 16, 17)]), torchs(size, stride)(x)
        assert torch.equal(eval(operator.torch(["x"], ""), {"F": F, "x": x}), found)
        assert found.shape[1:] == shape


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_rows_that_no_window_reaches_are_those_without_a_gradient(size):
    for rows, stride, padding in itertools.product(range(size, 13), (None, 1, 2, 3, 6), (None, 0, size // 2)):
        operator = ops.AvgPool(size, stride, padding)
        x = torch.zeros(1, 1, rows, rows, requires_grad=True)
        (found,) = torch.autograd.grad(eval(operator.torch(["x"], ""), {"F": F, "x": x}).sum(), x)
        assert operator.left_out(rows) == int((found[0, 0].sum(1) == 0).sum()), (rows, stride, padding)


@pytest.mark.parametrize("norm", [ops.BatchNorm, ops.SharedBatchNorm])
def test_batch_norm_in_training(norm):
    case = Case(norm(), normalise(None))
    module, x = make(case, {"channels": 8}), torch.randn(3, 8, 2, 3, dtype=torch.float64)
    assert torch.allclose(evaluate(case, module, [x], training=True), case.formula(x, module))


def test_dropout_in_training():
    x = torch.ones(1, 200_000)
    found = evaluate(builtin("dropout", leaky(0), rate=0.2), None, [x], training=True)
    assert sorted(found.unique().tolist()) == pytest.approx([0, 1.25])
    assert (found == 0).double().mean().item() == pytest.approx(0.2, abs=0.01)


@in_one_test([case for case in CASES if case.operator.linear or case.dims])
def test_multiply_adds(case):
    for shapes in case.shapes:
        shape, sizes = infer(case, shapes)
        module, operands = make(case, sizes), random_operands(case, shapes, batch=1)
        with FlopCounterMode(display=False) as counter:
            evaluate(case, module, operands)
        assert 2 * case.operator.multiply_adds(shapes, shape, sizes) == counter.get_total_flops()


@each_operator
def test_linear(case):
    """f(a x + b y) = a f(x) + b f(y), in all operands together, for the linear operators and for no other."""
    if case.given.get("bias"):
        case = Case(case.operator, case.formula, case.shapes, case.dims, case.given | {"bias": 0})
    identity = isinstance(case.operator, ops.BUILTINS["leaky_relu"]) and case.operator.slope == 1
    shapes = case.shapes[-1]
    module = make(case, infer(case, shapes)[1])
    xs, ys = random_operands(case, shapes), random_operands(case, shapes)
    combined = [1.7 * x - 0.6 * y for x, y in zip(xs, ys, strict=True)]
    fx, fy, f = (evaluate(case, module, operands, training=True) for operands in (xs, ys, combined))
    holds = torch.allclose(f, 1.7 * fx - 0.6 * fy, rtol=1e-9, atol=1e-9)
    largest_of_one = isinstance(case.operator, ops.MaxPool) and case.operator.size == 1
    assert holds == case.operator.linear or identity or largest_of_one


@each_operator
def test_sign(case):
    """Where the result is said to be ≥ 0, it is."""
    for shapes in case.shapes:
        module = make(case, infer(case, shapes)[1])
        for signs in itertools.product([False, True], repeat=len(shapes)):
            if case.operator.nonnegative(signs):
                for training in (False, True):
                    xs = [
                        x.abs() if sign else 3 * x for x, sign in zip(random_operands(case, shapes), signs, strict=True)
                    ]
                    assert (evaluate(case, module, xs, training) >= 0).all()


@pytest.mark.parametrize(
    ("operator", "signs", "claim"),
    [
        *((ops.BUILTINS[name](), [True], False) for name in ("bn", "gn", "ln", "linear")),
        (ops.Convolution(), [True], False),
        (ops.Prolongation(2), [True], False),
        (ops.ScaleBy(), [True], False),
        (ops.Scale(-1.0), [True], False),
        (ops.Scale(0.0), [True], True),
        (ops.Add((1, -1)), [True, True], False),
        (ops.Add((1, 1)), [True, True], True),
        (ops.Add((1, 1)), [True, False], False),
        (ops.Zero(), [], True),
        (ops.Concat(), [True, False], False),
        (ops.Multiply(), [True, True], True),
    ],
)
def test_sign_claims(operator, signs, claim):
    assert operator.nonnegative(signs) is claim


# Kernels


@pytest.mark.parametrize("kind", [ops.Convolution, ops.Prolongation])
@pytest.mark.parametrize(("groups", "dilation", "bias"), [*itertools.product((1, 2), (1, 2), (0, 1))])
def test_module_of_another_stride(kind, groups, dilation, bias):
    given = {"size": 3, "groups": groups, "dilation": dilation, "bias": bias}
    sizes = {name: str(size) for name, size in {"in": 4, "out": 6, **given}.items()}
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    for here, there in itertools.permutations((1, 2, 3), 2):
        made, other = (Case(kind(s), leaky(0), dims={"out": 6}, given=given) for s in (here, there))
        module, right = make(made, {"in": 4, "out": 6, **given}), make(other, {"in": 4, "out": 6, **given})
        right.load_state_dict(module.state_dict())
        assert torch.equal(eval(kind(there).torch_unlike(["x"], "m", sizes), HELPERS | {"x": x, "m": module}), right(x))


def test_text_says_no_more_than_is_needed():
    plain = {"in": "3", "out": "8", "size": "3"}
    full = plain | {"groups": "1", "dilation": "1", "bias": "0"}
    for sizes in (plain, full):
        assert ops.Convolution().module(sizes) == "conv(3, 8, 3)"
        assert ops.Convolution(2).module(sizes) == "conv(3, 8, 3, stride=2)"
        assert ops.Prolongation(2).module(sizes) == "prolong(3, 8, 3, 2)"
        unlike = ops.Convolution(2).torch_unlike(["x"], "m", sizes)
        assert unlike == "F.conv2d(x, m.weight, stride=2, padding=m.padding)"
    more = plain | {"groups": "g", "dilation": "2", "bias": "1"}
    assert ops.Convolution(2).module(more) == "conv(3, 8, 3, stride=2, groups=g, dilation=2, bias=True)"
    assert ops.MaxPool(2).torch(["x"], "") == "F.max_pool2d(x, 2)"
    assert ops.MaxPool(3, stride=2).torch(["x"], "") == "F.max_pool2d(x, 3, stride=2, padding=1)"


@pytest.mark.parametrize("uses", [set(), {"groups"}, {"dilation"}, {"bias"}, EVERYTHING])
@pytest.mark.parametrize("lines", [conv_lines, prolong_lines])
def test_start_keeps_the_second_moment(uses, lines):
    """He et al. 2015: relu, then a kernel at its start, keeps the variance; biases start at 0."""
    scope = dict(HELPERS)
    exec("\n".join(lines(uses)), scope)
    given = {"groups": 4, "dilation": 2, "bias": True}
    kernel = scope[lines.__name__.removesuffix("_lines")](
        64, 64, 4 if lines is prolong_lines else 3, 2, **{k: given[k] for k in uses & given.keys()}
    )
    x = torch.randn(8, 64, 32, 32)
    after = kernel(x.relu())[:, :, 4:-4, 4:-4]
    assert after.square().mean().item() == pytest.approx(1, rel=0.12)
    assert kernel.bias is None or not kernel.bias.any()


# Shapes in other directions, and what does not fit


def say(operator: ops.Operator, operands: list[Form], result: Form, sized: Sized | None = None) -> list:
    """What a solver makes of one operator."""
    solver = Solver()
    operator.shape(solver, operands, result, sized)
    solver.settle()
    return [form.known() for form in [*operands, result]]


def form(*sizes: int | None) -> Form:
    return Form(tuple(Dim(size) for size in sizes))


def test_concat_in_every_direction():
    assert say(ops.Concat(), [form(3, 4, 5), Form()], form(8, 4, None))[1] == (5, 4, 5)
    assert say(ops.Concat(), [Form(), form(3, 4, 5)], Form())[2] is None
    assert say(ops.Concat(), [Form(), form(3)], form(5))[0] == (2,)
    twice = Form()
    assert say(ops.Concat(), [twice, twice], form(8, 4, 4))[0] == (4, 4, 4)
    with pytest.raises(Mismatch):
        say(ops.Concat(), [form(3, 4, 5), form(3, 4, 6)], Form())
    with pytest.raises(Mismatch):
        say(ops.Concat(), [form(8, 4, 5), Form()], form(8, 4, 5))
    assert say(ops.Concat(), [form(3, 4, 5), form(3), form()], Form())[3] == (7, 4, 5)
    assert say(ops.Concat(), [form(2), form()], Form())[2] == (3,)
    with pytest.raises(Mismatch):
        say(ops.Concat(), [form(3, 4, 5), form(3)], form(7, 4, 5))


def test_concat_hears_of_its_operands_later():
    solver, late, result = Solver(), [Form() for _ in range(3)], Form()
    ops.Concat().shape(solver, late, result, None)
    for operand, channels in zip(late, (1, 2, 3), strict=True):
        solver.same(operand, form(channels, 4, 4))
        solver.settle()
    assert result.known() == (6, 4, 4)


def test_flatten_backwards():
    assert say(ops.Flatten(), [form(None, 4, 5)], form(60))[0] == (3, 4, 5)
    solver, operand, result = Solver(), Form(), Form()
    ops.Flatten().shape(solver, [operand], result, None)
    solver.same(operand, form(2, 3, 4))
    solver.settle()
    assert result.known() == (24,)
    with pytest.raises(Mismatch):
        say(ops.Flatten(), [form(None, 4, 5)], form(61))


def test_rearranged_maps_backwards():
    assert say(DepthToSpace(2), [Form()], form(3, 4, 8))[0] == (12, 2, 4)
    assert say(SpaceToDepth(2), [Form()], form(12, 2, 4))[0] == (3, 4, 8)
    assert say(Pad(1, 2, 3, 0), [Form()], form(3, 4, 8))[0] == (3, 1, 5)
    assert say(Crop(1, 2, 3, 0), [Form()], form(3, 1, 5))[0] == (3, 4, 8)
    assert say(Shuffle(3), [Form()], form(6, 1, 5))[0] == (6, 1, 5)
    assert say(PadChannels(1, 2), [Form()], form(6, 1, 5))[0] == (3, 1, 5)
    assert say(ops.Channels(2, 4), [form(8, None, None)], form(None, 4, 5)) == [(8, 4, 5), (3, 4, 5)]
    assert say(ops.Channels(2, 4), [form(8)], Form()) == [(8,), (3,)]


@pytest.mark.parametrize(
    ("operator", "shape", "message"),
    [
        (DepthToSpace(2), (6, 3, 3), "6 channels do not divide by 2² = 4"),
        (SpaceToDepth(3), (1, 6, 7), "a side of 7 pixels does not divide into squares of 3×3"),
        (Crop(2, 2), (1, 6, 4), "`crop` with 4 rows or columns leaves nothing of 4"),
        (ops.Channels(2, 6), (6, 3, 3), "there is no channel 6 among 6"),
        (Shuffle(4), (6, 3, 3), "6 channels do not divide into 4 groups"),
    ],
)
def test_maps_that_cannot_be_rearranged(operator, shape, message):
    with pytest.raises(Unfit, match=message):
        say(operator, [form(*shape)], Form())


def test_margins_that_leave_nothing_of_what_follows():
    with pytest.raises(Unfit, match="`pad_channels` with 3 channels leaves nothing of 3"):
        say(PadChannels(1, 2), [Form()], form(3, 4, 4))


def test_finer_maps_backwards():
    assert say(ops.Upsample(2), [Form()], form(3, 4, 8))[0] == (3, 2, 4)
    assert say(ops.Prolongation(3), [Form()], form(8, 6, 9), Sized({"in": Dim(2)}, {"size": 3}))[0] == (2, 2, 3)
    with pytest.raises(Mismatch):
        say(ops.Upsample(2), [Form()], form(3, 5, 8))


def test_normalisation_of_what_is_known_later():
    solver, operand, result, sized = Solver(), Form(), Form(), Sized()
    ops.LayerNorm().shape(solver, [operand], result, sized)
    solver.same(result, form(7))
    solver.settle()
    assert sized.known() == {"channels": 7}


def test_groups_that_do_not_divide():
    with pytest.raises(Indivisible) as found:
        say(ops.GroupNorm(), [form(48, 4, 4)], Form(), Sized())
    assert (found.value.channels, found.value.groups) == (48, 32)
    assert str(found.value) == "48 channels do not divide into 32 groups"
    for operator in (ops.Convolution(), ops.Prolongation(2)):
        for width, out in ((6, 8), (8, 6)):
            with pytest.raises(Indivisible):
                say(operator, [form(width, 4, 4)], Form(), Sized({"out": Dim(out)}, {"size": 3, "groups": 4}))
    solver, operand = Solver(), Form()
    ops.GroupNorm(4).shape(solver, [operand], Form(), Sized())
    with pytest.raises(Indivisible):
        solver.same(operand, form(6, 4, 4))
        solver.settle()


@pytest.mark.parametrize(
    ("operator", "given", "error"),
    [
        (ops.Convolution(), {"size": 4}, Unfit),
        (ops.Prolongation(1), {"size": 4}, Unfit),
        (ops.MaxPool(7, padding=0), {}, TooSmall),
        (ops.MaxPool(3, padding=2), {}, Unfit),
        (ops.AvgPool(stride=2), {}, Unfit),
    ],
)
def test_what_torch_cannot_do(operator, given, error):
    with pytest.raises(error) as found:
        say(operator, [form(4, 4, 4)], Form(), Sized({"out": Dim(4)}, given))
    assert str(found.value)


# Settings and their page


def test_settings():
    assert list(ops.MaxPool.settings()) == ["size", "stride", "padding", "ceil"]
    assert ops.BUILTINS["leaky_relu"].settings()["slope"] == ops.OperatorSetting("real", 0, 1_000)
    assert ops.Add.settings() == ops.Convolution.settings() == {}
    for kind in ops.BUILTINS.values():
        defaults = {name: getattr(kind(), name) for name in kind.settings()}
        for name, setting in kind.settings().items():
            if setting.kind == "word":
                assert defaults[name] == setting.words[0]
                continue
            assert defaults[name] is None or setting.least <= defaults[name] <= setting.most


def test_page(golden):
    golden(Path(__file__).parent.parent / "docs" / "operators.md", operators_page())
