"""Operators that are defined by themselves: multigrid as the literature has it, against scripts written by hand."""

import pytest
import torch
from networks import build, compile_text, some
from torch.nn import functional as F

from cldfc.diagnostics import CldfError

LAPLACE = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)[None, None]
WEIGHTING = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64)[None, None] / 16

CYCLES = {
    "V": "let M@ℓ(f) = T(S(f) + 4 * Rᵀ *_2 M@ℓ+1(4 * R *_2 (f - A * S(f))), f)",
    "W": """
let W@ℓ(f) = M@ℓ(f) + M@ℓ(f - A * M@ℓ(f))
let M@ℓ(f) = T(S(f) + 4 * Rᵀ *_2 W@ℓ+1(4 * R *_2 (f - A * S(f))), f)""",
    "F": """
let V@J = S
let V@ℓ(f) = T(S(f) + 4 * Rᵀ *_2 V@ℓ+1(4 * R *_2 (f - A * S(f))), f)
let W@ℓ(f) = M@ℓ(f) + V@ℓ(f - A * M@ℓ(f))
let M@ℓ(f) = T(S(f) + 4 * Rᵀ *_2 W@ℓ+1(4 * R *_2 (f - A * S(f))), f)""",
}
# The same V- and W-cycles without a name for what they are applied to.
POINT_FREE = {
    "V": "let M@ℓ = S + (identity - S ∘ A *) ∘ (4 * Rᵀ *_2 M@ℓ+1 ∘ 4 * R *_2 (identity - A * S))"
    " + S ∘ (identity - A * S)",
    "W": "let M@ℓ = S + (identity - S ∘ A *) ∘ (4 * Rᵀ *_2 M@ℓ+1 ∘ (2 * identity - A * M@ℓ+1)"
    " ∘ 4 * R *_2 (identity - A * S)) + S ∘ (identity - A * S)",
}


def multigrid(cycle: str, levels: int, cycles: int = 12) -> str:
    """Cycles for the 5-point Laplacian on 2^levels - 1 inner points; the unit of a stencil is its own grid's."""
    size = 2**levels - 1
    return f"""
model Multigrid
let J = {levels}
levels ℓ = 1..J
steps i = 1..{cycles}
input f : 1 × {size} × {size}
output h : {size * size}
kernel A : 3×3, 1 → 1 = laplace5 fixed
kernel R : 3×3, 1 → 1, valid = full_weighting fixed
let S = 1/5 * identity
let T(u, f) = u + S(f - A * u)
let M@J = S
{cycle}
u@0 = 0
u@i = u@i-1 + M@1(f - A * u@i-1)
h = flatten(u@{cycles})
"""


def correct(f: torch.Tensor, kind: str) -> torch.Tensor:
    """One cycle from zero, as a textbook writes it: smooth, restrict, correct, prolong, smooth."""
    u = f / 5
    if f.shape[-1] == 1:
        return u
    coarse = 4 * F.conv2d(f - F.conv2d(u, LAPLACE, padding=1), WEIGHTING, stride=2)
    e = correct(coarse, kind)
    if kind != "V":
        e = e + correct(coarse - F.conv2d(e, LAPLACE, padding=1), "W" if kind == "W" else "V")
    u = u + 4 * F.conv_transpose2d(e, WEIGHTING, stride=2)
    return u + (f - F.conv2d(u, LAPLACE, padding=1)) / 5


def iterate(f: torch.Tensor, kind: str, cycles: int) -> torch.Tensor:
    u = torch.zeros_like(f)
    for _ in range(cycles):
        u = u + correct(f - F.conv2d(u, LAPLACE, padding=1), kind)
    return u


