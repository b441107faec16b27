"""`cldfc analyse`: convergence factors against closed forms, matrices, and what running an iteration shows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from cldfc.analysis import Convergence, analyse_convergence, small_sizes, spectral_radius
from cldfc.cli import app
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source

HEAD = """
model Iterations
levels ℓ = 1..J
steps i = 1..ν
let J = 3
let ν = 4
let ω = 4/5
input f : 1 × {size} × {size}
output h : 2
kernel L : 3×3, 1 → 1 = laplace5 fixed
kernel W : 3×3, 1 → 1, valid = full_weighting fixed
kernel T : 3×3, 1 → 1
"""
TAIL = "\nh = linear ∘ avgpool(u@ν)\n"
CORRECTION = """
let S(u, f) = u + ω/4 * (f - L * u)
let M@J = 1/4 * identity
let C@ℓ(u, f) = u + 16 * Wᵀ *_2 M@ℓ+1 ∘ W *_2 (f - L * u) for ℓ = 1..J-1
let M@ℓ(f) = S(C@ℓ(ω/4 * f, f), f) for ℓ = 1..J-1
u@0 = 0
u@i = u@i-1 + M@1(f - L * u@i-1)
"""
CYCLE = """
let S(u, f) = u + ω/4 * (f - L * u)
let V@J(u, f) = u + 1/4 * (f - L * u)
let D@ℓ(u, f) = W *_2 (f - L * u)
let C@ℓ(u, f) = u + 16 * Wᵀ *_2 V@ℓ+1(0 * D@ℓ(u, f), D@ℓ(u, f)) for ℓ = 1..J-1
let V@ℓ(u, f) = S(C@ℓ(S(u, f), f), f) for ℓ = 1..J-1
u@0 = 0
u@i = V@1(u@i-1, f)
"""


def analysed(equations: str, size: int = 7, **lets: str) -> Convergence:
    text = HEAD.format(size=size) + equations + TAIL
    changes = read_changes([f"{name} = {value}" for name, value in lets.items()])
    return analyse_convergence(Compilation(Source("iterations.cldf", text), changes))


def smallest(size: int) -> float:
    """The smallest eigenvalue of the 5-point Laplacian with zeros around size × size points."""
    return 4 - 4 * math.cos(math.pi / (size + 1))


@pytest.mark.parametrize("size", [1, 3, 7, 24])
def test_damped_jacobi(size: int) -> None:
    (found,) = analysed("u@0 = 0\nu@i = u@i-1 + ω/4 * (f - L * u@i-1)", size).iterations
    assert (found.name, found.index, found.first, found.last) == ("u@i", "i", 1, 4)
    assert found.is_stationary
    assert found.factor == pytest.approx(1 - 0.2 * smallest(size), abs=1e-7)


def test_each_level_is_an_iteration_of_its_own() -> None:
    equations = """
