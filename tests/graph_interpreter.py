"""Runs a graph operation by operation with the parameters of a generated module: no loops, no variables."""

import torch
from torch import nn
from torch.nn import functional as F

from cldfc.network.graph import Graph
from cldfc.ops import Add, AvgPool, BatchNorm, Convolution, Identity, Input, Linear, Relu, Zero
from cldfc.syntax.spelling import ascii_name


def find_module(network: nn.Module, name: str, indices: tuple[int, ...]) -> nn.Module:
    spelled = ascii_name(name)
    children = dict(network.named_children())
    found = children[spelled] if spelled in children else children[f"{spelled}_2"]
    return found["_".join(map(str, indices))] if isinstance(found, nn.ModuleDict) else found


def run_graph(graph: Graph, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The output; the network's own modules are used for their tensors only."""
    results: list[torch.Tensor] = []
    for at, node in enumerate(graph.nodes()):
        given = [results[operand] for operand in graph.operands(at)]
        module = find_module(network, *node.parameter) if node.parameter else None
        match node.operator:
            case Input():
                result = images
            case Zero():
                result = torch.zeros(len(images), *node.shape, dtype=images.dtype)
            case Add(signs=signs):
                result = sum(sign * x for sign, x in zip(signs, given, strict=True))
            case Convolution(stride=stride):
                padding = module.weight.shape[-1] // 2
                result = F.conv2d(given[0], module.weight, stride=stride, padding=padding)
            case BatchNorm():
                mean, var = (
                    given[0].mean((0, 2, 3), keepdim=True),
                    given[0].var((0, 2, 3), keepdim=True, unbiased=False),
                )
                scale, shift = module.weight[:, None, None], module.bias[:, None, None]
                result = (given[0] - mean) / (var + 1e-5).sqrt() * scale + shift
            case Relu():
                result = given[0].clamp_min(0)
            case Identity():
                result = given[0]
            case AvgPool():
                result = given[0].mean((2, 3))
            case Linear():
                result = given[0] @ module.weight.T + module.bias
        assert result.shape[1:] == node.shape
        results.append(result)
    return results[graph.values[graph.program.output, ()]]
