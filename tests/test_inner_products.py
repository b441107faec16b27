"""Inner products: numbers of images, in methods of descent against scripts and a direct solver."""

import pytest
import torch
from networks import build, compile_text, count_calls
from torch import Tensor
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.side_by_side import Multiples
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

FRAME = """
model Descent
steps i = 1..{steps}
input f : 1 × {size} × {size}
output h : {numbers}
kernel A : 3×3, 1 → 1 = laplace5 fixed
"""
CONJUGATE_GRADIENTS = """
u@0 = 0
r@0 = f
p@0 = f
α@i = ⟨r@i-1, r@i-1⟩ / ⟨p@i-1, A * p@i-1⟩
u@i = u@i-1 + α@i * p@i-1
r@i = r@i-1 - α@i * A * p@i-1
β@i = ‖r@i‖^2 / ‖r@i-1‖^2
p@i = r@i + β@i p@i-1
h = flatten(u@{steps})
"""
STEEPEST_DESCENT = """
let α(r) = <r, r> / max(<r, A * r>, 1e-12)
u@0 = 0
r@i = f - A * u@i-1
u@i = u@i-1 + α(r@i) * r@i
h = flatten(u@{steps})
"""


def spec(method: str, size: int, steps: int) -> str:
    return (FRAME + method).format(size=size, steps=steps, numbers=size * size)


def apply(x: Tensor) -> Tensor:
    return F.conv2d(
        x, torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)[None, None], padding=1
    )


def pair(x: Tensor, y: Tensor) -> Tensor:
    return torch.einsum("nchw,nchw->n", x, y)[:, None, None, None]


def conjugate_gradients(f: Tensor, steps: int) -> Tensor:
    u, r, p = torch.zeros_like(f), f, f
    for _ in range(steps):
        step = pair(r, r) / pair(p, apply(p))
        u, before, r = u + step * p, r, r - step * apply(p)
        p = r + pair(r, r) / pair(before, before) * p
    return u


def steepest_descent(f: Tensor, steps: int) -> Tensor:
    u = torch.zeros_like(f)
    for _ in range(steps):
        r = f - apply(u)
        u = u + pair(r, r) / pair(r, apply(r)) * r
    return u


def right_side(size: int) -> Tensor:
    return torch.randn(3, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("method", "script"), [(CONJUGATE_GRADIENTS, conjugate_gradients), (STEEPEST_DESCENT, steepest_descent)]
)
def test_descent(method: str, script) -> None:
    """Values and gradients are those of a script, and no image knows of the others."""
    f = right_side(6).requires_grad_()
    network = build(compile_text(spec(method, 6, 4))).double()
    found, expected = network(f), script(f, 4).flatten(1)
    assert (found - expected).abs().max() < 1e-12
    weights = torch.randn_like(found)
    one, other = (torch.autograd.grad((weights * value).sum(), f)[0] for value in (found, expected))
    assert (one - other).abs().max() < 1e-12
    assert (network(f[1:2]) - found[1:2]).abs().max() < 1e-12


def test_conjugate_gradients_solve() -> None:
    """After enough steps they give what a direct solver gives."""
    size, f = 7, right_side(7)
    matrix = torch.stack([apply(e.reshape(1, 1, size, size)).flatten() for e in torch.eye(size**2).double()])
    expected = torch.linalg.solve(matrix, f.flatten(1).T).T
    assert (build(compile_text(spec(CONJUGATE_GRADIENTS, size, 28))).double()(f) - expected).abs().max() < 1e-10


def test_loops_stay_loops() -> None:
    """The code is as long for 40 steps as for 4."""
    few, many = (len(compile_text(spec(CONJUGATE_GRADIENTS, 6, steps)).splitlines()) for steps in (4, 40))
    assert few == many


SMALL = """
model Small
input f : 2 × 4 × 4
output h : 3
kernel A : 3×3, 2 → 2
scalar ω = 0.5
"""

