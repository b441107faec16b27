"""What every operator says about itself."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal

from cldfc.ops.solver import Form, Shape, Sized, Sizes, Solver

FLOAT, INDEX = 4, 8
"""Bytes of a float32, and of an int64."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an operation keeps: operands, by their places, its result, and tensors of its own.

    `each_image` and `each_batch` are the bytes of those, for each image and however many images there are.
    """

    operands: tuple[int, ...] = ()
    result: bool = False
    each_image: int = 0
    each_batch: int = 0


Strength = Literal["sum", "product", "power", "call"]
"""The kinds of expressions in Python, from those that hold together least."""

NOTHING, OPERAND, RESULT = Kept(), Kept((0,)), Kept(result=True)


@dataclass(frozen=True, slots=True)
class OperatorSetting:
    """What may stand in the brackets of an operator: a whole or a real number and its limits, or one of some words."""

    kind: Literal["whole", "real", "word"]
    least: float
    most: float
    words: tuple[str, ...] = ()


def whole(default: int | None, least: int, most: int, kw_only: bool = False) -> Any:
    """A field for a whole number that users set in brackets; None stands for its absence."""
    return field(default=default, metadata={"setting": OperatorSetting("whole", least, most)}, kw_only=kw_only)


def real(default: float, least: float, most: float, kw_only: bool = False) -> Any:
    return field(default=default, metadata={"setting": OperatorSetting("real", least, most)}, kw_only=kw_only)


def choice(default: str, *others: str) -> Any:
    """A field for a word that users set in brackets, without quotes."""
    return field(default=default, metadata={"setting": OperatorSetting("word", 0, 0, (default, *others))})


class _OperatorKind(ABCMeta):
    """No class is registered as an operator, so that `isinstance` looks at base classes alone: it takes a third."""

    __instancecheck__ = type.__instancecheck__


@dataclass(frozen=True)
class Operator(metaclass=_OperatorKind):
    """One kind of operation, with its static configuration.

    A subclass with a `keyword` is a built-in operator of the language; its docstring gives the
    formula and its source, from which the language reference is made.
    """

    keyword: ClassVar[str | None] = None
    linear: ClassVar[bool] = False
    keeps_zero: ClassVar[bool] = False
    """Whether it is not linear, but still gives zero for zero."""
    bounded: ClassVar[bool] = False
    """Whether its result stays within bounds however large its operand is."""
    repeatable: ClassVar[bool] = True
    """Whether computing it twice gives the same as once: not if it draws random numbers, or counts its uses."""
    owns: ClassVar[str | None] = None
    """The parameter that each place of the operator has for itself, if any: `bn`, `linear`."""
    is_layer: ClassVar[bool] = False
    """Whether it is a layer with weights, of those that the depth of a network counts: convolutions and `linear`."""
    is_transposed: ClassVar[bool] = False
    """Whether it has a kernel that is stored as that of a transposed convolution, in × out/groups."""
    is_adjoint: ClassVar[bool] = False
    """Whether it leads from a kernel's outputs to its inputs; a function is then called with the kernel's weight."""
    of_module: ClassVar[tuple[str, ...]] = ()
    """Settings that stand in the constructor of its module alone: they may differ from turn to turn of a loop."""
    of_call: ClassVar[str | None] = None
    """A setting that stands in its call and may differ, too; its text is given to `torch` in place of a module's."""
    binds: ClassVar[Strength] = "call"
    """How tightly its PyTorch expression holds together: what a writer must parenthesise."""
    takes: ClassVar[Strength | None] = None
    """How tightly its operands must, where that is not said by `binds`."""
    gives_number: ClassVar[bool] = False
    """Whether its result is a number for each image, whatever its operands are."""
    takes_operands: ClassVar[int] = 1
    """How many values stand in the parentheses behind its name."""
    shapes: ClassVar[str] = "any → the same"
    """Operands → result, for the language reference."""
    parameters: ClassVar[str] = "none"
    """How many numbers it stores, for the language reference."""
    dimension: int = field(default=2, kw_only=True, repr=False)
    """The network's: PyTorch has different functions and modules for signals (1), images (2) and volumes (3)."""

    @classmethod
    @cache
    def settings(cls) -> dict[str, OperatorSetting]:
        """What users may set in brackets, in its order: its own before what it has in common with others."""
        ordered = sorted(fields(cls), key=lambda f: bool(f.kw_only))
        return {f.name: f.metadata["setting"] for f in ordered if "setting" in f.metadata}

    @abstractmethod
    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        """Say what must hold between the shapes of operands, result and parameter."""

    @abstractmethod
    def torch(self, operands: list[str], module: str) -> str:
        """The PyTorch expression, given those of the operands and of the module."""

    def nonnegative(self, operands: Sequence[bool]) -> bool:
        """Whether the result is provably ≥ 0, given which operands are."""
        return False

    def stored(self, sizes: Sizes) -> int:
        """How many numbers its parameter stores."""
        return 0

    def module(self, sizes: Mapping[str, str]) -> str:
        """The PyTorch constructor of its parameter, given an expression for each size."""
        raise AssertionError(f"{type(self).__name__} has no parameter")

    def multiply_adds(self, operands: list[Shape], result: Shape, sizes: Sizes) -> int:
        """Multiply-adds for one image; normalisations and activations count as none."""
        return 0

    def keeps(self, result: Shape, trained: Sequence[bool]) -> Kept:
        """What PyTorch keeps of it for the backward pass, in training, in float32 and on the CPU.

        `trained` says which operands depend on parameters; it is not asked where nothing does.
        """
        return NOTHING

    def at_ranks(self, ranks: Sequence[int | None], rank: int | None) -> Operator:
        """The operator for operands and a result of so many axes; None stands for scalars, which have no batch."""
        return self

    def is_view(self) -> bool:
        """Whether the result is its operand, or the same numbers seen in another shape."""
        return False


@dataclass(frozen=True)
class Spreading(Operator):
    """An operator that takes numbers of images beside maps or vectors, which need more axes for that in PyTorch."""

    takes_vectors: ClassVar[bool] = False
    """Whether it takes vectors beside maps, too."""
    spread: tuple[int, ...] = field(default=(), kw_only=True)
    """By how many axes each operand is spread, where a number of each image is: `α[:, None, None, None] * x`."""

    def vectors(self, operands: Sequence[Shape], result: Shape) -> tuple[int, ...]:
        """The operands, by their places, that are vectors beside maps."""
        if not self.takes_vectors or len(result) < 2:
            return ()
        return tuple([place for place, shape in enumerate(operands) if len(shape) == 1])


def setting_text(value: float | str) -> str:
    """What is set in brackets, as users write it."""
    return value if isinstance(value, str) else f"{value:g}"


def decimal(value: float) -> str:
    """A real number as Python writes it, whether it was given as 1 or as 1.0."""
    return repr(float(value))
