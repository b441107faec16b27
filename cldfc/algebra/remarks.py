"""What is worth a remark in a spec that is not wrong: rows left out by pooling, a head that nothing bounds, …"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cldfc.diagnostics import Diagnostic, Label, Span, shape_text
from cldfc.network.expand import Operation
from cldfc.network.positions import format_key
from cldfc.network.shapes import Inferred
from cldfc.ops import BUILTINS, Add, Kernel, Linear, Normalisation, Pool, Softmax, Total
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.walk import mentions


def remark_left_out(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0902 on each pooling that leaves something out, at the first value where it does."""
    said: set[Span] = set()
    for operation in inferred.expansion.operations:
        operator = operation.operator
        if not isinstance(operator, Pool) or operation.span in said:
            continue
        sides = inferred.shapes[operation.operands[0]][1:]
        left = [operator.left_out(size) for size in sides]
        if any(left):
            said.add(operation.span)
            value = format_key(inferred.expansion.instances[operation.instance].value)
            yield Diagnostic(
                "R0902",
                f"`{operation.span.text}` leaves {_rows_and_columns(left, sides)} out, in `{value}`",
                (Label(operation.span, f"applied to a map of {shape_text(sides)} here"),),
                _help_for_pooling(operator, sides),
            )


def remark_softmax(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0903 on scores that are a softmax already."""
    expansion = inferred.expansion
    for output in expansion.program.outputs:
        operation = expansion.operations[expansion.values[output.key]]
        if not (output.is_scores and isinstance(operation.operator, Softmax)):
            continue
        yield Diagnostic(
            "R0903",
            f"the output `{output.name}` is a softmax, and the loss applies one of its own",
            (Label(operation.span, "applied here"),),
            "leave it out: training and `cldfc predict` apply a softmax to the scores themselves",
        )


def remark_passed_over(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0904 on each general equation that a special one overrides for some value."""
    said: set[int] = set()
    for key, (special, general) in inferred.expansion.passed_over.items():
        if id(special) in said:
            continue
        said.add(id(special))
        left, other = format_symbol(special.left), format_symbol(general.left)
        yield Diagnostic(
            "R0904",
            f"`{format_key(key)}` has two equations; that for `{left}` defines it, because it has more numbers",
            (Label(special.left.span, "the one that holds"), Label(general.left.span, "the general one")),
            f"if that is not meant, change the indices of one; `for` after that for `{other}` says the same outright",
        )


def remark_unused(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0905 on inputs and equations of the spec itself that no output needs."""
    expansion = inferred.expansion
    program = expansion.program
    read = {operand for operation in expansion.operations for operand in operation.operands}
    read |= {expansion.values[key] for key in program.output_keys}
    for family in program.inputs:
        unread = [key for key in family.keys if expansion.values[key] not in read]
        whole = format_symbol(family.statement.symbol)
        names = f"`{whole}`" if len(unread) == family.count else ", ".join(f"`{format_key(key)}`" for key in unread)
        if unread:
            help = "use it in an equation, or leave it out: `forward` has an argument for it"
            yield _unused(f"the input {names}", family.statement.symbol.span, help)
    needed = {(instance.template.family, len(instance.value[1])) for instance in expansion.instances}
    for template in program.templates:
        family, left = (template.family, len(template.left)), template.statement.left
        if family in needed or template.is_inner or left.span.source is not program.spec.source:
            continue
        needed.add(family)
        yield _unused(f"`{format_symbol(left)}`", left.span, "use it, or leave its equation out; it is not computed")


def _unused(what: str, span: Span, help: str) -> Diagnostic:
    return Diagnostic("R0905", f"no output needs {what}", (Label(span, "not needed"),), help)


def _rows_and_columns(left: list[int], sides: tuple[int, ...]) -> str:
    """`1 of 7 rows and 1 of 7 columns`."""
    words = {1: ("number",), 2: ("row", "column"), 3: ("plane", "row", "column")}[len(sides)]
    each = zip(left, sides, words, strict=True)
    return " and ".join(f"{count} of {size} {word}{'s' * (size != 1)}" for count, size, word in each if count)


def _help_for_pooling(operator: Pool, sides: tuple[int, ...]) -> str:
    """What would leave nothing out: windows side by side, or a padding."""
    size, stride, padding = operator.window() or (1, 1, 0)
    if stride > size:
        return f"write a stride of at most {size}, the size of the window"
    for wider in range(padding + 1, size // 2 + 1):
        if not any(replace(operator, padding=wider).left_out(side) for side in sides):
            return f"write `padding={wider}`, or a window that fits into the map"
    return "write a window and a stride that fit into the map"


@dataclass(frozen=True, slots=True)
class _UnboundedHead:
    """A `linear`, and the sum that it is applied to with no normalisation in between."""

    inferred: Inferred
    linear: Operation
    total: Operation

    @property
    def is_in_one_equation(self) -> bool:
        """Whether the sum and `linear` stand in one equation: the sum has no name."""
        return self.total.instance == self.linear.instance

    @property
    def value(self) -> str:
        if self.is_in_one_equation:
            return "a sum"
        return f"`{format_key(self.inferred.expansion.instances[self.total.instance].value)}`"

    @property
    def help(self) -> str:
        """What to write instead: the equation of the output, if it is a chain from `linear` to a map."""
        spec = self.inferred.expansion.program.spec
        operator = _normaliser(spec)
        equation = self.inferred.expansion.instances[self.linear.instance].template.statement
        adding = _parts_that_add(spec, self.total.span) if self.is_in_one_equation else None
        right = _mend(equation.right, operator, self.linear.span.end, adding) if self.ends_in_a_map else None
        if right is None:
            return f"apply `{operator}` to {'the sum' if adding else self.value} before `linear`"
        return f"write `{format_symbol(equation.left)} = {right}`"

    @property
    def ends_in_a_map(self) -> bool:
        operations, shapes = self.inferred.expansion.operations, self.inferred.shapes
        at = self.linear.operands[0]
        while operations[at].instance == self.linear.instance and operations[at] is not self.total:
            # Scalars are beside the way.
            at = max(operations[at].operands, key=lambda operand: len(shapes[operand]))
        return len(shapes[at]) > 1


def remark_unbounded_head(inferred: Inferred) -> Iterator[Diagnostic]:
    """The remark R0901 on each unbounded head."""
    for head in unbounded_heads(inferred):
        yield Diagnostic(
            "R0901",
            f"no normalisation bounds the input of `linear`: {head.value} can grow without limit",
            (
                Label(head.linear.span, "trained at the paper's learning rate, this may diverge within a few steps"),
                Label(head.total.span, "each step adds to it"),
            ),
            head.help,
        )


def unbounded_heads(inferred: Inferred) -> Iterator[_UnboundedHead]:
    """Every `linear` on a sum such as `r + A * …` with no normalisation in between.

    Plain chains of kernels, as in LeNet-5 and VGG, add nothing up and are left alone.
    Source: the paper's [14] has a normalisation there; docs/reproduction.md says what happens without it.
    """
    follows_kernel: list[bool] = []
    """Whether a kernel was applied since the value was last normalised."""
    totals: list[int] = []
    """The last operation since then that added the result of a kernel to something; -1 where none did."""
    operations = inferred.expansion.operations
    for at, operation in enumerate(operations):
        operator, operands = operation.operator, operation.operands
        is_head = isinstance(operator, Linear)
        kernel, total = False, -1
        if not (operator.bounded or is_head):
            kernel = isinstance(operator, Kernel) or any(follows_kernel[operand] for operand in operands)
            is_sum = kernel and isinstance(operator, Add | Total)
            total = at if is_sum else max([totals[operand] for operand in operands], default=-1)
        follows_kernel.append(kernel)
        totals.append(total)
        if is_head and totals[operands[0]] >= 0:
            yield _UnboundedHead(inferred, operation, operations[totals[operands[0]]])


_Adding = Callable[[tree.Expression], bool]


def _parts_that_add(spec: tree.Tree, total: Span) -> _Adding:
    """Whether a sum stands in an expression, or in an operator that it names."""
    lets: dict[str, list[tree.Expression]] = {}
    for let in spec.statements:
        if isinstance(let, tree.Let):
            lets.setdefault(let.symbol.name, []).extend(let.values)

    def adds(expression: tree.Expression) -> bool:
        left, seen = [expression], set[str]()
        while left:
            part = left.pop()
            if part.span.source is total.source and part.span.start <= total.start and total.end <= part.span.end:
                return True
            for name in lets.keys() & {mention.name for mention in mentions(part)} - seen:
                seen.add(name)
                left += lets[name]
        return False

    return adds


def _mend(right: tree.Expression, operator: str, after: int, adding: _Adding | None) -> str | None:
    """The right side of an equation in which a normalisation stands before what can grow.

    That is the first operator of the chain that adds, or else what the chain is applied to. None where it is no chain,
    or the chain does not pass the place `after` which `linear` ends.
    """
    text, is_after = right.span.text, right.span.start >= after
    match right:
        case tree.Compose(first, inner) | tree.Star(first, _, inner) | tree.Apply(first, inner) if inner is not None:
            if is_after and adding is not None and adding(first):
                return f"{operator} ∘ {text}"
            if isinstance(right, tree.Apply):
                is_last = inner.span.start >= after
                return f"{first.span.text} ∘ {operator}({inner.span.text})" if is_last else None
            rest = _mend(inner, operator, after, adding)
            start, end = inner.span.start - right.span.start, inner.span.end - right.span.start
            return rest and text[:start] + rest + text[end:]
        case tree.Symbol() if is_after:
            return f"{operator}({text})"
        case _:
            return None


def _normaliser(spec: tree.Tree) -> str:
    """An operator of the spec that normalises and then applies an activation, or `relu ∘ bn`."""
    for let in spec.statements:
        match let:
            case tree.Let(tree.Symbol(name, tag=()), (tree.Compose(tree.Symbol(), tree.Symbol(inner)), *_)):
                if inner in BUILTINS and issubclass(BUILTINS[inner], Normalisation):
                    return name
            case _:
                pass
    return "relu ∘ bn"
