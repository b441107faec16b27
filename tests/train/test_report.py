"""The report, read by the standard library's parsers."""

from __future__ import annotations

from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from cldfc.train.curves import Axis, Curve, draw_curves, round_step
from cldfc.train.device import choose_device
from cldfc.train.page import image
from cldfc.train.train import Result

VOID = {"meta", "!doctype"}


class Reader(HTMLParser):
    """Collects the tags and the text, and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str | None] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def report(trained: Result) -> Reader:
    """The report of the finished run."""
    reader = Reader()
    reader.feed((trained.folder / "report.html").read_text(encoding="utf-8"))
    return reader


def test_tags_are_closed(report: Reader) -> None:
    assert not report.open and {"h1", "pre", "table", "svg", "polyline"} <= report.seen


def test_offline_and_without_scripts(report: Reader, trained: Result) -> None:
    assert not report.seen & {"script", "link", "img", "iframe"} and not report.addresses
    text = (trained.folder / "report.html").read_text(encoding="utf-8")
    assert "http" not in text and "url(" not in text and "@import" not in text


def test_what_it_says(report: Reader, trained: Result) -> None:
    words = "".join(report.words)
    for expected in (
        "Tiny on digits",
        "model Tiny  # 1 < 2 & 3\n",
        "<few>",
        "1,437 training and 360 test images",
        "label smoothing",
        str(choose_device()),
        "cldfc train tiny.cldf",
        f"{trained.final.test_accuracy:.2%} after epoch {trained.final.epoch}",
        f"{trained.best.test_accuracy:.2%} after epoch {trained.best.epoch}",
    ):
        assert expected in words


def test_a_picture_keeps_its_styles_to_itself() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><style>p{color:red}</style></svg>'
    reader = Reader()
    reader.feed(image(svg).replace("></p>", "/></p>"))
    assert reader.seen == {"p", "img"} and not reader.words[:-1]
    kind, data = str(reader.addresses[0]).split(",")
    assert kind == "data:image/svg+xml;base64" and b64decode(data).decode() == svg
    assert image("") == ""


def test_curve_passes_through_its_values() -> None:
    picture = ElementTree.fromstring(draw_curves("Loss", [Curve("test", [2, 0, 1])], 0, 2))
    line = picture.find("polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert points == [(44, 34), (254, 224), (464, 129)]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5]])
def test_short_curves(values: list[float]) -> None:
    ElementTree.fromstring(draw_curves("Loss", [Curve("test", values)], 0, 0.5))


@pytest.mark.parametrize(("least", "step"), [(0.2, 0.2), (0.21, 0.5), (1, 1), (1.01, 2), (7, 10), (0.019, 0.02)])
def test_round_step(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize("high", [1.0, 2.09, 0.37, 5e-6, 137, 300])
def test_marks_are_few_and_inside(high: float) -> None:
    marks = Axis(0, high, 0, 100).marks(0)
    assert 3 <= len(marks) <= 6
    assert marks[0] == 0 and marks[-1] <= high * (1 + 1e-9)
