"""What declarations need one another: circles and endless chains are found before anything is worked out."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from cldfc.diagnostics import Label, Problems
from cldfc.network.limits import MOST_NESTING, MOST_STEPS
from cldfc.network.names import Names
from cldfc.syntax import tree
from cldfc.syntax.walk import mentions, nesting

Mention = tree.Symbol | tree.Index
Ordered = tree.Let | tree.Range | tree.Scalar


@dataclass
class Order:
    """A walk along what each declaration mentions, with a stack of its own, for chains may be long."""

    names: Names
    problems: Problems
    depths: dict[str, int] = field(default_factory=dict[str, int])
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    open: dict[str, Mention | None] = field(default_factory=dict[str, "Mention | None"])

    def visit(self, first: str) -> None:
        stack: list[tuple[str, Mention | None, bool]] = [(first, None, False)]
        while stack:
            name, mention, is_done = stack.pop()
            if is_done:
                del self.open[name]
                self.close(name)
            elif name in self.open and mention is not None:
                self.report_circle(name, mention)
            elif name not in self.depths and isinstance(self.names.declared.get(name), Ordered):
                self.open[name] = mention
                stack.append((name, mention, True))
                stack += [(needed.name or "", needed, False) for needed in reversed(self.needs(name))]

    def needs(self, name: str) -> list[Mention]:
        declaration = self.names.declared[name]
        mentioned = mentions(declaration) if isinstance(declaration, Ordered) else []
        own = declaration.symbol if isinstance(declaration, tree.Let | tree.Scalar) else None
        return [found for found in mentioned if found is not own]

    def close(self, name: str) -> None:
        """Note how deep a declaration goes and how large it is when expanded; excess is stopped here."""
        declaration = self.names.declared[name]
        assert isinstance(declaration, Ordered)
        needed = [mention.name or "" for mention in self.needs(name)]
        self.depths[name] = nesting(declaration) + max((self.depths.get(other, 0) for other in needed), default=0)
        self.sizes[name] = sum(self.sizes.get(other, 1) for other in needed)
        if not self.problems.broken.isdisjoint([name, *needed]):
            self.problems.broken.add(name)
        elif self.depths[name] > MOST_NESTING:
            self.refuse(declaration, "E0105", f"nests more than {MOST_NESTING} levels deep")
        elif self.sizes[name] > MOST_STEPS:
            self.refuse(declaration, "E0210", f"expands to more than {MOST_STEPS:,} operations")

    def refuse(self, declaration: Ordered, code: str, message: str) -> None:
        is_range = isinstance(declaration, tree.Range)
        name = declaration.name if is_range else declaration.symbol.name
        span = declaration.name_span if is_range else declaration.symbol.span
        help = "nest fewer operators, and use equations for partial results"
        self.problems.report(code, f"`{name}` {message}, with the declarations that it needs", span, "too large", help)
        self.problems.broken.add(name)

    def report_circle(self, name: str, mention: Mention) -> None:
        circle = list(self.open)[list(self.open).index(name) :]
        if not any(self.problems.explain(member) for member in circle):
            shown = [*circle[:4], *["…"] * (len(circle) > 4), name]
            links = [(self.open[at], before, at) for before, at in pairwise(circle[:4])]
            self.problems.report(
                "E0209",
                f"`{name}` is defined in terms of itself: {' ← '.join(shown)}",
                mention.span,
                f"`{circle[-1]}` needs `{name}`" if len(circle) > 1 else "depends on itself",
                "define one of them by numbers or built-in operators alone",
                *[Label(at.span, f"`{before}` needs `{after}`") for at, before, after in links if at is not None],
            )
        self.problems.broken.update(circle)


def check_order(names: Names, problems: Problems) -> None:
    order = Order(names, problems)
    for name in names.declared:
        order.visit(name)
