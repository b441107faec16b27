"""What a network is made of, level by level: plain lines for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.network.cost import count_convolutions, count_multiply_adds, count_unshared, multiply_adds
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.network.shapes import count_stored


@dataclass
class Level:
    """The part of a network that defines the values of one level."""

    name: str
    shapes: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    stored: int = 0
    unshared: int = 0
    multiply_adds: int = 0


def summarise_levels(graph: Graph) -> dict[int | None, Level]:
    """Shapes and costs by level, those without a level last; a parameter counts where it is first used."""
    levels: dict[int | None, Level] = {}
    seen: set[Key] = set()
    for number, instance in enumerate(graph.instances):
        at = level_of(instance)
        level = levels.setdefault(at, Level(name_of(graph, instance)))
        shape = graph.node(instance.result).shape
        level.shapes += [] if shape in level.shapes else [shape]
        for operation in graph.members[number]:
            level.multiply_adds += multiply_adds(graph, operation)
            key = graph.node(operation).parameter
            if key is not None:
                stored = graph.parameters[key].count()
                level.unshared += stored
                level.stored += 0 if key in seen else stored
                seen.add(key)
    return dict(sorted(levels.items(), key=lambda item: (item[0] is None, item[0])))


def level_of(instance: Instance) -> int | None:
    """The level of the value that an instance defines; None when that has no index."""
    indices = instance.value[1]
    return indices[instance.template.level] if indices else None


def name_of(graph: Graph, instance: Instance) -> str:
    """`ℓ=2`, or the name of the output."""
    level = level_of(instance)
    if level is None:
        return graph.program.output
    index = next(
        (name for name, range in graph.program.ranges.items() if range.kind == "levels"),
        instance.template.statement.left.name,
    )
    return f"{index}={level}"


def summary_lines(graph: Graph) -> list[str]:
    """A table of levels, and a line of totals."""
    levels = summarise_levels(graph).values()
    rows: list[tuple[str, ...]] = [("level", "shape", "parameters", "without sharing", "multiply-adds")]
    for level in levels:
        shapes = ", ".join("×".join(map(str, shape)) for shape in level.shapes)
        rows.append((level.name, shapes, f"{level.stored:,}", f"{level.unshared:,}", f"{level.multiply_adds:,}"))
    totals = (count_stored(graph.parameters), count_unshared(graph), count_multiply_adds(graph))
    rows.append(("all", "", *(f"{total:,}" for total in totals)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def facts(graph: Graph) -> dict[str, str]:
    """The figures of a network, for reports."""
    return {
        "parameters": f"{count_stored(graph.parameters):,}",
        "parameters without sharing": f"{count_unshared(graph):,}",
        "multiply-adds per image": f"{count_multiply_adds(graph):,}",
        "convolutions": f"{count_convolutions(graph):,}",
    }
