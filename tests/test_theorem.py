"""Theorem 1 for the iterations of numerical analysis: residual forms against the same iterations in plain PyTorch."""

import pytest
import torch
from networks import build, compile_text, some
from test_derive import derived, difference_in_training
from torch.nn import functional as F
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.syntax.arrange import format_source
from cldfc.syntax.parse import parse_spec

HEAD = """model M
steps i = 1..3
levels ℓ = 1..2
input f : 2 × 6 × 6
output h : 72
kernel A   : 3×3 → 2
kernel B@i : 3×3 → 2
kernel R   : 3×3 → 2
scalar a@i = 0.3
vector t   : 2 = 0.4
"""
ZERO = "u@0 = 0\n"
ONE = "u@1 = u@0 + B@1 * (f - A * u@0)\n"


def spec(equations: str, *declarations: str) -> str:
    return "\n".join([HEAD + "\n".join(declarations), equations, "h = flatten(u@3)", ""])


NORMAL = "let 𝒜 = Aᵀ * A *"
# An iteration, and an equation of its residual form.
FORMS = {
    "AᵀA": (spec(ZERO + "u@i = u@i-1 + B@i * (f - 𝒜(u@i-1))", NORMAL), "r@i = r@i-1 - 𝒜(e@i)"),
    "AᵀA with stride": (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - Aᵀ *_2 A *_2 u@i-1)"),
        "r@i = r@i-1 - Aᵀ *_2 A *_2 e@i",
    ),
    "a Galerkin product": (
        spec(ZERO + "u@i = u@i-1 + Bᵀ@i * (f - 𝒜(u@i-1))", "let 𝒜 = Rᵀ *_2 A * R *_2"),
        "r@i = r@i-1 - 𝒜(e@i)",
    ),
    "shifted and scaled": (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - a@1 * A * u@i-1 - 1/2 * u@i-1)"),
        "r@i = r@i-1 - a@1 * A * e@i - 1/2 * e@i",
    ),
    "a stencil": (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - L * u@i-1)", "kernel L : 3×3 each = laplace5 fixed"),
        "r@i = r@i-1 - L * e@i",
    ),
    "numbers made of a vector": (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - (1 + t) * A * u@i-1)"),
        "r@i = r@i-1 - (1 + t) * A * e@i",
    ),
    "a correction that is divided": (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - A * u@i-1) / (1 + a@i)"),
        "e@i = B@i * r@i-1 / (1 + a@i)",
    ),
    "an average, divided": (
        spec(ZERO + ONE + "u@i = (u@i-1 + u@i-2) / 2 + B@i * (f - A * u@i-1) for i = 2..3"),
        "r@i = 1/2 * r@i-1 + 1/2 * r@i-2 - A * e@i for i = 2..3",
    ),
    "heavy ball": (
        spec(ZERO + ONE + "u@i = u@i-1 + B@i * (f - A * u@i-1) + a@i * (u@i-1 - u@i-2) for i = 2..3"),
        "r@i = r@i-1 + a@i * r@i-1 - a@i * r@i-2 - A * e@i for i = 2..3",
    ),
    "Chebyshev": (
        spec(ZERO + ONE + "u@i = a@i * (u@i-1 + B@i * (f - A * u@i-1)) + (1 - a@i) * u@i-2 for i = 2..3"),
        "r@i = a@i * r@i-1 + (1 - a@i) * r@i-2 - A * e@i for i = 2..3",
    ),
    "steepest descent": (
        spec(ZERO + "q@i = f - A * u@i-1\nα@i = ⟨q@i, q@i⟩ / (1 + ⟨q@i, A * q@i⟩^2)\nu@i = u@i-1 + α@i * q@i"),
        "r@i = r@i-1 - A * e@i",
    ),
    "conjugate gradients": (
        spec(
            ZERO
            + "r@i = f - A * u@i for i = 0..3\np@1 = r@0\nα@i = ⟨r@i-1, r@i-1⟩ / (1 + ⟨p@i, A * p@i⟩^2)\n"
            + "β@i = ⟨r@i, r@i⟩ / ⟨r@i-1, r@i-1⟩\np@i = r@i-1 + β@i-1 * p@i-1 for i = 2..3\n"
            + "u@i = u@i-1 + α@i * p@i"
        ),
        "r@i = r@i-1 - A * e@i",
    ),
    "momentum by a number for each image": (
        spec(
            ZERO
            + ONE
            + "β@i = 1 / (1 + ⟨u@i-1, u@i-1⟩)\n"
            + "u@i = u@i-1 + B@i * (f - A * u@i-1) + β@i * (u@i-1 - u@i-2) for i = 2..3"
        ),
        "r@i = r@i-1 + β@i * r@i-1 - β@i * r@i-2 - A * e@i for i = 2..3",
    ),
    "an operator with named operands": (
        spec(ZERO + "u@i = S@i(u@i-1, f)", "let S@i(u, f) = u + relu ∘ bn ∘ B@i * relu(f - A * u)"),
        "e@i = relu ∘ bn ∘ B@i * relu(r@i-1)",
    ),
    "two sweeps": (
        spec(ZERO + "u@i = S(S(u@i-1, f), f)", "let S(u, f) = u + 0.3 * (f - A * u)"),
        "r@i = r@i-1 - A * e@i",
    ),
    "a cycle": (
        spec(
            ZERO + "u@i = u@i-1 + M@1(f - A * u@i-1)",
            "let M@2 = 1/4 * identity",
            "let M@ℓ(f) = 1/5 * f + Rᵀ *_2 M@ℓ+1(R *_2 (f - A * 1/5 * f)) for ℓ = 1..1",
        ),
        "e@i = M@1(r@i-1)",
    ),
    "a fixed point": (
        spec(ZERO + "u@i = u@i-1 + fix(v : relu(0.1 * R * v + f - A * u@i-1), steps 4)"),
        "e@i = fix(v : relu(0.1 * R * v + r@i-1), steps 4)",
    ),
    "a linear equation": (
        spec(ZERO + "u@i = u@i-1 + solve(v : v + 0.1 * R * v = f - A * u@i-1, steps 4)"),
        "e@i = solve(v : v + 0.1 * R * v = r@i-1, steps 4)",
    ),
}


