"""What a network is made of, level by level: plain lines for the terminal."""

from __future__ import annotations

from cldfc.network.cost import Cost, add_up, cost_of_network, cost_of_operations
from cldfc.network.graph import Graph
from cldfc.network.levels import Level, levels_of
from cldfc.show.numbers import short_bytes


def summary_lines(graph: Graph) -> list[str]:
    """A table of levels, and a line of totals."""
    rows: list[tuple[str, ...]] = [("level", "shape", "parameters", "without sharing", "multiply-adds")]
    costs = cost_of_operations(graph)
    rows += [(level.name, shapes_text(level), *figures(level.cost)) for level in levels_of(graph, costs).values()]
    cost = add_up(graph, costs)
    rows.append(("all", "", *figures(cost)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return [*lines, depth_text(cost)]


def shapes_text(level: Level) -> str:
    """`64×32×32`, or several."""
    return ", ".join("×".join(map(str, shape)) for shape in level.shapes)


def figures(cost: Cost) -> tuple[str, str, str]:
    """Parameters, those without sharing, multiply-adds."""
    return f"{cost.parameters:,}", f"{cost.unshared:,}", f"{cost.multiply_adds:,}"


def depth_text(cost: Cost) -> str:
    """How deep a network is, and what its training keeps."""
    convolutions = f"{cost.convolutions:,} convolution{'s' * (cost.convolutions != 1)}"
    layers = f"{cost.depth:,} layer{'s' * (cost.depth != 1)} deep"
    return f"{convolutions} · {layers} · {short_bytes(cost.kept.each_image)} of activations kept for each image"


def facts(graph: Graph) -> dict[str, str]:
    """The figures of a network, for reports."""
    cost = cost_of_network(graph)
    return {
        "parameters": f"{cost.parameters:,}",
        "parameters without sharing": f"{cost.unshared:,}",
        "multiply-adds per image": f"{cost.multiply_adds:,}",
        "convolutions": f"{cost.convolutions:,}",
        "layers deep": f"{cost.depth:,}",
        "activations kept per image": f"{cost.kept.each_image:,} bytes",
    }
