"""`forward`: the equations of a network in its loops."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cldfc.emit import python
from cldfc.emit.loops import ForLoop, History, Item, Leaf, Site, Turn, sites, turns
from cldfc.emit.naming import TEMPORARIES, Naming, Ownership, ParameterUse, over_loops, variables
from cldfc.emit.python import loop_name, snake_case
from cldfc.emit.recursion import Recursions, Visit
from cldfc.emit.signature import SignatureWriter
from cldfc.emit.sizes import number_text
from cldfc.emit.statements import CodeNames, Outlines, format_shapes, gather_iterations, write_equation
from cldfc.network.graph import Graph, Node
from cldfc.network.positions import Key, Position, Positions
from cldfc.network.program import Call, Operand, Read, Reads, Step, Template
from cldfc.ops import (
    Channels,
    ConjugateGradients,
    ConvolutionAdjoint,
    Iterated,
    Kernel,
    Operator,
    SplitChannels,
    Spreading,
    Statistics,
    Unknown,
    WithNumber,
    Zero,
)
from cldfc.ops.convolution import PADDINGS, SIDES
from cldfc.ops.pointwise import Relu
from cldfc.ops.size import formula_of
from cldfc.syntax import tree
from cldfc.syntax.format import format_let
from cldfc.syntax.keywords import LOCALS
from cldfc.syntax.spelling import ascii_name

_ARGUMENT = "x"
_WITH_MORE = (Iterated, SplitChannels, Unknown, WithNumber, Zero)
"""Operators that are written with more than the names of their operands and modules."""
_NEEDED = (*SIDES[3], *PADDINGS[3], "groups", "dilation", "bias")
"""Arguments of a function that is called in place of a kernel's module."""


@dataclass(frozen=True, slots=True)
class _Region:
    """The steps of an equation that come from one use of a named operator, and the value that it is applied to."""

    site: Site
    call: Call
    steps: tuple[int, ...]
    argument: Operand

    @property
    def template(self) -> Template:
        """The equation."""
        return self.site.leaf.template

    def body(self) -> tuple[Step, ...]:
        """The steps of the operator alone, applied to a value called `x`."""
        places = {at: place for place, at in enumerate(self.steps)}
        argument = Read(_ARGUMENT, (), self.call.span)
        return tuple(
            replace(
                step, operands=tuple(places[o] if isinstance(o, int) and o in places else argument for o in operands)
            )
            for step, operands in ((self.template.steps[at], self.template.steps[at].operands) for at in self.steps)
        )

    def structure(self) -> Hashable:
        """What two uses must have in common to be calls of one method."""
        steps = (
            (
                _as_called(step),
                step.in_call,
                tuple(operand if isinstance(operand, int) else -1 for operand in step.operands),
                step.use and (step.use.name, len(step.use.positions)),  # a `tie` with clauses leaves some with fewer
            )
            for step in self.body()
        )
        return id(self.call.statement), tuple(steps)


def _as_called(step: Step) -> Hashable:
    """What a step does, except what its module alone knows: a stride, the number of outputs."""
    if step.use is None:
        return step.operator
    return type(step.operator), step.operator.torch([_ARGUMENT for _ in step.operands], "module")


@dataclass(frozen=True, slots=True)
class _Method:
    """A named operator: one of its uses, and the places of its parameters over indices that are arguments."""

    name: str
    statement: tree.Let
    region: _Region
    indices: tuple[str, ...]
    places: Mapping[int, Positions]
    factors: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _MethodCall:
    """A use of a method, with the positions for its indices."""

    method: _Method
    region: _Region
    indices: Positions

    @property
    def steps(self) -> tuple[int, ...]:
        return self.region.steps

    @property
    def result(self) -> int:
        return self.region.steps[-1]

    @property
    def arguments(self) -> list[Operand]:
        return [self.region.argument]


