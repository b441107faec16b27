"""Runs a graph operation by operation with the parameters of a generated module: no loops, no variables.

Built-in operators without parameters have the formulas of `cldfc/reference`, which tests/test_operators.py compares
with others; the rest have formulas here, from their definitions rather than from PyTorch's functions for them.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc import ops
from cldfc.network.graph import Graph, Node
from cldfc.reference.operators import POINTWISE, REARRANGING
from cldfc.syntax.spelling import ascii_name


def find_module(network: nn.Module, name: str, indices: tuple[int, ...]) -> Any:
    """The module or the parameter of that name; what a module has is not in its type."""
    spelled = ascii_name(name)
    children: dict[str, Any] = {**dict(network.named_children()), **dict(network.named_parameters(recurse=False))}
    found = children[spelled] if spelled in children else children[f"{spelled}_2"]
    is_family = isinstance(found, nn.ModuleDict | nn.ParameterDict)
    return found["_".join(map(str, indices))] if is_family else found


def channel_shift(result: Tensor, module: Any) -> Tensor:
    return result if module.bias is None else result + module.bias[:, None, None]


def convolution(operator: ops.Convolution, node: Node, x: Tensor, module: Any) -> Tensor:
    """A product of matrices: a row for each channel of the result, a column for each pixel of it."""
    out, _, *size = module.weight.shape
    rows, width = module.padding
    if operator.mode != "zeros":
        x, rows, width = F.pad(x, (width, width, rows, rows), mode=operator.mode), 0, 0
    columns = F.unfold(x, size, module.dilation, (rows, width), operator.stride)
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
    forward = node.model_copy(update={"shape": tuple(x.shape[1:])})
    kind, formula = (ops.Prolongation, prolongation) if operator.is_transposed else (ops.Convolution, convolution)
    with torch.enable_grad():
        settings = {} if operator.is_transposed else {"mode": operator.mode}
        return torch.autograd.grad(
            formula(kind(operator.stride, **settings), forward, u, plain), u, x, create_graph=True
        )[0]


def normalised(x: Tensor, over: tuple[int, ...], module: Any) -> Tensor:
    centred = x - x.mean(over, keepdim=True)
    result = centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    return result * module.weight.reshape(shape) + module.bias.reshape(shape)


def group_norm(groups: int, x: Tensor, module: Any) -> Tensor:
    parts = x.unflatten(1, (groups, -1))
    centred = parts - parts.flatten(2).mean(2).reshape(len(x), groups, *[1] * (x.dim() - 1))
    variance = centred.square().flatten(2).mean(2).reshape(len(x), groups, *[1] * (x.dim() - 1))
    shape = [1, -1, *[1] * (x.dim() - 2)]
    result = (centred / (variance + 1e-5).sqrt()).flatten(1, 2)
    return result * module.weight.reshape(shape) + module.bias.reshape(shape)


def without_parameters(operator: ops.Operator, x: Tensor) -> Tensor:
    """A built-in operator by the reference's formula; dropout, which is random, takes its rate off every number."""
    settings = {name: getattr(operator, name) for name in operator.settings()}
    if operator.keyword == "dropout":
        return x * (1 - settings["rate"])
    return {**POINTWISE, **REARRANGING}[str(operator.keyword)](x, **settings)


# The formulas of notation and of operators with parameters: the operator, its node, its operands, and its module.
FORMULAS: dict[type[ops.Operator], Callable[..., Any]] = {
    ops.Add: lambda o, node, given, module: sum(sign * x for sign, x in zip(o.signs, given, strict=True)),
    ops.Total: lambda o, node, given, module: torch.stack(given).sum(0),
    ops.Multiply: lambda o, node, given, module: math.prod(given),
    ops.Scale: lambda o, node, given, module: given[0] * o.factor,
    ops.ScaleBy: lambda o, node, given, module: given[0] * module.item(),
    ops.Concat: lambda o, node, given, module: torch.hstack(given),
    ops.Convolution: lambda o, node, given, module: convolution(o, node, given[0], module),
    ops.Prolongation: lambda o, node, given, module: prolongation(o, node, given[0], module),
    ops.ConvolutionAdjoint: lambda o, node, given, module: adjoint(o, node, given[0], module),
    ops.ProlongationAdjoint: lambda o, node, given, module: adjoint(o, node, given[0], module),
    ops.Linear: lambda o, node, given, module: given[0] @ module.weight.T + module.bias,
    ops.BatchNorm: lambda o, node, given, module: normalised(given[0], (0, 2, 3), module),
    ops.SharedBatchNorm: lambda o, node, given, module: normalised(given[0], (0, 2, 3), module),
    ops.GroupNorm: lambda o, node, given, module: group_norm(o.groups, given[0], module),
    ops.LayerNorm: lambda o, node, given, module: normalised(given[0], tuple(range(1, given[0].dim())), module),
}


def run_graph(graph: Graph, network: nn.Module, images: Tensor) -> Tensor:
    """The output in training mode; the network's own modules are used for their tensors only."""
    results: list[Tensor] = []
    for at, node in enumerate(graph.nodes()):
        given = [results[operand] for operand in graph.operands(at)]
        module = find_module(network, *node.parameter) if node.parameter else None
        match node.operator:
            case ops.Input():
                result = images
            case ops.Zero():
                result = images.new_zeros(len(images), *node.shape)
            case operator:
                formula = FORMULAS.get(type(operator))
                result = formula(operator, node, given, module) if formula else without_parameters(operator, *given)
        assert result.shape[1:] == node.shape
        results.append(result)
    return results[graph.values[graph.program.output, ()]]
