"""In which order a network uses its modules, and which of them need which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch.fx
from torch import nn

from cldfc.diagnostics import UsageError


@dataclass(frozen=True)
class Use:
    """The first use of a group of tensors, and the groups that must have been used before it."""

    group: str
    after: frozenset[str]


class Traced(torch.fx.Proxy):
    """A value while the network is traced; `*f.shape[2:]`, from which a zero is made, is height and width."""

    def __iter__(self) -> Iterator[Any]:
        sizes: Any = self
        return iter((sizes[0], sizes[1]))

    def __len__(self) -> int:
        return 2


class Tracer(torch.fx.Tracer):
    """PyTorch's tracer, with our values."""

    def proxy(self, node: torch.fx.Node) -> torch.fx.Proxy:
        return Traced(node, self)


def first_uses(network: nn.Module, groups: Sequence[str]) -> list[Use]:
    """The groups of a network's tensors in the order of their first use.

    A group comes after another if a value that is computed from the other goes into its first use. A
    tensor that is read by itself, such as a scalar, comes after nothing: a state dict has it before
    the modules beside it.
    Raises UsageError when the network cannot be traced.
    """
    known, needs, uses = set(groups), dict[torch.fx.Node, frozenset[str]](), dict[str, Use]()
    for node in trace(network).nodes:
        before = frozenset[str]().union(*(needs[operand] for operand in node.all_input_nodes))
        group = group_of(node, known)
        if group is None:
            needs[node] = before
        elif group in uses:
            needs[node] = before | {group}
        else:
            uses[group] = Use(group, before)
            needs[node] = frozenset({group})
    unused = (Use(group, frozenset()) for group in groups if group not in uses)
    return move_forward([*uses.values(), *unused], first_of_tables(groups))


def first_of_tables(groups: Sequence[str]) -> list[str]:
    """The first group of each table, `B.1_1` of B; tables stand in the order in which the equations use them."""
    firsts: dict[str, str] = {}
    for group in groups:
        if "." in group:
            firsts.setdefault(group.partition(".")[0], group)
    return list(firsts.values())


def move_forward(uses: list[Use], firsts: Sequence[str]) -> list[Use]:
    """The uses with a group before those of later tables that are used before it, and after nothing.

    The equations apply it to a zero there, which generated code leaves out: A of Algorithm 2 to u@1,0.
    """
    for place, group in enumerate(firsts):
        order = [use.group for use in uses]
        at = min((order.index(later) for later in firsts[place + 1 :]), default=len(uses))
        if order.index(group) > at:
            uses.pop(order.index(group))
            uses.insert(at, Use(group, frozenset()))
    return uses


def group_of(node: torch.fx.Node, known: set[str]) -> str | None:
    """The group whose module a node calls, or whose tensor it reads."""
    if node.op not in ("call_module", "get_attr"):
        return None
    name = str(node.target)
    module = name.rpartition(".")[0]
    return name if name in known else module if module in known else None


def trace(network: nn.Module) -> torch.fx.Graph:
    """The flow of a network's data. Raises UsageError."""
    try:
        return Tracer().trace(network)
    except Exception as error:
        raise UsageError(f"the network cannot be traced: {error}", "give an instance of a generated class") from error
