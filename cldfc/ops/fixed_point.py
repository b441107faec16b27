"""Fixed points: the unknown, and the iteration that finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.base import Operator, real, whole
from cldfc.ops.solver import Form, Sized, Solver, Unfit, is_spread

LEAST_TOL = 1e-15


@dataclass(frozen=True)
class Unknown(Operator):
    """u in `fix(u : …)`: what is looked for. Its operand is the start."""

    shapes: ClassVar[str] = "any → the same"
    name: str = "u"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        raise AssertionError("the emitter writes it as the argument of a function")


@dataclass(frozen=True)
class Iterated(Operator):
    """What finds the unknown, its second operand; the first is computed from it in each iteration."""

    tol: float = real(1e-4, LEAST_TOL, 1)
    steps: int = whole(50, 1, 100_000)

    @property
    def applications(self) -> int:
        """How often the first operand is computed at most: in each step, and once for autograd."""
        return self.steps + 1

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        if any(map(is_spread, operands)):
            reason = "what is looked for here is a vector of parameters, not a value of each image"
            raise Unfit(reason, "let it depend on a map, or write a formula of scalars and vectors")
        for operand in operands:
            shapes.same(result, operand)

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        if not rank:
            reason = "what is looked for here is one number, and an iteration looks for maps and vectors"
            raise Unfit(reason, "make a vector of one of it: `start linear[1](…)`, or let it depend on a map")
        return self

    def torch(self, operands: list[str], module: str) -> str:
        """The call of the function that the module defines for it; the first operands are a function and the start."""
        raise NotImplementedError


@dataclass(frozen=True)
class FixedPoint(Iterated):
    """fix(u : g(u)): the value that g maps to itself, by Anderson's iteration (1965), with implicit derivatives."""

    memory: int = whole(5, 0, 100)
    onestep: int = whole(0, 0, 1)

    def torch(self, operands: list[str], module: str) -> str:
        options = [f"tol={self.tol!r}", f"steps={self.steps}", f"memory={self.memory}"]
        options += ["implicit=False"] * self.onestep
        return f"fixed_point({', '.join([*operands, module, *options])})"

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        """What g gives whatever the sign of its operand: the result is g of the last iterate."""
        return operands[0]

    def is_view(self) -> bool:
        return True


class ConjugateGradients(Iterated):
    """solve(u : A * u = f, by cg): conjugate gradients of Hestenes and Stiefel (1952), with implicit derivatives."""

    @property
    def applications(self) -> int:
        """Once more than a fixed point, for the residual of the start."""
        return self.steps + 2

    def torch(self, operands: list[str], module: str) -> str:
        return f"conjugate_gradients({', '.join([*operands, module, f'tol={self.tol!r}', f'steps={self.steps}'])})"
