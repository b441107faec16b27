"""Theorem 1: the residual form of a spec is the same network, and reads as a person would write it."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from matplotlib import mathtext
from networks import ROOT, build, compare, compile_text, printed, randomise, relative_difference, some
from reference_networks import FeatureResNet
from residual_variations import VARIATIONS, changed, random_network, small
from test_networks import feature_name
from typer.testing import CliRunner

import cldfc
from cldfc.algebra.residual.derivation import explain_as_latex
from cldfc.algebra.residual.linear_form import LinearForms
from cldfc.algebra.residual.vocabulary import read_vocabulary, substitute
from cldfc.cli import app
from cldfc.cli.derive import EXPLAIN, remarks_on_derivation
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.emit.torch_module import emit_module
from cldfc.error_pages import explanations
from cldfc.network.cost import cost_of_network
from cldfc.syntax import tree
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import format_expression, format_statement, format_symbol
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.read import read_source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

FOLDER = ROOT / "tests" / "golden" / "derive"
SPEC = ROOT / "specs" / "fbresnet.cldf"
TOLERANCE = 1e-12


@cache
def derived(text: str, *lets: str, ties: tuple[str, ...] = ()):
    return Compilation(Source("test.cldf", text), read_changes(lets, ties)).derivation


def two_networks(text: str):
    """The residual form and the network as written with the same weights; what the other lacks, cancels."""
    source = Source("test.cldf", text)
    graphs = Compilation(derived(text).spec.source).simplified, Compilation(source).written
    one, other = (build(emit_module(graph)).double() for graph in graphs)
    randomise(other)
    assert one.load_state_dict(other.state_dict(), strict=False).missing_keys == []
    return one, other, graphs


def difference_in_training(text: str, steps: int = 3) -> float:
    """The largest relative difference over some steps of SGD: outputs, gradients, statistics, then outputs again.

    Gradients are compared with the largest of the network, for those that cancel are rounding errors.
    """
    one, other, graphs = two_networks(text)
    optimizers = [torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9) for network in (one, other)]
    generator, worst = torch.Generator().manual_seed(3), 0.0
    for _ in range(steps):
        images = torch.randn(4, *graphs[0].program.shape, dtype=torch.float64, generator=generator)
        outputs = []
        for network, optimizer in zip((one, other), optimizers, strict=True):
            optimizer.zero_grad()
            output = network(images)
            weights = torch.arange(1, output.numel() + 1, dtype=torch.float64).reshape(output.shape)
            (output * weights).sum().mul(1e-2).backward()
            outputs.append(output.detach())
        gradients = dict(other.named_parameters())
        largest = max(float(p.grad.abs().max()) for p in gradients.values() if p.grad is not None)
        apart = [(p.grad - gradients[n].grad).abs().max() for n, p in one.named_parameters()]
        worst = max(worst, relative_difference(*outputs), float(max(apart)) / largest)
        for optimizer in optimizers:
            optimizer.step()
    state = other.state_dict()
    for name, tensor in one.state_dict().items():
        worst = max(worst, relative_difference(tensor.double(), state[name].double()))
    with torch.no_grad():
        return max(worst, relative_difference(one.eval()(images), other.eval()(images)))


# The same network


@pytest.mark.parametrize("name", some(VARIATIONS, 24))
def test_a_residual_form_trains_as_the_network_as_written(name):
    assert difference_in_training(VARIATIONS[name][0]) < TOLERANCE


@pytest.mark.parametrize("seed", some(range(120), 40))
def test_a_network_put_together_at_random_has_a_residual_form_that_is_the_same(seed):
    """One step, for these networks are not made to be trained; a zero may lose its shape with the mapping."""
    try:
        assert difference_in_training(random_network(seed), steps=1) < TOLERANCE
    except CldfError as error:
        assert error.diagnostics[0].code in ("E0406", "E0808")


@pytest.mark.parametrize("name", some(VARIATIONS, 2))
def test_a_residual_form_has_the_equation_that_a_person_would_write(name):
    text, equation = VARIATIONS[name]
    expected = parse_spec(Source("expected.cldf", equation), Problems()).statements
    assert expected[0] in derived(text).spec.statements


@pytest.mark.parametrize("name", some(VARIATIONS, 8))
def test_a_residual_form_is_a_formatted_spec_that_stays_as_it_is(name):
    source = derived(VARIATIONS[name][0]).spec.source
    Compilation(source).check()
    assert format_source(source) == source.text
    with pytest.raises(CldfError) as caught:
        Compilation(source).residual.check()
    (problem,) = caught.value.diagnostics
    assert problem.code == "E0802" and "in residual form already" in problem.message


def test_fbresnet_in_residual_form_equals_the_one_written_by_hand_in_features():
    """The second road: plain PyTorch, iterated in features, against the code that is generated from residuals."""
    text = changed(
        ("J = 4", "J = 2"), ("2, 2, 2, 2", "3, 2"), ("64, 128, 256, 512", "4, 6"), ("3 × 32 × 32", "3 × 16 × 16")
    )
    network = build(compile_text(derived(text).spec.source.text))
    torch.manual_seed(4)
    assert compare(network, FeatureResNet((3, 2), (4, 6)), feature_name, torch.randn(2, 3, 16, 16)) < TOLERANCE


RESIDUAL_BY_HAND = """
r@1,0   = σ ∘ θ * f
u@1,0   = 0
d@ℓ,i   = σ ∘ B@ℓ,i * σ(r@ℓ,i-1)
u@ℓ,i   = u@ℓ,i-1 + d@ℓ,i
r@ℓ,i   = r@ℓ,i-1 - A@ℓ * d@ℓ,i
u@ℓ+1,0 = Π@ℓ *_2 u@ℓ,ν
r@ℓ+1,0 = R@ℓ *_2 r@ℓ,ν
"""


def test_fbresnet_in_residual_form_equals_the_residual_form_written_by_hand():
    text = small()
    start, end = text.index("f@1 "), text.index("h  ")
    by_hand = build(compile_text(text[:start] + RESIDUAL_BY_HAND + text[end:]))
    network = build(compile_text(derived(text).spec.source.text))
    torch.manual_seed(5)

    def rename(name: str) -> str:
        return re.sub(r"^bn_r\b", "bn_f", name)

    assert compare(network, by_hand, rename, torch.randn(2, 3, 8, 8)) < TOLERANCE


# What it costs


@pytest.mark.parametrize(("steps", "written", "residual"), [(1, 21, 14), (2, 29, 22), (4, 45, 38), (8, 77, 70)])
def test_convolutions(steps, written, residual):
    source, changes = read_source(SPEC), read_changes([f"ν = {steps}"])
    assert cost_of_network(Compilation(source, changes).written).convolutions == written
    assert cost_of_network(Compilation(source, changes).graph("residual")).convolutions == residual


def test_multiply_adds():
    graph = Compilation(Compilation(read_source(SPEC)).derivation.spec.source).simplified
    assert cost_of_network(graph).multiply_adds == 681_251_840


def test_the_equations_do_not_grow_with_the_steps():
    lengths = [len(derived(small(("2, 1, 3", f"{n}, {n}, {n}"))).spec.source.text) for n in (2, 9)]
    assert lengths[0] == lengths[1]


# Parameters


@pytest.mark.parametrize(
    ("written", "at", "result"),
    [
        ("x@ℓ,i-1", "k+1", "x@k+1,i-1"),
        ("ν@ℓ * x@2", "k+1", "ν@k+1 * x@2"),
        ("1/ℓ * x@ℓ", "k", "1/k * x@k"),
        ("1/ℓ * x@ℓ", "k-2", "1/(k-2) * x@k-2"),
        ("1/ℓ * x@ℓ", "3", "1/3 * x@3"),
        ("sum(ℓ = 0..2 : x@ℓ)", "k", "sum(ℓ = 0..2 : x@ℓ)"),
        ("sum(j = 0..2 : x@ℓ,j)", "k", "sum(j = 0..2 : x@k,j)"),
    ],
)
def test_an_index_is_put_in_for_another(written, at, result):
    symbol = expression(f"y@{at}")
    assert isinstance(symbol, tree.Symbol)
    assert substitute(expression(written), {"ℓ": symbol.tag[0]}) == expression(result)


SUMS = """model Net
input f : 2 × 4 × 4
output h : 3
kernel A : 3×3 → 2
kernel B : 3×3 → 2
scalar w = 2
let P = identity + upsample ∘ avgpool[2]
h = linear ∘ avgpool(A * f + B * f + w * P(f))
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(1/2 - 1) * A * f", "-1/2 * A * f"),
        ("(w - 2) * f", "w * f - 2 * f"),
        ("A * (f - B * f)", "A * f - A * B * f"),
        ("P(f)", "f + upsample ∘ avgpool[2](f)"),
        ("A * f - A * f", "0"),
    ],
)
def test_equal_combinations_have_one_normal_form(one, other):
    spec = parse_spec(Source("test.cldf", SUMS), Problems())
    forms = LinearForms(read_vocabulary(spec, ()), ())
    assert forms.value(expression(one)) == forms.value(expression(other))


