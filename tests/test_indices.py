"""Ranges in steps and indices that are multiples: against hand-written torch, in loops, in three spellings."""

import pytest
import torch
from networks import build, compile_text
from torch import nn
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.syntax.format import format_statement
from cldfc.syntax.parse import parse_spec

PAIRS = """
model Pairs
let J = 4
levels ℓ = 1..J
steps  k = 1..n
let n@ℓ = 2^(J-ℓ)
input  f@k : 2 × 6 × 6 for k = 1..8
output h : 5
kernel θ : 3×3 → 4
kernel A@ℓ : 3×3 → 4
kernel B@ℓ : 3×3 → 4
x@1,k   = tanh(θ * f@k)
x@ℓ+1,k = tanh(A@ℓ * x@ℓ,2*k-1 + B@ℓ * x@ℓ,2*k) for ℓ = 1..J-1, k = 1..n@ℓ+1
h = linear ∘ avgpool(x@J,1)
"""
BACKWARDS = """
model Backwards
levels ℓ = 4..1 by -1
steps k = 1..9 by 2
let c@ℓ = 2, 3, 4, 5
let d@k = 1, 2, 1, 2, 1
input  f : 5 × 9 × 9
output h : 3
kernel R@ℓ : 3×3 → c@ℓ
kernel K@k : 3×3 → 2, dilation d@k
scalar ω@k = 1/k
u@4 = R@4 * f
u@ℓ = tanh(R@ℓ * u@ℓ+1) for ℓ = 1..3
x@-1 = R@4 * f
x@k  = x@k-2 + ω@k * K@k * tanh(x@k-2)
h = linear ∘ avgpool(concat(concat(k = 9..1 by -4 : x@k), u@1))
"""
HALVES = """
model Halves
steps i = 1..8
input  f : 2 × 5 × 5
output h : 3
kernel A@i : 3×3 → 2
kernel B@i : 3×3 → 2
x@1 = f
x@i = A@i * x@{i/2} - x@i-1 for i = 2..8 by 2
x@i = tanh(B@{(i+1)/2} * x@{(i-1)/2}) for i = 3..7 by 2
h = linear ∘ avgpool(x@8 + 2 * x@7)
"""


class Pairs(nn.Module):
    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, f):
        net = self.given
        values = [torch.tanh(F.conv2d(f[:, k], net.theta.weight, padding=1)) for k in range(8)]
        for level in range(1, 4):
            a, b = net.A[str(level)].weight, net.B[str(level)].weight
            values = [
                torch.tanh(F.conv2d(odd, a, padding=1) + F.conv2d(even, b, padding=1))
                for odd, even in zip(values[::2], values[1::2], strict=True)
            ]
        return net.linear(values[0].mean((2, 3)))


class Backwards(nn.Module):
    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, f):
        net = self.given
        u = x = F.conv2d(f, net.R["4"].weight, padding=1)
        for level in (3, 2, 1):
            u = torch.tanh(F.conv2d(u, net.R[str(level)].weight, padding=1))
        values = []
        for k, dilation in ((1, 1), (3, 2), (5, 1), (7, 2), (9, 1)):
            new = F.conv2d(torch.tanh(x), net.K[str(k)].weight, padding=dilation, dilation=dilation)
            x = x + net.omega[str(k)] * new
            values.append(x)
        return net.linear(torch.cat([values[4], values[2], values[0], u], 1).mean((2, 3)))


