"""Kernels with given numbers: against stencils written by hand, fixed or trained, and what kernels start from."""

import pytest
import torch
from networks import build
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of


def compiled(kernel, value="K * f", channels=2):
    head = ["model M", "let h = 1/4", f"input f : {channels} × 8 × 9", "output y : 3", f"kernel K : {kernel}"]
    return Compilation(Source("t.cldf", "\n".join([*head, f"x = {value}", "y = linear ∘ avgpool ∘ relu(x)", ""])))


def applied(compilation, f):
    """The value x in the generated network, which agrees with the equations."""
    assert verify_forms(compilation, candidates_of(compilation), 1e-12).agrees
    network = build(compilation.code()).double()
    found = []
    network.linear.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    network(f)
    return found[0]


def shifted(u, rows, columns):
    """u at the places that lie so many rows below and columns to the right; zero beyond the map."""
    height, width = u.shape[2:]
    wide = F.pad(u, (2, 2, 2, 2))
    return wide[:, :, 2 + rows : 2 + rows + height, 2 + columns : 2 + columns + width]


def laplacian(u):
    return 4 * u - shifted(u, 1, 0) - shifted(u, -1, 0) - shifted(u, 0, 1) - shifted(u, 0, -1)


def corners(u):
    return sum(shifted(u, rows, columns) for rows in (-1, 1) for columns in (-1, 1))


def edges(u):
    return sum(shifted(u, *at) for at in ((1, 0), (-1, 0), (0, 1), (0, -1)))


STENCILS = {
    "3×3 each = [0 -1 0; -1 4 -1; 0 -1 0] fixed": laplacian,
    "3×3 each = laplace5 fixed": laplacian,
    "3×3 each = (1/h)^2 * laplace5": lambda u: 16 * laplacian(u),
    "3×3 each = laplace9 fixed": lambda u: (20 * u - 4 * edges(u) - corners(u)) / 6,
    "3×3 each = full_weighting fixed": lambda u: (4 * u + 2 * edges(u) + corners(u)) / 16,
    "3×3 each = average": lambda u: (u + edges(u) + corners(u)) / 9,
    "5×5 each = 2 * identity fixed": lambda u: 2 * u,
    "1×3 each = [-1/2 0 h] fixed": lambda u: shifted(u, 0, 1) / 4 - shifted(u, 0, -1) / 2,
}


@pytest.mark.parametrize("kernel", STENCILS)
def test_stencils_written_by_hand(kernel):
    f = torch.randn(2, 2, 8, 9, dtype=torch.float64)
    found, expected = applied(compiled(kernel), f), STENCILS[kernel](f).relu().mean((2, 3))
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-6)  # its numbers are drawn in float32


def test_bilinear_prolongation_keeps_constants():
    """Away from the edge; its adjoint over 4 is full weighting."""
    network = build(compiled("3×3 each = bilinear fixed", "K *^2 f").code())
    image = network.K(torch.ones(1, 2, 8, 9))
    assert torch.allclose(image[:, :, 1:-1, 1:-1], torch.ones(()))
    assert applied(compiled("3×3 each = bilinear fixed", "1/4 * Kᵀ *^2 K *^2 f"), torch.ones(1, 2, 8, 9).double()).shape


def test_what_is_fixed_is_saved_and_not_trained():
    network = build(compiled("3×3 each = laplace5 fixed").code())
    assert "K.weight" in network.state_dict() and "K.weight" not in dict(network.named_parameters())
    assert compiled("3×3 each = laplace5 fixed").cost.parameters == 2 * 3 + 3
    assert compiled("3×3 each = laplace5").cost.parameters == 18 + 2 * 3 + 3


STARTS = {
    "zero": lambda w: not w.any(),
    "normal(0.01)": lambda w: 0.008 < w.std() < 0.012,
    "he": lambda w: 0.9 < w.std() / (2 / (16 * 9)) ** 0.5 < 1.1,
    "he_out": lambda w: 0.9 < w.std() / (2 / (32 * 9)) ** 0.5 < 1.1,
    "torch": lambda w: w.abs().max() <= (1 / (16 * 9)) ** 0.5,
    "orthogonal": lambda w: torch.allclose(w.flatten(1) @ w.flatten(1).T, torch.eye(32), atol=1e-5),
    "identity": lambda w: torch.equal(w[:16, :, 1, 1], torch.eye(16)) and w.sum() == 16,
}


@pytest.mark.parametrize("start", STARTS)
def test_starts(start):
    torch.manual_seed(1)
    network = build(compiled(f"3×3 → 32, start {start}", channels=16).code())
    assert STARTS[start](network.K.weight.detach())


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("3×3 each = [1 2; 3 4] fixed", "`K` is 3×3, but its numbers are 2 rows of 2"),
        ("3×3 each = [1 2 3; 3 4; 1 2 3]", "3 rows of 2 and 3"),
        ("5×5 each = laplace5", "`K` is 5×5, but its numbers are 3 rows of 3"),
        ("3×3 each = laplace fixed", "did you mean `laplace"),
        ("3×3 → 2 fixed", "`K` is fixed, and has no numbers"),
        ("3×3 → 4 = laplace5", "a stencil is for one channel"),
        ("3×3 each, groups 2 = laplace5", "`each` has a kernel for each channel"),
        ("3×3 each, start zero = laplace5", "`K` starts from numbers, and from `zero`"),
        ("3×3 each = [a+1 2 3]", "is not a valid entry of a kernel"),
        ("3×3 → 4, start normal", "`start normal` without a number"),
    ],
)
def test_errors(kernel, said):
    with pytest.raises(CldfError) as caught:
        _ = compiled(kernel).written
    texts = [text for d in caught.value.diagnostics for text in (d.message, d.help)]
    assert any(said in text for text in texts), texts
