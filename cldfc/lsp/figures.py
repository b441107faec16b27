"""What a network says of one of its names: tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from cldfc.lsp.analysis import Network
from cldfc.network.cost import count_uses
from cldfc.network.expand import Instance
from cldfc.network.levels import level_of
from cldfc.network.names import Family
from cldfc.network.positions import Constant, Key, format_key
from cldfc.network.shapes import Stored
from cldfc.network.sharing import sharing_of

MOST_ROWS = 12


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; of a long one the first and the last rows."""
    middle = [["⋯"] * len(heads)]
    shown = rows if len(rows) <= MOST_ROWS else [*rows[: MOST_ROWS - 2], *middle, rows[-1]]
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *shown)]
    return ["", *lines, ""]


def shape_text(shape: Iterable[int]) -> str:
    """`64 × 32 × 32`."""
    return " × ".join(map(str, shape))


def from_to(parts: Sequence[str]) -> str:
    """`r@1,0 … r@1,2`; a single one as it is."""
    return parts[0] if len(parts) == 1 else f"{parts[0]} … {parts[-1]}"


# Values


def family_figures(network: Network, family: Family) -> list[str]:
    """The shapes of a family's values level by level, and what its equations cost as they are written."""
    members = [i for i in network.graph.instances if (i.value[0], len(i.value[1])) == family]
    if not members:
        return [f"The output does not need `{family[0]}`."]
    by_level = sorted(members, key=lambda i: (level_of(i) or 0, i.value))
    groups = groupby(by_level, lambda i: (level_of(i), shape_of(network, i)))
    rows = [values_row(network, list(same)) for _, same in groups]
    parameters = parameters_of(network, operations_of(network, family))
    stored = sum(network.graph.parameters[key].count() for key in parameters)
    kinds = ", ".join(f"`{name}`" for name in dict.fromkeys(name for name, _ in parameters))
    used = [f"{stored:,} parameters in its equations: {kinds}."] if parameters else []
    return [*table(("values", "shape", "multiply-adds"), rows), *used]


def shape_of(network: Network, instance: Instance) -> tuple[int, ...]:
    """The shape of the value that an instance defines."""
    return network.graph.node(instance.result).shape


def values_row(network: Network, instances: Sequence[Instance]) -> list[str]:
    """The values of one level that have one shape."""
    numbers = {id(instance) for instance in instances}
    graph = network.graph
    operations = [at for n, i in enumerate(graph.instances) if id(i) in numbers for at in graph.members[n]]
    macs = sum(network.costs[at].multiply_adds for at in operations)
    return [
        f"`{from_to([format_key(instance.value) for instance in instances])}`",
        shape_text(shape_of(network, instances[0])),
        f"{macs:,}",
    ]


def operations_of(network: Network, family: Family) -> list[int]:
    """The operations of a family's equations, with the terms of their reductions."""
    lefts = [(i.template.statement.left.name, len(i.template.statement.left.tag)) for i in network.graph.instances]
    return [at for number, left in enumerate(lefts) if left == family for at in network.graph.members[number]]


def parameters_of(network: Network, operations: Iterable[int]) -> list[Key]:
    """The parameters that operations use, each once."""
    keys = (network.graph.node(at).parameter for at in operations)
    return list(dict.fromkeys(key for key in keys if key is not None))


# Parameters


def parameter_figures(network: Network, name: str) -> list[str]:
    """How a kernel or scalar is shared, its sizes, how often it is used, and what it stores."""
    graph = network.graph
    keys = sorted(key for key in graph.parameters if key[0] == name)
    if not keys:
        return [f"The output does not need `{name}`."]
    sharing = sharing_of(graph).get(name)
    uses = count_uses(graph)
    rows = [
        [
            f"`{from_to([format_key(key) for key in same])}`",
            text,
            f"{sum(uses[key] for key in same):,}",
            f"{sum(graph.parameters[key].count() for key in same):,}",
        ]
        for text, same in ((t, list(k)) for t, k in groupby(keys, lambda key: sizes_text(graph.parameters[key])))
    ]
    total = sum(graph.parameters[key].count() for key in keys)
    return [f"{sharing}, {total:,} parameters.", *table((f"`{name}`", "size", "uses", "parameters"), rows)]


def sizes_text(stored: Stored) -> str:
    """`3×3, 64 → 128, 2 groups`; a scalar's start."""
    sizes = stored.sizes
    if "init" in sizes:
        return f"starts from {sizes['init']:g}"
    if "size" not in sizes:
        return ", ".join(f"{name} {size}" for name, size in sizes.items())
    text = f"{sizes['size']}×{sizes['size']}, {sizes['in']} → {sizes['out']}"
    extra = {name: sizes[name] for name in ("groups", "dilation") if sizes.get(name, 1) != 1}
    return ", ".join([text, *(f"{name} {size}" for name, size in extra.items()), *["bias"] * bool(sizes.get("bias"))])


# Numbers


def constant_figures(constant: Constant) -> list[str]:
    """The values of a constant."""
    if constant.index is None:
        return [f"= {constant.values[0]:,}"]
    rows = [[f"{constant.lower + at}", f"{value:,}"] for at, value in enumerate(constant.values)]
    return table((f"`{constant.index}`", f"`{constant.name}`"), rows)