class Halves(nn.Module):
    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, f):
        net, x = self.given, {1: f}
        for i in (2, 3, 4, 7, 8):
            if i % 2:
                x[i] = torch.tanh(F.conv2d(x[(i - 1) // 2], net.B[str((i + 1) // 2)].weight, padding=1))
            else:
                x[i] = F.conv2d(x[i // 2], net.A[str(i)].weight, padding=1) - x[i - 1]
        return net.linear((x[8] + 2 * x[7]).mean((2, 3)))


@pytest.mark.parametrize(
    ("spec", "written", "shape"),
    [(PAIRS, Pairs, (8, 2, 6, 6)), (BACKWARDS, Backwards, (5, 9, 9)), (HALVES, Halves, (2, 5, 5))],
)
def test_like_hand_written_torch(spec: str, written: type[nn.Module], shape: tuple[int, ...]):
    torch.manual_seed(0)
    network = build(compile_text(spec)).double()
    images = torch.randn(2, *shape, dtype=torch.float64)
    found, gradients = values_and_gradients(network, network, images)
    wanted, others = values_and_gradients(written(network), network, images)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients, others, rtol=1e-11, atol=1e-12)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def values_and_gradients(module: nn.Module, network: nn.Module, images: torch.Tensor):
    images = images.clone().requires_grad_()
    values = module(images)
    return values, torch.autograd.grad(values.square().sum(), [images, *network.parameters()])


@pytest.mark.parametrize(
    ("spec", "loops"),
    [
        (PAIRS, ["for k in range(1, 9):", "for k in range(1, self.n[level + 1] + 1):", "x[2 * k - 1]"]),
        (BACKWARDS, ["for k in range(1, 10, 2):", "for level in range(3, 0, -1):", "x[k] for k in range(9, 0, -4)"]),
    ],
)
def test_loops_stay_loops(spec: str, loops: list[str]):
    forward = compile_text(spec).split("def forward")[1]
    assert [text for text in loops if text not in forward] == []
    assert forward.count("x[k] =") + forward.count("x[k - 2] +") <= 3


def test_a_loop_over_every_other_value():
    """What is needed at 2*k alone is computed in the loop over k that needs it."""
    spec = """
model Shared
input  f : 3 × 8 × 8
output h : 10
steps k = 1..8
kernel θ@k : 3×3 → 2
kernel A@k : 3×3 → 2
x@k = relu(θ@k * f)
y@k = A@k * x@2*k for k = 1..4
h = linear ∘ avgpool(sum(k = 1..4 : y@k))
"""
    code = compile_text(spec)
    assert code.count("self.theta[") == code.count('self.theta[f"{2 * k}"]') == 2


WRITTEN = {
    "steps k = 1..9 by 2": ("steps k = 1..9 by 2", r"steps k = 1..9 by 2"),
    "x@k = y@ℓ+1,2*k-1 for k = 1..9 by 2": (
        "x@k = y@l+1,2*k-1 for k = 1..9 by 2",
        r"x^{k} = y^{\ell+1,2k-1}, \quad k = 1, 3, \dots, 9",
    ),
    "x@k = y@{k/2} for k = J..1 by -1": (
        "x@k = y@{k/2} for k = J..1 by -1",
        r"x^{k} = y^{k/2}, \quad k = J : 1 \text{ by } -1",
    ),
    "x@k = y@{(k-1)/2} for k ≥ 3 by 2": (
        "x@k = y@{(k-1)/2} for k >= 3 by 2",
        r"x^{k} = y^{(k-1)/2}, \quad k = 3, 5, \dots",
    ),
    "x@k = sum(j = 0..k by 2 : y@j)": (
        "x@k = sum(j = 0..k by 2 : y@j)",
        r"x^{k} = \mathrm{sum}(j = 0..k by 2 : y^{j})",
    ),
}


@pytest.mark.parametrize("canonical", WRITTEN)
def test_three_spellings(canonical: str):
    for spelling, text in zip(("unicode", "ascii", "latex"), (canonical, *WRITTEN[canonical]), strict=True):
        statement = read(text)
        assert format_statement(statement, spelling) == text
        assert statement == read(canonical)


@pytest.mark.parametrize(
    ("paper", "canonical"),
    [
        (r"x^{k} = y^{2k-1}, \quad k = 2, 4, \ldots, 8", "x@k = y@2*k-1 for k = 2..8 by 2"),
        (r"x^{k} = y^{\frac{k}{2}}, \quad k = J, J-1, \dots, 1", "x@k = y@{k/2} for k = J..1 by -1"),
        (r"x^{k} = y^{2(k-1)}, \quad k = 1, \dots, 4", "x@k = y@2*k-2 for k = 1..4"),
        ("x@k = y@{k/2 + 1}", "x@k = y@{k/2+1}"),
        ("x@k = A@1*B@2 * y", "x@k = A@1 * B@2 * y"),
        ("x@k = A@1*σ(y)", "x@k = A@1 * σ(y)"),
        ("x@k = A@1*y", "x@k = A@1 * y"),
        ("x@k = A@2*K@k * y", "x@k = A@2 * K@k * y"),
        ("x@k = y@ℓ,2*k + z@2*k", "x@k = y@{ℓ, 2 k} + z@{2*k}"),
        ("x@k = y@k/2", "x@k = y@k / 2"),
    ],
)
def test_other_ways_to_write_it(paper: str, canonical: str):
    assert read(paper) == read(canonical)


def read(text: str):
    problems = Problems()
    (statement,) = parse_spec(Source("spec.cldf", text), problems).statements
    assert not problems.found
    return statement


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("for i = 2..8 by 2", "for i = 2..8"), "`x@7` is defined twice"),
        (("@{i/2} -", "@{i/3} -"), "`x@8` reads `x@{i/3}` where i/3 = 8/3 is not whole"),
        (("B@{(i+1)/2}", "B@{i/2}"), "`x@3` reads `B@{i/2}` where i/2 = 3/2 is not whole"),
    ],
)
def test_what_is_refused(change: tuple[str, str], said: str):
    with pytest.raises(CldfError) as caught:
        Compilation(Source("spec.cldf", HALVES.replace(*change))).check()
    assert said in caught.value.diagnostics[0].message


def test_open_ends_and_declared_steps():
    """`for k >= 3` of 1..9 by 2 is 3, 5, 7, 9; `for k <= 5` of 9..1 by -2 is 5, 3, 1."""
    frame = """
model Open
steps k = {}
input  f : 1 × 4 × 4
output h : 2
x@k = 0.5 * f {}
h = linear ∘ avgpool({})
"""
    for declared, clause, values in (
        ("1..9 by 2", "for k >= 3", (3, 5, 7, 9)),
        ("9..1 by -2", "for k <= 5", (1, 3, 5)),
    ):
        for at in range(12):
            spec = Source("spec.cldf", frame.format(declared, clause, f"x@{at}"))
            if at in values:
                Compilation(spec).check()
            else:
                with pytest.raises(CldfError, match=f"nothing defines `x@{at}`"):
                    Compilation(spec).check()


def test_a_tie_that_leaves_no_index_beside_some_that_have_one():
    network = build(
        compile_text("""
model Tied
levels ℓ = 1..3
input f : 2 × 8 × 8
output h : 3
kernel K@ℓ : 3×3 → 2
tie K for ℓ >= 2
u@1 = K@1 * f
u@ℓ = relu(K@ℓ * u@ℓ-1) for ℓ >= 2
h = linear ∘ avgpool(u@3)
""")
    )
    assert [name for name in network.state_dict() if name.startswith("K")] == ["K.1.weight", "K.all.weight"]
    x = torch.randn(2, 2, 8, 8)
    first, other = network.K["1"].weight, network.K["all"].weight
    u = F.conv2d(x, first, padding=1)
    for _ in range(2):
        u = F.relu(F.conv2d(u, other, padding=1))
    torch.testing.assert_close(network(x), network.linear(u.mean((2, 3))))


@pytest.mark.parametrize(("boundary", "least"), [("circular", 2), ("reflect", 3)])
def test_maps_too_small_for_their_padding(boundary: str, least: int):
    network = build(
        compile_text(f"""
model Padded
levels ℓ = 1..2
input f : 1 × H × W
output u : 1 × H/2 × W/2
kernel K@ℓ : 5×5, 1 → 1, {boundary}
kernel R   : 3×3, 1 → 1
v@1 = K@1 * f
v@2 = K@2 * R *_2 v@1
u = v@2
""")
    )
    network(torch.zeros(1, 1, 8, 2 * least))
    with pytest.raises(
        ValueError,
        match=rf"W = {2 * least - 2} is too small for the padding of `K@2` on level 2: it must be {2 * least}",
    ):
        network(torch.zeros(1, 1, 8, 2 * least - 2))


def test_scalars_times_numbers_of_images():
    network = build(
        compile_text("""
model Numbers
input  f : 1 × 4 × 4
output y : 16 numbers
scalar γ = 0.5
α = γ * ⟨f, f⟩ + γ
y = flatten(α * f - γ * ‖f‖)
""")
    ).double()
    f = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    square = f.square().sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(network(f), (0.5 * square * f + 0.5 * f - 0.5 * square.sqrt()).flatten(1))


def test_levels_are_called_by_their_own_index():
    spec = PAIRS.replace(
        "h = linear ∘ avgpool(x@J,1)", "u@0 = x@J,1\nu@k = A@1 * u@k-1 for k = 1..2\nh = linear ∘ avgpool(u@2)"
    )
    steps = "model U\nsteps i = 1..2\nlevels ℓ = 1..2\ninput f : 1 × 4 × 4\noutput h : 2\nkernel K : 3×3 → 1\n"
    steps += "u@0 = f\nu@i = K * u@i-1\nh = linear ∘ avgpool(u@2)\n"
    from cldfc.network.cost import level_text

    for text, wanted in ((spec, {"ℓ=1", "ℓ=4", "k=0", "k=2", "h"}), (steps, {"i=0", "i=1", "i=2", "h"})):
        graph = Compilation(Source("spec.cldf", text)).written
        found = {level_text(graph, instance) for instance in graph.instances}
        assert wanted <= found
