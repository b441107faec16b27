"""What a network says of one of its names: tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from cldfc.compilation import Compilation
from cldfc.diagnostics import shape_text
from cldfc.network.cost import count_uses
from cldfc.network.names import Family
from cldfc.network.positions import Constant, format_key
from cldfc.network.shapes import Stored
from cldfc.network.sharing import sharing_of

MOST_ROWS = 12


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; of a long one the first and the last rows."""
    middle = [["⋯"] * len(heads)]
    shown = rows if len(rows) <= MOST_ROWS else [*rows[: MOST_ROWS - 2], *middle, rows[-1]]
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *shown)]
    return ["", *lines, ""]


def from_to(parts: Sequence[str]) -> str:
    """`r@1,0 … r@1,2`; a single one as it is."""
    return parts[0] if len(parts) == 1 else f"{parts[0]} … {parts[-1]}"


# Values


def family_figures(network: Compilation, family: Family) -> list[str]:
    """The shapes of a family's values level by level, and what its equations cost as they are written.

    Nothing for a family that the network, which may be older than the text, does not have.
    """
    templates = {id(t.statement): t for t in network.written.program.templates if not t.is_inner}
    if family not in {(template.family, len(template.left)) for template in templates.values()}:
        return []
    levels: dict[int, list[int]] = {}
    for number, instance in enumerate(network.written.instances):
        template = templates[id(instance.template.statement)]
        if (template.family, len(template.left)) == family:
            # A term of a reduction counts to the level of the value that it is for.
            level = template.left[template.level].value(instance.binding) if template.left else 0
            levels.setdefault(level, []).append(number)
    if not levels:
        return [f"The output does not need `{family[0]}`."]
    rows = [level_row(network, levels[level]) for level in sorted(levels)]
    return [*markdown_table(("values", "shape", "multiply-adds"), rows), *used_parameters(network, levels.values())]


def level_row(network: Compilation, numbers: Sequence[int]) -> list[str]:
    graph = network.written
    instances = [graph.instances[number] for number in numbers]
    values = sorted(instance.value for instance in instances if not instance.template.is_inner)
    shapes = dict.fromkeys(shape_text(graph.shape(value)) for value in values)
    macs = sum(network.costs[at].multiply_adds for number in numbers for at in graph.members[number])
    return [f"`{from_to([format_key(value) for value in values])}`", ", ".join(shapes), f"{macs:,}"]


def used_parameters(network: Compilation, levels: Iterable[Sequence[int]]) -> list[str]:
    graph = network.written
    nodes = (graph.node(at) for numbers in levels for number in numbers for at in graph.members[number])
    keys = list(dict.fromkeys(node.parameter for node in nodes if node.parameter is not None))
    stored = sum(graph.parameters[key].count() for key in keys)
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(name for name, _ in keys))
    return [f"{stored:,} parameters in its equations: {names}."] if keys else []


# Parameters


def parameter_figures(network: Compilation, name: str) -> list[str]:
    graph = network.written
    if name not in graph.program.parameters:
        return []
    keys = sorted(key for key in graph.parameters if key[0] == name)
    if not keys:
        return [f"The output does not need `{name}`."]
    uses = count_uses(graph)
    rows: list[list[str]] = []
    for text, group in groupby(keys, lambda key: kernel_sizes(graph.parameters[key])):
        same = list(group)
        stored = sum(graph.parameters[key].count() for key in same)
        names = from_to([format_key(key) for key in same])
        rows.append([f"`{names}`", text, f"{sum(uses[key] for key in same):,}", f"{stored:,}"])
    total = sum(graph.parameters[key].count() for key in keys)
    shared = f"{sharing_of(graph)[name]}, {total:,} parameters."
    return [shared, *markdown_table((f"`{name}`", "size", "uses", "parameters"), rows)]


def kernel_sizes(stored: Stored) -> str:
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
    if constant.index is None:
        return [f"= {constant.values[0]:,}"]
    rows = [[f"{constant.lower + at}", f"{value:,}"] for at, value in enumerate(constant.values)]
    return markdown_table((f"`{constant.index}`", f"`{constant.name}`"), rows)
