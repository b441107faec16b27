"""A network as one page that needs no network and no library: picture, equations, kernels.

The page is well-formed XML, too. Zoom, hover, lighting up and collapsing are in `page.js`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from importlib.resources import files

from cldfc.network.cost import cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.positions import Key
from cldfc.show.comparison import Difference, difference, sharing_text
from cldfc.show.describe import describe
from cldfc.show.kernels import KernelRow, parameter_rows
from cldfc.show.layout import lay_out
from cldfc.show.marks import find_marks
from cldfc.show.mathml import equations_as_mathml
from cldfc.show.shapes import Edge, Picture
from cldfc.show.svg import DARK_SCREEN, STYLE, is_between, picture_parts

HINT = (
    "wheel, + −: zoom · drag, arrows: move · double click, 0: all of it · "
    "click a kernel: its uses · click a level: fold it · or Tab and Enter"
)


def draw_page(graph: Graph, is_full: bool = False, before: Graph | None = None) -> str:
    """A network as it is given, as an HTML page; what it has differently from the network `before` is marked."""
    picture, rows = lay_out(graph, is_full), list(parameter_rows(graph))
    title, found = escape(picture.model), None if before is None else difference(before, graph)
    marked = frozenset[int]() if found is None else find_marks(found, graph, picture)
    return f"""<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>{STYLE}{DARK_SCREEN}{asset("page.css")}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{interactive_svg(graph, picture, marked)}
<p>{HINT}</p>
</main>
<aside>
{"" if before is None or found is None else changes(before.program.model, found)}
<section class="equations"><h2>Equations</h2>
{equations_as_mathml(graph.program.spec)}
</section>
<section class="kernels"><h2>Kernels</h2>
{kernel_table(graph, rows)}
</section>
<section class="totals"><h2>In all</h2>
{totals(graph)}
</section>
</aside>
<div id="tip"></div>
<script>//<![CDATA[
{asset("page.js")}//]]></script>
</body>
</html>
"""


def asset(name: str) -> str:
    """The text of a file beside this module."""
    return files("cldfc.show").joinpath(name).read_text(encoding="utf-8")


def changes(model: str, found: Difference) -> str:
    """The statements that another network has differently, and what both share."""
    lines: list[str] = []
    for change in found.statements:
        before, after = change.texts()
        lines += [f"<p><del>{escape(before)}</del></p>"] if before else []
        lines += [f"<p><ins>{escape(after)}</ins></p>"] if after else []
    lines += [f"<p>{escape(sharing_text(family, *both))}</p>" for family, both in found.sharing.items()]
    body = "\n".join(lines) or "<p>no difference</p>"
    return f'<section class="changes"><h2>Not so in {escape(model)}</h2>\n{body}\n</section>'


def interactive_svg(graph: Graph, picture: Picture, marked: Collection[int]) -> str:
    """The picture with what the page's script needs to know of boxes and edges."""
    numbers = kernel_numbers(graph)
    about = describe(graph, picture.nodes)
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


def kernel_table(graph: Graph, rows: Sequence[KernelRow]) -> str:
    """All that is stored; kernels each with the numbers of what a row stands for, by which they light up."""
    numbers = kernel_numbers(graph)
    head = "<tr><th>kernel</th><th>shape</th>" + "".join(
        f'<th class="number">{name}</th>' for name in ("uses", "parameters", "saved")
    )
    return "\n".join(
        ["<table><thead>", f"{head}</tr></thead><tbody>", *(row_text(r, numbers) for r in rows), "</tbody></table>"]
    )


def row_text(row: KernelRow, numbers: dict[Key, int]) -> str:
    """One row."""
    colour = f' style="background:{row.colour}"' if row.colour else ""
    mark, lit = (f"<i{colour}></i>", f' data-kernels="{joined(numbers, row.keys)}"') if row.is_kernel else ("", "")
    figures = (f"{row.uses:,}", f"{row.parameters:,}", f"{row.saved:,}" if row.saved else "")
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    return f"<tr{lit}><td>{mark}{escape(row.name)}</td><td>{escape(row.shape)}</td>{cells}</tr>"


def totals(graph: Graph) -> str:
    """What the network costs as it is given."""
    cost = cost_of_network(graph)
    facts = {
        "parameters": f"{cost.parameters:,}",
        "without sharing": f"{cost.unshared:,}",
        "saved": f"{1 - cost.parameters / cost.unshared:.1%}" if cost.unshared else "",
        "multiply-adds for an image": f"{cost.multiply_adds:,}",
        "convolutions": f"{cost.convolutions:,}",
        "layers deep": f"{cost.depth:,}",
    }
    return "\n".join(["<table>", *fact_rows(facts), "</table>"])


def fact_rows(facts: dict[str, str]) -> Iterator[str]:
    """Names and figures."""
    for name, figure in facts.items():
        yield f'<tr><td>{escape(name)}</td><td class="number">{escape(figure)}</td></tr>'
