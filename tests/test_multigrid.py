"""The files of `specs/multigrid`: rates of convergence as published, solutions as of a direct solver."""

import pytest
import torch
from networks import ROOT, some
from test_recursion import LAPLACE, right_side
from torch.nn import functional as F

from cldfc.compilation import Compilation, read_changes
from cldfc.syntax.read import read_source
from cldfc.weights.network import build_network

RATES = {("v", 5): 0.346, ("v", 6): 0.352, ("v", 7): 0.352, ("w", 5): 0.343, ("w", 6): 0.343, ("f", 6): 0.343}
"""Of the residual by the 12th cycle, on 2^J - 1 inner points; at 255 a script by hand gives 0.353 and 0.344."""


def solved(name: str, f: torch.Tensor, *lets: str) -> torch.Tensor:
    spec = read_source(ROOT / "specs" / "multigrid" / f"poisson_{name}.cldf")
    network = Compilation(spec, read_changes(lets))
    with torch.no_grad():
        return build_network(network.code(), network.class_name).double()(f)


def residual(u: torch.Tensor, f: torch.Tensor) -> float:
    return float((f - F.conv2d(u, LAPLACE, padding=1)).norm())


def exact(f: torch.Tensor) -> torch.Tensor:
    """The solution of L * u = f by a direct solver."""
    size = f.shape[-1]
    unit, one = torch.eye(size, dtype=torch.float64), torch.ones(size - 1, dtype=torch.float64)
    line = 2 * unit - torch.diag(one, 1) - torch.diag(one, -1)
    return torch.linalg.solve(torch.kron(line, unit) + torch.kron(unit, line), f.flatten(1).T).T.view_as(f)


@pytest.mark.parametrize(("name", "levels"), some(RATES, 3))
def test_the_rate_of_the_twelfth_cycle(name: str, levels: int) -> None:
    f = right_side(2**levels - 1)[:1]
    before, after = (residual(solved(name, f, f"J = {levels}", f"ν = {cycles}"), f) for cycles in (11, 12))
    assert after / before == pytest.approx(RATES[name, levels], abs=1e-3)


@pytest.mark.parametrize(("name", "lets"), [("cg", []), ("mgcg", ["J = 5", "ν = 14"]), ("v", ["J = 5", "ν = 26"])])
def test_the_solution_is_that_of_a_direct_solver(name: str, lets: list[str]) -> None:
    f = right_side(31)
    u = exact(f)
    assert (solved(name, f, *lets) - u).abs().max() < 1e-10 * u.abs().max()


def test_a_cycle_makes_conjugate_gradients_faster() -> None:
    """Twelve steps of each at 63 points: the cycle alone, the gradients alone, and both together."""
    f = right_side(63)[:1]
    cycle, plain, both = (
        residual(solved(*given), f)
        for given in (("v", f, "J = 6"), ("cg", f, "n = 63", "ν = 12"), ("mgcg", f, "J = 6"))
    )
    assert both < cycle / 100
    assert cycle < plain / 100
