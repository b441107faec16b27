"""What reaches the terminal: names of all kinds, encodings of all kinds, and JSON."""

import ast
import json
import math
import os
import re
import shlex
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from command_line_page import commands, example
from networks import ROOT, some
from PIL import Image
from rich.text import Text as RichText
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.console import Console, Text, print_table
from cldfc.diagnostics import Source, UsageError
from cldfc.output import as_json, printable
from cldfc.show.terminal import show_network
from cldfc.syntax.read import read_source
from cldfc.training.metrics import Epoch, TrainingPosition

SPEC = """\
model Small
input  f : 1 × 8 × 8
output h : 2
kernel A : 3×3 → 4
kernel R : 3×3 → 4
r@0 = σ ∘ A * f
let σ = relu ∘ bn
steps i = 1..2
r@i = r@i-1 + R * σ(r@i-1)
h = linear ∘ avgpool ∘ r@2
"""
HOSTILE = "x\x1b[31m\nrun ok\r\u202e[red]\x9b"
SHOWN = r"x\x1b[31m\nrun ok\r\u202e[red]\u009b"
PLAIN = re.sub(r"\S", "N", SHOWN)
"""As long as the other is when it is shown."""


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("plain [red] text \\n", "utf-8", "plain [red] text \\n"),
        ("ℓ × größe 中 é", "utf-8", "ℓ × größe 中 é"),
        (HOSTILE, "utf-8", SHOWN),
        ("\0\t\x7f\u200b\u2028\U000e0001", "utf-8", r"\x00\t\x7f\u200b\u2028\U000e0001"),
        (os.fsdecode(b"caf\xe9"), "utf-8", r"caf\xe9"),
        ("𝒜@ℓ = σ ∘ A * ν², 3 × 3 → c ≥ 0 …", "ascii", "cal_A@l = sigma . A * nu^2, 3 x 3 -> c >= 0 ..."),
        ("𝒜@ℓ = 3 × 3 … ± größe", "cp1252", "cal_A@l = 3 × 3 … ± größe"),
        ("größe", "ascii", r"gr\u00f6\u00dfe"),
    ],
)
def test_what_stands_for_a_text(text, encoding, shown):
    assert printable(text, encoding) == shown
    assert printable(shown, encoding) == shown


def test_all_letters_that_cldfc_prints_have_a_spelling():
    """But for the page on letters that the language lacks."""
    pages = [page for page in (ROOT / "cldfc" / "explanations").glob("*.md") if page.stem != "E0102"]
    for path in [*pages, *(ROOT / "specs").glob("*.cldf"), *(ROOT / "tests" / "golden" / "show").glob("*.txt")]:
        letters = {c for c in path.read_text(encoding="utf-8") if not c.isascii()}
        assert not {c for c in letters if "\\" in printable(c, "ascii")}, path


OWN_STREAMS = {"cldfc/output.py", "cldfc/console.py", "cldfc/cli/fmt.py"}
"""The one place, and the filter `fmt -`, which writes what it has read."""
PRINTING = {"print", "typer.echo", "sys.stdout.write", "sys.stderr.write", "rich.console.Console", "rich.print"}


def called_name(node):
    """A dotted name; nothing for whatever else is called."""
    if isinstance(node, ast.Attribute):
        return f"{called_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_is_printed_past_the_one_place():
    for path in {*(ROOT / "cldfc").rglob("*.py")} - {ROOT / "cldfc" / "syntax" / "tables.py"}:
        name = str(path.relative_to(ROOT))
        text = path.read_text(encoding="utf-8")
        if not re.search(r"\b(print|echo|write|dumps|Console)\b", text):
            continue
        tree = ast.parse(text)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            called = called_name(call.func)
            assert called not in PRINTING or name in OWN_STREAMS, name
            if called == "json.dumps" and ast.unparse(call) != "json.dumps(c)":
                assert "allow_nan=False" in ast.unparse(call), name
        # Of rich's own console others need the type alone.
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        if any(re.search(r"from rich\.console import .*\bConsole\b", line) for line in imports):
            assert not [call for call in calls if ast.unparse(call.func) == "Console"], name


# Names


