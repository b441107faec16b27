"""A state dict as groups of tensors, one for each module, and the order in which they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch.fx
from torch import Tensor, nn

from cldfc.diagnostics import UsageError

_COUNTER = "num_batches_tracked"
_PARTS = ("weight", "bias", "running_mean", "running_var", _COUNTER)
"""What PyTorch calls the tensors of a convolution, a normalisation or a linear map."""
_IGNORED = ("total_ops", "total_params")
"""What a widely used counter of operations leaves in the modules it has seen."""

Signature = tuple[tuple[str, tuple[int, ...]], ...]
"""The names and shapes of the tensors of a module, without its counter."""


@dataclass(frozen=True)
class TensorGroup:
    """The tensors of one module; a tensor of another kind, such as a scalar, is a group of its own."""

    name: str
    tensors: Mapping[str, Tensor]

    @cached_property
    def signature(self) -> Signature:
        """What another group must share with it to take its place."""
        shapes = ((part, _needed(part, tuple(tensor.shape))) for part, tensor in self.tensors.items())
        return tuple(sorted((part, shape) for part, shape in shapes if part != _COUNTER))

    @property
    def is_kernel(self) -> bool:
        """Whether it is a convolution or a linear map without a bias: it maps zeros to zeros."""
        return [(part, len(shape) > 1) for part, shape in self.signature] == [("weight", True)]

    @property
    def parent(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        return self.name.rpartition(".")[2]

    def names(self, other: TensorGroup, aliases: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
        """For every name of the group, the names of its tensors, each with that of its counterpart in another group."""
        for name in (self.name, *aliases.get(self.name, ())):
            for part in [part for part in self.tensors if part in other.tensors]:
                yield ".".join(filter(None, (name, part))), ".".join(filter(None, (other.name, part)))

    def __str__(self) -> str:
        stored = ((part, tuple(self.tensors[part].shape) if part else shape) for part, shape in self.signature)
        shapes = ((part, "×".join(map(str, shape)) or "a number") for part, shape in stored)
        return f"`{self.name}` ({', '.join(f'{part} {shape}'.strip() for part, shape in shapes)})"


def _needed(part: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a tensor without the axes of size 1 that other libraries leave out.

    A scalar is stored as (), (1,) or (1, 1), a vector as (C,) or (C, 1, 1), a 1×1 kernel as such or as a linear map.
    """
    least = 2 if part else 0 if all(size == 1 for size in shape) else 1
    return shape[:least] if all(size == 1 for size in shape[least:]) else shape


def read_groups(weights: Mapping[str, Tensor]) -> list[TensorGroup]:
    """The groups of a state dict, in its order. Integer tensors are skipped, except counters. Raises UsageError."""
    if not isinstance(cast(object, weights), Mapping):
        message = f"the weights are not a state dict but of type {type(weights).__name__}"
        raise UsageError(message, "give `….state_dict()`")
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        _require_tensor(weights, name, tensor)
        module, _, part = name.rpartition(".")
        if part in _IGNORED or not (tensor.is_floating_point() or part == _COUNTER):
            continue
        is_part = bool(module) and part in _PARTS
        tensors.setdefault(module if is_part else name, {})[part if is_part else ""] = tensor
    return [TensorGroup(name, parts) for name, parts in tensors.items() if set(parts) != {_COUNTER}]


def _require_tensor(weights: Mapping[str, object], name: object, tensor: object) -> None:
    if isinstance(name, str) and isinstance(tensor, Tensor):
        return
    inner = next((key for key, value in weights.items() if isinstance(value, Mapping)), None)
    help = "a state dict is {name: tensor}" if inner is None else f"give the state dict inside it: `weights[{inner!r}]`"
    raise UsageError(f"`{name}` of the weights is not a tensor, but of type {type(tensor).__name__}", help)


def join_groups(groups: Sequence[TensorGroup]) -> tuple[list[TensorGroup], dict[str, list[str]]]:
    """The groups, each once, and the further names under which some of them appear.

    A state dict in which `decode.conv` is `encode.conv` gives `encode.conv` alone, and {encode.conv: [decode.conv]}.
    """
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, list[str]] = {}
    for group in groups:
        key = tuple((part, _storage(tensor)) for part, tensor in group.tensors.items())
        name = first.setdefault(key, group.name)
        aliases.setdefault(name, []).extend([group.name] * (name != group.name))
    return [group for group in groups if group.name in aliases], aliases


