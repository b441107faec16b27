"""The table of parameters: those that are shared one by one, the others by name, with what sharing saves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cldfc.network.cost import count_uses
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.ops import Linear, ScaleBy
from cldfc.show.colours import colours_of


@dataclass(frozen=True, slots=True)
class KernelRow:
    """A shared parameter, kernels and scalars with their colour, or all of one name that are not shared."""

    is_kernel: bool
    """Whether it is a kernel or scalar of the spec, and not what belongs to a place in an equation."""
    name: str
    shape: str
    keys: tuple[Key, ...]
    uses: int
    parameters: int
    saved: int
    colour: str | None


def kernel_rows(graph: Graph) -> Iterator[KernelRow]:
    """The rows of the table, shared kernels first."""
    uses, colours = count_uses(graph), colours_of(graph)
    groups: dict[object, list[Key]] = {}
    for key in sorted(graph.parameters, key=lambda key: key not in colours):
        if key[0] in graph.program.parameters:
            groups.setdefault(key if key in colours else key[0], []).append(key)
    for keys in groups.values():
        stored = sum(graph.parameters[key].count() for key in keys)
        saved = sum(graph.parameters[key].count() * (uses[key] - 1) for key in keys)
        kind = "scalar" if isinstance(graph.parameters[keys[0]].operator, ScaleBy) else "kernel"
        name = format_key(keys[0]) if len(keys) == 1 else f"{keys[0][0]}, {len(keys)} {kind}s"
        total, colour = sum(uses[key] for key in keys), colours.get(keys[0])
        yield KernelRow(True, name, widths_text(graph, keys), tuple(keys), total, stored, saved, colour)


def parameter_rows(graph: Graph) -> Iterator[KernelRow]:
    """A row for everything that is stored: kernels and scalars, then what belongs to a place in an equation."""
    yield from kernel_rows(graph)
    uses = count_uses(graph)
    groups: dict[object, list[Key]] = {}
    for key in graph.parameters:
        if key[0] not in graph.program.parameters:
            groups.setdefault(key if uses[key] > 1 else key[0], []).append(key)
    for keys in groups.values():
        stored = [graph.parameters[key] for key in keys]
        kind = "map" if isinstance(stored[0].operator, Linear) else "norm"
        name = format_key(keys[0]) if len(keys) == 1 else f"{keys[0][0]}, {len(keys)} {kind}s"
        numbers = sum(each.count() for each in stored)
        saved = sum(each.count() * (uses[key] - 1) for key, each in zip(keys, stored, strict=True))
        yield KernelRow(
            False, name, channels_text(graph, keys), tuple(keys), sum(uses[key] for key in keys), numbers, saved, None
        )


def channels_text(graph: Graph, keys: Sequence[Key]) -> str:
    """`512 → 10` of linear maps, `64 channels` of norms; a range for several."""
    sizes = [graph.parameters[key].sizes for key in keys]
    if "channels" in sizes[0]:
        return f"{range_text(size['channels'] for size in sizes)} channels"
    return " → ".join(range_text(size[side] for size in sizes) for side in ("in", "out"))


def widths_text(graph: Graph, keys: Sequence[Key]) -> str:
    """`3×3  64 → 128`; a range of widths for several kernels."""
    sizes = [graph.parameters[key].sizes for key in keys]
    if "init" in sizes[0]:
        return f"scalar  from {sizes[0]['init']}"
    before, after = (range_text(size[side] for size in sizes) for side in ("in", "out"))
    groups = f" in {sizes[0]['groups']} groups" if sizes[0].get("groups", 1) > 1 else ""
    return f"{sizes[0]['size']}×{sizes[0]['size']}  {before} → {after}{groups}"


def range_text(numbers: Iterable[float]) -> str:
    """`64…512`, or the number that all are."""
    found = list(numbers)
    return "…".join(str(n) for n in sorted({min(found), max(found)}))
