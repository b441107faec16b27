"""What each family of parameters depends on, after `tie`: what is shared, and what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cldfc.syntax import tree
from cldfc.syntax.format import Formatter

if TYPE_CHECKING:
    from cldfc.network.graph import Graph


@dataclass(frozen=True, slots=True)
class Sharing:
    """A family of parameters, how many there are, and the indices that one depends on.

    `tied` are the indices that are left where `where` holds, the text of a clause; None without such a tie.
    Normalisations and `linear` are one family for each kind, with None for `indices`.
    """

    kind: str
    count: int
    indices: tuple[str, ...] | None = None
    tied: tuple[str, ...] | None = None
    where: str = ""

    def __str__(self) -> str:
        if self.indices is None:
            return f"{self.count:,}"
        many = f"{self.count:,} {self.kind}{'s' * (self.count != 1)}"
        if self.tied is None:
            return f"one {per(self.indices)}, {many}"
        return f"one {per(self.tied)} where {self.where}, else {per(self.indices)}, {many}"


def per(indices: tuple[str, ...]) -> str:
    """`per (ℓ, i)`, `per ℓ`, `per network`."""
    return f"per ({', '.join(indices)})" if len(indices) > 1 else f"per {indices[0] if indices else 'network'}"


def sharing_of(graph: Graph) -> dict[str, Sharing]:
    """How each kernel and scalar that is used is shared, by its name; normalisations and `linear` by their kind."""
    counts = Counter(name for name, _ in graph.parameters)
    clauses = {s.symbol.name: s.clauses for s in graph.program.spec.statements if isinstance(s, tree.Tie)}
    found: dict[str, Sharing] = {}
    for name, declaration in graph.program.parameters.items():
        if not counts[name]:
            continue
        kind = "scalar" if isinstance(declaration.statement, tree.Scalar) else "kernel"
        tie, indices = graph.program.ties.get(name), declaration.indices
        kept = indices if tie is None else tuple(indices[place] for place in tie.kept)
        if tie is None or not tie.clauses:
            found[name] = Sharing(kind, counts[name], kept)
        else:
            found[name] = Sharing(kind, counts[name], indices, kept, ", ".join(map(Formatter().clause, clauses[name])))
    owned = Counter(stored.operator.owns for stored in graph.parameters.values() if stored.operator.owns is not None)
    return found | {kind: Sharing(kind, count) for kind, count in owned.items()}


def compare_sharing(before: Graph, after: Graph) -> dict[str, tuple[Sharing | None, Sharing | None]]:
    """The families that two networks share differently, each as both have it; None where one has none."""
    old, new = sharing_of(before), sharing_of(after)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