def run(*arguments, charset="utf-8"):
    return CliRunner(charset=charset).invoke(app, [os.fspath(argument) for argument in arguments])


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A finished run and its images, in which all that has a name is called the same, once plainly."""
    folder, here = tmp_path_factory.mktemp("named"), Path.cwd()
    os.chdir(folder)
    try:
        for name in (PLAIN, HOSTILE):
            where = Path(f"in {name}")
            for part, color in (("train", 40), ("test", 200)):
                for label in (name, "other"):
                    (where / part / label).mkdir(parents=True)
                    for number in range(3):
                        Image.new("L", (8, 8), color + number).save(where / part / label / f"{name}{number}.png")
            (where / f"{name}.cldf").write_text(SPEC, encoding="utf-8")
            (where / f"{name}.txt").write_text("no image")
            recipe = ["--epochs", "1", "--batch", "2"]
            data = ["--data", f"folder:{where}"]
            result = run("train", where / f"{name}.cldf", *data, *recipe, "-o", where / "runs" / name)
            assert result.exit_code == 0, result.stderr
            (where / "train out").write_text(result.stdout + result.stderr, encoding="utf-8")
    finally:
        os.chdir(here)
    return folder


LINES = {
    "train out": None,
    "check": ["check", "{0}.cldf"],
    "wrong": ["check", "{0}.txt"],
    "missing": ["check", "{0}"],
    "show": ["show", "{0}.cldf"],
    "show -o": ["show", "{0}.cldf", "-o", "{0}"],
    "compile": ["compile", "{0}.cldf", "-o", "{0}.py"],
    "compile -o -": ["compile", "{0}.cldf", "-o", "-"],
    "compare": ["compare", "{0}.cldf", "{0}.cldf", "--input", "1x16x16"],
    "verify": ["verify", "{0}.cldf"],
    "fmt": ["fmt", "--check", "{0}.cldf"],
    "new": ["new", "{0}"],
    "runs": ["runs", "{folder}/runs"],
    "one run": ["runs", "{folder}/runs/{name}"],
    "no runs": ["runs", "{folder}/train/{name}"],
    "no such folder": ["runs", "{0}/x"],
    "eval": ["eval", "{folder}/runs/{name}"],
    "resume": ["train", "--resume", "{folder}/runs/{name}"],
    "predict": ["predict", "{folder}/runs/{name}", "{folder}/train/{name}/{name}0.png", "--top", "2"],
    "predict a text": ["predict", "{folder}/runs/{name}", "{0}.txt"],
    "predict nothing": ["predict", "{folder}/runs/{name}", "{0}"],
    "export": ["export", "{folder}/runs/{name}", "--safetensors"],
    "dry run": ["train", "{0}.cldf", "--data", "folder:{folder}", "--dry-run", "-o", "{0}"],
    "no data set": ["train", "{0}.cldf", "--data", "{name}"],
    "unknown option": ["check", "--{name}"],
    "unknown command": ["{name}"],
    "no number": ["train", "--epochs", "{name}"],
    "explain": ["explain", "{name}"],
}


@pytest.mark.parametrize("case", LINES)
def test_a_name_neither_acts_nor_adds_a_line(case, named, monkeypatch):
    monkeypatch.chdir(named)
    monkeypatch.setenv("COLUMNS", "400")
    texts = {}
    for name in (PLAIN, HOSTILE):
        folder = f"in {name}"
        words = LINES[case]
        if words is None:
            texts[name] = Path(folder, case).read_text(encoding="utf-8")
            continue
        result = run(*(word.format(f"{folder}/{name}", folder=folder, name=name) for word in words))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        texts[name] = result.stdout + result.stderr
    assert all(c.isprintable() or c == "\n" for c in texts[HOSTILE])
    assert texts[PLAIN].count("\n") == texts[HOSTILE].count("\n"), texts[HOSTILE]
    if PLAIN in texts[PLAIN]:
        assert "[red]" in texts[HOSTILE]


def test_a_name_in_files(named):
    folder = named / f"in {HOSTILE}"
    page = (folder / "runs" / HOSTILE / "report.html").read_text(encoding="utf-8")
    assert all(c.isprintable() or c in "\n\t" for c in page)
    assert re.search("<title>Small on folder:in x.*</title>", page)
    record = json.loads((folder / "runs" / HOSTILE / "recipe.json").read_text(encoding="utf-8"))
    assert record["class_names"] == ["other", HOSTILE]


def test_names_on_a_terminal_in_colour():
    class Terminal(TextIOWrapper):
        def isatty(self):
            return True

    stream = Terminal(BytesIO(), encoding="utf-8", write_through=True)
    console = Console(stream, width=200)
    console.print(HOSTILE)
    console.print(Text.assemble((HOSTILE, "red")))
    console.print(RichText(HOSTILE.replace("\n", "")))
    print_table(console, {"[blue]name": "text", "n": "figure"}, [[HOSTILE, "[green]1"]])
    text = stream.buffer.getvalue().decode()
    assert "\x1b[31m" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b" not in plain and "\r" not in plain and "\u202e" not in plain
    assert SHOWN in plain and "[blue]name" in plain and "[green]1" in plain


def test_an_error_in_python():
    error = UsageError(f"there is no `{HOSTILE}`", "give another", [HOSTILE])
    assert str(error) == f"error: there is no `{SHOWN}`\n  {SHOWN}\n  = help: give another"


# JSON


def strictly(text):
    def refuse(word):
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_json_has_no_nan():
    data = {"a": math.nan, "b": [math.inf, -math.inf, 1.5, "ℓ"], "c": (1, None)}
    assert strictly(as_json(data)) == {"a": None, "b": [None, None, 1.5, "ℓ"], "c": [1, None]}


def test_an_epoch_without_a_number_is_read_back():
    epoch = Epoch(epoch=1, train_loss=math.inf, train_accuracy=0.5, test_loss=math.nan, test_accuracy=0.5, seconds=1)
    again = Epoch.model_validate_json(epoch.model_dump_json())
    assert strictly(epoch.model_dump_json())["test_loss"] is None
    assert math.isnan(again.test_loss) and math.isnan(again.train_loss) and again.test_accuracy == 0.5
    position = TrainingPosition(epoch=2, epochs=(epoch,))
    assert TrainingPosition.model_validate_json(position.model_dump_json()).epochs[0].seconds == 1


def test_runs_with_nan(named, tmp_path, monkeypatch):
    monkeypatch.chdir(named)
    metrics = Path(f"in {HOSTILE}", "runs", HOSTILE, "metrics.csv")
    before = metrics.read_text(encoding="utf-8")
    head, row = before.splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True)) | {"test_accuracy": "nan", "seconds": "inf"}
    metrics.write_text(f"{head}\n{','.join(cells.values())}\n", encoding="utf-8")
    try:
        (found,) = strictly(run("runs", metrics.parent, "--json").stdout)
        assert found["test_accuracy"] is None and found["seconds"] is None
        assert found["folder"] == str(metrics.parent)
        assert run("runs", metrics.parent).exit_code == 0
    finally:
        metrics.write_text(before, encoding="utf-8")


def test_json_shows_no_control_character(named, monkeypatch):
    monkeypatch.chdir(named)
    result = run("predict", f"in {HOSTILE}/runs/{HOSTILE}", f"in {HOSTILE}/train/other/{HOSTILE}0.png", "--json")
    assert all(c.isprintable() or c == "\n" for c in result.stdout)
    (found,) = strictly(result.stdout)
    assert found["file"] == f"in {HOSTILE}/train/other/{HOSTILE}0.png"
    assert found["classes"][0]["name"] in (HOSTILE, "other")


# Encodings


TRAINED, SERVED = "reproduce", "lsp"


def command_lines():
    """Those of the README, the tutorial and the help; nothing is trained or served, which other tests do."""
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/tutorial.md"))
    lines = re.findall(r"^(?:\$ )?cldfc (.*)$", pages, re.MULTILINE)
    examples = {name: example(command).removeprefix("cldfc ") for name, command in commands().items()}
    examples[TRAINED] = "reproduce table3 --markdown"
    del examples[SERVED]
    for line in dict.fromkeys([*lines, *examples.values()]):
        words = shlex.split(line, comments=True)
        if words[0] == "train" and "--resume" not in words:
            words.append("--dry-run")
        # A verification in float64 takes long, and its table is the same for a small one.
        words += ["--let", "c@ℓ=2,2,2,2"] if words[0] == "verify" and "--let" not in words else []
        yield words


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the specs, and the two of the tutorial."""
    monkeypatch.chdir(tmp_path)
    for folder in ("specs", "examples"):
        Path(folder).symlink_to(ROOT / folder)
    tutorial = (ROOT / "specs" / "fbresnet.cldf").read_text(encoding="utf-8")
    Path("net.cldf").write_text(tutorial, encoding="utf-8")
    Path("unshared.cldf").write_text((ROOT / "specs" / "preact18.cldf").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("encoding", some(["ascii", "cp1252"], 2))
def test_every_command_line_in_other_encodings(encoding, workplace):
    """The streams are strict: a letter that they lack would raise."""
    lines = list(command_lines())
    assert len(lines) > 30
    for words in some(lines, 3):
        if words[0] == "fmt":
            words.append("--check")
        if "specs/*.cldf" in words:
            words[words.index("specs/*.cldf")] = "specs/resnet18.cldf"
        result = run(*words, charset=encoding)
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
        assert not any(line != line.rstrip() for line in result.stdout.splitlines()), words


@pytest.mark.parametrize("encoding", some(["ascii", "cp1252", "utf-8", "latin-1"], 4))
def test_help_and_errors_of_a_process(encoding):
    """Where nobody but the process itself can spell: what typer prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONIOENCODING": encoding}
    for words in (["train", "--help"], ["check", "tests/golden/errors/E0202_kernel_indices.cldf"]):
        command = [sys.executable, "-m", "cldfc", *words]
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
        text = result.stdout.decode(encoding) + result.stderr.decode(encoding)
        assert "Traceback" not in text and "<bool>" not in text
        assert ("A@l" in text) == (encoding != "utf-8")
        assert not re.search(" $", text, re.MULTILINE)


def without_docstrings(code):
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def test_what_is_written_is_utf8_and_what_is_printed_is_the_same_network(workplace):
    assert run("compile", "net.cldf", "-o", "net.py", charset="ascii").exit_code == 0
    assert "ℓ" in Path("net.py").read_text(encoding="utf-8")
    printed = run("compile", "net.cldf", "-o", "-", charset="cp1252").stdout
    assert printed.isascii()
    one, other = (without_docstrings(text) for text in (printed, Path("net.py").read_text(encoding="utf-8")))
    assert one == other
    derived = run("derive", "net.cldf", "--residual", charset="ascii").stdout
    assert derived.isascii()
    result = run("derive", "net.cldf", "--residual")
    one, other = (without_docstrings(Compilation(Source("x", text)).code()) for text in (derived, result.stdout))
    assert one == other


def test_the_place_of_an_error_in_ascii(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wrong.cldf").write_text(SPEC.replace("R * σ(r", "R * ν(r"), encoding="utf-8")
    result = run("check", "wrong.cldf", charset="ascii")
    lines = result.stderr.splitlines()
    place = next(at for at, line in enumerate(lines) if "^" in line)
    start = lines[place].index("^")
    assert lines[place - 1][start : start + 2] == "nu" and lines[place].count("^") == 2


# Width


@pytest.mark.parametrize("width", [20, 30, 45, 60, 79])
def test_a_narrow_terminal_drops_columns_and_no_digits(width, workplace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    wide = run("compare", "specs/preact18.cldf", "specs/fbresnet.cldf").stdout
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = run("compare", "specs/preact18.cldf", "specs/fbresnet.cldf").stdout.split("unshared:")[0]
    figures = set(re.findall(r"[\d.,]+%?", wide))
    assert set(re.findall(r"(?<![\w.])\d[\d.,]*%?(?!\w)", narrow)) <= figures
    assert max(map(len, narrow.splitlines())) <= width
    assert "11.2 M" in narrow


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_picture_in_ascii_is_in_line(width):
    """A branch ends below the part that it joins."""
    import io

    stream = io.StringIO()
    console = Console(stream, "ascii", width=width)
    show_network(Compilation(read_source(ROOT / "specs" / "preact18_Al.cldf")).simplified, console)
    lines = stream.getvalue().splitlines()
    assert all(line.isascii() for line in lines)
    pictures = [at for at, line in enumerate(lines) if re.search(r"\+-+\+", line)]
    assert pictures or width == 40
    for at in pictures:
        for found in re.finditer(r"\+-+\+", lines[at]):
            assert lines[at - 1][found.start()] in "+|"
            assert lines[at - 1][found.end() - 1] in "(+|-)"
