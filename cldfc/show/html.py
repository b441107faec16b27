"""A network as a self-contained HTML page: picture, equations, kernels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from html import escape

from cldfc.algebra.linearity import operators_of
from cldfc.network.cost import cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.output import fill_page
from cldfc.show.comparison import Difference, difference_of, find_marks, sharing_text
from cldfc.show.drawing import Edge, Picture
from cldfc.show.layout import lay_out
from cldfc.show.legend import describe_boxes, parameter_rows
from cldfc.show.svg import DARK_SCREEN, STYLE, is_between, picture_parts
from cldfc.syntax import tree
from cldfc.syntax.format import format_equation, format_let

_WORD_BREAK = re.compile(r"(?<=\w)_(?=\w)")
"""The underscore in `a_{long_name}`, which LaTeX would read as a subscript of a subscript."""


def equations_as_mathml(spec: tree.Tree) -> str:
    """The equations, then the operators that they use, one formula each."""
    from latex2mathml.converter import convert  # pyright: ignore[reportMissingTypeStubs]

    equations = [s for s in spec.statements if isinstance(s, tree.Equation)]
    formulas = [format_equation(equation, 0, "latex") for equation in equations]
    formulas += [format_let(operator, 0, "latex") for operator in operators_of(spec)]
    return "\n".join(convert(_WORD_BREAK.sub(r"\_", latex)) for latex in formulas)


def draw_page(graph: Graph, is_full: bool = False, before: Graph | None = None) -> str:
    """An HTML page of a graph, with the differences from `before` marked."""
    picture = lay_out(graph, is_full)
    found = None if before is None else difference_of(before, graph)
    marked = frozenset[int]() if found is None else find_marks(found, graph, picture)
    return fill_page(
        "cldfc.show",
        "page.html",
        picture=picture,
        style=STYLE + DARK_SCREEN,
        svg=_interactive_svg(graph, picture, marked),
        before=before and before.program.model,
        changes=found and list(_changes(found)),
        equations=equations_as_mathml(graph.program.spec),
        rows=list(parameter_rows(graph)),
        numbers=_kernel_numbers(graph),
        joined=_joined,
        totals=_totals(graph),
    )


def _changes(found: Difference) -> Iterator[tuple[str, str]]:
    """The statements that differ, as `del` or `ins`, then what is shared differently."""
    for change in found.statements:
        before, after = change.texts()
        yield from [(kind, text) for kind, text in (("del", before), ("ins", after)) if text]
    yield from [("", sharing_text(family, *both)) for family, both in found.sharing.items()]


def _interactive_svg(graph: Graph, picture: Picture, marked: Collection[int]) -> str:
    """The picture, with the data on boxes and edges that the page's script needs."""
    numbers = _kernel_numbers(graph)
    about = describe_boxes(graph, picture.nodes)
    boxes = [
        f' data-info="{escape(text)}"'
        + (f' data-kernels="{_joined(numbers, node.parameters)}"' if node.parameters else "")
        for node, text in zip(picture.nodes, about, strict=True)
    ]
    lines = [_moving(edge, picture) if is_between(edge, picture) else "" for edge in picture.edges]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {picture.width:.0f} {picture.height:.0f}">',
            *picture_parts(picture, boxes, lines, marked),
            "</svg>",
        ]
    )


def _kernel_numbers(graph: Graph) -> dict[Key, int]:
    """A number for each kernel and scalar of the spec."""
    return {key: at for at, key in enumerate(key for key in graph.parameters if key[0] in graph.program.parameters)}


def _joined(numbers: dict[Key, int], keys: Sequence[Key]) -> str:
    return " ".join(str(numbers[key]) for key in keys)


def _moving(edge: Edge, picture: Picture) -> str:
    """The corners and the two levels of an edge between levels, which moves when a level is folded."""
    source, target = (picture.nodes[end].band for end in (edge.source, edge.target))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge.points)
    return f' data-points="{points}" data-bands="{source} {target}"'


def _totals(graph: Graph) -> dict[str, str]:
    """The cost of the graph by name, for the last table of the page."""
    cost = cost_of_network(graph)
    return {
        "parameters": f"{cost.parameters:,}",
        "without sharing": f"{cost.unshared:,}",
        "saved": f"{1 - cost.parameters / cost.unshared:.1%}" if cost.unshared else "",
        "multiply-adds for an image": cost.of_size(f"{cost.multiply_adds:,}"),
        "convolutions": f"{cost.convolutions:,}",
        "depth": f"{cost.depth:,}",
    }
