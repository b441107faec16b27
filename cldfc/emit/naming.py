"""What a generated module calls its parameters, its variables and its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cldfc.emit import layout
from cldfc.emit.identifiers import Identifiers, loop_name
from cldfc.emit.loops import ForLoop, Route, Turn, turns
from cldfc.emit.parameters import ParameterUse
from cldfc.emit.sizes import Sizes
from cldfc.emit.storage import choose_slots, input_is_done
from cldfc.network.formula import Formula
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, Positions
from cldfc.syntax import reserved
from cldfc.syntax.spelling import ascii_name


class Naming:
    """The names of one generated class, and expressions over its loop variables."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.slots = choose_slots(graph.instances)
        self.name_attributes()
        self.name_variables()

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
        constants = sorted(self.graph.program.constants.items())
        per_level = [constant for _, constant in constants if constant.index is not None]
        levels = frozenset(name for name, known in self.graph.program.ranges.items() if known.kind == "levels")
        self.sizes = Sizes(per_level, levels, lambda table, name: self.attributes.name(table, name))

    def name_variables(self) -> None:
        """One local name for each family of values; the input shares that of its own if it can."""
        program = self.graph.program
        given = (program.input.name, 0)
        self.locals = Identifiers(reserved.LOCALS | self.loops)
        for family in self.slots:
            if family != given:
                self.locals.name(family, family[0])
        heirs = [f for f, slot in self.slots.items() if f[0] == given[0] and f != given and not slot]
        self.input_until = len(self.graph.instances)
        if heirs and input_is_done(self.graph.instances, given[0]):
            self.locals.given[given] = self.locals.given[heirs[0]]
            writes = (number for number, i in enumerate(self.graph.instances) if i.value[0] == given[0])
            self.input_until = next(writes)
        else:
            taken = ascii_name(given[0]) in self.locals.taken
            self.locals.name(given, f"{given[0]}_in" if taken else given[0])
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

    def variable(self, family: str, positions: Positions) -> str:
        """`r`, `u[level + 1]`."""
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
        known = {text: samples[n] for n, text in rules.items() if text is not None}
        return {
            n: rule
            or (None if self.sizes.in_forward else self.sizes.fit_running(f"{name}_{n}", samples[n], known))
            or self.sizes.fit_table(f"{name}_{n}", samples[n])
            for n, rule in rules.items()
        }

    def formula(self, place: ParameterUse, name: str) -> Formula | None:
        """What the spec says of a size, over the loop variables of a place."""
        declaration = self.graph.program.parameters.get(place.name)
        if declaration is None or name not in declaration.attributes:
            return None
        scope = dict(zip(declaration.indices, place.positions, strict=False))
        return declaration.attributes[name].formula.substitute(scope)

    def loop(self, loop: ForLoop, body: list[str], rest: list[str]) -> list[str]:
        """A loop over its body; `rest` is guarded, for the last turn leaves it out."""
        variable = loop_name(loop.variable)
        sign = "<" if loop.step > 0 else ">"
        guard = [f"if {variable} {sign} {self.sizes.position(loop.last)}:", *layout.indent(rest)] if rest else []
        if not body and not guard:
            return []
        first, stop = self.sizes.position(loop.first), self.sizes.position(loop.last.shifted(loop.step))
        return layout.loop(variable, layout.count(first, stop, loop.step), [*body, *guard])
