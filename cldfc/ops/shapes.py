"""Shapes by unification: what is said about them, in any order, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Sizes = Mapping[str, int]


@dataclass(eq=False, slots=True)
class Dim:
    """A size, perhaps not known yet; united sizes form a chain to their representative."""

    size: int | None = None
    parent: Dim | None = None
    waiting: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

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
    """The shape of one value: three sizes for a map, one for a vector, none while unknown."""

    dims: tuple[Dim, ...] | None = None
    parent: Form | None = None

    def root(self) -> Form:
        """The representative; the chain is shortened on the way."""
        root = self
        while root.parent is not None:
            if root.parent.parent is not None:
                root.parent = root.parent.parent
            root = root.parent
        return root

    def known(self) -> Shape | None:
        """The sizes, when all of them are known."""
        dims = self.root().dims
        if dims is None:
            return None
        sizes = [dim.root().size for dim in dims]
        return tuple(size for size in sizes if size is not None) if None not in sizes else None

    def __str__(self) -> str:
        dims = self.root().dims
        return "an unknown shape" if dims is None else " × ".join(str(d.root().size or "?") for d in dims)


class Mismatch(Exception):
    """Two shapes or sizes that cannot be one."""


@dataclass
class Sized:
    """The sizes of one parameter by name, as far as they are known."""

    dims: dict[str, Dim] = field(default_factory=dict[str, Dim])

    def dimension(self, name: str) -> Dim:
        """The size of this name."""
        return self.dims.setdefault(name, Dim())

    def known(self) -> dict[str, int]:
        """The sizes as plain numbers, once all are known."""
        return {name: dim.root().size or 0 for name, dim in self.dims.items()}


class Solver:
    """What operators say about shapes, solved as it is said. Raises Mismatch on a contradiction."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []

    def same(self, first: Form, second: Form) -> None:
        """Both values have one shape."""
        a, b = first.root(), second.root()
        if a is b:
            return
        if a.dims is None or b.dims is None:
            known = a.dims or b.dims
            b.parent, a.dims = a, known
            return
        if len(a.dims) != len(b.dims):
            raise Mismatch
        for one, other in zip(a.dims, b.dims, strict=True):
            self.equal(one, other)

    def map(self, value: Form) -> tuple[Dim, Dim, Dim]:
        """Channels, height and width of a value."""
        dims = self.dims(value, 3)
        return dims[0], dims[1], dims[2]

    def vector(self, value: Form) -> Dim:
        """The length of a value that is a vector."""
        return self.dims(value, 1)[0]

    def dims(self, value: Form, rank: int) -> tuple[Dim, ...]:
        """The sizes of a value of this rank."""
        root = value.root()
        if root.dims is None:
            root.dims = tuple(Dim() for _ in range(rank))
        if len(root.dims) != rank:
            raise Mismatch
        return root.dims

    def equal(self, first: Dim, second: Dim) -> None:
        """Both sizes are one."""
        a, b = first.root(), second.root()
        if a is b:
            return
        if a.size is not None and b.size is not None:
            if a.size != b.size:
                raise Mismatch
            return
        if a.size is None:
            a, b = b, a
        b.parent = a
        waiting, b.waiting = b.waiting, []
        if a.size is None:
            a.waiting += waiting
        else:
            self.ready += waiting

    def settle(self) -> None:
        """Draw the conclusions that what has been said allows; chains of them may be long."""
        while self.ready:
            self.ready.pop()()

    def known(self, dimension: Dim, size: int) -> None:
        """The size is this number."""
        self.equal(dimension, Dim(size))

    def computed(self, result: Dim, given: Dim, rule: Callable[[int], int]) -> None:
        """`result` = rule(given), as soon as that is known."""
        size = given.root().size
        if size is None:
            given.root().waiting.append(lambda: self.computed(result, given, rule))
        else:
            self.known(result, rule(size))

    def divided(self, result: Dim, whole: Dim, stride: int) -> None:
        """`result` = ⌈whole / stride⌉, said now or as soon as `whole` is known."""
        if stride == 1:
            self.equal(result, whole)
        else:
            self.computed(result, whole, lambda size: -(-size // stride))
