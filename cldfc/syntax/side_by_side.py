"""What stands side by side: a number or scalar before something multiplies it, an operator is applied to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from cldfc.syntax import tree
from cldfc.syntax.tag import read_subscripts
from cldfc.syntax.walk import changed_parts, children, mentions, own_indices

_Name = TypeVar("_Name", bound=Hashable)
_LikenessOf = Callable[[tree.Statement], tree.Likeness | None]


def read_in_context(
    own: Sequence[tree.Statement],
    inherited: Sequence[tree.Statement] = (),
    likeness_of: _LikenessOf = lambda _: None,
) -> tuple[tree.Statement, ...]:
    """Statements with their subscripts read, and with products of scalars as such, for what all of them declare."""
    statements = read_subscripts(own, inherited)
    known = Multiples.of([*inherited, *statements], likeness_of)
    found: list[tree.Statement] = []
    # Statements, by their identity, that are as they were read, and introduce no index.
    same, names = set[int](), known.known_names()
    for statement in statements:
        if not _is_like_another(likeness_of(statement), same, names):
            read = known.statement(statement)
            if read is statement and not own_indices(statement):
                same.add(id(statement))
            statement = read
        found.append(statement)
    return tuple(found)


def _is_like_another(likeness: tree.Likeness | None, others: set[int], names: set[str]) -> bool:
    """Whether a statement is like one of these, and none of the names in which they differ is one of those."""
    if likeness is None or id(likeness.first) not in others:
        return False
    return names.isdisjoint(likeness.names) and names.isdisjoint(likeness.names_of_first)


@dataclass(frozen=True)
class Multiples:
    """The names of indices and scalars, of the constants and operators that are made of such, and inner products.

    `families` are the values, by name and number of indices, that are a number for each image, or numbers that an
    input gives; `functions` are the operators whose operands have names, `numbers` those operands that are numbers.
    """

    names: set[str]
    families: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    functions: Mapping[str, tree.Let] = field(default_factory=dict[str, tree.Let])
    numbers: frozenset[str] = frozenset()

    @staticmethod
    def of(statements: Sequence[tree.Statement], likeness_of: _LikenessOf = lambda _: None) -> Multiples:
        """Those that statements declare; a `let` may need one that stands below it."""
        lets = [s for s in statements if isinstance(s, tree.Let)]
        functions = {let.symbol.name: let for let in lets if let.arguments}
        found = Multiples({s.name for s in statements if isinstance(s, tree.Range)}, functions=functions)
        found.names.update(s.symbol.name for s in statements if isinstance(s, tree.Scalar))
        constants = {let.symbol.name: let.values[0] for let in lets if not let.arguments}
        found.grow(found.names, constants.items(), found.is_multiple, lambda symbol: symbol.name)
        inputs = [s for s in statements if isinstance(s, tree.InputStatement) and len(s.shape) == 1]
        found.families.update((s.name, len(s.symbol.tag)) for s in inputs)
        equations = [s for s in statements if isinstance(s, tree.Equation)]
        present, known = set(map(id, equations)), found.known_names()
        likely = (e for e in equations if not _is_like_another(likeness_of(e), present, known))
        if any(found.is_image_number(equation.right) for equation in likely):
            families = [((e.left.name, len(e.left.tag)), e.right) for e in equations]
            found.grow(found.families, families, found.is_image_number, lambda symbol: (symbol.name, len(symbol.tag)))
        return found

    def known_names(self) -> set[str]:
        return {*self.names, *self.functions, *(name for name, _ in self.families)}

    def grow(
        self,
        known: set[_Name],
        definitions: Iterable[tuple[_Name, tree.Expression]],
        holds: Callable[[tree.Expression], bool],
        name_of: Callable[[tree.Symbol], _Name],
    ) -> None:
        """Add to `known` each name whose definition holds, which may need other names that are known by then.

        A definition is asked again only when one of the names in it has become known.
        """
        before = len(known)
        left: list[tuple[_Name, tree.Expression]] = []
        for name, expression in definitions:
            if holds(expression):
                known.add(name)
            else:
                left.append((name, expression))
        if len(known) == before:
            return
        readers: dict[_Name, list[tuple[_Name, tree.Expression]]] = defaultdict(list)
        for definition in left:
            for needed in {name_of(symbol) for symbol in self.symbols_in(definition[1])}:
                readers[needed].append(definition)
        while left:
            name, expression = left.pop()
            if name not in known and holds(expression):
                known.add(name)
                left += readers.pop(name, ())

    def symbols_in(self, expression: tree.Expression) -> list[tree.Symbol]:
        """The symbols of an expression, and of the operators that it applies."""
        found: list[tree.Symbol] = []
        waiting, seen = [expression], set[str]()
        while waiting:
            symbols = [mention for mention in mentions(waiting.pop()) if isinstance(mention, tree.Symbol)]
            found += symbols
            new = {symbol.name for symbol in symbols if symbol.name in self.functions} - seen
            seen |= new
            waiting += [self.functions[name].values[0] for name in new]
        return found

    def statement(self, statement: tree.Statement) -> tree.Statement:
        own = own_indices(statement) - self.names
        return cast(tree.Statement, (replace(self, names=self.names | own) if own else self).read(statement))

    def read(self, node: object) -> object:
        if isinstance(node, tree.Index | tree.Number) or (isinstance(node, tree.Symbol) and not node.settings):
            return node
        changed = changed_parts(node, self.read)
        whole = replace(cast(Any, node), **changed) if changed else node
        match whole:
            case tree.Compose(outer, inner, span) | tree.Apply(outer, inner, span) if self.is_multiple(outer):
                return tree.Star(outer, 1, inner, span)
            case _:
                return whole

    def is_multiple(self, expression: tree.Expression) -> bool:
        """Whether an expression is made of numbers, indices and scalars alone."""
        match expression:
            case tree.Number():
                return True
            case tree.Symbol(name, tag):
                return name in self.names or (name, len(tag)) in self.families
            case tree.Argument(name):
                return name in self.numbers
            case tree.Pairing() | tree.Norm():
                return True
            case tree.Sum(parts) | tree.Product(parts):
                return all(map(self.is_multiple, parts))
            case tree.Listing(reducer, parts):
                return reducer != "concat" and all(map(self.is_multiple, parts))
            case tree.Reduction("softmax", _, _, _, body):
                return self.is_multiple(body)
            case tree.Apply(tree.Symbol(name), argument) if name in self.functions:
                return self.gives_multiple(name, (argument,))
            case tree.ApplyToSeveral(tree.Symbol(name), arguments) if name in self.functions:
                return self.gives_multiple(name, arguments)
            case tree.Quotient(one, other) | tree.Power(one, other):
                return self.is_multiple(one) and self.is_multiple(other)
            case tree.Star(left, _, right):
                return right is not None and self.is_multiple(left) and self.is_multiple(right)
            case tree.Apply(_, inner) | tree.Compose(_, inner):
                return self.is_multiple(inner)
            case _:
                return False

    def gives_multiple(self, name: str, operands: Sequence[tree.Expression]) -> bool:
        """What an operator gives; one that is defined by itself gives none."""
        let, functions = self.functions[name], {other: let for other, let in self.functions.items() if other != name}
        pairs = zip(let.arguments, operands, strict=False)
        numbers = frozenset(argument.name for argument, operand in pairs if self.is_multiple(operand))
        return replace(self, functions=functions, numbers=numbers).is_multiple(let.values[0])

    def is_image_number(self, expression: tree.Expression) -> bool:
        """Whether an expression is a number for each image: a multiple with an inner product in it."""
        return self.is_multiple(expression) and self.speaks_of_images(expression)

    def speaks_of_images(self, expression: tree.Expression) -> bool:
        stack: list[object] = [expression]
        seen: set[str] = set()
        while stack:
            match node := stack.pop():
                case tree.Pairing() | tree.Norm():
                    return True
                case tree.Symbol(name, tag) if (name, len(tag)) in self.families:
                    return True
                case tree.Symbol(name) if name in self.functions and name not in seen:
                    seen.add(name)
                    stack.append(self.functions[name].values[0])
                case _:
                    stack += children(node)
        return False
