"""Every error with its report: tests/golden/errors/<code>_<name>.cldf and .txt; --update-golden rewrites."""

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from networks import find_errors, in_one_test, some
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Diagnostic, Source, Span, did_you_mean, plain_text, render
from cldfc.syntax.parse import MOST_WRONG
from cldfc.syntax.read import LARGEST_FILE, read_source

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "golden" / "errors"
CASES = sorted(FOLDER.glob("*.cldf"))

# Files with more than one mistake, or one mistake at several independent places.
SEVERAL = {
    "E0201_two_unknown_operators": 2,  # two unknown names
    "E0211_operands_swapped": 2,  # a value stands for a kernel, and the kernel for a value
    "E0211_value_applied": 2,  # a value is applied, and to an operator
    "E0302_two_values": 3,  # two undefined values, one of which is needed at two widths
    "E0502_levels_shortened": 2,  # two constants have too many values for fewer levels
    "E0201_names_of_another_library": 2,  # two unknown names
    "E0502_several_errors": 4,
    "E0102_three_independent": 3,  # a character, an operator, a kernel
    "E0102_ligature": 2,  # where it is declared, and where it is used
    "E0601_several": 3,  # three expectations
    "E0603_two_families": 2,  # a constraint on each
    "E0414_inputs": 2,  # an input, and its kernel
    "E0407_rearranged": 4,  # an operator each
    "E0203_ranges_meet": 2,  # of two kernels
    "E0504_stride_at_level": 2,  # a window, and a stride
    "E0504_no_channels": 2,  # not in order, not whole
    "E0507_channels": 4,  # of a constant, on the left, of an operator, and no range
    "E0507_word": 3,  # two words, and a tag without anything to share
}

# What no small file can show; each has a test of its own below.
WITHOUT_FILE = {"E0108", "E0109"}