def expression(text: str) -> tree.Expression:
    equation = parse_spec(Source("test.cldf", f"model Net\nh = {text}\n"), Problems()).statements[-1]
    assert isinstance(equation, tree.Equation)
    return equation.right


def renames(text: str) -> list[str]:
    return [line for line in statements(text) if line.startswith("rename")]


def test_normalisations_keep_their_names():
    assert renames(small(("R@ℓ *_2 (", "σ ∘ R@ℓ *_2 ("), ("2, 1, 3", "1, 1, 1"))) == [
        "rename bn_θ@1,0 → bn_θ@1",
        "rename bn_r@ℓ,i → bn_f@ℓ,i",
        "rename bn_R@ℓ+1,0 → bn_R@ℓ+1",
    ]


SHARED_NORM = """\
model M
levels ℓ = 1..1
steps i = 1..2
input f : 3 × 8 × 8
output h : 3
kernel θ : 3×3 → 4
kernel A@ℓ : 3×3 → 4
kernel B@ℓ,i : 3×3 → 4
let σ@ℓ = relu ∘ bn@ℓ
f@1 = σ@1 ∘ θ * f
u@1,0 = 0
u@ℓ,i = u@ℓ,i-1 + σ@ℓ ∘ B@ℓ,i * σ@ℓ(f@ℓ - A@ℓ * u@ℓ,i-1)
h = linear ∘ avgpool(u@1,2)
"""


