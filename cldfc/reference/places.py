"""What parameters without a tag are called: `bn`, `gn`, `ln`, `linear` own theirs at each place in an equation.

So do the running statistics of each use of a `bn@ℓ`, which shares scale and shift alone: `stats_B` after B * x.

A normalisation is named by what it normalises, `bn_B` after B * x and `bn_r` before r; the second such place
of an equation, in the order of computation, is `bn_B_2`. Equations of one family share names, for their
values, which are the tags of these parameters, differ. Where several families want a name, it is that of the
family that it speaks of; the others, and all if there is none such, add their own: `bn_r_a`, `bn_r_b`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from cldfc.reference.declarations import Declarations
from cldfc.reference.numbers import ReferenceNumbers, Tag
from cldfc.reference.operators import OWNERS
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions


@dataclass(frozen=True)
class Owner:
    """A family of values, by its name and number of indices; or the terms of one of its reductions, by their number."""

    name: str
    arity: int
    terms: int = 0


@dataclass(frozen=True)
class Wish:
    """A name that an owner would like for something: `bn_r`, where the head is r."""

    name: str
    head: str
    owner: Owner


@dataclass(frozen=True)
class Place:
    """A place that needs a name: the wish, and how many of its kind came before it in the equation."""

    wish: Wish
    before: int


Places = Sequence["str | Places"]
"""Names in the order of computation; those in the terms of a reduction as a sequence of their own."""
Unnamed = Sequence["Place | Unnamed"]
"""The same before names are given."""


def name_places(spec: tree.Tree, known: Declarations, numbers: ReferenceNumbers) -> dict[int, Places]:
    found = [m for statement in spec.statements for m in mentions(statement)]
    tagged = {m.name for m in found if isinstance(m, tree.Symbol) and m.tag and m.name in OWNERS}
    unnamed: dict[int, Unnamed] = {}
    terms: list[Place] = []
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            walk = Walk(known, numbers, Owner(equation.left.name, len(equation.left.tag)), terms)
            walk.value(equation.right)
            unnamed[id(equation)] = walk.places
    values = {name for name, _ in known.equations}
    families = give_names(terms, known.names() | values, {})
    owners = {Owner(p.wish.owner.name, p.wish.owner.arity, p.before + 1): name for p, name in families.items()}
    names = give_names(flat(list(unnamed.values())), known.names() | tagged, owners)
    return {equation: with_names(places, names) for equation, places in unnamed.items()}


def flat(places: Unnamed) -> list[Place]:
    return [inner for place in places for inner in ([place] if isinstance(place, Place) else flat(place))]


def with_names(places: Unnamed, names: Mapping[Place, str]) -> Places:
    return [names[place] if isinstance(place, Place) else with_names(place, names) for place in places]


def give_names(places: Sequence[Place], reserved: set[str], owners: Mapping[Owner, str]) -> dict[Place, str]:
    """A name for each place; `owners` are the names of those that the spec has none for."""
    most: Counter[Wish] = Counter()
    for place in places:
        most[place.wish] = max(most[place.wish], place.before + 1)

    def short(wish: Wish) -> str:
        return wish.name

    def series(name: str, wish: Wish) -> list[str]:
        return [name, *(f"{name}_{number}" for number in range(2, most[wish] + 1))]

    def with_owner(wish: Wish) -> str:
        return f"{wish.name}_{owners.get(wish.owner, wish.owner.name)}"

    given: dict[Wish, list[str]] = {}
    used = set(reserved)
    its_own = [wish for wish in most if wish.head == wish.owner.name and not wish.owner.terms]
    for some, name_of in ((its_own, short), (list(most), short), (list(most), with_owner)):
        asked: dict[str, list[Wish]] = defaultdict(list)
        for wish in some:
            for name in series(name_of(wish), wish) if wish not in given else ():
                asked[name].append(wish)
        refused = {wish for name, wishes in asked.items() for wish in wishes if len(wishes) > 1 or name in used}
        for wishes in list(asked.values()):
            given.update((w, series(name_of(w), w)) for w in wishes if w not in refused)
        used.update(name for names in given.values() for name in names)
    for wish in sorted(most.keys() - given.keys(), key=lambda wish: (wish.name, with_owner(wish), wish.owner.arity)):
        free = (series(f"{with_owner(wish)}_{number}", wish) for number in count(2))
        given[wish] = next(names for names in free if used.isdisjoint(names))
        used.update(given[wish])
    return {place: given[place.wish][place.before] for place in places}


@dataclass
class Walk:
    """Follows an equation in the order of computation; what it passes on is the head of each result.

    The head is the kernel that gave a result last, or the value that it comes from; that of a combination is the
    head of its first part, but all parts claim their places. `binding` has the index names of an operator's head
    that are numbers where it is used. `terms_so_far` are the reductions so far.
    """

    known: Declarations
    numbers: ReferenceNumbers
    owner: Owner
    terms_so_far: list[Place]
    reductions: Counter[Owner] = field(default_factory=Counter[Owner])
    places: list[Place | Unnamed] = field(default_factory=list["Place | Unnamed"])
    here: Counter[Wish] = field(default_factory=Counter[Wish])

    def value(self, expression: tree.Expression) -> str:
        match expression:
            case tree.Symbol(name):
                return name
            case tree.Star(left, _, right) if right is not None:
                return self.times(left, self.value(right))
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument), {}, ())
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                heads = [self.value(part) for part in parts]
                return heads[0]
            case tree.Reduction(_, _, _, _, body):
                return self.terms(body)
            case _:
                return "0"

    def terms(self, body: tree.Expression) -> str:
        """The head of a reduction's terms: values that are there, or a family of their own."""
        if isinstance(body, tree.Symbol):
            return body.name
        family = Owner(self.owner.name, self.owner.arity)
        self.terms_so_far.append(Place(Wish("terms", "", family), self.reductions[family]))
        self.reductions[family] += 1
        owner = Owner(family.name, family.arity, self.reductions[family])
        inner = Walk(self.known, self.numbers, owner, self.terms_so_far, self.reductions)
        inner.value(body)
        self.places.append(inner.places)
        return "terms"

    def apply(self, function: tree.Expression, head: str, binding: Mapping[str, int], tag: Tag) -> str:
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, head, binding)
            case tree.Star(left, _, right):
                return self.times(left, head if right is None else self.apply(right, head, binding, tag))
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, head, binding, tag), binding, tag)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                heads = [self.apply(part, head, binding, tag) for part in parts]
                return heads[0]
            case tree.Reduction():
                turns = reduction_turns(self.numbers, function, binding, tag)
                bodies = [{**binding, function.name: j} for j in turns]
                heads = [self.apply(function.body, head, body, tag) for body in bodies]
                return heads[0]
            case _:
                raise TypeError(f"{function} is no operator")

    def apply_symbol(self, symbol: tree.Symbol, head: str, binding: Mapping[str, int]) -> str:
        let = self.known.lets.get(symbol.name)
        if let is not None:
            inner: dict[str, int] = {}
            for name, index in zip(let.symbol.tag, symbol.tag, strict=True):
                try:
                    inner[name.name or ""] = self.numbers.index(index, binding, symbol.tag)
                except KeyError:
                    continue
            return self.apply(let.values[0], head, inner, let.symbol.tag)
        if symbol.name in OWNERS and not symbol.tag:
            name = symbol.name if symbol.name == "linear" else f"{symbol.name}_{head}"
            self.claim(Wish(name, head if name != symbol.name else "", self.owner))
        elif symbol.name == "bn":
            self.claim(Wish(f"stats_{head}", head, self.owner))
        return head

    def claim(self, wish: Wish) -> None:
        self.places.append(Place(wish, self.here[wish]))
        self.here[wish] += 1

    def times(self, left: tree.Expression, head: str) -> str:
        """The head of a product: a kernel becomes it."""
        return left.name if isinstance(left, tree.Symbol) and left.name in self.known.kernels else head


def reduction_turns(
    numbers: ReferenceNumbers, reduction: tree.Reduction, binding: Mapping[str, int], tag: Tag
) -> range:
    """The values of a reduction's index; a constant in its bounds is taken at the level of the terms."""
    symbols = [m for m in mentions(reduction.body) if isinstance(m, tree.Symbol) and len(m.tag) > 1]
    own = [symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag)]
    level = own[0] if own else tag
    lower, upper = (numbers.bound(bound, binding, level) for bound in (reduction.lower, reduction.upper))
    return range(lower, upper + 1)
