"""Shapes by unification: what operators say about them, in any order, and what follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from cldfc.ops.size import NotLinear, OpenShape, OpenSize, Size


class Mismatch(Exception):
    """Two shapes or sizes that cannot be one."""


class Unfit(Mismatch):
    """An operator that does not fit its operands: why, and what to write instead."""

    def __init__(self, reason: str, help: str) -> None:
        super().__init__(reason)
        self.help = help


class Indivisible(Unfit):
    """Channels that do not make groups of one size."""

    def __init__(self, channels: Size, groups: int) -> None:
        reason = f"{channels} channels do not divide into {groups} groups"
        super().__init__(reason, "write a number of groups that divides the channels")
        self.channels = channels
        self.groups = groups


class TooLarge(Mismatch):
    """A size that no tensor has."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class TooSmall(Unfit):
    """A map that is smaller than the window on it, padding included."""

    def __init__(self, size: Size, window: int) -> None:
        reason = f"a window of {window} does not fit into a map of size {size}"
        super().__init__(reason, "pool fewer times, or with a smaller window")
        self.size = size
        self.window = window


Shape = tuple[int, ...]
Sizes = Mapping[str, int | float]
_Rule = Callable[[], None]


@dataclass(eq=False, slots=True)
class Dim:
    """A size, perhaps not known yet; united sizes form a chain to their representative."""

    size: Size | None = None
    parent: Dim | None = None
    waiting: list[_Rule] | None = None

    def root(self) -> Dim:
        """The representative; the chain is shortened on the way."""
        root = self
        while root.parent is not None:
            if root.parent.parent is not None:
                root.parent = root.parent.parent
            root = root.parent
        return root


@dataclass(eq=False, slots=True)
class Form:
    """The shape of one value: channels and a size for each axis of a map, one size for a vector, none while unknown."""

    dims: tuple[Dim, ...] | None = None
    parent: Form | None = None
    waiting: list[_Rule] | None = None

    def root(self) -> Form:
        """The representative; the chain is shortened on the way."""
        root = self
        while root.parent is not None:
            if root.parent.parent is not None:
                root.parent = root.parent.parent
            root = root.parent
        return root

    def known(self) -> OpenShape | None:
        """The sizes, when all of them are known."""
        dims = self.root().dims
        if dims is None:
            return None
        sizes: list[Size] = []
        for dim in dims:
            size = dim.size if dim.parent is None else dim.root().size
            if size is None:
                return None
            sizes.append(size)
        return tuple(sizes)

    def __str__(self) -> str:
        dims = self.root().dims
        return "an unknown shape" if dims is None else " × ".join(str(d.root().size or "?") for d in dims)


ACROSS = Dim(1)
"""The sizes, but for its channels, of a vector of parameters: it is spread over maps of any size."""


def is_spread(value: Form) -> bool:
    """Whether a value is a vector of parameters, or made of such alone."""
    dims = value.root().dims
    return dims is not None and len(dims) > 1 and dims[1] is ACROSS


@dataclass(slots=True)
class Sized:
    """The sizes of one parameter by name, as far as they are known, and what its declaration says outright."""

    dims: dict[str, Dim] = field(default_factory=dict[str, Dim])
    given: dict[str, int | float] = field(default_factory=dict[str, int | float])

    def dimension(self, name: str) -> Dim:
        dim = self.dims.get(name)
        if dim is None:
            dim = self.dims[name] = Dim()
        return dim

    def is_known(self) -> bool:
        return all(dim.root().size is not None for dim in self.dims.values())

    def left_open(self) -> OpenSize | None:
        """A size that the spec leaves open, if there is one."""
        sizes = (dim.root().size for dim in self.dims.values())
        return next((size for size in sizes if isinstance(size, OpenSize)), None)

    def known(self) -> dict[str, int | float]:
        """The sizes as plain numbers, once all are known, and none is left open."""
        found = {name: dim.root().size for name, dim in self.dims.items()}
        sizes: dict[str, int | float] = {name: size if isinstance(size, int) else 0 for name, size in found.items()}
        sizes |= self.given
        return sizes | {"groups": sizes["in"]} if sizes.get("each") else sizes


def whole_size(sizes: Sizes, name: str, default: int = 1) -> int:
    """One size as a whole number; what a declaration may leave out has its default."""
    return int(sizes.get(name, default))