@pytest.mark.parametrize("name", some(FORMS, 2))
def test_a_residual_form_is_the_same_network(name):
    text, equation = FORMS[name]
    (expected,) = parse_spec(Source("expected.cldf", equation), Problems()).statements
    assert expected in derived(text).spec.statements
    assert difference_in_training(text, steps=1) < 1e-11


# By hand


def by_hand(name: str, f: torch.Tensor, a: torch.Tensor, b: list[torch.Tensor], r: torch.Tensor) -> torch.Tensor:
    def conv(kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernel, padding=1)

    def dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x * y).sum((1, 2, 3), keepdim=True)

    before, u = torch.zeros_like(f), torch.zeros_like(f)
    for i in range(3):
        residual = f - conv(a, u)
        match name:
            case "AᵀA":
                after = u + conv(b[i], f - F.conv_transpose2d(conv(a, u), a, padding=1))
            case "heavy ball":
                after = u + conv(b[i], residual) + float(torch.tensor(0.3)) * (u - before)
            case "steepest descent":
                after = u + dot(residual, residual) / (1 + dot(residual, conv(a, residual)) ** 2) * residual
            case "two sweeps":
                half = u + 0.3 * residual
                after = half + 0.3 * (f - conv(a, half))
            case _:
                smooth = 0.2 * residual
                coarse = F.conv2d(residual - conv(a, smooth), r, stride=2, padding=1)
                back = F.conv_transpose2d(coarse / 4, r, stride=2, padding=1, output_padding=1)
                after = u + smooth + back
        before, u = u, after
    return u.flatten(1)


@pytest.mark.parametrize("name", ["AᵀA", "heavy ball", "steepest descent", "two sweeps", "a cycle"])
def test_a_residual_form_is_the_iteration_in_plain_pytorch(name):
    network = build(compile_text(derived(FORMS[name][0]).spec.source.text)).double()
    weights = network.state_dict()
    a, r = weights["A.weight"], weights.get("R.weight", torch.empty(0))
    b = [weights.get(f"B.{i}.weight", torch.empty(0)) for i in (1, 2, 3)]
    images = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one, other = images.clone().requires_grad_(), images.clone().requires_grad_()
    found, wanted = network(one), by_hand(name, other, a, b, r)
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    torch.manual_seed(1)
    outer = torch.randn_like(wanted)
    found.backward(outer)
    wanted.backward(outer)
    assert torch.allclose(one.grad, other.grad, rtol=1e-11, atol=1e-11)


# Where the theorem does not apply


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (spec(ZERO + "u@i = t * u@i-1 + B@i * (f - A * u@i-1)"), "E0806", "`t * u@i-1` cannot be expressed"),
        (spec(ZERO + "u@i = t * u@i-1 + (1 - t) * u@i-1 + B@i * (f - A * u@i-1)"), "E0806", "cannot be expressed"),
        (
            spec(ZERO + "α@i = 1/(1 + ⟨u@i-1, f⟩)\nu@i = u@i-1 + B@i * (f - α@i * A * u@i-1)"),
            "E0804",
            "`α@i` differs from step to step",
        ),
        (spec(ZERO + "u@i = u@i-1 + B@i * (f - ⟨u@i-1, f⟩ * A * u@i-1)"), "E0803", "nonlinear"),
        (
            spec(ZERO + "u@i = u@i-1 + B@i * (f - solve(v : v + 0.1 * A * v = u@i-1))"),
            "E0803",
            "`solve` finds its value up to `tol`",
        ),
        (
            spec(
                ZERO + "u@i = V@1(u@i-1, f)",
                "let V@2(u, f) = u + 1/4 * f",
                "let V@ℓ(u, f) = u + Rᵀ *_2 V@ℓ+1(0 * R *_2 f, R *_2 (f - A * u)) for ℓ = 1..1",
            ),
            "E0809",
            "it is defined by itself, and has several operands",
        ),
        (
            spec(ZERO + "u@i = S(bn(u@i-1), f)", "let S(u, f) = u + 0.3 * (f - A * u)"),
            "E0809",
            "an operand that owns parameters",
        ),
    ],
)
def test_why_there_is_no_residual_form(text, code, reason):
    with pytest.raises(CldfError) as caught:
        derived(text)
    (problem,) = caught.value.diagnostics
    assert problem.code == code
    assert reason in problem.message
    assert problem.places and problem.help


