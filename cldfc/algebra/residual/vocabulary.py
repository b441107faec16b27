"""What the names of a spec mean, and what makes two symbols the same thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cldfc.algebra.linearity import biased_kernels, breaks, lets_of
from cldfc.diagnostics import Problems
from cldfc.network.collect import collect_names
from cldfc.network.constants import Constants
from cldfc.network.declarations import resolve_parameters, resolve_ties
from cldfc.network.expand import Instance
from cldfc.network.names import Family, Names
from cldfc.network.positions import Binding, Lookup, Position, Positions
from cldfc.network.program import TieRule
from cldfc.network.tags import Tags
from cldfc.ops import BUILTINS
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions, reductions


@dataclass(frozen=True)
class Vocabulary:
    """The names of a spec that has been checked; `bound` are all its index names.

    `bindings` are the choices of their indices at which the network needs equations, by `id`.
    """

    spec: tree.Tree
    names: Names
    tags: Tags
    ties: dict[str, TieRule]
    lets: dict[str, tree.Let]
    biased: set[str]
    bound: frozenset[str]
    bindings: Mapping[int, Sequence[Binding]]

    @cached_property
    def summed(self) -> frozenset[str]:
        found = (reduction.name for equation in self.equations() for reduction in reductions(equation.right))
        return frozenset(found) - {s.name for s in self.spec.statements if isinstance(s, tree.Range)}

    def equations(self) -> list[tree.Equation]:
        return [statement for statement in self.spec.statements if isinstance(statement, tree.Equation)]

    def positions(self, symbol: tree.Symbol) -> Positions:
        """What a symbol's tag stands for, the same however it is written."""
        found = self.tags.positions(symbol, self.bound)
        assert found is not None, symbol
        return found

    def indices(self, expression: tree.Expression) -> Iterator[Position]:
        for found in mentions(expression):
            if isinstance(found, tree.Symbol):
                yield from [Position(found.name, 0)] if found.name in self.bound else self.positions(found)

    def parameter(self, symbol: tree.Symbol) -> Positions:
        """What is left of a kernel's or scalar's tag after `tie`; a `tie … for …` may leave it as it is."""
        rule, found = self.ties.get(symbol.name), self.positions(symbol)
        return found if rule is None or rule.clauses else tuple(found[place] for place in rule.kept)

    def values(self, expression: tree.Expression) -> Iterator[tree.Symbol]:
        for found in mentions(expression):
            if isinstance(found, tree.Symbol) and found.name not in BUILTINS and self.names.is_value(found):
                yield found

    def reads(self, expression: tree.Expression, family: Family) -> list[tree.Symbol]:
        return [found for found in self.values(expression) if family_of(found) == family]

    def needs(self, family: Family) -> set[Family]:
        found: set[Family] = set()
        open = [family]
        while open:
            at = open.pop()
            if at not in found:
                found.add(at)
                same = (equation for equation in self.equations() if family_of(equation.left) == at)
                open += [family_of(read) for equation in same for read in self.values(equation.right)]
        return found

    def is_linear(self, function: tree.Expression) -> bool:
        return not self.what_breaks(function)

    def what_breaks(self, function: tree.Expression) -> tuple[str, ...]:
        return tuple(dict.fromkeys(breaks(function, self.lets, self.biased)))

    def is_own(self, expression: tree.Expression) -> bool:
        """Whether an expression differs from place to place: by parameters that each place owns, or by chance."""
        for found in mentions(expression):
            if not isinstance(found, tree.Symbol):
                continue
            if found.name == "dropout" or (found.name in BUILTINS and BUILTINS[found.name].owns and not found.tag):
                return True
            if found.name in self.lets and any(map(self.is_own, self.lets[found.name].values)):
                return True
        return False


def read_vocabulary(spec: tree.Tree, instances: Sequence[Instance]) -> Vocabulary:
    """The vocabulary of a spec, which has been checked and expanded."""
    problems = Problems()
    names = collect_names(spec, problems)
    tags = Tags(Constants(names, problems), problems)
    for name, declaration in names.declared.items():
        if isinstance(declaration, tree.Range):
            tags.constants.range(name, declaration.name_span)
    ties = resolve_ties(names.ties, resolve_parameters(tags), tags)
    bindings: dict[int, list[Binding]] = {}
    for instance in instances:
        if not instance.template.is_inner:
            bindings.setdefault(id(instance.template.statement), []).append(instance.binding)
    return Vocabulary(
        spec, names, tags, ties, lets_of(spec), biased_kernels(spec), frozenset(names_of_indices(names)), bindings
    )


def names_of_indices(names: Names) -> Iterator[str]:
    yield from (name for name, declaration in names.declared.items() if isinstance(declaration, tree.Range))
    for equations in names.families.values():
        for equation in equations:
            yield from (i.name for i in equation.left.tag if i.name and not names.is_constant(i.name))
            yield from (reduction.name for reduction in reductions(equation.right))


def family_of(symbol: tree.Symbol) -> Family:
    return symbol.name, len(symbol.tag)


def depends_on(position: Position, name: str) -> bool:
    base = position.base
    return depends_on(base.at, name) if isinstance(base, Lookup) else base == name