class _Methods:
    """The methods of a class, and where each equation calls them."""

    def __init__(
        self, names: Naming, ownership: Ownership, place_at: Mapping[tuple[int, int], ParameterUse], sites: list[Site]
    ) -> None:
        self.names = names
        self.fits = ownership.fits
        self.place_at = place_at
        self.found: list[_Method] = []
        self.calls: dict[int, list[_MethodCall]] = {}
        self.number_of = {instance.value: number for number, instance in enumerate(names.graph.instances)}
        groups: dict[Hashable, list[_Region]] = {}
        for site in sites:
            for region in _regions_of(site):
                spread = [self.spread(region, at) for at in range(len(region.steps))]
                groups.setdefault((region.structure(), *spread), []).append(region)
        named: set[str] = set()
        for regions in groups.values():
            name = regions[0].call.name
            if len(regions) > 1 and name not in named and self.make(regions[0].call.statement, regions):
                named.add(name)

    def make(self, statement: tree.Let, regions: list[_Region]) -> bool:
        """A method for these uses, if the parameters of all are the same but for indices."""
        turn_of = [(use, turn) for use, region in enumerate(regions) for turn in turns(region.site.route)]
        given: dict[str, list[Position]] = {}
        for index in regions[0].call.values:
            given[index] = [region.call.values[index].substitute(region.site.leaf.binding()) for region in regions]
        places: dict[int, Positions] = {}
        factors: dict[int, str] = {}
        for at, step in enumerate(regions[0].body()):
            if step.factor is not None or step.in_call is not None:
                number = self.number([(regions[use], turn) for use, turn in turn_of], at)
                if number is None:
                    return False
                factors[at] = number
            if step.use is None:
                continue
            uses = [self.place_at[id(region.site.leaf), region.steps[at]] for region in regions]
            if not all(map(self.fits, uses)):
                return False
            found: list[Position] = []
            for place, own in enumerate(step.use.positions):
                here = [use.positions[place] for use in uses]
                position = _among(here, given, turn_of)
                if position is None:
                    if not isinstance(own.base, str) or own.base in given:
                        return False
                    given[own.base] = here
                    position = Position(own.base, 0)
                found.append(position)
            places[at] = tuple(found)
        needed = {position.base for some in places.values() for position in some}
        indices = tuple(index for index in given if index in needed)
        wanted = snake_case(statement.symbol.name)
        taken = wanted in self.names.locals.taken
        name = self.names.attributes.name(("method", statement.symbol.name), f"apply_{wanted}" if taken else wanted)
        method = _Method(name, statement, regions[0], indices, places, factors)
        self.found.append(method)
        for use, region in enumerate(regions):
            call = _MethodCall(method, region, tuple(given[index][use] for index in indices))
            self.calls.setdefault(id(region.site.leaf), []).append(call)
        return True

    def number(self, at_turns: Sequence[tuple[_Region, Turn]], at: int) -> str | None:
        """The number of a scaling, or a setting of a call, if it is the same in all uses."""
        values: set[int | float] = set()
        for region, turn in at_turns:
            step = region.template.steps[region.steps[at]]
            formula = step.factor or step.in_call
            binding = {name: p.value(turn) for name, p in region.site.leaf.binding().items()}
            values |= {formula.value(binding)} if formula is not None else set()
        return number_text(values.pop()) if len(values) == 1 else None

    def spread(self, region: _Region, at: int) -> tuple[int, ...]:
        """The operands of one of its steps that are vectors beside maps."""
        turn, binding = turns(region.site.route)[0], region.site.leaf.binding()
        value = region.template.family, tuple(p.substitute(binding).value(turn) for p in region.template.left)
        return _spread_operands(self.names.graph, region.template, self.number_of[value]).get(region.steps[at], ())

    def lines(self) -> list[str]:
        """The methods."""
        return [line for method in self.found for line in [*self.method(method), ""]]

    def method(self, method: _Method) -> list[str]:
        """One method, with its equation as docstring."""
        body = method.region.body()
        template = replace(method.region.template, steps=body, result=len(body) - 1)
        readers = sum(not isinstance(operand, int) for step in body for operand in step.operands)
        # The argument is called `x`, too, and is written over where it is read once.
        names = TEMPORARIES[readers > 1 :]
        vocabulary = CodeNames(
            read=lambda _: _ARGUMENT,
            apply=lambda at, step, operands: self.apply(method, at, step, operands),
            temporaries=[name for name in names if name not in self.names.loops],
            spread=lambda at: self.spread(method.region, at),
        )
        arguments = [f"{_ARGUMENT}: torch.Tensor", *(f"{loop_name(index)}: int" for index in method.indices)]
        return [
            *python.call(f"def {method.name}", ["self", *arguments], " -> torch.Tensor:", 1),
            *python.indent(
                [f'"""{format_let(method.statement)}"""', *write_equation(template, vocabulary, "return ", 2)]
            ),
        ]

    def apply(self, method: _Method, at: int, step: Step, operands: list[str]) -> str:
        """An operator in a method."""
        if at in method.factors:
            return step.operator.torch(operands, method.factors[at])
        module = self.names.module(step.use.name, method.places[at]) if step.use is not None else ""
        return step.operator.torch(operands, module)

    def collapse(
        self, template: Template, calls: Sequence[_MethodCall | Visit]
    ) -> tuple[Template, list[int], dict[int, _MethodCall | Visit]]:
        """An equation with calls in place of steps, the number that each step had before, and the calls by theirs."""
        if not calls:
            return template, list(range(len(template.steps))), {}
        ends = {call.result: call for call in calls}
        inside = {at for call in calls for at in call.steps} - ends.keys()
        kept = [at for at in range(len(template.steps)) if at not in inside]
        new = {at: place for place, at in enumerate(kept)}

        def renumber(operand: Operand) -> Operand:
            return new[operand] if isinstance(operand, int) else operand

        steps: list[Step] = []
        for at in kept:
            step = template.steps[at]
            if at in ends:  # Whatever the method does last, its use is a call, as that of a pointwise function is.
                step = Step(Relu(), tuple(ends[at].arguments), None, step.span)
            steps.append(replace(step, operands=tuple(map(renumber, step.operands))))
        result = template.result if not isinstance(template.result, int) else new[template.result]
        return replace(template, steps=tuple(steps), result=result), kept, {new[at]: call for at, call in ends.items()}

    def call(self, call: _MethodCall, operand: str) -> str:
        """`self.cal_b(x, level, i)`."""
        indices = (self.names.sizes.position(position) for position in call.indices)
        return f"self.{call.method.name}({', '.join([operand, *indices])})"