f@1 = f
u@ℓ,0 = 0
u@ℓ,i = u@ℓ,i-1 + 1/5 * (f@ℓ - L * u@ℓ,i-1)
f@ℓ+1 = 4 * W *_2 (f@ℓ - L * u@ℓ,ν)
u@i = u@3,i
"""
    found = [one for one in analysed(equations, 15).iterations if one.name.startswith("u@")]
    assert [(one.name, one.shape[1]) for one in found] == [("u@1,i", 15), ("u@2,i", 7), ("u@3,i", 3)]
    for one in found:
        assert one.factor == pytest.approx(1 - 0.2 * smallest(one.shape[1]))


def test_momentum_needs_two_steps_back() -> None:
    least, most = smallest(7), 8 - smallest(7)
    root = (math.sqrt(most) - math.sqrt(least)) / (math.sqrt(most) + math.sqrt(least))
    length = 4 / (math.sqrt(most) + math.sqrt(least)) ** 2
    two_back = (
        f"u@0 = 0\nu@1 = {length!r} * f\nu@i = u@i-1 + {length!r} * (f - L * u@i-1) + {root**2!r} * (u@i-1 - u@i-2)"
    )
    velocity = f"u@0 = 0\nv@0 = 0\nv@i = {root**2!r} * v@i-1 + {length!r} * (f - L * u@i-1)\nu@i = u@i-1 + v@i"
    for equations in (two_back + " for i = 2..ν", velocity):
        found = {one.name: one.factor for one in analysed(equations, ν="6").iterations}
        # The heavy ball method, Polyak 1964, at its best: a double eigenvalue, known to half the digits.
        assert found["u@i"] == pytest.approx(root, abs=1e-6)


def test_steps_that_differ_have_a_mean() -> None:
    least, most = smallest(7), 8 - smallest(7)
    roots = [math.cos(math.pi * (2 * i - 1) / 8) for i in range(1, 5)]
    lengths = [1 / ((most + least) / 2 + (most - least) / 2 * root) for root in roots]
    equations = "u@0 = 0\n" + "".join(
        f"u@{i} = u@{i - 1} + {length!r} * (f - L * u@{i - 1})\n" for i, length in enumerate(lengths, 1)
    )
    assert analysed(equations).iterations == ()
    taus = ", ".join(map(repr, lengths))
    (found,) = analysed(f"let τ@i = {taus}\nu@0 = 0\nu@i = u@i-1 + τ@i * (f - L * u@i-1)").iterations
    assert not found.is_stationary
    eigenvalues = [
        4 - 2 * math.cos(a * math.pi / 8) - 2 * math.cos(b * math.pi / 8) for a in range(1, 8) for b in range(1, 8)
    ]
    expected = max(math.prod(abs(1 - tau * value) for tau in lengths) for value in eigenvalues)
    assert found.factor == pytest.approx(expected ** (1 / 4), abs=1e-9)


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        ("u@i = relu(u@i-1 + 1/5 * (f - L * u@i-1))", "`relu` is not linear"),
        ("u@i = u@i-1 + T * (f - L * u@i-1)", "`T` is trained"),
        ("u@i = u@i-1 + 1/5 * f ⊙ u@i-1", "depends on the input"),
        ("u@i = u@i-1 - u@i-1 ⊙ u@i-1", "is not linear"),
        ("u@i = u@i-1 + ⟨f, f⟩ * (f - L * u@i-1)", "depends on the input"),
    ],
)
def test_why_an_iteration_is_not_analysed(equation: str, reason: str) -> None:
    (found,) = analysed(f"u@0 = f\n{equation}").iterations
    assert found.factor is None
    assert reason in found.reason


# Cycles


def cycle(right: Tensor, u: Tensor, is_exact: bool = False) -> Tensor:
    """A V(1,1) cycle by hand: damped Jacobi, full weighting, bilinear prolongation, down to one point."""
    laplace = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=torch.float64)[None, None]
    weights = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64)[None, None] / 16
    if right.shape[-1] == 1:
        return u + (right - 4 * u) / 4
    if is_exact:
        return solve(right)
    u = u + 0.2 * (right - F.conv2d(u, laplace, padding=1))
    coarse = 4 * F.conv2d(right - F.conv2d(u, laplace, padding=1), weights, stride=2)
    u = u + F.conv_transpose2d(cycle(coarse, torch.zeros_like(coarse), EXACT[0]), 4 * weights, stride=2)
    return u + 0.2 * (right - F.conv2d(u, laplace, padding=1))


EXACT = [False]


def solve(right: Tensor) -> Tensor:
    size = right.shape[-1]
    line = 2 * torch.eye(size) - torch.diag(torch.ones(size - 1), 1) - torch.diag(torch.ones(size - 1), -1)
    line = line.double()
    matrix = torch.kron(line, torch.eye(size).double()) + torch.kron(torch.eye(size).double(), line)
    return torch.linalg.solve(matrix, right.flatten(1).T).T.view_as(right)


def radius_by_hand(size: int, two_grids: bool = False) -> float:
    errors = torch.eye(size * size, dtype=torch.float64).view(-1, 1, size, size)
    EXACT[0] = two_grids
    try:
        return float(torch.linalg.eigvals(cycle(torch.zeros_like(errors), errors).flatten(1)).abs().max())
    finally:
        EXACT[0] = False


@pytest.mark.parametrize("equations", [CORRECTION, CYCLE])
def test_cycles_level_by_level(equations: str) -> None:
    found = analysed(equations, 15, J="4")
    (iteration,) = found.iterations
    assert iteration.factor == pytest.approx(radius_by_hand(15), abs=1e-6)
    assert [(one.name[1:], one.shape) for one in found.cycles] == [
        (f"@{level}", (1, size, size)) for level, size in ((1, 15), (2, 7), (3, 3))
    ]
    for one in found.cycles:
        assert one.factor == pytest.approx(radius_by_hand(one.shape[1]), abs=1e-6)
        assert one.two_grids == pytest.approx(radius_by_hand(one.shape[1], two_grids=True), abs=1e-6)


def test_a_large_cycle_is_as_running_it_and_fourier_analysis_say() -> None:
    """Local Fourier analysis gives 0.36 for two grids: Trottenberg, Oosterlee and Schüller 2001, table 4.1."""
    found = analysed(CORRECTION, 31, J="5")
    errors = torch.randn(1, 1, 31, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(400):
        after = cycle(torch.zeros_like(errors), errors)
        reduction = float(after.norm() / errors.norm())
        errors = after / after.norm()
    assert found.iterations[0].factor == pytest.approx(reduction, abs=1e-4)
    assert found.cycles[0].two_grids == pytest.approx(0.36, abs=5e-3)


@pytest.mark.parametrize("size", [1, 30, 500])
def test_the_largest_eigenvalue(size: int) -> None:
    draw = torch.Generator().manual_seed(size)
    matrix = torch.randn(size, size, dtype=torch.float64, generator=draw) / math.sqrt(size)
    assert spectral_radius(lambda rows: rows @ matrix.T, size) == pytest.approx(
        float(torch.linalg.eigvals(matrix).abs().max()), rel=1e-4
    )
    assert spectral_radius(torch.zeros_like, size) == 0


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "iterations.cldf"
    path.write_text(HEAD.format(size=7) + CORRECTION + TAIL, encoding="utf-8")
    said = CliRunner().invoke(app, ["analyse", str(path)])
    assert said.exit_code == 0, said.output
    assert "M@1     1 × 7 × 7   0.3244      0.3244" in said.stdout
    data = json.loads(CliRunner().invoke(app, ["analyse", str(path), "--json"]).stdout)
    assert [cycle["name"] for cycle in data["cycles"]] == ["M@1", "M@2"]
    assert data["iterations"][0]["name"] == "u@i"
    assert {"name": "M@J", "norm_bound": 0.25} in data["operators"]


# Open sizes: the smallest maps of the input on which all levels are whole, with 15 rows at least.


@pytest.mark.parametrize(
    ("shape", "levels", "found"),
    [
        ("1 × N × N", "u@1 = f", ((1, 15, 15),)),
        ("1 × N × M", "u@1 = f", ((1, 15, 15),)),
        ("1 × N × N", "u@1 = K *_2 f", ((1, 16, 16),)),
        ("1 × N × N", "v = K *_2 f\nu@1 = K *_2 v", ((1, 16, 16),)),
        ("1 × N × N", "v = K *_2 f\nw = K *_2 v\ny = K *_2 w\nz = K *_2 y\nu@1 = K *_2 z", ((1, 32, 32),)),
        ("1 × (2*N + 1) × (2*N + 1)", "u@1 = W *_2 f", ((1, 15, 15),)),
        ("1 × (4*N + 3) × (4*N + 3)", "v = W *_2 f\nu@1 = W *_2 v", ((1, 15, 15),)),
        ("1 × N", "u@1 = f", ((1, 15),)),
        ("1 × 20 × N", "u@1 = f", ((1, 20, 15),)),
        ("1 × 20 × 20", "u@1 = f", ()),
        ("1 × (N + M) × N", "u@1 = f", ()),
    ],
)
def test_small_sizes(shape, levels, found):
    size = "3" if shape == "1 × N" else "3×3"
    text = (
        f"model M\nlet J = 3\ninput f : {shape}\noutput h : 4\nkernel K : {size}, 1 → 1\n"
        f"kernel W : {size}, 1 → 1, valid\nlet ν = 1\nsteps i = 1..ν\n{levels}\nh = linear ∘ avgpool(u@1)\n"
    )
    sizes = small_sizes(network := Compilation(Source("m.cldf", text)).check())
    assert tuple(given for _, given in sizes) == found
    if sizes:
        # They fit: the network is whole at these sizes.
        assert not Compilation(network.source, replace(read_changes(), inputs=sizes)).check().written.open_sizes
