"""What the documents show is what the program prints."""

import re
import shlex
from pathlib import Path

import pytest
from networks import ROOT, only_in_fuzz
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Problems, Source
from cldfc.show.drawing import Width
from cldfc.show.formats import writer_for
from cldfc.syntax import tree
from cldfc.syntax.format import format_statement
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.read import merge, read_source

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
BOOK = re.compile(r"^```\{toctree\}$(.*?)^```$", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def prose(document: Path) -> str:
    """The text of a page without its blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def block_after(heading: str) -> str:
    """The first fenced block after a heading."""
    found = re.search(rf"^## {heading}$.*?^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found.group(1)


def test_the_spec():
    spec = (ROOT / "specs" / "preact18_Al.cldf").read_text(encoding="utf-8")
    assert block_after("From this") == spec.split("\n", 1)[1]


def test_the_code():
    generated = (ROOT / "tests" / "golden" / "compile" / "preact18_Al.py").read_text(encoding="utf-8")
    code = block_after("to this")
    assert code.startswith("def forward")
    assert "\n".join("    " + line if line else line for line in code.splitlines()) in generated


def test_the_error():
    reports = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "golden" / "errors").glob("*.txt")]
    shown = block_after("When something is wrong").strip()
    assert any(shown in report for report in reports)


def test_the_picture():
    path = DOCS / "preact18_Al.svg"
    graph = Compilation(read_source(Path("preact18_Al"))).written
    assert path.read_text(encoding="utf-8") == writer_for(path, width=Width(830, "px"))(graph)


def test_the_first_screen():
    """A picture, the equation in two spellings of one meaning, one command to install and four to use it."""
    screen = README.split("## From this")[0]
    unicode, ascii = (line.split(" #")[0].strip() for line in re.findall(r"^r@.*$", screen, re.MULTILINE))
    assert statements(f"{unicode}\n") == statements(f"{ascii}\n")
    assert unicode in (ROOT / "specs" / "preact18_Al.cldf").read_text(encoding="utf-8").replace("r@ℓ,i   =", "r@ℓ,i =")
    assert [line.split()[1] for line in re.findall(r"^cldfc .*$", screen, re.MULTILINE)] == [
        "show",
        "train",
        "compile",
        "verify",
    ]


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\bmake (\w+)", (ROOT / document).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_named_exist():
    for document in PAGES:
        text = re.sub(r"In a new file, `.*?`", "", prose(document))
        for name in re.findall(r"`((?:cldfc|specs|tests|docs|grammar|examples)/[\w./]*)`", text):
            assert (ROOT / name).exists(), name


def test_the_glossary_names_what_is_there():
    rows = re.findall(r"^\| (.+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)[2:]
    assert len(rows) >= 20
    for row in rows:
        *_, code = row.split(" | ")
        file, *names = re.findall(r"`([^`]+)`", code)
        path = ROOT / "cldfc" / file
        assert path.is_dir() if file.endswith("/") else path.is_file(), file
        for name in names:
            assert re.search(rf"^(class )?{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE), (file, name)


def test_workflows_run_what_runs_here():
    """CI and releases call the script that anybody can call, and a tag is published by PyPI's trusted publisher."""
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = workflow.read_text(encoding="utf-8")
        assert "- run: .ci/run\n" in text, workflow.name
        assert "secrets." not in text, workflow.name


def test_every_page_is_in_the_book():
    listed = re.findall(
        r"^([\w-]+)$", "\n".join(BOOK.findall((DOCS / "index.md").read_text(encoding="utf-8"))), re.MULTILINE
    )
    assert sorted([*listed, "index"]) == sorted(page.stem for page in DOCS.glob("*.md"))


def test_links_lead_to_files():
    """Those between pages, offline; `make docs` looks at headings, too, and `make links` at other sites."""
    for document in PAGES:
        for link in re.findall(r"\]\(([\w./-]+\.\w+)", prose(document)):
            assert (document.parent / link).is_file(), f"{document.name}: {link}"


# The language reference

LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```cldf\n(.*?)^```$", LANGUAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ cldfc (.*)\n((?:[^`$].*\n)*)", LANGUAGE, re.MULTILINE)


def statements(text: str):
    problems = Problems()
    found = parse_spec(Source("language.md", text), problems).statements
    problems.stop_if_any()
    assert found
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_blocks_of_the_reference(block: str):
    text = block
    if "model " not in block:
        own = statements(block)
        lefts = [statement.left for statement in own if isinstance(statement, tree.Equation)]
        frame = [s for s in statements(BLOCKS[0]) if not (isinstance(s, tree.Equation) and s.left in lefts)]
        text = "".join(f"{format_statement(statement)}\n" for statement in merge(frame, own))
    Compilation(Source("language.md", text)).check()


def test_the_reference_has_blocks():
    assert len(BLOCKS) > 10 and "model " in BLOCKS[0] and len(COMMANDS) == 3


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=lambda text: text[:30])
def test_commands_of_the_reference(command: str, printed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.output == printed


def blocks(language: str) -> str:
    """The blocks of a language in the page about weights from elsewhere."""
    page = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


@only_in_fuzz
def test_importing(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys):
    """The page's commands, then its Python with every value that a comment states."""
    (command,) = re.findall(r"^\$ cldfc (.*)$", blocks("console"), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    assert CliRunner().invoke(app, shlex.split(command)).exit_code == 0
    monkeypatch.syspath_prepend(tmp_path)
    code = blocks("python")
    stated = re.findall(r"^(names(?:\.how)?\[.*\]) +# (.*)$", code, re.MULTILINE)
    namespace: dict[str, object] = {}
    exec(code, namespace)
    assert stated and [repr(eval(name, namespace)) for name, _ in stated] == [value for _, value in stated]
    stated_lines, printed = blocks("output").split("\n"), capsys.readouterr().out.rstrip().split("\n")
    patterns = [re.escape(line).replace("…", "[0-9.e+-]+") for line in stated_lines if line]
    assert len(patterns) == len(printed) and all(map(re.fullmatch, patterns, printed)), printed


def test_limits_of_the_reference():
    from cldfc.network import positions
    from cldfc.syntax.parse import MAX_NESTING
    from cldfc.syntax.read import LARGEST_FILE, MOST_FILES

    table = LANGUAGE.split("## Limits")[1].split("## Errors")[0]
    numbers = [
        LARGEST_FILE // 10**6,
        MAX_NESTING,
        positions.MOST_OPERATIONS,
        positions.MOST_STEPS,
        positions.MOST_IN_A_CHAIN,
    ]
    numbers += [positions.LONGEST_RANGE, MOST_FILES]
    assert re.findall(r"[\d,]*\d", table.replace("2^20", "")) == [f"{number:,}" for number in numbers]
    assert positions.MOST_NESTING == MAX_NESTING and positions.LARGEST_SIZE == 2**20


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.cldf")), ids=lambda path: path.stem)
def test_examples_are_short_and_compile(example, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 25
    Compilation(Source(str(example.relative_to(ROOT)), text)).check()
