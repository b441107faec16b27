"""Remarks: said without failing, and only where there is a reason."""

import json
from pathlib import Path

import pytest
from networks import ROOT, some
from typer.testing import CliRunner

from cldfc.algebra import remarks
from cldfc.cli import app
from cldfc.compilation import REMARKS, Compilation
from cldfc.diagnostics import Source
from cldfc.syntax.read import read_source

HEAD = """
model Net
steps i = 1..2
input f : 3 × 8 × 8
output h : 10
kernel K : 3×3 → 3
kernel L : 3×3 → 3
"""


def codes(text: str) -> list[str]:
    return [remark.code for remark in Compilation(Source("test.cldf", text)).diagnostics]


def test_every_remark_takes_part():
    missing = {name for name in vars(remarks) if name.startswith("remark_")} - {remark.__name__ for remark in REMARKS}
    assert not missing, f"`{', '.join(missing)}` is not in REMARKS of cldfc/compilation.py"


@pytest.mark.parametrize("output, remarked", [("softmax ∘ linear", True), ("relu ∘ softmax ∘ linear", False)])
def test_softmax(output: str, remarked: bool):
    assert codes(f"{HEAD}h = {output} ∘ avgpool(f)") == ["R0903"] * remarked


@pytest.mark.parametrize(
    ("equations", "remarked"),
    [
        ("h = linear ∘ avgpool(f + K * f)", True),
        ("h = linear ∘ avgpool ∘ relu(f - K * f)", True),
        ("h = linear ∘ relu ∘ linear[7] ∘ avgpool(f + K * f)", True),
        ("h = linear ∘ avgpool ∘ L * (f + K * f)", True),
        ("h = linear ∘ avgpool(concat(f, f + K * relu ∘ bn(f)))", True),
        ("h = linear ∘ avgpool(sum(i = 1..2 : K * f))", True),
        ("h = linear ∘ avgpool ∘ bn(f + K * f)", False),
        ("h = linear ∘ avgpool ∘ relu ∘ gn[1](f + K * f)", False),
        ("h = linear ∘ avgpool ∘ tanh(f + K * f)", False),
        ("h = linear ∘ avgpool(f + relu ∘ bn ∘ K * f)", False),
        # Chains of kernels, as in LeNet-5 and VGG.
        ("h = linear ∘ relu ∘ linear[7] ∘ flatten ∘ maxpool[2] ∘ relu ∘ L * relu ∘ K * f", False),
    ],
)
def test_head(equations: str, remarked: bool):
    assert codes(HEAD + equations) == ["R0901"] * remarked


@pytest.mark.parametrize(
    ("equations", "help"),
    [
        (
            "h = 0.1 * linear ∘ flatten ∘ maxpool[2] ∘ u",
            "write `h = 0.1 * linear ∘ flatten ∘ maxpool[2] ∘ relu ∘ bn(u)`",
        ),
        ("v = avgpool(u)\nh = linear(v)", "apply `relu ∘ bn` to `u` before `linear`"),
        ("h = linear ∘ avgpool(u) + linear ∘ flatten ∘ bn(u)", "apply `relu ∘ bn` to `u` before `linear`"),
        ("let F = linear ∘ avgpool\nh = F(u)", "write `h = F ∘ relu ∘ bn(u)`"),
        ("let s = relu ∘ gn[3]\nh = linear ∘ avgpool ∘ relu(u)", "write `h = linear ∘ avgpool ∘ relu ∘ s(u)`"),
    ],
)
def test_help_is_right(equations: str, help: str):
    """What is proposed is said of the network, and has no remark itself."""
    text = f"{HEAD}u = f + K * f\n{equations}"
    (remark,) = Compilation(Source("test.cldf", text)).diagnostics
    assert remark.help == help
    if help.startswith("write"):
        assert not codes(text.replace(equations.splitlines()[-1], help.removeprefix("write `").rstrip("`")))


@pytest.mark.parametrize(
    ("pool", "message", "help"),
    [
        ("maxpool[2]", "leaves 1 of 7 columns out", "padding=1"),
        ("avgpool[7]", None, None),
        ("maxpool[3, stride=2]", None, None),
        ("avgpool[3]", "2 of 14 rows and 1 of 7 columns", "padding=1"),
        ("maxpool[5]", "4 of 14 rows and 2 of 7 columns", "that fit into the map"),
        ("avgpool[2, stride=3]", "4 of 14 rows and 3 of 7 columns", "at most 2"),
        ("maxpool[2, padding=1]", None, None),
    ],
)
def test_pools_that_leave_something_out(pool: str, message: str | None, help: str | None):
    equation = f"h = linear ∘ flatten ∘ {pool} ∘ relu ∘ K * f"
    text = (HEAD + equation).replace("8 × 8", "14 × 7")
    remarks = Compilation(Source("test.cldf", text)).diagnostics
    assert [remark.code for remark in remarks] == ["R0902"] * (message is not None)
    for remark in remarks:
        assert message in remark.message and help in remark.help


PRINTED = {"fbresnet_as_printed", "preact18_as_printed", "preact18_Al_as_printed"}


@pytest.mark.parametrize("path", some(sorted((ROOT / "specs").rglob("*.cldf")), 4), ids=lambda path: path.stem)
def test_specs(path: Path):
    """Those that are as the paper prints them have no normalisation before `linear`, all others have one."""
    assert [remark.code for remark in Compilation(read_source(path)).diagnostics] == ["R0901"] * (path.stem in PRINTED)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.cldf")), ids=lambda path: path.stem)
def test_examples_have_no_remarks(path: Path):
    assert not Compilation(read_source(path)).diagnostics


def test_compile_remarks_without_failing(tmp_path: Path):
    path = tmp_path / "net.cldf"
    path.write_text(HEAD + "h = linear ∘ flatten ∘ maxpool[3] ∘ relu ∘ K * f\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["compile", str(path), "-o", str(tmp_path / "net.py")])
    assert result.exit_code == 0 and ", 3), 1)" in (tmp_path / "net.py").read_text(encoding="utf-8")
    assert "remark[R0902]: `maxpool[3]` leaves 2 of 8 rows and 2 of 8 columns out, in `h`" in result.stderr


def test_check_remarks_without_failing(tmp_path: Path):
    path = tmp_path / "net.cldf"
    path.write_text(HEAD + "h = linear ∘ avgpool(f + K * f)\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 0 and result.stdout == f"{path}: Net, 121 parameters\n"
    assert "remark[R0901]" in result.stderr and "1 remark in" in result.stderr
    (remark,) = json.loads(CliRunner().invoke(app, ["check", str(path), "--json"]).stdout)
    assert (remark["severity"], remark["code"]) == ("remark", "R0901")
    assert remark["help"] == "write `h = linear ∘ avgpool ∘ relu ∘ bn(f + K * f)`"