def _among(
    here: Sequence[Position], given: Mapping[str, Sequence[Position]], turn_of: Sequence[tuple[int, Turn]]
) -> Position | None:
    """Positions of several uses as a number, or as one of the indices that are given for each use, plus a number."""
    values = [here[use].value(turn) for use, turn in turn_of]
    for index, positions in given.items():
        offsets = {value - positions[use].value(turn) for value, (use, turn) in zip(values, turn_of, strict=True)}
        if len(offsets) == 1:
            return Position(index, offsets.pop())
    return Position(None, values[0]) if len(set(values)) == 1 else None


def _regions_of(site: Site) -> list[_Region]:
    """The uses of named operators in an equation that could be calls.

    An equation that draws random numbers is left alone, because their order must not change.
    """
    template = site.leaf.template
    by_call: dict[Call, list[int]] = {}
    for at, step in enumerate(template.steps):
        if step.call is not None:
            by_call.setdefault(step.call.chain()[0], []).append(at)
    if by_call and any(not step.operator.repeatable and step.use is None for step in template.steps):
        return []
    found = (_region_of(site, call, steps) for call, steps in by_call.items())
    return [region for region in found if region is not None]


def _region_of(site: Site, call: Call, at: list[int]) -> _Region | None:
    """These steps as a use of a named operator, if they are all of it, a kernel and something else among them."""
    template = site.leaf.template
    steps = [template.steps[place] for place in at]
    if any(one.is_recursive for step in steps if step.call for one in step.call.chain()):
        return None
    if len(at) != call.size or len(at) < 2 or not any(isinstance(step.operator, Kernel) for step in steps):
        return None
    if any(isinstance(step.operator, Zero) or step.statistics is not None for step in steps):
        return None
    if any(step.operator.is_adjoint for step in steps):
        return None  # the size of its result may differ from use to use
    if not {name for position in call.values.values() for name in variables(position)} <= set(site.leaf.names):
        return None  # several equations share what it computes, and that has index names of its own
    inside = set(at)
    outer = [o for step in steps for o in step.operands if not (isinstance(o, int) and o in inside)]
    if not outer or any(isinstance(operand, Reads) for operand in outer) or len({_meaning(o) for o in outer}) > 1:
        return None
    others = [o for n, step in enumerate(template.steps) if n not in inside for o in step.operands]
    if inside.intersection([o for o in [*others, template.result] if isinstance(o, int)]) != {at[-1]}:
        return None
    return _Region(site, call, tuple(at), outer[0])


