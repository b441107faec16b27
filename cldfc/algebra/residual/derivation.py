"""A derivation as data: the equations that it gives, each with its proof and with the equations it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cldfc.algebra.residual.trees import Indices
from cldfc.syntax import tree

Rule = Literal["definition of", "equation for", "linearity of", "cancellation", "zero"]


@dataclass(frozen=True, slots=True)
class ProofStep:
    """An expression that equals the one before, and why: a rule, and the name that it is about."""

    expression: tree.Expression
    rule: Rule
    name: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A chain of equal expressions, from the definition of a residual to its new equation.

    It uses the equations `given`, and may end in a value that `named` defines.
    """

    left: tree.Symbol
    given: tuple[tree.Equation, ...]
    steps: tuple[ProofStep, ...]
    named: tuple[tree.Equation, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """An equation of the spec whose normalisations a new one has taken over, with what stands for its index names."""

    equation: tree.Equation
    indices: Indices


@dataclass(frozen=True, slots=True)
class DerivedEquation:
    equation: tree.Equation
    origins: tuple[Origin, ...]
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """The residual form of a spec.

    `spec` stands for itself, its text is `spec.source.text`; its parameters have the names that they have in the
    spec that was given. `proofs` are in the order of its equations.
    """

    spec: tree.Tree
    proofs: tuple[Proof, ...]
    notes: tuple[str, ...]
