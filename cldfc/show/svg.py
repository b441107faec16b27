"""A laid-out network as SVG, for a file or for a page.

Uses only what `pdf.py` can read: rectangles, paths of M, L and Q, and texts, with the classes of `STYLE`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from cldfc.network.graph import Graph
from cldfc.show.blocks import BoxLabel, short_names
from cldfc.show.boxes import LINE, SIZE, SMALL, label_width, text_width
from cldfc.show.comparison import difference_of, find_marks
from cldfc.show.drawing import DrawnBox, Edge, Frame, LoopArrow, Picture, Point, Rectangle, Width
from cldfc.show.layout import lay_out

STYLE = """
text{font-family:"DejaVu Sans",Verdana,Helvetica,sans-serif;font-size:13px;fill:#1f2328}
.small{font-size:10px}.soft{fill:#57606a}.middle,.minus{text-anchor:middle}.end{text-anchor:end}
.symbol{font-style:italic}.band{fill:#f1f4f8}.frame{fill:#fff;stroke:#d5dae1}
.edge{fill:none;stroke:#59636e;stroke-width:1.2}
.from0{stroke:#9a6700}.from1{stroke:#0969da}.from2{stroke:#1a7f37}.from3{stroke:#bf3989}
.kernel rect{fill:#fff;stroke:#1f2328}.operator rect{fill:#eceff3;stroke:#d0d7de}
.merge rect{fill:#fff;stroke:#59636e}.value rect{fill:#f6f8fa;stroke:#59636e}
.hue0 rect{fill:#fdf3d1;stroke:#9a6700}.hue1 rect{fill:#ddf0ff;stroke:#0969da}
.hue2 rect{fill:#dcf5e3;stroke:#1a7f37}.hue3 rect{fill:#ffe6f3;stroke:#bf3989}
.shared rect{stroke:none}.shared text{fill:#fff}
.marked rect{stroke:#cf222e;stroke-width:2.4;stroke-dasharray:5 2.5}
"""
"""If several rules apply, the last one wins."""
_DARK = """
text{fill:#e6edf3}.soft{fill:#9aa4af}.band{fill:#1c2128}.frame{fill:#0d1117;stroke:#373e47}.paper{fill:#0d1117}
.edge{stroke:#9aa4af}.from0{stroke:#d9a634}.from1{stroke:#58a6ff}.from2{stroke:#56d364}.from3{stroke:#f778ba}
.kernel rect{fill:#0d1117;stroke:#cdd5de}.operator rect{fill:#2d333b;stroke:#444c56}
.merge rect{fill:#0d1117;stroke:#9aa4af}.value rect{fill:#22272e;stroke:#9aa4af}
.hue0 rect{fill:#3a2d05;stroke:#d9a634}.hue1 rect{fill:#0b2a4d;stroke:#58a6ff}
.hue2 rect{fill:#0f3320;stroke:#56d364}.hue3 rect{fill:#42182f;stroke:#f778ba}
.shared rect{stroke:none}.shared text{fill:#fff}.marked rect{stroke:#ff7b72}
"""
"""Overrides for dark mode."""
DARK_SCREEN = f"@media screen and (prefers-color-scheme:dark){{{_DARK}}}\n"
_LINE_HEIGHT, _LEFT, _BETWEEN = 22.0, 14.0, 20.0
_ROUND, _POINT = 5.0, 5.0
"""Radius of a corner; length and width of an arrowhead."""
_HUES, _CORNERS = 4, (10.0, 2.0)
"""Number of colours, and corner radii, that tell values of different names apart; a fifth name starts over."""


def draw_svg(graph: Graph, is_full: bool = False, before: Graph | None = None, width: Width | None = None) -> str:
    """An SVG file of a graph, with a legend of shared kernels and scalars.

    Differences from the network `before` are marked. With `width`, lines are only as long as remains readable there.
    """
    return _svg_of(graph, lay_out(graph, is_full, width and width.room), before, width)


def draw_for_page(graph: Graph) -> str:
    """An SVG for a page: laid out for A4 with 2 cm margins, and with a dark mode."""
    return _svg_of(graph, lay_out(graph, room=Width(17, "cm").room), style=STYLE + DARK_SCREEN)


def _svg_of(
    graph: Graph, picture: Picture, before: Graph | None = None, width: Width | None = None, style: str = STYLE
) -> str:
    marked = frozenset[int]() if before is None else find_marks(difference_of(before, graph), graph, picture)
    note = "" if before is None else f"dashed: differs from {before.program.model}"
    entries, right, bottom = _place_legend(graph, picture, note)
    parts = picture_parts(picture, [""] * len(picture.nodes), [""] * len(picture.edges), marked)
    body = [*parts, *(part for entry in entries for part in _entry_parts(entry))]
    size = width.size(right, bottom) if width else f'width="{right:.0f}" height="{bottom:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {right:.0f} {bottom:.0f}" role="img">',
            f"<title>{escape(picture.model)}</title>",
            f"<style>{style}</style>",
            '<rect class="paper" width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def picture_parts(
    picture: Picture, boxes: Sequence[str], lines: Sequence[str], marked: Collection[int]
) -> Iterator[str]:
    """Bands, frames, edges and boxes, from back to front.

    `boxes` and `lines` are additional attributes of each box and edge; `marked` has numbers of boxes.
    """
    for band in picture.bands:
        name = "".join(_band_name(band.place, band.name, band.sizes))
        yield f'<g class="level">{_rectangle(band.place, 8, "band")}{name}</g>'
    for frame in picture.frames:
        yield from _frame_parts(frame)
    for loop in picture.loops:
        yield from _loop_parts(loop)
    for edge, more in zip(picture.edges, lines, strict=True):
        yield from _edge_parts(edge, picture, more)
    for at, (node, more) in enumerate(zip(picture.nodes, boxes, strict=True)):
        yield _node_part(node, more, " marked" * (at in marked))


def _band_name(place: Rectangle, name: str, sizes: Sequence[str]) -> Iterator[str]:
    lines = [(name, "")] * bool(name) + [(size, "small soft") for size in sizes]
    y = place.middle[1] - (LINE + 2) * (len(lines) - 1) / 2 + 4
    for at, (line, classes) in enumerate(lines):
        yield _text(14, y + (LINE + 2) * at, line, classes)


def _frame_parts(frame: Frame) -> Iterator[str]:
    """A frame; for folded steps, a stack of three."""
    p = frame.place
    for shift in (5, 2.5, 0) if frame.is_folded else (0,):
        yield _rectangle(Rectangle(p.x + shift, p.y + shift, p.width, p.height), 7, f"frame in-{frame.band}")


def _loop_parts(loop: LoopArrow) -> Iterator[str]:
    """The label of folded steps, on the line that leads back to their frame, if there is one."""
    (x, y), width = loop.middle, text_width(loop.text, SMALL) + 8
    if loop.points:
        yield f'<path class="edge{_hue("from", loop.hue)} in-{loop.band}" d="{_path(loop.points)}"/>'
        yield _rectangle(Rectangle(x - width / 2, y - 7, width, 14), 0, f"band in-{loop.band}")
    yield _text(x, y + 3.5, loop.text, f"small middle in-{loop.band}")


def _edge_parts(edge: Edge, picture: Picture, more: str) -> Iterator[str]:
    source, band = picture.nodes[edge.source], picture.nodes[edge.target].band
    where = "between" if is_between(edge, picture) else f"in-{band}"
    yield f'<path class="edge{_hue("from", source.hue)} {where}" d="{_path(edge.points)}"{more}/>'
    if edge.minus is not None:
        yield _text(edge.minus[0], edge.minus[1] + 4, "−", f"minus in-{band}")


def is_between(edge: Edge, picture: Picture) -> bool:
    return picture.nodes[edge.source].band != picture.nodes[edge.target].band


def _hue(kind: str, number: int | None) -> str:
    """The CSS class of values of one name, or of the edges that leave them."""
    return "" if number is None else f" {kind}{number % _HUES}"


def _path(points: Sequence[Point]) -> str:
    """Path commands for a line through points, with rounded corners and an arrowhead."""
    commands = [f"M{_point_text(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _towards(corner, before), _towards(corner, after)
        commands.append(f"L{_point_text(enter)}Q{_point_text(corner)} {_point_text(leave)}")
    (x, y), (ahead, down) = points[-1], _direction(points[-2], points[-1])
    first, second = (
        (x - _POINT * (ahead - side * down / 2), y - _POINT * (down + side * ahead / 2)) for side in (1, -1)
    )
    return "".join(
        [*commands, f"L{_point_text(points[-1])}", f"M{_point_text(first)}L{_point_text((x, y))}L{_point_text(second)}"]
    )


def _direction(start: Point, end: Point) -> Point:
    """The unit vector along a horizontal or vertical segment."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1]) or 1
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length


def _towards(corner: Point, other: Point) -> Point:
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(_ROUND, length / 2) / length
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def _point_text(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _node_part(node: DrawnBox, more: str, mark: str) -> str:
    classes = f"node {node.kind}{_hue('hue', node.hue)}{' shared' if node.colour else ''} in-{node.band}{mark}"
    fill = f' style="fill:{node.colour}"' if node.colour else ""
    round = _CORNERS[(node.hue or 0) % len(_CORNERS)] if node.kind == "value" else 10.0
    radius = 4.0 if node.kind in ("kernel", "operator") else min(round, node.place.height / 2)
    (x, y), is_symbol = node.place.middle, node.kind == "value" or bool(node.parameters)
    first = y - LINE * len(node.lines) / 2 + 4.5
    texts = [_label_text(x, first, node.label, is_symbol)]
    texts += [_text(x, first + LINE * at, line, "small soft middle") for at, line in enumerate(node.lines, 1)]
    return f'<g class="{classes}"{more}>{_rectangle(node.place, radius, "", fill)}{"".join(texts)}</g>'


def _label_text(x: float, y: float, label: BoxLabel, is_symbol: bool) -> str:
    """A name with its superscript tag and its mark, centred at `x`.

    Each part is a text element of its own, because renderers disagree about centring a text with several parts.
    """
    style = "symbol" if is_symbol else ""
    if not label.raised and not label.mark:
        return _text(x, y, label.name, f"middle {style}".rstrip())
    start = x - label_width(label) / 2 + text_width(label.name, SIZE)
    mark = start + text_width(label.raised, SMALL)
    parts = [_text(start, y, label.name, f"end {style}".rstrip())]
    parts += [_text(start + 0.5, y - 5, label.raised, "small")] if label.raised else []
    parts += [_text(mark + 2, y + 1, label.mark, "small")] if label.mark else []
    return "".join(parts)


def _rectangle(place: Rectangle, radius: float, classes: str, more: str = "") -> str:
    attribute = f' class="{classes}"' if classes else ""
    return (
        f'<rect{attribute} x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" '
        f'rx="{radius:g}"{more}/>'
    )


def _text(x: float, y: float, content: str, classes: str) -> str:
    """A text element; `textLength` keeps its measured width in any font."""
    attribute = f' class="{classes}"' if classes else ""
    wide = text_width(content, SMALL if "small" in classes.split() else SIZE)
    length = f' textLength="{wide:.1f}"' if len(content) > 1 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attribute}{length}>{escape(content)}</text>'


def _entry_parts(entry: _LegendEntry) -> Iterator[str]:
    x, y, label = entry.x + 20 * bool(entry.colour), entry.y + 14.5, entry.label
    if entry.colour:
        yield _rectangle(Rectangle(entry.x, entry.y + 4, 14, 14), 3, "", f' style="fill:{entry.colour}"')
    if label.name:
        yield _label_text(x + label_width(label) / 2, y, label, True)
    yield _text(x + label_width(label) + 5 * bool(label.name), y, entry.text, "small")


@dataclass(frozen=True, slots=True)
class _LegendEntry:
    """A colour with the kernel that has it, a name with the operators it stands for, or a note."""

    x: float
    y: float
    colour: str
    label: BoxLabel
    text: str

    @property
    def width(self) -> float:
        return (
            20 * bool(self.colour) + label_width(self.label) + 5 * bool(self.label.name) + text_width(self.text, SMALL)
        )


def _place_legend(graph: Graph, picture: Picture, note: str) -> tuple[list[_LegendEntry], float, float]:
    """The legend entries below a picture, in lines that fill its width, and the size of picture and legend together.

    `note`, unless empty, is the last entry.
    """
    entries: list[_LegendEntry] = []
    x, y, right = _LEFT, picture.height + 6, picture.width
    for colour, label, content in [*_legend_texts(graph, picture), *([("", BoxLabel(""), note)] if note else [])]:
        entry = _LegendEntry(x, y, colour, label, content)
        if x + entry.width > picture.width and x > _LEFT:
            y += _LINE_HEIGHT
            entry = _LegendEntry(_LEFT, y, colour, label, content)
        entries.append(entry)
        x = entry.x + entry.width + _BETWEEN
        right = max(right, x - _BETWEEN + _LEFT)
    return entries, right, y + _LINE_HEIGHT + 6 if entries else picture.height


def _legend_texts(graph: Graph, picture: Picture) -> Iterator[tuple[str, BoxLabel, str]]:
    """Colours with the kernel and its number of uses; then names with the operators they stand for."""
    uses, seen = graph.as_written.uses, set[str]()
    for node in picture.nodes:
        if node.colour is not None and node.colour not in seen:
            seen.add(node.colour)
            name = BoxLabel(node.label.name, node.label.tag)
            yield node.colour, name, f"{sum(uses[key] for key in node.parameters)} uses"
    shown = {word for node in picture.nodes if node.kind == "operator" for word in node.label.name.split(" ")}
    for chain, name in short_names(graph.program.spec).items():
        if name in shown:
            yield "", BoxLabel(name), f"= {' ∘ '.join(reversed(chain))}"
