"""Operators with parameters, applied: kernels, scalars, normalisations, `linear`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import torch
from torch import Tensor

from cldfc.reference.indices import Binding, Exact, Key, Tag
from cldfc.reference.operators import (
    EPSILON,
    MOMENTUM,
    NORMS,
    adjoint,
    batch_moments,
    by_channel,
    convolution,
    group_norm,
    normalise,
    normalise_over,
    prolongation,
)
from cldfc.reference.session import (
    EvaluationSession,
    Shape,
    Undecided,
    Unshaped,
    Value,
    as_vector,
    is_zero,
    map_value,
    spread_vector,
    tensor_of,
    with_channels,
)
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

# Which parameter is meant


def _parameter_tag(session: EvaluationSession, symbol: tree.Symbol, binding: Binding) -> tuple[int, ...]:
    """The tag of a kernel or scalar where it is used; of `R@ℓ,ℓ+1` the index that its declaration speaks of."""
    indices = session.numbers.indices(symbol, binding)
    kernel = session.known.kernels.get(symbol.name)
    if kernel is None:
        head, is_lower = session.known.scalars[symbol.name].symbol.tag, False
    else:
        head, is_lower = _own_head(kernel), _starts_below(session, kernel)
    if len(head) == 1 and len(indices) == 2:
        return indices[:1] if is_lower else indices[1:]
    return indices


def _own_head(kernel: tree.KernelStatement) -> tuple[tree.Index, ...]:
    return kernel.symbol.tag[:1] if _is_between_levels(kernel.symbol.tag) else kernel.symbol.tag


def _is_between_levels(tag: tuple[tree.Index, ...]) -> bool:
    return len(tag) == 2 and tag[0].name == tag[1].name and tag[1].offset == tag[0].offset + 1


def _starts_below(session: EvaluationSession, kernel: tree.KernelStatement) -> bool:
    """Whether a kernel's index is the level that it starts from: it is declared with two, or gives `c@ℓ+1` channels."""
    symbols = [m for m in mentions(kernel.channels_out) if isinstance(m, tree.Symbol) and m.tag]
    tables = [symbol.tag[0] for symbol in symbols if session.numbers.is_table(symbol.name)]
    return _is_between_levels(kernel.symbol.tag) or any(index.offset == 1 for index in tables)


def _after_tie(session: EvaluationSession, name: str, tag: tuple[int, ...]) -> Key:
    """A parameter by its name and tag, after `tie` has left out indices."""
    tie = session.known.ties.get(name)
    if tie is None:
        return name, tag
    kernel = session.known.kernels.get(name)
    head = _own_head(kernel) if kernel is not None else session.known.scalars[name].symbol.tag
    binding = {index.name or "": value for index, value in zip(head, tag, strict=True)}
    if not all(session.numbers.holds(clause, binding, tie.symbol.tag) for clause in tie.clauses):
        return name, tag
    return name, tuple(binding[index.name or ""] for index in tie.symbol.tag)


def after_rename(session: EvaluationSession, parameter: Key) -> Key:
    """A parameter under the name that `rename` gives it, if one does."""
    numbers = session.numbers

    def open_indices(rename: tree.Rename) -> int:
        return sum(index.name is not None and not numbers.is_constant(index.name) for index in rename.old.tag)

    for rename in sorted(session.known.renames, key=open_indices):
        if (rename.old.name, len(rename.old.tag)) == (parameter[0], len(parameter[1])):
            binding = numbers.solve(rename.old, parameter[1])
            if binding is not None:
                return rename.new.name, numbers.indices(rename.new, binding)
    return parameter


# Kernels and scalars


