"""The operators: one class each, with its shape rule, its cost and how PyTorch writes it.

A new built-in operator is one class with a `keyword` in one of these files: `BUILTINS` finds it. Only what other
packages name is imported by its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.ops.arithmetic import (
    Add,
    Divide,
    EuclideanNorm,
    Extreme,
    ExtremeTotal,
    InnerProduct,
    Input,
    Limit,
    LogTotal,
    Multiply,
    MultiplyBy,
    RaiseTo,
    Reciprocal,
    ScalarValue,
    Scale,
    ScaleBy,
    ScaleChannels,
    Shift,
    Spread,
    Total,
    VectorValue,
    WithNumber,
    WithScalar,
    WithVector,
    Zero,
)
from cldfc.ops.base import Kept, Operator, OperatorSetting, Spreading
from cldfc.ops.channels import Channels, Softmax
from cldfc.ops.convolution import (
    Convolution,
    ConvolutionAdjoint,
    Kernel,
    KernelStart,
    Linear,
    Prolongation,
    ProlongationAdjoint,
)
from cldfc.ops.fixed_point import ConjugateGradients, FixedPoint, Iterated, Unknown
from cldfc.ops.normalisation import (
    BatchNorm,
    FrozenBatchNorm,
    GroupNorm,
    LayerNorm,
    Normalisation,
    SharedBatchNorm,
    Statistics,
)
from cldfc.ops.pointwise import (
    TRAINED_SETTINGS,
    DropPath,
    Identity,
    Pointwise,
    TrainedSlope,
    TrainedThreshold,
)
from cldfc.ops.pooling import AvgPool, MaxPool, Pool, Unpool
from cldfc.ops.rearrange import Concat, Flatten, SplitChannels, Upsample
from cldfc.ops.solver import (
    Dim,
    Form,
    Indivisible,
    Mismatch,
    Shape,
    Sized,
    Sizes,
    Solver,
    Supposition,
    TooLarge,
    TooSmall,
    Unfit,
    is_spread,
)

__all__ = [
    "BUILTINS",
    "TRAINED_SETTINGS",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Channels",
    "Concat",
    "ConjugateGradients",
    "Convolution",
    "ConvolutionAdjoint",
    "Dim",
    "Divide",
    "DropPath",
    "EuclideanNorm",
    "Extreme",
    "ExtremeTotal",
    "FixedPoint",
    "Flatten",
    "Form",
    "FrozenBatchNorm",
    "GroupNorm",
    "Identity",
    "Indivisible",
    "InnerProduct",
    "Input",
    "Iterated",
    "Kept",
    "Kernel",
    "KernelStart",
    "LayerNorm",
    "Limit",
    "Linear",
    "LogTotal",
    "MaxPool",
    "Mismatch",
    "Multiply",
    "MultiplyBy",
    "Normalisation",
    "Operator",
    "OperatorSetting",
    "Pointwise",
    "Pool",
    "Prolongation",
    "ProlongationAdjoint",
    "RaiseTo",
    "Reciprocal",
    "ScalarValue",
    "Scale",
    "ScaleBy",
    "ScaleChannels",
    "Shape",
    "SharedBatchNorm",
    "Shift",
    "Sized",
    "Sizes",
    "Softmax",
    "Solver",
    "SplitChannels",
    "Spread",
    "Spreading",
    "Statistics",
    "Supposition",
    "TooLarge",
    "TooSmall",
    "Total",
    "TrainedSlope",
    "TrainedThreshold",
    "Unfit",
    "Unknown",
    "Unpool",
    "Upsample",
    "VectorValue",
    "WithNumber",
    "WithScalar",
    "WithVector",
    "Zero",
    "is_spread",
]


def all_operators(above: type[Operator] = Operator) -> Iterator[type[Operator]]:
    for operator in above.__subclasses__():
        yield operator
        yield from all_operators(operator)


BUILTINS: dict[str, type[Operator]] = {
    operator.keyword: operator
    for operator in all_operators()
    if operator.keyword is not None and "keyword" in vars(operator)
}
