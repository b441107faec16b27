"""Bounds of ‖A‖ by symbols, against singular values of the matrices that torch's convolutions are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from cldfc.algebra.linearity import operators_of
from cldfc.algebra.symbols import norm_bound, norm_of
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.lsp.documents import Documents
from cldfc.lsp.hover import hover_text
from cldfc.show.terminal import picture_text

SPEC = """
model Operators
let ω = 4/5
levels ℓ = 1..2
let c@ℓ = 3, -5
input f : 1 × 16 × 16
output h : 2
kernel L : 3×3, 1 → 1 = laplace5 fixed
kernel W : 3×3, 1 → 1 = full_weighting fixed
kernel P : 3×3, 1 → 1 = bilinear fixed
kernel D : 3×3, 1 → 1 = [0 0 0; -1 0 1; 0 0 0] fixed
kernel V : 3×3, 1 → 1 valid = laplace5 fixed
kernel T : 3×3, 1 → 1 = laplace5
kernel E : 3×3, 1 → 1 reflect = laplace5 fixed
kernel I : 3×3, 1 → 1 dilation 2 = laplace5 fixed
let G = {operator}
h = linear ∘ avgpool ∘ {use}
"""


def matrix_of(rows: Tensor, stride: int, size: int) -> Tensor:
    """A kernel with zeros around the map, as a matrix."""
    basis = torch.eye(size * size, dtype=torch.float64).view(-1, 1, size, size)
    return F.conv2d(basis, rows[None, None], stride=stride, padding=rows.shape[0] // 2).flatten(1).T


def entries(rows: Tensor) -> dict[tuple[int, int], float]:
    middle = rows.shape[0] // 2
    return {(y - middle, x - middle): float(e) for y, line in enumerate(rows) for x, e in enumerate(line)}


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_bound_is_above_what_a_map_shows_and_close_to_it(size: int, stride: int) -> None:
    rows = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(10 * size + stride))
    bound = norm_of(entries(rows), (stride, stride))
    shown = float(torch.linalg.matrix_norm(matrix_of(rows, stride, 24), 2))
    assert shown <= bound * (1 + 1e-12)
    assert bound <= shown * 1.05


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=9, max_size=9), st.sampled_from([(1, 1), (2, 2), (2, 1)]))
def test_no_wave_exceeds_the_bound(numbers: list[int], strides: tuple[int, int]) -> None:
    rows = torch.tensor(numbers, dtype=torch.float64).view(3, 3)
    power = torch.fft.fft2(rows, s=(120, 120)).abs() ** 2
    high, wide = (120 // stride for stride in strides)
    folded = power.view(strides[0], high, strides[1], wide).sum((0, 2)) / math.prod(strides)
    bound = norm_of(entries(rows), strides)
    assert bound >= float(folded.max().sqrt()) - 1e-9
    assert bound <= float(folded.max().sqrt()) * 1.01 + 1e-9


@pytest.mark.parametrize(
    ("operator", "bound"),
    [
        ("L *", 8),
        ("-2 * L *", 16),
        ("L * L *", 64),
        ("identity - ω/4 * L *", 1),
        ("identity - 1/4 * L *", 1),
        ("1/2 * (L * + D *)", math.hypot(4, 1) / 2 + 2),
        ("W *_2", 0.5),
        ("Wᵀ *_2", 0.5),
        ("P *^2", 2),
        ("P *^2 W *_2", 1),
        ("(L *) / 4", 2),
        ("V *", 8),
        ("I *", 8),
    ],
)
def test_bounds_of_operators(operator: str, bound: float) -> None:
    found = bound_of(operator)
    assert found is not None
    if operator == "1/2 * (L * + D *)":
        # Its symbol is not one of those that are known by heart: |4 - 2 cos θ - 2 cos φ + 2i sin φ| / 2.
        angles = torch.arange(0, 2 * math.pi, 1e-3, dtype=torch.float64)
        bound = float((6 - 2 * angles.cos()).square().add(4 * angles.sin().square()).sqrt().max()) / 2
        assert found == pytest.approx(bound, abs=1e-6)
    else:
        assert found == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("operator", ["T *", "E *", "relu", "relu ∘ L *", "avgpool[2]", "L * + T *"])
def test_nothing_is_said_of_what_is_not_given(operator: str) -> None:
    assert bound_of(operator) is None


def bound_of(operator: str) -> float | None:
    spec = SPEC.format(operator=operator, use="G(f)")
    compilation = Compilation(Source("operators.cldf", spec)).check()
    (let,) = [let for let in operators_of(compilation.tree) if let.symbol.name == "G"]
    return norm_bound(let, compilation.program)


def test_of_a_constant_that_differs_by_level_the_largest_counts() -> None:
    text = SPEC.format(operator="identity", use="G(f)").replace("let G = identity", "let G@ℓ = c@ℓ * L *")
    text = text.replace("G(f)", "G@1 ∘ G@2(f)")
    compilation = Compilation(Source("operators.cldf", text)).check()
    (let,) = [let for let in operators_of(compilation.tree) if let.symbol.name == "G"]
    assert norm_bound(let, compilation.program) == pytest.approx(40)


def test_show_and_the_editor_say_it() -> None:
    source = Source("operators.cldf", SPEC.format(operator="identity - 2/3 * L *", use="G(f)"))
    assert "linear, ‖G‖ ≤ 4.334" in picture_text(Compilation(source).simplified)
    document = Documents().read("file:///operators.cldf", source)
    assert "a linear operator, ‖G‖ ≤ 4.334" in str(hover_text(document, source.text.index("G =")))
