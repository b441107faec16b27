"""`cldfc lsp`, spoken with over the protocol as an editor does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from language_client import Client
from networks import ROOT, only_in_fuzz, some

from cldfc.cli.lsp import lsp
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.lsp import hover
from cldfc.lsp.completion import completions
from cldfc.lsp.cursor import definitions
from cldfc.lsp.documents import Document, Positions
from cldfc.lsp.hover import hover_text
from cldfc.network.cost import count_macs

ERRORS = ROOT / "tests" / "golden" / "errors"
SPEC = ROOT / "specs" / "preact18_Al.cldf"
TEXT = SPEC.read_text(encoding="utf-8")
FEATURES = (ROOT / "specs" / "fbresnet.cldf").read_text(encoding="utf-8")
BROKEN = TEXT.replace("A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)", "A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    client = Client(folder=ERRORS)
    yield client
    assert client.leave() == 0


def units(text: str) -> int:
    """How many UTF-16 units a text has."""
    return sum(1 + (ord(character) > 0xFFFF) for character in text)


def where(text: str, part: str, inside: int = 0) -> tuple[int, int]:
    """Line and UTF-16 character of a part of a text, a number of characters into it."""
    offset = text.index(part) + inside
    before = text[:offset]
    return before.count("\n"), units(before[before.rfind("\n") + 1 :])


def marked(text: str, range_: dict) -> str:
    """What stands in a range of one line."""
    line = text.split("\n")[range_["start"]["line"]].encode("utf-16-le")
    return line[2 * range_["start"]["character"] : 2 * range_["end"]["character"]].decode("utf-16-le")


# Errors


def test_a_spec_without_errors_has_no_diagnostics(client: Client):
    assert client.open(SPEC, TEXT) == []


def is_sent(path: Path) -> bool:
    """Whether an editor would send a text as it is, with errors of its own."""
    text, report = path.read_bytes(), path.with_suffix(".txt").read_text(encoding="utf-8")
    primary = re.findall(r"--> (.*):\d+:\d+$", report, re.MULTILINE)
    is_text = b"\r" not in text.replace(b"\r\n", b"") and "E0107" not in path.name
    is_of_check = not path.name.startswith("E08")  # those are said by `derive` alone
    return is_text and is_of_check and set(primary) == {path.name}


SENT = [path for path in sorted(ERRORS.glob("*.cldf")) if is_sent(path)]


@pytest.mark.parametrize("path", some(SENT, 12), ids=lambda path: path.stem)
def test_diagnostics_are_what_check_prints(client: Client, path: Path):
    """The golden report of the terminal, which another renderer wrote, has the same codes, texts and places."""
    text = path.read_bytes().decode("utf-8-sig")
    report = path.with_suffix(".txt").read_text(encoding="utf-8")
    printed = re.findall(r"^(?:error|remark)\[([ER]\d+)\]: (.*)\n +--> .*:(\d+):(\d+)$", report, re.MULTILINE)
    helps = re.findall(r"^  = help: (.*)$", report, re.MULTILINE)
    found = client.open(path, text)
    lines = text.split("\n")
    expected = [
        (code, message, int(line) - 1, units(lines[int(line) - 1][: int(column) - 1]))
        for code, message, line, column in printed
    ]
    shown = [
        (d["code"], d["message"].split("\nhelp: ")[0], d["range"]["start"]["line"], d["range"]["start"]["character"])
        for d in found
    ]
    assert shown == expected
    assert [d["message"].split("\nhelp: ")[1] for d in found] == helps


def test_the_second_place_is_related_information(client: Client):
    text = TEXT.replace("A@ℓ * σ ∘ B@ℓ,i", "A@ℓ,i * σ ∘ B@ℓ,i")
    (found,) = client.open(SPEC, text)
    (related,) = found["relatedInformation"]
    assert found["code"] == "E0202" and marked(text, found["range"]) == "A@ℓ,i"
    assert related["message"] == "declared with one index"
    assert related["location"]["uri"] == SPEC.as_uri()
    assert marked(text, related["location"]["range"]) == "A@ℓ"
    assert related["location"]["range"]["start"]["line"] == where(text, "kernel A@ℓ")[0]


def test_characters_are_counted_in_utf_16(client: Client):
    text = FEATURES.replace("let 𝒜@ℓ   = A@ℓ *", "let 𝒜@ℓ   = Q@ℓ *")
    (found,) = client.open(SPEC, text)
    line = next(line for line in text.split("\n") if "Q@" in line)
    assert found["range"]["start"]["character"] == line.index("Q@") + 1
    assert marked(text, found["range"]) == "Q@ℓ"


@only_in_fuzz
@pytest.mark.parametrize(("encoding", "width"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_an_editor_may_count_otherwise(encoding: str, width: int):
    client = Client(encodings=(encoding,))
    assert client.server["capabilities"]["positionEncoding"] == encoding
    (found,) = client.open(SPEC, FEATURES.replace("let 𝒜@ℓ   = A@ℓ *", "let 𝒜     = Q@ℓ *").replace("𝒜@ℓ", "𝒜"))[:1]
    assert found["range"]["start"]["character"] == len("let ") + width + len("     = ")
    assert client.leave() == 0


def test_lines_end_in_every_way_that_the_protocol_knows():
    positions = Positions("a\r\nb\n𝒜c\rd")
    assert positions.starts == [0, 3, 5, 8]
    for offset, place in [(0, (0, 0)), (3, (1, 0)), (6, (2, 2)), (7, (2, 3)), (8, (3, 0)), (9, (3, 1))]:
        found = positions.position(offset)
        assert (found.line, found.character) == place
        assert positions.offset(found) == offset


def test_typing_is_answered_once_it_pauses(client: Client):
    assert client.open(SPEC, TEXT) == []
    (found,) = client.change(BROKEN, TEXT, BROKEN)
    assert found["code"] == "E0101"
    assert client.change(TEXT) == []
    assert client.notified == []


def test_extended_files_are_found_beside_the_document(client: Client, tmp_path: Path):
    base, text = tmp_path / "base.cldf", 'extend "base.cldf"\nlet J = 4\n'
    base.write_text(TEXT, encoding="utf-8")
    assert client.open(tmp_path / "new.cldf", text) == []
    (place,) = client.at("definition", 0, 10)
    assert place["uri"] == base.as_uri()
    base.write_text(TEXT.replace("kernel θ", "kernel Q"), encoding="utf-8")
    client.tell("textDocument/didSave", textDocument={"uri": client.uri})
    (found,) = client.diagnostics()
    (related,) = found["relatedInformation"][:1]
    assert marked(text, found["range"]) == 'extend "base.cldf"'
    assert found["code"] == "E0201" and "base.cldf: undefined name `θ`" in found["message"]
    assert related["location"]["uri"] == base.as_uri()


# Hover


HOVERS = {
    "a value": ("r@ℓ,i   =", ["| `r@1,0 … r@1,2` | 64 × 32 × 32 |", "| `r@4,0 … r@4,1` | 512 × 4 × 4 |"]),
    "a kernel": ("A@ℓ * σ", ["one per ℓ, 4 kernels", "| `A@1` | 3×3, 64 → 64 | 2 | 36,864 |"]),
    "kernels of one size": (
        "B@ℓ,i *",
        ["one per (ℓ, i), 8 kernels", "| `B@1,1 … B@1,2` | 3×3, 64 → 64 | 2 | 73,728 |"],
    ),
    "the network": ("PreAct", ["parameters: 8,038,858", "without sharing: 11,172,298", "image: 555,422,720"]),
    "a constant": ("c@ℓ = 64", ["| 1 | 64 |", "| 4 | 512 |"]),
    "an index": ("ℓ = 1..J", ["levels ℓ = 1..J", "an index of levels, 1..4"]),
    "an operator": ("σ = relu", ["let σ = relu ∘ bn", "a nonlinear operator: relu, bn"]),
    "a built-in operator": ("relu", ["relu(x) = max(0, x)", "`F.relu(x)`"]),
    "a convolution": ("*_2", ["convolution with zero padding"]),
    "a word": ("steps", ["steps i = 1..ν"]),
    "the input": ("f\n", ["input f : 3 × 32 × 32", "the input, 3 × 32 × 32"]),
    "the output": ("h       =", ["output h : 10", "| `h` | 10 | 5,120 |", "6,154 parameters"]),
}


@pytest.mark.parametrize("kind", HOVERS)
def test_hover(client: Client, kind: str):
    part, expected = HOVERS[kind]
    client.open(SPEC, TEXT)
    text = client.hover(*where(TEXT, part))
    assert all(line in text for line in expected), text


def test_hover_tells_the_input_from_a_family_of_the_same_name(client: Client):
    client.open(SPEC, FEATURES)
    assert "the input" in client.hover(*where(FEATURES, "* f\n", 2))
    assert "| `f@1` | 64 × 32 × 32 |" in client.hover(*where(FEATURES, "f@ℓ - "))
    assert "a linear operator" in client.hover(*where(FEATURES, "𝒜@ℓ(u"))


def test_hover_in_a_tag_is_about_the_index(client: Client):
    client.open(SPEC, TEXT)
    assert "levels ℓ" in client.hover(*where(TEXT, "r@ℓ,i   =", 2))
    assert "steps i" in client.hover(*where(TEXT, "r@ℓ,i   =", 4))
    assert "let ν@ℓ" in client.hover(*where(TEXT, "r@ℓ,ν", 4))


WORDS = """model M
levels ℓ = 1..2
input f : 4 × 8 × 8
output h : 10
kernel A : 3×3 → 4
let F(x, y) = x + A * y
let G@ℓ(x) = max_with[0.1](x)
y@k = split(F(f, f), 2) for k = 1..2
z = unpool[2](maxpool[2](f), f)
v = max_with(concat(y@1, y@2), z) + G@1(f)
h = linear ∘ avgpool ∘ relu ∘ bn(v)
"""


def test_hover_over_operands_and_words_of_values(client: Client):
    """Each word where it stands; an operand of one operator is none of the other."""
    assert client.open(SPEC, WORDS) == []
    for part, shift in (("x, y) =", 0), ("x + A", 0)):
        text = client.hover(*where(WORDS, part, shift))
        assert "let F(x, y) = x + A * y" in text and "an operand" in text and "G@ℓ" not in text
    assert "let F(x, y)" in client.hover(*where(WORDS, "y\nlet G"))
    assert "let G@ℓ(x)" in client.hover(*where(WORDS, "x)\ny@k"))
    assert "a linear operator" in client.hover(*where(WORDS, "F(f"))
    assert "split" in client.hover(*where(WORDS, "split")) and "equal parts" in client.hover(*where(WORDS, "split"))
    assert "unpool" in client.hover(*where(WORDS, "unpool")) and "zeros elsewhere" in client.hover(
        *where(WORDS, "unpool")
    )
    for part in ("max_with[", "max_with("):
        assert "max(identity, a)" in client.hover(*where(WORDS, part))
    text = client.hover(*where(WORDS, "y@1,"))
    assert all(f"| `y@{k}` | 2 × 8 × 8 |" in text for k in (1, 2))


def test_completion_offers_what_joins_and_parts_values(client: Client):
    assert {"split", "unpool", "max", "max_with"} <= offered(client, "y@ℓ = ").keys()


def test_hover_while_the_document_is_broken_keeps_the_last_figures(client: Client):
    client.open(SPEC, TEXT)
    assert client.change(BROKEN) != []
    text = client.hover(*where(BROKEN, "A@ℓ * σ"))
    assert "4 kernels" in text and "36,864" in text
    assert "64 × 32 × 32" in client.hover(*where(BROKEN, "r@ℓ,i-1"))


@pytest.mark.parametrize(
    "path",
    some(sorted([*(ROOT / "specs").glob("*.cldf"), *(ROOT / "tests/golden/compile").glob("*.cldf")]), 4),
    ids=lambda path: path.stem,
)
def test_the_multiply_adds_of_all_values_add_up(path: Path, monkeypatch: pytest.MonkeyPatch):
    """To what `expect macs` counts, which knows nothing of equations and levels."""
    monkeypatch.setattr(hover, "MOST_ROWS", 1_000_000)
    # Where a size is open, nothing is counted.
    source = Source(str(path), text := path.read_text(encoding="utf-8"))
    is_open = re.search(r"^input +(\w+) +: 1 × (N × N|H × W)$", text, re.MULTILINE)
    network = Compilation(source, read_changes(input=f"{is_open[1]}=1x12x12" if is_open else None))
    pages = [hover.family_figures(network, family) for family in network.names.families]
    cells = re.findall(r"\| ([\d,]+) \|$", "\n".join(line for page in pages for line in page), re.MULTILINE)
    assert sum(int(cell.replace(",", "")) for cell in cells) == count_macs(network.shapes)


def test_the_terms_of_a_reduction_count_at_their_level():
    """One 3×3 kernel from 4 to 4 channels is applied to maps of 8 × 8, twice, and of 4 × 4, three times."""
    text = (
        "model M\nlevels ℓ = 1..2\nsteps i = 0..2\ninput f : 3 × 8 × 8\noutput h : 4\nkernel θ : 1×1 → 4\n"
        "kernel K : 3×3 → 4\nx@1,0 = θ * f\nx@1,1 = x@1,0\n"
        "x@ℓ+1,0 = avgpool[2](sum(j = 0..1 : K * relu(x@ℓ,j)))\n"
        "x@2,i = sum(j = 0..i-1 : K * relu(x@2,j)) for i = 1..2\n"
        "h = linear ∘ avgpool(x@2,2)\n"
    )
    network = Compilation(Source("m.cldf", text)).check()
    page = "\n".join(hover.family_figures(network, ("x", 2)))
    assert f"| `x@1,0 … x@1,1` | 4 × 8 × 8 | {8 * 8 * 3 * 4:,} |" in page
    macs = 2 * (8 * 8) * 9 * 4 * 4 + 3 * (4 * 4) * 9 * 4 * 4
    assert f"| `x@2,0 … x@2,2` | 4 × 4 × 4 | {macs:,} |" in page


def test_hover_says_what_the_output_does_not_need(client: Client):
    text = TEXT + "kernel Q : 3×3 → 8\ny@ℓ = Q * r@ℓ,0\n"
    assert [found["code"] for found in client.open(SPEC, text)] == ["R0905"]
    assert "The output does not need `Q`" in client.hover(*where(text, "Q : 3"))
    assert "The output does not need `y`" in client.hover(*where(text, "y@ℓ"))


def test_hover_of_what_is_new_in_a_broken_document_has_no_figures(client: Client):
    client.open(SPEC, TEXT)
    text = BROKEN + "kernel Q : 3×3 → 8\ny@ℓ = Q * r@ℓ,0\n"
    client.change(text)
    assert client.hover(*where(text, "Q : 3")) == "```cldf\nkernel Q : 3×3 → 8\n```"
    assert client.hover(*where(text, "y@ℓ")).endswith("a value")


def test_hover_in_other_spellings(client: Client):
    text = TEXT.replace("r@ℓ,i   = r@ℓ,i-1 + A@ℓ * σ", r"r^{\ell,i} = r^{\ell,i-1} + A^{\ell} * \sigma")
    client.open(SPEC, text)
    assert "4 kernels" in client.hover(*where(text, "A^{"))
    assert "relu ∘ bn" in client.hover(*where(text, r"\sigma", 3))
    assert "levels ℓ" in client.hover(*where(text, r"\ell", 1))


# Definition


def defined(client: Client, text: str, part: str, inside: int = 0) -> list[str]:
    """The text at the places that define what stands somewhere."""
    client.open(SPEC, text)
    return [marked(text, place["range"]) for place in client.at("definition", *where(text, part, inside))]


def test_definition(client: Client):
    assert defined(client, TEXT, "A@ℓ * σ") == ["A@ℓ"]
    assert defined(client, TEXT, "σ(r@ℓ,i-1)") == ["σ"]
    assert defined(client, TEXT, "r@ℓ,i-1") == ["r@1,0", "r@ℓ,i", "r@ℓ+1,0"]
    assert defined(client, TEXT, "r@ℓ,i-1", 4) == ["i"]
    assert defined(client, TEXT, "relu") == []


def test_definition_of_a_name_that_only_its_place_knows(client: Client):
    text = TEXT.replace("r@ℓ,i-1 + A", "sum(j = 0..i-1 : r@ℓ,j) + A")
    client.open(SPEC, text)
    (place,) = client.at("definition", *where(text, "r@ℓ,j", 4))
    assert place["range"]["start"]["character"] == where(text, "j = 0")[1]


# Completion


def offered(client: Client, text: str) -> dict[str, dict]:
    """What is offered at the end of a spec, by what would be inserted."""
    whole = TEXT + text
    client.open(SPEC, whole)
    return {item["textEdit"]["newText"]: item for item in client.at("completion", *where(whole + "\0", "\0"))}


def test_completion_of_names_operators_and_words(client: Client):
    items = offered(client, "y@ℓ = si")
    assert {"σ", "A", "r", "c", "ν", "relu", "sigmoid", "concat", "for"} <= items.keys()
    assert "kernel " not in items
    assert items["σ"]["filterText"] == "sigma" and items["σ"]["detail"] == "σ: an operator"
    assert items["σ"]["textEdit"]["range"]["start"]["character"] == len("y@ℓ = ")
    assert items["A"]["detail"] == "A@ℓ: a kernel"


def test_completion_at_the_start_of_a_line_offers_statements(client: Client):
    assert {"kernel ", "let ", "r"} <= offered(client, "ke").keys()


def test_completion_in_a_tag_offers_indices(client: Client):
    assert offered(client, "y@ℓ = r@").keys() == {"ℓ", "i", "J", "ν", "c"}
    assert offered(client, "y@ℓ = r@ℓ+1,").keys() == {"ℓ", "i", "J", "ν", "c"}
    assert "relu" in offered(client, "y@ℓ = A@ℓ*")
    assert offered(client, "y@ℓ = r@{ℓ, ").keys() == {"ℓ", "i", "J", "ν", "c"}


def test_completion_of_a_latex_command_is_its_letter(client: Client):
    items = offered(client, r"y@ℓ = \om")
    assert items["ω"]["filterText"] == r"\omega"
    assert items["𝒜"]["filterText"] == r"\mathcalA"
    start = items["ω"]["textEdit"]["range"]["start"]["character"]
    assert start == len("y@ℓ = ")


def test_completion_in_a_comment_is_silent(client: Client):
    assert offered(client, "# see si") == {}


# Formatting


def test_formatting_is_that_of_fmt(client: Client):
    client.open(SPEC, TEXT.replace("kernel θ     :", "kernel theta:"))
    (edit,) = client.format()
    assert edit["newText"] == TEXT
    assert client.change(TEXT) == [] and client.format() == []


def test_a_broken_document_is_not_formatted(client: Client):
    client.open(SPEC, BROKEN)
    assert client.format() == []


def test_formatting_in_the_spelling_that_was_asked_for():
    client = Client("--ascii", encodings=("utf-8",))
    assert client.server["capabilities"]["positionEncoding"] == "utf-8"
    client.open(SPEC, TEXT)
    assert "r@l,i   = r@l,i-1 + A@l * sigma . B@l,i * sigma(r@l,i-1)" in client.format()[0]["newText"]
    assert "sigma" in {item["label"] for item in client.at("completion", *where(TEXT, "σ ∘ θ"))}
    assert client.leave() == 0


# The server


def test_no_question_fails_on_a_broken_document():
    good = Compilation(Source("good.cldf", TEXT))
    for path in some(sorted(ERRORS.glob("*.cldf")), 12):
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        document = Document(Compilation(Source(str(path), text)), good)
        for offset in range(0, min(len(text), 2000) + 1, 331):
            hover_text(document, offset)
            definitions(document, offset, "file:///u", "utf-16")
            completions(document, offset, "unicode", "utf-16")


ASK = """
import sys
from cldfc.cli import app
from cldfc.diagnostics import Source
from cldfc.lsp import server
from cldfc.lsp.documents import Documents
from cldfc.lsp.hover import hover_text
text = sys.stdin.read()
print(hover_text(Documents().read("u", Source("m.cldf", text)), text.index("PreAct")))
assert "torch" not in sys.modules
"""


def test_the_server_does_without_torch():
    done = subprocess.run([sys.executable, "-c", ASK], input=TEXT, capture_output=True, text=True, check=True)
    assert "parameters: 8,038,858" in done.stdout


def test_without_pygls_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys):
    for name in [name for name in sys.modules if name.startswith("cldfc.lsp.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pygls.lsp.server", None)
    with pytest.raises(typer.Exit) as left:
        lsp()
    assert left.value.exit_code == 2
    assert 'pip install "cldfc[lsp]"' in capsys.readouterr().err
