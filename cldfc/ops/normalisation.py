"""Normalisations; each place of one has parameters of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cldfc.ops.base import Operator
from cldfc.ops.shapes import Form, Sized, Sizes, Solver


class BatchNorm(Operator):
    """bn(x): batch normalisation by channel, Ioffe and Szegedy 2015, the paper's [18]."""

    keyword: ClassVar[str | None] = "bn"
    owns: ClassVar[str | None] = "bn"

    def shape(self, shapes: Solver, operands: list[Form], result: Form, parameter: Sized | None) -> None:
        assert parameter is not None
        channels, _, _ = shapes.map(operands[0])
        shapes.equal(channels, parameter.dimension("channels"))
        shapes.same(result, operands[0])

    def torch(self, operands: list[str], module: str) -> str:
        return f"{module}({operands[0]})"

    def stored(self, sizes: Sizes) -> int:
        return 2 * sizes["channels"]

    def module(self, sizes: Mapping[str, str]) -> str:
        return f"nn.BatchNorm2d({sizes['channels']})"
