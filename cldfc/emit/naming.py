"""Which line of `__init__` makes which parameters, and what a generated module calls them, its variables and tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

from cldfc.emit import python
from cldfc.emit.loops import ForLoop, Item, Leaf, Route, Site, Turn, input_is_done, sites, turns
from cldfc.emit.python import Identifiers, loop_name, snake_case
from cldfc.emit.schedule import Execution
from cldfc.emit.sizes import Sizes, number_text
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.positions import Formula, Key, Lookup, Position, Positions, key_text
from cldfc.network.program import InputFamily
from cldfc.ops import BatchNorm, Convolution, Linear, Operator, Pointwise, Pool, SharedBatchNorm
from cldfc.record import record
from cldfc.syntax import keywords


@record
class ParameterUse:
    """A parameter where it is used, over the loop variables of its site."""

    site: Site
    step: int
    operator: Operator
    name: str
    positions: Positions
    every: list[Key] = field(init=False, repr=False, compare=False)
    """The parameters that it stands for in all the loops around it, turn by turn."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", self.keys_at(turns(self.site.route)))

    def keys(self, route: Route) -> list[Key]:
        """The parameters that it stands for, turn by turn."""
        return self.every if len(route) == len(self.site.route) else self.keys_at(turns(route))

    def keys_at(self, at: Sequence[Turn]) -> list[Key]:
        return [(self.name, tuple([p.value(turn) for p in self.positions])) for turn in at]

    def depth(self) -> int:
        """How many of the loops around it its tag depends on."""
        if not self.site.route:
            return 0
        needed = {variable for position in self.positions for variable in variables(position)}
        inner = [at + 1 for at, hop in enumerate(self.site.route) if hop.loop.variable in needed]
        return max(inner, default=0)


def variables(position: Position) -> Iterator[str]:
    """The loop variables in a position."""
    match position.base:
        case str(name):
            yield name
        case Lookup(_, at):
            yield from variables(at)
        case None:
            return


@record
class ParameterLine:
    """A line that makes parameters, in the loops of `route`, before the item of this index."""

    place: ParameterUse
    route: Route
    index: int


@dataclass
class Ownership:
    """Who makes each parameter, and for which operator; `alone` are made one by one."""

    declarations: list[ParameterLine] = field(default_factory=list[ParameterLine])
    made_for: dict[Key, Operator] = field(default_factory=dict[Key, Operator])
    alone: list[Key] = field(default_factory=list[Key])

    def fits(self, place: ParameterUse) -> bool:
        """Whether every module that a place calls was made for an operator like its own."""
        others = {id(made): made for key in place.every if (made := self.made_for[key]) is not place.operator}
        return not others or all(made == place.operator for made in others.values())


def over_loops(positions: Positions, leaf: Leaf) -> Positions:
    """Positions over the index names of an equation, over loop variables."""
    if not positions:
        return positions
    binding = leaf.binding()
    return tuple([position.substitute(binding) for position in positions])


def places_of(items: Sequence[Item]) -> list[ParameterUse]:
    """All places of a schedule."""
    found: list[ParameterUse] = []
    for site in sites(items):
        for at, step in enumerate(site.leaf.template.steps):
            operator, use, own = step.operator, step.use, step.statistics
            if use is not None:
                found.append(ParameterUse(site, at, operator, use.name, over_loops(use.positions, site.leaf)))
            if own is not None and isinstance(operator, SharedBatchNorm):
                # The statistics that each use of a shared normalisation has for itself.
                positions = over_loops(own.positions, site.leaf)
                found.append(ParameterUse(site, at, operator.statistics(), own.name, positions))
    return found


def assign_owners(places: Sequence[ParameterUse]) -> Ownership:
    """An owner for each parameter, among the places of a schedule."""
    ownership = Ownership()
    by_name: dict[str, list[ParameterUse]] = {}
    for place in places:
        by_name.setdefault(place.name, []).append(place)
    for same_name in by_name.values():
        _assign(same_name, ownership)
    return ownership


