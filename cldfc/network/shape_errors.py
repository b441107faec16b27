"""What can be wrong with shapes: of terms, of operators, of parameters and their uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.expand import Expansion, Operation
from cldfc.network.numbers import report_missing_value
from cldfc.network.positions import LARGEST_SIZE, LARGEST_VALUE, Key, OutOfRange, format_key
from cldfc.network.program import Attribute, OutputValue, Reads, Step
from cldfc.ops import Concat, Dim, Form, Iterated, Kernel, Sized, Spread, Unfit, is_spread
from cldfc.ops.size import OpenSize, Size
from cldfc.syntax import tree


@dataclass
class ShapeErrors:
    """Reports; `first` is the operation that uses each parameter first."""

    expansion: Expansion
    problems: Problems
    first: dict[Key, Operation] = field(default_factory=dict[Key, Operation])
    tied: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """The tied parameters, each with the size by which its uses differ, that were reported."""

    def mismatch(self, at: int, operands: list[Form], parameter: Sized | None) -> None:
        operation = self.expansion.operations[at]
        step = self.step(operation)
        if len(operation.operands) != 1 or (step.terms and step.factor is None and not step.channels):
            self.sum(operation, operands)
        elif not self.operand(operation, operands[0]) and parameter is not None:
            self.widths(operation, operands[0], parameter)

    def sum(self, operation: Operation, operands: list[Form]) -> None:
        is_concat = isinstance(operation.operator, Concat)
        terms = self.step(operation).terms or (operation.span,) * len(operands)
        # Scalars fit into any sum, and beside a map anything but another map into a concatenation.
        of_shape = [at for at, form in enumerate(operands) if form.root().dims != ()]
        if is_concat:
            of_shape = [at for at in of_shape if len(operands[at].root().dims or (1, 1)) > 1] or of_shape
        spreads = isinstance(operation.operator, Spread)
        first = next((at for at in of_shape if not spreads or _is_whole(operands[at])), of_shape[0] if of_shape else 0)
        unlike = [
            at
            for at in of_shape
            if _differ(operands[at], operands[first], but_channels=is_concat)
            and not (spreads and _can_spread(operands[at], operands[first]))
        ]
        if isinstance(operation.operator, Iterated) and unlike[:1] != [0]:
            self.iteration(operation, operands)
            return
        what = _WORDS.get(type(operation.operator).__name__, "terms of this sum")
        value = self.value(operation)
        help = "bring them to one shape, with a kernel that has the stride and the channels"
        if spreads and any(len(operands[at].root().dims or ()) == 1 for at in of_shape):
            help = "beside a map, a vector has one number for each of its channels: `linear[64]` gives 64"
        if is_concat:
            help = "bring them to one size: pool, prolong or `upsample` one of them"
        if not unlike:
            message = f"the shape of the {what}, in `{value}`, contradicts how they are used elsewhere"
            self.problems.report("E0403", message, operation.span, "of two shapes", help)
            return
        at = unlike[0]
        message = f"the {what} have different shapes, in `{value}`"
        found = describe_form(operands[at])
        others = [Label(terms[first], describe_form(operands[first]))]
        if terms[first] == terms[at]:
            found, others = f"{describe_form(operands[first])}, and {found}", []
        self.problems.report("E0403", message, terms[at], found, help, *others)

    def iteration(self, operation: Operation, operands: list[Form]) -> None:
        """What is looked for has one shape, and what is computed from it another."""
        shapes = [describe_form(operands[1]), describe_form(operands[0])]
        message = f"each iteration would change the shape of the unknown, in `{self.value(operation)}`"
        label = f"{shapes[0]}, and then {shapes[1]}" if shapes[0] != shapes[1] else "of two shapes"
        help = "write an expression of the shape of its unknown: with kernels of stride 1, and as many channels"
        self.problems.report("E0403", message, operation.span, label, help)

    def unfit(self, operation: Operation, error: Unfit) -> None:
        message = f"{error}, in `{self.value(operation)}`"
        self.problems.report("E0407", message, self.use_span(operation), "not possible here", error.help)

    def same_for_all(self, output: OutputValue) -> None:
        """A number of the whole batch as an output."""
        message = f"the output `{output.name}` does not depend on the images: it is one number for the whole batch"
        help = "a number of each image comes from an inner product, a norm or an input: `⟨x, y⟩`, `‖x‖`"
        self.problems.report("E0405", message, output.span, "a number for each image is asked for", help)

    def is_over_index(self, operation: Operation) -> bool:
        return any(isinstance(operand, Reads) for operand in self.step(operation).operands)

    def too_large(self, operation: Operation, what: str) -> None:
        is_input = operation.instance < 0
        keys = self.expansion.program.input_keys
        value = format_key(keys[operation.step]) if is_input else self.value(operation)
        message = f"{what} is too large, in `{value}`"
        help = f"stay within {LARGEST_SIZE:,} channels, rows and columns, and within {LARGEST_VALUE:,} numbers"
        span = operation.span if is_input else self.use_span(operation)
        self.problems.report("E0410", message, span, "too large", help)

    def open_parameter(self, operation: Operation, size: OpenSize) -> None:
        message = (
            f"`{self.use_span(operation).text}` in `{self.value(operation)}` would have a size of {size}, which is open"
        )
        help = "pool the map first, as in `linear ∘ avgpool(…)`, or write numbers for the sizes of the input"
        self.problems.report("E0412", message, self.use_span(operation), "a number is needed", help)

    def two_ways(self, operation: Operation, first: Operation) -> None:
        message = f"`{self.parameter(operation)}` is used as a convolution and as a prolongation"
        name = (operation.parameter or ("",))[0]
        help = f"declare a second kernel for one of the two uses; the adjoint of `{name} *_2` is `{name}ᵀ *_2`"
        self.two_uses("E0408", message, operation, f"in `{self.value(operation)}`", help, first, "the other way")

    def two_settings(
        self, operation: Operation, first: Operation, name: str, before: float | None, here: float | None
    ) -> None:
        key, label = self.parameter(operation), f"{name} {here} in `{self.value(operation)}`"
        message = f"`{key}` is one parameter with two settings: {name} {before} and {name} {here}"
        help = "write the same in both brackets, or give the two uses tags of their own"
        self.two_uses("E0409", message, operation, label, help, first, f"{name} {before}")

    def unlike(
        self, operation: Operation, first: Operation, name: str, before: Size | float | None, here: Size | float | None
    ) -> None:
        key = self.parameter(operation)
        if (key, name) in self.tied:
            return
        self.tied.add((key, name))
        what = {"in": "input channels", "out": "channels", "init": "initial value"}.get(name, name)
        message = f"`{key}` is shared by uses with different {what}: {here} in `{self.value(operation)}`"
        help = f"let its {what} not depend on the indices that `tie` leaves out, or tie fewer uses"
        ties = self.ties(operation)
        self.two_uses("E0402", message, operation, f"{what} {here}", help, first, f"{what} {before}", *ties)

    def two_uses(
        self,
        code: str,
        message: str,
        operation: Operation,
        label: str,
        help: str,
        first: Operation,
        other: str,
        *others: Label,
    ) -> None:
        """Report two uses of one parameter that contradict each other; `other` is what the first one has."""
        place = Label(self.use_span(first), f"{other} in `{self.value(first)}`")
        self.problems.report(code, message, self.use_span(operation), label, help, place, *others)

    def ties(self, operation: Operation) -> list[Label]:
        name = (operation.parameter or ("", ()))[0]
        statements = self.expansion.program.spec.statements
        ties = [tie for tie in statements if isinstance(tie, tree.Tie) and tie.symbol.name == name]
        return [Label(tie.span, "tied here") for tie in ties]

    def operand(self, operation: Operation, operand: Form) -> bool:
        """An operator at a vector that needs a map, or the other way round; False when that is right."""
        span, dims = self.use_span(operation), operand.root().dims
        is_linear = operation.operator.owns == "linear"
        dimension = self.expansion.program.dimension
        if dims is None or len(dims) == (1 if is_linear else dimension + 1):
            return False
        help = "pool the map first: `linear ∘ avgpool(…)`" if is_linear else "apply it before the map is pooled"
        if not dims:
            help = "apply it to a map; a scalar multiplies one, or is added to it"
        self.problems.report(
            "E0404",
            f"`{span.text}` is applied to {describe_form(operand)}, in `{self.value(operation)}`",
            span,
            "expected a vector" if is_linear else f"expected a map: channels × {_SIDES[dimension]}",
            help,
        )
        return True

    def widths(self, operation: Operation, operand: Form, parameter: Sized) -> None:
        """A parameter at a second width, or at another than is declared."""
        key = operation.parameter or ("", ())
        if any(format_key(key) == tied for tied, _ in self.tied):
            return
        span, first, name = self.use_span(operation), self.first[key], format_key(key)
        is_adjoint = operation.operator.is_adjoint
        before, after = ("out", "in") if is_adjoint else ("in", "out")
        expected = next((d.root().size for n, d in parameter.dims.items() if n in (before, "channels")), None)
        channels = (operand.root().dims or (Dim(),))[0].root().size
        here = self.width(operation, channels)
        if isinstance(operation.operator, Kernel) and (is_adjoint or channels == expected):
            gives = parameter.dimension(after).root().size
            what = f"`{span.text}` leads from {expected or 'unknown'} to {gives or 'unknown'} channels"
            needed = (
                f"and is applied to {channels or 'others'}"
                if channels != expected
                else "and another number is needed there"
            )
            help = "let the numbers of channels before and after it agree with its declaration"
            self.problems.report("E0402", f"{what}, {needed}, in `{self.value(operation)}`", span, here, help)
            return
        declaration = self.expansion.program.parameters.get(key[0])
        declaration = declaration and declaration.at(operation.tag or ())
        kernel = declaration and declaration.statement
        if first is operation and isinstance(kernel, tree.KernelStatement):
            declared = (kernel.channels_in or kernel.symbol).span
            message = f"`{name}` is declared for a different width than it is used with: {here}"
            help = f"write {here.split()[0]} there, or leave the input channels out"
            self.problems.report("E0402", message, span, here, help, Label(declared, "declared for this width"))
            return
        there = self.width(first, expected)
        other = self.use_span(first)
        places = [Label(other, there)]
        if other == span:
            lefts = [(self.left_span(first), there), (self.left_span(operation), here)]
            places = [Label(left, text) for left, text in dict(lefts).items() if left.source is span.source]
        message = f"`{name}` is used at two widths: with {here} and with {there}"
        label = "one parameter for both" if other == span else here
        help = self.help_for_widths(operation, first)
        self.problems.report("E0402", message, span, label, help, *places, *self.ties(operation))

    def help_for_widths(self, operation: Operation, first: Operation) -> str:
        """What to write where one parameter has two widths: a `tie` of fewer uses, if one has brought them together."""
        name = (operation.parameter or ("", ()))[0]
        rule, ties = self.expansion.program.ties.get(name), self.ties(operation)
        if rule is not None and ties and operation.tag and first.tag:
            for place, index in enumerate(rule.names):
                if place not in rule.kept and operation.tag[place] != first.tag[place]:
                    text = ties[0].span.text.split(" for ")[0].strip()
                    least = max(operation.tag[place], first.tag[place])
                    return f"let fewer uses share it: `{text} for {index} >= {least}`"
        return "give the two uses parameters of their own, by name or by tag"

    def width(self, operation: Operation, number: Size | None) -> str:
        channels = "1 channel" if number == 1 else f"{number or 'other'} channels"
        return f"{channels} in `{self.value(operation)}`"

    def channels(self, operation: Operation, attribute: Attribute, error: OutOfRange) -> None:
        what = attribute.role.removeprefix("a number of ")
        message = f"the {what} of `{self.parameter(operation)}` need {error.missing}, which has no value"
        use = Label(self.use_span(operation), f"used here, in `{self.value(operation)}`")
        report_missing_value(self.problems, error, message, attribute.span, use)

    def unknown(self, operation: Operation) -> None:
        """A shape that nothing determines; those of the values that depend on it follow from it."""
        message = f"the shape of `{operation.span.text}` in `{self.value(operation)}` cannot be known"
        help = "combine it with a value whose shape is known, such as the input"
        self.problems.report("E0406", message, operation.span, "of unknown shape", help)

    # Where an operation stands

    def step(self, operation: Operation) -> Step:
        return self.expansion.instances[operation.instance].template.steps[operation.step]

    def value(self, operation: Operation) -> str:
        """The value that an operation is part of: `r@2,0`."""
        return format_key(self.expansion.instances[operation.instance].value)

    def parameter(self, operation: Operation) -> str:
        return format_key(operation.parameter or ("", ()))

    def left_span(self, operation: Operation) -> Span:
        return self.expansion.instances[operation.instance].template.statement.left.span

    def use_span(self, operation: Operation) -> Span:
        """Where an operation names its parameter."""
        use = self.step(operation).use
        return use.span if use else operation.span


def describe_form(form: Form) -> str:
    """`a map of 64 × 32 × 32`, `a vector of 64 numbers`."""
    dims = form.root().dims
    if dims is None:
        return "a value of unknown shape"
    if not dims:
        return "one number"
    if is_spread(form):
        return f"a vector of {dims[0].root().size or '?'} parameters"
    if len(dims) == 1:
        return f"a vector of {form} numbers"
    sizes = [dim.root().size for dim in dims[1:]]
    if dims[0].root().size is None and None not in sizes:
        return f"a map of {' × '.join(map(str, sizes))} pixels"
    return f"a map of {form}"


def _differ(one: Form, other: Form, but_channels: bool = False) -> bool:
    """Whether two shapes differ, as far as they are known."""
    first, second = one.root().dims, other.root().dims
    if first is None or second is None:
        return False
    pairs = [(a.root().size, b.root().size) for a, b in zip(first, second, strict=False)][int(but_channels) :]
    return len(first) != len(second) or any(a != b for a, b in pairs if a is not None and b is not None)


def _is_whole(form: Form) -> bool:
    """Whether a value is a map of several channels, over which others may be spread."""
    dims = form.root().dims
    return dims is not None and len(dims) > 1 and not is_spread(form) and dims[0].root().size != 1


def _can_spread(form: Form, over: Form) -> bool:
    """Whether a value has one number for each channel of a map, or is a map of one channel of its size."""
    dims, others = form.root().dims, over.root().dims
    if dims is None or others is None or len(others) < 2:
        return False
    pairs = [(one.root().size, other.root().size) for one, other in zip(dims[1:], others[1:], strict=False)]
    if len(dims) == 1 or is_spread(form):
        pairs = [(dims[0].root().size, others[0].root().size)]
    elif dims[0].root().size != 1:
        return False
    return all(one == other or None in (one, other) for one, other in pairs)


_SIDES = {1: "length", 2: "height × width", 3: "depth × height × width"}
_WORDS = {
    "Multiply": "factors of this product",
    "Divide": "two sides of this quotient",
    "Extreme": "values of this maximum or minimum",
    "ExtremeTotal": "values of this maximum or minimum",
    "LogTotal": "values under this softmax",
    "Concat": "members of this concatenation",
}
"""What messages call the operands of an operator."""
