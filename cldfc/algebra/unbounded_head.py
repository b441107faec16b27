"""A remark on output heads that no normalisation bounds: at usual learning rates they diverge within a few steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cldfc.diagnostics import Diagnostic, Label
from cldfc.network.expand import Expansion, Operation
from cldfc.network.positions import format_key
from cldfc.ops import BUILTINS, Add, Kernel, Linear, Normalisation
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol


@dataclass(frozen=True, slots=True)
class Growth:
    """What has happened to a value since it was last normalised."""

    kernel: bool = False
    """A kernel was applied."""

    total: int | None = None
    """The last operation that added the result of a kernel to something, if one did."""


@dataclass(frozen=True, slots=True)
class UnboundedHead:
    """A `linear`, and the sum that it is applied to with no normalisation in between."""

    expansion: Expansion
    linear: Operation
    total: Operation

    @property
    def value(self) -> str:
        """The value that can grow, such as `r@4,1`."""
        return format_key(self.expansion.instances[self.total.instance].value)

    @property
    def mended(self) -> str:
        """The equation of the output with the value normalised first."""
        equation = self.expansion.instances[self.linear.instance].template.statement
        operator = normaliser(self.expansion.program.spec)
        return f"{format_symbol(equation.left)} = {normalised(equation.right, operator)}"


def remark_unbounded_head(expansion: Expansion) -> Iterator[Diagnostic]:
    """The remark R0901 on each unbounded head."""
    for head in unbounded_heads(expansion):
        yield Diagnostic(
            "R0901",
            f"no normalisation bounds what `linear` is applied to: `{head.value}` can grow without limit",
            (
                Label(head.linear.span, "trained at the paper's learning rate, this may diverge within a few steps"),
                Label(head.total.span, "each step adds to it"),
            ),
            f"write `{head.mended}`",
        )


def unbounded_heads(expansion: Expansion) -> Iterator[UnboundedHead]:
    """Every `linear` on a sum such as `r + A * …` with no normalisation in between.

    Plain chains of kernels, as in LeNet-5 and VGG, add nothing up and are left alone.
    Source: the paper's [14] has a normalisation there; docs/reproduction.md says what happens without it.
    """
    growth: list[Growth] = []
    for at, operation in enumerate(expansion.operations):
        before = [growth[operand] for operand in operation.operands]
        growth.append(Growth() if operation.operator.bounded else grown(operation, before, at))
        if isinstance(operation.operator, Linear) and before[0].total is not None:
            yield UnboundedHead(expansion, operation, expansion.operations[before[0].total])


def grown(operation: Operation, before: list[Growth], at: int) -> Growth:
    """What has happened to the result of an operation, given the same of its operands."""
    kernel = any(part.kernel for part in before) or isinstance(operation.operator, Kernel)
    last = max((part.total for part in before if part.total is not None), default=None)
    return Growth(kernel, at if kernel and isinstance(operation.operator, Add) else last)


def normalised(right: tree.Expression, operator: str) -> str:
    """The right side of the output's equation, with the value normalised first."""
    match right:
        case tree.Apply(function, argument):
            return f"{function.span.text} ∘ {operator}({argument.span.text})"
        case tree.Compose(outer, inner):
            return f"{outer.span.text} ∘ {normalised(inner, operator)}"
        case _:
            return f"{operator}({right.span.text})"


def normaliser(spec: tree.Spec) -> str:
    """An operator of the spec that normalises and then applies an activation, or `relu ∘ bn`."""
    for let in spec.statements:
        match let:
            case tree.Let(tree.Symbol(name, tag=()), (tree.Compose(tree.Symbol(), tree.Symbol(inner)), *_)):
                if inner in BUILTINS and issubclass(BUILTINS[inner], Normalisation):
                    return name
            case _:
                pass
    return "relu ∘ bn"
