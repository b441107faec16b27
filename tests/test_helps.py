"""No help names what does not exist: what it quotes can be read, and what it proposes mends what it is proposed for."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from networks import find_errors, in_one_test

from cldfc.diagnostics import CldfError, Diagnostic, Problems, Source, Span
from cldfc.syntax.keywords import STATEMENTS, WORDS_INSIDE
from cldfc.syntax.parse import parse_spec, split_statements
from cldfc.syntax.parse_errors import MATHEMATICAL
from cldfc.syntax.read import read_source

FOLDER = Path(__file__).parent / "golden" / "errors"
CASES = [path for path in sorted(FOLDER.glob("*.cldf")) if path.name[:5] != "E0107"]
QUOTED = re.compile(r"`([^`]*)`")


@cache
def errors_of(source: Source, code: str) -> tuple[Diagnostic, ...]:
    try:
        find_errors(source, code)
    except CldfError as error:
        return error.diagnostics
    return ()


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(FOLDER)


# What a help quotes

SIGNS = set('* = .. @ # " ∘ ⊙ ] ) ( - / → × >= <= [ _ \\'.split())
FRAMES = (
    "{}", "y = {}", "y = x {}", "y = x{}", "y@ℓ = x {}", "y = K {} x", "y = K{} x", "kernel K : 3×3 → 4 {}",
    "levels ℓ = {}", "y = x[{}]", "kernel K : {} → 4", "kernel K : {}", "y = x for {}", "y = x for k = 1..9 {}",
    "x@{{{}}} = 0",
)  # fmt: skip


@cache
def can_be_read(text: str) -> bool:
    """Whether a quoted text is of the language: a statement, or a part of one."""
    text = text.replace("…", "x")
    if text in SIGNS or text.isnumeric() or text in (*STATEMENTS, *WORDS_INSIDE):
        return True
    for frame in FRAMES:
        problems = Problems()
        parse_spec(Source("help.cldf", frame.format(text)), problems)
        if not problems.found:
            return True
    return False


def quotes_elsewhere(text: str) -> bool:
    """Whether a quoted text is a file, or stands on the command line."""
    return Path(text).suffix == ".cldf" or text.startswith(("--", "cldfc ")) or text.removeprefix("\\") in MATHEMATICAL


def helps_of(case: Path) -> list[str]:
    """As the golden file has them, which `test_errors.py` compares."""
    return re.findall(r"^ *= help: (.*)$", case.with_suffix(".txt").read_text(encoding="utf-8"), re.MULTILINE)


@in_one_test(CASES)
def test_what_a_help_quotes_can_be_read(case: Path):
    helps = helps_of(case)
    assert helps
    for text in (text for each in helps for text in QUOTED.findall(each)):
        assert can_be_read(text) or quotes_elsewhere(text), text


# What a help proposes

REPLACED = re.compile(r"^(?:did you mean|write) `([^`…]*)`(?! once| after|, as)")
ADDED = re.compile(
    r"^(?:declare it|write an equation for it|declare a kernel of its own|add)[:,]? `([^`]*)`(?:, `([^`]*)`)*"
)


def proposals(error: Diagnostic, source: Source) -> Iterator[str]:
    """The texts of a spec to which what a help proposes is done."""
    place = error.places[0].span
    if place.source is not source and place.source.text != source.text:
        return
    if found := REPLACED.match(error.help):
        yield replaced(source, place, found[1])
    elif ADDED.match(error.help):
        added = [text.replace("…", "0") for text in QUOTED.findall(error.help.split(", or ")[0].split(" and write")[0])]
        yield source.text + "\n" + "\n".join(added) + "\n"


def replaced(source: Source, place: Span, text: str) -> str:
    """A spec with a text in place of another; a whole statement takes that of a statement."""
    start, end = place.start, place.end
    text = f'"{text}"' if place.text.startswith('"') and len(place.text) > 1 else text
    if (" " in text and text.split()[0] in STATEMENTS) or re.search(
        r"[^=<>]=[^=]", re.sub(r"\[.*?\]|\(.*\)|^for.*", "", text)
    ):
        whole = next(span for span in split_statements(source) if span.start <= start < span.end)
        start, end = whole.start, whole.end
    return source.text[:start] + text + source.text[end:]


def kinds(errors: tuple[Diagnostic, ...]) -> set[tuple[str, str, str]]:
    return {(error.code, error.message, error.places[0].span.text) for error in errors}


PROPOSING = [case for case in CASES if any(REPLACED.match(each) or ADDED.match(each) for each in helps_of(case))]


@in_one_test(PROPOSING)
def test_what_a_help_proposes_mends_the_error(case: Path):
    source = read_source(Path(case.name))
    before = errors_of(source, case.name[:5])
    for error in () if case.stem == "E0102_smart_quotes" else before:  # the quote at the end is another error
        for text in proposals(error, source):
            after = errors_of(Source(source.name, text), case.name[:5])
            assert kinds((error,)).isdisjoint(kinds(after)), text
            unread = {e for e in kinds(after) - kinds(before) if e[0] in ("E0101", "E0102", "E0103", "E0106", "E0205")}
            assert not unread, (unread, text)


def test_helps_propose_something_often_enough():
    """The two tests above read proposals out of the helps' wording: most cases must have one."""
    found = [list(proposals(error, source)) for case in PROPOSING for source in [read_source(Path(case.name))]
             for error in errors_of(source, case.name[:5])]  # fmt: skip
    assert sum(map(bool, found)) > 90