# The normal equation


def normal(text: str) -> str:
    return Compilation(Source("test.cldf", text), read_changes()).normal.source.text


WIDE = """model M
steps i = 1..3
input f : 2 × 6 × 6
output h : 108
kernel A   : 3×3, 3 → 2
kernel B@i : 3×3 → 3
kernel C@i : 3×3, 3 → 2
vector γ   : 3 = 0.3
u@0 = 0
{}
h = flatten(u@3)
"""
NORMALS = [
    (
        WIDE.format("u@i = u@i-1 + B@i * (f - A * γ * u@i-1)"),
        "u@i = u@i-1 + B@i * γ * Aᵀ * (f - A * γ * u@i-1)",
    ),
    (
        WIDE.format("d@i = B@i * (f - 1/2 * A * u@i-1)\nu@i = u@i-1 + d@i"),
        "d@i = B@i * 1/2 * Aᵀ * (f - 1/2 * A * u@i-1)",
    ),
    (
        WIDE.format("q@i = f - A * u@i for i = 0..3\nu@i = u@i-1 + B@i * q@i-1"),
        "u@i = u@i-1 + B@i * Aᵀ * q@i-1",
    ),
    (
        spec(ZERO + "u@i = u@i-1 + B@i * (f - Aᵀ * R * u@i-1 - 1/2 * u@i-1)"),
        "u@i = u@i-1 + B@i * (Rᵀ * A * (f - Aᵀ * R * u@i-1 - 1/2 * u@i-1) + 1/2 * (f - Aᵀ * R * u@i-1 - 1/2 * u@i-1))",
    ),
    (
        spec(ZERO + "v@i = u@i-1 + B@i * (f - A * u@i-1)\nu@i = v@i + B@i * (f - A * v@i)"),
        "u@i = v@i + B@i * Aᵀ * (f - A * v@i)",
    ),
]


@pytest.mark.parametrize(("text", "equation"), NORMALS)
def test_the_iteration_for_the_normal_equation(text, equation):
    (expected,) = parse_spec(Source("expected.cldf", equation), Problems()).statements
    found = normal(text)
    assert expected in parse_spec(Source("found.cldf", found), Problems()).statements
    assert format_source(Source("found.cldf", found)) == found
    assert difference_in_training(found, steps=1) < 1e-11


def test_the_normal_equation_in_plain_pytorch():
    network = build(compile_text(normal(NORMALS[0][0]))).double()
    weights = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    gamma = next(tensor for name, tensor in weights.items() if name.startswith("gamma")).view(1, 3, 1, 1)
    images = torch.randn(2, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = torch.zeros(2, 3, 6, 6, dtype=torch.float64)
    for i in (1, 2, 3):
        residual = images - F.conv2d(gamma * u, weights["A.weight"], padding=1)
        back = gamma * F.conv_transpose2d(residual, weights["A.weight"], padding=1)
        u = u + F.conv2d(back, weights[f"B.{i}.weight"], padding=1)
    assert torch.allclose(network(images), u.flatten(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (
            spec(ZERO + "u@i = u@i-1 + B@i * (f - A * upsample ∘ avgpool[2](u@i-1))"),
            "E0809",
            "`avgpool[2]` has no adjoint that can be written",
        ),
        (
            WIDE.format("u@i = u@i-1 + K@i * (f - A * u@i-1)").replace(
                "kernel C@i :", "kernel K@i : 3×3, 2 → 3\nkernel C@i :"
            ),
            "E0808",
            "the iteration for the normal equation would have an error",
        ),
        (spec(ZERO + "u@i = u@i-1 + B@i * (f - relu(A * u@i-1))"), "E0803", "`relu` is not linear"),
    ],
)
def test_why_there_is_no_normal_equation(text, code, reason):
    with pytest.raises(CldfError) as caught:
        normal(text)
    (problem,) = caught.value.diagnostics
    assert problem.code == code
    assert reason in problem.message


def test_the_command_writes_the_normal_equation_and_its_residual_form(tmp_path):
    path = tmp_path / "wide.cldf"
    path.write_text(NORMALS[0][0], encoding="utf-8")
    said = CliRunner().invoke(app, ["derive", str(path), "--normal"])
    assert said.exit_code == 0, said.output
    assert "model M_normal\n" in said.stdout
    assert said.stderr == ""
    said = CliRunner().invoke(app, ["derive", str(path), "--normal", "--residual"])
    assert "r@i = r@i-1 - A * γ * e@i" in said.stdout
    said = CliRunner().invoke(app, ["derive", str(path), "--normal", "--explain"])
    assert said.exit_code == 2
    assert "--normal --residual --explain" in said.stderr
