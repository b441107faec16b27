"""Tree → text → tree in three spellings, and whole files: tests/golden/format/NAME.cldf and its three outputs."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import process_time

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import compile_text, some
from program import cldfc
from random_specs import random_specs
from strategies import NOWHERE, specs, statements

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source, UsageError
from cldfc.syntax import tree
from cldfc.syntax.arrange import LONGEST_LINE, comment_in, format_source, read_statements
from cldfc.syntax.format import Spelling, format_expression, format_statement, spell_name
from cldfc.syntax.read import read_source
from cldfc.syntax.side_by_side import read_in_context

ROOT = Path(__file__).parents[1]
SPELLINGS: tuple[Spelling, ...] = ("unicode", "ascii", "latex")
FOLDER = ROOT / "tests" / "golden" / "format"
CASES = sorted(FOLDER.glob("*.cldf"))
WRITTEN = sorted([*ROOT.glob("specs/*.cldf"), *ROOT.glob("examples/*.cldf")])
FILES = [*WRITTEN, *sorted(ROOT.glob("tests/golden/compile/*.cldf")), *CASES]

MANY = max(5, int(os.environ.get("CLDFC_FUZZ", "0")) // 1000)
"""Random specs; with `make fuzz` 100."""

in_all_spellings = pytest.mark.parametrize("spelling", SPELLINGS)


@cache
def statements_of(text: str) -> tuple[tree.Statement, ...]:
    return read_statements(Source("test.cldf", text))


@cache
def formatted(text: str, spelling: Spelling = "unicode") -> str:
    return format_source(Source("test.cldf", text), spelling)


def comments_of(text: str) -> list[str]:
    return sorted(filter(None, map(comment_in, text.split("\n"))))


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


# Files


@in_all_spellings
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden(case: Path, spelling: Spelling, golden: Callable[[Path, str], None]):
    golden(case.with_suffix(f".{spelling}"), formatted(text_of(case), spelling))


@in_all_spellings
@pytest.mark.parametrize("path", some(FILES, 8), ids=lambda path: path.stem)
def test_formatted_files_say_the_same_and_stay(path: Path, spelling: Spelling):
    text = text_of(path)
    once = formatted(text, spelling)
    assert repr(statements_of(once)) == repr(statements_of(text))
    assert formatted(once, spelling) == once
    assert comments_of(once) == comments_of(text)
    assert formatted(once) == formatted(text)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_our_own_files_are_formatted(path: Path):
    assert text_of(path) in {formatted(text_of(path)), formatted(text_of(path), "ascii")}


# The meaning

HEAD = """model M
levels ℓ = 1..2
steps i = 1..2
input f : 4 × 8 × 8
output h : 3
{constant}
kernel K@ℓ : 3×3 → {channels}{groups}
{more}
x@1 = K@1 * f
x@2 = {factor}K@2 * {setting}x@1
h = linear ∘ avgpool({result})
"""
PLAIN = {"channels": "4", "groups": "", "more": "", "factor": "", "setting": "", "result": "x@2"}
CONSTANTS = {
    "let c = 2": ["c", "c@1", "c@ℓ"],
    "let c@ℓ = 2": ["c", "c@1", "c@ℓ"],
    "let c@ℓ = 2, 4": ["c@1", "c@ℓ", "c"],
    "let c@ℓ = 2^ℓ": ["c@1", "c@ℓ"],
    "let c@ℓ,i = 2 * i": ["c@1,2", "c@ℓ,1"],
    "scalar c = 2, fixed": ["c"],
    "scalar c@ℓ = 2, fixed": ["c@1", "c@ℓ"],
}
PLACES = {
    "channels": "{c}",
    "groups": ", groups {c} / 1, dilation ({c} + 1)",
    "more": "let d@ℓ = {c} + 1\nlet e = 2^{c}",
    "factor": "1/({c} + ({c})^2) * {c} * ",
    "setting": "leaky_relu[1/{c}] ∘ ",
    "result": "sum(j = 1..{c} : x@j)",
}


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("place", some(PLACES, 4))
def test_a_constant_is_the_same_in_all_spellings(constant: str, place: str):
    """A tag that is one number is a power of a constant without one, where LaTeX raises it."""
    accepted = 0
    for use in CONSTANTS[constant]:
        parts = {**PLAIN, place: PLACES[place].replace("{c}", use)}
        text = HEAD.format(constant=constant, **parts)
        try:
            expected = compile_text(text)
        except CldfError:
            continue
        accepted += 1
        for spelling in SPELLINGS:
            assert compile_text(formatted(text, spelling)) == expected, formatted(text, spelling)
    assert accepted or place in ("setting", "groups", "result", "channels")


def test_a_constant_of_another_file(tmp_path: Path):
    """What it is declared with is not seen here."""
    (tmp_path / "base.cldf").write_text(HEAD.format(constant="let c = 2", **PLAIN), encoding="utf-8")
    own, path = 'extend "base.cldf"\nx@2 = 1/c@1 * K@2 * x@1\n', tmp_path / "own.cldf"
    expected = Compilation(Source(str(path), own)).code()
    for spelling in SPELLINGS:
        text = format_source(Source(str(path), own), spelling)
        assert Compilation(Source(str(path), text)).code() == expected, text


@pytest.mark.parametrize("path", some(FILES, 12), ids=lambda path: path.stem)
def test_formatted_files_compile_to_the_same_bytes(path: Path):
    try:
        expected = Compilation(read_source(path)).code()
    except CldfError:
        pytest.skip("a file that shows forms, and is no network")
    for spelling in SPELLINGS:
        assert Compilation(Source(str(path), formatted(text_of(path), spelling))).code() == expected


@settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_specs())
def test_random_specs_compile_to_the_same_bytes(text: str):
    expected = compile_text(text)
    for spelling in SPELLINGS:
        assert compile_text(formatted(text, spelling)) == expected, formatted(text, spelling)


# Trees


@settings(max_examples=max(60, 6 * MANY), deadline=None, derandomize=True)
@given(statements())
def test_statements_are_read_back(statement: tree.Statement):
    head = getattr(statement, "symbol", getattr(statement, "left", None))
    # What is called `x_1` beside an `x@i` is `x@1`: test_files_are_read_back.
    assume(not (isinstance(head, tree.Symbol) and head.tag and f"{head.name}_" in format_statement(statement)))
    (statement,) = read_in_context([statement])  # a number before something multiplies it
    texts = [format_statement(statement, spelling) for spelling in SPELLINGS]
    for again, spelling, text in zip(statements_of("\n".join(texts)), SPELLINGS, texts, strict=True):
        assert repr(again) == repr(statement), text
        assert format_statement(again, spelling) == text


@settings(max_examples=MANY, deadline=None, derandomize=True)
@given(specs(), st.lists(st.sampled_from(["", "# note", "  # a = b \t", "$$ # in LaTeX", "(1.2)"]), max_size=6))
def test_files_are_read_back(spec: tuple[tree.Statement, ...], between: list[str]):
    lines = [format_statement(statement) for statement in spec]
    for at, line in enumerate(between):
        lines.insert(2 * at, line)
    text = "\r\n".join(lines)
    # Read from text, for what is called `x_1` may be `x@1`.
    for spelling in SPELLINGS:
        once = formatted(text, spelling)
        assert repr(statements_of(once)) == repr(statements_of(text))
        assert formatted(once, spelling) == once
        assert comments_of(once) == comments_of(text)


@pytest.mark.parametrize(
    ("text", "ascii", "latex"),
    [
        ("r@ℓ,i-1", "r@l,i-1", r"r^{\ell,i-1}"),
        ("r@ν@ℓ-1", "r@nu@l-1", r"r^{\nu_{\ell-1}}"),
        ("r@ν@{ℓ}-1", "r@nu@{l}-1", r"r^{\nu_{\ell}-1}"),
        ("r@ν@J", "r@nu@J", r"r^{\nu^{J}}"),
        ("r@ν@{-1}", "r@nu@{-1}", r"r^{\nu_{-1}}"),
        ("r@-1", "r@-1", "r^{-1}"),
        ("σ_1(R_in)", "sigma_1(R_in)", r"\sigma_1(R_{in})"),
        ("tilde_r ⊙ hat_𝒜", "tilde_r .* hat_𝒜", r"\tilde{r} \odot \hat{\mathcal{A}}"),
        ("𝒜2 * θ0", "cal_A2 * theta0", r"\mathrm{cal_A2} * \mathrm{theta0}"),
        ("σx(x_)", "σx(x_)", r"σx(\mathrm{x_})"),
        ("K * (for)", "K * (for)", r"K * \mathrm{for}"),
        ("K *_2 x", "K *_2 x", r"K *_{2} x"),
        ("K *^2 x", "K *^2 x", r"K *^{2} x"),
        ("(A * σ) ∘ B *", "(A * sigma) . B *", r"(A * \sigma) \circ B *"),
        ("(K *)(x)", "(K *)(x)", "(K *)(x)"),
        ("(K *) + σ", "(K *) + sigma", r"(K *) + \sigma"),
        ("-(-x)", "-(-x)", "-(-x)"),
        ("-a * (-b)", "-a * (-b)", "-a * (-b)"),
        ("2^(ℓ-1)", "2^(l-1)", r"2^{\ell-1}"),
        ("(x / 2)^n / (a / b)", "(x / 2)^n / (a / b)", "(x / 2)^{n} / (a / b)"),
        ("1_000 * 1e-07 * 0.50", "1_000 * 1e-07 * 0.50", "1_000 * 1e-07 * 0.50"),
        ("sum(j = 0..i-1 : x@j)", "sum(j = 0..i-1 : x@j)", r"\mathrm{sum}(j = 0..i-1 : x^{j})"),
        ("maxpool[3, stride=2](x)", "maxpool[3, stride=2](x)", r"\mathrm{maxpool}[3, stride=2](x)"),
    ],
)
def test_expressions(text: str, ascii: str, latex: str):
    for form in (text, ascii, latex):
        (equation,) = statements_of(f"y = {form}")
        assert isinstance(equation, tree.Equation)
        assert [format_expression(equation.right, spelling) for spelling in SPELLINGS] == [text, ascii, latex]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("x = ((a)) + (b * c)", "x = a + b * c"),
        ("x = +a + b", "x = a + b"),
        ("x = +a", "x = +a"),
        ("x = g h * y", "x = g ∘ h * y"),
        ("x@i = y@i, i = 1:ν", "x@i = y@i for i = 1..ν"),
        ("x@i = y@i for i = 2..2, j <= 3", "x@i = y@i for i = 2, j ≤ 3"),
        (r"x^{\ell} = y,\quad \ell = 1:J-1.", "x@ℓ = y for ℓ = 1..J-1"),
        (r"x^{k_{max}} = y, \quad k_{max} = 1:J-1", "x@k_max = y for k_max = 1..J-1"),
        (r"x = y, \quad k_{max} = 1, \dots, 3", "x = y for k_max = 1..3"),
        (r"x = y, \quad k_{max} = 1", "x     = y\nk_max = 1"),
        (r"x = y, \quad \text{for } k_{max} = 1", "x = y for k_max = 1"),
        ("kernel K : n x n, 3 -> 4 bias groups 2", "kernel K : n×n, 3 → 4, groups 2, bias"),
        ("scalar ω=1.0 fixed", "scalar ω = 1.0, fixed"),
        ("tie B@ℓ for i>=1", "tie B@ℓ for i ≥ 1"),
        ("constrain u >= 0", "constrain u ≥ 0"),
        ('extend "a, b#c.cldf"# d', 'extend "a, b#c.cldf"  # d'),
        (r"\mathrm{let} = \mathrm{relu}", r"\mathrm{let} = relu"),
    ],
)
def test_statements(text: str, canonical: str):
    assert formatted(text) == canonical + "\n"


@pytest.mark.parametrize("name", ["k", "k_max", "my_idx", "A_", "k__", "tilde_k", "hat_k_old", "x_1"])
def test_ranges_of_any_index_are_read_back(name: str):
    text = f"x@{name} = y for {name} = 1, j = 2..3\nx@{name} = y for j ≥ 1, {name} ≤ 2\n"
    for spelling in SPELLINGS:
        assert formatted(formatted(text, spelling)) == text


def test_what_would_say_something_else_is_not_written(monkeypatch: pytest.MonkeyPatch):
    """Whether it would be another spec or none."""
    for word in ("y", "="):
        monkeypatch.setattr("cldfc.syntax.format.spell_name", lambda name, _, word=word: word)
        with pytest.raises(UsageError, match="stays as it is"):
            formatted("x = relu(x)")


def test_deep_and_long_trees():
    for deep in ("-(" * 190 + "-x" + ")" * 190, "g(" * 190 + "x" + ")" * 190, "(" * 90 + "x" + " * y)(z)" * 90):
        assert formatted(f"x = {deep}").replace("\n    ", " ") == f"x = {deep}\n"
    started = process_time()
    text = "x = " + " + ".join(f"a_{k}" for k in range(8000))
    lines = formatted(text).splitlines()
    assert process_time() - started < 10
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= LONGEST_LINE for line in lines) and len(lines) < 1000


def test_trees_from_elsewhere():
    number = tree.Number(8_038_858, NOWHERE)
    assert format_expression(number) == "8038858"
    assert spell_name("σ", "ascii") == "sigma"


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.cldf").write_bytes(b"\xef\xbb\xbfx@l = sigma(y)\r\n")
    (tmp_path / "b.cldf").write_text("x = y\n", encoding="utf-8")
    (tmp_path / "c.cldf").write_text("x = = y\nz = = y", encoding="utf-8")
    return tmp_path


def test_command_rewrites_what_changes(folder: Path):
    before = (folder / "b.cldf").stat().st_mtime_ns
    result = cldfc("fmt", "a.cldf", "b.cldf", cwd=folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "formatted a.cldf\n", "")
    assert (folder / "a.cldf").read_bytes() == "x@ℓ = σ(y)\n".encode()
    assert (folder / "b.cldf").stat().st_mtime_ns == before
    assert cldfc("fmt", "a.cldf", "b.cldf", cwd=folder).stdout == ""


def test_check_writes_nothing(folder: Path):
    before = (folder / "a.cldf").read_bytes()
    result = cldfc("fmt", "--check", "a.cldf", "b.cldf", cwd=folder)
    assert (result.returncode, result.stdout) == (1, "would format a.cldf\n")
    assert (folder / "a.cldf").read_bytes() == before
    assert cldfc("fmt", "--check", "--ascii", "b.cldf", cwd=folder).returncode == 0


def test_wrong_specs_are_not_touched(folder: Path):
    result = cldfc("fmt", "c.cldf", "a.cldf", cwd=folder)
    assert result.returncode == 1
    assert result.stderr.count("error[E0101]") == 2
    assert result.stdout == "formatted a.cldf\n"
    assert (folder / "c.cldf").read_text(encoding="utf-8") == "x = = y\nz = = y"
    with pytest.raises(CldfError):
        formatted("x = = y")


def test_one_spelling_at_most(folder: Path):
    result = cldfc("fmt", "--ascii", "--latex", "a.cldf", cwd=folder)
    assert result.returncode == 2
    assert "`--ascii` and `--latex` cannot be used together" in result.stderr and "help: " in result.stderr
    assert cldfc("fmt", "missing.cldf", cwd=folder).returncode == 2


def test_standard_input(folder: Path):
    result = cldfc("fmt", "--latex", "-", cwd=folder, given="x@l=σ(y) # as it is\n".encode())
    assert (result.returncode, result.stdout) == (0, "x^{\\ell} = \\sigma(y)  # as it is\n")
    result = cldfc("fmt", "--check", "-", cwd=folder, given=b"x=y")
    assert (result.returncode, result.stdout) == (1, "would format <stdin>\n")
