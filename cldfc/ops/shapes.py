"""Shapes by unification: what is known of a value's shape and of a parameter's sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]
Sizes = Mapping[str, int | float]
Rule = Callable[[], None]


@dataclass(eq=False, slots=True)
class Dim:
    """A size, perhaps not known yet; united sizes form a chain to their representative."""

    size: int | None = None
    parent: Dim | None = None
    waiting: list[Rule] | None = None

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
    waiting: list[Rule] | None = None

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
        sizes: list[int] = []
        for dim in dims:
            size = dim.size if dim.parent is None else dim.root().size
            if size is None:
                return None
            sizes.append(size)
        return tuple(sizes)

    def __str__(self) -> str:
        dims = self.root().dims
        return "an unknown shape" if dims is None else " × ".join(str(d.root().size or "?") for d in dims)


@dataclass
class Sized:
    """The sizes of one parameter by name, as far as they are known, and what its declaration says outright."""

    dims: dict[str, Dim] = field(default_factory=dict[str, Dim])
    given: dict[str, int | float] = field(default_factory=dict[str, int | float])

    def dimension(self, name: str) -> Dim:
        dim = self.dims.get(name)
        if dim is None:
            dim = self.dims[name] = Dim()
        return dim

    def known(self) -> dict[str, int | float]:
        """The sizes as plain numbers, once all are known."""
        sizes: dict[str, int | float] = {name: dim.root().size or 0 for name, dim in self.dims.items()}
        return sizes | self.given


def whole_size(sizes: Sizes, name: str, default: int = 1) -> int:
    """One size as a whole number; what a declaration may leave out has its default."""
    return int(sizes.get(name, default))