def _spread_operands(graph: Graph, template: Template, number: int) -> dict[int, tuple[int, ...]]:
    """The steps with vectors beside maps among their operands, and their places; the same in all turns of the loops."""
    found: dict[int, tuple[int, ...]] = {}
    for at, step in enumerate(template.steps):
        if isinstance(step.operator, Spreading) and step.operator.takes_vectors:
            node = graph.members[number][at]
            shapes = [graph.node(operand).shape for operand in graph.inputs[node]]
            if places := step.operator.vectors(shapes, graph.node(node).shape):
                found[at] = places
    return found


def _meaning(operand: Operand) -> Hashable:
    """What an operand is, wherever it stands in the text."""
    return operand if isinstance(operand, int) else (operand.family, operand.positions)


def _is_sum(text: str) -> bool:
    """Whether an expression in Python is a sum or a difference."""
    expression = ast.parse(text, mode="eval").body
    return isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add | ast.Sub)


class Forward:
    """Writes `forward`."""

    def __init__(
        self, names: Naming, ownership: Ownership, places: Sequence[ParameterUse], items: Sequence[Item]
    ) -> None:
        self.names = names
        self.graph = names.graph
        self.ownership = ownership
        self.items = items
        every = list(sites(items))
        self.place_at: dict[tuple[int, int], ParameterUse] = {}
        self.statistics_at: dict[tuple[int, int], ParameterUse] = {}
        for place in places:
            at = self.statistics_at if isinstance(place.operator, Statistics) else self.place_at
            at[id(place.site.leaf), place.step] = place
        self.methods = _Methods(names, ownership, self.place_at, every)
        self.site_of = {id(site.leaf): site for site in every}
        self.number_of = self.methods.number_of
        self.recursions = Recursions(names, ownership, self.place_at, self.node_with_shapes)
        self.recursions.find(list(self.site_of.values()))
        self.signature = SignatureWriter(names)
        self.outputs = self.graph.program.output_keys
        self.outlines = Outlines(names.temporaries)
        self.simple: dict[int, bool] = {}
        """Whether an operator is written with the names of its operands and modules alone, by its identity."""

    def lines(self) -> list[str]:
        """Checks of the inputs, the equations in the loops of the network, and the return of several outputs."""
        equations = self.equations()
        return [*self.signature.checks(), *equations, *self.signature.result()]

    def equations(self) -> list[str]:
        kept = dict.fromkeys(family for family, slot in self.names.slots.items() if slot)
        names = [self.names.locals.name(family, family[0]) for family in kept]
        return [
            *(f"{name}: dict[{self.key_type(f)}, torch.Tensor] = {{}}" for f, name in zip(kept, names, strict=True)),
            *(
                f"{self.names.locals.name(family, family[0])}: tuple[torch.Tensor, ...] = ()"
                for family, history in self.names.histories.items()
                if history.length
            ),
            *self.compute(self.items, 2),
        ]

    def key_type(self, family: tuple[str, int]) -> str:
        """The type of the key under which values of a family are kept."""
        arity = len(self.names.slots[family])
        return "int" if arity == 1 else f"tuple[{', '.join(['int'] * arity)}]"

    def compute(self, items: Sequence[Item], depth: int) -> list[str]:
        """The lines of one container of the schedule."""
        lines: list[str] = []
        for item in items:
            if isinstance(item, ForLoop):
                lines += self.names.loop(item, self.compute(item.body, depth + 1), self.compute(item.rest, depth + 2))
            else:
                lines += self.equation(self.site_of[id(item)], depth)
        return lines[1:] if lines[:1] == [""] else lines

    def equation(self, site: Site, depth: int) -> list[str]:
        """One equation, under a comment that names it and its shapes."""
        leaf, template = site.leaf, site.leaf.template
        left = over_loops(template.left, leaf)
        values = [(template.family, tuple([p.value(turn) for p in left])) for turn in turns(site.route)]
        comment = f"# {template.label(left)}: {format_shapes([self.graph.shape(v) for v in values])}"
        used = [*self.methods.calls.get(id(leaf), ()), *self.recursions.uses.get(id(leaf), ())]
        outlined = None if used else self.outlined(site)
        template, numbers, calls = self.methods.collapse(template, used)
        if outlined is None:
            template, order = gather_iterations(template)
            numbers, calls = [numbers[at] for at in order], {order.index(at): call for at, call in calls.items()}
        spread = _spread_operands(self.graph, leaf.template, self.number_of[values[0]])

        def write(target: str, held: Iterable[int] = ()) -> list[str]:
            if outlined is not None and not held:
                form, gaps = outlined
                lines = self.outlines.lines(template, (*form, *spread.items()), spread, [target, *gaps], depth)
                if lines is not None:
                    return lines
            vocabulary = CodeNames(
                read=lambda read: self.read(site, read),
                apply=lambda at, step, operands: (
                    self.call(calls[at], operands) if at in calls else self.apply(site, numbers[at], step, operands)
                ),
                temporaries=self.names.temporaries,
                spread=lambda at: spread.get(numbers[at], ()),
                define=lambda at: self.function(site, numbers[at]),
                reserved=LOCALS | self.names.loops,
            )
            return write_equation(template, vocabulary, target, depth, held)

        is_output = [(template.family, left)] == self.outputs and self.graph.shape(values[0]) != ()
        has_function = outlined is None and any(isinstance(step.operator, Iterated) for step in template.steps)
        heading = ["", comment] if has_function else [comment]
        if is_output:
            return [*heading, *write("return ")]
        history = self.names.histories.get((template.family, len(left)))
        new = self.names.temporaries[0]
        if history is not None and history.length:
            name = self.names.locals.name((template.family, len(left)), template.family)
            return [*heading, *write(f"{new} = "), f"{name} = ({new}, *{name}[:{history.length - 1}])"]
        shift = history.shifts[id(leaf)] if history else 0
        names = [self.names.variable(template.family, left, age) for age in range(shift + 1)]
        target = f"{names[0]} = "
        if history is None or not shift:
            lines = write(target)
            return [] if lines == [target + target.removesuffix(" = ")] else [*heading, *lines]
        moved = [f"{older} = {newer}" for newer, older in pairwise(names)][::-1]
        if not self.reads_older(leaf, history):
            # A temporary variable lets go of a larger map, of the level before, while the old value is alive.
            last = template.steps[-1].operands if len(template.steps) > 2 else ()
            held = [operand for operand in last if isinstance(operand, int) and len(last) == 1]
            return [*heading, *moved, *write(target, held)]
        shifted = f"{', '.join(names[::-1])} = {', '.join(names[-2::-1])}, "
        lines = write(shifted)
        if lines[-1].startswith(shifted) and python.fits(lines[-1], depth):
            return [*heading, *lines]
        return [*heading, *write(f"{new} = "), shifted + new]

    def outlined(self, site: Site) -> tuple[list[Hashable], list[str]] | None:
        """What an equation has in common with those that differ in names alone, and these names for its outline.

        They are what it reads, and the modules of its steps. None if it needs more.
        """
        leaf, form, names = site.leaf, list[Hashable](), list[str]()
        for at, step in enumerate(leaf.template.steps):
            operator, call = step.operator, step.call
            if step.channels or step.settings or not self.is_simple(operator):
                return None
            if call is not None and any(one.is_recursive for one in call.chain()):
                return None
            form.append(id(operator))
            for operand in step.operands:
                if isinstance(operand, int):
                    form.append(operand)
                else:
                    form.append("read")
                    names.append(self.read(site, operand))
            if step.use is not None:
                place = self.place_at[id(leaf), at]
                if isinstance(operator, Kernel) and not self.ownership.fits(place):
                    return None
                form.append("module")
                names.append(self.names.module(place.name, place.positions))
            if step.statistics is not None:
                own = self.statistics_at[id(leaf), at]
                form.append("statistics")
                names.append(self.names.module(own.name, own.positions))
        result = leaf.template.result
        if isinstance(result, Read):
            names.append(self.read(site, result))
            return [*form, "read"], names
        return [*form, result], names

    def is_simple(self, operator: Operator) -> bool:
        found = self.simple.get(id(operator))
        if found is None:
            needs_more = isinstance(operator, _WITH_MORE) or (
                isinstance(operator, Kernel) and (operator.is_adjoint or bool(operator.rules))
            )
            found = self.simple[id(operator)] = not needs_more
        return found

    def call(self, use: _MethodCall | Visit, operands: list[str]) -> str:
        return self.recursions.call(use, operands) if isinstance(use, Visit) else self.methods.call(use, operands[0])

    def reads_older(self, leaf: Leaf, history: History) -> bool:
        """Whether an equation reads values of its own family that others have followed."""
        family = (leaf.template.family, len(leaf.template.left))
        reads = [read for read in leaf.template.reads if (read.family, len(read.positions)) == family]
        return any(history.ages[id(leaf), read.positions] for read in reads)

    def read(self, site: Site, read: Read | Reads) -> str:
        """Another value, or those of a reduction: `x[j] for j in range(i)`."""
        if isinstance(read, Read):
            history = self.names.histories.get((read.family, len(read.positions)))
            age = history.ages[id(site.leaf), read.positions] if history else 0
            return self.names.variable(read.family, over_loops(read.positions, site.leaf), age)
        binding = site.leaf.binding()
        around = {hop.loop.variable for hop in site.route}
        free = (letter for letter in "jkmnpq" if letter not in self.names.locals.taken)
        name = next(name for name in (read.name, *free) if name not in around)
        inside = {**binding, read.name: Position(name, 0)}
        value = self.names.variable(read.family, tuple(p.substitute(inside) for p in read.positions))
        first = self.names.sizes.position(read.lower.substitute(binding))
        stop = self.names.sizes.position(read.upper.substitute(binding).shifted(1 if read.by > 0 else -1))
        return f"{value} for {python.counter(loop_name(name), [value])} in {python.count(first, stop, read.by)}"

    def apply(self, site: Site, at: int, step: Step, operands: list[str]) -> str:
        """An operator, with the module that holds its parameters."""
        if isinstance(step.operator, Zero):
            return self.zero(site, at)
        if isinstance(step.operator, Iterated):
            return step.operator.torch(operands, f"self.fixed_points, {self.told_as(site, at)}")
        if isinstance(step.operator, WithNumber):
            factor = self.factor(site, at)
            return step.operator.torch(operands, f"({factor})" if _is_sum(factor) else factor)
        if isinstance(step.operator, SplitChannels):
            return step.operator.torch(operands, self.part(site, at))
        if step.channels:
            return step.operator.torch(operands, self.channels(site, at))
        if step.use is None:
            return step.operator.torch(operands, self.setting(site, at))
        place = self.place_at[id(site.leaf), at]
        module = self.names.module(place.name, place.positions)
        if step.statistics is not None:
            own = self.statistics_at[id(site.leaf), at]
            operands = [*operands, self.names.module(own.name, own.positions)]
        has_strides = bool(site.leaf.template.readings and step.settings)
        is_own = has_strides or self.ownership.fits(place)
        if isinstance(step.operator, Kernel) and (step.operator.is_adjoint or step.operator.rules or not is_own):
            sizes = self.names.size_texts(place, site.route, _NEEDED)
            sizes = {**sizes, "stride": f"{module}.stride"} if has_strides else sizes
            return step.operator.torch_unlike(operands, module, sizes, self.beyond(site, at))
        return step.operator.torch(operands, module)

    def function(self, site: Site, at: int) -> str:
        """The name of the function that an iteration calls: `update_u`."""
        steps = site.leaf.template.steps
        unknown = steps[at].operands[1]
        named = steps[unknown].operator if isinstance(unknown, int) else None
        name = snake_case(named.name) if isinstance(named, Unknown) else ""
        verb = "apply" if isinstance(steps[at].operator, ConjugateGradients) else "update"
        return self.names.locals.name((id(site.leaf), at), f"{verb}_{name}")

    def told_as(self, site: Site, at: int) -> str:
        """The key of an iteration in `fixed_points`: `"u.1"`, or `"u.1#2"` for the second of one equation."""
        template = site.leaf.template
        left = tuple(position.substitute(site.leaf.binding()) for position in template.left)
        number = 1 + sum(isinstance(step.operator, Iterated) for step in template.steps[:at])
        family = ascii_name(template.family)
        prefix, tag, _ = self.names.sizes.key(left).split('"') if left else ("", "", "")
        return f'{prefix}"{family}{"." * bool(tag)}{tag}{f"#{number}" * (number > 1)}"'

    def beyond(self, site: Site, at: int) -> str:
        """By how much an adjoint's result exceeds the smallest possible one, which may differ from turn to turn."""
        samples: list[tuple[Turn, tuple[int, ...]]] = []
        for turn in turns(site.route):
            number = self.number_at(site, turn)
            node = self.node_of(number, at)
            if not isinstance(node.operator, ConvolutionAdjoint):
                return "0"
            operand = self.graph.operands(self.graph.members[number][at])[0]
            sizes = self.graph.parameters[node.parameter or ("", ())].sizes
            samples.append((turn, node.operator.beyond(self.graph.node(operand).shape, node.shape, sizes)))
        return self.names.sizes.fit_sides(f"{site.leaf.template.family}_padding", samples)

    def factor(self, site: Site, at: int) -> str:
        """The number of a scaling, which may differ from turn to turn."""
        nodes = [(turn, self.node_at(site, at, turn).operator) for turn in turns(site.route)]
        samples = [(turn, operator.factor) for turn, operator in nodes if isinstance(operator, WithNumber)]
        formula = site.leaf.template.steps[at].factor
        own = formula and formula.substitute(site.leaf.binding())
        return self.names.sizes.fit(f"{site.leaf.template.family}_factor", samples, own)

    def setting(self, site: Site, at: int) -> str:
        """The setting of a call that differs from turn to turn; nothing where the operator has it."""
        template = site.leaf.template
        name, formula = template.steps[at].operator.of_call, template.steps[at].in_call
        if name is None or formula is None:
            return ""
        samples = [(turn, getattr(self.node_at(site, at, turn).operator, name)) for turn in turns(site.route)]
        return self.names.sizes.fit(f"{template.family}_{name}", samples, formula.substitute(site.leaf.binding()))

    def channels(self, site: Site, at: int) -> str:
        """The first channel that is taken of a value, and their number, which may differ from turn to turn."""
        family = site.leaf.template.family
        nodes = [(turn, self.node_at(site, at, turn).operator) for turn in turns(site.route)]
        taken = [(turn, operator) for turn, operator in nodes if isinstance(operator, Channels)]
        firsts = [(turn, operator.first) for turn, operator in taken]
        counts = [(turn, operator.last - operator.first + 1) for turn, operator in taken]
        first = site.leaf.template.steps[at].channels[0].substitute(site.leaf.binding())
        sizes = self.names.sizes
        return f"{sizes.fit(f'{family}_channel', firsts, first)}, {sizes.fit(f'{family}_channels', counts)}"

    def part(self, site: Site, at: int) -> str:
        """The number of the part that is taken of a value, which may differ from turn to turn."""
        nodes = [(turn, self.node_at(site, at, turn).operator) for turn in turns(site.route)]
        places = [(turn, operator.place) for turn, operator in nodes if isinstance(operator, SplitChannels)]
        own = site.leaf.template.steps[at].channels[0].substitute(site.leaf.binding())
        position = next(iter(own.positions()), None)
        if position is not None and isinstance(position.base, str):
            return self.names.sizes.position(position)
        return self.names.sizes.fit(f"{site.leaf.template.family}_part", places, own)

    def node_at(self, site: Site, at: int, turn: Turn) -> Node:
        """The operation that a step is in one turn of the loops."""
        return self.node_of(self.number_at(site, turn), at)

    def node_of(self, number: int, at: int) -> Node:
        """A step of an instance."""
        return self.graph.node(self.graph.members[number][at])

    def node_with_shapes(self, site: Site, at: int, turn: Turn) -> tuple[Node, list[tuple[int, ...]]]:
        number = self.number_at(site, turn)
        operands = self.graph.operands(self.graph.members[number][at])
        return self.node_of(number, at), [self.graph.node(operand).shape for operand in operands]

    def number_at(self, site: Site, turn: Turn) -> int:
        """The number of the instance that an equation is in one turn of the loops."""
        template, binding = site.leaf.template, site.leaf.binding()
        return self.number_of[template.family, tuple(p.substitute(binding).value(turn) for p in template.left)]

    def zero(self, site: Site, at: int) -> str:
        """Zeros for each image of the batch, on the first input's device and, if they agree, of its size."""
        first = self.graph.program.inputs[0]
        argument = self.names.locals.given[first.name, first.arity] + "[0]" * (first.kind == "levels")
        rows = 3 if first.kind == "steps" else 2
        family = site.leaf.template.family
        left = tuple(p.substitute(site.leaf.binding()) for p in site.leaf.template.left)
        samples: list[tuple[Turn, tuple[int, ...]]] = []
        value: Key = (family, ())
        for turn in turns(site.route):
            value = (family, tuple(p.value(turn) for p in left))
            samples.append((turn, self.node_of(self.number_of[value], at).shape))
        shape_of_input = self.graph.shape(first.keys[0])
        as_input = (
            len(shape_of_input) > 1
            and value in self.names.while_input
            and all([*map(formula_of, s[1:])] == [*map(formula_of, shape_of_input[1:])] for _, s in samples)
        )
        axes = range(1 if as_input else len(samples[0][1]))
        by_axis = [[(turn, shape[axis]) for turn, shape in samples] for axis in axes]
        sizes = [self.signature.fit(f"{family}_zero", sample) for sample in by_axis]
        sizes += [f"*{argument}.shape[{rows}:]"] if as_input else []
        return f"{argument}.new_zeros({', '.join([f'{argument}.shape[0]', *sizes])})"
