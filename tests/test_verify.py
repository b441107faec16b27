"""`cldfc verify` agrees where it should, and finds what is wrong where it is wrong."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import ROOT, some
from residual_variations import VARIATIONS
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source, UsageError
from cldfc.syntax.read import read_source
from cldfc.verify import equivalence
from cldfc.verify.deviation import Allowed, compare_outcomes
from cldfc.verify.equivalence import report_lines, verify_file, verify_forms, verify_specs
from cldfc.verify.outcome import Candidate, Outcome, candidates_of, smaller

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
    network = smaller(Compilation(Source(name, text)))
    return network, candidates_of(network)


@pytest.mark.parametrize("path", some(SMALL, 6), ids=lambda path: path.stem)
def test_generated_code_computes_the_equations(path):
    network = smaller(Compilation(read_source(path)))
    forms = candidates_of(network)
    assert verify_forms(network, forms, TOLERANCE).worst < TOLERANCE


def test_a_form_that_is_written_twice_runs_once(monkeypatch):
    network, (written, _) = small("model Linear\ninput f : 1 × 4 × 4\noutput h : 2\nh = linear ∘ avgpool(f)\n")
    forms = [written, replace(written, name="simplified", is_literal=False)]
    runs = []
    outcome = equivalence.outcome_of_network
    monkeypatch.setattr(equivalence, "outcome_of_network", lambda *given: runs.append(given) or outcome(*given))
    rows = [(row.form, row.mode, row.agrees) for row in verify_forms(network, forms, TOLERANCE).rows]
    assert rows == [(form, mode, True) for form in FORMS for mode in ("eval", "train")]
    assert len(runs) == 2


BLOCK = 'x = F.relu(self.bn_B[f"{level}_{i}"](self.B[f"{level}_{i}"](x)))'
UPDATE = "u = u + x"
BN_F, BN_B = (f'self.bn_{name}[f"{{level}}_{{i}}"] = nn.BatchNorm2d(c[level]' for name in "fB")
STEPS = "for i in range(1, 3):\n                #"
PI, R = 'self.Pi[f"{level}"](u)', 'self.R[f"{level}"](x)'
# What is replaced by what, and where that shows first: the value, the parameter, and what differs there.
FAULTS = {
    "another step's kernel": (
        {BLOCK: BLOCK.replace('self.B[f"{level}_{i}"]', 'self.B[f"{level}_{3 - i}"]')},
        ("u@1,1", "B.1_1", "operand"),
    ),
    "two kernels exchanged": (
        {PI: 'self.R[f"{level}"](u)', R: 'self.Pi[f"{level}"](x)'},
        ("u@2,0", "Pi.1", "operand"),
    ),
    "a stride before its kernel": (
        {
            'self.Pi[f"{level}"] = conv(4, 6, 3, stride=2)': 'self.Pi[f"{level}"] = conv(4, 6, 3)',
            PI: 'self.Pi[f"{level}"](u[..., ::2, ::2])',
        },
        ("u@2,0", "Pi.1", "operand"),
    ),
    "a stride that starts at the second pixel": (
        {PI: 'self.Pi[f"{level}"](u.roll(1, 3))'},
        ("u@2,0", "Pi.1", "operand"),
    ),
    "another padding": (
        {'self.Pi[f"{level}"](u)': 'F.pad(self.Pi[f"{level}"](u)[..., 1:], (0, 1))'},
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
    "an update forgotten": ({UPDATE: "u = x"}, ("u@2,0", "Pi.1", "operand")),
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


@pytest.mark.parametrize("fault", some(FAULTS, 3))
def test_a_fault_is_found_where_it_is(fault):
    changes, expected = FAULTS[fault]
    network, (written, *_) = small()
    source = written.code
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    report = verify_forms(network, [Candidate("faulty", source)], TOLERANCE)
    assert not report.agrees
    assert (report.first.value, report.first.parameter, report.first.place) == expected


def test_parameters_that_are_not_the_same_are_a_problem():
    network, (written, *_) = small()
    more = written.code.replace("self.linear = ", "self.extra = nn.Linear(2, 2)\n        self.linear = ")
    assert "`extra.weight`" in verify_forms(network, [Candidate("more", more)], TOLERANCE).problem
    other = written.code.replace("self.theta", "self.vartheta")
    assert "`theta`" in verify_forms(network, [Candidate("other", other)], TOLERANCE).problem
    stops = written.code.replace("return self.linear(", "return self.linear(1 / 0 + ")
    report = verify_forms(network, [Candidate("stops", stops)], TOLERANCE)
    assert "division by zero" in report.problem and report.worst == math.inf


def test_a_rewritten_form_may_use_a_parameter_less_often():
    """A@1 * u@1,0 is zero; the written form computes it, another need not."""
    network, (written, *_) = small()
    x = 'f - self.A[f"{level}"](u)))'
    assert x in written.code
    fewer = written.code.replace(x, '(f if (level, i) == (1, 1) else f - self.A[f"{level}"](u))))')
    assert fewer != written.code
    form = Candidate("fewer", fewer, is_literal=False)
    assert verify_forms(network, [written, form], TOLERANCE).worst < TOLERANCE
    wrong = replace(form, code=form.code.replace("return self.linear(", "return 2 * self.linear("))
    report = verify_forms(network, [written, wrong], TOLERANCE)
    assert report.first.place == "output"
    assert verify_forms(network, [written, replace(wrong, is_literal=True)], TOLERANCE).first.place == "operand"


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
    return verify_specs(*small(one), *small(two), names, TOLERANCE)


def test_theorem_1():
    report = pair(RESIDUALS, AS_FEATURES, NAMES)
    assert report.worst < 1e-12 and report.first is None and not report.unused
    assert [row.form for row in report.rows] == ["AsFeatures", "AsFeatures"]


def test_two_networks_that_are_not_the_same():
    report = pair(RESIDUALS, AS_FEATURES.replace("u@i-1 + σ", "u@i-1 + 2 * σ"), NAMES)
    assert (report.first.value, report.first.parameter, report.first.place) == ("r@2", "bn_r.2", "operand")


def test_a_parameter_without_counterpart_is_named():
    report = pair(RESIDUALS, AS_FEATURES, {"B": "C", "bn_B": "bn_C"})
    assert not report.agrees and report.problem == "these are different networks:"
    assert report.contrasts == (
        "`bn_r.1`, `bn_r.2` and 1 more are here alone",
        "`bn_g.1`, `bn_g.2` and 1 more are there alone",
        "if one is called otherwise there, say so: `--map bn_r=bn_g`",
    )
    report = pair(RESIDUALS, AS_FEATURES.replace("avgpool(g", "avgpool ∘ bn(g"), {**NAMES, "bn_r": "bn_g_u"})
    assert report.contrasts == ("`bn_g_h` is there alone",)


def test_a_parameter_that_does_not_matter_needs_no_counterpart():
    other = AS_FEATURES.replace("u@0 = 0", "kernel D : 3×3, 4 → 4\nu@0 = D * z\nz = 0")
    report = pair(RESIDUALS, other, NAMES)
    assert report.worst < 1e-12 and report.unused == ("D.weight",)


def test_what_cannot_be_mapped():
    with pytest.raises(UsageError, match="the first network has no parameter `X` to map"):
        pair(RESIDUALS, AS_FEATURES, NAMES | {"X": "C"})
    with pytest.raises(UsageError, match="the second network has no parameter `X` to map"):
        pair(RESIDUALS, AS_FEATURES, NAMES | {"B": "X"})


# The residual form that `derive` writes needs no map


@pytest.mark.parametrize(
    "name",
    some(
        [
            "as it is",
            "several corrections",
            "an output of the residual",
            "σ around Π and R",
            "a V-cycle",
            "a residual with a name",
        ],
        3,
    ),
)
def test_the_residual_form_is_the_network_it_is_derived_from(name):
    text = VARIATIONS[name][0]
    source = Compilation(Source("test.cldf", text)).derivation.spec.source
    for one, two in ((text, source.text), (source.text, text)):
        report = pair(one, two, {})
        assert report.agrees and report.worst < 1e-12


ONE_LEVEL = """model OneLevel
let J = 1
levels ℓ = 1..J
steps i = 1..1
input f : 1 × 8 × 8
output h : 3
kernel θ : 1×1 → 4
kernel A@ℓ : 3×3 → 4
kernel B@ℓ,i : 3×3 → 4
kernel C@ℓ,i : 3×3 → 4
f@1 = relu ∘ θ * f
f@ℓ+1 = f@ℓ - A@ℓ * u@ℓ,1
u@ℓ,0 = 0
u@ℓ,i = u@ℓ,i-1 + relu ∘ B@ℓ,i * relu(f@ℓ - A@ℓ * u@ℓ,i-1)
v@J,0 = u@J,1
v@ℓ,i = v@ℓ,i-1 + relu ∘ C@ℓ,i * (f@ℓ - A@ℓ * v@ℓ,i-1)
h = linear ∘ avgpool(v@1,1)
"""


def test_a_kernel_that_the_residual_form_uses_at_one_level_has_the_same_name():
    """Of the uses of A@ℓ, `A@J * v@J,0` is left."""
    derived = Compilation(Source("test.cldf", ONE_LEVEL)).derivation.spec.source.text
    assert "A@J * v@J,0" in derived
    assert pair(ONE_LEVEL, derived, {}).agrees and pair(derived, ONE_LEVEL, {}).agrees


# Networks that are not the same

LOOP = """model Loop
levels ℓ = 1..J
steps i = 1..ν
let J = 2
let ν@ℓ = 2, 2
let c@ℓ = 4, 8
input f : 3 × 8 × 8
output h : 4
kernel θ : 3×3 → c@1
kernel A@ℓ : 3×3 → c@ℓ
kernel B@ℓ,i : 3×3 → c@ℓ
kernel R@ℓ : 3×3 → c@ℓ+1
tie B@ℓ
r@1,0 = relu ∘ θ * f
r@ℓ,i = r@ℓ,i-1 - A@ℓ * relu ∘ B@ℓ,i * relu(r@ℓ,i-1)
r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν
h = linear ∘ avgpool(r@J,ν)
"""
KERNEL = "kernel A@ℓ : 3×3 → c@ℓ"
# What is replaced by what, and what is said of it.
CONTRASTS = {
    "more steps, the same parameters": (("ν@ℓ = 2, 2", "ν@ℓ = 2, 3"), "level 2 has 2 steps here, 3 there"),
    "fewer levels": (("let J = 2", "let J = 1"), "2 levels here, 1 there"),
    "groups": ((KERNEL, f"{KERNEL}, groups 2"), "`A`: groups 1 here, 2 there"),
    "a bias": ((KERNEL, f"{KERNEL}, bias"), "`A`: bias none here, yes there"),
    "a dilation": ((KERNEL, f"{KERNEL}, dilation 2"), "`A`: dilation 1×1 here, 2×2 there"),
    "a size": (("kernel R@ℓ : 3×3", "kernel R@ℓ : 1×1"), "`R.1`: size 3×3 here, 1×1 there"),
    "no tie": (
        ("tie B@ℓ", ""),
        "`B` is shared in another way: `B.1`, `B.2` here, `B.1_1`, `B.1_2` and 2 more there",
    ),
    "another input": (("3 × 8 × 8", "3 × 16 × 16"), "the input is 3 × 8 × 8 here, 3 × 16 × 16 there"),
    "another output": (("h : 4", "h : 5"), "the output has 4 numbers here, 5 there"),
    "a normalisation": (("= relu ∘ θ", "= relu ∘ bn ∘ θ"), "`bn_theta` is there alone"),
}


@pytest.mark.parametrize("name", CONTRASTS)
def test_what_differs_is_said(name):
    (old, new), line = CONTRASTS[name]
    assert old in LOOP
    other = LOOP.replace(old, new).replace("c@ℓ = 4, 8", "c@ℓ = 4" if "J = 1" in new else "c@ℓ = 4, 8")
    other = other.replace("ν@ℓ = 2, 2", "ν@ℓ = 2" if "J = 1" in new else "ν@ℓ = 2, 2")
    report = pair(LOOP, other, {})
    assert not report.agrees and line in report.contrasts


# A file with the network


def test_a_generated_file_is_compared(tmp_path):
    network, forms = small(LOOP)
    file = tmp_path / "net.py"

    def verify(*changes: tuple[str, str], names: dict[str, str] | None = None):
        text = forms[1].code
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        return verify_file(network, forms, file, names or {}, TOLERANCE)

    assert verify().agrees
    assert verify(("class Loop", "class Edited")).agrees
    older = [("self.B", "self.C")]
    assert "if one is called otherwise there, say so: `--map B=C`" in verify(*older).contrasts
    assert verify(*older, names={"B": "C"}).agrees
    report = verify(("r - self.A", "r + self.A"))
    assert not report.agrees and (report.first.value, report.first.place) == ("r@1,2", "operand")
    assert "does not run: SyntaxError" in verify(("import torch\n", "import torch (\n")).problem
    assert "does not run: SystemExit: 3" in verify(("import torch\n", "import torch\nraise SystemExit(3)\n")).problem
    assert "gives no tensor, but tuple" in verify(("return self.linear(", "return 1, self.linear(")).problem
    with pytest.raises(UsageError, match="defines no torch module"):
        verify((forms[1].code, "x = 1"))


# Rounding


NEARLY_CONSTANT = """model NearlyConstant
steps i = 1..3
input f : 3 × 8 × 8
output h : 4
kernel θ : 3×3 → 4
kernel A : 1×1 → 4
kernel B : 1×1 → 4
u@0 = 1/100000000 * θ * f
u@i = bn(A * u@i-1 + B * u@i-1)
h = linear ∘ avgpool(u@3)
"""


def test_rounding_alone_is_no_difference():
    """bn divides by the deviation of a nearly constant map, three times over; a small fault is still found there."""
    network, (written, *_) = small(NEARLY_CONSTANT)
    turned = written.code.replace("self.A(u) + self.B(u)", "self.B(u) + self.A(u)")
    faulty = turned.replace("self.B(u) + self.A(u)", "self.B(u) + 1.000001 * self.A(u)")
    assert len({written.code, turned, faulty}) == 3
    report = verify_forms(network, [written, Candidate("turned", turned)], TOLERANCE)
    assert report.worst > TOLERANCE and report.agrees and report.first is None
    assert "which is rounding" in "\n".join(report_lines(report, TOLERANCE))
    report = verify_forms(network, [written, Candidate("faulty", faulty)], TOLERANCE)
    assert {row.form for row in report.rows if not row.agrees} == {"faulty"}
    assert (report.first.value, report.first.parameter, report.first.place) == ("u@1", "bn_A.1", "operand")


def test_large_maps_are_cut_down():
    network, _ = small(RESIDUALS.replace("8 × 8", "400 × 70"))
    assert network.program.shape == (3, 64, 64)
    text = RESIDUALS.replace("8 × 8", "400 × 70").replace("avgpool(r@3)", "flatten ∘ avgpool[66, padding=0](r@3)")
    assert small(text)[0].program.shape == (3, 400, 70)


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
    assert last.startswith("equal: largest difference ") and last.endswith(", within 1.0e-10")


def test_the_command_compares_two_specs(files):
    maps = [argument for pair in NAMES.items() for argument in ("--map", "=".join(pair))]
    result = verify("one.cldf", "two.cldf", *maps)
    assert result.exit_code == 0 and "AsFeatures" in result.stdout
    result = verify("one.cldf", "two.cldf", *maps, "--tolerance", "1e-30", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and found["agrees"] and found["largest"] > 1e-30
    assert all(row["rounding"] > row["gradients"] > 0 for row in found["rows"]) and len(found["rows"]) == 2
    result = verify("one.cldf", "two.cldf", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and not found["agrees"] and found["contrasts"]


WRONG = {
    "a tolerance": (["one.cldf", "--tolerance", "0"], "a tolerance of 0.0 is not possible"),
    "a map without a second spec": (["one.cldf", "--map", "A=B"], "`--map` needs a second network"),
    "a map without a sign": (["one.cldf", "two.cldf", "--map", "AB"], "`AB` maps no name to another"),
    "no network": (["one.cldf", "three.py"], "there is no file `three.py`"),
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


@pytest.mark.parametrize(("gradient", "is_small"), [(1e-15, True), (0.0, True), (1e-3, False)])
def test_a_parameter_that_one_side_lacks_has_no_gradient_but_rounding(gradient, is_small):
    """What a rewrite leaves out has a gradient whose terms cancel: in another order of computation, not quite."""
    one, own = torch.ones(2), torch.full((2,), gradient)
    expected = Outcome((one,), {"A.weight": one, "K.weight": own}, {}, ())
    found = Outcome((one,), {"A.weight": one}, {}, ())
    names = {name: name for name in expected.gradients}
    assert Allowed(1e-10).hold(compare_outcomes(expected, found, names)) == is_small