def right_side(size: int) -> torch.Tensor:
    return torch.randn(2, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("kind", CYCLES)
def test_cycles(kind: str, levels: int) -> None:
    """Values and gradients of V-, W- and F-cycles are those of the script."""
    f = right_side(2**levels - 1).requires_grad_()
    found = build(compile_text(multigrid(CYCLES[kind], levels, 3))).double()(f)
    expected = iterate(f, kind, 3).flatten(1)
    assert (found - expected).abs().max() < 1e-12
    weights = torch.randn_like(found)
    one, other = (torch.autograd.grad((weights * value).sum(), f)[0] for value in (found, expected))
    assert (one - other).abs().max() < 1e-12


@pytest.mark.parametrize("kind", POINT_FREE)
def test_point_free(kind: str) -> None:
    """Sums and differences of operators say the same as formulas with names for the operands."""
    f = right_side(15)
    found = build(compile_text(multigrid(POINT_FREE[kind], 4, 3))).double()(f)
    assert (found - iterate(f, kind, 3).flatten(1)).abs().max() < 1e-12


RATES = {("V", 5): 0.346, ("V", 6): 0.352, ("W", 5): 0.343}
"""The factor of the 12th cycle at 31 and 63 inner points; damped Jacobi with ω = 4/5, once before and once after."""


@pytest.mark.parametrize(("kind", "levels"), some(RATES, 2))
def test_convergence(kind: str, levels: int) -> None:
    f = right_side(2**levels - 1)[:1]
    norms: list[float] = []
    for cycles in (11, 12):
        u = build(compile_text(multigrid(CYCLES[kind], levels, cycles))).double()(f).reshape(f.shape)
        norms.append((f - F.conv2d(u, LAPLACE, padding=1)).norm().item())
    assert norms[1] / norms[0] == pytest.approx(RATES[kind, levels], abs=0.003)


def test_one_method_for_all_levels() -> None:
    """The generated code has one method, which calls itself, and is as long for 5 levels as for 3."""
    short, long = (compile_text(multigrid(CYCLES["W"], levels)) for levels in (3, 5))
    assert len(short.splitlines()) == len(long.splitlines())
    assert "self.w(4 * self.R(z), level + 1)" in long
    assert long.count("def m(") == long.count("def w(") == 1


LEARNED = """
model Learned
let J = 3
levels ℓ = 1..J
steps i = 1..2
input f : 1 × 8 × 8
output h : 5
kernel θ : 3×3 → 3
kernel A@ℓ : 3×3, 3 → 3
kernel B@ℓ : 3×3, 3 → 3
kernel R@ℓ : 3×3, 3 → 3
kernel P@ℓ : 3×3, 3 → 3
let S@ℓ = relu ∘ NORM B@ℓ *
let M@J = S@J
let M@ℓ = S@ℓ + P@ℓ *^2 M@ℓ+1 ∘ R@ℓ *_2 (identity - A@ℓ * S@ℓ)
u@0 = θ * f
u@i = u@i-1 + M@1(u@i-1)
h = linear ∘ avgpool(u@2)
"""


def learned(network: torch.nn.Module, x: torch.Tensor, level: int) -> torch.Tensor:
    smooth = F.relu(network.B[f"{level}"](x))
    if level == 3:
        return smooth
    coarse = learned(network, network.R[f"{level}"](x - network.A[f"{level}"](smooth)), level + 1)
    return smooth + network.P[f"{level}"](coarse)


def test_kernels_of_levels() -> None:
    """The V-cycle of the design, with kernels of its own on each level."""
    network = build(compile_text(LEARNED.replace("NORM ", ""))).double()
    f = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    u = network.theta(f)
    for _ in range(2):
        u = u + learned(network, u, 1)
    assert (network(f) - network.linear(u.mean((2, 3)))).abs().max() < 1e-12


def test_parameters_are_those_of_the_path() -> None:
    """Each visit of a level has a normalisation of its own, in each step; an equal one before `-` is another one."""
    network = build(compile_text(LEARNED.replace("NORM", "bn ∘")))
    norms = [name for name in network.state_dict() if name.endswith("running_mean")]
    assert len(norms) == 2 * (2 + 2 + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("M@J = S@J", "M@1 = S@1"), "M@2 → M@3 → M@4"),
        (("M@ℓ+1", "M@ℓ"), "M@1 → M@1"),
        (("M@ℓ+1", "M@ℓ-1"), "M@1 → M@0"),
    ],
)
def test_no_end(change: tuple[str, str], message: str) -> None:
    """A recursion that does not end is refused, with the chain."""
    text = LEARNED.replace("NORM ", "").replace(*change)
    text = text.replace("M@1(u@i-1)", "M@2(u@i-1)") if "M@1 = S@1" in text else text
    with pytest.raises(CldfError) as caught:
        compile_text(text)
    assert [found.code for found in caught.value.diagnostics] == ["E0308"]
    assert message in caught.value.diagnostics[0].message


def test_the_levels_may_stand_behind_the_case_that_ends_it() -> None:
    """`let M@J` does not say which index it has, and steps are declared first."""
    head, *lines = """model Late
steps i = 1..1
let J = 3
let M@ℓ(f) = f + M@ℓ+1(B * f) for ℓ = 1..J-1
let M@J = relu
input f : 3 × 8 × 8
output h : 3
kernel B : 3×3 → 3
h = linear ∘ avgpool ∘ M@1(f)
levels ℓ = 1..J""".splitlines()
    late, early = ("\n".join([head, *part, ""]) for part in (lines, [lines[-1], *lines[:-1]]))
    assert compile_text(late).partition("import")[2] == compile_text(early).partition("import")[2]


OF_TWO = """
model OfTwo
let J = 5
levels ℓ = 1..J
steps i = 1..13
input f : 1 × 31
output h : 1 × 31
kernel A : 3, 1 → 1 = [-1 2 -1] fixed
kernel R : 3, 1 → 1, valid = 1/4 * [1 2 1] fixed
let S(u, f) = u + 1/3 * (f - A * u)
let M@J(u, f) = 1/2 * f
let M@ℓ(u, f) = S(S(u, f) + 2 * Rᵀ *_2 M@ℓ+1(0, 4 * R *_2 (f - A * S(u, f))), f)
u@0 = 0
u@i = M@1(u@i-1, f)
h = u@13
"""


def test_a_case_need_not_read_all_operands() -> None:
    """The coarsest grid starts from nothing: the shape of its zero is not needed."""
    f = torch.randn(2, 1, 31, dtype=torch.float64)
    once = torch.ones(30, dtype=torch.float64)
    laplace = 2 * torch.eye(31, dtype=torch.float64) - torch.diag(once, 1) - torch.diag(once, -1)
    solved = torch.linalg.solve(laplace, f.squeeze(1).T).T
    error = build(compile_text(OF_TWO)).double()(f).squeeze(1) - solved
    assert error.norm() < 1e-9 * solved.norm()


def test_what_an_operator_does_not_read_costs_nothing() -> None:
    text = "model M\ninput f : 1 × 8\noutput u : 1 × 8\nkernel A : 3, 1 → 1\nlet V(u, f) = 1/2 * f\nu = V(A * f, f)\n"
    assert not list(build(compile_text(text)).parameters())
