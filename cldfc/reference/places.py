"""What parameters without a tag are called: `bn`, `gn`, `ln`, `linear` own theirs at each place in an equation.

A normalisation is named by what it normalises, `bn_B` after B * x and `bn_r` before r; the second such place
of an equation, in the order of computation, is `bn_B_2`. Equations of one family share names, for their
values, which are the tags of these parameters, differ; those of another family take the next free name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cldfc.reference.declarations import Declarations
from cldfc.reference.numbers import Numbers, Tag
from cldfc.reference.operators import OWNERS
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions

Places = Sequence["str | Places"]
"""Names in the order of computation; those in the terms of a reduction as a sequence of their own."""


@dataclass
class PlaceNames:
    """The names that are taken, and by which family of equations."""

    known: Declarations
    numbers: Numbers
    taken: dict[str, tuple[str, int] | None]
    reductions: int = 0

    def of_terms(self) -> str:
        """The name of the next reduction's terms, which are values without one: `terms`, `terms_2`, …"""
        while True:
            self.reductions += 1
            name = f"terms_{self.reductions}" if self.reductions > 1 else "terms"
            if name not in self.known.names() and all(name != family for family, _ in self.known.equations):
                return name


def name_places(spec: tree.Spec, known: Declarations, numbers: Numbers) -> dict[int, Places]:
    """The names of the places of each equation, by its `id`."""
    found = [m for statement in spec.statements for m in mentions(statement)]
    tagged = {m.name for m in found if isinstance(m, tree.Symbol) and m.tag and m.name in OWNERS}
    names = PlaceNames(known, numbers, dict.fromkeys([*known.names(), *tagged]))
    places: dict[int, Places] = {}
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            walk = Walk(names, (equation.left.name, len(equation.left.tag)))
            walk.value(equation.right)
            places[id(equation)] = walk.places
    return places


@dataclass
class Walk:
    """Follows an equation in the order of computation; what it passes on is the head of each result.

    The head is the kernel that gave a result last, or the value that it comes from. `binding` has the index
    names of an operator's head that are numbers where it is used.
    """

    names: PlaceNames
    family: tuple[str, int]
    places: list[str | Places] = field(default_factory=list["str | Places"])
    here: Counter[str] = field(default_factory=Counter[str])

    def value(self, expression: tree.Expression) -> str:
        """The head of a value."""
        match expression:
            case tree.Symbol(name):
                return name
            case tree.Star(left, _, right) if right is not None:
                return self.times(left, self.value(right))
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument), {}, ())
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return first([self.value(part) for part in parts])
            case tree.Reduction(_, _, _, _, body):
                return self.terms(body)
            case _:
                return "0"

    def terms(self, body: tree.Expression) -> str:
        """The head of a reduction's terms: values that are there, or a family of their own."""
        if isinstance(body, tree.Symbol):
            return body.name
        name = self.names.of_terms()
        inner = Walk(self.names, (name, -1))
        inner.value(body)
        self.places.append(inner.places)
        return name

    def apply(self, function: tree.Expression, head: str, binding: Mapping[str, int], tag: Tag) -> str:
        """The head of what an operator gives."""
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, head, binding)
            case tree.Star(left, _, right):
                return self.times(left, head if right is None else self.apply(right, head, binding, tag))
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, head, binding, tag), binding, tag)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return first([self.apply(part, head, binding, tag) for part in parts])
            case tree.Reduction():
                turns = reduction_turns(self.names.numbers, function, binding, tag)
                bodies = [{**binding, function.name: j} for j in turns]
                return first([self.apply(function.body, head, body, tag) for body in bodies])
            case _:
                raise TypeError(f"{function} is no operator")

    def apply_symbol(self, symbol: tree.Symbol, head: str, binding: Mapping[str, int]) -> str:
        """The head of what a named operator gives."""
        let = self.names.known.lets.get(symbol.name)
        if let is not None:
            inner: dict[str, int] = {}
            for name, index in zip(let.symbol.tag, symbol.tag, strict=True):
                try:
                    inner[name.name or ""] = self.names.numbers.index(index, binding, symbol.tag)
                except KeyError:
                    continue
            return self.apply(let.values[0], head, inner, let.symbol.tag)
        if symbol.name in OWNERS and not symbol.tag:
            self.places.append(self.choose("linear" if symbol.name == "linear" else f"{symbol.name}_{head}"))
        return head

    def times(self, left: tree.Expression, head: str) -> str:
        """The head of a product: a kernel becomes it."""
        return left.name if isinstance(left, tree.Symbol) and left.name in self.names.known.kernels else head

    def choose(self, wanted: str) -> str:
        """The next name that this family has, or can take."""
        while True:
            self.here[wanted] += 1
            name = f"{wanted}_{self.here[wanted]}" if self.here[wanted] > 1 else wanted
            if self.names.taken.setdefault(name, self.family) == self.family:
                return name


def first(heads: list[str]) -> str:
    """The head of a combination of results: that of the first."""
    return heads[0]


def reduction_turns(numbers: Numbers, reduction: tree.Reduction, binding: Mapping[str, int], tag: Tag) -> range:
    """The values of a reduction's index; a constant in its bounds is taken at the level of the terms."""
    symbols = [m for m in mentions(reduction.body) if isinstance(m, tree.Symbol) and len(m.tag) > 1]
    own = [symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag)]
    level = own[0] if own else tag
    lower, upper = (numbers.bound(bound, binding, level) for bound in (reduction.lower, reduction.upper))
    return range(lower, upper + 1)