@pytest.mark.parametrize("text", ["A^*", "kernel A :", "1 <=", "\\tfrac{1}", "\\frac", "x @"])
def test_what_is_not_of_the_language_cannot_be_read(text: str):
    assert not can_be_read(text)


MISPLACED = """model M
input f : 1 × {size} × 8
output x : 1 × {size} × 8
kernel A : {kernel}
x = {equation}
"""


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"kernel": "3×1, valid → 1"}, "`kernel K : 3×3 → 16, valid`"),
        ({"kernel": "3×3, groups 2 → 4"}, "`kernel K : 3×3 → 16, groups 2`"),
        ({"kernel": "3×3 circular → 1"}, "`kernel K : 3×3 → 16, circular`"),
        ({"kernel": "3×3, bias → 1"}, "`kernel K : 3×3 → 16, bias`"),
        ({"kernel": "3×3 → 1 each"}, "`kernel K : 3×3 each`"),
        ({"kernel": "3×3 = [0 -1 0; -1 4 -1; 0 -1 0] fixed"}, "-1 4 -1; 0 -1 0] fixed`, or `kernel A : 3×3 each = ["),
        ({"kernel": "3×3 = laplace5 fixed"}, "write `kernel A : 3×3, 1 → 1 = laplace5 fixed`, or"),
        ({"kernel": "3×3, valid = full_weighting"}, "write `kernel A : 3×3, 1 → 1, valid = full_weighting`"),
        ({"kernel": "3x3 circular, symmetric = 1/16 * [1 2 1; 2 4 2; 1 2 1]  # blur"}, "A : 3x3, 1 → 1, circular, sym"),
        ({"kernel": "3×3 shared = average"}, "write `kernel A : 3×3 each shared = average`"),
        ({"kernel": "3×3, 1 = laplace5"}, "write `kernel A : 3×3, 1 → 1 = laplace5`"),
        ({"equation": "A * -f"}, "a negative in parentheses: `A * (-x)`"),
        ({"equation": "f + -f"}, "put both in parentheses"),
        ({"equation": "2^-1 * f"}, "put both in parentheses"),
        ({"equation": "relu(f)[0..0]"}, "write an equation for it, `y = relu(x)`"),
        ({"size": "A"}, "call an open size by a name that nothing else has"),
        ({"size": "relu"}, "call an open size by a name that nothing else has"),
    ],
)
def test_what_stands_in_the_wrong_place_is_put_in_the_right_one(parts: dict[str, str], said: str):
    text = MISPLACED.format(**{"size": "8", "kernel": "3×3, 1 → 1", "equation": "A * f"} | parts)
    with pytest.raises(CldfError) as caught:
        find_errors(Source("t.cldf", text), "")
    first, *_ = caught.value.diagnostics
    assert said in (first.help or "")
    assert all(can_be_read(quoted) for quoted in QUOTED.findall(first.help or ""))
    if "=" in parts.get("kernel", ""):
        (mended,) = proposals(first, Source("t.cldf", text))
        problems = Problems()
        parse_spec(Source("t.cldf", mended), problems)
        assert not problems.found, mended


def test_a_long_name_is_clipped_in_a_help_too():
    """And looked at in time that does not grow with its square."""
    with pytest.raises(CldfError) as caught:
        find_errors(Source("t.cldf", MISPLACED.format(size="8", kernel="3×3, 1 → 1", equation="a" * 100_000)), "")
    (found,) = caught.value.diagnostics
    assert len(found.message) < 200 and len(found.help or "") < 200
