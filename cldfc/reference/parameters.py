"""The parameters of a network by the names of its generated module, also of those without a tag."""

from __future__ import annotations

import keyword
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import cast

from torch import Tensor

from cldfc.reference.indices import Declarations, Key, ReferenceNumbers, Tag
from cldfc.reference.operators import OWNERS
from cldfc.syntax import keywords, tree
from cldfc.syntax.spelling import ascii_name
from cldfc.syntax.walk import mentions, own_indices


class Parameters:
    """Finds the tensors of a parameter such as B@2,1: `B.2_1.weight`, or `B.weight` where B is one module.

    A name that torch or Python has for itself gets a number, the first that no other parameter has: `forward_2`.
    """

    def __init__(self, given: Mapping[str, Tensor], reserved: set[str], names: Iterable[str]) -> None:
        self.given = given
        self.reserved = reserved
        self.names = {ascii_name(name) for name in names}
        self.used: set[str] = set()

    def attribute(self, name: str) -> str:
        wanted = ascii_name(name)
        if wanted not in self.reserved and not keyword.iskeyword(wanted):
            return wanted
        numbered = (f"{wanted}_{number}" for number in count(2))
        return next(other for other in numbered if other not in self.reserved | self.names)

    def module(self, key: Key) -> str:
        """The name of a parameter's module. Raises KeyError when there is none."""
        attribute, indices = self.attribute(key[0]), "_".join(map(str, key[1]))
        for module in (f"{attribute}.{indices or 'all'}", attribute):
            if any(name in self.given for name in (module, f"{module}.weight", f"{module}.running_mean")):
                return module
        raise KeyError(f"there is no `{attribute}.{indices}`" if indices else f"there is no `{attribute}`")

    def tensor(self, name: str) -> Tensor:
        self.used.add(name)
        return self.given[name]


def reserved_names(spec: tree.Tree, known: Declarations) -> set[str]:
    """Attributes that a generated class cannot give to a parameter: torch's own, and its loop variables."""
    equations = [statement for statement in spec.statements if isinstance(statement, tree.Equation)]
    loops = set(known.ranges).union(*map(own_indices, equations))
    return set(keywords.ATTRIBUTES) | {"level" if name == "ℓ" else ascii_name(name) for name in loops}


@dataclass(frozen=True)
class _Owner:
    """A family of values, by its name and number of indices; or the terms of one of its reductions, by their number."""

    name: str
    arity: int
    terms: int = 0


@dataclass(frozen=True)
class _Wish:
    """A name that an owner would like for something: `bn_r`, where the head is r."""

    name: str
    head: str
    owner: _Owner


@dataclass(frozen=True)
class _Place:
    """A place that needs a name: the wish, and how many of its kind came before it in the equation."""

    wish: _Wish
    before: int


Places = Sequence["str | TermPlaces"]
"""Names in the order of computation."""
TermPlaces = Sequence[Places]
"""Those of each term of a reduction, or of all alike."""
_Unnamed = Sequence["_Place | Sequence[_Unnamed]"]
"""The same before names are given."""

PlaceKey = tuple[int, tuple[tuple[str, int], ...]]
"""An equation; and its index names, where operators have several declarations."""


def place_key(equation: tree.Equation, binding: Mapping[str, int], known: Declarations) -> PlaceKey:
    return id(equation), tuple(sorted(binding.items())) if _has_cases(equation, known) else ()


def _has_cases(root: tree.Equation, known: Declarations) -> bool:
    """Whether operators in an equation have several declarations."""
    waiting: list[tree.Equation | tree.Let] = [root]
    seen: set[str] = set()
    while waiting:
        names = {mention.name or "" for mention in mentions(waiting.pop())} & known.lets.keys() - seen
        if any(map(known.has_cases, names)):
            return True
        seen |= names
        waiting += [known.lets[name] for name in names]
    return False


def name_places(spec: tree.Tree, known: Declarations, numbers: ReferenceNumbers) -> dict[PlaceKey, Places]:
    found = [m for statement in spec.statements for m in mentions(statement)]
    tagged = {m.name for m in found if isinstance(m, tree.Symbol) and m.tag and m.name in OWNERS}
    unnamed: dict[PlaceKey, _Unnamed] = {}
    terms: list[_Place] = []
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            has_cases = _has_cases(equation, known)
            for binding in numbers.bindings(equation) if has_cases else [{}]:
                owner = _Owner(equation.left.name, len(equation.left.tag))
                walk = _Walk(known, numbers, owner, terms, binding, has_cases, equation.left.tag)
                walk.value(equation.right)
                unnamed[place_key(equation, binding, known)] = walk.places
    values = {name for name, _ in known.equations}
    families = _give_names(terms, known.names() | values, {})
    owners = {_Owner(p.wish.owner.name, p.wish.owner.arity, p.before + 1): name for p, name in families.items()}
    names = _give_names(
        [place for places in unnamed.values() for place in _flat(places)], known.names() | tagged, owners
    )
    return {equation: _with_names(places, names) for equation, places in unnamed.items()}


