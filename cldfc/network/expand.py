"""Program → operations, by demand: the network is what the output needs, evaluated backwards."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.numbers import report_missing_value
from cldfc.network.positions import (
    LARGEST_FLOAT,
    LARGEST_SIZE,
    MOST_OPERATIONS,
    PARTS_FOR_FREE,
    Binding,
    Key,
    NoNumber,
    NotWhole,
    Number,
    OutOfRange,
    format_key,
    left_function,
    report_size,
)
from cldfc.network.program import Program, Read, Reads, Step, Template, Use
from cldfc.ops import Channels, Input, Kernel, Operator, SplitChannels, WithNumber, Zero
from cldfc.syntax import tree
from cldfc.syntax.format import by_text, format_symbol


@dataclass
class _ExpansionErrors:
    """Reports; `open` are the values that are being worked out, each with the read that asks for it."""

    program: Program
    problems: Problems
    open: dict[Key, Read | Reads]

    def not_whole(self, error: NotWhole, span: Span, binding: Binding, value: Key) -> None:
        """Report `i/2` at an odd i."""
        given = ", ".join(f"{name} = {at}" for name, at in binding.items())
        message = f"`{format_key(value)}` reads `{span.text}` where {error.position} = {error.value} is not whole"
        first = error.position.base if isinstance(error.position.base, str) else "i"
        help = f"let the equation hold for some values alone, as in `for {first} = 2..8 by 2`"
        self.problems.report("E0309", message, span, f"at {given}" if given else "not an index", help)

    def out_of_range(self, error: OutOfRange, span: Span, value: Key) -> None:
        message = f"`{format_key(value)}` needs {error.missing}, which has no value"
        report_missing_value(self.problems, error, message, span)

    def no_number(self, error: NoNumber, span: Span, value: Key) -> None:
        message = f"the factor `{span.text}` is not a number in `{format_key(value)}`: {error}"
        help = "write a formula that gives a number, or leave this value out of the range of the equation"
        self.problems.report("E0506", message, span, "cannot be computed", help)

    def no_channels(self, step: Step, bounds: tuple[Number, Number], value: Key) -> None:
        span = step.terms[0].to(step.terms[1])
        message = (
            f"`{span.text}` is not a valid range of channels of `{format_key(value)}`: {bounds[0]:,g} to {bounds[1]:,g}"
        )
        help = "write whole numbers, the smaller one first; channels are counted from 0, as in `x[0..15]`"
        self.problems.report("E0504", message, span, "no channels", help)

    def undeclared(self, use: Use, key: Key, value: Key) -> None:
        """Report that a name has declarations, but none for these indices."""
        if self.problems.explain(use.name):
            return
        statements = [
            s for s in self.program.spec.statements if isinstance(s, tree.Let | tree.KernelStatement | tree.Scalar)
        ]
        heads = [statement.symbol for statement in statements if statement.symbol.name == use.name]
        labels = [Label(head.span, f"declares `{format_symbol(head)}`") for head in heads]
        message = f"nothing declares `{format_key(key)}`, which `{format_key(value)}` needs"
        help = f"declare `{format_key(key)}`, too, or let a `for` of its other declarations reach it"
        self.problems.report("E0215", message, use.span, f"`{format_key(key)}` here", help, *labels)

    def empty(self, read: Read | Reads, value: Key, binding: Binding) -> None:
        assert isinstance(read, Reads)
        lower, upper = read.lower.value(binding), read.upper.value(binding)
        range = f"{read.name} = {lower}..{upper}{by_text(read.by)}"
        message = f"a reduction in `{format_key(value)}` has no terms: {range}"
        help = f"write an equation of its own for `{format_key(value)}`, or change the range"
        self.problems.report("E0307", message, read.span, "over no index", help)

    def undefined(self, read: Read | Reads, key: Key) -> None:
        name, indices = key
        if self.problems.explain(name):
            return
        equations = [t for t in self.program.templates if t.family == name and len(t.left) == len(indices)]
        places = [Label(t.statement.left.span, f"defines {self.extent(t)}") for t in equations]
        asker = next(reversed(self.open), None)
        help = f"write an equation for it: `{format_key(key)} = …`" + (
            ", or let the one that needs it start later, with `for`" if places and min(indices, default=0) < 0 else ""
        )
        self.problems.report(
            "E0302",
            f"nothing defines `{format_key(key)}`",
            read.span,
            "declared as the output" if asker is None else f"needed for `{format_key(asker)}`",
            help,
            *places,
        )

    def extent(self, template: Template) -> str:
        """For which indices an equation holds, as a reader would say it."""
        extents: list[str] = []
        for name, range in template.ranges.items():
            shifts = [0, *(p.offset for p in template.left if p.base == name and not range.is_explicit)]
            lower = range.lower.shifted(-(min if range.by > 0 else max)(shifts)) if range.lower else ""
            upper = range.upper.shifted(-(max if range.by > 0 else min)(shifts)) if range.upper else ""
            extents.append(f"{name} = {lower}" if lower == upper else f"{name} = {lower}..{upper}{by_text(range.by)}")
        return f"`{template.label(template.left)}`" + (f" for {', '.join(extents)}" if extents else "")

    def double(self, key: Key, templates: list[Template]) -> None:
        first, second = sorted(templates, key=lambda t: t.statement.span.start)[:2]
        self.problems.report(
            "E0303",
            f"`{format_key(key)}` is defined twice",
            second.statement.left.span,
            f"defines `{format_key(key)}`",
            "remove one of the two, or change its indices so that only one holds there; of two the one with more "
            "numbers on its left wins",
            Label(first.statement.left.span, f"defines `{format_key(key)}` too"),
        )

    def way_out(self, read: Read | Reads, length: int) -> str:
        if isinstance(read, Reads):
            return f"let the range of `{read.name}` end before it"
        last = re.search(r"@(?:.*,)?(\w+)\Z", read.span.text)
        own = {position.base for t in self.program.templates if t.family == read.family for position in t.left}
        if length == 1 and last and last[1] in own:
            return f"let it look back: `{read.span.text}-1`"
        return "let one of them start from a value that is known, such as `u@1,0 = 0`"

    def circle(self, read: Read | Reads, key: Key) -> None:
        circle = list(self.open)[list(self.open).index(key) :]
        shown = [*circle[:4], *([] if len(circle) <= 4 else [("…", ())]), key]
        links = pairwise(circle[:4])
        others = [Label(self.open[at].span, f"`{format_key(by)}` needs `{format_key(at)}`") for by, at in links]
        message = f"`{format_key(key)}` depends on itself: {' ← '.join(map(format_key, shown))}"
        help = self.way_out(read, len(circle))
        self.problems.report(
            "E0304", message, read.span, f"`{format_key(circle[-1])}` needs `{format_key(key)}`", help, *others
        )


@dataclass(slots=True)
class Operation:
    operator: Operator
    operands: tuple[int, ...]
    parameter: Key | None
    tag: tuple[int, ...] | None
    """Of the parameter, before `tie` leaves out indices."""
    instance: int
    step: int
    span: Span
    statistics: Key | None = None


@dataclass(slots=True)
class Instance:
    """An equation at one choice of its indices, which defines one value."""

    template: Template
    binding: dict[str, int]
    value: Key
    result: int = -1


@dataclass
class Expansion:
    """The operations of a network, operands before what uses them; the inputs come first."""

    program: Program
    operations: list[Operation] = field(default_factory=list[Operation])
    instances: list[Instance] = field(default_factory=list[Instance])
    values: dict[Key, int] = field(default_factory=dict[Key, int])
    passed_over: dict[Key, tuple[tree.Equation, tree.Equation]] = field(
        default_factory=dict[Key, tuple[tree.Equation, tree.Equation]]
    )
    """Values with two equations: the one with more numbers on its left, which defines them, and the other."""

    def strides(self) -> dict[Key, set[object]]:
        """The strides with which each kernel is used."""
        found: dict[Key, set[object]] = {}
        for operation in self.operations:
            if operation.parameter is not None and isinstance(operation.operator, Kernel):
                found.setdefault(operation.parameter, set()).add(operation.operator.stride)
        return found


def expand_program(program: Program, problems: Problems) -> Expansion:
    """Expand a program; a value without a definition, with two, or in a circle is reported and left out."""
    work = _Demand(program, problems)
    work.run()
    return work.expansion


_Match = Callable[[tuple[int, ...]], "dict[str, int] | None"]
"""The index names for which the left side of an equation is a value."""
_Need = tuple[Read | Reads, Key]
_Asked = tuple[Read | Reads, Key, tuple[Instance, list[list[Key]]] | None]


@dataclass(slots=True)
class _Needs:
    """What an instance reads: the values of each read, and in which order they are to be computed."""

    keys: list[list[Key]]
    values: list[_Need]
    terms: list[_Need]


class _Demand:
    """A walk backwards from the output with an explicit stack, because chains may be long.

    With `r@i = r@i-1 + A * r@i-1` for i = 1..2, `r@0 = f` and `h = linear ∘ avgpool(r@2)`:

    asked for   h → r@2 → r@1 → r@0 → f
    operations  f | A * r@0, + | A * r@1, + | avgpool, linear; `r@0` is that of f, and needs none
    """

    def __init__(self, program: Program, problems: Problems) -> None:
        self.program = program
        self.problems = problems
        self.expansion = Expansion(program)
        self.families: dict[tuple[str, int], list[tuple[Template, _Match]]] = defaultdict(list)
        self.exact: dict[Key, list[Template]] = defaultdict(list)
        for template in program.templates:
            if any(position.base is not None for position in template.left):
                match = left_function(template.left, template.ranges, template.level, program.ranges)
                self.families[template.family, len(template.left)].append((template, match))
            else:
                self.exact[template.family, tuple(p.offset for p in template.left)].append(template)
        self.conditional = {name for name, rule in program.ties.items() if rule.clauses}
        self.inner = {template.family for template in program.templates if template.is_inner}
        self.variants: dict[tuple[int, tuple[bool, ...]], Template] = {}
        self.weights: dict[int, int] = {}
        self.parts = {
            name: sum(a.formula.parts // PARTS_FOR_FREE for each in d.every() for a in each.attributes.values())
            for name, d in program.parameters.items()
        }
        """What the formulas of a parameter add to the weight of an equation that uses it."""
        self.terms: dict[Key, tuple[Instance, _Needs]] = {}
        """Terms of reductions that are asked for, and not visited yet."""
        self.open: dict[Key, Read | Reads] = {}
        self.errors = _ExpansionErrors(program, problems, self.open)
        self.asked = 0
        """Operations of the instances that were visited so far."""
        for family in program.inputs:
            for key in family.keys:
                at = self.expansion.values[key] = len(self.expansion.operations)
                self.expansion.operations.append(Operation(Input(), (), None, None, -1, at, family.statement.span))

    def run(self) -> None:
        program = self.program
        stack: list[_Asked] = [(Read(o.name, (), o.span), o.key, None) for o in reversed(program.outputs)]
        while stack and self.asked <= MOST_OPERATIONS:
            read, key, instance = stack.pop()
            if instance is not None:
                del self.open[key]
                self.finish(*instance)
            elif key in self.expansion.values:
                continue
            elif key in self.open:
                self.errors.circle(read, key)
                self.fail(key, read.span)
            else:
                self.visit(read, key, stack)
        if self.asked > MOST_OPERATIONS:
            report_size(program.outputs[0].span, self.problems)
            self.problems.stop_if_any()

    def weight(self, template: Template) -> int:
        found = self.weights.get(id(template))
        if found is None:
            found = len(template.steps)
            for step in template.steps:
                formulas = step.channels if step.factor is None else (step.factor, *step.channels)
                found += sum([formula.parts // PARTS_FOR_FREE for formula in formulas]) if formulas else 0
                found += self.parts.get(step.use.name, 0) if step.use is not None else 0
            self.weights[id(template)] = found
        return found

    def fail(self, key: Key, span: Span) -> None:
        """A value that is wrong and reported: a zero stands for it, from which no other error follows."""
        self.expansion.values[key] = len(self.expansion.operations)
        self.expansion.operations.append(Operation(Zero(), (), None, None, -1, 0, span))

    def visit(self, read: Read | Reads, key: Key, stack: list[_Asked]) -> None:
        instance, asked = self.terms.pop(key, None) or (self.define(read, key), None)
        if instance is not None and asked is None:
            asked = self.asks(instance)
        if instance is None or asked is None:
            self.fail(key, read.span)
            return
        self.open[key] = read
        if key[0] not in self.inner:
            self.asked += max(1, self.weight(instance.template))
        stack.append((read, key, (instance, asked.keys)))
        stack += [(need, at, None) for need, at in [*reversed(asked.terms), *reversed(asked.values)]]

    def define(self, read: Read | Reads, key: Key) -> Instance | None:
        """The one equation that defines a value; None also when that equation is wrong itself."""
        found: list[tuple[Template, dict[str, int]]] = []
        if key in self.exact:
            found += [(template, {}) for template in self.exact[key]]
        for template, match in self.families.get((key[0], len(key[1])), ()):
            binding = match(key[1])
            if binding is not None and (template.turns is None or binding in template.turns):
                found.append((template, binding))
        if len(found) > 1:
            found = self.most_special(key, found)
        if len(found) == 1:
            template, binding = found[0]
            if template.lacks is not None:
                self.errors.undeclared(template.lacks, template.lacks.key(binding), key)
            if template.result is None:
                return None
            return Instance(self.tied(template, binding) if self.conditional else template, binding, key)
        if found:
            self.errors.double(key, [template for template, _ in found])
        else:
            self.errors.undefined(read, key)
        return None

    def most_special(
        self, key: Key, found: list[tuple[Template, dict[str, int]]]
    ) -> list[tuple[Template, dict[str, int]]]:
        """Of several equations for one value those with most numbers on their left: `x@1` rather than `x@i`."""
        most = max(template.numbers for template, _ in found)
        special = [one for one in found if one[0].numbers == most]
        if len(special) == 1:
            others = [template.statement for template, _ in found if template.numbers < most]
            self.expansion.passed_over[key] = (special[0][0].statement, others[0])
        return special

    def tied(self, template: Template, binding: Binding) -> Template:
        """The equation with the tags that `tie … for …` leaves at this choice of its indices."""
        uses = [step.use for step in template.steps if step.use is not None and step.use.name in self.conditional]
        if not uses:
            return template
        rules = [self.program.ties[use.name] for use in uses]
        try:
            tags = [tuple(position.value(binding) for position in use.tag) for use in uses]
            holds = tuple(rule.holds(tag) for rule, tag in zip(rules, tags, strict=True))
        except (OutOfRange, NotWhole):
            return template
        if (id(template), holds) not in self.variants:
            answers = iter(holds)
            steps = tuple(self.tied_step(step, answers) for step in template.steps)
            self.variants[id(template), holds] = replace(template, steps=steps) if any(holds) else template
        return self.variants[id(template), holds]

    def tied_step(self, step: Step, answers: Iterator[bool]) -> Step:
        if step.use is None or step.use.name not in self.conditional or not next(answers):
            return step
        kept = tuple(step.use.tag[place] for place in self.program.ties[step.use.name].kept)
        return replace(step, use=replace(step.use, positions=kept))

    def asks(self, instance: Instance) -> _Needs | None:
        """What an instance needs: values of equations, then the terms of reductions, each after its own terms.

        What the terms need themselves comes first, so that they are computed together, in loops.
        """
        needed: dict[Key, Read | Reads] = {}
        found = _Needs([], [], [])
        for read in instance.template.reads:
            keys = self.keys(read, instance)
            if keys is None:
                return None
            found.keys.append(keys)
            for key in keys:
                needed.setdefault(key, read)
        for key, read in needed.items():
            if key[0] not in self.inner:
                found.values.append((read, key))
                continue
            term, asked = self.terms.get(key, (None, None))
            if term is None:
                term = self.define(read, key)
                self.asked += self.weight(term.template) if term else 0
                asked = None if term is None or self.asked > MOST_OPERATIONS else self.asks(term)
            if term is None or asked is None:
                return None
            self.terms[key] = term, asked
            found.values += asked.values
            found.terms += [*asked.terms, (read, key)]
        return found

    def keys(self, read: Read | Reads, instance: Instance) -> list[Key] | None:
        try:
            keys = read.keys(instance.binding)
        except OutOfRange as error:
            return self.errors.out_of_range(error, read.span, instance.value)
        except NotWhole as error:
            return self.errors.not_whole(error, read.span, instance.binding, instance.value)
        return keys or self.errors.empty(read, instance.value, instance.binding)

    def finish(self, instance: Instance, keys: list[list[Key]]) -> None:
        """Append the operations of an instance; `keys` are the values of each of its reads, all of them computed."""
        operations, number, values = self.expansion.operations, len(self.expansion.instances), self.expansion.values
        start, template = len(operations), instance.template
        found = iter([[values[key] for key in some] for some in keys])
        for at, step in enumerate(template.steps):
            operands: list[int] = []
            for operand in step.operands:
                if isinstance(operand, int):
                    operands.append(start + operand)
                else:
                    operands += next(found)
            operation = self.operation(step, at, instance, number, tuple(operands))
            if operation is None:
                del operations[start:]
                self.fail(instance.value, step.span)
                return
            operations.append(operation)
        result = template.result
        instance.result = values[instance.value] = start + result if isinstance(result, int) else next(found)[0]
        self.expansion.instances.append(instance)

    def operation(
        self, step: Step, at: int, instance: Instance, number: int, operands: tuple[int, ...]
    ) -> Operation | None:
        operator, binding, use = step.operator, instance.binding, step.use
        key, tag, statistics = None, None, None
        try:
            if step.factor is not None and isinstance(operator, WithNumber):
                operator = replace(operator, factor=_as_factor(step.factor.value(binding)))
            if isinstance(operator, SplitChannels):
                operator = replace(operator, place=int(step.channels[0].value(binding)))
            elif step.channels:
                first, last = (formula.value(binding) for formula in step.channels)
                if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last <= LARGEST_SIZE):
                    return self.errors.no_channels(step, (first, last), instance.value)
                operator = Channels(first, last)
            if step.settings:
                operator = replace(operator, **{name: formula.value(binding) for name, formula in step.settings})
            if use is not None:
                tag = use.tag_at(binding)
                is_whole = use.positions is use.tag
                key = (use.name, tag if is_whole else tuple([position.value(binding) for position in use.positions]))
                declaration = self.program.parameters.get(use.name)
                if declaration is not None and declaration.cases and declaration.at(tag) is None:
                    return self.errors.undeclared(use, (use.name, tag), instance.value)
            if step.statistics is not None:
                statistics = (step.statistics.name, tuple([p.value(binding) for p in step.statistics.positions]))
        except OutOfRange as error:
            return self.errors.out_of_range(error, step.span, instance.value)
        except NotWhole as error:
            span = step.use.span if step.use is not None else step.span
            return self.errors.not_whole(error, span, binding, instance.value)
        except NoNumber as error:
            return self.errors.no_number(error, step.terms[0] if step.terms else step.span, instance.value)
        return Operation(operator, operands, key, tag, number, at, step.span, statistics)


def _as_factor(value: Number) -> Number:
    """A number that tensors can be multiplied with. Raises NoNumber.

    torch takes whole numbers of 64 bits, and float32 has a largest number.
    """
    if abs(value) > LARGEST_FLOAT:
        raise NoNumber("it is too large for float32")
    return float(value) if abs(value) >= 2**63 else value
