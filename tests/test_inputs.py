"""Inputs and outputs: maps, several of both, open sizes and families, against networks written by hand."""

import inspect
import io
import re
from itertools import pairwise

import pytest
import torch
from networks import ROOT, build
from rich.console import Console
from torch import nn
from torch.nn import functional as F

import cldfc
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, Source, UsageError
from cldfc.plan import plan_run
from cldfc.show.latex import emit_latex
from cldfc.show.svg import draw_svg
from cldfc.show.terminal import show_network
from cldfc.spec import spec_from_text
from cldfc.syntax.format import format_statement
from cldfc.syntax.read import read_source
from cldfc.verify.equivalence import tried_shapes, verify_forms
from cldfc.verify.outcome import candidates_of


def compilation(*lines, **options):
    return Compilation(Source("t.cldf", "\n".join(["model M", *lines, ""])), read_changes(**options))


def checked(*lines):
    """The generated network in float64; it agrees with the equations, at two sizes where they are open."""
    network = compilation(*lines)
    report = verify_forms(network, candidates_of(network), 1e-12)
    assert report.agrees, report
    return build(network.code()).double()


def drawn(*sizes):
    return torch.randn(*sizes, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(sizes)))


def assert_same(one, other, leaves=()):
    """Equal values, and equal gradients of the leaves."""
    assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)
    weights = torch.arange(1, one.numel() + 1, dtype=one.dtype).reshape(one.shape)
    for leaf in leaves:
        gradients = [torch.autograd.grad((value * weights).sum(), leaf, retain_graph=True)[0] for value in (one, other)]
        assert torch.allclose(*gradients, rtol=1e-12, atol=1e-10)


def refused(*lines):
    """The codes of the errors of a spec."""
    with pytest.raises(CldfError) as caught:
        compilation(*lines).check()
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


MAP = [
    "input f : 2 × 8 × 12",
    "output u : 1 × 8 × 12",
    "kernel A : 3×3 → 4",
    "kernel B : 1×1 → 1",
    "u = B * relu(A * f)",
]


def test_an_output_may_be_a_map():
    network, f = checked(*MAP), drawn(2, 2, 8, 12)
    assert_same(
        network(f),
        F.conv2d(F.relu(F.conv2d(f, network.A.weight, padding=1)), network.B.weight),
        [network.A.weight, network.B.weight],
    )


def test_an_output_may_be_numbers_that_are_no_scores():
    network = checked("input f : 2 × 8 × 12", "output y : 3 numbers", "y = linear ∘ avgpool(f)")
    f = drawn(2, 2, 8, 12)
    assert_same(network(f), f.mean((2, 3)) @ network.linear.weight.T + network.linear.bias, [network.linear.weight])


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (MAP, "the output `u` is a map"),
        (["input t : 3 numbers", "output h : 2", "h = linear(t)"], "the input `t` is 3 numbers, not an image"),
        (["input f : 3 × 8 × 8", "output y : 3 numbers", "y = linear ∘ avgpool(f)"], "is of numbers, no scores"),
        (
            ["input f : 3 × 8 × 8", "output h : 2", "output y : 2", "h = linear ∘ avgpool(f)", "y = h"],
            "several outputs",
        ),
        (
            ["input f : 3 × 8 × 8", "input g : 3 × 8 × 8", "output h : 2", "h = linear ∘ avgpool(f + g)"],
            "several inputs",
        ),
    ],
)
def test_what_cannot_be_trained_yet_is_refused_before_any_work(lines, what):
    network = compilation(*lines)
    network.check()
    with pytest.raises(UsageError, match="comes with a later edition") as caught:
        plan_run(network.source, "fake:3x8x8", network.changes, {})
    assert what in str(caught.value)


SEVERAL = [
    "input f : 1 × 8 × 8",
    "input g : 2 × 8 × 8",
    "output u : 4 × 8 × 8",
    "output h : 10",
    "kernel A : 3×3 → 4",
    "kernel C : 1×1 → 4",
    "u = A * f - C * g",
    "h = linear ∘ avgpool ∘ relu(u)",
]