def _flat(places: _Unnamed) -> list[_Place]:
    found: list[_Place] = []
    for place in places:
        found += [place] if isinstance(place, _Place) else [inner for term in place for inner in _flat(term)]
    return found


def _with_names(places: _Unnamed, names: Mapping[_Place, str]) -> Places:
    return [names[p] if isinstance(p, _Place) else [_with_names(term, names) for term in p] for p in places]


def _give_names(places: Sequence[_Place], reserved: set[str], owners: Mapping[_Owner, str]) -> dict[_Place, str]:
    """A name for each place; `owners` are the names of those that the spec has none for."""
    most: Counter[_Wish] = Counter()
    for place in places:
        most[place.wish] = max(most[place.wish], place.before + 1)

    def short(wish: _Wish) -> str:
        return wish.name

    def series(name: str, wish: _Wish) -> list[str]:
        return [name, *(f"{name}_{number}" for number in range(2, most[wish] + 1))]

    def with_owner(wish: _Wish) -> str:
        return f"{wish.name}_{owners.get(wish.owner, wish.owner.name)}"

    given: dict[_Wish, list[str]] = {}
    used = set(reserved)
    its_own = [wish for wish in most if wish.head == wish.owner.name and not wish.owner.terms]
    for some, name_of in ((its_own, short), (list(most), short), (list(most), with_owner)):
        asked: dict[str, list[_Wish]] = defaultdict(list)
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


def _first(heads: Sequence[str]) -> str:
    return next(filter(None, heads), "")


