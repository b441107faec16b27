"""Pictures in files: what is in them, where it stands, and what a browser makes of the page."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from io import BytesIO
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
import resvg_py
from fontTools.ttLib import TTFont
from hypothesis import HealthCheck, given, settings
from networks import IS_FUZZ, ROOT, some
from PIL import Image
from pypdf import PdfReader
from random_specs import random_specs
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source, UsageError
from cldfc.output import ASCII, SIGNS
from cldfc.show.boxes import SMALL, label_width, text_width
from cldfc.show.drawing import Rectangle, Width
from cldfc.show.html import draw_page
from cldfc.show.labels import colour
from cldfc.show.layout import lay_out
from cldfc.show.pdf import draw_pdf
from cldfc.show.picture import DrawingOptions, png
from cldfc.show.svg import draw_svg
from cldfc.syntax.read import read_source

SPECS = {
    path.stem: path
    for path in [
        *(
            ROOT / "specs" / f"{name}.cldf"
            for name in ("preact18_Al", "fbresnet", "resnet34", "preact34", "unet", "densenet")
        ),
        *(ROOT / "tests/golden/compile" / f"{n}.cldf" for n in ("v_cycle", "nested_reductions", "w_cycle", "lista")),
    ]
}
EXAMPLES = [ROOT / "examples" / f"{name}.cldf" for name in ("01_one_iteration", "07_up_and_down")]
every_spec = pytest.mark.parametrize("name", SPECS)
SVG = "{http://www.w3.org/2000/svg}"


@cache
def network(name):
    return Compilation(read_source(SPECS[name])).written


@cache
def picture_of(name, is_full=False, room=None):
    return lay_out(network(name), is_full, room)


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


def check_loops(picture):
    """What is said of folded steps stands clear of boxes, of other frames and of what is said of others."""
    texts = []
    for loop in picture.loops:
        (x, y), width = loop.middle, text_width(loop.text, SMALL)
        texts.append(Rectangle(x - width / 2, y - 6, width, 12))
        for start, end in pairwise(loop.points):
            assert not any(meets(start, end, node.place) for node in picture.nodes), loop
        if loop.points:
            assert width + 16 < loop.points[0][0] - loop.points[-1][0], loop
    for one, other in combinations(texts, 2):
        assert not overlap(one, other)
    for text in texts:
        assert not any(overlap(text, thing.place) for thing in (*picture.nodes, *picture.frames)), text
        assert text.x > 0 and text.x + text.width < picture.width


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


CHECKS = [check_boxes, check_edges, check_loops, check_lines]


@pytest.mark.parametrize("is_full", some([False, True], 2), ids=some(["folded", "full"], 2))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_spec
def test_nothing_overlaps(name, check, is_full):
    check(picture_of(name, is_full))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_spec
def test_nothing_overlaps_in_broken_lines(name, check):
    check(picture_of(name, room=Width(17, "cm").room))


@pytest.mark.parametrize("name", ["preact18_Al", "fbresnet", "resnet34", "unet", "v_cycle"])
def test_type_is_at_least_6_points_in_a_picture_of_17_cm(name):
    root = ElementTree.fromstring(draw_svg(network(name), width=Width(17, "cm")))
    scale = 17 / 2.54 * 72 / float(root.get("viewBox").split()[2])
    sizes = [float(size) for size in re.findall(r"font-size:([0-9.]+)px", root.find(f"{SVG}style").text)]
    assert len(sizes) == 2 and min(sizes) * scale >= 6


@settings(max_examples=20 if IS_FUZZ else 8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_specs())
def test_nothing_overlaps_in_the_pictures_of_random_specs(text):
    graph = Compilation(Source("random.cldf", text)).written
    for is_full, room in ((False, None), (True, None), (False, 500)):
        picture = lay_out(graph, is_full, room)
        for check in CHECKS:
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
    assert [loop.text for loop in picture.loops] == [
        "3 times, i = 1:3",
        "3 times, i = 1:3",
        "5 times, i = 1:5",
        "2 times, i = 1:2",
    ]
    frames = [frame.place for frame in picture.frames if frame.is_folded]
    for loop, frame in zip(picture.loops, frames, strict=True):
        (out, _), (end, arrival) = loop.points[0], loop.points[-1]
        assert arrival == frame.y and frame.x < end < out < frame.x + frame.width


SHORT = """model Short
steps i = 1..9
input f : 3 × 16 × 16
output h : 5
kernel A@i : 3×3 → 3
x@0 = f
x@i = A@i * x@i-1
h = linear ∘ avgpool(x@9)
"""
MOMENTUM = """model Momentum
steps i = 1..12
input f : 3 × 16 × 16
output h : 5
kernel θ : 3×3 → 8
kernel A@i : 3×3 → 8
scalar ω = 0.5
x@0 = θ * f
x@1 = x@0
x@i+1 = x@i + ω * (x@i - x@i-1) + relu ∘ bn ∘ A@i * x@i for i = 1..11
h = linear ∘ avgpool(x@12)
"""
IN_TURN = """model InTurn
steps i = 1..6
input f : 3 × 16 × 16
output h : 5
kernel A : 3×3 → 3
kernel B@i : 3×3 → 3
p@0 = f
q@0 = p@0
p@i = p@i-1 + A * q@i-1
q@i = q@i-1 - relu ∘ B@i * p@i
h = linear ∘ avgpool(q@6)
"""


@pytest.mark.parametrize("room", [None, 400])
@pytest.mark.parametrize(
    ("text", "loops"),
    [
        (SHORT, ["9 times, i = 1:9"]),
        (MOMENTUM, ["11 times, i = 1:11"]),
        (IN_TURN, ["6 times, i = 1:6", "6 times, i = 1:6"]),
    ],
    ids=["short", "momentum", "in turn"],
)
def test_folded_steps_that_read_one_another(text, loops, room):
    picture = lay_out(Compilation(Source("test.cldf", text)).written, room=room)
    assert [loop.text for loop in picture.loops if loop.points] == loops
    for check in CHECKS:
        check(picture)
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


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ("fbresnet", ["64×32×32", "128×16×16", "256×8×8", "512×4×4"]),
        ("densenet", ["12…24×32×32", "12…108×16×16", "12…150×8×8"]),
        ("vgg11", ["3…64×32×32", "64…128×16×16", "128…256×8×8", "256…512×4×4", "512×2×2"]),
        ("wide_resnet", ["16…160×32×32", "160×32×32 320×16×16", "320×16×16 640×8×8"]),
        ("lista", ["32×28×28"]),
    ],
)
def test_rows_are_labelled_by_the_sizes_that_are_in_them(spec, sizes):
    graph = Compilation(read_source(ROOT / "specs" / f"{spec}.cldf")).written
    picture = lay_out(graph)
    assert [" ".join(band.sizes) for band in picture.bands] == sizes
    for node in picture.nodes:
        if node.kind == "value":
            size = "×".join(map(str, graph.node(node.operations[0]).shape))
            assert size in node.lines or picture.bands[node.band].sizes == (size,)


def test_features_and_data_look_different():
    root = ElementTree.fromstring(draw_svg(network("fbresnet")))
    looks = {}
    for group in root.iter(f"{SVG}g"):
        classes = group.get("class").split()
        if "value" in classes and "in-1" in classes:
            hue = next(name for name in classes if name.startswith("hue"))
            looks.setdefault(group.find(f"{SVG}text").text, set()).add((hue, group.find(f"{SVG}rect").get("rx")))
    assert looks == {"f": {("hue1", "2")}, "u": {("hue0", "10")}}
    lines = Counter(name for path in root.iter(f"{SVG}path") for name in path.get("class").split() if "from" in name)
    assert lines["from0"] > lines["from1"] > 0


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


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
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
    result = show(SPECS["preact18_Al"], "-o", tmp_path / f"net{suffix}")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / f"net{suffix}").read_bytes().startswith(start)


def test_two_specs_go_into_one_file_and_not_into_the_terminal(tmp_path):
    both = [ROOT / "specs" / "preact18.cldf", SPECS["preact18_Al"]]
    assert show(*both, "-o", tmp_path / "net.svg").exit_code == 0
    assert "dashed: differs from PreActResNet18" in (tmp_path / "net.svg").read_text(encoding="utf-8")
    assert show(*both).exit_code == 2
    assert show(*both, *both, "-o", tmp_path / "net.svg").exit_code == 2


def test_an_unknown_format_is_refused_before_the_spec_is_read(tmp_path):
    result = show(tmp_path / "missing.cldf", "-o", tmp_path / "net.jpeg")
    assert result.exit_code == 2
    assert "`.svg`, `.png`, `.pdf`, `.html`" in result.output


def test_a_picture_in_print_is_as_wide_as_was_asked(tmp_path):
    for suffix in (".svg", ".png", ".pdf"):
        assert show(SPECS["fbresnet"], "-o", tmp_path / f"net{suffix}", "--width", "17cm").exit_code == 0
    root = ElementTree.parse(tmp_path / "net.svg").getroot()
    assert root.get("width") == "17cm"
    with Image.open(tmp_path / "net.png") as image:
        assert image.width / image.info["dpi"][0] * 2.54 == pytest.approx(17, abs=0.02)
        assert image.info["dpi"][0] == pytest.approx(300, abs=0.1)
    (page,) = PdfReader(tmp_path / "net.pdf").pages
    assert float(page.mediabox.width) / 72 * 2.54 == pytest.approx(17, abs=0.001)
    assert show(SPECS["fbresnet"], "-o", tmp_path / "net.png", "--width", "800 px").exit_code == 0
    with Image.open(tmp_path / "net.png") as image:
        assert image.width == 800


def test_a_pdf_has_the_lines_and_letters_of_the_svg_and_no_image():
    graph = network("fbresnet")
    svg = ElementTree.fromstring(draw_svg(graph, width=Width(17, "cm")))
    (page,) = PdfReader(BytesIO(draw_pdf(draw_svg(graph, width=Width(17, "cm")), 400))).pages
    drawn = []
    page.extract_text(visitor_text=lambda text, *_: drawn.append(text.strip()))
    assert Counter("".join(drawn).replace("\n", "")) == Counter("".join(text.text for text in svg.iter(f"{SVG}text")))
    assert not page.images
    fonts = page["/Resources"]["/Font"].values()
    assert all("/FontFile2" in font.get_object()["/FontDescriptor"] for font in fonts)
    operators = Counter(operator for _, operator in page.get_contents().operations)
    paths = [path.get("d") for path in svg.iter(f"{SVG}path")]
    assert operators[b"l"] >= sum(path.count("L") for path in paths)
    rectangles = sum(rect.get("x") is not None for rect in svg.iter(f"{SVG}rect"))
    assert operators[b"c"] == sum(path.count("Q") for path in paths) + 4 * rectangles


def test_letters_are_drawn_on_a_machine_without_fonts(monkeypatch):
    """The only fonts are those of the package, in which 𝒜 and ℓ have a shape of their own."""
    given = []
    monkeypatch.setattr(resvg_py, "svg_to_bytes", lambda **options: given.append(options) or b"\x89PNG" + bytes(40))
    png(network("fbresnet").as_written, DrawingOptions())
    assert given[0]["skip_system_fonts"]
    for path in given[0]["font_files"]:
        font = TTFont(path)
        letters, widths = font.getBestCmap(), font["hmtx"]
        # Authors are named in comments, which are not drawn.
        for letter in {*map(chr, range(32, 127)), *ASCII, *SIGNS} - {"Ö"}:
            advance = widths[letters[ord(letter)]][0] / font["head"].unitsPerEm
            assert advance <= text_width(letter, 1) < advance + 0.06, letter


@pytest.mark.parametrize(
    ("width", "help"),
    [
        ("17", "`17cm`"),
        ("17m", "cm, mm, in, pt, px"),
        ("", "`17cm`"),
        ("wide", "`17cm`"),
        ("nan", "`17cm`"),
        ("-3cm", "`17cm`"),
        ("12,5cm", "`12.5cm`"),
        ("0cm", "from 1cm to 200cm"),
        ("9000mm", "from 10mm to 2000mm"),
    ],
)
def test_a_wrong_width_is_told_what_to_write(tmp_path, width, help):
    result = show(SPECS["preact18_Al"], "-o", tmp_path / "net.svg", f"--width={width}")
    assert result.exit_code == 2 and help in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_width_is_for_pictures_in_files(tmp_path):
    for output in ([], ["-o", tmp_path / "net.html"], ["-o", tmp_path / "net.tex"], ["--json"]):
        result = show(SPECS["preact18_Al"], *output, "--width", "17cm")
        assert result.exit_code == 2 and "width" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_width_that_is_too_small_for_readable_type_says_which_is_not(tmp_path):
    result = show(SPECS["fbresnet"], "-o", tmp_path / "net.svg", "--width", "5cm")
    assert result.exit_code == 0
    (enough,) = re.findall(r"needs ([0-9.]+cm)", result.stderr)
    result = show(SPECS["fbresnet"], "-o", tmp_path / "net.svg", "--width", enough)
    assert result.exit_code == 0 and "type" not in result.stderr


def test_a_png_that_would_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    graph = network("fbresnet")
    assert png(graph.as_written, DrawingOptions()).startswith(b"\x89PNG")
    monkeypatch.setattr("cldfc.show.picture.MOST_PIXELS", 500_000)
    with pytest.raises(UsageError, match="million pixels"):
        png(graph.as_written, DrawingOptions())


def test_pictures_do_not_load_torch(tmp_path):
    code = (
        "import sys; from cldfc.__main__ import main\n"
        "for words in sys.argv[1:3], sys.argv[1:]:\n"
        "    sys.argv = ['cldfc', *words]\n"
        "    try: main()\n    except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    page = tmp_path / "net.html"
    command = [sys.executable, "-c", code, "show", str(SPECS["preact18_Al"]), "-o", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False" and "PreAct" in done.stdout
    assert page.exists()


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
const press = (element, key) =>
  element.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
const levels = document.querySelectorAll(".level");
// Whether both ends of every edge that is seen touch a box that is seen, or the border of a folded level.
const loose = () => [...document.querySelectorAll("path.edge:not(.hidden)")].filter((edge) => {
  const [, line] = edge.getAttribute("d").match(/^(.*?)M[^M]*$/);
  const numbers = line.match(/-?[0-9.]+/g).map(Number);
  const move = edge.transform.baseVal.consolidate()?.matrix.f || 0;
  const meets = ([x, y], element) => {
    const {x: left, y: top, width, height} = element.querySelector("rect").getBBox();
    const down = element.transform.baseVal.consolidate()?.matrix.f || 0;
    const [low, high] = [top + down, top + down + height];
    const strip = element.matches(".level");
    const across = x > left - 0.2 && x < left + width + 0.2, along = y + move > low - 0.2 && y + move < high + 0.2;
    return across && along && (!strip || Math.min(Math.abs(y + move - low), Math.abs(y + move - high)) < 0.2);
  };
  const ends = [numbers.slice(0, 2), numbers.slice(-2)];
  const seen = [...document.querySelectorAll(".node:not(.hidden), .level[aria-expanded=false]")];
  return !ends.every((end) => seen.some((element) => meets(end, element)));
}).length;
out.loose = [loose()];
press(levels[1], "Enter");
out.hidden = document.querySelectorAll(".node.hidden").length;
out.raised = before - height();
out.expanded = levels[1].getAttribute("aria-expanded");
out.loose.push(loose());
click(levels[2]);
out.loose.push(loose());
press(levels[3], " ");
out.loose.push(loose());
press(levels[3], " ");
click(levels[2]);
click(levels[1]);
out.loose.push(loose());
out.shown = document.querySelectorAll(".hidden").length + Math.abs(before - height());
press(document.querySelector(".node.shared"), "Enter");
out.keyed = document.querySelectorAll(".node.lit").length;
press(document.body, "Escape");
out.escaped = document.querySelectorAll(".lit").length;
press(document.body, "+");
out.nearer = svg.viewBox.baseVal.width;
press(document.body, "0");
out.reached = [...document.querySelectorAll(".node[data-kernels], .level, tr[data-kernels]")]
  .every((element) => element.getAttribute("tabindex") === "0");
document.querySelector(".node.shared").focus({focusVisible: true});
out.outline = getComputedStyle(document.activeElement).outlineStyle;
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
    assert found["loose"] == [0, 0, 0, 0, 0]
    assert (found["expanded"], found["keyed"], found["escaped"], found["outline"]) == ("false", 3, 0, "solid")
    assert found["nearer"] < found["whole"] and found["reached"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_dark_screen_gets_a_dark_page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(draw_page(network("fbresnet")), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,600"]
    for scheme, is_dark in ((0, True), (1, False)):
        shot = tmp_path / "shot.png"
        options = [f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}", f"file://{path}"]
        subprocess.run([*command, *options], capture_output=True, timeout=60, check=True)
        with Image.open(shot) as image:
            assert (image.convert("L").resize((1, 1)).getpixel((0, 0)) < 100) == is_dark
