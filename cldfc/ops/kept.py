"""What an operation keeps for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass

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


NOTHING, OPERAND, RESULT = Kept(), Kept((0,)), Kept(result=True)
