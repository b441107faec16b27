"""`cldfc explain`: every code has a page, whose wrong example raises it and whose right one compiles."""

import re
from pathlib import Path

import pytest
from networks import ROOT, find_errors, in_one_test
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.diagnostics import CldfError, UsageError
from cldfc.error_pages import GROUPS, WIDTH, explain_code, explanations
from cldfc.syntax.read import read_source

# What the statements of an example replace, unless it is a whole spec or extends one itself.
FRAME = """
model Example

levels ℓ = 1..J
steps  i = 1..ν
let J = 2
let ν@ℓ = 2, 2
let c@ℓ = 16, 32

input  f : 3 × 32 × 32
output h : 10

kernel θ     : 3×3 → c@1
kernel A@ℓ   : 3×3 → c@ℓ
kernel B@ℓ,i : 3×3 → c@ℓ
kernel R@ℓ   : 1×1 → c@ℓ

let σ = relu ∘ bn

r@1,0   = σ ∘ θ * f
r@ℓ,i   = r@ℓ,i-1 + A@ℓ * σ ∘ B@ℓ,i * σ(r@ℓ,i-1)
r@ℓ+1,0 = R@ℓ+1 *_2 r@ℓ,ν + A@ℓ+1 * σ ∘ B@ℓ+1,0 *_2 σ(r@ℓ,ν)
h       = linear ∘ avgpool ∘ σ(r@J,ν)
"""

WITHOUT_EXAMPLES = {
    "E0105",  # takes more than 200 operators, one inside the other
    "E0107",  # bytes that are no text
    "E0108",  # takes a file of megabytes
    "E0109",  # takes twenty statements, all of them wrong
}
SHOWN = [code for code in explanations() if code not in WITHOUT_EXAMPLES]


def codes_in_source() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "cldfc").glob("**/*.py")]
    return {code for text in texts for code in re.findall(r'"([ER]\d{4})"', text)}


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("base.cldf").write_text(FRAME, encoding="utf-8")
    Path("link.cldf").symlink_to("base.cldf")
    return tmp_path


def check(example: str, code: str) -> None:
    is_whole = re.search(r"^(model|extend) ", example, re.MULTILINE)
    Path("example.cldf").write_text(example if is_whole else f'extend "base.cldf"\n{example}', encoding="utf-8")
    find_errors(read_source(Path("example.cldf")), code)


def test_every_code_has_a_page():
    codes, pages = codes_in_source(), explanations().keys()
    assert not codes - pages, f"{', '.join(sorted(codes - pages))} has no page in cldfc/explanations"
    assert not pages - codes, f"nothing reports {', '.join(sorted(pages - codes))}"
    assert {code[1:3] for code in explanations()} == GROUPS.keys()


@pytest.mark.parametrize("code", SHOWN)
def test_wrong_example_raises_the_code(code: str, in_folder: Path):
    with pytest.raises(CldfError) as caught:
        check(explanations()[code].examples["Wrong"], code)
    assert caught.value.diagnostics[0].code == code


@pytest.mark.parametrize("code", SHOWN)
def test_right_example_compiles(code: str, in_folder: Path):
    check(explanations()[code].examples["Right"], code)


@in_one_test(explanations())
def test_page(code: str):
    page = explanations()[code]
    assert page.title[0].islower() and not page.title.endswith(".")
    assert page.text.endswith(".") and page.text.count("`") % 2 == 0 and "#" not in page.text
    assert list(page.examples) == ([] if code in WITHOUT_EXAMPLES else ["Wrong", "Right"])
    assert all(len(line) <= WIDTH for line in explain_code(code).splitlines())


def test_list_names_every_code():
    lines = explain_code(None).splitlines()
    assert all(f"  {code}  {page.title}" in lines for code, page in explanations().items())
    assert all(len(line) <= WIDTH for line in lines)


@pytest.mark.parametrize("written", ["E0302", "e302", "0302", "302", " E302 "])
def test_spellings_of_a_code(written: str):
    assert explain_code(written).startswith("E0302: ")


def test_unknown_code():
    with pytest.raises(UsageError) as caught:
        explain_code("E0333")
    assert caught.value.help.startswith("did you mean `E03")
    with pytest.raises(UsageError) as caught:
        explain_code("what")
    assert caught.value.help == "`cldfc explain` lists all codes"


def test_command():
    result = CliRunner().invoke(app, ["explain", "e302"])
    assert (result.exit_code, result.stdout) == (0, explain_code("E0302") + "\n")
    result = CliRunner().invoke(app, ["explain", "E9999"])
    assert result.exit_code == 2 and "there is no error `E9999`" in result.stderr
