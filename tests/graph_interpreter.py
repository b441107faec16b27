"""Runs a graph operation by operation with the parameters of a generated module: no loops, no variables.

Built-in operators without parameters have the formulas of `cldfc/reference`, which tests/test_operators.py compares
with others; the rest have formulas here, from their definitions rather than from PyTorch's functions for them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc import ops
from cldfc.network.graph import Graph, Node
from cldfc.reference.operators import BY_PIXEL, DRAWING, POINTWISE, REARRANGING
from cldfc.syntax.spelling import ascii_name


def find_module(network: nn.Module, name: str, indices: tuple[int, ...]) -> Any:
    """The module or the parameter of that name; what a module has is not in its type."""
    spelled = ascii_name(name)
    children: dict[str, Any] = {**dict(network.named_children()), **dict(network.named_parameters(recurse=False))}
    found = children[spelled] if spelled in children else children[f"{spelled}_2"]
    is_family = isinstance(found, nn.ModuleDict | nn.ParameterDict)
    return found["_".join(map(str, indices))] if is_family else found


def obedient(operator: ops.Kernel, module: Any) -> Any:
    """A module whose weight is such as the rules of its kernel make it."""
    if not operator.rules:
        return module
    weight = module.weight
    if "zero_sum" in operator.rules:
        weight = weight - weight.flatten(2).mean(2)[:, :, None, None]
    if "symmetric" in operator.rules:
        groups = 1 if "shared" in operator.rules else module.groups
        blocks = weight.unflatten(0, (groups, -1))
        weight = (blocks + torch.einsum("goihw->giohw", blocks).flip((3, 4))).flatten(0, 1) / 2
    if "unit_norm" in operator.rules:
        weight = F.normalize(weight.flatten(1), dim=1).reshape(weight.shape)
    if "shared" in operator.rules:
        weight = torch.cat([weight] * module.groups)
    plain = SimpleNamespace(weight=weight, bias=module.bias, dilation=module.dilation, groups=module.groups)
    plain.padding = module.padding
    return plain


def channel_shift(result: Tensor, module: Any) -> Tensor:
    return result if module.bias is None else result + module.bias[:, None, None]


def convolution(operator: ops.Convolution, node: Node, x: Tensor, module: Any) -> Tensor:
    """A product of matrices: a row for each channel of the result, a column for each pixel of it."""
    out, _, height, across = module.weight.shape
    rows, width = module.padding
    if operator.mode != "zeros":
        x, rows, width = F.pad(x, (width, width, rows, rows), mode=operator.mode), 0, 0
    columns = F.unfold(x, (height, across), module.dilation, (rows, width), operator.stride)
    columns = columns.unflatten(1, (module.groups, -1))
    rows = module.weight.reshape(module.groups, out // module.groups, -1)
    return channel_shift(torch.einsum("gok,ngkp->ngop", rows, columns).reshape(len(x), *node.shape), module)


def prolongation(operator: ops.Prolongation, node: Node, x: Tensor, module: Any) -> Tensor:
    """The transpose of that product: every pixel adds its number times the kernel to a window of the result."""
    size = module.weight.shape[-1]
    excess = module.dilation[0] * (size - 1) + 1 - operator.stride
    pixels = x.flatten(2).unflatten(1, (module.groups, -1))
    rows = module.weight.unflatten(0, (module.groups, -1)).flatten(2)
    columns = torch.einsum("gck,ngcp->ngkp", rows, pixels).unflatten(2, (-1, size * size)).flatten(1, 3)
    padding = max(0, math.ceil(excess / 2))
    return channel_shift(F.fold(columns, node.shape[1:], size, module.dilation, padding, operator.stride), module)


def adjoint(operator: ops.Kernel, node: Node, x: Tensor, module: Any) -> Tensor:
    """The gradient of ⟨A u, x⟩ at u = 0, with the kernel's own product of matrices for A."""
    u = x.new_zeros(len(x), *node.shape, requires_grad=True)
    plain = SimpleNamespace(weight=module.weight, bias=None, dilation=module.dilation, groups=module.groups)
    plain.padding = module.padding
    forward = replace(node, shape=tuple(x.shape[1:]))
    with torch.enable_grad():
        if isinstance(operator, ops.ConvolutionAdjoint):
            image = convolution(ops.Convolution(operator.stride, mode=operator.mode), forward, u, plain)
        else:
            assert isinstance(operator.stride, int)
            image = prolongation(ops.Prolongation(operator.stride), forward, u, plain)
        return torch.autograd.grad(image, u, x, create_graph=True)[0]


