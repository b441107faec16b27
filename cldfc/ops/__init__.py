"""The operators: one class each, with its shape rule, its cost and how PyTorch writes it.

A new built-in operator is one class in one of these files: give it a `keyword`.
"""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.ops.arithmetic import Add, Input, Zero
from cldfc.ops.base import Operator
from cldfc.ops.convolution import Convolution
from cldfc.ops.linear import Linear
from cldfc.ops.normalisation import BatchNorm
from cldfc.ops.pointwise import Identity, Pointwise, Relu
from cldfc.ops.pooling import AvgPool
from cldfc.ops.shapes import Dim, Form, Mismatch, Shape, Sized, Sizes, Solver

__all__ = [
    "BUILTINS",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Convolution",
    "Dim",
    "Form",
    "Identity",
    "Input",
    "Linear",
    "Mismatch",
    "Operator",
    "Pointwise",
    "Relu",
    "Shape",
    "Sized",
    "Sizes",
    "Solver",
    "Zero",
]


def all_operators(above: type[Operator] = Operator) -> Iterator[type[Operator]]:
    """Every operator class below one."""
    for operator in above.__subclasses__():
        yield operator
        yield from all_operators(operator)


BUILTINS = {operator.keyword: operator for operator in all_operators() if operator.keyword is not None}
