"""The statements of a spec by what they declare."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from cldfc.syntax import tree

Key = tuple[str, tuple[int, ...]]
"""A value or a parameter: its name and the values of its tag."""


@dataclass
class Declarations:
    """The statements of a spec by name; equations by name and number of indices, in the order of the text."""

    input: str = ""
    output: str = ""
    classes: tree.Expression | None = None
    lets: dict[str, tree.Let] = field(default_factory=dict[str, tree.Let])
    ranges: dict[str, tree.Range] = field(default_factory=dict[str, tree.Range])
    kernels: dict[str, tree.KernelStatement] = field(default_factory=dict[str, tree.KernelStatement])
    scalars: dict[str, tree.Scalar] = field(default_factory=dict[str, tree.Scalar])
    ties: dict[str, tree.Tie] = field(default_factory=dict[str, tree.Tie])
    renames: list[tree.Rename] = field(default_factory=list[tree.Rename])
    equations: dict[tuple[str, int], list[tree.Equation]] = field(
        default_factory=lambda: defaultdict[tuple[str, int], list[tree.Equation]](list)
    )

    def names(self) -> set[str]:
        return {self.input, *self.lets, *self.ranges, *self.kernels, *self.scalars}

    def is_value(self, symbol: tree.Symbol) -> bool:
        return (symbol.name == self.input and not symbol.tag) or (symbol.name, len(symbol.tag)) in self.equations


def sort_statements(spec: tree.Tree) -> Declarations:
    found = Declarations()
    for statement in spec.statements:
        match statement:
            case tree.Let():
                found.lets[statement.symbol.name] = statement
            case tree.Range():
                found.ranges[statement.name] = statement
            case tree.KernelStatement():
                found.kernels[statement.symbol.name] = statement
            case tree.Scalar():
                found.scalars[statement.symbol.name] = statement
            case tree.Tie():
                found.ties[statement.symbol.name] = statement
            case tree.Rename():
                found.renames.append(statement)
            case tree.InputStatement():
                found.input = statement.name
            case tree.Output():
                found.output, found.classes = statement.name, statement.classes
            case tree.Equation():
                found.equations[statement.left.name, len(statement.left.tag)].append(statement)
            case _:
                pass
    return found