def test_statistics_of_a_shared_normalisation_keep_their_names():
    assert renames(SHARED_NORM) == ["rename stats_θ@1,0 → stats_θ@1", "rename stats_r@ℓ,i → stats_f@ℓ,i"]
    network = Compilation(Source("test.cldf", SHARED_NORM))
    assert not any("stats" in note for note in network.derivation.notes)
    assert verify_forms(network, candidates_of(network), 1e-10).agrees


def test_two_normalisations_of_one_residual_keep_their_order():
    assert {"rename bn_r@ℓ,i → bn_f@ℓ,i", "rename bn_r_2@ℓ,i → bn_f_2@ℓ,i"} < set(
        renames(VARIATIONS["several corrections"][0])
    )


@pytest.mark.parametrize("name", some(VARIATIONS, 12))
def test_trained_weights_load_with_nothing_else(name):
    """Every parameter has its name in the spec, in any spelling; what the residual form lacks, it says."""
    text = VARIATIONS[name][0]
    derivation = derived(text)
    known, found = (
        Compilation(source).shapes.parameters for source in (Source("test.cldf", text), derivation.spec.source)
    )
    assert found.keys() <= known.keys()
    assert bool(derivation.notes) == (found.keys() != known.keys())
    for spelling in ("ascii", "latex"):
        spelled = Source("spelled.cldf", format_source(derivation.spec.source, spelling))
        assert Compilation(spelled).shapes.parameters.keys() == found.keys()