def test_several_inputs_and_outputs_keep_their_order():
    network, f, g = checked(*SEVERAL), drawn(2, 1, 8, 8), drawn(2, 2, 8, 8)
    assert list(inspect.signature(network.forward).parameters) == ["f", "g"]
    found = network(f, g)
    assert found._fields == ("u", "h")
    u = F.conv2d(f, network.A.weight, padding=1) - F.conv2d(g, network.C.weight)
    assert_same(found.u, u, [network.A.weight, network.C.weight])
    h = F.relu(u).mean((2, 3)) @ network.linear.weight.T + network.linear.bias
    assert_same(found.h, h, [network.A.weight, network.C.weight, network.linear.weight])


def test_an_output_may_be_a_value_that_others_need_and_one_that_is_given():
    lines = ["input f : 1 × 4 × 4", "output u : 1 × 4 × 4", "output v : 1 × 4 × 4", "output w : 1 × 4 × 4"]
    network = checked(*lines, "u = f", "v = relu(u)", "w = v - u")
    f = drawn(2, 1, 4, 4)
    assert all(torch.equal(one, two) for one, two in zip(network(f), (f, F.relu(f), F.relu(f) - f), strict=True))


def test_what_no_output_needs_is_remarked_on():
    lines = ["input f : 1 × 8 × 8", "input g : 1 × 8 × 8", "output u : 1 × 8 × 8", "v = relu(g)", "u = relu(f)"]
    found = compilation(*lines).diagnostics
    assert [(d.code, d.message) for d in found] == [
        ("R0905", "no output needs the input `g`"),
        ("R0905", "no output needs `v`"),
    ]
    assert "R0905" not in [diagnostic.code for diagnostic in compilation(*SEVERAL).diagnostics]


V_CYCLE = [
    "let J = 3",
    "levels ℓ = 1..J",
    "input f : 1 × H × W",
    "output u : 1 × H × W",
    "kernel A@ℓ : 3×3 → 4",
    "kernel B : 1×1 → 1",
    "r@1 = relu ∘ A@1 * f",
    "r@ℓ+1 = relu ∘ A@ℓ+1 *_2 r@ℓ",
    "v@J = 0",
    "v@ℓ = r@ℓ + Aᵀ@ℓ+1 *_2 (r@ℓ+1 + v@ℓ+1) for ℓ = 1..J-1",
    "u = B * v@1",
]


