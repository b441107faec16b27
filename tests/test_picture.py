"""Pictures in files: what is in them, where it stands, and what a browser makes of the page."""

import json
import re
import shutil
import subprocess
import sys
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from networks import ROOT, need_cairo
from random_specs import random_specs
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.show.colours import colour
from cldfc.show.html import draw_page
from cldfc.show.layout import Rectangle, lay_out
from cldfc.show.measure import label_width
from cldfc.show.svg import draw_svg
from cldfc.syntax.read import read_source

SPECS = {
    path.stem: path
    for path in [
        *(ROOT / "specs" / f"{name}.cldf" for name in ("preact18_Al", "fbresnet", "resnet34", "preact34", "unet")),
        *(ROOT / "tests/golden/compile" / f"{n}.cldf" for n in ("v_cycle", "nested_reductions", "w_cycle", "lista")),
    ]
}
SMALL = [ROOT / "examples" / f"{name}.cldf" for name in ("01_one_iteration", "07_up_and_down")]
every_spec = pytest.mark.parametrize("name", SPECS)
SVG = "{http://www.w3.org/2000/svg}"


def network(name):
    return Compilation(read_source(SPECS[name])).written


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def meets(start, end, box: Rectangle) -> bool:
    """Whether a piece of a line runs through the inside of a box; to touch its border is no harm."""
    (left, right), (top, bottom) = (sorted(pair) for pair in zip(start, end, strict=True))
    inside = 0.01
    across = left < box.x + box.width - inside and right > box.x + inside
    return across and top < box.y + box.height - inside and bottom > box.y + inside


def check_boxes(picture):
    """Boxes do not overlap, and labels fit into them."""
    for one, other in combinations(picture.nodes, 2):
        assert not overlap(one.place, other.place), (one.label, other.label)
    for node in picture.nodes:
        assert label_width(node.label) <= node.place.width, node.label


def check_edges(picture):
    """Edges start and end at their boxes, and run through none."""
    for edge in picture.edges:
        source, target = picture.nodes[edge.source].place, picture.nodes[edge.target].place
        assert edge.points[0][0] == source.x + source.width
        assert source.y < edge.points[0][1] < source.y + source.height
        x, y = edge.points[-1]
        assert (x == target.x and target.y < y < target.y + target.height) or (
            target.x < x < target.x + target.width and y in (target.y, target.y + target.height)
        )
        for start, end in pairwise(edge.points):
            assert start[0] == end[0] or start[1] == end[1]
            for node in picture.nodes:
                assert not meets(start, end, node.place), (edge, node.label)


def check_lines(picture):
    """Edges that have neither end in common do not run on one line."""
    pieces = [(edge, start, end) for edge in picture.edges for start, end in pairwise(edge.points)]
    for (one, a, b), (other, c, d) in combinations(pieces, 2):
        if one.source == other.source or one.target == other.target:
            continue
        for axis in (0, 1):
            if a[axis] == b[axis] == c[axis] == d[axis]:
                low = max(min(a[1 - axis], b[1 - axis]), min(c[1 - axis], d[1 - axis]))
                high = min(max(a[1 - axis], b[1 - axis]), max(c[1 - axis], d[1 - axis]))
                assert high - low < 1, (one, other)


@pytest.mark.parametrize("is_full", [False, True], ids=["folded", "full"])
@pytest.mark.parametrize("check", [check_boxes, check_edges, check_lines], ids=lambda check: check.__name__)
@every_spec
def test_nothing_overlaps(name, check, is_full):
    check(lay_out(network(name), is_full))


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_specs())
def test_nothing_overlaps_in_the_pictures_of_random_specs(text):
    graph = Compilation(Source("random.cldf", text)).written
    for is_full in (False, True):
        picture = lay_out(graph, is_full)
        for check in (check_boxes, check_edges, check_lines):
            check(picture)
    ElementTree.fromstring(draw_svg(graph))
    ElementTree.fromstring(draw_page(graph))