def test_names_are_kept_for_other_steps_and_by_what_extends(tmp_path):
    text = small()
    (tmp_path / "residual.cldf").write_text(derived(text).spec.source.text, encoding="utf-8")
    other = tmp_path / "other.cldf"
    other.write_text('extend "residual.cldf"\nmodel Other\nlet ν@ℓ = 3, 3, 3\n', encoding="utf-8")
    network = cldfc.load(other)
    wanted = cldfc.load(text).let(ν=[3, 3, 3]).build().state_dict()
    assert network.build().state_dict().keys() == wanted.keys()
    assert network.let(ν=[2, 1, 3]).build().state_dict().keys() == cldfc.load(text).build().state_dict().keys()
    # Another σ has other parameters, or none: nothing is left to be renamed.
    assert not any("bn" in name for name in network.let(σ="relu").build().state_dict())


def test_a_mapping_that_cancels_is_noted():
    source = Source("test.cldf", small(("2, 1, 3", "2, 3, 1")))
    network = Compilation(source)
    derivation, remarks = network.derivation, list(remarks_on_derivation(network))
    assert remarks[1:] == ["`A@3` has no part in the residual form: what it computes cancels"]
    assert not any(name.startswith("A.3") for name in build(compile_text(derivation.spec.source.text)).state_dict())
    assert "kernel A@ℓ" in derivation.spec.source.text


# The file


def golden_case(name: str) -> str:
    if name == "fbresnet":
        return SPEC.read_text(encoding="utf-8")
    return VARIATIONS[{"v_cycle": "a V-cycle", "one_level": "eq. (1.4) and (1.5), one level"}[name]][0]


@pytest.mark.parametrize("name", ["fbresnet", "one_level", "v_cycle"])
def test_golden(name, golden):
    derivation = Compilation(Source(f"{name}.cldf", golden_case(name))).derivation
    golden(FOLDER / f"{name}.cldf", derivation.spec.source.text)
    for format, suffix in (("text", "txt"), ("markdown", "md"), ("latex", "tex")):
        golden(FOLDER / f"{name}.{suffix}", EXPLAIN[format](derivation))


_HEAD = """model Iteration
steps i = 1..4
input f : 2 × 6 × 6
output h : 72
kernel A   : 3×3 → 2
kernel B@i : 3×3 → 2
kernel R   : 3×3 → 2
scalar a@i = 0.3
u@0 = 0
h = flatten(u@4)
"""
_FIRST = "u@1 = u@0 + B@1 * (f - A * u@0)\n"
ITERATIONS = {
    "momentum": _FIRST + "u@i = u@i-1 + B@i * (f - A * u@i-1) + a@i * (u@i-1 - u@i-2) for i = 2..4\n",
    "chebyshev": _FIRST + "u@i = a@i * (u@i-1 + B@i * (f - A * u@i-1)) + (1 - a@i) * u@i-2 for i = 2..4\n",
    "galerkin": "let 𝒜 = Rᵀ *_2 A * R *_2\nu@i = u@i-1 + Bᵀ@i * (f - 𝒜(u@i-1))\n",
    "half_steps": "v@i = u@i-1 + B@i * (f - A * u@i-1)\nu@i = v@i + a@i * (f - A * v@i)\n",
}


@pytest.mark.parametrize("name", ITERATIONS)
def test_golden_iterations(name, golden):
    """Also for the normal equation: the spec, and its residual form with the proof."""
    network = Compilation(Source(f"{name}.cldf", _HEAD + ITERATIONS[name]))
    golden(FOLDER / f"{name}.cldf", network.derivation.spec.source.text)
    golden(FOLDER / f"{name}.txt", EXPLAIN["text"](network.derivation))
    golden(FOLDER / f"{name}_normal.cldf", network.normal.source.text)
    golden(FOLDER / f"{name}_normal.txt", EXPLAIN["text"](network.normal.derivation))


