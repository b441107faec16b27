"""A laid-out network as SVG: text for a file of its own, or for a page."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape

from cldfc.network.graph import Graph
from cldfc.show.boxes import LINE
from cldfc.show.comparison import difference
from cldfc.show.labels import Label
from cldfc.show.layout import Edge, Frame, Node, Picture, Point, Rectangle, lay_out
from cldfc.show.legend import Entry, place_legend
from cldfc.show.marks import find_marks
from cldfc.show.measure import SIZE, SMALL, label_width, text_width

STYLE = """
text{font-family:"DejaVu Sans",Verdana,Helvetica,sans-serif;font-size:13px;fill:#1f2328}
.small{font-size:9.5px}.soft{fill:#636c76}.name{font-weight:bold}.middle,.minus{text-anchor:middle}.end{text-anchor:end}
.symbol{font-style:italic}.band{fill:#f5f7fa}.frame{fill:#fff;stroke:#d5dae1}
.edge{fill:none;stroke:#59636e;stroke-width:1.2}.dot{fill:#59636e}
.kernel rect{fill:#fff;stroke:#1f2328}.operator rect{fill:#eceff3;stroke:#d0d7de}
.merge rect{fill:#fff;stroke:#59636e}.value rect{fill:#fdf3d1;stroke:#d4a72c}
.shared rect{stroke:none}.shared text{fill:#fff}
.marked rect{stroke:#cf222e;stroke-width:2.4;stroke-dasharray:5 2.5}
"""
ROUND = 5.0


def draw_svg(graph: Graph, is_full: bool = False, before: Graph | None = None) -> str:
    """A network as it is given, as a file of its own with a legend of what is shared.

    What it has differently from the network `before` is marked.
    """
    picture = lay_out(graph, is_full)
    marked = frozenset[int]() if before is None else find_marks(difference(before, graph), graph, picture)
    note = "" if before is None else f"dashed: not so in {before.program.model}"
    entries, width, height = place_legend(graph, picture, note)
    parts = picture_parts(picture, [""] * len(picture.nodes), [""] * len(picture.edges), marked)
    body = [*parts, *(part for entry in entries for part in entry_parts(entry))]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
            f"<title>{escape(picture.model)}</title>",
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def picture_parts(
    picture: Picture, boxes: Sequence[str], lines: Sequence[str], marked: Collection[int]
) -> Iterator[str]:
    """Bands, frames, edges and boxes, from the back to the front.

    `boxes` and `lines` are more attributes for each box and each edge; `marked` are numbers of boxes.
    """
    yield ARROW
    for band in picture.bands:
        name = band_name(band.place, band.name, band.shape)
        yield f'<g class="level">{rectangle(band.place, 8, "band")}{name}</g>'
    for frame in picture.frames:
        yield from frame_parts(frame)
    for edge, more in zip(picture.edges, lines, strict=True):
        yield from edge_parts(edge, picture, more)
    for at, (node, more) in enumerate(zip(picture.nodes, boxes, strict=True)):
        yield node_part(node, more, " marked" * (at in marked))


ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
    '<path class="dot" d="M0 1L8 4L0 7z"/></marker></defs>'
)


def band_name(place: Rectangle, name: str, shape: str) -> str:
    """The name of a level and the shape of its values, at the left."""
    _, y = place.middle
    texts = [text(14, y - (1 if shape else -4), name, "name")] if name else []
    return "".join([*texts, text(14, y + 14, shape, "small soft") if shape else ""])


def frame_parts(frame: Frame) -> Iterator[str]:
    """A frame; one that stands for several steps lies on two more."""
    p = frame.place
    for shift in (5, 2.5, 0) if frame.is_folded else (0,):
        yield rectangle(Rectangle(p.x + shift, p.y + shift, p.width, p.height), 7, f"frame in-{frame.band}")


def edge_parts(edge: Edge, picture: Picture, more: str) -> Iterator[str]:
    """A line with rounded corners and an arrow at its end."""
    band = picture.nodes[edge.target].band
    where = "between" if is_between(edge, picture) else f"in-{band}"
    yield f'<path class="edge {where}" d="{path(edge.points)}" marker-end="url(#arrow)"{more}/>'
    if edge.minus is not None:
        yield text(edge.minus[0], edge.minus[1] + 4, "−", f"minus in-{band}")


def is_between(edge: Edge, picture: Picture) -> bool:
    """Whether an edge leads from one level to another."""
    return picture.nodes[edge.source].band != picture.nodes[edge.target].band


def path(points: Sequence[Point]) -> str:
    """The commands of a line through some points, with rounded corners."""
    commands = [f"M{number(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = towards(corner, before), towards(corner, after)
        commands.append(f"L{number(enter)}Q{number(corner)} {number(leave)}")
    return "".join([*commands, f"L{number(points[-1])}"])


def towards(corner: Point, other: Point) -> Point:
    """A point near a corner, on the way to another."""
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(ROUND, length / 2) / length
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def number(point: Point) -> str:
    """Two coordinates with a digit after the point."""
    return f"{point[0]:.1f} {point[1]:.1f}"


def node_part(node: Node, more: str, mark: str) -> str:
    """A box with what is written on it."""
    classes = f"node {node.kind}{' shared' if node.colour else ''} in-{node.band}{mark}"
    fill = f' style="fill:{node.colour}"' if node.colour else ""
    radius = 4.0 if node.kind in ("kernel", "operator") else min(10.0, node.place.height / 2)
    (x, y), is_symbol = node.place.middle, node.kind == "value" or bool(node.parameters)
    first = y - LINE * len(node.lines) / 2 + 4.5
    texts = [label_text(x, first, node.label, is_symbol), *lines_text(x, first, node.lines)]
    return f'<g class="{classes}"{more}>{rectangle(node.place, radius, "", fill)}{"".join(texts)}</g>'


def lines_text(x: float, y: float, lines: Sequence[str]) -> Iterator[str]:
    """The lines below the name of a value."""
    for at, line in enumerate(lines, 1):
        yield text(x, y + LINE * at, line, "small soft middle")


def label_text(x: float, y: float, label: Label, is_symbol: bool) -> str:
    """A name with its raised tag and its mark, in the middle of a box.

    The parts are texts of their own around a point, for renderers disagree about parts of a text in the middle.
    """
    style = "symbol" if is_symbol else ""
    if not label.tag and not label.mark:
        return text(x, y, label.name, f"middle {style}".rstrip())
    start = x - label_width(label) / 2 + text_width(label.name, SIZE)
    mark = start + text_width(label.tag, SMALL)
    parts = [text(start, y, label.name, f"end {style}".rstrip())]
    parts += [text(start + 0.5, y - 5, label.tag, "small")] if label.tag else []
    parts += [text(mark + 2, y + 1, label.mark, "small")] if label.mark else []
    return "".join(parts)


def rectangle(place: Rectangle, radius: float, classes: str, more: str = "") -> str:
    """A rectangle with round corners."""
    attribute = f' class="{classes}"' if classes else ""
    return (
        f'<rect{attribute} x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" '
        f'rx="{radius:g}"{more}/>'
    )


def text(x: float, y: float, content: str, classes: str) -> str:
    """A text at a place."""
    attribute = f' class="{classes}"' if classes else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attribute}>{escape(content)}</text>'


def entry_parts(entry: Entry) -> Iterator[str]:
    """An entry of the legend."""
    x, y, label = entry.x + 20 * bool(entry.colour), entry.y + 14.5, entry.label
    if entry.colour:
        yield rectangle(Rectangle(entry.x, entry.y + 4, 14, 14), 3, "", f' fill="{entry.colour}"')
    if label.name:
        yield label_text(x + label_width(label) / 2, y, label, True)
    yield text(x + label_width(label) + 5 * bool(label.name), y, entry.text.strip(), "small")
