"""Recursive operators, as methods that call themselves: `def m(self, x, level)`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from cldfc.emit import python
from cldfc.emit.loops import Site, Turn, turns
from cldfc.emit.naming import TEMPORARIES, Naming, Ownership, ParameterUse
from cldfc.emit.python import loop_name, snake_case
from cldfc.emit.statements import CodeNames, write_equation
from cldfc.network.graph import Node
from cldfc.network.positions import Position, Positions
from cldfc.network.program import Call, Operand, Read, Reads, Step, Template
from cldfc.ops import ConvolutionAdjoint, Kernel, Spreading, WithNumber, Zero
from cldfc.ops.convolution import PADDINGS, SIDES
from cldfc.ops.pointwise import Relu
from cldfc.syntax import tree
from cldfc.syntax.format import format_let

_ARGUMENTS = ("x", "y", "z")


class NodeAt(Protocol):
    """The operation that a step is in one turn of the loops, and the shapes of its operands."""

    def __call__(self, site: Site, at: int, turn: Turn) -> tuple[Node, list[tuple[int, ...]]]: ...


class _NoMethod(Exception):
    """A recursive operator differs from use to use in a way that no method can express."""


@dataclass(eq=False)
class Visit:
    """One use of a recursive operator, with the uses of such operators inside it.

    `own` are its own steps, `steps` also those of the uses inside it. `arguments` are what it is applied to, in the
    order in which it reads them.
    """

    site: Site
    call: Call
    own: list[int]
    steps: frozenset[int]
    children: list[Visit]
    result: int
    arguments: list[Operand] = field(default_factory=list[Operand])

    @property
    def template(self) -> Template:
        return self.site.leaf.template

    @cached_property
    def items(self) -> list[tuple[int, Visit | Step]]:
        """What it does, in order, each with the number of the step that is its result."""
        found: list[tuple[int, Visit | Step]] = [(at, self.template.steps[at]) for at in self.own]
        return sorted([*found, *((child.result, child) for child in self.children)], key=lambda item: item[0])

    def operands(self) -> list[tuple[Operand, ...]]:
        """Those of all that it does, by their places in it, on values called `x`, `y`, …"""
        places = {at: place for place, (at, _) in enumerate(self.items)}
        names = {_meaning(operand): name for operand, name in zip(self.arguments, _ARGUMENTS, strict=False)}

        def renumber(operand: Operand) -> Operand:
            if isinstance(operand, int) and operand in places:
                return places[operand]
            return Read(names[_meaning(operand)], (), self.call.span)

        return [tuple(map(renumber, i.operands if isinstance(i, Step) else i.arguments)) for _, i in self.items]

    def body(self) -> tuple[Step, ...]:
        """Its steps alone; a use inside it is one step."""
        return tuple(
            replace(item, operands=operands, call=None)
            if isinstance(item, Step)
            else Step(Relu(), operands, None, self.call.span)
            for (_, item), operands in zip(self.items, self.operands(), strict=True)
        )

    def structure(self) -> Hashable:
        """What two uses must have in common to be one branch of a method."""
        found: list[Hashable] = []
        for (_, item), own in zip(self.items, self.operands(), strict=True):
            operands = tuple(map(_meaning, own))
            if isinstance(item, Visit):
                found.append((item.call.name, operands))
            else:
                found.append((item.operator, operands, item.use and (item.use.name, len(item.use.positions))))
        return tuple(found)


def _meaning(operand: Operand) -> Hashable:
    return operand if isinstance(operand, int) else (operand.family, operand.positions)


def _visits_of(site: Site) -> list[Visit]:
    """The outermost uses in an equation, with those inside them. Raises _NoMethod."""
    template = site.leaf.template
    members: dict[Call, list[int]] = {}
    for at, step in enumerate(template.steps):
        for call in step.call.chain() if step.call else ():
            if call.is_recursive:
                members.setdefault(call, []).append(at)
    if members and any(not step.operator.repeatable and step.use is None for step in template.steps):
        raise _NoMethod
    readers: dict[int, list[int]] = defaultdict(list)
    for at, step in enumerate(template.steps):
        for operand in step.operands:
            if isinstance(operand, int):
                readers[operand].append(at)
    outermost: list[Visit] = []
    known: dict[Call, Visit] = {}
    for call, steps in members.items():
        inside = frozenset(steps)
        outer = next((one for one in reversed(call.chain()[:-1]) if one.is_recursive), None)
        results = [at for at in steps if at == template.result or not inside.issuperset(readers[at])]
        if len(results) != 1:
            raise _NoMethod
        known[call] = Visit(site, call, [], inside, [], results[0])
        (outermost if outer is None else known[outer].children).append(known[call])
    for visit in reversed(known.values()):
        nested = frozenset[int]().union(*(child.steps for child in visit.children))
        visit.own = sorted(visit.steps - nested)
        results = {child.result for child in visit.children}
        for _, item in visit.items:
            for operand in item.arguments if isinstance(item, Visit) else item.operands:
                if isinstance(operand, Reads) or (operand in nested and operand not in results):
                    raise _NoMethod
                if operand not in visit.own and operand not in results:
                    if _meaning(operand) not in map(_meaning, visit.arguments):
                        visit.arguments.append(operand)
        if len(visit.arguments) > len(_ARGUMENTS) or not visit.arguments:
            raise _NoMethod
    return outermost


@dataclass
class _MethodCase:
    """A branch of a method: the uses for which an operator does the same, at some of its indices."""

    visits: list[Visit]
    tags: set[tuple[int, ...]]
    statement: tree.Let
    body: tuple[Step, ...]
    texts: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    """Where a step has more than operands: the texts of what it needs."""
    spread: dict[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    """Which operands of a step are vectors beside maps."""


@dataclass
class _Recursion:
    """The method of one operator."""

    attribute: str
    own: list[str]
    """A name for each index of the operator."""
    extra: tuple[str, ...]
    """The other indices that its steps need."""
    branches: list[_MethodCase]

    @property
    def indices(self) -> tuple[str, ...]:
        """The arguments behind its operands."""
        return *self.own, *self.extra


@dataclass
class Recursions:
    """The methods of a network's recursive operators; none if one of them cannot be a method."""

    names: Naming
    ownership: Ownership
    place_at: Mapping[tuple[int, int], ParameterUse]
    node_at: NodeAt
    uses: dict[int, list[Visit]] = field(default_factory=dict[int, list[Visit]])
    """The outermost uses of each equation, by the `id` of its leaf."""
    found: dict[str, _Recursion] = field(default_factory=dict[str, _Recursion])

    def find(self, sites: Sequence[Site]) -> None:
        try:
            uses = {id(site.leaf): visits for site in sites if (visits := _visits_of(site))}
            self.find_methods([visit for visits in uses.values() for visit in visits])
        except _NoMethod:
            self.found = {}
            return
        self.uses = uses

    def find_methods(self, outermost: list[Visit]) -> None:
        by_name: dict[str, dict[Hashable, list[Visit]]] = {}
        extra: dict[str, None] = {}
        stack = list(outermost)
        while stack:
            visit = stack.pop()
            stack += visit.children
            by_name.setdefault(visit.call.name, {}).setdefault(visit.structure(), []).append(visit)
            for at in visit.own:
                use = visit.template.steps[at].use
                if use is not None and use.name not in self.names.graph.program.parameters:
                    own = (position.base for position in use.positions if isinstance(position.base, str))
                    extra.update(dict.fromkeys(own))
        for name, groups in by_name.items():
            branches: list[_MethodCase] = []
            if len({len(visit.arguments) for visits in groups.values() for visit in visits}) > 1:
                raise _NoMethod  # one case reads a value that another does not
            for visits in groups.values():
                tags = {
                    tuple([p.value(turn) for p in self.tag(visit)]) for visit in visits for turn in self.turns(visit)
                }
                branches.append(_MethodCase(visits, tags, visits[0].call.statement, visits[0].body()))
            branches.sort(key=lambda branch: (len(branch.tags), -self.numbers_in(branch.statement)))
            every = [tag for branch in branches for tag in branch.tags]
            if len(every) > len(set(every)):
                raise _NoMethod
            head = self.index_names(name)
            if not extra.keys().isdisjoint(head):
                raise _NoMethod
            self.found[name] = _Recursion(self.attribute(name), head, tuple(extra), branches)
        for name, recursion in self.found.items():
            for branch in recursion.branches:
                self.write_texts(name, recursion, branch)

    def attribute(self, name: str) -> str:
        wanted = snake_case(name)
        taken = wanted in self.names.locals.taken
        return self.names.attributes.name(("method", name), f"apply_{wanted}" if taken else wanted)

    def index_names(self, name: str) -> list[str]:
        """A name for each index of an operator: that in one of its declarations."""
        lets = [s for s in self.names.graph.program.spec.statements if isinstance(s, tree.Let)]
        tags = [let.symbol.tag for let in lets if let.symbol.name == name]
        ranges = self.names.graph.program.ranges
        found = [next((t[at].name for t in tags if t[at].name in ranges), None) for at in range(len(tags[0]))]
        if None in found or len(set(found)) < len(found):
            raise _NoMethod
        return [index for index in found if index is not None]

    def numbers_in(self, let: tree.Let) -> int:
        """How many indices of a declaration are numbers or constants: the more, the more special it is."""
        return sum(index.name not in self.names.graph.program.ranges for index in let.symbol.tag)

    def tag(self, visit: Visit) -> Positions:
        return tuple(position.substitute(visit.site.leaf.binding()) for position in visit.call.tag)

    def turns(self, visit: Visit) -> Sequence[Turn]:
        return turns(visit.site.route)

    def given(self, visit: Visit) -> dict[str, Position]:
        """What the indices of its method are at a use. Raises _NoMethod."""
        recursion = self.found[visit.call.name]
        own = dict(zip(recursion.own, self.tag(visit), strict=True))
        known = {**visit.site.leaf.binding(), **own}
        if not known.keys() >= {*recursion.indices}:
            raise _NoMethod
        return {index: known[index] for index in recursion.indices}

    def write_texts(self, name: str, recursion: _Recursion, branch: _MethodCase) -> None:
        """What each step needs: the module of a kernel, the number of a scaling, the indices of a use."""
        samples = [(visit, self.given(visit), turn) for visit in branch.visits for turn in self.turns(visit)]
        at_turns: list[Turn] = [{i: p.value(turn) for i, p in given.items()} for _, given, turn in samples]
        for place, step in enumerate(branch.body):
            items = [visit.items[place] for visit, _, _ in samples]
            if isinstance(items[0][1], Visit):
                children = [self.given(item) for _, item in items if isinstance(item, Visit)]
                of_child = self.found[items[0][1].call.name].indices
                found = [
                    self.written(
                        [c[index].value(turn) for c, (_, _, turn) in zip(children, samples, strict=True)], at_turns
                    )
                    for index in of_child
                ]
                branch.texts[place] = [self.names.sizes.position(position) for position in found]
                continue
            nodes = [self.node_at(v.site, at, turn) for (at, _), (v, _, turn) in zip(items, samples, strict=True)]
            if step.channels or step.settings or step.statistics is not None or isinstance(step.operator, Zero):
                raise _NoMethod
            if isinstance(step.operator, Spreading):
                spread = {step.operator.vectors(shapes, node.shape) for node, shapes in nodes}
                if len(spread) > 1:
                    raise _NoMethod
                branch.spread[place] = next(iter(spread))
            if isinstance(step.operator, WithNumber):
                factors = [node.operator.factor for node, _ in nodes if isinstance(node.operator, WithNumber)]
                pairs = list(zip(at_turns, factors, strict=True))
                branch.texts[place] = [self.names.sizes.fit(f"{snake_case(name)}_factor", pairs)]
            elif step.use is not None:
                uses = [self.place_at[id(v.site.leaf), at] for (at, _), (v, _, _) in zip(items, samples, strict=True)]
                branch.texts[place] = self.parameter_texts(step, uses, nodes, samples, at_turns)

    def parameter_texts(
        self,
        step: Step,
        uses: list[ParameterUse],
        nodes: list[tuple[Node, list[tuple[int, ...]]]],
        samples: list[tuple[Visit, dict[str, Position], Turn]],
        at_turns: list[Turn],
    ) -> list[str]:
        """The module of a parameter; of an adjoint also what its function is given."""
        if not all(map(self.ownership.fits, uses)) and not step.operator.is_adjoint:
            raise _NoMethod
        tags = [tuple(p.value(turn) for p in use.positions) for use, (_, _, turn) in zip(uses, samples, strict=True)]
        positions = tuple(self.written([tag[at] for tag in tags], at_turns) for at in range(len(tags[0])))
        module = self.names.module(uses[0].name, positions)
        if not step.operator.is_adjoint:
            return [module]
        beyond: list[tuple[Turn, tuple[int, ...]]] = []
        for turn, tag, (node, operands) in zip(at_turns, tags, nodes, strict=True):
            if not isinstance(node.operator, ConvolutionAdjoint):
                return [module, "0"]
            sizes = self.names.graph.parameters[uses[0].name, tag].sizes
            beyond.append((turn, node.operator.beyond(operands[0], node.shape, sizes)))
        return [module, self.names.sizes.fit_sides(f"{snake_case(uses[0].name)}_padding", beyond)]

    def sizes_of(self, step: Step, branch: _MethodCase, place: int) -> dict[str, str]:
        """The sizes of an adjoint's kernel, which its function is given."""
        keys = list[tuple[str, tuple[int, ...]]]()
        at_turns = list[Turn]()
        for visit in branch.visits:
            at = visit.items[place][0]
            use = self.place_at[id(visit.site.leaf), at]
            for turn in self.turns(visit):
                keys.append((use.name, tuple(p.value(turn) for p in use.positions)))
                at_turns.append({index: p.value(turn) for index, p in self.given(visit).items()})
        needed = (*SIDES[3], *PADDINGS[3], "groups", "dilation", "bias")
        return self.names.texts_of_sizes(keys[0][0], at_turns, keys, lambda _: None, needed)

    def written(self, values: list[int], at_turns: list[Turn]) -> Position:
        """Numbers as one index of the method, plus a number. Raises _NoMethod."""
        if len(set(values)) == 1:
            return Position(None, values[0])
        for index in at_turns[0]:
            offsets = {value - turn[index] for value, turn in zip(values, at_turns, strict=True)}
            if len(offsets) == 1:
                return Position(index, offsets.pop())
        raise _NoMethod

    # Text

    def call(self, visit: Visit, operands: Sequence[str]) -> str:
        """`self.m(x, 1)`, in an equation."""
        indices = [self.names.sizes.position(position) for position in self.given(visit).values()]
        return f"self.{self.found[visit.call.name].attribute}({', '.join([*operands, *indices])})"

    def lines(self) -> list[str]:
        return [line for recursion in self.found.values() for line in [*self.method(recursion), ""]]

    def method(self, recursion: _Recursion) -> list[str]:
        """One method: a branch for each case, the one for most indices last."""
        *others, last = recursion.branches
        operands = _ARGUMENTS[: max(len(branch.visits[0].arguments) for branch in recursion.branches)]
        lines = [f'"""{format_let(last.statement)}"""']
        for at, branch in enumerate(others):
            condition = self.condition(recursion, branch, recursion.branches[at + 1 :])
            lines.append(f"if {condition}:  # {format_let(branch.statement)}")
            lines += python.indent(self.branch(recursion, branch, 3))
        lines += self.branch(recursion, last, 2)
        arguments = [
            *(f"{name}: torch.Tensor" for name in operands),
            *(f"{loop_name(i)}: int" for i in recursion.indices),
        ]
        head = python.call(f"def {recursion.attribute}", ["self", *arguments], " -> torch.Tensor:", 1)
        return [*head, *python.indent(lines)]

    def condition(self, recursion: _Recursion, branch: _MethodCase, others: Sequence[_MethodCase]) -> str:
        """`level == 3`: for which indices it is this branch, and none of the others."""
        count = len(next(iter(branch.tags)))
        names = [loop_name(index) for index in recursion.own]
        for place in range(count):
            own = sorted({tag[place] for tag in branch.tags})
            if not any(tag[place] in own for other in others for tag in other.tags):
                return f"{names[place]} == {own[0]}" if len(own) == 1 else f"{names[place]} in {tuple(own)}"
        tags = sorted(branch.tags)
        return f"({', '.join(names)}) in {tuple(tags)}" if len(tags) > 1 else f"({', '.join(names)}) == {tags[0]}"

    def branch(self, recursion: _Recursion, branch: _MethodCase, depth: int) -> list[str]:
        visit = branch.visits[0]
        items = visit.items
        result = next(place for place, (at, _) in enumerate(items) if at == visit.result)
        template = replace(visit.template, steps=branch.body, result=result)
        taken = {*_ARGUMENTS[: len(visit.arguments)], *map(loop_name, recursion.indices)}
        vocabulary = CodeNames(
            read=lambda read: read.family,
            apply=lambda at, step, operands: self.apply(branch, items[at][1], at, step, operands),
            temporaries=[name for name in TEMPORARIES if name not in taken],
            spread=lambda at: branch.spread[at],
        )
        return write_equation(template, vocabulary, "return ", depth)

    def apply(self, branch: _MethodCase, item: Visit | Step, place: int, step: Step, operands: list[str]) -> str:
        texts = branch.texts.get(place, [""])
        if isinstance(item, Visit):
            return f"self.{self.found[item.call.name].attribute}({', '.join([*operands, *texts])})"
        if step.operator.is_adjoint and isinstance(step.operator, Kernel):
            return step.operator.torch_unlike(operands, texts[0], self.sizes_of(step, branch, place), texts[1])
        return step.operator.torch(operands, texts[0])