def _assign(places: list[ParameterUse], ownership: Ownership) -> None:
    """Owners for the parameters of one name: the place with the most of them first, adjoints last."""
    if len(places) > 1:
        places = sorted(places, key=lambda place: (place.operator.is_adjoint, -len(set(place.every))))
    for place in places:
        if not ownership.made_for.keys().isdisjoint(place.every):
            continue
        route = place.site.route[: place.depth()]
        keys, used = place.keys(route), set(place.every)
        if len(keys) == len(used) and set(keys) == used:
            ownership.made_for.update((key, place.operator) for key in keys)
            ownership.declarations.append(ParameterLine(place, route, place.site.indices[len(route)]))
    for place in places:
        for key in place.every:
            if key not in ownership.made_for:
                ownership.made_for[key] = place.operator
                ownership.alone.append(key)


TEMPORARIES = ("x", "y", "z", *(f"x{number}" for number in range(1, 1000)))
"""The variables for what an equation computes on the way."""

ARGUMENTS = ("in_channels", "num_classes")
"""The arguments of a generated class, where the network allows any other value."""


def _free_sizes(graph: Graph) -> dict[tuple[Key, str], str]:
    """The sizes of parameters that are the input's channels or the classes, where nothing else depends on those."""
    free: dict[tuple[Key, str], str] = {}
    if len(graph.program.outputs) == 1:
        at = graph.values[graph.program.output_keys[0]]
        head = graph.node(at)
        if isinstance(head.operator, Linear) and head.operator.outputs is None and head.parameter is not None:
            if graph.uses[head.parameter] == 1 and not any(at in operands for operands in graph.inputs):
                free[head.parameter, "out"] = "num_classes"
    if len(graph.program.input_keys) > 1 or not graph.program.inputs[0].is_map:
        return free
    return free | dict.fromkeys(_input_sizes(graph), "in_channels")


def _input_sizes(graph: Graph) -> list[tuple[Key, str]]:
    """The sizes that the input's channels give; none if something else depends on them.

    These are the sizes up to the first kernels, through operators that treat channels separately.
    """
    nodes, reached, found = graph.nodes(), {0}, dict[tuple[Key, str], None]()
    for at, operands in enumerate(graph.inputs):
        if reached.isdisjoint(operands):
            continue
        node = nodes[at]
        key = node.parameter
        if isinstance(node.operator, Convolution) and key is not None:
            declared = graph.program.parameters[key[0]].every()
            if any("in" in each.attributes for each in declared) or graph.parameters[key].sizes.get("groups", 1) != 1:
                return []
            found[key, "in"] = None
        elif isinstance(node.operator, Pointwise | Pool) and len(operands) == 1 and not node.stored:
            if len(node.shape) != len(nodes[0].shape):
                return []
            reached.add(at)
        elif type(node.operator) is BatchNorm and key is not None:
            found[key, "channels"] = None
            reached.add(at)
        else:
            return []
    keys = {key for key, _ in found}
    users = (at for at, node in enumerate(nodes) if node.parameter in keys or node.statistics in keys)
    return list(found) if all(reached.issuperset(graph.inputs[at]) for at in users) else []


def _defines_another(name: str, instance: Instance) -> bool:
    return instance.value[0] != name


class NotFree(Exception):
    """An argument gives a size to only some of the parameters that a line makes, or `forward` needs that size."""