@pytest.mark.parametrize("name", ["preact18_Al", "fbresnet", "resnet34", "nested_reductions"])
def test_the_full_picture_has_the_edges_of_the_graph(name):
    graph = network(name)
    picture = lay_out(graph, True)
    part_of = {
        at: number for number, node in enumerate(picture.nodes) if node.kind != "value" for at in node.operations
    }
    value_of = {node.operations[0]: number for number, node in enumerate(picture.nodes) if node.kind == "value"}
    drawn = {(edge.source, edge.target) for edge in picture.edges if picture.nodes[edge.target].kind != "value"}
    wanted = set()
    for source, target in graph.net.edges():
        is_same = graph.node(source).instance == graph.node(target).instance
        if is_same and source not in part_of:
            continue
        ends = (part_of if is_same else value_of)[source], part_of[target]
        wanted |= {ends} if ends[0] != ends[1] else set()
    assert drawn == wanted


def test_many_steps_are_one_block():
    picture = lay_out(network("resnet34"))
    folded = [node for node in picture.nodes if node.lines and "i = " in node.lines[0]]
    assert [node.lines[0] for node in folded] == ["i = 1:3", "i = 1:3", "i = 1:5", "i = 1:2"]
    assert len(lay_out(network("resnet34"), True).nodes) > 2 * len(picture.nodes)


def test_a_shared_kernel_has_one_colour_and_others_have_none():
    nodes = lay_out(network("fbresnet")).nodes
    colours = {}
    for node in nodes:
        for key in node.parameters:
            colours.setdefault(key, set()).add(node.colour)
    shared = {key for key in colours if key[0] == "A"}
    assert all(len(found) == 1 for found in colours.values())
    assert {key for key, found in colours.items() if found != {None}} == shared
    assert len({found.copy().pop() for key, found in colours.items() if key in shared}) == 4


@every_spec
def test_the_svg_is_well_formed_and_has_a_group_for_each_box(name):
    graph = network(name)
    root = ElementTree.fromstring(draw_svg(graph))
    boxes = [group for group in root.iter(f"{SVG}g") if group.get("class", "").startswith("node ")]
    assert len(boxes) == len(lay_out(graph).nodes)
    left, top, width, height = map(float, root.get("viewBox").split())
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("x") is not None:
            assert left <= float(rect.get("x"))
            assert float(rect.get("x")) + float(rect.get("width")) <= width + 1
            assert top <= float(rect.get("y"))
            assert float(rect.get("y")) + float(rect.get("height")) <= height + 1


@every_spec
def test_the_page_is_well_formed_small_and_asks_for_nothing_from_outside(name):
    page = draw_page(network(name))
    root = ElementTree.fromstring(page)
    assert len(page.encode()) < 100_000
    assert not re.search(r"""(src|href)=|@import|url\((?!#)""", page)
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert addresses == {
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
    }
    assert len(list(root.iter("{http://www.w3.org/1998/Math/MathML}math"))) > 1


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_svg(path, golden):
    svg = draw_svg(Compilation(read_source(path)).written)
    golden(ROOT / "tests" / "golden" / "show" / f"{path.stem}.svg", svg)


