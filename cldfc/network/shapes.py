"""Shape inference by unification: channels and sizes flow in both directions, before torch is loaded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from cldfc.diagnostics import Label, Problems, end_text, shape_text
from cldfc.network.expand import Expansion, Operation
from cldfc.network.numbers import report_unfit
from cldfc.network.positions import LARGEST_SIZE, LARGEST_VALUE, Key, NoNumber, OutOfRange, format_key
from cldfc.network.program import Attribute, Declaration, OutputValue, Template
from cldfc.network.shape_errors import ShapeErrors, describe_form
from cldfc.ops import (
    Concat,
    Convolution,
    Dim,
    Form,
    Kernel,
    Linear,
    Mismatch,
    Operator,
    Shape,
    SharedBatchNorm,
    Sized,
    Sizes,
    Solver,
    Statistics,
    Supposition,
    TooLarge,
    Unfit,
    is_spread,
)
from cldfc.ops.size import OpenShape, OpenSize, Size, choose_sample, sampled


@dataclass(frozen=True)
class Stored:
    """A parameter: the operator that first uses it, and its sizes. Parameters that are alike are one object."""

    operator: Operator
    sizes: Sizes

    @cached_property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return self.operator.stored(self.sizes)


def count_stored(parameters: Mapping[Key, Stored]) -> int:
    """Numbers that are stored, shared ones once."""
    return sum(stored.numbers for stored in parameters.values())


@dataclass(frozen=True)
class Inferred:
    """An expansion with the shape of every operation, and its parameters in the order of use."""

    expansion: Expansion
    shapes: list[Shape]
    parameters: dict[Key, Stored]


def infer_shapes(expansion: Expansion, problems: Problems) -> Inferred:
    """Infer every shape. Raises CldfError: shapes that do not fit, or that nothing determines."""
    return _Inference(expansion, problems).run()


def find_image_numbers(
    operators: Sequence[Operator], operands: Sequence[Sequence[int]], shapes: Sequence[Shape]
) -> list[bool]:
    """Which operations give a number for each image; others without axes give one number for the whole batch."""
    found: list[bool] = []
    for operator, inputs, shape in zip(operators, operands, shapes, strict=True):
        found.append(not shape and (operator.gives_number or any(found[operand] for operand in inputs)))
    return found


def _tell_ranks(expansion: Expansion, shapes: Sequence[Shape], errors: ShapeErrors) -> None:
    """Tell operators how many axes their operands have, and replace the equations in which that changes one."""
    operations = expansion.operations
    are_numbers = find_image_numbers([o.operator for o in operations], [o.operands for o in operations], shapes)
    ranks = [len(shape) if shape or is_number else None for shape, is_number in zip(shapes, are_numbers, strict=True)]
    for output in expansion.program.outputs:
        if ranks[expansion.values[output.key]] is None:
            errors.same_for_all(output)
    changes: dict[int, dict[int, Operator]] = {}
    for at, operation in enumerate(operations):
        own = [ranks[operand] for operand in operation.operands]
        if own and ranks[at] and own.count(ranks[at]) == len(own):
            continue
        try:
            operator = operation.operator.at_ranks(own, ranks[at])
            if isinstance(operator, Concat) and operator.is_unlike and errors.is_over_index(operation):
                reason = "a concatenation over an index is of maps, of vectors or of numbers alone"
                raise Unfit(reason, "write its members one by one, as in `concat(x@0, t@1)`: there a number is spread")
        except Unfit as error:
            errors.unfit(operation, error)
            continue
        if operator != operation.operator:
            operation.operator = operator
            changes.setdefault(operation.instance, {})[operation.step] = operator
    known: dict[Hashable, Template] = {}
    for number, changed in changes.items():
        instance = expansion.instances[number]
        key = id(instance.template), tuple(changed.items())
        if key not in known:
            steps = enumerate(instance.template.steps)
            told = tuple(replace(step, operator=changed.get(at, step.operator)) for at, step in steps)
            known[key] = replace(instance.template, steps=told)
        instance.template = known[key]


class _Inference:
    """One pass over the operations; what is not known yet waits for its cause."""

    def __init__(self, expansion: Expansion, problems: Problems) -> None:
        self.expansion = expansion
        self.problems = problems
        self.solver = Solver(expansion.program.dimension)
        self.forms = [Form() for _ in expansion.operations]
        self.parameters: dict[Key, Sized] = {}
        self.statistics: dict[Key, Statistics] = {}
        self.supposed: list[tuple[int, Supposition]] = []
        self.forward: dict[Key, Operator] = {}
        """Kernels that are used first by their adjoint, which has no bias, and then as they are."""
        self.unlike: set[Key | None] = set()
        self.with_strides = expansion.program.with_strides
        self.errors = ShapeErrors(expansion, problems)
        self.first = self.errors.first
        self.heard: dict[Hashable, tuple[Form, Sized | None]] = {}
        """What operations gave whose operands and parameter were known, by the identity of all three."""
        self.canonical: dict[Hashable, Form] = {}
        """One form for all that are known and alike."""
        self.uniform: dict[str, Hashable] = {}
        self.shared: set[Key] = set()
        """Parameters whose sizes may be one object with those of others."""
        self.loose: dict[OpenSize, Dim] = {}
        """Open sizes with a tag, `H@2`, which may follow from others."""
        for family in expansion.program.inputs:
            for key, shape in family.shapes.items():
                self.forms[expansion.values[key]].dims = tuple(map(self.dim, shape))

    def dim(self, size: Size) -> Dim:
        """A size of an input or an output."""
        if isinstance(size, OpenSize) and "@" in size.names[0] and size == OpenSize.named(size.names[0]):
            return self.loose.setdefault(size, Dim())
        return Dim(size)

    def run(self) -> Inferred:
        for at, operation in enumerate(self.expansion.operations):
            self.hear(at, operation)
        for output in self.expansion.program.outputs:
            self.check_output(output)
        self.suppose()
        for size, dim in self.loose.items():
            if dim.root().size is None:
                self.solver.known(dim, size)
                self.solver.settle()
                self.suppose()
        self.problems.stop_if_any()
        known = {at: form.known() for at, form in {id(form): form for form in self.forms}.items()}
        shapes = [known[id(form)] for form in self.forms]
        if None in shapes:
            self.errors.unknown(self.expansion.operations[shapes.index(None)])
        self.problems.stop_if_any()
        found = self.sampled([shape for shape in shapes if shape is not None])
        left_open = {
            at: sized.left_open() for at, sized in {id(each): each for each in self.parameters.values()}.items()
        }
        for key, sized in self.parameters.items():
            if (open := left_open[id(sized)]) is not None:
                self.errors.open_parameter(self.first[key], open)
        self.problems.stop_if_any()
        operators = {key: use.operator for key, use in self.first.items()} | self.statistics | self.forward
        alike: dict[Hashable, Stored] = {}
        stored: dict[Key, Stored] = {}
        for key, sized in self.parameters.items():
            operator = operators[key]
            case = id(sized), id(operator)
            if case not in alike:
                sizes = sized.known()
                if operator.is_adjoint:
                    sizes.pop("bias", None)
                kind = id(operator), *((name, type(size), size) for name, size in sizes.items())
                alike[case] = alike.setdefault(kind, Stored(operator, sizes))
            stored[key] = alike[case]
        self.check_sizes(found, stored)
        self.problems.stop_if_any()
        _tell_ranks(self.expansion, found, self.errors)
        self.problems.stop_if_any()
        return Inferred(self.expansion, found, stored)

    def sampled(self, shapes: Sequence[OpenShape]) -> list[Shape]:
        """The shapes with a number for each open size: one that all strides divide, and that leaves no map empty.

        Equal ones are one object.
        """
        different = dict.fromkeys(shapes)
        sample = choose_sample([size for shape in different for size in shape if isinstance(size, OpenSize)])
        found = {shape: tuple([sampled(size, sample) for size in shape]) for shape in different}
        return [found[shape] for shape in shapes]

    def check_sizes(self, shapes: Sequence[Shape], stored: Mapping[Key, Stored]) -> None:
        """Hold inferred sizes to the limits of declared ones; further reports would follow from the first."""
        wrong = {s for s in {*shapes} if (len(s) > 1 and max(s) > LARGEST_SIZE) or prod(s) > LARGEST_VALUE}
        for operation, shape in zip(self.expansion.operations, shapes, strict=True):
            if shape in wrong:
                sizes = " × ".join(f"{size:,}" for size in shape)
                self.errors.too_large(operation, f"a {'map' if len(shape) > 1 else 'vector'} of {sizes}")
                break
        for key, parameter in stored.items():
            if parameter.numbers > LARGEST_VALUE:
                self.errors.too_large(self.first[key], f"`{format_key(key)}` of {parameter.numbers:,} numbers")

    def hear(self, at: int, operation: Operation) -> None:
        """What one operation says about shapes; a contradiction is reported at its place."""
        forms, key = self.forms, operation.parameter
        operands = [forms[operand] for operand in operation.operands]
        parameter = self.parameter(operation, key) if key is not None and key in self.parameters else None
        before = id(parameter) if parameter is not None else self.said(operation)
        case = (id(operation.operator), before, *map(id, operands))
        heard = None if operation.statistics is not None else self.heard.get(case)
        if heard is not None:
            forms[at], sized = heard
            if key is not None and parameter is None and sized is not None:
                self.use_first(operation, key, sized)
                self.shared.add(key)
            return
        errors = len(self.problems.found)
        is_first = parameter is None
        if key is not None and parameter is None:
            parameter = self.parameter(operation, key)
        elif key is not None and parameter is not None and key in self.shared:
            # What this use says of it is not said of the others.
            self.shared.remove(key)
            parameter = self.parameters[key] = Sized(dict(parameter.dims), dict(parameter.given))
            case = (id(operation.operator), id(parameter), *map(id, operands))
        try:
            self.operator(operation).shape(self.solver, operands, forms[at], parameter)
            if operation.statistics is not None and isinstance(operation.operator, SharedBatchNorm):
                self.keep_statistics(operation.statistics, operation.operator.statistics(), operands, forms[at])
            if self.solver.ready:
                self.solver.settle()
        except Mismatch as error:
            self.report(at, operands, parameter, error)
        if self.solver.supposed:
            self.supposed += [(at, supposition) for supposition in self.solver.take_suppositions()]
            return
        shape = forms[at].known()
        if shape is None or len(self.problems.found) > errors or (key is not None and key in self.unlike):
            return
        forms[at] = self.canonical.setdefault((is_spread(forms[at]), *shape), forms[at])
        if before is not None and (parameter is None or parameter.is_known()):
            if all(operand.known() is not None for operand in operands):
                self.heard[case] = forms[at], parameter
                if key is not None and is_first:
                    self.shared.add(key)

    def said(self, operation: Operation) -> Hashable:
        """What is known of a parameter before its first use, if that is the same for all tags; None otherwise."""
        if operation.parameter is None:
            return ""
        name = operation.parameter[0]
        if name not in self.uniform:
            declaration = self.expansion.program.parameters.get(name)
            given = declaration.attributes.items() if declaration is not None else ()
            said = [(attribute, value.constant) for attribute, value in given]
            is_uniform = all(number is not None for _, number in said) and not (declaration and declaration.cases)
            self.uniform[name] = (name in self.with_strides, *said) if is_uniform else None
        return self.uniform[name]

    def suppose(self) -> None:
        """Take what operators suppose for sizes that nothing else decides, one by one, from the first on."""
        while (found := next((pair for pair in self.supposed if pair[1].is_open()), None)) is not None:
            self.supposed.remove(found)
            at, supposition = found
            operation = self.expansion.operations[at]
            operands = [self.forms[operand] for operand in operation.operands]
            try:
                self.solver.known(*supposition.size())
                self.solver.settle()
            except Mismatch as error:
                self.report(at, operands, self.parameters.get(operation.parameter or ("", ())), error)

    def report(self, at: int, operands: list[Form], parameter: Sized | None, error: Mismatch) -> None:
        """Report a contradiction at the place of an operation."""
        self.solver.ready.clear()
        operation = self.expansion.operations[at]
        match error:
            case Unfit():
                self.errors.unfit(operation, error)
            case TooLarge():
                self.errors.too_large(operation, f"a size of {error.size:,}")
            case _:
                self.errors.mismatch(at, operands, parameter)

    def operator(self, operation: Operation) -> Operator:
        """Its operator, or, where that has other settings than the first of its parameter, the first one."""
        key = operation.parameter
        return self.first[key].operator if key is not None and key in self.unlike else operation.operator

    def keep_statistics(self, key: Key, statistics: Statistics, operands: list[Form], result: Form) -> None:
        sized = self.parameters[key] = Sized()
        self.statistics[key] = statistics
        statistics.shape(self.solver, operands, result, sized)

    def parameter(self, operation: Operation, key: Key) -> Sized:
        sized = self.parameters.get(key)
        if sized is None:
            return self.use_first(operation, key, self.declared(operation))
        if operation.operator.owns is not None:
            self.check_settings(operation, self.first[key])
        elif operation.tag != self.first[key].tag or type(operation.operator) is not type(self.first[key].operator):
            self.check_again(operation, key, sized)
        if key not in self.forward and isinstance(operation.operator, Kernel) and not operation.operator.is_adjoint:
            self.forward[key] = operation.operator
        return sized

    def use_first(self, operation: Operation, key: Key, sized: Sized) -> Sized:
        """Take note of a parameter that no earlier operation uses."""
        self.first[key] = operation
        self.parameters[key] = sized
        if isinstance(operation.operator, Kernel) and not operation.operator.is_adjoint:
            self.forward[key] = operation.operator
        return sized

    def declared(self, operation: Operation) -> Sized:
        program, sized = self.expansion.program, Sized()
        if isinstance(operation.operator, Linear) and operation.operator.outputs is None and program.classes:
            sized.dims["out"] = Dim(program.classes)
        assert operation.parameter is not None
        operator, name = operation.operator, operation.parameter[0]
        if isinstance(operator, Convolution) and name in self.with_strides and isinstance(operator.stride, int):
            sized.given["stride"] = operator.stride
        declaration = program.parameters.get(operation.parameter[0])
        declaration = declaration and declaration.at(operation.tag or ())
        if declaration is None:
            return sized
        for name, attribute in declaration.attributes.items():
            value = attribute.constant
            if value is None:
                value = self.attribute(operation, declaration, attribute)
            if value is None:
                continue
            if name in ("in", "out", "channels"):
                sized.dims[name] = Dim(int(value))
            else:
                sized.given[name] = value
        return sized

    def attribute(self, operation: Operation, declaration: Declaration, attribute: Attribute) -> int | float | None:
        binding = declaration.binding(operation.tag or ())
        try:
            value = attribute.formula.value(binding)
        except OutOfRange as error:
            return self.errors.channels(operation, attribute, error)
        except NoNumber as error:
            message = f"`{attribute.span.text}` is not a number for `{format_key(operation.parameter or ('', ()))}`"
            help = "write a formula that gives a whole number, such as `64 * 2^(ℓ-1)`"
            return self.problems.report("E0506", f"{message}: {error}", attribute.span, "cannot be computed", help)
        if attribute.fits(value):
            return value
        used = Label(self.errors.use_span(operation), f"used here, in `{self.errors.value(operation)}`")
        limits, kind = (attribute.least, attribute.most), "number" if attribute.is_real else "whole number"
        report_unfit(self.problems, value, attribute.span, attribute.role, *limits, used, kind=kind)
        return None

    def check_again(self, operation: Operation, key: Key, sized: Sized) -> None:
        """Check that a parameter with another tag before `tie`, or another operator, has the sizes of its first use."""
        first = self.first[key]
        if operation.operator.is_transposed != first.operator.is_transposed:
            self.errors.two_ways(operation, first)
        again = self.declared(operation)
        for name, dim in again.dims.items():
            if sized.dims[name].root().size not in (None, dim.size):
                self.errors.unlike(operation, first, name, sized.dims[name].root().size, dim.size)
        for name, value in again.given.items():
            if sized.given.get(name) != value:
                self.errors.unlike(operation, first, name, sized.given.get(name), value)

    def check_settings(self, operation: Operation, first: Operation) -> None:
        for name in operation.operator.settings():
            before, here = (self.setting(used.operator, name) for used in (first, operation))
            if before != here:
                self.unlike.add(operation.parameter)
                self.errors.two_settings(operation, first, name, before, here)

    def setting(self, operator: Operator, name: str) -> float | None:
        """A setting of an operator; `linear` without one gives as many numbers as there are classes."""
        value = getattr(operator, name)
        return self.expansion.program.classes if value is None and isinstance(operator, Linear) else value

    def check_output(self, output: OutputValue) -> None:
        at = self.expansion.values.get(output.key)
        if at is None:
            return
        form = self.forms[at]
        try:
            if is_spread(form):
                raise Mismatch  # it has no batch
            if form.root().dims != () or output.shape != (1,):
                self.solver.is_shape(form, tuple(map(self.dim, output.shape)))
            self.solver.settle()
        except Mismatch:
            templates = self.expansion.program.templates
            equations = [t.statement.left.span for t in templates if (t.family, t.left) == output.key]
            is_map, text = len(output.shape) > 1, end_text(output.shape)
            found, declared = describe_form(form), Label(output.span, f"declared with {shape_text(output.shape)}")
            asked = f"a map of {text} is" if is_map else f"{text} {'is' if output.shape == (1,) else 'are'}"
            message = f"the output `{output.name}` is {found}, but {asked} asked for"
            help = "let its equation start with `linear ∘ avgpool`: `linear` gives as many numbers as `output` says"
            if is_map:
                given = found.removeprefix("a map of ")
                help = f"write what it gives, `output {output.name} : {given}`, or change its equation"
            if is_map and not found.startswith("a map"):
                help = "leave the pooling and `linear` out, or write the number of classes: `output h : 10`"
            if is_spread(form):
                help = "it is the same for each image: let it be spread over a map, as in `u = x + γ`"
            elif form.root().dims == ():
                help = f"write `output {output.name} : 1 number`, or change its equation"
            if equations:
                self.problems.report("E0405", message, equations[0], found, help, declared)
            else:
                self.problems.report("E0405", message, output.span, found, help)
