"""Named operators as methods: `let ℬ@ℓ,i = σ ∘ B@ℓ,i * σ`, used in several places, is `self.cal_b(x, level, i)`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from cldfc.emit import layout
from cldfc.emit.formulas import number_text
from cldfc.emit.identifiers import loop_name, snake_case
from cldfc.emit.loops import Site, Turn, turns
from cldfc.emit.naming import Naming
from cldfc.emit.parameters import Ownership, ParameterUse, variables
from cldfc.emit.statements import CodeNames, write_equation
from cldfc.network.positions import Position, Positions
from cldfc.network.program import Call, Operand, Read, Reads, Step, Template
from cldfc.ops import Kernel, Zero
from cldfc.ops.pointwise import Relu
from cldfc.syntax import tree
from cldfc.syntax.format import format_let

ARGUMENT = "x"


@dataclass(frozen=True, slots=True)
class Region:
    """The steps of an equation that one use of a named operator gives, and the value that it is applied to."""

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
        argument = Read(ARGUMENT, (), self.call.span)
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
                step.operator,
                tuple(operand if isinstance(operand, int) else -1 for operand in step.operands),
                step.use and (step.use.name, len(step.use.positions)),  # a `tie` with clauses leaves some with fewer
            )
            for step in self.body()
        )
        return self.call.name, tuple(steps)


@dataclass(frozen=True, slots=True)
class Method:
    """A named operator: one of its uses, and the places of its parameters over indices that are arguments."""

    name: str
    statement: tree.Let
    region: Region
    indices: tuple[str, ...]
    places: Mapping[int, Positions]
    factors: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A use of a method, with the positions for its indices."""

    method: Method
    region: Region
    indices: Positions


class Methods:
    """The methods of a class, and where each equation calls them."""

    def __init__(self, names: Naming, ownership: Ownership, places: Sequence[ParameterUse], sites: list[Site]) -> None:
        self.names = names
        self.fits = ownership.fits
        self.place_at = {(id(place.site.leaf), place.step): place for place in places}
        self.found: list[Method] = []
        self.calls: dict[int, list[MethodCall]] = {}
        groups: dict[Hashable, list[Region]] = {}
        for site in sites:
            for region in regions_of(site):
                groups.setdefault(region.structure(), []).append(region)
        statements = {s.symbol.name: s for s in names.graph.program.spec.statements if isinstance(s, tree.Let)}
        named: set[str] = set()
        for regions in groups.values():
            name = regions[0].call.name
            if len(regions) > 1 and name not in named and self.make(statements[name], regions):
                named.add(name)

    def make(self, statement: tree.Let, regions: list[Region]) -> bool:
        """A method for these uses, if the parameters of all are the same but for indices."""
        turn_of = [(use, turn) for use, region in enumerate(regions) for turn in turns(region.site.route)]
        given: dict[str, list[Position]] = {}
        for place, index in enumerate(regions[0].call.head):
            given[index] = [region.call.tag[place].substitute(region.site.leaf.binding()) for region in regions]
        places: dict[int, Positions] = {}
        factors: dict[int, str] = {}
        for at, step in enumerate(regions[0].body()):
            if step.factor is not None:
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
                position = among(here, given, turn_of)
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
        method = Method(name, statement, regions[0], indices, places, factors)
        self.found.append(method)
        for use, region in enumerate(regions):
            call = MethodCall(method, region, tuple(given[index][use] for index in indices))
            self.calls.setdefault(id(region.site.leaf), []).append(call)
        return True

    def number(self, at_turns: Sequence[tuple[Region, Turn]], at: int) -> str | None:
        """The number of a scaling, if it is the same in all uses."""
        values: set[int | float] = set()
        for region, turn in at_turns:
            factor = region.template.steps[region.steps[at]].factor
            binding = {name: p.value(turn) for name, p in region.site.leaf.binding().items()}
            values |= {factor.value(binding)} if factor is not None else set()
        return number_text(values.pop()) if len(values) == 1 else None

    def lines(self) -> list[str]:
        """The methods."""
        return [line for method in self.found for line in [*self.method(method), ""]]

    def method(self, method: Method) -> list[str]:
        """One method, with its equation as docstring."""
        body = method.region.body()
        template = replace(method.region.template, steps=body, result=len(body) - 1)
        readers = sum(not isinstance(operand, int) for step in body for operand in step.operands)
        names = ["x", "y", "z", *(f"x{number}" for number in range(1, 1000))][readers > 1 :]
        vocabulary = CodeNames(
            read=lambda _: ARGUMENT,
            apply=lambda at, step, operands: self.apply(method, at, step, operands),
            temporaries=[name for name in names if name not in self.names.loops],
        )
        arguments = [f"{ARGUMENT}: torch.Tensor", *(f"{loop_name(index)}: int" for index in method.indices)]
        return [
            *layout.call(f"def {method.name}", ["self", *arguments], " -> torch.Tensor:", 1),
            *layout.indent(
                [f'"""{format_let(method.statement)}"""', *write_equation(template, vocabulary, "return ", 2)]
            ),
        ]

    def apply(self, method: Method, at: int, step: Step, operands: list[str]) -> str:
        """An operator in a method."""
        if at in method.factors:
            return step.operator.torch(operands, method.factors[at])
        module = self.names.module(step.use.name, method.places[at]) if step.use is not None else ""
        return step.operator.torch(operands, module)

    def collapse(
        self, template: Template, calls: Sequence[MethodCall]
    ) -> tuple[Template, list[int], dict[int, MethodCall]]:
        """An equation with calls in place of steps, the number that each step had before, and the calls by theirs."""
        ends = {call.region.steps[-1]: call for call in calls}
        inside = {at for call in calls for at in call.region.steps} - ends.keys()
        kept = [at for at in range(len(template.steps)) if at not in inside]
        new = {at: place for place, at in enumerate(kept)}

        def renumber(operand: Operand) -> Operand:
            return new[operand] if isinstance(operand, int) else operand

        steps: list[Step] = []
        for at in kept:
            step = template.steps[at]
            if at in ends:  # Whatever the method does last, its use is a call, as that of a pointwise function is.
                step = Step(Relu(), (ends[at].region.argument,), None, step.span)
            steps.append(replace(step, operands=tuple(map(renumber, step.operands))))
        result = template.result if not isinstance(template.result, int) else new[template.result]
        return replace(template, steps=tuple(steps), result=result), kept, {new[at]: call for at, call in ends.items()}

    def call(self, call: MethodCall, operand: str) -> str:
        """`self.cal_b(x, level, i)`."""
        indices = (self.names.sizes.position(position) for position in call.indices)
        return f"self.{call.method.name}({', '.join([operand, *indices])})"


