"""What a generated module calls its parameters, its variables and its tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import takewhile

from cldfc.emit import layout
from cldfc.emit.identifiers import Identifiers, loop_name, snake_case
from cldfc.emit.loops import ForLoop, Route, Turn, turns
from cldfc.emit.order import Execution
from cldfc.emit.parameters import ARGUMENTS, ParameterUse, free_sizes
from cldfc.emit.sizes import Sizes
from cldfc.emit.storage import input_is_done
from cldfc.network.formula import Formula
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, Position, Positions
from cldfc.syntax import reserved


class NotFree(Exception):
    """A line makes parameters of which an argument gives the sizes of some, or `forward` needs the size."""


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
        uses = [use for i in self.graph.as_written.instances for step in i.template.steps for use in step.uses()]
        indexed = {use.name for use in uses if any(position.base is not None for position in use.positions)}
        # However a kernel is used: a network that is written in another way, `A@J` for `A@ℓ`, has the same state dict.
        indexed |= {name for name, keys in self.members.items() if name in self.graph.program.parameters and keys[0][1]}
        self.single = {name for name, keys in self.members.items() if len(keys) == 1} - indexed
        self.loops = {loop_name(name) for name in self.graph.program.ranges}
        self.attributes = Identifiers(reserved.ATTRIBUTES | self.loops)
        self.attributes.keep([*self.members, *self.graph.program.parameters])
        for name in self.members:
            self.attributes.name(name, name)
        self.attributes.taken.update(ARGUMENTS)
        self.free = {
            at: name
            for at, name in free_sizes(self.graph.as_written).items()
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
        given = (program.input.name, 0)
        self.locals = Identifiers(reserved.LOCALS | self.loops)
        for family in self.slots:
            if family != given:
                self.locals.name(family, snake_case(family[0]))
        heirs = [f for f, slot in self.slots.items() if f[0] == given[0] and f != given and not slot]
        self.while_input = {instance.value for instance in instances}
        if heirs and input_is_done(instances, given[0]):
            self.locals.given[given] = self.locals.given[heirs[0]]
            before = takewhile(lambda instance: instance.value[0] != given[0], instances)
            self.while_input = {instance.value for instance in before}
        else:
            wanted = snake_case(given[0])
            self.locals.name(given, f"{wanted}_in" if wanted in self.locals.taken else wanted)
        for family, history in self.histories.items():
            for age in range(1, 1 + max(history.shifts.values(), default=0)):
                self.locals.name((family, age), f"{snake_case(family[0])}_old" + f"_{age}" * (age > 1))
        names = ["x", "y", "z", *(f"x{number}" for number in range(1, 1000))]
        self.temporaries = [name for name in names if name not in self.locals.taken]

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
        return attribute if name in self.single else f"{attribute}.{'_'.join(map(str, tag))}"

    def variable(self, family: str, positions: Positions, age: int = 0) -> str:
        """`r`, `u[level + 1]`, or `u_old` for a value that others have followed."""
        if (history := self.histories.get((family, len(positions)))) and history.length:
            return f"{self.locals.given[family, len(positions)]}[{age}]"
        if age:
            return self.locals.given[(family, len(positions)), age]
        slot = self.slots.get((family, len(positions)), ())
        name = self.locals.name((family, len(positions)), family)
        indices = ", ".join(self.sizes.position(positions[place]) for place in slot)
        return f"{name}[{indices}]" if slot else name

    def size_texts(self, place: ParameterUse, route: Route) -> dict[str, str]:
        """An expression for each size of the parameters that a place stands for."""
        return self.texts_of_sizes(place.name, turns(route), place.keys(route), lambda name: self.formula(place, name))

    def texts_of_sizes(
        self, name: str, at: Sequence[Turn], keys: Sequence[Key], formula: Callable[[str], Formula | None]
    ) -> dict[str, str]:
        """An expression for each size of the parameters that are made at these turns.

        One that follows no rule of its own may follow from those of the turn before.
        """
        stored = [self.graph.parameters[key].sizes for key in keys]
        samples = {size: [(t, s[size]) for t, s in zip(at, stored, strict=True)] for size in stored[0]}
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
        """What the spec says of a size, over the loop variables of a place."""
        declaration = self.graph.program.parameters.get(place.name)
        if declaration is None or name not in declaration.attributes:
            return None
        scope = dict(zip(declaration.indices, place.positions, strict=False))
        return declaration.attributes[name].formula.substitute(scope)

    def alone(self, position: Position) -> str:
        """A position that stands between commas."""
        text = self.sizes.position(position)
        return text[1:-1] if text.startswith("(") else text

    def loop(self, loop: ForLoop, body: list[str], rest: list[str]) -> list[str]:
        """A loop over its body; `rest` is guarded, for the last turn leaves it out."""
        variable = loop_name(loop.variable)
        sign = "<" if loop.step > 0 else ">"
        guard = [f"if {variable} {sign} {self.sizes.position(loop.last)}:", *layout.indent(rest)] if rest else []
        if not body and not guard:
            return []
        first, stop = self.alone(loop.first), self.alone(loop.last.shifted(loop.step))
        return layout.loop(variable, layout.count(first, stop, loop.step), [*body, *guard])
