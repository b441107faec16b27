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


def parameter_rows(graph: Graph) -> Iterator[KernelRow]:
    """Rows for all that is stored: shared kernels and scalars, the others, what belongs to places in equations."""
    uses, colours, declared = count_uses(graph), colours_of(graph), graph.program.parameters
    groups: dict[object, list[Key]] = {}
    for key in sorted(graph.parameters, key=lambda key: (key[0] not in declared, key not in colours)):
        groups.setdefault(key if uses[key] > 1 else key[0], []).append(key)
    for keys in groups.values():
        stored = [graph.parameters[key] for key in keys]
        name, is_kernel = keys[0][0], keys[0][0] in declared
        if is_kernel:
            kind = "scalar" if isinstance(stored[0].operator, ScaleBy) else "kernel"
        else:
            kind = "map" if isinstance(stored[0].operator, Linear) else "norm"
        yield KernelRow(
            is_kernel=is_kernel,
            name=format_key(keys[0]) if len(keys) == 1 else f"{name}, {len(keys)} {kind}s",
            shape=widths_text(graph, keys) if is_kernel else channels_text(graph, keys),
            keys=tuple(keys),
            uses=sum(uses[key] for key in keys),
            parameters=sum(each.count() for each in stored),
            saved=sum(each.count() * (uses[key] - 1) for key, each in zip(keys, stored, strict=True)),
            colour=colours.get(keys[0]),
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