def among(
    here: Sequence[Position], given: Mapping[str, Sequence[Position]], turn_of: Sequence[tuple[int, Turn]]
) -> Position | None:
    """Positions of several uses as a number, or as one of the indices that are given for each use, plus a number."""
    values = [here[use].value(turn) for use, turn in turn_of]
    for index, positions in given.items():
        offsets = {value - positions[use].value(turn) for value, (use, turn) in zip(values, turn_of, strict=True)}
        if len(offsets) == 1:
            return Position(index, offsets.pop())
    return Position(None, values[0]) if len(set(values)) == 1 else None


def regions_of(site: Site) -> list[Region]:
    """The uses of named operators in an equation that could be calls.

    An equation that draws at random is left alone, for its draws keep their order.
    """
    template = site.leaf.template
    if any(not step.operator.repeatable and step.use is None for step in template.steps):
        return []
    by_call: dict[int, list[int]] = {}
    for at, step in enumerate(template.steps):
        if step.call is not None:
            by_call.setdefault(step.call.number, []).append(at)
    found = (region_of(site, steps) for steps in by_call.values())
    return [region for region in found if region is not None]


def region_of(site: Site, at: list[int]) -> Region | None:
    """These steps as a use of a named operator, if they are all of it, and more than a kernel alone or none."""
    template = site.leaf.template
    steps = [template.steps[place] for place in at]
    call = steps[0].call
    assert call is not None
    if len(at) != call.size or len(at) < 2 or not any(isinstance(step.operator, Kernel) for step in steps):
        return None
    if any(isinstance(step.operator, Zero) or step.statistics is not None for step in steps):
        return None
    if not {name for position in call.tag for name in variables(position)} <= set(site.leaf.names):
        return None  # several equations share what it computes, and that has index names of its own
    inside = set(at)
    outer = [o for step in steps for o in step.operands if not (isinstance(o, int) and o in inside)]
    if not outer or any(isinstance(operand, Reads) for operand in outer) or len({meaning(o) for o in outer}) > 1:
        return None
    others = [o for n, step in enumerate(template.steps) if n not in inside for o in step.operands]
    if inside.intersection([o for o in [*others, template.result] if isinstance(o, int)]) != {at[-1]}:
        return None
    return Region(site, call, tuple(at), outer[0])


def meaning(operand: Operand) -> Hashable:
    """What an operand is, wherever it stands in the text."""
    return operand if isinstance(operand, int) else (operand.family, operand.positions)