def _storage(tensor: Tensor) -> tuple[object, ...]:
    """The same for two names of one tensor; an empty tensor shares its storage with none."""
    address = 0 if tensor.is_meta else tensor.data_ptr()
    return (address or id(tensor), tuple(tensor.shape), tensor.stride())


_Groups = frozenset[str]


@dataclass(frozen=True)
class ModuleUse:
    """A group of tensors: how often it is used, and the groups that its first use depends on."""

    group: str
    after: _Groups
    count: int = 1


class Traced(torch.fx.Proxy):
    """A value while the network is traced. `*f.shape[2:]`, the size of a map of zeros, is iterable."""

    def __iter__(self) -> Iterator[Any]:
        sizes: Any = self
        return iter([sizes[axis] for axis in range(len(self))])

    def __len__(self) -> int:
        return self.tracer.dimension if isinstance(self.tracer, Tracer) else 2


_KERNELS = {
    1: (nn.Conv1d, nn.ConvTranspose1d),
    2: (nn.Conv2d, nn.ConvTranspose2d),
    3: (nn.Conv3d, nn.ConvTranspose3d),
}


class Tracer(torch.fx.Tracer):
    dimension = 2

    def proxy(self, node: torch.fx.Node) -> torch.fx.Proxy:
        return Traced(node, self)


def first_uses(network: nn.Module, groups: Sequence[str]) -> list[ModuleUse]:
    """The groups of a network's tensors in the order of their first use; those that are not used come last.

        u = A(f); r = B(u) + C(u); return D(r)    gives A after {}, B after {A}, C after {A}, D after {A, B, C}

    A group comes after all others from which the values of its first use are computed. A tensor that is a group of
    its own, such as a scalar, comes after its like alone, and nothing comes after it: a state dict has it before or
    after the modules beside it. Raises UsageError when the network cannot be traced.
    """
    known, alone = set(groups), _Groups(name for name in groups if _is_alone(network, name))
    parameters, before = dict[torch.fx.Node, _Groups](), dict[torch.fx.Node, _Groups]()
    first, counts = dict[str, _Groups](), dict.fromkeys(groups, 0)
    for node in _trace_network(network).nodes:
        # The group whose module a node calls, or whose tensor it reads.
        name = str(node.target) if node.op in ("call_module", "get_attr") else ""
        used = _Groups({name, name.rpartition(".")[0]} & known) if name else _Groups()
        values = [operand for operand in node.all_input_nodes if operand not in parameters]
        read = used.union(*(parameters.get(operand, ()) for operand in node.all_input_nodes))
        if node.op == "get_attr" or (read and not values):
            parameters[node] = read  # a parameter, or what is computed from parameters alone
            continue
        needs = _Groups().union(*(before[operand] for operand in values))
        for group in sorted(read):
            first.setdefault(group, needs & alone if group in alone else needs - alone)
            counts[group] += 1
        before[node] = needs | read
    used_first = [ModuleUse(group, after, counts[group]) for group, after in first.items()]
    return [*used_first, *(ModuleUse(group, _Groups(), 0) for group in groups if group not in first)]


def _is_alone(network: nn.Module, group: str) -> bool:
    """Whether a group is a tensor without a module of its own."""
    holder, _, name = group.rpartition(".")
    return name not in dict(network.get_submodule(holder).named_children())


def _checks_of(network: nn.Module) -> tuple[Callable[..., object], ...]:
    """The input checks of a generated class, which are skipped while it is traced."""
    scope = getattr(type(network).forward, "__globals__", {})
    return tuple(scope[name] for name in ("check_size", "check_margin", "check_shape", "check_count") if name in scope)


def _trace_network(network: nn.Module) -> torch.fx.Graph:
    """The data flow of a network in eval mode; in training mode, shared normalisations would count it as a batch.

    Raises UsageError.
    """
    training = [module for module in network.modules() if module.training]
    try:
        tracer = Tracer(autowrap_functions=_checks_of(network))
        found = (d for d, kinds in _KERNELS.items() if any(isinstance(module, kinds) for module in network.modules()))
        tracer.dimension = next(found, 2)
        return tracer.trace(network.eval())
    except Exception as error:
        raise UsageError(f"the network cannot be traced: {error}", "give an instance of a generated class") from error
    finally:
        for module in training:
            module.training = True