def test_the_document_shows_what_is_written():
    text = (ROOT / "docs" / "residual_form.md").read_text(encoding="utf-8")
    (equations,) = re.findall(r"^```cldf\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert (
        (FOLDER / "fbresnet.cldf").read_text(encoding="utf-8").endswith(f"\n{equations}\nexpect params = 12_512_586\n")
    )
    assert re.findall(r"^\| (E\d{4}) ", text, re.MULTILINE) == [
        code for code in explanations() if code.startswith("E08")
    ]


def statements(text: str, *lets: str, ties: tuple[str, ...] = ()) -> list[str]:
    return [format_statement(statement) for statement in derived(text, *lets, ties=ties).spec.statements]


def test_expectations_are_computed_anew():
    text = small(("h       =", "expect params = 6_049\nexpect convs = 21\nh       ="), ("2, 1, 3", "2, 3, 1"))
    found = Compilation(Source("test.cldf", text.replace("expect params = 6_049\n", ""))).shapes
    total = sum(stored.numbers for stored in found.parameters.values())
    text = text.replace("6_049", str(total))
    mapping = 8 * 8 * 9  # A@3, which cancels
    assert {f"expect params = {total - mapping:_}", "expect convs = 16"} <= set(statements(text))


def test_what_is_not_needed_any_more_is_left_out():
    text, _ = VARIATIONS["an output of the residual"]
    found = "\n".join(statements(text))
    assert "Π" not in found and not re.search(r"\bu@", found) and "kernel R@ℓ" in found


def test_a_constraint_stays_with_what_it_speaks_of():
    text = small(("Π@ℓ *_2", "σ ∘ Π@ℓ *_2"), ("output h", "constrain u >= 0\noutput h"))
    assert "constrain u ≥ 0" in statements(text)
    network = Compilation(
        Source(
            "test.cldf",
            changed(
                ("u >= 0", "f >= 0"),
                ("R@ℓ *_2 (f@ℓ - 𝒜@ℓ(u@ℓ,ν)) + 𝒜@ℓ+1(u@ℓ+1,0)", "σ ∘ R@ℓ *_2 (f@ℓ - 𝒜@ℓ(u@ℓ,ν))"),
                text=text,
            ),
        )
    )
    derivation, remarks = network.derivation, list(remarks_on_derivation(network))
    assert remarks[1:] == ["`constrain f ≥ 0` is left out: `f` is no longer computed"]
    assert "constrain" not in derivation.spec.source.text


def test_a_spec_that_extends_another_stands_for_itself():
    source = Compilation(read_source(ROOT / "specs" / "mgnet_Bli.cldf")).derivation.spec.source
    assert "extend" not in source.text and "model MgNet_Bli_residual" in source.text
    assert "expect params = 10_638_090" in source.text


def test_changes_of_the_command_line_are_part_of_the_file():
    found = statements(small(), "ν = 1,2,3", ties=("B@ℓ",))
    assert "let ν@ℓ = 1, 2, 3" in found and "tie B@ℓ" in found
    with pytest.raises(CldfError) as caught:
        derived(small(), "𝒜@ℓ = σ ∘ A@ℓ *")
    assert caught.value.diagnostics[0].code == "E0803"


# The derivation


@pytest.mark.parametrize("name", some(VARIATIONS, 24))
def test_every_line_of_latex_can_be_typeset(name):
    parser = mathtext.MathTextParser("path")
    for line in filter(None, explain_as_latex(derived(VARIATIONS[name][0])).split("\n")):
        assert line.count("$") % 2 == 0
        parser.parse(line)