@dataclass
class _Walk:
    """Follows an equation in the order of computation; what it passes on is the head of each result.

    The head is the kernel that gave a result last, or the value that it comes from; numbers and scalars have none.
    That of a combination is the head of its first part that has one, but all parts claim their places. `binding` has
    the index names that are numbers; where operators have several declarations, all those of the equation, whose tag is
    `tag`. `terms_so_far` are the reductions so far.
    """

    known: Declarations
    numbers: ReferenceNumbers
    owner: _Owner
    terms_so_far: list[_Place]
    binding: Mapping[str, int] = field(default_factory=dict[str, int])
    has_cases: bool = False
    tag: Tag = ()
    reductions: Counter[_Owner] = field(default_factory=Counter[_Owner])
    places: list[_Place | Sequence[_Unnamed]] = field(default_factory=list["_Place | Sequence[_Unnamed]"])
    here: Counter[_Wish] = field(default_factory=Counter[_Wish])
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    """The heads of what an operator with named operands is applied to."""

    def value(self, expression: tree.Expression) -> str:
        match expression:
            case tree.Symbol(name):
                return "" if name in self.known.scalars or name in self.known.lets else name
            case tree.Quotient(one, other) | tree.Pairing(one, other):
                heads = [self.value(one), self.value(other)]
                return _first(heads)
            case tree.Norm(inner):
                return self.value(inner)
            case tree.Argument(name):
                return self.arguments[name]
            case tree.ApplyToSeveral(tree.Symbol("unpool"), arguments):
                return _first([self.value(part) for part in arguments])
            case tree.ApplyToSeveral(tree.Symbol() as function, arguments):
                return self.call(function, [self.value(part) for part in arguments], self.binding)
            case tree.Power(base):
                return self.value(base)
            case tree.Number(value) if value != 0:
                return ""
            case tree.Star(left, _, right) if right is not None:
                return self.times(left, self.value(right))
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument), self.binding, self.tag)
            case tree.Sum(parts) | tree.Product(parts) | tree.Listing(_, parts):
                return _first([self.value(part) for part in parts])
            case tree.Reduction():
                return self.terms(expression)
            case tree.Fix():
                return self.iterated(expression)
            case _:
                return "0"

    def iterated(self, fix: tree.Fix) -> str:
        """The head of what an expression gives again and again, always at the same places."""
        start = fix.setting("start")
        for before in (start and start.value, fix.right):
            if before is not None:
                self.value(before)
        inner = replace(self, places=[])
        head = inner.value(fix.body)
        self.places.append([inner.places])
        return head

    def terms(self, reduction: tree.Reduction) -> str:
        """The head of a reduction's terms: values that are there, or a family of their own."""
        body = reduction.body
        if isinstance(body, tree.Symbol) and is_plain(body):
            return body.name
        family = _Owner(self.owner.name, self.owner.arity)
        self.terms_so_far.append(_Place(_Wish("terms", "", family), self.reductions[family]))
        self.reductions[family] += 1
        owner = _Owner(family.name, family.arity, self.reductions[family])
        turns = reduction_turns(self.numbers, reduction, self.binding, self.tag) if self.has_cases else range(1)
        places: list[_Unnamed] = []
        before = self.reductions.copy()
        for j in turns:
            binding = {**self.binding, reduction.name: j} if self.has_cases else {}
            inner = _Walk(self.known, self.numbers, owner, self.terms_so_far, binding, self.has_cases, self.tag)
            inner.reductions = self.reductions = before.copy()
            inner.value(body)
            places.append(inner.places)
        self.places.append(places)
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
                return _first([self.apply(part, head, binding, tag) for part in parts])
            case tree.Quotient(above, below):
                heads = [self.apply(above, head, binding, tag), self.value(below)]
                return heads[0]
            case tree.Number() | tree.Power():
                return head
            case tree.Reduction():
                turns = reduction_turns(self.numbers, function, binding, tag)
                bodies = [{**binding, function.name: j} for j in turns]
                heads = [self.apply(function.body, head, body, tag) for body in bodies]
                return heads[0]
            case _:
                raise TypeError(f"{function} is no operator")

    def apply_symbol(self, symbol: tree.Symbol, head: str, binding: Mapping[str, int]) -> str:
        if symbol.name in self.known.lets:
            return self.call(symbol, [head], binding)
        if symbol.name in self.known.scalars or self.numbers.is_constant(symbol.name):
            return head
        if symbol.name in OWNERS and not symbol.tag:
            name = symbol.name if symbol.name == "linear" else f"{symbol.name}_{head}"
            self.claim(_Wish(name, head if name != symbol.name else "", self.owner))
        elif symbol.name == "bn":
            self.claim(_Wish(f"stats_{head}", head, self.owner))
        return head

    def call(self, symbol: tree.Symbol, heads: Sequence[str], binding: Mapping[str, int]) -> str:
        let, inner = self.known.lets[symbol.name], dict[str, int]()
        for name, index in zip(let.symbol.tag, symbol.tag, strict=True):
            try:
                inner[name.name or ""] = self.numbers.index(index, binding, symbol.tag)
            except KeyError:
                continue
        if self.known.has_cases(symbol.name):
            at = tuple(self.numbers.index(index, binding, symbol.tag) for index in symbol.tag)
            let, inner = cast("tuple[tree.Let, dict[str, int]]", self.numbers.case_at(symbol.name, at))
        if not let.arguments:
            return self.apply(let.values[0], heads[0], inner, let.symbol.tag)
        given = {argument.name: head for argument, head in zip(let.arguments, heads, strict=True)}
        return replace(self, binding=inner, tag=let.symbol.tag, arguments=given).value(let.values[0])

    def claim(self, wish: _Wish) -> None:
        self.places.append(_Place(wish, self.here[wish]))
        self.here[wish] += 1

    def times(self, left: tree.Expression, head: str) -> str:
        """The head of a product: a kernel becomes it, also by its adjoint."""
        left = left.kernel if isinstance(left, tree.Adjoint) else left
        if isinstance(left, tree.Symbol) and left.name in self.known.kernels:
            return left.name
        self.value(left)
        return head


def is_plain(body: tree.Expression) -> bool:
    """Whether the terms of a reduction are values that are there."""
    return isinstance(body, tree.Symbol) and not body.settings


def reduction_turns(
    numbers: ReferenceNumbers, reduction: tree.Reduction, binding: Mapping[str, int], tag: Tag
) -> range:
    """The values of a reduction's index; a constant in its bounds is taken at the level of the terms."""
    symbols = [m for m in mentions(reduction.body) if isinstance(m, tree.Symbol) and len(m.tag) > 1]
    own = [symbol.tag for symbol in symbols if any(index.name == reduction.name for index in symbol.tag)]
    level = own[0] if own else tag
    return numbers.steps(reduction, binding, level)