class VCycle(nn.Module):
    """The same by hand."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, f):
        first, second, third, last = self.weights
        r1 = F.relu(F.conv2d(f, first, padding=1))
        r2 = F.relu(F.conv2d(r1, second, stride=2, padding=1))
        r3 = F.relu(F.conv2d(r2, third, stride=2, padding=1))
        v2 = r2 + F.conv_transpose2d(r3, third, stride=2, padding=1, output_padding=1)
        v1 = r1 + F.conv_transpose2d(r2 + v2, second, stride=2, padding=1, output_padding=1)
        return F.conv2d(v1, last)


@pytest.mark.parametrize("size", [(4, 4), (8, 20), (64, 12)])
def test_one_module_serves_all_sizes_that_the_strides_divide(size):
    network, f = checked(*V_CYCLE), drawn(2, 1, *size)
    weights = [*(network.A[str(level)].weight for level in (1, 2, 3)), network.B.weight]
    assert_same(network(f), VCycle(weights)(f), weights)


def test_no_size_is_baked_into_the_code():
    code = compilation(*V_CYCLE).code()
    assert "f.shape[-2:]" in code
    forward = code[code.index("def forward") :]
    samples = {str(size) for shape in tried_shapes(compilation(*V_CYCLE)) for size in shape["f"][1:]}
    assert samples.isdisjoint(re.findall(r"\b\d+\b", forward))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((8, 7), "W = 7 is not a multiple of 2, as level 2 needs"),
        ((10, 8), "H = 10 is not a multiple of 4, as level 3 needs"),
    ],
)
def test_a_size_that_does_not_fit_is_an_error_that_names_the_level(size, message):
    network = build(compilation(*V_CYCLE).code())
    with pytest.raises(ValueError, match=re.escape(message)):
        network(torch.zeros(1, 1, *size))


def test_a_map_that_would_vanish_is_an_error():
    lines = ["input f : 1 × H × W", "output u : 1 × (H - 4) × (W - 4)", "kernel A : 5×5 → 1, valid", "u = A * f"]
    network = checked(*lines)
    assert network(drawn(1, 1, 5, 9)).shape == (1, 1, 1, 5)
    with pytest.raises(ValueError, match="H = 4 is too small: it must be 5 or more"):
        network(drawn(1, 1, 4, 9))


def test_inputs_with_the_same_open_sizes_agree():
    lines = ["input f : 1 × H × W", "input g : 1 × H/2 × W/2"]
    network = checked(*lines, "output u : 1 × H × W", "u = f + upsample(g)")
    f, g = drawn(2, 1, 6, 8), drawn(2, 1, 3, 4)
    assert_same(network(f, g), f + g.repeat_interleave(2, 2).repeat_interleave(2, 3))
    with pytest.raises(ValueError, match=re.escape("g is a map of (4, 4), and (3, 4) fits the other sizes")):
        network(f, drawn(2, 1, 4, 4))


def test_odd_grids_are_formulas():
    lines = ["input f : 1 × (4*N - 1) × (4*M - 1)", "output u : 1 × (4*N - 1) × (4*M - 1)"]
    lines += ["kernel R : 3×3, 1 → 1, valid = full_weighting fixed", "u = Rᵀ *_2 Rᵀ *_2 R *_2 R *_2 f"]
    network = checked(*lines)
    weight = torch.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]], dtype=torch.float64) / 16
    f = drawn(1, 1, 7, 15)
    down = F.conv2d(F.conv2d(f, weight, stride=2), weight, stride=2)
    up = F.conv_transpose2d(F.conv_transpose2d(down, weight, stride=2), weight, stride=2)
    assert_same(network(f), up)
    with pytest.raises(ValueError, match="f is a map of"):
        network(drawn(1, 1, 8, 15))


def test_zeros_take_their_size_from_the_tensors_at_hand():
    lines = ["levels ℓ = 1..3", "steps i = 1..2", "input f : 2 × H × W", "output u : 3 × H/4 × W/4"]
    lines += ["kernel A@ℓ : 1×1 → 3", "kernel K : 3×3, 2 → 3", "g@1 = f", "g@ℓ+1 = avgpool[2](g@ℓ)", "z@ℓ,0 = 0"]
    lines += [
        "z@ℓ,i = softplus(z@ℓ,i-1) + K * g@ℓ",
        "x@1 = z@1,2",
        "x@ℓ+1 = avgpool[2](x@ℓ) + A@ℓ * z@ℓ+1,2",
        "u = x@3",
    ]
    network = checked(*lines)
    assert network(drawn(1, 2, 8, 16)).shape == (1, 3, 2, 4)
    assert ".shape[2] //" in (code := compilation(*lines).code("written")) or "H //" in code


def test_a_classifier_may_leave_its_sizes_open_and_be_trained():
    lines = ["input f : 3 × H × W", "output h : 10", "kernel A : 3×3 → 4", "h = linear ∘ avgpool ∘ relu ∘ bn ∘ A *_2 f"]
    network = checked(*lines)
    assert network(drawn(2, 3, 6, 10)).shape == (2, 10)
    plan = plan_run(compilation(*lines).source, "digits", compilation().changes, {})
    assert plan.network.program.shape == plan.dataset.shape


def test_figures_that_depend_on_open_sizes_are_not_told():
    graph = compilation(*V_CYCLE).written
    assert compilation(*V_CYCLE).cost.open_sizes == ("H", "W")
    assert graph.open_sizes == ["H", "W"]
    stated = compilation(*V_CYCLE, input="1x8x12")
    assert (
        stated.cost.open_sizes == ()
        and stated.cost.multiply_adds == 4 * 9 * 96 + 2 * 16 * 9 * 24 + 2 * 16 * 9 * 6 + 4 * 96
    )
    named = compilation(*V_CYCLE, input="f=1x8x12")
    assert named.cost == stated.cost


@pytest.mark.parametrize(
    ("input", "message"),
    [("f=1x9x12", "H = 9"), ("g=1x8x8", "there is no input `g`")],
)
def test_sizes_that_cannot_be_stated(input, message):
    lines = ["input f : 1 × H × (W*1)", "output u : 1 × (H/2) × W", "u = avgpool[2](f) + 0"]
    with pytest.raises(UsageError, match=message):
        compilation(*lines, input=input).check()


def test_one_of_several_inputs_is_stated_by_name():
    with pytest.raises(UsageError, match="`f`, `g`"):
        compilation(*SEVERAL, input="1x8x8").check()
    lines = [line.replace("8 × 8", "H × W") for line in SEVERAL]
    program = compilation(*lines, input="g=2x16x4").program
    assert program.inputs[0].shapes["f", ()] == (1, 16, 4)
    spec = spec_from_text("\n".join(["model M", *lines])).input(2, 16, 4, name="g")
    assert spec.check().cost == compilation(*lines, input="g=2x16x4").cost


CONDITIONS = [
    "input f : 3 × 6 × 5",
    "input t : 3 numbers",
    "input σ : 1 number",
    "output u : 4 × 6 × 5",
    "output e : 1 number",
    "kernel A : 3×3 → 4",
    "x = (1 - σ) * f ⊙ t + t * relu(f) - t",
    "u = A * concat(x, σ, t) + linear[4] ∘ tanh ∘ linear[5] ∘ concat(t, σ^2)",
    "e = ⟨x, f⟩ / (1 + ‖u‖) + exp(σ)",
]


def test_numbers_are_inputs_and_outputs():
    network = checked(*CONDITIONS)
    f, t, s = drawn(2, 3, 6, 5).requires_grad_(), drawn(2, 3).requires_grad_(), drawn(2, 1).requires_grad_()
    over, σ = t[:, :, None, None], s[:, :, None, None]
    x = (1 - σ) * f * over + over * F.relu(f) - over
    first, second = network.linear, network.linear_2
    condition = torch.tanh(torch.cat([t, s**2], 1) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    pixels = torch.ones(2, 1, 6, 5, dtype=f.dtype)
    u = F.conv2d(torch.cat([x, σ * pixels, over * pixels], 1), network.A.weight, padding=1) + condition[..., None, None]
    e = (x * f).sum((1, 2, 3)) / (1 + u.square().sum((1, 2, 3)).sqrt()) + s.exp()[:, 0]
    leaves = [f, t, s, *network.parameters()]
    found = network(f, t, s)
    assert found.u.shape == (2, 4, 6, 5) and found.e.shape == (2, 1)
    assert_same(torch.cat([found.u.flatten(), found.e.flatten()]), torch.cat([u.flatten(), e]), leaves)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("t", (2, 4), "t has the shape (2, 4), not (batch, 3)"),
        ("t", (2, 1), "t has the shape (2, 1), not (batch, 3)"),
        ("σ", (2, 3), "σ has the shape (2, 3), not (batch, 1)"),
        ("σ", (2,), "σ has the shape (2,), not (batch, 1)"),
    ],
)
def test_numbers_of_another_count_are_refused(name, wrong, message):
    given = {"f": drawn(2, 3, 6, 5), "t": drawn(2, 3), "σ": drawn(2, 1)} | {name: drawn(*wrong)}
    with pytest.raises(ValueError, match=re.escape(message)):
        build(compilation(*CONDITIONS).code()).double()(*given.values())


def test_families_of_numbers_are_a_sequence_and_a_list():
    lines = [
        "levels ℓ = 1..2",
        "steps i = 1..3",
        "input t@i : 2 numbers for i = 1..3",
        "input s@i : 1 number for i = 1..3",
    ]
    lines += ["input r@ℓ : 1 number", "input q@ℓ : (2*ℓ) numbers", "output y : 2 numbers", "y@0 = 0"]
    lines += ["y@i = tanh(y@i-1 + s@i * t@i) for i = 1..3"]
    lines += ["y = r@1 * y@3 + linear ∘ concat(i = 1..3 : s@i) + r@2^2 * linear(concat(q@1, q@2))"]
    network = checked(*lines)
    t, s, r, q = drawn(2, 3, 2), drawn(2, 3, 1), [drawn(2, 1), drawn(2, 1) + 1], [drawn(2, 2), drawn(2, 4)]
    y = torch.zeros(2, 2, dtype=t.dtype)
    for i in range(3):
        y = torch.tanh(y + s[:, i] * t[:, i])
    one, two = network.linear, network.linear_2
    y = r[0] * y + s[:, :, 0] @ one.weight.T + one.bias + r[1] ** 2 * (torch.cat(q, 1) @ two.weight.T + two.bias)
    assert_same(network(t, s, r, q), y, list(network.parameters()))
    assert "for i in range(" in compilation(*lines).code("written")
    with pytest.raises(ValueError, match=re.escape("s has the shape (2, 2, 1), not (batch, 3, 1)")):
        network(t, s[:, :2], r, q)
    with pytest.raises(ValueError, match=re.escape("q@2 has the shape (2, 2), not (batch, 4)")):
        network(t, s, r, [q[0], q[0]])


def test_a_network_without_a_map():
    network = checked("input t : 3 numbers", "output h : 2", "h = linear ∘ relu ∘ linear[7](t)")
    t = drawn(4, 3)
    hidden = F.relu(t @ network.linear.weight.T + network.linear.bias)
    assert_same(network(t), hidden @ network.linear_2.weight.T + network.linear_2.bias, list(network.parameters()))
    sigma = checked("input σ : 1 number", "output e : 1 number", "e = σ")
    assert torch.equal(sigma(t[:, :1]), t[:, :1])


def test_one_number_is_one_however_it_is_written():
    assert format_statement(compilation("input t : 1 numbers").tree.statements[-1]) == "input t : 1 number"
    assert format_statement(compilation("output e : 1 numbers").tree.statements[-1]) == "output e : 1 number"
    latex = compilation("input \\sigma : 3 \\text{ numbers}").tree.statements[-1]
    assert format_statement(latex) == "input σ : 3 numbers"
    lines = ["let n = 1", "input f : 2 × 4 × 4", "input t : n numbers", "output u : 2 × 4 × 4", "u = t^2 * f"]
    assert checked(*lines)(drawn(2, 2, 4, 4), drawn(2, 1)).shape == (2, 2, 4, 4)


def test_numbers_are_stated_by_name():
    lines = ["input f : 2 × H × W", "input t : 2 numbers", "output h : 3", "h = linear ∘ concat(t, avgpool(f))"]
    network = compilation(*lines, input="f=2x6x5,t=5")
    assert network.cost.multiply_adds == 3 * 7 and network.cost.open_sizes == ()
    assert build(network.code())(torch.zeros(2, 2, 6, 5), torch.zeros(2, 5)).shape == (2, 3)
    spec = spec_from_text("\n".join(["model M", *lines])).input(1, name="t")
    assert "sigma" not in spec.source() and "t[..., 0]" in spec.source()
    with pytest.raises(UsageError, match="`2x2` is not a valid shape for `t`, which is 2"):
        compilation(*lines, input="t=2x2").check()


def test_wrong_numbers_are_told():
    maps = ["input f : 3 × 8 × 8", "output u : 3 × 8 × 8"]
    for code, lines in (
        ("E0403", ["input t : 4 numbers", "u = t ⊙ f"]),
        ("E0404", ["input t : 3 numbers", "kernel K : 3×3 → 3", "u = f + K * t"]),
        ("E0412", ["input g : 1 × N × 4", "input t : N numbers", "u = f"]),
        ("E0211", ["input t : 1 number", "u = soft_threshold[t](f)"]),
        ("E0407", ["scalar ω = 1", "u = f + linear[3](ω)"]),
        ("E0407", ["input t : 1 number", "u = fix(x : 0.5 * x + t, start t) ⊙ f"]),
        (
            "E0407",
            [
                "input t@i : 1 number for i = 1..2",
                "x@0 = avgpool(f)",
                "x@i = t@i for i = 1..2",
                "u = f + linear[3] ∘ concat(i = 0..2 : x@i)",
            ],
        ),
    ):
        assert code in refused(*maps, *lines), lines


PYRAMID = [
    "levels ℓ = 1..3",
    "input f@ℓ : 1 × H@ℓ × W@ℓ",
    "output u : 4 × H@1 × W@1",
    "kernel A@ℓ : 3×3 → 4",
    "r@3 = A@3 * f@3",
    "r@ℓ = A@ℓ * f@ℓ + upsample(r@ℓ+1) for ℓ = 1..2",
    "u = r@1",
]


def test_a_family_over_levels_is_a_list():
    network = checked(*PYRAMID)
    f = [drawn(2, 1, 8, 12), drawn(2, 1, 4, 6), drawn(2, 1, 2, 3)]
    a = [F.conv2d(x, network.A[str(level)].weight, padding=1) for level, x in enumerate(f, 1)]

    def larger(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    assert_same(network(f), a[0] + larger(a[1] + larger(a[2])), [network.A[str(level)].weight for level in (1, 2, 3)])
    assert_same(network(tuple(f)), network(f))
    with pytest.raises(ValueError, match="f has 2 members, not 3"):
        network(f[:2])
    with pytest.raises(ValueError, match="f@3 is a map of"):
        network([f[0], f[1], f[1]])


def test_a_family_over_steps_is_a_sequence_in_one_tensor():
    lines = ["steps t = 1..T", "let T = 4", "input f@t : 3 × 8 × 8 for t = 1..T", "output u : 3 × 8 × 8"]
    lines += ["kernel K : 3×3 → 3", "h@0 = 0", "h@t = tanh(f@t + K * h@t-1)", "u = h@T"]
    network, f = checked(*lines), drawn(2, 4, 3, 8, 8)
    h = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    for t in range(4):
        h = torch.tanh(f[:, t] + F.conv2d(h, network.K.weight, padding=1))
    assert_same(network(f), h, [network.K.weight])
    assert "for t in range(" in compilation(*lines).code("written")
    with pytest.raises(ValueError, match="f has 3 members, not 4"):
        network(f[:, :3])


def test_a_network_without_any_parameter():
    spec = cldfc.load("multigrid/poisson_sweeps")
    network = spec.build().double()
    assert not list(network.parameters())
    laplace = torch.tensor([[[[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]]], dtype=torch.float64)
    f, u = drawn(1, 1, 15, 15), torch.zeros(1, 1, 15, 15, dtype=torch.float64)
    norms = []
    for _ in range(5):
        residual = f - F.conv2d(u, laplace, padding=1)
        norms.append(float(residual.norm()))
        u = u + network(residual)
    # A V(2,2)-cycle reduces the residual by a factor of about ten, if the coarsest grid is one point.
    assert all(after < 0.2 * before for before, after in pairwise(norms))


@pytest.mark.parametrize("lines", [MAP, SEVERAL, V_CYCLE, PYRAMID, CONDITIONS])
def test_pictures_and_pages_know_all_of_it(lines):
    network = compilation(*lines)
    svg = draw_svg(network.written)
    inputs = {name for name, _ in network.program.input_keys}
    assert all(f">{name}<" in svg for name in inputs)
    assert r"\Require" in emit_latex(network.written)


FOLDER = ROOT / "tests" / "golden" / "ends"
ENDS, CONDITIONED = FOLDER / "two_ends.cldf", FOLDER / "conditioned.cldf"


@pytest.mark.parametrize("path", [ENDS, CONDITIONED], ids=lambda path: path.stem)
def test_code_text_and_algorithm_of_all_kinds_of_ends(golden, path):
    network = Compilation(read_source(path))
    golden(path.with_suffix(".py"), network.code())
    golden(path.with_suffix(".tex"), emit_latex(network.simplified))
    stream = io.StringIO()
    show_network(network.simplified, Console(file=stream, width=100, highlight=False))
    golden(path.with_suffix(".txt"), "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n")
    assert verify_forms(network, candidates_of(network), 1e-12).agrees


@pytest.mark.parametrize("by", ["state dict", "module"])
def test_weights_of_a_network_of_numbers_are_imported(by):
    source = Compilation(read_source(CONDITIONED))
    theirs, ours = build(source.code("written")), build(source.code())
    given = [torch.randn(2, 1, 5, 7), torch.randn(2, 1), torch.randn(2, 3, 2), [torch.randn(2, 1) for _ in range(2)]]
    if by == "module":
        cldfc.import_weights(ours, theirs, example=tuple(given))
    else:
        cldfc.import_weights(ours, theirs.state_dict())
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(ours(*given), theirs(*given), strict=True))


@pytest.mark.parametrize("by", ["state dict", "module"])
def test_weights_of_another_module_are_imported(by):
    torch.manual_seed(0)
    source = Compilation(read_source(ENDS))
    theirs, ours = build(source.code("written")), build(source.code())
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.rand_like(parameter))
    shapes = [(2, 1, 8, 8), (2, 2, 8, 8)], [(2, 1, 8, 8), (2, 1, 4, 4), (2, 1, 2, 2)], (2, 2, 1, 7, 5)
    example = (*map(torch.randn, shapes[0]), [torch.randn(shape) for shape in shapes[1]], torch.randn(shapes[2]))
    if by == "module":
        cldfc.import_weights(ours, theirs, example=example)
    else:
        cldfc.import_weights(ours, theirs.state_dict())
    found = zip(ours.eval()(*example), theirs.eval()(*example), strict=True)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in found)


def test_a_pyramid_takes_its_sizes_from_what_it_is_added_to():
    shapes = tried_shapes(Compilation(read_source(ENDS)))
    for shape in shapes:
        height, width = shape["f"][1:]
        assert [shape[f"p@{level}"][1:] for level in (1, 2, 3)] == [(height // d, width // d) for d in (1, 2, 4)]
    assert len({shape["f"] for shape in shapes}) == 2


@pytest.mark.parametrize("spelling", ["unicode", "ascii", "latex"])
@pytest.mark.parametrize(
    "line",
    [
        "output u : 1 × H × W",
        "output y : 3 numbers",
        "output e : 1 number",
        "input t : 3 numbers",
        "input σ@i : 1 number for i = 1..8",
        "input t@ℓ : (2 * ℓ) numbers",
        "input f : 1 × H/2 × (2 * N - 1)",
        "input f@ℓ : 1 × H@ℓ × W@ℓ",
        "input f@t : 3 × 32 × 32 for t = 1..T",
    ],
)
def test_every_form_has_three_spellings(line, spelling):
    statement = compilation(line).tree.statements[-1]
    written = format_statement(statement, spelling)
    again = compilation("levels ℓ = 1..2", written).tree.statements[-1]
    assert again == statement
    assert format_statement(again, "unicode") == line


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("E0412", ["input f : H × H × W", "output u : 1 × H × W", "u = f"]),
        ("E0412", ["input f : 1 × (H*W) × W", "output u : 1 × H × W", "u = f"]),
        ("E0412", ["input f : 1 × ((H+1)/2) × W", "output u : 1 × H × W", "u = f"]),
        ("E0412", ["input f : 1 × H × 8", "output h : 10", "h = linear ∘ flatten(f)"]),
        (
            "E0412",
            ["input f : 1 × H × W", "output u : 1 × H × W", "kernel K : 3×3 → 1", "u = K * f", "expect macs = 9"],
        ),
        ("E0407", ["input f : 1 × H × W", "output h : 10", "h = linear ∘ flatten(f)"]),
        ("E0405", ["input f : 1 × H × W", "output u : 1 × H × W", "u = avgpool[2](f)"]),
        ("E0403", ["input f : 1 × H × W", "input g : 1 × W × H", "output u : 1 × H × W", "u = f + g"]),
        ("E0201", ["input f : 1 × H × W", "output u : 1 × H × K", "u = f"]),
        ("E0201", ["input f : 1 × H × W", "output u : 1 × H × W", "u = 1/H * f"]),
        (
            "E0413",
            ["levels ℓ = 1..2", "steps i = 1..2", "input f@ℓ,i : 1 × 8 × 8", "output u : 1 × 8 × 8", "u = f@1,1"],
        ),
        ("E0413", ["input f@t : 1 × 8 × 8 for t >= 1", "output u : 1 × 8 × 8", "u = f@1"]),
        ("E0413", ["input f@t : 1 × (8*t) × 8 for t = 1..2", "output u : 1 × 8 × 8", "u = f@1"]),
        ("E0302", ["levels ℓ = 1..2", "input f@ℓ : 1 × 8 × 8", "output u : 1 × 8 × 8", "u = f@3"]),
        ("E0203", ["input f : 1 × 8 × 8", "output u : 1 × 8 × 8", "output u : 1 × 8 × 8", "u = f"]),
        ("E0203", ["input f : 1 × 8 × 8", "output f : 1 × 8 × 8"]),
    ],
)
def test_what_is_wrong_is_told(code, lines):
    assert code in refused(*lines)
