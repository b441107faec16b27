"""What every operator says about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cldfc.ops.shapes import Form, Shape, Sized, Sizes, Solver


@dataclass(frozen=True)
class Operator(ABC):
    """One kind of operation, with its static configuration.

    A subclass with a `keyword` is a built-in operator of the language; its docstring gives the
    formula and its source, from which the language reference is made.
    """

    keyword: ClassVar[str | None] = None
    linear: ClassVar[bool] = False
    owns: ClassVar[str | None] = None
    """The parameter that each place of the operator has for itself, if any: `bn`, `linear`."""

    @abstractmethod
    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        """Say what must hold between the shapes of operands, result and parameter."""

    @abstractmethod
    def torch(self, operands: list[str], module: str) -> str:
        """The PyTorch expression, given those of the operands and of the module."""

    def stored(self, sizes: Sizes) -> int:
        """How many numbers its parameter stores."""
        return 0

    def module(self, sizes: Mapping[str, str]) -> str:
        """The PyTorch constructor of its parameter, given an expression for each size."""
        raise AssertionError(f"{type(self).__name__} has no parameter")

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        """Multiply-adds for one image; normalisations and activations count as none."""
        return 0
