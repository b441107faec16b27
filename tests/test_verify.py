"""`cldfc verify` agrees where it should, and finds what is wrong where it is wrong."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from networks import ROOT
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.diagnostics import Source, UsageError
from cldfc.syntax.read import read_source
from cldfc.task import read_task
from cldfc.verify.subject import Form, prepare
from cldfc.verify.verify import verify_forms, verify_pair

pytestmark = pytest.mark.usefixtures("one_thread")

FORMS = ("written", "simplified")
TOLERANCE = 1e-10
SMALL = sorted([*ROOT.glob("examples/*.cldf"), *ROOT.glob("tests/golden/compile/*.cldf")])

FEATURES = """model Features
levels ℓ = 1..2
steps i = 1..2
let c@ℓ = 4, 6
input f : 3 × 8 × 8
output h : 4
kernel θ : 3×3 → c@1
kernel A@ℓ : 3×3 → c@ℓ
kernel B@ℓ,i : 3×3 → c@ℓ
kernel Π@ℓ : 3×3 → c@ℓ+1
kernel R@ℓ : 3×3 → c@ℓ+1
scalar ω@ℓ = 0.5
let σ = relu ∘ bn
f@1 = σ ∘ θ * f
u@1,0 = 0
u@ℓ,i = u@ℓ,i-1 + ω@ℓ * σ ∘ B@ℓ,i * σ(f@ℓ - A@ℓ * u@ℓ,i-1)
u@ℓ+1,0 = Π@ℓ *_2 u@ℓ,2
f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,2) + A@ℓ+1 * u@ℓ+1,0
h = linear ∘ avgpool(u@2,2)
"""


def small(text=FEATURES, name="test.cldf"):
    return prepare(Source(name, text), read_task())


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_generated_code_computes_the_equations(path):
    subject, forms = prepare(read_source(path), read_task())
    assert verify_forms(subject, forms, TOLERANCE).worst < TOLERANCE


BLOCK = 'x = F.relu(self.bn_B[f"{level}_{i}"](self.B[f"{level}_{i}"](x)))'
UPDATE = "u[level] = u[level] + x"
BN_F, BN_B = (f'self.bn_{name}[f"{{level}}_{{i}}"] = nn.BatchNorm2d(c[level]' for name in "fB")
STEPS = "for i in range(1, 3):\n                #"
PI, R = 'self.Pi[f"{level}"](u[level])', 'self.R[f"{level}"](x)'
# What is replaced by what, and where that shows first: the value, the parameter, and what differs there.
FAULTS = {
    "another step's kernel": (
        {BLOCK: BLOCK.replace('self.B[f"{level}_{i}"]', 'self.B[f"{level}_{3 - i}"]')},
        ("u@1,1", "B.1_1", "operand"),
    ),
    "two kernels exchanged": (
        {PI: 'self.R[f"{level}"](u[level])', R: 'self.Pi[f"{level}"](x)'},
        ("u@2,0", "Pi.1", "operand"),
    ),
    "a stride before its kernel": (
        {
            'self.Pi[f"{level}"] = conv(4, 6, 3, stride=2)': 'self.Pi[f"{level}"] = conv(4, 6, 3)',
            PI: 'self.Pi[f"{level}"](u[level][..., ::2, ::2])',
        },
        ("u@2,0", "Pi.1", "operand"),
    ),
    "a stride that starts at the second pixel": (
        {PI: 'self.Pi[f"{level}"](u[level].roll(1, 3))'},
        ("u@2,0", "Pi.1", "operand"),
    ),
    "another padding": (
        {'self.Pi[f"{level}"](u[level])': 'F.pad(self.Pi[f"{level}"](u[level])[..., 1:], (0, 1))'},
        ("f@2", "A.2", "operand"),
    ),
    "a normalisation forgotten": (
        {BLOCK: 'x = F.relu(self.B[f"{level}_{i}"](x))'},
        ("u@1,1", "bn_B.1_1", "missing"),
    ),
    "another epsilon": (
        {BN_F: f"{BN_F}, eps=1e-6"},
        ("u@1,1", "bn_f.1_1", "result"),
    ),
    "an activation forgotten": ({BLOCK: BLOCK.replace("F.relu(", "(")}, ("u@1,1", "omega.1", "operand")),
    "a sign": ({"(f - self.A": "(f + self.A"}, ("u@1,2", "bn_f.1_2", "operand")),
    "a sign between levels": ({"x = f - self.A": "x = f + self.A"}, ("f@2", "R.1", "operand")),
    "an update forgotten": ({UPDATE: "u[level] = x"}, ("u@2,0", "Pi.1", "operand")),
    "an update forgotten once": ({UPDATE: f"{UPDATE} * ((level, i) != (2, 1))"}, ("u@2,2", "A.2", "operand")),
    "steps in the wrong order": ({STEPS: STEPS.replace("range(1, 3)", "(2, 1)")}, ("u@1,1", "bn_f.1_1", "operand")),
    "another pooling": ({"F.adaptive_avg_pool2d": "F.adaptive_max_pool2d"}, ("h", "linear", "operand")),
    "another momentum": (
        {BN_B: f"{BN_B}, momentum=0.2"},
        ("u@1,1", "bn_B.1_1", "statistics"),
    ),
    "a gradient that stops": ({UPDATE: f"{UPDATE}.detach()"}, ("u@2,2", "omega.2", "gradient")),
    "something added to the output": ({"return self.linear(": "return 1e-6 + self.linear("}, ("h", None, "output")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_where_it_is(fault):
    changes, expected = FAULTS[fault]
    subject, (written, *_) = small()
    source = written.source
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    report = verify_forms(subject, [written, Form("faulty", source)], TOLERANCE)
    assert {row.form for row in report.rows if row.worst > TOLERANCE} == {"faulty"}
    assert (report.first.value, report.first.module, report.first.place) == expected


def test_parameters_that_are_not_the_same_are_a_problem():
    subject, (written, *_) = small()
    more = written.source.replace("self.linear = ", "self.extra = nn.Linear(2, 2)\n        self.linear = ")
    assert "`extra.weight`" in verify_forms(subject, [Form("more", more)], TOLERANCE).problem
    other = written.source.replace("self.theta", "self.vartheta")
    assert "`theta`" in verify_forms(subject, [Form("other", other)], TOLERANCE).problem
    stops = written.source.replace("return self.linear(", "return self.linear(1 / 0 + ")
    report = verify_forms(subject, [Form("stops", stops)], TOLERANCE)
    assert "division by zero" in report.problem and report.worst == math.inf


def test_a_rewritten_form_may_use_a_parameter_less_often():
    """A@1 * u@1,0 is zero; the written form computes it, another need not. A form may have other names."""
    subject, (written, *_) = small()
    x = 'f - self.A[f"{level}"](u[level])))'
    assert x in written.source
    fewer = written.source.replace(x, '(f if (level, i) == (1, 1) else f - self.A[f"{level}"](u[level]))))')
    assert fewer != written.source
    form = Form("fewer", fewer.replace("omega", "damping"), {"omega": "damping"}, is_literal=False)
    assert verify_forms(subject, [written, form], TOLERANCE).worst < TOLERANCE
    wrong = replace(form, source=form.source.replace("return self.linear(", "return 2 * self.linear("))
    report = verify_forms(subject, [written, wrong], TOLERANCE)
    assert report.first.place == "output"
    assert verify_forms(subject, [written, replace(wrong, is_literal=True)], TOLERANCE).first.place == "operand"


# Theorem 1: with one linear A in each level the features and the residuals are one network.

LINES = """steps i = 1..3
input f : 3 × 8 × 8
output h : 4
kernel θ : 3×3 → 4
kernel A : 3×3 → 4
let σ = relu ∘ bn"""
RESIDUALS = f"""model Residuals
{LINES}
kernel B@i : 3×3 → 4
r@0 = θ * f
r@i = r@i-1 - A * σ ∘ B@i * σ(r@i-1)
h = linear ∘ avgpool(r@3)
"""
AS_FEATURES = f"""model AsFeatures
{LINES}
kernel C@i : 3×3 → 4
g = θ * f
u@0 = 0
u@i = u@i-1 + σ ∘ C@i * σ(g - A * u@i-1)
h = linear ∘ avgpool(g - A * u@3)
"""
NAMES = {"B": "C", "bn_r": "bn_g", "bn_B": "bn_C"}


def pair(one, two, names):
    return verify_pair(*small(one), *small(two), names, TOLERANCE)


def test_theorem_1():
    report = pair(RESIDUALS, AS_FEATURES, NAMES)
    assert report.worst < 1e-12 and report.first is None and not report.unused
    assert [row.form for row in report.rows] == ["AsFeatures", "AsFeatures"]


def test_two_networks_that_are_not_the_same():
    report = pair(RESIDUALS, AS_FEATURES.replace("u@i-1 + σ", "u@i-1 + 2 * σ"), NAMES)
    assert (report.first.value, report.first.module, report.first.place) == ("r@2", "bn_r.2", "operand")


def test_a_parameter_without_counterpart_is_named():
    with pytest.raises(UsageError, match=r"`Residuals` has the parameter `bn_r\.1\.weight`, and `AsFeatures` has none"):
        pair(RESIDUALS, AS_FEATURES, {"B": "C", "bn_B": "bn_C"})
    other = AS_FEATURES.replace("avgpool(g", "avgpool ∘ bn(g")
    with pytest.raises(UsageError, match=r"`AsFeatures` has the parameter `bn_g_2\.weight`, and `Residuals` has none"):
        pair(RESIDUALS, other, NAMES)


def test_a_parameter_that_does_not_matter_needs_no_counterpart():
    other = AS_FEATURES.replace("u@0 = 0", "kernel D : 3×3, 4 → 4\nu@0 = D * z\nz = 0")
    report = pair(RESIDUALS, other, NAMES)
    assert report.worst < 1e-12 and report.unused == ("D.weight",)


def test_what_cannot_be_mapped():
    with pytest.raises(UsageError, match="the first spec has no parameter `X` to map"):
        pair(RESIDUALS, AS_FEATURES, NAMES | {"X": "C"})
    with pytest.raises(UsageError, match="the second spec has no parameter `X` to map"):
        pair(RESIDUALS, AS_FEATURES, NAMES | {"B": "X"})
    with pytest.raises(UsageError, match="different shapes"):
        pair(RESIDUALS, AS_FEATURES.replace("kernel A : 3×3", "kernel A : 1×1"), NAMES)
    with pytest.raises(UsageError, match="different inputs and outputs"):
        pair(RESIDUALS, AS_FEATURES.replace("h : 4", "h : 5"), NAMES)


def test_large_maps_are_cut_down():
    subject, _ = small(RESIDUALS.replace("8 × 8", "400 × 70"))
    assert subject.shape == (3, 64, 64) and subject.full_shape == (3, 400, 70)
    text = RESIDUALS.replace("8 × 8", "400 × 70").replace("avgpool(r@3)", "flatten ∘ avgpool[66, padding=0](r@3)")
    assert small(text)[0].shape == (3, 400, 70)


# The command


def verify(*arguments: str):
    return CliRunner().invoke(app, ["verify", *arguments])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"one": RESIDUALS, "two": AS_FEATURES}.items():
        (tmp_path / f"{name}.cldf").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_command_prints_a_table(files):
    result = verify("one.cldf")
    assert result.exit_code == 0 and result.stderr == ""
    first, _, head, *rows, _, last = result.stdout.splitlines()
    assert first == "one.cldf: Residuals against the equations, at two images of 3 × 8 × 8"
    assert head.split() == ["form", "mode", "outputs", "gradients", "statistics"]
    assert [row.split()[:2] for row in rows] == [[form, mode] for form in FORMS for mode in ("eval", "train")]
    assert last.startswith("largest difference ") and last.endswith(", within 1.0e-10")


def test_the_command_compares_two_specs(files):
    maps = [argument for pair in NAMES.items() for argument in ("--map", "=".join(pair))]
    result = verify("one.cldf", "two.cldf", *maps)
    assert result.exit_code == 0 and "AsFeatures" in result.stdout
    result = verify("one.cldf", "two.cldf", *maps, "--tolerance", "1e-30", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and not found["agrees"] and found["first"]["value"] and len(found["rows"]) == 2


WRONG = {
    "a tolerance": (["one.cldf", "--tolerance", "0"], "a tolerance of 0.0 is not possible"),
    "a map without a second spec": (["one.cldf", "--map", "A=B"], "`--map` speaks of a second spec"),
    "a map without a sign": (["one.cldf", "two.cldf", "--map", "AB"], "`AB` maps no name to another"),
    "a missing counterpart": (["one.cldf", "two.cldf"], "has none that corresponds to it"),
    "no file": (["three.cldf"], "there is no file `three.cldf`"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_command_line(wrong, files):
    arguments, message = WRONG[wrong]
    result = verify(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and message in result.stderr and "= help: " in result.stderr


def test_a_wrong_spec_is_reported(files):
    (files / "one.cldf").write_text(RESIDUALS.replace("r@0 = θ", "r@0 = η"), encoding="utf-8")
    result = verify("one.cldf")
    assert result.exit_code == 1 and "error[E0201]" in result.stderr
