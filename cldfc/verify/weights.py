"""Random weights that hide nothing, and which weights of two networks correspond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError

Weights = dict[str, Tensor]


def random_state(network: nn.Module, seed: int) -> Weights:
    """The state of a network, with kernels as they start and everything else moved away from where it starts.

    Normalisations that are all 1 and 0, and scalars that are all alike, would hide that two were exchanged.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.dim() < 2:
            moved = 0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            is_shift = name.endswith(("bias", "running_mean"))
            tensor.copy_(moved - 1 if is_shift else moved)
    return weights


def mapped_name(name: str, names: Mapping[str, str]) -> str:
    """A name of the state dictionary with its start replaced: `bn_f.1_2`, or `bn_f` with every tag."""
    path, rest = name, ""
    while path and path not in names:
        path, dot, part = path.rpartition(".")
        rest = f"{dot}{part}{rest}"
    return f"{names[path]}{rest}" if path else name


@dataclass(frozen=True)
class Pairs:
    """Which weights of two networks correspond, by name, and those of each that have no counterpart.

    `misfits` would correspond, but have different shapes.
    """

    names: Mapping[str, str]
    first: Sequence[str]
    second: Sequence[str]
    misfits: Sequence[tuple[str, str]] = ()


def attribute_of(name: str) -> str:
    """The attribute of a network that a weight belongs to: `bn_f` of `bn_f.1_2.weight`."""
    return name.split(".")[0]


def pair_weights(weights: Weights, others: Weights, names: Mapping[str, str]) -> Pairs:
    """Pair the weights of two networks: `names` leads from heads of the first to heads of the second.

    Raises UsageError when `names` speaks of what is not there.
    """
    refuse_unknown(names, weights, others)
    taken = set(names.values()) - set(names)
    pairs: dict[str, str] = {}
    misfits: list[tuple[str, str]] = []
    for name, tensor in weights.items():
        head = attribute_of(name)
        other = mapped_name(name, names)
        if other in others and (head in names or head not in taken):
            if others[other].shape == tensor.shape:
                pairs[name] = other
            else:
                misfits.append((name, other))
    paired, met = {*pairs, *(name for name, _ in misfits)}, {*pairs.values(), *(other for _, other in misfits)}
    lonely = [name for name in weights if name not in paired]
    return Pairs(pairs, lonely, [name for name in others if name not in met], misfits)


def refuse_unknown(names: Mapping[str, str], weights: Weights, others: Weights) -> None:
    for name, known in [*((name, weights) for name in names), *((name, others) for name in names.values())]:
        heads = list(dict.fromkeys(map(attribute_of, known)))
        if name not in heads:
            side = "first" if known is weights else "second"
            raise UsageError(f"the {side} network has no parameter `{name}` to map", f"it has {', '.join(heads)}")