def normalised(operator: ops.Normalisation, x: Tensor, over: tuple[int, ...], module: Any) -> Tensor:
    centred = x - x.mean(over, keepdim=True)
    return scaled(operator, centred / (centred.square().mean(over, keepdim=True) + operator.eps).sqrt(), module)


def scaled(operator: ops.Normalisation, x: Tensor, module: Any) -> Tensor:
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    return x * module.weight.reshape(shape) + module.bias.reshape(shape) if operator.affine else x


def prelu(x: Tensor, module: Any) -> Tensor:
    slopes = module.weight.reshape(-1, *[1] * (x.dim() - 2))
    return x.clamp(min=0) + slopes * x.clamp(max=0)


def frozen(operator: ops.Normalisation, x: Tensor, module: Any, own: Any) -> Tensor:
    mean, variance = own.running_mean[:, None, None], own.running_var[:, None, None]
    return scaled(operator, (x - mean) / (variance + operator.eps).sqrt(), module)


def unpool(x: Tensor, y: Tensor, size: int) -> Tensor:
    """The derivative of ⟨x, maxpool(y)⟩ for y."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        return torch.autograd.grad(F.max_pool2d(y, size), y, x, create_graph=True)[0]


def group_norm(operator: ops.GroupNorm, x: Tensor, module: Any) -> Tensor:
    groups = operator.groups
    parts = x.unflatten(1, (groups, -1))
    centred = parts - parts.flatten(2).mean(2).reshape(len(x), groups, *[1] * (x.dim() - 1))
    variance = centred.square().flatten(2).mean(2).reshape(len(x), groups, *[1] * (x.dim() - 1))
    return scaled(operator, (centred / (variance + operator.eps).sqrt()).flatten(1, 2), module)


def without_parameters(operator: ops.Operator, x: Tensor) -> Tensor:
    """A built-in operator by the reference's formula; one that draws at random takes its rate off every number."""
    settings = {name: getattr(operator, name) for name in operator.settings()}
    if operator.keyword in DRAWING:
        return x * (1 - settings["rate"])
    return {**POINTWISE, **BY_PIXEL, **REARRANGING}[str(operator.keyword)](x, **settings)


def spread(given: list[Tensor]) -> list[Tensor]:
    """What is combined number by number: beside maps, a vector is repeated at every pixel."""
    pixels = next((x.shape[2:] for x in given if x.dim() == 4), None)
    return [x if pixels is None or x.dim() != 2 else x.reshape(*x.shape, 1, 1).expand(-1, -1, *pixels) for x in given]


def extreme(which: str, given: Sequence[Tensor]) -> Tensor:
    sign = 1 if which == "max" else -1
    return sign * torch.stack(torch.broadcast_tensors(*[sign * x for x in spread(list(given))])).amax(0)


