"""A network as one page that needs no network and no library: picture, equations, kernels.

The page, `page.html`, is well-formed XML, too. Zoom, hover, lighting up and collapsing are in `page.js`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape

from cldfc.network.cost import cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.output import fill_page
from cldfc.show.describe import describe_boxes
from cldfc.show.kernels import parameter_rows
from cldfc.show.layout import lay_out
from cldfc.show.marks import Difference, difference_of, find_marks, sharing_text
from cldfc.show.mathml import equations_as_mathml
from cldfc.show.shapes import Edge, Picture
from cldfc.show.svg import DARK_SCREEN, STYLE, is_between, picture_parts


def draw_page(graph: Graph, is_full: bool = False, before: Graph | None = None) -> str:
    """A network as it is given, as an HTML page; what it has differently from the network `before` is marked."""
    picture = lay_out(graph, is_full)
    found = None if before is None else difference_of(before, graph)
    marked = frozenset[int]() if found is None else find_marks(found, graph, picture)
    return fill_page(
        "cldfc.show",
        "page.html",
        picture=picture,
        style=STYLE + DARK_SCREEN,
        svg=interactive_svg(graph, picture, marked),
        before=before and before.program.model,
        changes=found and list(changes(found)),
        equations=equations_as_mathml(graph.program.spec),
        rows=list(parameter_rows(graph)),
        numbers=kernel_numbers(graph),
        joined=joined,
        totals=totals(graph),
    )


def changes(found: Difference) -> Iterator[tuple[str, str]]:
    """The statements that another network has differently, `del` or `ins`, and what both share."""
    for change in found.statements:
        before, after = change.texts()
        yield from [(kind, text) for kind, text in (("del", before), ("ins", after)) if text]
    yield from [("", sharing_text(family, *both)) for family, both in found.sharing.items()]


def interactive_svg(graph: Graph, picture: Picture, marked: Collection[int]) -> str:
    """The picture with what the page's script needs to know of boxes and edges."""
    numbers = kernel_numbers(graph)
    about = describe_boxes(graph, picture.nodes)
    boxes = [
        f' data-info="{escape(text)}"'
        + (f' data-kernels="{joined(numbers, node.parameters)}"' if node.parameters else "")
        for node, text in zip(picture.nodes, about, strict=True)
    ]
    lines = [moving(edge, picture) if is_between(edge, picture) else "" for edge in picture.edges]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {picture.width:.0f} {picture.height:.0f}">',
            *picture_parts(picture, boxes, lines, marked),
            "</svg>",
        ]
    )


def kernel_numbers(graph: Graph) -> dict[Key, int]:
    """A number for each kernel and scalar of the spec."""
    return {key: at for at, key in enumerate(key for key in graph.parameters if key[0] in graph.program.parameters)}


def joined(numbers: dict[Key, int], keys: Sequence[Key]) -> str:
    """The numbers of some kernels."""
    return " ".join(str(numbers[key]) for key in keys)


def moving(edge: Edge, picture: Picture) -> str:
    """The corners of an edge that runs between levels, and which, for it moves when one is folded."""
    source, target = (picture.nodes[end].band for end in (edge.source, edge.target))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge.points)
    return f' data-points="{points}" data-bands="{source} {target}"'


def totals(graph: Graph) -> dict[str, str]:
    """What the network costs as it is given."""
    cost = cost_of_network(graph)
    return {
        "parameters": f"{cost.parameters:,}",
        "without sharing": f"{cost.unshared:,}",
        "saved": f"{1 - cost.parameters / cost.unshared:.1%}" if cost.unshared else "",
        "multiply-adds for an image": f"{cost.multiply_adds:,}",
        "convolutions": f"{cost.convolutions:,}",
        "depth": f"{cost.depth:,}",
    }
