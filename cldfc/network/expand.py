"""Program → operations, by demand: the network is what the output needs, evaluated backwards."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from cldfc.diagnostics import Label, Problems, Span
from cldfc.network.limits import MOST_OPERATIONS, report_size
from cldfc.network.program import Binding, OutOfRange, Position, Program, Read, Template
from cldfc.ops import Input, Operator
from cldfc.syntax.format import format_symbol

Key = tuple[str, tuple[int, ...]]
"""A value or a parameter: its name and the values of its tag."""


def format_key(key: Key) -> str:
    """`r@2,0`."""
    name, indices = key
    return f"{name}@{','.join(map(str, indices))}" if indices else name


@dataclass(slots=True)
class Operation:
    """One operation of the network; operands are positions in the list of operations."""

    operator: Operator
    operands: tuple[int, ...]
    parameter: Key | None
    instance: int
    step: int
    span: Span


@dataclass(slots=True)
class Instance:
    """An equation at one choice of its indices, which defines one value."""

    template: Template
    binding: dict[str, int]
    value: Key
    result: int = -1


@dataclass
class Expansion:
    """The operations of a network, operands before what uses them; the input is operation 0."""

    program: Program
    problems: Problems
    operations: list[Operation] = field(default_factory=list[Operation])
    instances: list[Instance] = field(default_factory=list[Instance])
    values: dict[Key, int] = field(default_factory=dict[Key, int])


def expand_program(program: Program, problems: Problems) -> Expansion:
    """Expand a program. Raises CldfError: a value without a definition, with two, or in a circle."""
    work = Demand(program, problems)
    work.run()
    problems.stop_if_any()
    return work.expansion


class Demand:
    """A walk backwards from the output with a stack of its own, for chains may be long."""

    def __init__(self, program: Program, problems: Problems) -> None:
        self.program = program
        self.problems = problems
        self.expansion = Expansion(program, problems)
        self.families: dict[tuple[str, int], list[Template]] = defaultdict(list)
        self.exact: dict[Key, list[Template]] = defaultdict(list)
        for template in program.templates:
            self.enter(template)
        self.open: dict[Key, Read] = {}
        self.failed: set[Key] = set()
        self.expansion.operations.append(Operation(Input(), (), None, -1, 0, program.input.span))
        self.expansion.values[program.input.name, ()] = 0

    def enter(self, template: Template) -> None:
        """File an equation under its family, or under its value when that has no index names."""
        if all(position.base is None for position in template.left):
            self.exact[template.family, tuple(p.offset for p in template.left)].append(template)
        else:
            self.families[template.family, len(template.left)].append(template)

    def run(self) -> None:
        """Expand what the output needs."""
        program = self.program
        stack: list[tuple[Read, Key, Instance | None]] = []
        start = Read(program.output, (), program.output_span)
        stack.append((start, (program.output, ()), None))
        while stack and len(self.expansion.operations) <= MOST_OPERATIONS and len(stack) <= MOST_OPERATIONS:
            read, key, instance = stack.pop()
            if instance is not None:
                del self.open[key]
                self.finish(instance)
            elif key in self.failed or key in self.expansion.values:
                continue
            elif key in self.open:
                self.report_circle(read, key)
                self.failed.add(key)
            else:
                self.visit(read, key, stack)
        if stack or len(self.expansion.operations) > MOST_OPERATIONS:
            report_size(program.output_span, self.problems)

    def visit(self, read: Read, key: Key, stack: list[tuple[Read, Key, Instance | None]]) -> None:
        """Find the equation for a value, and ask for what it needs first."""
        instance = self.define(read, key)
        needs = None if instance is None else self.needs(instance)
        if instance is None or needs is None:
            self.failed.add(key)
            return
        self.open[key] = read
        stack.append((read, key, instance))
        stack += [(need, at, None) for need, at in reversed(needs)]

    def define(self, read: Read, key: Key) -> Instance | None:
        """The one equation that defines a value."""
        found: list[tuple[Template, dict[str, int]]] = [(template, {}) for template in self.exact.get(key, ())]
        for template in self.families.get((key[0], len(key[1])), ()):
            binding = self.match(template, key[1])
            if binding is not None:
                found.append((template, binding))
        if len(found) == 1:
            return Instance(*found[0], key)
        if found:
            self.report_double(key, [template for template, _ in found])
        else:
            self.report_undefined(read, key)
        return None

    def match(self, template: Template, indices: tuple[int, ...]) -> dict[str, int] | None:
        """The values of an equation's index names for which its left side is a value, if any."""
        binding: dict[str, int] = {}
        for position, index in zip(template.left, indices, strict=True):
            if isinstance(position.base, str):
                if binding.setdefault(position.base, index - position.offset) != index - position.offset:
                    return None
        try:
            agrees = all(p.value(binding) == index for p, index in zip(template.left, indices, strict=True))
            level = indices[template.level]
            inside = agrees and all(self.inside(p, binding, level) for p in template.left)
        except OutOfRange:
            return None
        return binding if inside else None

    def inside(self, position: Position, binding: Binding, level: int) -> bool:
        """Whether an index name, and its index on the left side, stay inside the declared range."""
        if not isinstance(position.base, str):
            return True
        range, value = self.program.ranges[position.base], binding[position.base]
        return range.contains(value, level) and range.contains(value + position.offset, level)

    def needs(self, instance: Instance) -> list[tuple[Read, Key]] | None:
        """The values that an instance reads, each once."""
        needed: dict[Key, Read] = {}
        for read in instance.template.reads():
            key = self.key(read.family, read.positions, instance, read.span)
            if key is None:
                return None
            needed.setdefault(key, read)
        return [(read, key) for key, read in needed.items()]

    def key(self, name: str, positions: tuple[Position, ...], instance: Instance, span: Span) -> Key | None:
        """A name with its tag's values at an instance, or a report."""
        try:
            return name, tuple(position.value(instance.binding) for position in positions)
        except OutOfRange as error:
            self.problems.report(
                "E0305",
                f"`{format_key(instance.value)}` needs `{error.constant.name}@{error.position}`, which has no value",
                span,
                f"needs `{error.constant.name}@{error.position}`",
                error.constant.help_for_values(),
                Label(error.constant.span, "declared here"),
            )
            return None

    def finish(self, instance: Instance) -> None:
        """Append the operations of an instance whose operands are there."""
        values, nodes = self.expansion.values, list[int]()
        number = len(self.expansion.instances)

        def resolve(operand: int | Read) -> int | None:
            if isinstance(operand, int):
                return nodes[operand]
            key = self.key(operand.family, operand.positions, instance, operand.span)
            return None if key is None else values.get(key)

        for at, step in enumerate(instance.template.steps):
            operands = [resolve(operand) for operand in step.operands]
            parameter = step.use and self.key(step.use.name, step.use.positions, instance, step.span)
            if None in operands or (step.use is not None and parameter is None):
                self.failed.add(instance.value)
                return
            known = tuple(operand for operand in operands if operand is not None)
            nodes.append(len(self.expansion.operations))
            self.expansion.operations.append(Operation(step.operator, known, parameter, number, at, step.span))
        result = resolve(instance.template.result)
        if result is None:
            self.failed.add(instance.value)
            return
        instance.result = values[instance.value] = result
        self.expansion.instances.append(instance)

    # What can be wrong

    def report_undefined(self, read: Read, key: Key) -> None:
        """A value that no equation defines."""
        name, indices = key
        if self.problems.explain(name):
            return
        equations = [t for t in self.program.templates if t.family == name and len(t.left) == len(indices)]
        places = [Label(t.statement.left.span, f"defines {self.extent(t)}") for t in equations]
        asker = next(reversed(self.open), None)
        self.problems.report(
            "E0302",
            f"nothing defines `{format_key(key)}`",
            read.span,
            "declared as the output" if asker is None else f"needed for `{format_key(asker)}`",
            f"write an equation for it: `{format_key(key)} = …`",
            *places,
        )

    def extent(self, template: Template) -> str:
        """For which indices an equation holds, as a reader would say it."""
        extents: list[str] = []
        for name in dict.fromkeys(p.base for p in template.left if isinstance(p.base, str)):
            shifts = [0, *(p.offset for p in template.left if p.base == name)]
            range = self.program.ranges[name]
            lower, upper = range.lower.shifted(-min(shifts)), range.upper.shifted(-max(shifts))
            extents.append(f"{name} = {lower}" if lower == upper else f"{name} = {lower}..{upper}")
        left = format_symbol(template.statement.left)
        return f"`{left}`" + (f" for {', '.join(extents)}" if extents else "")

    def report_double(self, key: Key, templates: list[Template]) -> None:
        """A value that several equations define."""
        first, second = sorted(templates, key=lambda t: t.statement.span.start)[:2]
        self.problems.report(
            "E0303",
            f"`{format_key(key)}` is defined twice",
            second.statement.left.span,
            f"defines `{format_key(key)}`",
            "remove one of the two, or change its indices so that only one holds there",
            Label(first.statement.left.span, f"defines `{format_key(key)}` too"),
        )

    def report_circle(self, read: Read, key: Key) -> None:
        """A value that needs itself."""
        circle = list(self.open)[list(self.open).index(key) :]
        shown = [*circle[:4], *([] if len(circle) <= 4 else [("…", ())]), key]
        links = pairwise(circle[:4])
        others = [Label(self.open[at].span, f"`{format_key(by)}` needs `{format_key(at)}`") for by, at in links]
        self.problems.report(
            "E0304",
            f"`{format_key(key)}` needs itself: {' ← '.join(map(format_key, shown))}",
            read.span,
            f"`{format_key(circle[-1])}` needs `{format_key(key)}`",
            "let one of them start from a value that is known, such as `u@1,0 = 0`",
            *others,
        )
