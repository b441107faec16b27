"""Shape inference by unification: channels and sizes flow in both directions, before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.expand import Expansion, Key, Operation, format_key
from cldfc.network.program import OutOfRange, Step
from cldfc.ops import Add, Convolution, Dim, Form, Mismatch, Operator, Shape, Sized, Sizes, Solver
from cldfc.syntax import tree


@dataclass(frozen=True, slots=True)
class Stored:
    """A parameter: the operator that first uses it, and its sizes."""

    operator: Operator
    sizes: Sizes

    def count(self) -> int:
        """How many numbers it stores."""
        return self.operator.stored(self.sizes)


@dataclass(frozen=True)
class Inferred:
    """An expansion with the shape of every operation, and its parameters in the order of use."""

    expansion: Expansion
    shapes: list[Shape]
    parameters: dict[Key, Stored]


def infer_shapes(expansion: Expansion, problems: Problems) -> Inferred:
    """Infer every shape. Raises CldfError: shapes that do not fit, or that nothing determines."""
    return Inference(expansion, problems).run()


class Inference:
    """One pass over the operations; what is not known yet waits for its cause."""

    def __init__(self, expansion: Expansion, problems: Problems) -> None:
        self.expansion = expansion
        self.problems = problems
        self.solver = Solver()
        self.forms = [Form() for _ in expansion.operations]
        self.parameters: dict[Key, Sized] = {}
        self.first: dict[Key, Operation] = {}
        self.forms[0].dims = tuple(Dim(size) for size in expansion.program.shape)

    def run(self) -> Inferred:
        """All shapes, once every operation has been heard."""
        for at, operation in enumerate(self.expansion.operations):
            self.hear(at, operation)
        self.check_output()
        self.problems.stop_if_any()
        shapes = [form.known() for form in self.forms]
        if None in shapes:
            self.report_unknown(self.expansion.operations[shapes.index(None)])
        self.problems.stop_if_any()
        known = [shape for shape in shapes if shape is not None]
        stored = {key: Stored(self.first[key].operator, sized.known()) for key, sized in self.parameters.items()}
        return Inferred(self.expansion, known, stored)

    def hear(self, at: int, operation: Operation) -> None:
        """What one operation says about shapes; a contradiction is reported at its place."""
        operands = [self.forms[operand] for operand in operation.operands]
        parameter = self.parameter(operation)
        try:
            operation.operator.shape(self.solver, list(operands), self.forms[at], parameter)
            self.solver.settle()
        except Mismatch:
            self.report_mismatch(at, operands, parameter)

    def parameter(self, operation: Operation) -> Sized | None:
        """The parameter of an operation, with what its declaration says about its sizes."""
        if operation.parameter is None:
            return None
        if operation.parameter not in self.parameters:
            self.first[operation.parameter] = operation
            self.parameters[operation.parameter] = self.declared(operation, operation.parameter)
        return self.parameters[operation.parameter]

    def declared(self, operation: Operation, key: Key) -> Sized:
        """The sizes that the declaration of a kernel, or the output of the network, gives."""
        program, sized = self.expansion.program, Sized()
        if operation.operator.owns == "linear":
            sized.dims["out"] = Dim(program.classes)
        if isinstance(operation.operator, Convolution):
            kernel = program.kernels[key[0]]
            binding = dict(zip(kernel.indices, key[1], strict=True))
            try:
                sized.dims["out"] = Dim(kernel.channels_out.value(binding))
                if kernel.channels_in is not None:
                    sized.dims["in"] = Dim(kernel.channels_in.value(binding))
            except OutOfRange as error:
                self.report_channels(operation, kernel.statement, error)
            sized.dims["size"] = Dim(kernel.size)
        return sized

    def check_output(self) -> None:
        """The output has as many numbers as there are classes."""
        program = self.expansion.program
        output = self.forms[self.expansion.values[program.output, ()]]
        try:
            self.solver.known(self.solver.vector(output), program.classes)
            self.solver.settle()
        except Mismatch:
            equations = [t.statement.left.span for t in program.templates if (t.family, t.left) == (program.output, ())]
            self.problems.report(
                "E0405",
                f"the output `{program.output}` is {describe(output)}, but {program.classes} numbers are asked for",
                equations[0] if equations else program.output_span,
                describe(output),
                "let its equation start with `linear ∘ avgpool`: `linear` gives as many numbers as `output` says",
                *[Label(program.output_span, f"declared with {program.classes}")] * bool(equations),
            )

    # What can be wrong

    def report_mismatch(self, at: int, operands: list[Form], parameter: Sized | None) -> None:
        """Two shapes that do not fit: of terms, of a value and its operator, or of a parameter and its uses."""
        operation = self.expansion.operations[at]
        if isinstance(operation.operator, Add):
            self.report_sum(operation, operands)
        elif not self.report_operand(operation, operands[0]) and parameter is not None:
            self.report_widths(operation, operands[0], parameter)

    def report_sum(self, operation: Operation, operands: list[Form]) -> None:
        """Terms of different shapes."""
        terms = self.step(operation).terms
        different = next((at for at, form in enumerate(operands) if differ(form, operands[0])), None)
        value = format_key(self.value(operation))
        help = "bring them to one shape, with a kernel that has the stride and the channels"
        if different is None:
            message = f"the shape of this sum, in `{value}`, contradicts how its terms are used elsewhere"
            self.problems.report("E0403", message, operation.span, "of two shapes", help)
            return
        self.problems.report(
            "E0403",
            f"the terms of this sum have different shapes, in `{value}`",
            terms[different],
            describe(operands[different]),
            help,
            Label(terms[0], describe(operands[0])),
        )

    def report_operand(self, operation: Operation, operand: Form) -> bool:
        """An operator at a vector that needs a map, or the other way round; False when that is right."""
        span, dims = self.use_span(operation), operand.root().dims
        is_linear = operation.operator.owns == "linear"
        if dims is None or len(dims) == (1 if is_linear else 3):
            return False
        self.problems.report(
            "E0404",
            f"`{span.text}` is applied to {describe(operand)}, in `{format_key(self.value(operation))}`",
            span,
            "expected a vector" if is_linear else "expected a map: channels × height × width",
            "pool the map first: `linear ∘ avgpool(…)`" if is_linear else "apply it before the map is pooled",
        )
        return True

    def report_widths(self, operation: Operation, operand: Form, parameter: Sized) -> None:
        """A parameter at a second width, or at another than is declared."""
        key = operation.parameter or ("", ())
        span, first, name = self.use_span(operation), self.first[key], format_key(key)
        expected = next((d.root().size for n, d in parameter.dims.items() if n in ("in", "channels")), None)
        here = self.width(operation, (operand.root().dims or (Dim(),))[0].root().size)
        if first is operation and key[0] in self.expansion.program.kernels:
            kernel = self.expansion.program.kernels[key[0]].statement
            declared = (kernel.channels_in or kernel.symbol).span
            message = f"`{name}` is declared for another width than it is used with: {here}"
            help = f"write {here.split()[0]} there, or leave the input channels out"
            self.problems.report("E0402", message, span, here, help, Label(declared, "declared for this width"))
            return
        before = self.width(first, expected)
        other = self.use_span(first)
        places = [Label(other, before)]
        if other == span:
            lefts = [(self.left_span(first), before), (self.left_span(operation), here)]
            places = [Label(left, text) for left, text in dict(lefts).items() if left.source is span.source]
        self.problems.report(
            "E0402",
            f"`{name}` is used at two widths: with {here} and with {before}",
            span,
            "one parameter for both" if other == span else here,
            "give the two uses parameters of their own, by name or by tag",
            *places,
        )

    def width(self, operation: Operation, number: int | None) -> str:
        """`64 channels in `r@2,0``."""
        channels = "1 channel" if number == 1 else f"{number or 'other'} channels"
        return f"{channels} in `{format_key(self.value(operation))}`"

    def report_channels(self, operation: Operation, kernel: tree.Kernel, error: OutOfRange) -> None:
        """A kernel whose channels are taken from a level that is not there."""
        missing = f"`{error.constant.name}@{error.position}`"
        self.problems.report(
            "E0305",
            f"the channels of `{format_key(operation.parameter or ('', ()))}` need {missing}, which has no value",
            kernel.channels_out.span,
            f"needs {missing}",
            error.constant.help_for_values(),
            Label(error.constant.span, "declared here"),
            Label(self.use_span(operation), f"used here, in `{format_key(self.value(operation))}`"),
        )

    def report_unknown(self, operation: Operation) -> None:
        """A shape that nothing determines; those of the values that depend on it follow from it."""
        self.problems.report(
            "E0406",
            f"the shape of `{operation.span.text}` in `{format_key(self.value(operation))}` cannot be known",
            operation.span,
            "of unknown shape",
            "combine it with a value whose shape is known, such as the input",
        )

    # Where an operation stands

    def step(self, operation: Operation) -> Step:
        """The step of an equation that an operation carries out."""
        return self.expansion.instances[operation.instance].template.steps[operation.step]

    def value(self, operation: Operation) -> Key:
        """The value that an operation is part of."""
        return self.expansion.instances[operation.instance].value

    def left_span(self, operation: Operation) -> Span:
        """The left side of the equation that an operation is part of."""
        return self.expansion.instances[operation.instance].template.statement.left.span

    def use_span(self, operation: Operation) -> Span:
        """Where an operation names its parameter."""
        use = self.step(operation).use
        return use.span if use else operation.span


def describe(form: Form) -> str:
    """`a map of 64 × 32 × 32`, `a vector of 64 numbers`."""
    dims = form.root().dims
    if dims is None:
        return "a value of unknown shape"
    return f"a vector of {form} numbers" if len(dims) == 1 else f"a map of {form}"


def differ(one: Form, other: Form) -> bool:
    """Whether two shapes cannot be one, as far as they are known."""
    first, second = one.root().dims, other.root().dims
    if first is None or second is None:
        return False
    pairs = [(a.root().size, b.root().size) for a, b in zip(first, second, strict=False)]
    return len(first) != len(second) or any(a != b for a, b in pairs if a is not None and b is not None)
