"""What is written on the parts of a picture: `A` with the raised tag `1,i`, `σ`, `+`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cldfc.emit.labels import configuration, word
from cldfc.network.positions import Binding, Positions
from cldfc.ops import Concat, Kernel, Multiply, Operator, Prolongation, Scale
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class BoxLabel:
    """A name, its tag, and a mark behind it, `↓2` for a stride of 2."""

    name: str
    tag: str = ""
    mark: str = ""

    @property
    def plain(self) -> str:
        """`A1`, or `terms@1` for a longer name, without the mark."""
        return f"{self.name}{'@' * (len(self.name) > 1 and bool(self.tag))}{self.tag}"


def tag_text(positions: Positions, bindings: Sequence[Binding]) -> str:
    """A tag as text: a number where all bindings give the same one, else as the spec has it, `1,i`."""
    texts: list[str] = []
    for position in positions:
        numbers = {position.value(binding) for binding in bindings}
        texts.append(str(numbers.pop()) if len(numbers) == 1 else str(position))
    return ",".join(texts)


def kernel_label(operator: Operator, name: str, tag: str) -> BoxLabel:
    if not isinstance(operator, Kernel):
        return BoxLabel(name, tag, "·")
    arrow = "↑" if isinstance(operator, Prolongation) else "↓"
    return BoxLabel(name, tag, f"{arrow}{operator.stride}" if operator.stride > 1 else "")


def merge_label(operator: Operator) -> BoxLabel:
    match operator:
        case Multiply():
            return BoxLabel("×")
        case Concat():
            return BoxLabel("∥")
        case _:
            return BoxLabel("+")


def operator_label(operators: Sequence[Operator], names: Mapping[tuple[str, ...], str]) -> BoxLabel:
    """A chain of operators in the order of use, with the names that the spec has for parts of it."""
    words = [operator_word(operator) for operator in operators]
    for chain, name in names.items():
        for at in range(len(words) - len(chain), -1, -1):
            if tuple(words[at : at + len(chain)]) == chain:
                words[at : at + len(chain)] = [name]
    return BoxLabel(" ".join(words))


def operator_word(operator: Operator) -> str:
    """`relu`, `maxpool[3, stride=2]`, `0.5·`."""
    return f"{operator.factor:g}·" if isinstance(operator, Scale) else word(operator) + configuration(operator)


def short_names(spec: tree.Tree) -> dict[tuple[str, ...], str]:
    """Chains of built-in operators that the spec has a name for, longest first: `(bn, relu)` is σ."""
    found: dict[tuple[str, ...], str] = {}
    for statement in spec.statements:
        if isinstance(statement, tree.Let) and not statement.symbol.tag and len(statement.values) == 1:
            chain = chain_of(statement.values[0])
            if len(chain) > 1:
                found.setdefault(chain, statement.symbol.name)
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def chain_of(expression: tree.Expression | None) -> tuple[str, ...]:
    """The built-in operators that an expression composes, in the order of use; nothing for any other expression."""
    match expression:
        case tree.Compose(outer, inner):
            before, after = chain_of(inner), chain_of(outer)
            return before + after if before and after else ()
        case tree.Symbol(name=name, tag=(), settings=()):
            return (name,)
        case _:
            return ()
