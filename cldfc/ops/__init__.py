"""The operators: one class each, with its shape rule, its cost and how PyTorch writes it.

A new built-in operator is one class in one of these files: give it a `keyword`.
"""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.ops.arithmetic import Add, Input, Multiply, Total, Zero
from cldfc.ops.base import Operator, OperatorSetting
from cldfc.ops.convolution import Convolution, Kernel
from cldfc.ops.errors import Indivisible, Mismatch, TooLarge, TooSmall, Unfit
from cldfc.ops.kept import Kept
from cldfc.ops.linear import Linear
from cldfc.ops.normalisation import (
    BatchNorm,
    GroupNorm,
    LayerNorm,
    Normalisation,
    SharedBatchNorm,
    Statistics,
)
from cldfc.ops.pointwise import (
    Abs,
    Dropout,
    Elu,
    Gelu,
    Identity,
    LeakyRelu,
    Pointwise,
    Relu,
    Sigmoid,
    Silu,
    Softplus,
    SoftThreshold,
    Tanh,
)
from cldfc.ops.pooling import AvgPool, MaxPool, Pool
from cldfc.ops.prolongation import Prolongation
from cldfc.ops.rearrange import Concat, Flatten, Upsample
from cldfc.ops.scale import Scale, ScaleBy
from cldfc.ops.shapes import Dim, Form, Shape, Sized, Sizes
from cldfc.ops.solver import Solver

__all__ = [
    "BUILTINS",
    "Abs",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Convolution",
    "Dim",
    "Dropout",
    "Elu",
    "Flatten",
    "Form",
    "Gelu",
    "GroupNorm",
    "Identity",
    "Indivisible",
    "Input",
    "Kept",
    "Kernel",
    "LayerNorm",
    "LeakyRelu",
    "Linear",
    "MaxPool",
    "Mismatch",
    "Multiply",
    "Normalisation",
    "Operator",
    "OperatorSetting",
    "Pointwise",
    "Pool",
    "Prolongation",
    "Relu",
    "Scale",
    "ScaleBy",
    "Shape",
    "SharedBatchNorm",
    "Sigmoid",
    "Silu",
    "Sized",
    "Sizes",
    "SoftThreshold",
    "Softplus",
    "Solver",
    "Statistics",
    "Tanh",
    "TooLarge",
    "TooSmall",
    "Total",
    "Unfit",
    "Upsample",
    "Zero",
]


def all_operators(above: type[Operator] = Operator) -> Iterator[type[Operator]]:
    """Every operator class below one."""
    for operator in above.__subclasses__():
        yield operator
        yield from all_operators(operator)


BUILTINS: dict[str, type[Operator]] = {
    operator.keyword: operator
    for operator in all_operators()
    if operator.keyword is not None and "keyword" in vars(operator)
}
