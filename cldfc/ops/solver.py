"""What operators say about shapes, in any order, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cldfc.ops.errors import Indivisible, Mismatch, TooLarge, TooSmall
from cldfc.ops.relations import ProductRelation, Relation, SumRelation
from cldfc.ops.shapes import Dim, Form, Rule

LARGEST = 2**40
"""No size is larger: a chain of concatenations may double it at each step."""


class Solver:
    """What operators say about shapes, solved as it is said. Raises Mismatch on a contradiction."""

    def __init__(self) -> None:
        self.ready: list[Rule] = []

    def settle(self) -> None:
        """Draw the conclusions that what has been said allows; chains of them may be long."""
        while self.ready:
            self.ready.pop()()

    # Values

    def same(self, first: Form, second: Form) -> None:
        a, b = first.root(), second.root()
        if a is b:
            return
        if a.dims is not None and b.dims is not None:
            self.equal_dims(a.dims, b.dims)
            return
        if a.dims is None and b.dims is not None:
            a, b = b, a
        b.parent, waiting, b.waiting = a, b.waiting, None
        if waiting:
            if a.dims is None:
                a.waiting = (a.waiting or []) + waiting
            else:
                self.ready += waiting

    def equal_dims(self, first: tuple[Dim, ...], second: tuple[Dim, ...]) -> None:
        if first is second:
            return
        if len(first) != len(second):
            raise Mismatch
        for one, other in zip(first, second, strict=True):
            self.equal(one, other)

    def is_shape(self, value: Form, dims: tuple[Dim, ...]) -> None:
        root = value.root()
        if root.dims is not None:
            self.equal_dims(root.dims, dims)
            return
        root.dims = dims
        if root.waiting:
            self.ready += root.waiting
            root.waiting = None

    def map(self, value: Form) -> tuple[Dim, Dim, Dim]:
        """Channels, height and width of a value."""
        channels, height, width = self.dims(value, 3)
        return channels, height, width

    def vector(self, value: Form) -> Dim:
        return self.dims(value, 1)[0]

    def dims(self, value: Form, rank: int) -> tuple[Dim, ...]:
        dims = value.root().dims
        if dims is None:
            dims = tuple(Dim() for _ in range(rank))
            self.is_shape(value, dims)
        elif len(dims) != rank:
            raise Mismatch
        return dims

    def when_ranked(self, values: Sequence[Form], rule: Callable[[int], None]) -> None:
        """Apply a rule to the number of axes, as soon as one of the values tells it."""
        told: list[int] = []

        def look() -> None:
            dims = next((form.root().dims for form in values if form.root().dims is not None), None)
            if dims is not None and not told:
                told.append(len(dims))
                rule(len(dims))

        look()
        for form in values if not told else ():
            form.root().waiting = [*(form.root().waiting or ()), look]

    # Sizes

    def equal(self, first: Dim, second: Dim) -> None:
        a, b = first.root(), second.root()
        if a is b:
            return
        if a.size is None:
            a, b = b, a
        if b.size is not None:
            if a.size != b.size:
                raise Mismatch
            return
        b.parent, waiting, b.waiting = a, b.waiting, None
        if waiting:
            if a.size is None:
                a.waiting = (a.waiting or []) + waiting
            else:
                self.ready += waiting

    def known(self, dimension: Dim, size: int) -> None:
        root = dimension.root()
        if root.size is not None:
            if root.size != size:
                raise Mismatch
            return
        if size > LARGEST:
            raise TooLarge(size)
        root.size = size
        if root.waiting:
            self.ready += root.waiting
            root.waiting = None

    def when_known(self, dimension: Dim, rule: Callable[[int], None]) -> None:
        """Apply a rule to a size, now or as soon as it is known."""
        root = dimension.root()
        if root.size is not None:
            rule(root.size)
            return
        if root.waiting is None:
            root.waiting = []
        root.waiting.append(lambda: self.when_known(dimension, rule))

    def divided(self, result: Dim, whole: Dim, stride: int) -> None:
        """`result` = ⌈whole / stride⌉, said now or as soon as `whole` is known."""
        size = whole.root().size
        if stride == 1:
            self.equal(result, whole)
        elif size is not None:
            self.known(result, -(-size // stride))
        else:
            self.when_known(whole, lambda size: self.known(result, -(-size // stride)))

    def multiplied(self, result: Dim, given: Dim, factor: int) -> None:
        """`result` = factor · given, whichever of them is known first."""
        size = given.root().size
        if factor == 1:
            self.equal(result, given)
        elif size is not None:
            self.known(result, size * factor)
        else:
            self.when_known(given, lambda size: self.known(result, size * factor))
            self.when_known(result, lambda size: self.known(given, exact(size, factor)))

    def windowed(self, result: Dim, given: Dim, size: int, stride: int, padding: int) -> None:
        """`result` = ⌊(given + 2·padding - size) / stride⌋ + 1, as soon as `given` is known."""

        def slide(whole: int) -> None:
            if whole + 2 * padding < size:
                raise TooSmall(whole, size)
            self.known(result, (whole + 2 * padding - size) // stride + 1)

        self.when_known(given, slide)

    def grouped(self, channels: Dim, groups: int) -> None:
        """The channels make groups of one size, now or as soon as they are known."""

        def check(count: int) -> None:
            if count % groups:
                raise Indivisible(count, groups)

        if groups > 1:
            self.when_known(channels, check)

    def summed(self, result: Dim, parts: Sequence[Dim]) -> None:
        """`result` = the sum of the parts, solved for the last of them that is unknown."""
        self.relate(SumRelation(result, tuple(parts)))

    def multiplied_out(self, result: Dim, parts: Sequence[Dim]) -> None:
        """`result` = the product of the parts, solved for the last of them that is unknown."""
        self.relate(ProductRelation(result, tuple(parts)))

    def relate(self, relation: Relation) -> None:
        """Hear of every size in a relation that is unknown yet; with one left, solve for it."""
        unknown = {id(dim): dim for dim in map(Dim.root, (relation.result, *relation.parts)) if dim.size is None}
        left = len(unknown)

        def heard(_: int) -> None:
            nonlocal left
            left -= 1
            conclude()

        def conclude() -> None:
            if left <= 1 and (solution := relation.solve()) is not None:
                self.known(*solution)

        conclude()
        for dim in unknown.values() if left else ():
            self.when_known(dim, heard)


def exact(size: int, factor: int) -> int:
    """The size that is `factor` times smaller."""
    if size % factor:
        raise Mismatch
    return size // factor