@cache
def errors_of(path: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(CldfError) as caught:
        find_errors(read_source(path), path.name)
    return caught.value.diagnostics


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(FOLDER)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_report(case: Path, golden: Callable[[Path, str], None]):
    found = errors_of(Path(case.name))
    golden(case.with_suffix(".txt"), plain_text(render(found)))
    assert found[0].code == case.name[:5]
    assert len(found) == SEVERAL.get(case.stem, 1)


@in_one_test(CASES)
def test_data_agrees_with_text(case: Path):
    for diagnostic in errors_of(Path(case.name)):
        lines = plain_text(render([diagnostic])).splitlines()
        data = diagnostic.as_data()
        assert lines[0] == f"{data['severity']}[{data['code']}]: {data['message']}"
        assert f"  = help: {data['help']}" in lines
        places = data["places"]
        assert isinstance(places, list)
        first = places[0]
        assert lines[1].strip() == f"--> {first['file']}:{first['line']}:{first['column']}"
        for place in places:
            assert any(line.startswith(f"{place['line']:{lines[1].index('-->')}} |") for line in lines)
            assert any(line.endswith(f" {place['label']}") for line in lines)


@in_one_test(CASES)
def test_wording(case: Path):
    for diagnostic in errors_of(Path(case.name)):
        for text in (diagnostic.message, diagnostic.help, *(place.text for place in diagnostic.places)):
            assert text and not text.endswith(".") and "None" not in text and "``" not in text
            assert text[0] in "`…" or text[0].islower() or text[0].isdigit()
            assert text.count("`") % 2 == 0


def test_every_code_has_a_case():
    in_source = {
        code for path in ROOT.glob("cldfc/**/*.py") for code in re.findall(r'"([ER]\d{4})"', path.read_text("utf-8"))
    }
    shown = {path.name[:5] for path in CASES} | WITHOUT_FILE
    assert not in_source - shown, f"no file of tests/golden/errors shows {', '.join(sorted(in_source - shown))}"
    assert not shown - in_source, f"nothing reports {', '.join(sorted(shown - in_source))}"


def test_every_report_has_a_case():
    assert {path.stem for path in FOLDER.glob("*.txt")} == {path.stem for path in CASES}


def test_file_too_large(tmp_path: Path):
    path = tmp_path / "large.cldf"
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    (error,) = errors_of(path)
    assert error.code == "E0108"
    assert error.message == f"the file is larger than {LARGEST_FILE:,} bytes"


LONG = 20_000
HEAD = "model M\nlevels ℓ = 1..2\nsteps i = 1..3\ninput f : 2 × 4 × 4\noutput h : 3\nkernel K : 3×3 → 4\n"
LONG_LINES = {
    "one name": "x = " + "a" * LONG,
    "many names": "x = " + " + ".join(f"v{at}" for at in range(LONG // 8)),
    "many kernels": "x = " + " + ".join(f"L{at} * f" for at in range(LONG // 12)),
    "many values of one family": "v@1 = f\nx = " + " + ".join(f"v@{at}" for at in range(2, LONG // 8)),
    "many shapes": "x = " + " + ".join(["f ⊙ (K * f)"] * (LONG // 14)),
    "many clauses": "x@i = f for " + ", ".join(["j = 1..2"] * (LONG // 10)),
    "many indices": "x = v@" + ",".join(["ℓ"] * (LONG // 2)),
    "a long formula": "x = (1/0" + " + 1" * 500 + ") * f",
    "a long constraint": "constrain " + "u" * LONG + " >= 1",
    "a long path": 'extend "' + "a/" * (LONG // 2) + '"',
    "a long file name": 'extend "' + "a" * 300 + '.cldf"',
    "a long model": "model " + "M" * LONG,
}


@pytest.mark.parametrize("case", some(LONG_LINES, 2))
def test_reports_on_long_lines_are_short(case: str):
    """Each error quotes the ends of what it speaks of, and of many errors the first hundred are listed."""
    with pytest.raises(CldfError) as caught:
        Compilation(Source("long.cldf", f"{HEAD}{LONG_LINES[case]}\nh = linear ∘ avgpool(x)\n")).check()
    errors = caught.value.diagnostics
    assert len(errors) <= 101 and len(plain_text(render(errors))) < 60_000
    if len(errors) > 100:
        assert errors[-1].code == "E0109" and errors[-1].message.endswith("more errors are not listed")


def test_all_errors_are_counted():
    names = " + ".join(f"v{at}" for at in range(1_234))
    with pytest.raises(CldfError) as caught:
        Compilation(Source("many.cldf", f"{HEAD}h = linear ∘ avgpool({names})\n")).check()
    assert caught.value.diagnostics[-1].message == "1,134 more errors are not listed"


@pytest.mark.parametrize("place", ["spec", "extended"])
def test_a_pipe_is_not_opened(tmp_path: Path, place: str):
    """Nobody writes to it, so reading would never end."""
    os.mkfifo(tmp_path / "base.cldf")
    own = tmp_path / "own.cldf"
    own.write_text('extend "base.cldf"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(own if place == "extended" else tmp_path / "base.cldf")])
    assert result.exit_code == (1 if place == "extended" else 2)
    assert "base.cldf` is not a regular file" in result.stderr


def test_a_long_name_of_a_file():
    result = CliRunner().invoke(app, ["check", "a" * 300 + ".cldf"])
    assert result.exit_code == 2 and "File name too long" in result.stderr


def test_reading_stops_after_many_errors():
    with pytest.raises(CldfError) as caught:
        Compilation(Source("numbers.cldf", "1,2,3\n" * 1000)).check()
    *before, last = caught.value.diagnostics
    assert {error.code for error in before} == {"E0101"} and len(before) == MOST_WRONG
    assert last.code == "E0109" and last.places[0].span.line == MOST_WRONG + 1


def test_command_prints_report_and_fails():
    case = "E0302_no_start"
    result = CliRunner().invoke(app, ["check", f"{case}.cldf"])
    assert result.exit_code == 1
    assert result.stderr == Path(f"{case}.txt").read_text(encoding="utf-8")
    assert result.stdout == ""


def test_compile_writes_nothing_for_a_wrong_spec(tmp_path: Path):
    output = tmp_path / "network.py"
    result = CliRunner().invoke(app, ["compile", "E0302_no_start.cldf", "-o", str(output)])
    assert result.exit_code == 1
    assert not output.exists()


def test_missing_file_names_its_neighbours(tmp_path: Path):
    (tmp_path / "other.cldf").write_text("")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "missing.cldf")])
    assert result.exit_code == 2
    assert "there is no file" in result.stderr
    assert "other.cldf" in result.stderr


def test_positions_count_characters():
    source = Source("x.cldf", "a\r\n𝒜b\r\n")
    assert source.position(0) == (1, 1)
    assert source.position(4) == (2, 2)
    assert source.line(1) == "a"
    assert source.line(2) == "𝒜b"
    assert str(Span(source, 4, 5)) == "x.cldf:2:2"


def test_did_you_mean_is_quick_for_long_words():
    assert did_you_mean("x" * 1_000_000, ["relu"], "no") == "no"


@pytest.mark.parametrize("name", ["--let", "--let.cldf", "--tie"])
def test_the_exit_code_does_not_come_from_the_name_of_a_file(tmp_path, monkeypatch, name):
    """1 where a spec is wrong, whatever it is called; 2 where what the command line changes is wrong."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples" / "01_one_iteration.cldf").read_text(encoding="utf-8")
    Path(name).write_text(text, encoding="utf-8")
    assert CliRunner().invoke(app, ["check", "--", name]).exit_code == 0
    assert CliRunner().invoke(app, ["check", "--let", "nothing = 3", "--", name]).exit_code == 2
    assert CliRunner().invoke(app, ["derive", "--residual", "--let", "nothing = 3", "--", name]).exit_code == 2
    assert CliRunner().invoke(app, ["compare", "--let", "nothing = 3", "--", name, name]).exit_code == 2
    Path(name).write_text(text + "v = w\nh = v\n", encoding="utf-8")
    assert CliRunner().invoke(app, ["check", "--", name]).exit_code == 1
    assert CliRunner().invoke(app, ["derive", "--residual", "--", name]).exit_code == 1


def test_what_a_file_extends_is_not_standard_input():
    """`-` is standard input on the command line alone."""
    (found, *_) = Compilation(Source("test.cldf", 'extend "-"\n')).diagnostics
    assert (found.code, found.message) == ("E0704", "there is no file `-`")
