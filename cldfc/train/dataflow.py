"""In which order a network uses its modules, and which of them need which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch.fx
from torch import nn

from cldfc.diagnostics import UsageError

Groups = frozenset[str]


@dataclass(frozen=True)
class ModuleUse:
    """The first use of a group of tensors, the groups that must have been used before it, and how often it is used."""

    group: str
    after: Groups
    count: int = 1


class Traced(torch.fx.Proxy):
    """A value while the network is traced; `*f.shape[2:]`, from which a zero is made, is height and width."""

    def __iter__(self) -> Iterator[Any]:
        sizes: Any = self
        return iter((sizes[0], sizes[1]))

    def __len__(self) -> int:
        return 2


class Tracer(torch.fx.Tracer):
    def proxy(self, node: torch.fx.Node) -> torch.fx.Proxy:
        return Traced(node, self)


def first_uses(network: nn.Module, groups: Sequence[str]) -> list[ModuleUse]:
    """The groups of a network's tensors in the order of their first use; those that are not used come last.

        u = A(f); r = B(u) + C(u); return D(r)    gives A after {}, B after {A}, C after {A}, D after {A, B, C}

    A group comes after all others from which the values of its first use are computed. A tensor that is a group of
    its own, such as a scalar, comes after its like alone, and nothing comes after it: a state dict has it before or
    after the modules beside it. Raises UsageError when the network cannot be traced.
    """
    known, alone = set(groups), Groups(name for name in groups if is_alone(network, name))
    parameters, before = dict[torch.fx.Node, Groups](), dict[torch.fx.Node, Groups]()
    first, counts = dict[str, Groups](), dict.fromkeys(groups, 0)
    for node in trace_network(network).nodes:
        # The group whose module a node calls, or whose tensor it reads.
        name = str(node.target) if node.op in ("call_module", "get_attr") else ""
        used = Groups({name, name.rpartition(".")[0]} & known) if name else Groups()
        values = [operand for operand in node.all_input_nodes if operand not in parameters]
        read = used.union(*(parameters.get(operand, ()) for operand in node.all_input_nodes))
        if node.op == "get_attr" or (read and not values):
            parameters[node] = read  # a parameter, or what is computed from parameters alone
            continue
        needs = Groups().union(*(before[operand] for operand in values))
        for group in sorted(read):
            first.setdefault(group, needs & alone if group in alone else needs - alone)
            counts[group] += 1
        before[node] = needs | read
    used_first = [ModuleUse(group, after, counts[group]) for group, after in first.items()]
    return [*used_first, *(ModuleUse(group, Groups(), 0) for group in groups if group not in first)]


def is_alone(network: nn.Module, group: str) -> bool:
    """Whether a group is a tensor without a module of its own."""
    holder, _, name = group.rpartition(".")
    return name not in dict(network.get_submodule(holder).named_children())


def trace_network(network: nn.Module) -> torch.fx.Graph:
    """The flow of a network's data, in evaluation: in training, shared normalisations would count it as a batch.

    Raises UsageError.
    """
    training = [module for module in network.modules() if module.training]
    try:
        return Tracer().trace(network.eval())
    except Exception as error:
        raise UsageError(f"the network cannot be traced: {error}", "give an instance of a generated class") from error
    finally:
        for module in training:
            module.training = True
