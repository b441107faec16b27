"""Sums and products of sizes, solved for the one of them that is unknown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

from cldfc.ops.errors import Mismatch
from cldfc.ops.shapes import Dim


@dataclass(frozen=True, slots=True)
class Relation(ABC):
    """`result` = a combination of `parts`."""

    result: Dim
    parts: tuple[Dim, ...]

    @abstractmethod
    def combine(self, sizes: list[int]) -> int:
        """The result for these parts."""

    @abstractmethod
    def rest(self, result: int, known: int, times: int) -> int | None:
        """The part that is missing `times` times beside what is known; None when no rule gives it."""

    def solve(self) -> tuple[Dim, int] | None:
        """The size that follows from the others, while it is one; a contradiction raises Mismatch."""
        sizes = [size for part in self.parts if (size := part.root().size) is not None]
        combined, result = self.combine(sizes), self.result.root().size
        missing = [part.root() for part in self.parts if part.root().size is None]
        if not missing:
            return self.result, combined
        if result is None or any(part is not missing[0] for part in missing):
            return None
        size = self.rest(result, combined, len(missing))
        if size is not None and size < 1:
            raise Mismatch
        return None if size is None else (missing[0], size)


class SumRelation(Relation):
    """`result` = the sum of the parts: concatenated channels."""

    def combine(self, sizes: list[int]) -> int:
        return sum(sizes)

    def rest(self, result: int, known: int, times: int) -> int | None:
        if (result - known) % times:
            raise Mismatch
        return (result - known) // times


class ProductRelation(Relation):
    """`result` = the product of the parts: a map as a vector."""

    def combine(self, sizes: list[int]) -> int:
        return prod(sizes)

    def rest(self, result: int, known: int, times: int) -> int | None:
        if result % known:
            raise Mismatch
        return result // known if times == 1 else None