def test_white_text_can_be_read_on_every_colour():
    for at in range(60):
        parts = [int(colour(at)[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5, (at, colour(at))  # WCAG 2.2, 1.4.3


def test_what_differs_from_another_network_is_marked():
    before, after = (
        Compilation(read_source(ROOT / "specs" / f"{n}.cldf")).written for n in ("preact18", "preact18_Al")
    )
    root = ElementTree.fromstring(draw_svg(after, before=before))
    marked = [group for group in root.iter(f"{SVG}g") if "marked" in group.get("class", "").split()]
    texts = ["".join(text.text for text in group.iter(f"{SVG}text")) for group in marked]
    kernels = [text for text in texts if text[0] == "A"]
    values = [text.split("\N{MULTIPLICATION SIGN}")[0] for text in texts if text[0] == "r"]
    assert sorted(kernels) == ["A1", "A1", "A2", "A2", "A3", "A3", "A4", "A4"]
    assert sorted(value[:4] for value in values) == ["r1,1", "r1,2", "r2,0", "r2,1", "r3,0", "r3,1", "r4,0", "r4,1"]
    assert len(kernels) + len(values) == len(marked)
    page = draw_page(after, before=before)
    assert "<del>kernel A@ℓ,i : 3×3 → c@ℓ</del>" in page
    assert "<ins>kernel A@ℓ : 3×3 → c@ℓ</ins>" in page


def test_equal_networks_have_no_difference():
    page = draw_page(network("fbresnet"), before=network("fbresnet"))
    assert "no difference" in page
    assert " marked" not in page


# The command line


def show(*arguments):
    return CliRunner().invoke(app, ["show", *map(str, arguments)])


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<svg"), (".html", b"<!")]
)
def test_the_name_of_the_file_chooses_the_format(tmp_path, suffix, start):
    if suffix in (".png", ".pdf"):
        need_cairo()
    result = show(SPECS["preact18_Al"], "-o", tmp_path / f"net{suffix}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / f"net{suffix}").read_bytes().startswith(start)


def test_two_specs_go_into_one_file_and_not_into_the_terminal(tmp_path):
    both = [ROOT / "specs" / "preact18.cldf", SPECS["preact18_Al"]]
    assert show(*both, "-o", tmp_path / "net.svg").exit_code == 0
    assert "dashed: not so in PreActResNet18" in (tmp_path / "net.svg").read_text(encoding="utf-8")
    assert show(*both).exit_code == 2
    assert show(*both, *both, "-o", tmp_path / "net.svg").exit_code == 2


def test_an_unknown_format_is_refused_before_the_spec_is_read(tmp_path):
    result = show(tmp_path / "missing.cldf", "-o", tmp_path / "net.jpeg")
    assert result.exit_code == 2
    assert "`.svg`, `.png`, `.pdf`, `.html`" in result.output


def test_without_cairosvg_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    result = show(SPECS["preact18_Al"], "-o", tmp_path / "net.png")
    assert result.exit_code == 2
    assert "pip install 'cldfc[picture]'" in result.output
    assert list(tmp_path.iterdir()) == []


def test_pictures_do_not_load_torch(tmp_path):
    code = (
        "import sys; from cldfc.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    for output in ([], ["-o", str(tmp_path / "net.html")]):
        command = [sys.executable, "-c", code, "show", str(SPECS["preact18_Al"]), *output]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert done.stdout.splitlines()[-1] == "False"


# A browser

PROBE = """
const out = {outside: [], errors: window.failed || 0};
for (const node of document.querySelectorAll(".node")) {
  const box = node.querySelector("rect").getBBox();
  for (const text of node.querySelectorAll("text")) {
    const t = text.getBBox();
    const beside = t.x < box.x || t.x + t.width > box.x + box.width;
    if (beside || t.y < box.y - 1.5 || t.y + t.height > box.y + box.height + 1.5)
      out.outside.push(text.textContent);
  }
}
const click = (element) => element.dispatchEvent(new MouseEvent("click", {bubbles: true}));
click(document.querySelector(".node.shared"));
out.lit = document.querySelectorAll(".node.lit").length;
out.rows = document.querySelectorAll("tr.lit").length;
click(document.querySelector(".node.shared"));
out.after = document.querySelectorAll(".lit").length;
const svg = document.querySelector("main svg");
svg.dispatchEvent(new WheelEvent("wheel", {deltaY: -200, clientX: 300, clientY: 200, cancelable: true}));
out.zoomed = svg.viewBox.baseVal.width;
svg.dispatchEvent(new MouseEvent("dblclick"));
out.whole = svg.viewBox.baseVal.width;
const node = document.querySelector(".kernel");
node.dispatchEvent(new PointerEvent("pointermove", {clientX: 10, clientY: 10}));
out.tip = document.getElementById("tip").textContent;
const height = () => document.querySelectorAll(".level")[3].getBoundingClientRect().top;
const before = height();
click(document.querySelectorAll(".level")[1]);
out.hidden = document.querySelectorAll(".node.hidden").length;
out.raised = before - height();
click(document.querySelectorAll(".level")[1]);
out.shown = document.querySelectorAll(".hidden").length + Math.abs(before - height());
document.title = JSON.stringify(out);
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_shows_lights_zooms_and_folds_the_page(tmp_path):
    page = draw_page(network("fbresnet"))
    page = page.replace("<head>", "<head><script>onerror = () => { window.failed = 1; };</script>")
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"<script>//<![CDATA[\n{{{PROBE}}}//]]></script></body>"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(re.search("<title>(.*?)</title>", done.stdout)[1])
    assert found["errors"] == 0
    assert found["outside"] == []
    assert (found["lit"], found["rows"], found["after"]) == (3, 1, 0)
    assert found["zoomed"] < found["whole"]
    assert found["tip"].startswith("θ: 3×3  3 → 64\nresult 64×32×32")
    assert found["hidden"] == 2 + 6 + 7 + 7  # the boxes of u@2,0, f@2, u@2,1, u@2,2
    assert found["raised"] > 20
    assert found["shown"] < 1
