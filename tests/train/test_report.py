"""The report, read by the standard library's parsers."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from networks import ROOT, build, some, spec_text
from pypdf import PdfReader

from cldfc.compilation import Compilation
from cldfc.data.catalogue import find
from cldfc.device import choose_device
from cldfc.diagnostics import Source
from cldfc.network.cost import cost_of_network
from cldfc.network.resolve import Changes
from cldfc.plan import compiled_from
from cldfc.recipe import Recipe
from cldfc.runs.environment import Environment, session_now
from cldfc.runs.report import Account, Axis, draw_curves, resumed_in_words, round_step, write_report
from cldfc.runs.run_folder import RunFolder, RunRecord
from cldfc.runs.training_run import Result, train_network
from cldfc.show.legend import parameter_rows
from cldfc.syntax.read import read_source
from cldfc.training.metrics import BEGINNING, Epoch
from cldfc.training.task import Diverged
from cldfc.weights.compiled import Compiled

VOID = {"meta", "!doctype", "img"}
EPOCHS = [
    Epoch(epoch=n, train_loss=1 / n, train_accuracy=0.5, test_loss=1, test_accuracy=0.5, seconds=60, lr=0.1)
    for n in (1, 2)
]


class Reader(HTMLParser):
    """Collects the tags and the text, and checks that tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str | None] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        """The texts of the cells of each row."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


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
        f"test accuracy {trained.final.test_accuracy:.2%}, epoch {trained.final.epoch}",
        f"those of epoch {trained.final.epoch}",
    ):
        assert expected in words


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, Compiled]:
    """The report of a run of FB-ResNet that has finished two epochs, and the network."""
    run, told = RunFolder(tmp_path_factory.mktemp("run")), account(EPOCHS)
    return read_report(run, told), told.compiled


@cache
def compile_for_digits() -> Compiled:
    """FB-ResNet, as a training gets it."""
    source = read_source(ROOT / "specs" / "fbresnet.cldf")
    return compiled_from(Compilation(source, Changes((1, 8, 8), 10)))


def account(epochs: Sequence[Epoch], state: str = "running") -> Account:
    """What is told of a run of FB-ResNet."""
    digits = find("digits")
    record = RunRecord(
        class_name="FBResNet",
        dataset=digits.name,
        split=digits.split,
        input_shape=digits.shape,
        classes=digits.classes,
        recipe=digits.recipe,
        device="cpu",
        torch="2.14.1",
    )
    session = session_now(BEGINNING, "cpu", "cpu", 1)
    return Account(record, compile_for_digits(), Environment(sessions=(session,)), epochs, state)


def read_report(run: RunFolder, told: Account) -> Reader:
    """What a report says."""
    write_report(run, told)
    reader = Reader()
    reader.feed(run.report.read_text(encoding="utf-8"))
    return reader


def test_the_equations_are_typeset(whole: tuple[Reader, Compiled]) -> None:
    reader, compiled = whole
    assert not reader.open and {"math", "msup", "details"} <= reader.seen
    # Six equations, three operators.
    assert compiled.equations.count("<math") == 9
    assert compiled.spec_text in "".join(reader.words)


def test_the_picture_keeps_its_styles_to_itself(whole: tuple[Reader, Compiled]) -> None:
    reader, compiled = whole
    (address,) = reader.addresses
    kind, data = str(address).split(",")
    assert kind == "data:image/svg+xml;base64" and b64decode(data).decode() == compiled.picture
    assert "<style>" in compiled.picture
    assert not reader.seen & {"script", "link", "iframe"}


def test_names_of_others_are_text(tmp_path: Path) -> None:
    told = account(EPOCHS)
    record = told.record.model_copy(
        update={"class_name": "<b>N</b>\x1b", "split": '1 & "2"\n<s>3', "command": "a\n<u>"}
    )
    reader = read_report(RunFolder(tmp_path), replace(told, record=record))
    assert not reader.open and not reader.seen & {"b", "s", "u"}
    for text in (r"<b>N</b>\x1b on digits", r'1 & "2"\n<s>3', "a\n<u>"):
        assert text in "".join(reader.words)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_it_is_printed_whole_on_a4(tmp_path: Path) -> None:
    """Each paper has all that is on the screen, in its margins: the picture too, and what is folded away there."""
    run = RunFolder(tmp_path)
    reader = read_report(run, account(EPOCHS))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [f"--print-to-pdf={tmp_path / 'report.pdf'}", f"file://{run.report}"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    pages = PdfReader(tmp_path / "report.pdf").pages
    assert {(round(page.mediabox.width), round(page.mediabox.height)) for page in pages} == {(595, 842)}
    printed = "".join("".join(page.extract_text() for page in pages).split())
    for words in ("expect params = 12_512_586", "ℓ = 4", "σ avgpool", "3 uses", "saved by sharing", "scikit-learn"):
        assert "".join(words.split()) in printed
    address = str(reader.addresses[0])
    width = float(ElementTree.fromstring(b64decode(address.split(",")[1])).get("width", ""))
    assert 10 * 17 / 2.54 * 72 / width >= 6  # points


def test_the_parameters_add_up_to_those_of_the_module(whole: tuple[Reader, Compiled]) -> None:
    reader, compiled = whole
    stored = sum(parameter.numel() for parameter in build(compiled.source).parameters())
    assert sum(parameter.numbers for parameter in compiled.parameters) == stored
    rows = {row[0]: row[1:] for row in reader.rows}
    saved = sum(int(row[4].replace(",", "") or 0) for row in reader.rows if len(row) == 5 and "×" in row[1])
    assert rows["in all"] == ["", "", f"{stored:,}", f"{saved:,}"]
    # A@2 stands in u@2,1, u@2,2, f@2 and f@3.
    assert rows["A@2"] == ["3×3  128 → 128", "4", "147,456", "442,368"]
    assert rows["bn_B, 8 norms"] == ["64…512 channels", "8", "3,840", ""]


@pytest.mark.parametrize("spec", some(sorted((ROOT / "specs").glob("*.cldf")), 5), ids=lambda path: path.stem)
def test_every_parameter_of_a_spec_is_in_the_table(spec: Path) -> None:
    graph = Compilation(read_source(spec)).simplified
    cost = cost_of_network(graph.as_written)
    rows = list(parameter_rows(graph))
    assert sum(row.parameters for row in rows) == cost.parameters
    assert sum(row.parameters + row.saved for row in rows) == cost.unshared


def test_a_shared_norm_has_a_row_of_its_own() -> None:
    text = spec_text("preact18_Al", ("A@ℓ * σ ∘ B@ℓ,i * σ", "A@ℓ * relu ∘ bn@ℓ ∘ B@ℓ,i * σ"))
    rows = {row.name: row for row in parameter_rows(Compilation(Source("shared.cldf", text)).simplified)}
    assert (rows["bn@1"].uses, rows["bn@1"].parameters, rows["bn@1"].saved) == (2, 128, 128)


@pytest.mark.parametrize(
    ("state", "epochs", "goes_on"),
    [("running", 0, True), ("stopped", 2, True), ("finished", 2, False), ("the loss is nan <in> epoch 2", 1, False)],
)
def test_how_a_run_stands(tmp_path: Path, state: str, epochs: int, goes_on: bool) -> None:
    run = RunFolder(tmp_path / "a b")
    run.path.mkdir()
    words = "".join(read_report(run, account(EPOCHS[:epochs], state)).words)
    assert f"{state}: {epochs} of 12 epochs done, as of 20" in words
    assert (f"cldfc train --resume '{run.path}'" in words) == goes_on
    assert ("no epoch is finished yet" in words) == (epochs == 0)


def test_how_its_steps_ran(tmp_path: Path) -> None:
    told = account(EPOCHS)
    through = replace(told, record=told.record.model_copy(update={"torch_compile": True}))
    words = ["".join(read_report(RunFolder(tmp_path), one).words) for one in (told, through)]
    assert [", through torch.compile" in text for text in words] == [False, True]


def test_what_was_different_when_a_run_went_on() -> None:
    first = session_now(BEGINNING, "cpu", "cpu", 2)
    packages = {**first.packages, "torch": "9.9.9"}
    later = first.model_copy(update={"processes": 1, "packages": packages, "epoch": 3})
    assert resumed_in_words(first, later).partition(", in ")[2] == (
        f"epoch 3; processes 1 (was 2); torch 9.9.9 (was {first.packages['torch']})"
    )


def test_a_divergence_is_told(tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    broken = tiny.replace("nn.Flatten()", "nn.Flatten(), nn.Threshold(1e30, float('nan'))")
    with pytest.raises(Diverged):
        train_network(Compiled("", broken, "Tiny"), find("digits"), recipe, tmp_path / "run")
    said = "the loss is nan in step 1 of epoch 1: training has diverged"
    for name in ("report.html", "diverged.txt"):
        assert said in (tmp_path / "run" / name).read_text()


def test_curve_passes_through_its_values() -> None:
    picture = ElementTree.fromstring(draw_curves("Loss", {"test": [2, 0, 1]}, 0, 2))
    line = picture.find("polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert points == [(44, 34), (254, 224), (464, 129)]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5]])
def test_short_curves(values: list[float]) -> None:
    ElementTree.fromstring(draw_curves("Loss", {"test": values}, 0, 0.5))


@pytest.mark.parametrize(("least", "step"), [(0.2, 0.2), (0.21, 0.5), (1, 1), (1.01, 2), (7, 10), (0.019, 0.02)])
def test_round_step(least: float, step: float) -> None:
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize("high", [1.0, 2.09, 0.37, 5e-6, 137, 300])
def test_marks_are_few_and_inside(high: float) -> None:
    marks = Axis(0, high, 0, 100).marks(0)
    assert 3 <= len(marks) <= 6
    assert marks[0] == 0 and marks[-1] <= high * (1 + 1e-9)