EXPRESSIONS = {
    "‖f‖ * f": lambda f, a: f * f.square().sum((1, 2, 3), keepdim=True).sqrt(),
    "f / \\|f\\|_2": lambda f, a: f / f.square().sum((1, 2, 3), keepdim=True).sqrt(),
    "f + ⟨f, A * f⟩": lambda f, a: f + (f * a(f)).sum((1, 2, 3), keepdim=True),
    "⟨f, A * f⟩ ⊙ f - ⟨f, f⟩": lambda f, a: (
        (f * a(f) - 0).sum((1, 2, 3), keepdim=True) * f - f.square().sum((1, 2, 3), keepdim=True)
    ),
    "(ω * ⟨f, f⟩ - 1)^2 * f": lambda f, a: (0.5 * f.square().sum((1, 2, 3), keepdim=True) - 1) ** 2 * f,
    "(1 + ‖A * f - A * f‖) * f": lambda f, a: f,
    "max(f, A * f, 0.1)": lambda f, a: torch.stack([f, a(f), torch.full_like(f, 0.1)]).amax(0),
    "min(‖f‖, ω, 2) * f": lambda f, a: f * 0.5,
    "relu(⟨f, A * f⟩) * f": lambda f, a: f * (f * a(f)).sum((1, 2, 3), keepdim=True).clamp(min=0),
    "(‖f‖ * A * + identity)(f)": lambda f, a: f.square().sum((1, 2, 3), keepdim=True).sqrt() * a(f) + f,
    "⟨avgpool(f), avgpool(A * f)⟩ * f": lambda f, a: (
        f * (f.mean((2, 3)) * a(f).mean((2, 3))).sum(1)[:, None, None, None]
    ),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression: str) -> None:
    network = build(compile_text(f"{SMALL}u = {expression}\nh = linear ∘ avgpool(u)\n")).double()
    f = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    expected = network.linear(EXPRESSIONS[expression](f, network.A if hasattr(network, "A") else None).mean((2, 3)))
    assert (network(f) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_reference(expression: str) -> None:
    """The reference, which knows nothing of the compiler, agrees."""
    network = Compilation(Source("test.cldf", f"{SMALL}u = {expression}\nh = linear ∘ avgpool(u)\n"))
    assert verify_forms(network, candidates_of(network), 1e-10, 0).agrees


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("u = f * f", "E0211"),
        ("let g(a) = a * f\nu = g(f)", "E0407"),
        ("u = ⟨f, avgpool(f)⟩ * f", "E0403"),
        ("u = ⟨‖f‖, ‖f‖⟩ * f", "E0407"),
        ("u = bn(‖f‖) * f", None),
        ("let S(x, y) = x + y\nu = S(f)", "E0216"),
        ("let S(x, y) = x + y\nu = S ∘ A * f", "E0216"),
        ("u = relu(f, f)", "E0216"),
        ("let S(x, x) = x\nu = S(f, f)", "E0203"),
        ("u = max(1, A) * f", "E0211"),
        ("steps j = 0..1\na@0 = f\na@1 = ‖f‖\nu = sum(j = 0..1 : a@j)", "E0407"),
        ("steps j = 0..1\na@0 = f\na@1 = ‖f‖\nu = max(j = 0..1 : a@j)", "E0403"),
        ("vector γ : 1 = 2\nu = ⟨γ, γ⟩ * f", "E0407"),
        ("vector γ : 1 = 2\nu = ‖γ‖ * f", "E0407"),
    ],
)
def test_refused(line: str, code: str | None) -> None:
    with pytest.raises(CldfError) as caught:
        compile_text(f"{SMALL}{line}\nh = linear ∘ avgpool(u)\n")
    found = caught.value.diagnostics[0]
    assert code in (None, found.code)
    assert found.help


def multiples_and_calls(count: int) -> tuple[Multiples, int]:
    """What is a number in a spec whose last line says so, which each line needs from the one below; and the calls."""
    lines = [f"let a{i} = 2 a{i + 1}\ny{i} = S(y{i + 1}) / 2\n" for i in range(count)]
    text = f"let S(u) = a0 u\n{''.join(lines)}let a{count} = 3\ny{count} = ‖f‖\nz = relu(y0 f)\n"
    statements = parse_spec(Source("test.cldf", text), Problems()).statements
    return Multiples.of(statements), count_calls(lambda: Multiples.of(statements))


def test_numbers_that_need_those_below_are_found_in_linear_time():
    (few, before), (many, calls) = multiples_and_calls(20), multiples_and_calls(80)
    assert few.names == {f"a{i}" for i in range(21)} and few.families == {(f"y{i}", 0) for i in range(21)}
    assert len(many.names) == len(many.families) == 81
    assert calls < 4.5 * before