class Naming:
    """The names of one generated class, and expressions over its loop variables."""

    def __init__(self, graph: Graph, refused: Collection[str] = ()) -> None:
        self.graph = graph
        self.refused = refused
        self.name_attributes()

    def name_attributes(self) -> None:
        """One attribute for each parameter name: a dictionary where its declaration, or a use, has an index."""
        self.members: dict[str, list[Key]] = {}
        for key in self.graph.parameters:
            self.members.setdefault(key[0], []).append(key)
        templates = {id(i.template): i.template for i in self.graph.as_written.instances}.values()
        uses = [use for template in templates for step in template.steps for use in step.uses()]
        indexed = {use.name for use in uses if any(position.base is not None for position in use.positions)}
        # However a kernel is used: a network that is written in another way, `A@J` for `A@ℓ`, has the same state dict.
        indexed |= {name for name, keys in self.members.items() if name in self.graph.program.parameters and keys[0][1]}
        self.single = {name for name, keys in self.members.items() if len(keys) == 1} - indexed
        self.loops = {loop_name(name) for name in self.graph.program.ranges}
        self.attributes = Identifiers(keywords.ATTRIBUTES | self.loops)
        self.attributes.keep([*self.members, *self.graph.program.parameters])
        for name in self.members:
            self.attributes.name(name, name)
        self.attributes.taken.update(ARGUMENTS)
        self.free = {
            at: name
            for at, name in _free_sizes(self.graph.as_written).items()
            if name not in self.loops | {*self.refused}
        }
        constants = sorted(self.graph.program.constants.items())
        per_level = [constant for _, constant in constants if constant.index is not None]
        levels = frozenset(name for name, known in self.graph.program.ranges.items() if known.kind == "levels")
        self.sizes = Sizes(per_level, levels, lambda table, name: self.attributes.name(table, snake_case(name)))

    def name_variables(self, execution: Execution) -> None:
        """One local name for each family of values; the input shares that of its own if it can."""
        program, instances = self.graph.program, execution.instances
        self.histories = execution.histories
        self.slots = {family: () if family in self.histories else slot for family, slot in execution.slots.items()}
        self.inputs = {(family.name, family.arity): family for family in program.inputs}
        self.locals = Identifiers(keywords.LOCALS | self.loops)
        for family in self.slots:
            if family not in self.inputs:
                self.locals.name(family, snake_case(family[0]))
        self.while_input = {instance.value for instance in instances}
        """The values that are computed while the first input has not been written over."""
        for given in self.inputs:
            heirs = [f for f, slot in self.slots.items() if f[0] == given[0] and f != given and not slot]
            if heirs and not given[1] and input_is_done(instances, given[0]):
                self.locals.given[given] = self.locals.given[heirs[0]]
                if given[0] == program.inputs[0].name:
                    is_before = partial(_defines_another, given[0])
                    self.while_input = {instance.value for instance in takewhile(is_before, instances)}
            else:
                wanted = snake_case(given[0])
                self.locals.name(given, f"{wanted}_in" if wanted in self.locals.taken else wanted)
        self.open_sizes = {
            name: self.locals.name(("size", name), name.replace("@", "_")) for name in self.graph.open_sizes
        }
        for family, history in self.histories.items():
            for age in range(1, 1 + max(history.shifts.values(), default=0)):
                self.locals.name((family, age), f"{snake_case(family[0])}_old" + f"_{age}" * (age > 1))
        self.temporaries = [name for name in TEMPORARIES if name not in self.locals.taken]

    def attribute(self, name: str) -> str:
        """The attribute that holds the parameters of a name."""
        return self.attributes.name(name, name)

    def module(self, name: str, positions: Positions) -> str:
        """`self.theta`, `self.A[f"{level + 1}"]`."""
        attribute = f"self.{self.attribute(name)}"
        return attribute if name in self.single else f"{attribute}[{self.sizes.key(positions)}]"

    def path(self, key: Key) -> str:
        """What `state_dict` calls a parameter, without the last part: `theta`, `A.2_0`."""
        name, tag = key
        attribute = self.attribute(name)
        return attribute if name in self.single else f"{attribute}.{key_text(tag)}"

    def variable(self, family: str, positions: Positions, age: int = 0) -> str:
        """`r`, `u[level + 1]`, or `u_old` for a value that others have followed."""
        key = family, len(positions)
        if (history := self.histories.get(key)) and history.length:
            return f"{self.locals.given[key]}[{age}]"
        if age:
            return self.locals.given[key, age]
        if family_of_inputs := self.inputs.get(key):
            return self.member(family_of_inputs, positions)
        slot, name = self.slots.get(key), self.locals.name(key, family)
        if not slot:
            return name
        indices = ", ".join(self.sizes.position(positions[place]) for place in slot)
        return f"{name}[{indices}]"

    def member(self, family: InputFamily, positions: Positions) -> str:
        """An input: `f`; `f[level - 1]` of a list of tensors, `f[:, t - 1]` of a sequence."""
        name = self.locals.given[family.name, family.arity]
        if not family.kind:
            return name
        at = self.sizes.position(positions[0].shifted(-family.keys[0][1][0]))
        return f"{name}[{at}]" if family.kind == "levels" else f"{name}[:, {at}]"

    def size_texts(self, place: ParameterUse, route: Route, needed: Container[str] | None = None) -> dict[str, str]:
        """An expression for each size, or for those that are needed, of the parameters that a place stands for."""
        keys = place.keys(route)
        return self.texts_of_sizes(place.name, turns(route), keys, lambda name: self.formula(place, name), needed)

    def texts_of_sizes(
        self,
        name: str,
        at: Sequence[Turn],
        keys: Sequence[Key],
        formula: Callable[[str], Formula | None],
        needed: Container[str] | None = None,
    ) -> dict[str, str]:
        """An expression for each size of the parameters that are made at these turns.

        One that follows no rule of its own may follow from those of the turn before.
        """
        stored = [self.graph.parameters[key].sizes for key in keys]
        if len(keys) == 1:
            chosen = [(n, value) for n, value in stored[0].items() if needed is None or n in needed]
            return {n: self.argument(keys, n) or number_text(value) for n, value in chosen}
        samples = {size: [(t, s[size]) for t, s in zip(at, stored, strict=True)] for size in stored[0]}
        samples = {size: values for size, values in samples.items() if needed is None or size in needed}
        rules = {n: self.sizes.fit_rule(f"{name}_{n}", samples[n], formula(n)) for n in samples}
        rules |= {n: argument for n in rules if (argument := self.argument(keys, n))}
        known = {text: samples[n] for n, text in rules.items() if text is not None}
        return {
            n: rule
            or (None if self.sizes.in_forward else self.sizes.fit_running(f"{name}_{n}", samples[n], known))
            or self.sizes.fit_table(f"{name}_{n}", samples[n])
            for n, rule in rules.items()
        }

    def argument(self, keys: Sequence[Key], size: str) -> str | None:
        """The argument of `__init__` that gives a size. Raises NotFree where it gives that of some alone."""
        found = {self.free.get((key, size)) for key in keys}
        names = found - {None}
        if names and (len(found) > 1 or self.sizes.in_forward):
            raise NotFree(*names)
        return names.pop() if names else None

    def formula(self, place: ParameterUse, name: str) -> Formula | None:
        """The spec's formula for a size, over the loop variables of a place."""
        declaration = self.graph.program.parameters.get(place.name)
        if declaration is None or declaration.cases or name not in declaration.attributes:
            return None
        scope = dict(zip(declaration.indices, place.positions, strict=False))
        return declaration.attributes[name].formula.substitute(scope)

    def alone(self, position: Position) -> str:
        """A position that stands between commas."""
        text = self.sizes.position(position)
        return text[1:-1] if text.startswith("(") else text

    def loop(self, loop: ForLoop, body: list[str], rest: list[str]) -> list[str]:
        """A loop over its body; `rest` is guarded, because the last turn leaves it out."""
        variable = loop_name(loop.variable)
        sign = "<" if loop.step > 0 else ">"
        guard = [f"if {variable} {sign} {self.sizes.position(loop.last)}:", *python.indent(rest)] if rest else []
        if not body and not guard:
            return []
        first, stop = self.alone(loop.first), self.alone(loop.last.shifted(1 if loop.step > 0 else -1))
        return python.loop(variable, python.count(first, stop, loop.step), [*body, *guard])


def parameter_names(graph: Graph) -> dict[Key, str]:
    """`A.1`, `bn_f.1_2`, `theta`: the part of the names in `state_dict` that stands for each parameter."""
    names = Naming(graph)
    return {key: names.path(key) for key in graph.parameters}
