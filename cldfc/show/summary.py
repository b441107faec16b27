"""A summary of a network, level by level, as plain lines for the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cldfc.algebra.untrained import find_untrained
from cldfc.network.cost import Cost, cost_of_network, cost_of_operations, costs_of_levels, levels_of, total_cost
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.ops.size import SampledSize
from cldfc.output import short_bytes, without_middle

if TYPE_CHECKING:
    from cldfc.algebra.fold_norms import Folded

_MOST_NAMES = 4


def folding_lines(folded: Folded) -> list[str]:
    groups: dict[tuple[str, str, str, bool, int], dict[Key, None]] = defaultdict(dict)
    for kept in folded.kept:
        key = kept.kernel or kept.norm.scale
        arity = len(key[1]) if kept.kernel else 0
        groups[key[0], kept.reason, kept.keyword, kept.kernel is not None, arity][key] = None
    total = folded.count + len({kept.norm for kept in folded.kept})
    if not total:
        return ["there is no normalisation to fold"]
    lines = [f"{folded.count:,} of {total:,} normalisation{'s' * (total != 1)} folded into kernels"]
    for (name, reason, keyword, is_kernel, _), keys in sorted(groups.items(), key=lambda group: not group[0][3]):
        if is_kernel:
            who = _kernels_text(folded.graph, [*keys], keyword)
        else:
            who = f"{format_key(next(iter(keys)))} stays" if len(keys) == 1 else f"{name} stays, {len(keys):,} times"
        lines.append(f"{who}: {reason}")
    return lines


def _kernels_text(graph: Graph, keys: Sequence[Key], keyword: str) -> str:
    """`A@ℓ keeps its bn` for a whole family, or `A@2, A@3 keep their bn`."""
    name, tag = keys[0]
    family = [key for key in graph.parameters if key[0] == name and len(key[1]) == len(tag)]
    if len(keys) == len(family):
        return f"{_family_text(graph, name, len(tag))} keeps its {keyword}"
    if len(keys) == 1:
        return f"{format_key(keys[0])} keeps its {keyword}"
    more = ", …" * (len(keys) > _MOST_NAMES)
    return f"{', '.join(map(format_key, keys[:_MOST_NAMES]))}{more} keep their {keyword}"


def _family_text(graph: Graph, name: str, arity: int) -> str:
    """A kernel with the indices it depends on; a tied one has fewer than its declaration."""
    indices = graph.program.parameters[name].indices
    if arity < len(indices):
        indices = tuple(indices[place] for place in graph.program.ties[name].kept)
    return f"{name}@{','.join(indices)}" if indices else name


def summary_lines(graph: Graph, is_trained: bool = True) -> list[str]:
    """A table of levels, a line of totals, and notes. Parameters are counted as written, multiply-adds as computed.

    With `is_trained` false, everything that matters only in training is left out.
    """
    rows: list[tuple[str, ...]] = [("level", "shape", "parameters", "without sharing", "multiply-adds")]
    costs = cost_of_operations(graph)
    written = costs if graph.as_written is graph else cost_of_operations(graph.as_written, with_kept=False)
    first, count, last = without_middle(levels_of(graph.as_written))
    shown = [*first, *last]
    levels = costs_of_levels(graph, costs, shown, with_depth=False)
    of_written = levels if written is costs else costs_of_levels(graph.as_written, written, shown, with_depth=False)
    for at, level in of_written.items():
        if count and at == last[0]:
            rows.append((f"… {count:,} more levels (--json)", "", "", "", ""))
        shapes = ", ".join("×".join(map(str, shape)) or "a number" for shape in level.shapes)
        rows.append((level.name, shapes, *_level_figures(level.cost, levels[at].cost if at in levels else Cost())))
    cost = total_cost(graph, costs)
    before = cost if written is costs else total_cost(graph.as_written, written, with_depth=False)
    rows.append(("all", "", *_level_figures(before, cost)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines += [depth_text(cost, before) if is_trained else _layers_text(cost, before)]
    lines += [open_text(cost)] * bool(cost.open_sizes)
    return [*lines, *notes(graph)] if is_trained else lines


def _level_figures(written: Cost, cost: Cost) -> tuple[str, str, str]:
    """Parameters, parameters without sharing, multiply-adds."""
    return f"{written.parameters:,}", f"{written.unshared:,}", cost.of_size(f"{cost.multiply_adds:,}")


def depth_text(cost: Cost, written: Cost) -> str:
    if cost.open_sizes:
        return _layers_text(cost, written)
    return f"{_layers_text(cost, written)} · {short_bytes(cost.kept.each_image)} activations per image"


def open_text(cost: Cost) -> str:
    """The line that says which figures depend on open sizes, and how to get them."""
    names = " and ".join(cost.open_sizes)
    return f"multiply-adds and activations depend on {names}; `--input` states a size"


def _layers_text(cost: Cost, written: Cost) -> str:
    convolutions = f"{cost.convolutions:,} convolution{'s' * (cost.convolutions != 1)}"
    convolutions += f" ({written.convolutions:,} as written)" * (cost.convolutions != written.convolutions)
    return f"{convolutions} · depth {cost.depth:,}"


def notes(graph: Graph) -> list[str]:
    """One line for each parameter that nothing trains."""
    found = find_untrained(graph)
    return [f"note: nothing trains `{format_key(key)}`: {reason}" for key, reason in found.items()]


def facts(graph: Graph) -> dict[str, str]:
    """The figures of a network, for reports."""
    cost, written = cost_of_network(graph), cost_of_network(graph.as_written)
    return {
        "parameters": f"{written.parameters:,}",
        "parameters without sharing": f"{written.unshared:,}",
        "multiply-adds per image": cost.of_size(f"{cost.multiply_adds:,}"),
        "convolutions": f"{cost.convolutions:,}",
        "depth": f"{cost.depth:,}",
        "activations kept per image": cost.of_size(f"{cost.kept.each_image:,} bytes"),
    }


def summary_as_data(graph: Graph) -> dict[str, object]:
    """The summary as plain data, for `--json`.

    Parameters are those of the spec as written; all other figures are those of the generated module, for one image
    unless named `…_per_batch`. Memory is in bytes; figures that depend on open sizes are null. `levels` has the `name`,
    the `shapes` and the same figures for each level.
    """
    costs, written = cost_of_operations(graph), cost_of_operations(graph.as_written)
    shown = levels_of(graph.as_written)
    computed = costs_of_levels(graph, costs, shown)
    levels: list[dict[str, object]] = []
    for at, level in costs_of_levels(graph.as_written, written, shown).items():
        cost = computed[at].cost if at in computed else Cost()
        shapes = [[*map(formula_as_data, shape)] for shape in level.shapes]
        levels.append({"name": level.name, "shapes": shapes, **_cost_as_data(level.cost, cost)})
    totals = _cost_as_data(total_cost(graph.as_written, written), total_cost(graph, costs))
    return {"model": graph.program.model, **totals, "levels": levels, "notes": notes(graph)}


def formula_as_data(size: int) -> int | str:
    """A number, or the formula of an open size as text."""
    return str(size) if isinstance(size, SampledSize) else size


def _cost_as_data(written: Cost, cost: Cost) -> dict[str, object]:
    return {
        "parameters": written.parameters,
        "parameters_without_sharing": written.unshared,
        "multiply_adds": None if written.open_sizes else cost.multiply_adds,
        "convolutions": cost.convolutions,
        "depth": cost.depth,
        "kept_bytes_per_image": None if written.open_sizes else cost.kept.each_image,
        "kept_bytes_per_batch": None if written.open_sizes else cost.kept.each_batch,
    }
