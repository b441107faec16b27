"""What a network is made of, level by level: plain lines for the terminal."""

from __future__ import annotations

from cldfc.algebra.untrained import find_untrained
from cldfc.network.cost import Cost, cost_of_network, cost_of_operations, total_cost
from cldfc.network.graph import Graph
from cldfc.network.levels import costs_of_levels
from cldfc.network.positions import format_key
from cldfc.show.numbers import short_bytes


def summary_lines(graph: Graph, is_trained: bool = True) -> list[str]:
    """A table of levels, a line of totals, and what is to be noted: parameters as written, work as it is done.

    Of a network that is not trained, nothing is said that matters in training alone.
    """
    rows: list[tuple[str, ...]] = [("level", "shape", "parameters", "without sharing", "multiply-adds")]
    costs, written = cost_of_operations(graph), cost_of_operations(graph.as_written)
    levels = costs_of_levels(graph, costs)
    for at, level in costs_of_levels(graph.as_written, written).items():
        shapes = ", ".join("×".join(map(str, shape)) for shape in level.shapes)
        rows.append((level.name, shapes, *level_figures(level.cost, levels[at].cost if at in levels else Cost())))
    cost, before = total_cost(graph, costs), total_cost(graph.as_written, written)
    rows.append(("all", "", *level_figures(before, cost)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return [*lines, depth_text(cost, before), *notes(graph)] if is_trained else [*lines, layers_text(cost, before)]


def level_figures(written: Cost, cost: Cost) -> tuple[str, str, str]:
    """Parameters, those without sharing, multiply-adds."""
    return f"{written.parameters:,}", f"{written.unshared:,}", f"{cost.multiply_adds:,}"


def depth_text(cost: Cost, written: Cost) -> str:
    return f"{layers_text(cost, written)} · {short_bytes(cost.kept.each_image)} activations per image"


def layers_text(cost: Cost, written: Cost) -> str:
    convolutions = f"{cost.convolutions:,} convolution{'s' * (cost.convolutions != 1)}"
    convolutions += f" ({written.convolutions:,} as written)" * (cost.convolutions != written.convolutions)
    return f"{convolutions} · depth {cost.depth:,}"


def notes(graph: Graph) -> list[str]:
    """Parameters that nothing trains, a line for each."""
    found = find_untrained(graph)
    return [f"note: nothing trains `{format_key(key)}`: {reason}" for key, reason in found.items()]


def facts(graph: Graph) -> dict[str, str]:
    """The figures of a network, for reports."""
    cost, written = cost_of_network(graph), cost_of_network(graph.as_written)
    return {
        "parameters": f"{written.parameters:,}",
        "parameters without sharing": f"{written.unshared:,}",
        "multiply-adds per image": f"{cost.multiply_adds:,}",
        "convolutions": f"{cost.convolutions:,}",
        "depth": f"{cost.depth:,}",
        "activations kept per image": f"{cost.kept.each_image:,} bytes",
    }


def summary_as_data(graph: Graph) -> dict[str, object]:
    """The same as plain data, for `--json`.

    Parameters are those of the spec as it is written, all else is what the generated module computes for one image;
    memory is in bytes. `levels` has for each level its `name`, its `shapes` and the same figures.
    """
    costs, written = cost_of_operations(graph), cost_of_operations(graph.as_written)
    computed = costs_of_levels(graph, costs)
    levels: list[dict[str, object]] = []
    for at, level in costs_of_levels(graph.as_written, written).items():
        cost = computed[at].cost if at in computed else Cost()
        levels.append({"name": level.name, "shapes": level.shapes, **cost_as_data(level.cost, cost)})
    totals = cost_as_data(total_cost(graph.as_written, written), total_cost(graph, costs))
    return {"model": graph.program.model, **totals, "levels": levels, "notes": notes(graph)}


def cost_as_data(written: Cost, cost: Cost) -> dict[str, object]:
    return {
        "parameters": written.parameters,
        "parameters_without_sharing": written.unshared,
        "multiply_adds": cost.multiply_adds,
        "convolutions": cost.convolutions,
        "depth": cost.depth,
        "kept_bytes_per_image": cost.kept.each_image,
        "kept_bytes_per_batch": cost.kept.each_batch,
    }