@pytest.mark.parametrize("name", ["r@1,0", "r@ℓ,i", "r@ℓ+1,0"])
def test_each_line_of_a_derivation_gives_the_same_numbers(name):
    """Each expression in a proof, put in as the equation for r, gives the network; f is taken from the spec."""
    text = small()
    derivation = derived(text)
    (proof,) = [proof for proof in derivation.proofs if format_symbol(proof.left) == name]
    data = "\n".join(line for line in text.splitlines() if line.startswith("f@"))
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    outputs, kernels = [], {}
    for step in proof.steps:
        equation = f"{name} = {format_expression(step.expression)}"
        left_out = (f"{name} ", "rename ")
        lines = [line for line in derivation.spec.source.text.splitlines() if not line.startswith(left_out)]
        network = build(compile_text("\n".join([*lines, data, equation, ""]))).double().eval()
        kernels = kernels or network.state_dict()
        network.load_state_dict({n: t for n, t in kernels.items() if "bn_" not in n}, strict=False)
        outputs.append(network(images).detach())
    assert len(outputs) >= 4
    assert all(relative_difference(output, outputs[0]) < TOLERANCE for output in outputs)


# The command


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str):
        return CliRunner().invoke(app, ["derive", *arguments])

    return run


def test_the_command_prints_the_file_and_says_what_it_saves(run):
    result = run(str(SPEC), "--residual")
    assert result.exit_code == 0
    assert result.stdout == (FOLDER / "fbresnet.cldf").read_text(encoding="utf-8")
    saved, hint = result.stderr.splitlines()
    assert saved == "22 convolutions instead of 29, 681.3 M multiply-adds instead of 945.5 M"
    assert hint == "`--explain` proves it line by line"


@pytest.mark.parametrize(("option", "suffix"), [((), "txt"), (("--markdown",), "md"), (("--latex",), "tex")])
def test_the_command_explains(run, option, suffix):
    result = run(str(SPEC), "--residual", "--explain", *option, "-o", "out.cldf")
    assert result.stdout == (FOLDER / f"fbresnet.{suffix}").read_text(encoding="utf-8")
    assert printed(Path("out.cldf")) == (FOLDER / "fbresnet.cldf").read_text(encoding="utf-8")


def test_a_file_is_written_over_only_if_it_was_derived(run):
    assert run(str(SPEC), "--residual", "-o", "out.cldf").exit_code == 0
    assert run(str(SPEC), "--residual", "-o", "out.cldf", "--let", "ν = 1").exit_code == 0
    assert "let ν@ℓ = 1" in Path("out.cldf").read_text(encoding="utf-8")
    Path("mine.cldf").write_text("model Mine\n", encoding="utf-8")
    result = run(str(SPEC), "--residual", "-o", "mine.cldf")
    assert result.exit_code == 2 and "was not written by cldfc" in result.stderr
    assert Path("mine.cldf").read_text(encoding="utf-8") == "model Mine\n"
    Path("out.cldf").write_text(changed := Path("out.cldf").read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    result = run(str(SPEC), "--residual", "-o", "out.cldf")
    assert result.exit_code == 2 and "`out.cldf` has been changed since cldfc wrote it" in result.stderr
    assert Path("out.cldf").read_text(encoding="utf-8") == changed


def test_a_spec_without_residual_form_leaves_no_file(run):
    result = run(str(SPEC), "--residual", "--let", "𝒜@ℓ = relu ∘ A@ℓ *", "-o", "out.cldf")
    assert result.exit_code == 1 and "E0803" in result.stderr
    assert not Path("out.cldf").exists()


@pytest.mark.parametrize(
    ("options", "help"),
    [
        (("--residual", "--latex"), "write `--explain --latex`"),
        (("--residual", "--explain", "--latex", "--markdown"), "give one of them"),
    ],
)
def test_options_that_say_too_little_or_too_much(run, options, help):
    result = run(str(SPEC), *options)
    assert result.exit_code == 2 and help in result.stderr