@dataclass(frozen=True, slots=True)
class Relation(ABC):
    """`result` = a combination of `parts`."""

    result: Dim
    parts: tuple[Dim, ...]

    @abstractmethod
    def combine(self, sizes: list[Size]) -> Size:
        """The result for these parts."""

    @abstractmethod
    def rest(self, result: Size, known: Size, times: int) -> Size | None:
        """The part that is missing `times` times beside what is known; None when no rule gives it."""

    def solve(self) -> tuple[Dim, Size] | None:
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

    def combine(self, sizes: list[Size]) -> Size:
        return sum(sizes)

    def rest(self, result: Size, known: Size, times: int) -> Size | None:
        if (result - known) % times:
            raise Mismatch
        return (result - known) // times


class ProductRelation(Relation):
    """`result` = the product of the parts: a map as a vector."""

    def combine(self, sizes: list[Size]) -> Size:
        try:
            return prod(sizes)
        except NotLinear:
            open = " and ".join(str(size) for size in sizes if isinstance(size, OpenSize))
            help = "pool it first, as in `linear ∘ avgpool(…)`, or write numbers for the sizes of the input"
            raise Unfit(f"a map of the open sizes {open} has no fixed length, which `linear` needs", help) from None

    def rest(self, result: Size, known: Size, times: int) -> Size | None:
        if isinstance(known, OpenSize):
            return None
        if result % known:
            raise Mismatch
        return result // known if times == 1 else None


@dataclass(frozen=True, slots=True)
class Supposition:
    """`result` = choose(given), unless something else decides it."""

    result: Dim
    given: Dim
    choose: Callable[[Size], Size]

    def is_open(self) -> bool:
        """Whether it would say something."""
        return self.result.root().size is None and self.given.root().size is not None

    def size(self) -> tuple[Dim, Size]:
        return self.result, self.choose(self.given.root().size or 0)


_LARGEST = 2**40
"""No size is larger: a chain of concatenations may double it at each step."""


class Solver:
    """What operators say about shapes, solved as it is said. Raises Mismatch on a contradiction.

    Its maps have as many axes beside their channels as the network has dimensions.
    """

    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension
        self.ready: list[_Rule] = []
        self.supposed: list[Supposition] = []

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

    def map(self, value: Form) -> tuple[Dim, ...]:
        """Channels and the other sizes of a map; Mismatch also for a vector that is spread over one."""
        if is_spread(value):
            raise Mismatch
        return self.dims(value, self.dimension + 1)

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
            if dims == () or any(map(is_spread, values)):
                raise Mismatch  # a scalar has no axes, and a vector no batch
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

    def known(self, dimension: Dim, size: Size) -> None:
        root = dimension.root()
        if root.size is not None:
            if root.size != size:
                raise Mismatch
            return
        if isinstance(size, int) and size > _LARGEST:
            raise TooLarge(size)
        root.size = size
        if root.waiting:
            self.ready += root.waiting
            root.waiting = None

    def when_known(self, dimension: Dim, rule: Callable[[Size], None]) -> None:
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
            self.when_known(result, lambda size: self.known(given, _exact(size, factor)))

    def suppose(self, result: Dim, given: Dim, choose: Callable[[Size], Size]) -> None:
        """`result` = choose(given), once all has been said, where nothing else decides it."""
        self.supposed.append(Supposition(result, given, choose))

    def take_suppositions(self) -> list[Supposition]:
        """Those since the last time."""
        taken, self.supposed = self.supposed, []
        return taken

    def windowed(self, result: Dim, given: Dim, size: int, stride: int, padding: int, is_ceil: bool = False) -> None:
        """`result` = ⌊(given + 2·padding - size) / stride⌋ + 1, as soon as `given` is known.

        With `is_ceil` the quotient is rounded up, if the last window starts on the map or the padding before it.
        """

        def slide(whole: Size) -> None:
            if whole + 2 * padding < size:
                raise TooSmall(whole, size)
            steps, rest = divmod(whole + 2 * padding - size, stride)
            if is_ceil and rest and (steps + 1) * stride < whole + padding:
                steps += 1
            self.known(result, steps + 1)

        self.when_known(given, slide)

    def grouped(self, channels: Dim, groups: int) -> None:
        """The channels make groups of one size, now or as soon as they are known."""

        def check(count: Size) -> None:
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

        def heard(_: Size) -> None:
            nonlocal left
            left -= 1
            conclude()

        def conclude() -> None:
            if left <= 1 and (solution := relation.solve()) is not None:
                self.known(*solution)

        conclude()
        for dim in unknown.values() if left else ():
            self.when_known(dim, heard)


def _exact(size: Size, factor: int) -> Size:
    """The size that is `factor` times smaller."""
    if size % factor:
        raise Mismatch
    return size // factor
