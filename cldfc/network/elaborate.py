"""Expressions → steps: operators are expanded where they are used, kernels become convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cldfc.diagnostics import Problems, Span
from cldfc.network.limits import MOST_IN_A_CHAIN, MOST_STEPS
from cldfc.network.names import Names
from cldfc.network.program import Position, Positions, Read, Step, Use
from cldfc.network.tags import Tags
from cldfc.ops import BUILTINS, Add, Convolution, Operator, Zero
from cldfc.syntax import tree

Operand = int | Read
Substitution = Mapping[str, Position]
"""What the index names of an expression stand for, over those of the equation."""


@dataclass
class OwnedNames:
    """Names for the parameters that each place of a `bn` or `linear` has for itself.

    `bn_B` normalises what B gives. The equations of one family share names: their values, and so
    the tags of these parameters, differ.
    """

    taken: dict[str, object]

    def choose(self, wanted: str, family: object, here: dict[str, int]) -> str:
        """The wanted name, or it with the first number that is free; `here` are the last numbers so far."""
        while True:
            here[wanted] = here.get(wanted, 0) + 1
            name = f"{wanted}_{here[wanted]}" if here[wanted] > 1 else wanted
            if self.taken.setdefault(name, family) == family:
                return name


@dataclass
class Elaboration:
    """The steps of one equation, as they are found; None stands for what is wrong and reported.

    The body of an operator is elaborated by itself to be checked; others in it are not expanded then.
    """

    names: Names
    tags: Tags
    owned: OwnedNames
    family: tuple[str, int]
    left: Positions
    problems: Problems
    is_operator: bool = False
    is_too_large: bool = False
    steps: list[Step] = field(default_factory=list[Step])
    heads: list[str] = field(default_factory=list[str])
    depths: list[int] = field(default_factory=list[int])
    owned_here: dict[str, int] = field(default_factory=dict[str, int])

    def value(self, expression: tree.Expression, scope: Substitution) -> Operand | None:
        """The operand that an expression gives as a value."""
        match expression:
            case tree.Symbol():
                return self.read(expression, scope)
            case tree.Number(0):
                return self.step(Zero(), (), None, expression.span)
            case tree.Number() | tree.Star(_, _, None):
                return self.names.report_kind(expression, "a value")
            case tree.Star(left, stride, right):
                use = self.kernel(left, scope)
                return self.convolve(use, stride, right and self.value(right, scope), expression.span)
            case tree.Compose(function, argument) | tree.Apply(function, argument):
                return self.apply(function, self.value(argument, scope), scope)
            case tree.Sum(terms):
                operands = [self.value(term, scope) for term in terms]
                return self.add(expression, operands)

    def apply(self, function: tree.Expression, operand: Operand | None, scope: Substitution) -> Operand | None:
        """What an operator gives for an operand; checked even where the operand is wrong."""
        match function:
            case tree.Symbol():
                return self.apply_symbol(function, operand, scope)
            case tree.Number():
                return self.names.report_kind(function, "an operator")
            case tree.Star(left, stride, right):
                inner = operand if right is None else self.apply(right, operand, scope)
                return self.convolve(self.kernel(left, scope), stride, inner, function.span)
            case tree.Compose(outer, inner) | tree.Apply(outer, inner):
                return self.apply(outer, self.apply(inner, operand, scope), scope)
            case tree.Sum(terms):
                return self.add(function, [self.apply(term, operand, scope) for term in terms])

    # Symbols

    def read(self, symbol: tree.Symbol, scope: Substitution) -> Operand | None:
        """A symbol that stands for a value."""
        if self.names.is_value(symbol):
            positions = self.positions(symbol, scope)
            return None if positions is None else Read(symbol.name, positions, symbol.span)
        return self.names.report_kind(symbol, "a value")

    def apply_symbol(self, symbol: tree.Symbol, operand: Operand | None, scope: Substitution) -> Operand | None:
        """A symbol that stands for an operator."""
        declaration = self.names.declared.get(symbol.name)
        if self.names.kind(symbol) != "an operator":
            return self.names.report_kind(symbol, "an operator")
        if isinstance(declaration, tree.Let):
            return self.expand(symbol, declaration, operand, scope)
        return self.builtin(symbol, operand, scope)

    def expand(
        self, symbol: tree.Symbol, let: tree.Let, operand: Operand | None, scope: Substitution
    ) -> Operand | None:
        """The body of a `let` operator, with the tag of this use put in."""
        if self.problems.explain(symbol.name):
            return None
        if len(let.symbol.tag) != len(symbol.tag):
            return self.names.report_arity(symbol)
        head, positions = self.tags.head(let.symbol), self.positions(symbol, scope)
        if head is None or positions is None or operand is None or self.is_operator:
            return None
        if len(self.steps) >= MOST_STEPS:
            return self.report_size(symbol.span)
        return self.apply(let.values[0], operand, dict(zip(head, positions, strict=True)))

    def builtin(self, symbol: tree.Symbol, operand: Operand | None, scope: Substitution) -> Operand | None:
        """A built-in operator; one with parameters has its own here, unless a tag shares them."""
        operator = BUILTINS[symbol.name]
        positions = self.positions(symbol, scope)
        if positions is None or operand is None:
            return None
        if operator.owns is None:
            if positions:
                return self.problems.report(
                    "E0202",
                    f"`{symbol.name}` has no parameters, so it takes no tag",
                    symbol.span,
                    "a tag here",
                    f"write `{symbol.name}`",
                )
            return self.step(operator(), (operand,), None, symbol.span)
        if positions:
            use = Use(symbol.name, positions, symbol.span)
        else:
            wanted = operator.owns if operator.owns == "linear" else f"{operator.owns}_{self.head(operand)}"
            use = Use(self.owned.choose(wanted, self.family, self.owned_here), self.left, symbol.span)
        return self.step(operator(), (operand,), use, symbol.span)

    def head(self, operand: Operand) -> str:
        """The kernel or value that an operand comes from."""
        return self.heads[operand] if isinstance(operand, int) else operand.family

    def kernel(self, expression: tree.Expression, scope: Substitution) -> Use | None:
        """The kernel on the left of a `*`."""
        declaration = self.names.declared.get(expression.name) if isinstance(expression, tree.Symbol) else None
        if not isinstance(expression, tree.Symbol) or not isinstance(declaration, tree.Kernel):
            return self.names.report_kind(expression, "a kernel")
        if len(declaration.symbol.tag) != len(expression.tag):
            return self.names.report_arity(expression)
        positions = self.positions(expression, scope)
        return None if positions is None else Use(expression.name, positions, expression.span)

    def positions(self, symbol: tree.Symbol, scope: Substitution) -> Positions | None:
        """A tag over the index names of the equation."""
        found = self.tags.positions(symbol, scope.keys())
        return found and tuple(position.substitute(scope) for position in found)

    # Steps

    def convolve(self, use: Use | None, stride: int, operand: Operand | None, span: Span) -> Operand | None:
        """A convolution."""
        if use is None or operand is None:
            return None
        return self.step(Convolution(stride), (operand,), use, span)

    def add(self, expression: tree.Sum, operands: list[Operand | None]) -> Operand | None:
        """A sum of values."""
        known = tuple(operand for operand in operands if operand is not None)
        if len(known) < len(operands):
            return None
        terms = tuple(term.span for term in expression.terms)
        return self.step(Add(expression.signs), known, None, expression.span, terms)

    def step(
        self,
        operator: Operator,
        operands: tuple[Operand, ...],
        use: Use | None,
        span: Span,
        terms: tuple[Span, ...] = (),
    ) -> Operand | None:
        """Append a step; operators that expand without bound are stopped."""
        depth = 1 + max((self.depths[at] for at in operands if isinstance(at, int)), default=0)
        if len(self.steps) >= MOST_STEPS or depth > MOST_IN_A_CHAIN:
            return self.report_size(span)
        before = self.head(operands[0]) if operands else "0"
        self.heads.append(use.name if use is not None and isinstance(operator, Convolution) else before)
        self.depths.append(depth)
        self.steps.append(Step(operator, operands, use, span, terms))
        return len(self.steps) - 1

    def report_size(self, span: Span) -> None:
        """An equation that is too large once its operators are expanded."""
        what = f"an equation for `{self.family[0]}`" if self.family[0] else "this operator"
        if not self.is_too_large:
            self.problems.report(
                "E0210",
                f"{what} expands to more than {MOST_STEPS:,} operations, or {MOST_IN_A_CHAIN} in a chain",
                span,
                "too many from here on",
                "use fewer nested operators, or give partial results equations of their own",
            )
        self.is_too_large = True