# The formulas of notation and of operators with parameters: the operator, its node, its operands, and its module.
FORMULAS: dict[type[ops.Operator], Callable[..., Any]] = {
    ops.Add: lambda o, node, given, module: sum(sign * x for sign, x in zip(o.signs, spread(given), strict=True)),
    ops.Total: lambda o, node, given, module: torch.stack(given).sum(0),
    ops.Multiply: lambda o, node, given, module: math.prod(spread(given)),
    ops.MultiplyBy: lambda o, node, given, module: torch.einsum("n,n...->n...", *given),
    ops.InnerProduct: lambda o, node, given, module: torch.einsum("ni,ni->n", *[x.flatten(1) for x in given]),
    ops.EuclideanNorm: lambda o, node, given, module: given[0].flatten(1).square().sum(1).sqrt(),
    ops.Scale: lambda o, node, given, module: given[0] * o.factor,
    ops.ScaleBy: lambda o, node, given, module: given[0] * module.item(),
    ops.ScalarValue: lambda o, node, given, module: module.detach().clone(),
    ops.VectorValue: lambda o, node, given, module: module.detach().reshape(1, -1, 1, 1),
    ops.ScaleChannels: lambda o, node, given, module: torch.einsum("nchw,c->nchw", given[0], module),
    ops.TrainedThreshold: lambda o, node, given, module: given[0] - given[0].sign() * given[0].abs().minimum(given[1]),
    ops.TrainedSlope: lambda o, node, given, module: given[0].clamp(min=0) + given[1] * given[0].clamp(max=0),
    ops.Extreme: lambda o, node, given, module: extreme(o.which, given),
    ops.ExtremeTotal: lambda o, node, given, module: extreme(o.which, given),
    ops.Limit: lambda o, node, given, module: extreme(o.which, [given[0], given[0].new_tensor(o.factor)]),
    ops.LogTotal: lambda o, node, given, module: torch.stack([x.exp() for x in given]).sum(0).log(),
    ops.Shift: lambda o, node, given, module: o.sign * given[0] + o.factor,
    ops.Divide: lambda o, node, given, module: spread(given)[0] / spread(given)[1],
    ops.Reciprocal: lambda o, node, given, module: o.factor * given[0] ** -1,
    ops.RaiseTo: lambda o, node, given, module: given[0] ** o.factor,
    ops.Concat: lambda o, node, given, module: torch.hstack(given),
    ops.Channels: lambda o, node, given, module: given[0][:, o.first : o.last + 1],
    ops.SplitChannels: lambda o, node, given, module: given[0].unflatten(1, (o.parts, -1))[:, o.place],
    ops.Unpool: lambda o, node, given, module: unpool(given[0], given[1], o.size),
    ops.Convolution: lambda o, node, given, module: convolution(o, node, given[0], module),
    ops.Prolongation: lambda o, node, given, module: prolongation(o, node, given[0], module),
    ops.ConvolutionAdjoint: lambda o, node, given, module: adjoint(o, node, given[0], module),
    ops.ProlongationAdjoint: lambda o, node, given, module: adjoint(o, node, given[0], module),
    ops.Linear: lambda o, node, given, module: given[0] @ module.weight.T + module.bias,
    ops.BatchNorm: lambda o, node, given, module: normalised(o, given[0], (0, 2, 3), module),
    ops.SharedBatchNorm: lambda o, node, given, module: normalised(o, given[0], (0, 2, 3), module),
    ops.GroupNorm: lambda o, node, given, module: group_norm(o, given[0], module),
    ops.LayerNorm: lambda o, node, given, module: normalised(o, given[0], tuple(range(1, given[0].dim())), module),
    ops.BUILTINS["inorm"]: lambda o, node, given, module: normalised(o, given[0], (2, 3), module),
    ops.BUILTINS["cln"]: lambda o, node, given, module: normalised(o, given[0], (1,), module),
    ops.BUILTINS["prelu"]: lambda o, node, given, module: prelu(given[0], module),
}


def run_graph(graph: Graph, network: nn.Module, images: Tensor) -> Tensor:
    """The output in training mode; the network's own modules are used for their tensors only."""
    results: list[Tensor] = [images] * len(graph.nodes())
    compute(graph, network, images, results, range(len(results)))
    return results[graph.values[graph.program.output_keys[0]]]


def compute(graph: Graph, network: nn.Module, images: Tensor, results: list[Tensor], operations: range) -> None:
    """Put the results of some operations into their places."""
    for at in operations:
        node = graph.node(at)
        given = [results[operand] for operand in graph.operands(at)]
        module = find_module(network, *node.parameter) if node.parameter else None
        if isinstance(node.operator, ops.Kernel):
            module = obedient(node.operator, module)
        match node.operator:
            case ops.BatchNorm(fixed=1) as norm:
                own = find_module(network, *node.statistics) if node.statistics else module
                result = frozen(norm, given[0], module, own)
            case ops.Input():
                result = images
            case ops.Zero():
                result = images.new_zeros(len(images), *node.shape)
            case ops.Unknown():
                result = given[0]
            case ops.Iterated():
                result = solution(graph, network, images, results, at)
            case operator:
                formula = FORMULAS.get(type(operator))
                result = formula(operator, node, given, module) if formula else without_parameters(operator, *given)
        assert result.shape[1:] == node.shape
        results[at] = result


def solution(graph: Graph, network: nn.Module, images: Tensor, results: list[Tensor], at: int) -> Tensor:
    """By plain iteration until nothing changes; a linear equation by the matrix of its left side."""
    body, unknown, *right = graph.operands(at)
    inside = range(unknown + 1, at)

    def applied(x: Tensor) -> Tensor:
        results[unknown] = x
        compute(graph, network, images, results, inside)
        return results[body]

    x = results[unknown]
    if not right:
        while (new := applied(x)).sub(x).abs().max() > 1e-15 * new.abs().max():
            x = new.detach()
        return new
    units = torch.eye(x[0].numel(), dtype=x.dtype).view(-1, 1, *x.shape[1:])
    matrix = torch.stack([applied(unit.expand_as(x)).flatten(1) for unit in units], 2)
    return torch.linalg.solve(matrix, results[right[0]].flatten(1)).view_as(x)
