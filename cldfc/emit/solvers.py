"""What a generated module defines for `fix` and `solve`: the iterations, and their implicit derivatives."""

from __future__ import annotations

from cldfc.network.graph import Graph
from cldfc.ops import ConjugateGradients, FixedPoint, Iterated

_ITERATE = '''\
def iterate(
    update: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    tol: float,
    steps: int,
    memory: int,
) -> tuple[torch.Tensor, int, float]:
    """Update x until no image changes by more than tol, relative to its norm.

    Returns x, the number of updates, at most `steps`, and the last change. With a memory,
    each x also combines that many values before it: Anderson acceleration.
    """
    values: list[torch.Tensor] = []
    changes: list[torch.Tensor] = []
    count, change = 0, float("inf")
    while change > tol and count < steps:
        new = update(x)
        size = torch.linalg.vector_norm(new.flatten(1), dim=1)
        moved = torch.linalg.vector_norm((new - x).flatten(1), dim=1)
        change = (moved / size.clamp_min(torch.finfo(size.dtype).tiny)).max().item()
        count += 1
        if memory:
            values = [*values[-memory:], new]
            changes = [*changes[-memory:], new - x]
        x = anderson(values, changes) if len(values) > 1 and change > tol else new
    return x, count, change


def anderson(values: list[torch.Tensor], changes: list[torch.Tensor]) -> torch.Tensor:
    """The combination of values for which that of their changes has the least norm."""
    last, precise = values[-1], torch.promote_types(values[-1].dtype, torch.float32)
    with torch.autocast(last.device.type, enabled=False):
        rows = torch.stack([x.flatten(1) for x in values], dim=2).to(precise)
        moves = torch.stack([x.flatten(1) for x in changes], dim=2).to(precise)
        older = moves[..., :-1] - moves[..., -1:]
        products = older.mT @ older
        squares, exact = products.diagonal(dim1=1, dim2=2), torch.finfo(precise)
        squares += exact.eps * squares.sum(1, keepdim=True) + exact.tiny
        weights = torch.linalg.solve_ex(products, -(older.mT @ moves[..., -1:]))[0]
        moved = (rows[..., :-1] - rows[..., -1:]) @ weights
    return last + moved.view_as(last).to(last.dtype)
'''

_FIXED_POINT = '''\
def fixed_point(
    update: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    found: dict[str, tuple[int, float]],
    name: str,
    tol: float,
    steps: int,
    memory: int,
    implicit: bool = True,
) -> torch.Tensor:
    """The value that `update` maps to itself; `found` gets the iterations and last change.

    Autograd sees only the last update F. The gradient is that of the fixed point u: what
    goes back through F is the y with y = dL/du + (dF/du)^T y, found in the same way.
    Without `implicit` it is that of the last update.
    """
    with torch.no_grad():
        u, count, change = iterate(update, start, tol, steps, memory)
    found[name] = count, change
    if not (implicit and torch.is_grad_enabled()):
        return update(u)
    u = u.detach().requires_grad_()
    result = update(u)

    def pull_back(y: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(result, u, y, retain_graph=True)[0]

    def solve(gradient: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError(f"{name} has only first derivatives")
        y, count, change = iterate(
            lambda y: gradient + pull_back(y), gradient, tol, steps, memory
        )
        found[f"{name} backward"] = count, change
        return y

    attached = result.view_as(result)
    attached.register_hook(solve)
    return attached
'''

_CONJUGATE_GRADIENTS = '''\
def conjugate_gradients(
    apply: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    right: torch.Tensor,
    found: dict[str, tuple[int, float]],
    name: str,
    tol: float,
    steps: int,
) -> torch.Tensor:
    """The u with apply(u) = right, for a symmetric positive definite `apply`.

    `found` gets the number of steps and the largest residual, relative to the right side.
    Gradients are those of the solution: the adjoint equation is solved in the same way.
    """

    def dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        products = (x * y).flatten(1).sum(1)
        return products.view(-1, *[1] * (x.dim() - 1))

    def solve(
        apply: Callable[[torch.Tensor], torch.Tensor],
        right: torch.Tensor,
        u: torch.Tensor,
    ) -> tuple[torch.Tensor, int, float]:
        tiny = torch.finfo(right.dtype).tiny
        r = right - apply(u)
        p, square, size = r, dot(r, r), dot(right, right).clamp_min(tiny)
        count, residual = 0, (square / size).max().sqrt().item()
        while residual > tol and count < steps:
            image = apply(p)
            curvature = dot(p, image)
            if (curvature < 0).any():
                raise RuntimeError(f"the operator of {name} is not positive definite")
            step = square / curvature.clamp_min(tiny)
            u, r, before = u + step * p, r - step * image, square
            square = dot(r, r)
            p = r + square / before.clamp_min(tiny) * p
            count, residual = count + 1, (square / size).max().sqrt().item()
        return u, count, residual

    with torch.no_grad():
        u, count, residual = solve(apply, right, start)
    found[name] = count, residual
    if not torch.is_grad_enabled():
        return u
    u = u.detach().requires_grad_()
    residual_of_u = right - apply(u)

    def pull_back(y: torch.Tensor) -> torch.Tensor:
        return -torch.autograd.grad(residual_of_u, u, y, retain_graph=True)[0]

    def solve_adjoint(gradient: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError(f"{name} has only first derivatives")
        start = torch.zeros_like(gradient)
        y, count, residual = solve(pull_back, gradient, start)
        found[f"{name} backward"] = count, residual
        return y

    # Zero, with the derivatives of the solution.
    correction = residual_of_u - residual_of_u.detach()
    correction.register_hook(solve_adjoint)
    return u.detach() + correction
'''

REPORT = (
    "`fixed_points` has, for each fixed point of the last pass, the number of iterations and",
    'the last relative change, {"u.1": (12, 3e-05)}, and the same for the gradient,',
    '{"u.1 backward": (9, 8e-05)}.',
)
"""What the docstring of a class with fixed points says of its attribute."""


def solver_lines(graph: Graph) -> list[str]:
    """The functions that a network calls for its fixed points."""
    operators = set(map(type, graph.operators))
    texts = [_ITERATE, _FIXED_POINT] if FixedPoint in operators else []
    texts += [_CONJUGATE_GRADIENTS] if ConjugateGradients in operators else []
    return [line for text in texts for line in [*text.splitlines(), "", ""]]


def has_solvers(graph: Graph) -> bool:
    return any(isinstance(operator, Iterated) for operator in graph.operators)