def apply_kernel(
    session: EvaluationSession, star: tree.Star, x: Value, binding: Binding, level: Tag, value: Key
) -> Value:
    is_adjoint = isinstance(star.left, tree.Adjoint)
    symbol = star.left.kernel if isinstance(star.left, tree.Adjoint) else star.left
    assert isinstance(symbol, tree.Symbol)
    tag = _parameter_tag(session, symbol, binding)
    kernel, at = session.numbers.case_at(symbol.name, tag)
    assert isinstance(kernel, tree.KernelStatement)
    module = session.parameters.module(_after_tie(session, symbol.name, tag))
    weight = session.parameters.tensor(f"{module}.weight")
    weight = weight.detach() if kernel.is_fixed else weight
    bias = session.parameters.tensor(f"{module}.bias") if kernel.has_bias and not is_adjoint else None
    groups = weight.shape[0] if kernel.is_each else _kernel_number(session, kernel, kernel.groups, at)
    weight = _obedient(weight, kernel, groups)
    dilation = _kernel_number(session, kernel, kernel.dilation, at)
    padding = [_kernel_number(session, kernel, number, at) for number in kernel.padding]
    dimension = weight.dim() - 2
    stated = None if not padding else tuple(padding * dimension)[:dimension]
    stated = (0,) * dimension if kernel.boundary == "valid" else stated
    _check_kernel(session, kernel, module, weight, groups, star.is_transposed, at)
    sides = star.stride if isinstance(star.stride, tuple) else (star.stride,) * dimension
    strides = _strides(session, sides, binding, level)
    is_shared = "shared" in kernel.rules
    channels = weight.shape[0] if star.is_transposed else weight.shape[1] * groups
    channels = 0 if is_shared else channels

    def map_of(given: Tensor, shift: Tensor | None = None) -> Tensor:
        if is_shared:
            each = [plain_map(given[:, at : at + 1], None) for at in range(given.shape[1])]
            return torch.cat(each, 1)
        return plain_map(given, shift)

    def plain_map(given: Tensor, shift: Tensor | None) -> Tensor:
        if star.is_transposed:
            return prolongation(given, weight, shift, strides[0], dilation, groups)
        return convolution(given, weight, shift, strides, dilation, groups, stated, kernel.boundary or "same")

    axes = [
        KernelSide(size, stride, dilation, dilation * (size - 1) // 2 if stated is None else stated[place])
        for place, (size, stride) in enumerate(zip(weight.shape[2:], strides, strict=True))
    ]
    if is_adjoint:
        others = weight.shape[1] * groups if star.is_transposed else weight.shape[0]
        others = 0 if is_shared else others
        result = _apply_adjoint(session, map_of, x, (others, channels), axes, star.is_transposed)
        return session.record(module, value, x, result)

    def before(shape: Shape) -> Shape:
        sides = zip(shape[2:], axes, strict=True)
        before = (side // a.stride if star.is_transposed else a.before(side) for side, a in sides)
        return shape[0], channels or shape[1], *before

    def compute(given: Tensor) -> Tensor:
        return map_of(given, bias)

    # A zero may have any size here, so its own is not concluded from that of the result.
    result = Unshaped() if is_zero(x) and bias is None else None
    operand = Unshaped() if is_zero(x) else with_channels(x, channels) if channels else x
    found = result or map_value(operand, compute, before)
    if isinstance(found, Unshaped):
        found.channels = 0 if is_shared else weight.shape[1] * groups if star.is_transposed else weight.shape[0]
    return session.record(module, value, x, found)


def _obedient(weight: Tensor, kernel: tree.KernelStatement, groups: int) -> Tensor:
    """A weight as the rules of its kernel make it; one that obeys them already stays as it is."""
    if "zero_sum" in kernel.rules:
        weight = weight - weight.sum(tuple(range(2, weight.ndim)), keepdim=True) / weight[0, 0].numel()
    if "symmetric" in kernel.rules:
        width = len(weight) // groups
        blocks = weight.reshape(groups, width, width, *weight.shape[2:])
        weight = (blocks + blocks.swapaxes(1, 2).flip(tuple(range(3, blocks.ndim)))).reshape(weight.shape) / 2
    if "unit_norm" in kernel.rules:
        weight = torch.stack([each / each.square().sum().sqrt() for each in weight])
    return weight


def _strides(
    session: EvaluationSession, sides: tuple[int | tree.Expression, ...], binding: Binding, tag: Tag
) -> tuple[int, ...]:
    return tuple(side if isinstance(side, int) else session.numbers.bound(side, binding, tag) for side in sides)


@dataclass(frozen=True)
class KernelSide:
    """A kernel along one side of a map."""

    size: int
    stride: int
    dilation: int
    padding: int

    def after(self, side: int) -> int:
        return (side + 2 * self.padding - self.dilation * (self.size - 1) - 1) // self.stride + 1

    def before(self, side: int) -> int:
        """Of the sides from which the kernel leads to this one, stride times it, or the nearest."""
        sides = range(1, self.stride * side + self.dilation * self.size + self.stride)
        fitting = [found for found in sides if self.after(found) == side]
        return min(fitting, key=lambda found: abs(found - self.stride * side))


def _apply_adjoint(
    session: EvaluationSession,
    map_of: Callable[[Tensor], Tensor],
    x: Value,
    channels: tuple[int, int],
    axes: Sequence[KernelSide],
    is_smaller: bool,
) -> Value:
    """The adjoint of a map at x; `channels` are those of its operand and of its result, 0 if it takes any."""
    if is_zero(x):
        return Unshaped()
    x = with_channels(x, channels[0]) if channels[0] else x

    def usual(shape: Shape) -> Shape:
        sides = zip(shape[2:], axes, strict=True)
        after = (side // a.stride if is_smaller else a.before(side) for side, a in sides)
        return shape[0], channels[1] or shape[1], *after

    def compute(given: Tensor, shape: Shape) -> Tensor:
        return adjoint(map_of, given, shape)

    def before(shape: Shape) -> Shape:
        sides = zip(shape[2:], axes, strict=True)
        found = (side * a.stride if is_smaller else a.after(side) for side, a in sides)
        return shape[0], channels[0] or shape[1], *found

    if is_smaller or all(axis.stride == 1 for axis in axes):
        return map_value(x, lambda given: compute(given, usual(tuple(given.shape))), before)
    session.undecided.append(Undecided(x, compute, usual, before))
    return session.undecided[-1]


def _kernel_number(
    session: EvaluationSession, kernel: tree.KernelStatement, expression: tree.Expression | None, at: Binding
) -> int:
    return 1 if expression is None else int(session.numbers.number(expression, at, kernel.symbol.tag))


def _check_kernel(
    session: EvaluationSession,
    kernel: tree.KernelStatement,
    module: str,
    weight: Tensor,
    groups: int,
    is_transposed: bool,
    at: Binding,
) -> None:
    """Raise ValueError unless a weight has the sizes that its kernel declares."""
    out = weight.shape[0] if kernel.is_each else _kernel_number(session, kernel, kernel.channels_out, at)
    sizes = tuple(_kernel_number(session, kernel, size, at) for size in kernel.sizes)
    ends = (weight.shape[0], weight.shape[1] * groups)
    if kernel.is_fixed and kernel.stencil is not None and not weight.is_meta:
        given_weight = _stencil_weight(session, kernel.stencil, sizes).to(weight)
        if not torch.allclose(weight, given_weight.expand_as(weight), rtol=1e-6, atol=1e-7):
            raise ValueError(f"`{module}` does not have the numbers that are fixed")
    found, given = (ends[1], ends[0]) if is_transposed else ends
    declared = given if kernel.channels_in is None else _kernel_number(session, kernel, kernel.channels_in, at)
    if (found, given) != (out, declared) or tuple(weight.shape[2:]) != sizes:
        raise ValueError(f"`{module}` has the shape {tuple(weight.shape)}, which is not the declared one")


def _stencil_weight(session: EvaluationSession, stencil: tree.Stencil, sizes: tuple[int, ...]) -> Tensor:
    """The numbers of a fixed kernel: hat functions, means and differences by their definitions."""
    factor = 1.0 if stencil.factor is None else float(session.numbers.number(stencil.factor, {}, ()))
    hat = torch.tensor([0.5, 1, 0.5], dtype=torch.float64)
    second = torch.tensor([-1.0, 2, -1], dtype=torch.float64)
    middle = torch.tensor([0.0, 1, 0], dtype=torch.float64)
    count = len(sizes)
    across = sum(_outer([second if at == axis else middle for at in range(count)]) for axis in range(count))
    assert isinstance(across, Tensor)
    match stencil.name:
        case None:
            numbers = session.numbers
            planes = [[[float(numbers.number(e, {}, ())) for e in row] for row in plane] for plane in stencil.planes]
            return factor * torch.tensor(planes, dtype=torch.float64).reshape(sizes)
        case "average":
            return torch.full(sizes, factor / prod(sizes), dtype=torch.float64)
        case "identity":
            weight = torch.zeros(sizes, dtype=torch.float64)
            weight[tuple(size // 2 for size in sizes)] = factor
            return weight
        case "linear" | "bilinear" | "trilinear":
            return factor * _outer([hat] * count)
        case "full_weighting":
            return factor * _outer([hat / 2] * count)
        case "laplace9":
            return factor * (across - torch.outer(second, second) / 6)
        case _:
            return factor * across


def _outer(vectors: Sequence[Tensor]) -> Tensor:
    """The product of vectors, each along an axis of its own."""
    return reduce(lambda product, vector: product[..., None] * vector, vectors)


def apply_scalar(session: EvaluationSession, symbol: tree.Symbol, x: Value, binding: Binding, value: Key) -> Value:
    module, scalar = _find_scalar(session, symbol, binding)
    result = x if is_zero(x) else map_value(x, lambda given: spread_vector(scalar, given) * given)
    return session.record(module, value, x, result)


def read_scalar(session: EvaluationSession, symbol: tree.Symbol, binding: Binding, value: Key) -> Value:
    module, scalar = _find_scalar(session, symbol, binding)
    return session.record(module, value, scalar, scalar)


def _find_scalar(session: EvaluationSession, symbol: tree.Symbol, binding: Binding) -> tuple[str, Tensor]:
    """A scalar, or a vector of parameters as a value."""
    module = session.parameters.module(_after_tie(session, symbol.name, _parameter_tag(session, symbol, binding)))
    found = session.parameters.tensor(module)
    return module, found if session.known.scalars[symbol.name].channels is None else as_vector(found)


# Operators that own parameters


def apply_owner(
    session: EvaluationSession,
    keyword: str,
    settings: Mapping[str, Exact | str],
    parameter: Key,
    own: Key,
    x: Value,
    value: Key,
) -> Value:
    """A normalisation, `prelu` or `linear`, with the parameter of its place or its tag, and statistics of its own."""
    if keyword in NORMS:
        return _apply_norm(session, keyword, settings, parameter, own, x, value)
    module = session.parameters.module(parameter)
    weight = session.parameters.tensor(f"{module}.weight")
    if keyword == "prelu":
        if len(weight) > 1:
            x = with_channels(x, len(weight))
        result = x if is_zero(x) else map_value(x, lambda given: _bent(given, by_channel(given, weight)))
        return session.record(module, value, x, result)
    bias = session.parameters.tensor(f"{module}.bias")
    if len(weight) not in ({int(settings["outputs"])} if "outputs" in settings else session.lengths):
        raise ValueError(f"`{module}` gives {len(weight)} numbers, not as many as declared")
    if (number := tensor_of(x)) is not None and number.ndim == 1:
        x = number[:, None]
    result = map_value(x, lambda given: given @ weight.T + bias, lambda shape: (shape[0], weight.shape[1]))
    return session.record(module, value, x, result)


def _bent(x: Tensor, slope: Tensor) -> Tensor:
    """prelu(x): max(0, x) + slope · min(0, x)."""
    return torch.where(x > 0, x, slope * x)


def _apply_norm(
    session: EvaluationSession,
    keyword: str,
    settings: Mapping[str, Exact | str],
    parameter: Key,
    own: Key,
    x: Value,
    value: Key,
) -> Value:
    is_affine = bool(settings.get("affine", 1))

    def plain(given: Tensor) -> Tensor:
        eps = float(settings.get("eps", EPSILON))
        match keyword:
            case "bn":
                share = float(settings.get("momentum", MOMENTUM))
                is_fixed = bool(settings.get("fixed", 0))
                return _batch_norm(session, session.parameters.module(own), given, eps, share, is_fixed)
            case "inorm":
                return normalise_over(given, tuple(range(2, given.dim())), eps)
            case "cln":
                return normalise_over(given, (1,), eps)
            case _:
                return group_norm(given, int(settings.get("groups", 32)) if keyword == "gn" else 1, eps)

    if not is_affine:
        result = map_value(x, plain)
        if keyword != "bn":
            return session.disturbed(result)
        return session.record(session.parameters.module(own), value, x, result)
    module = session.parameters.module(parameter)
    weight, bias = (session.parameters.tensor(f"{module}.{part}") for part in ("weight", "bias"))
    if settings.get("fixed", 0):
        weight, bias = weight.detach(), bias.detach()

    def compute(given: Tensor) -> Tensor:
        return plain(given) * by_channel(given, weight) + by_channel(given, bias)

    result = map_value(with_channels(x, len(weight)), compute)
    if keyword == "bn" and own != parameter:
        session.record(session.parameters.module(own), value, x, result)
    return session.record(module, value, x, result)


def _batch_norm(session: EvaluationSession, module: str, x: Tensor, eps: float, share: float, is_fixed: bool) -> Tensor:
    """bn(x) before scale and shift; in training the running statistics move towards those of the batch, or are used."""
    running = [session.statistics.get(name, session.parameters.tensor(name)) for name in _statistics_of(module)]
    if is_fixed or not session.training:
        return normalise(x, by_channel(x, running[0]), by_channel(x, running[1]), eps)
    mean, variance = batch_moments(x)
    count = x.numel() // x.shape[1]
    unbiased = variance * count / (count - 1)
    with torch.no_grad():
        moved = [before + share * (now - before) for before, now in zip(running, (mean, unbiased), strict=False)]
    session.statistics |= dict(zip(_statistics_of(module), (*moved, running[2] + 1), strict=True))
    return normalise(x, by_channel(x, mean), by_channel(x, variance), eps)


def _statistics_of(module: str) -> list[str]:
    return [f"{module}.{part}" for part in ("running_mean", "running_var", "num_batches_tracked")]
