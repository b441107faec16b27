"""What `fix` and `solve` look for, by the plainest of means: iteration to the end, and Gaussian elimination."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import cast

import torch
from torch import Tensor

_CHANGE = 1e-12
_MOST = 2000
MOST_UNKNOWNS = 4096
"""Of an equation that is solved by elimination."""


class NotSolved(Exception):
    """Plain iteration does not converge, there are too many unknowns to eliminate, or their shape is not known."""


def find_fixed_point(apply: Callable[[Tensor], Tensor], start: Tensor, where: str) -> tuple[Tensor, int]:
    """What `apply` maps to itself, to about twelve digits, without gradient, and how often it was applied."""
    with torch.no_grad():
        x = start
        for turn in count(1):
            new = apply(x)
            size = new.reshape(len(new), -1).square().sum(1).sqrt().clamp_min(1e-300)
            change = (new - x).reshape(len(new), -1).square().sum(1).sqrt() / size
            if float(change.max()) <= _CHANGE:
                return new, turn
            if turn == _MOST or not bool(torch.isfinite(change).all()):
                raise NotSolved(f"`{where}` does not converge by plain iteration, which the equations mean")
            x = new
    raise AssertionError


def follow_gradient(apply: Callable[[Tensor], Tensor], x: Tensor, times: int) -> Tensor:
    """A fixed point with the gradient of so many applications, each of which adds a term of Neumann's series."""
    x = x.detach()
    for _ in range(times):
        x = apply(x)
    return x


def solve_densely(apply: Callable[[Tensor], Tensor], right: Tensor, where: str) -> Tensor:
    """The u with apply(u) = right, from a matrix with a column for each unit vector; autograd leads through it."""
    unknowns = right[0].numel()
    if unknowns > MOST_UNKNOWNS:
        message = f"`{where}` has {unknowns:,} unknowns, of which the reference solves for {MOST_UNKNOWNS:,} at most"
        raise NotSolved(f"{message}: compare on a smaller input")
    units = torch.eye(unknowns, dtype=right.dtype).view(unknowns, 1, *right.shape[1:])
    columns = [apply(unit.expand_as(right)).flatten(1) for unit in units]
    matrix = torch.stack(columns, dim=2)
    found = cast(Tensor, torch.linalg.solve(matrix, right.flatten(1)))  # pyright: ignore[reportUnknownMemberType]
    return found.view_as(right)
