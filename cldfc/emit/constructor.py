"""`__init__`: the tables and the parameters of a generated class, in the loops of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cldfc.emit import layout
from cldfc.emit.identifiers import loop_name
from cldfc.emit.initialise import conv_lines, prolong_lines
from cldfc.emit.naming import Naming
from cldfc.emit.parameters import Declaration, Hop, Ownership, Route
from cldfc.emit.schedule import Item, Loop
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, Position
from cldfc.ops import Convolution, Prolongation, ScaleBy

ENOUGH_FOR_A_LOOP = 3


@dataclass(frozen=True)
class Constructor:
    """Writes `__init__`."""

    names: Naming
    ownership: Ownership
    items: Sequence[Item]

    def lines(self) -> list[str]:
        """Tables and dictionaries first, then the parameters in the loops of the network."""
        parameters = self.parameter_lines()
        sizes = self.names.sizes
        tables = [line for n, e in sizes.tables.items() for line in layout.table(sizes.assignment(n), e, 2)]
        return ["super().__init__()", *tables, *parameters]

    def parameter_lines(self) -> list[str]:
        """What makes the parameters."""
        several = [name for name in self.names.members if name not in self.names.single]
        lines = [f"self.{self.names.attribute(name)} = nn.{self.container(name)}()" for name in several]
        lines += self.declare(self.items, (), 2)
        alone: dict[str, list[Key]] = {}
        for key in self.ownership.alone:
            alone.setdefault(key[0], []).append(key)
        return [*lines, *(line for name, keys in alone.items() for line in self.make_alone(name, keys))]

    def container(self, name: str) -> str:
        """`ModuleDict`, or for scalars `ParameterDict`."""
        stored = self.names.graph.parameters[self.names.members[name][0]]
        return "ParameterDict" if isinstance(stored.operator, ScaleBy) else "ModuleDict"

    def declare(self, items: Sequence[Item], route: Route, depth: int) -> list[str]:
        """The parameters that are made in one container of the schedule, and inside it."""
        lines: list[str] = []
        for index, item in enumerate(items):
            for declaration in self.ownership.declarations:
                if declaration.index == index and same_route(declaration.route, route):
                    lines += self.make(declaration, depth)
            if isinstance(item, Loop):
                lines += self.names.loop(
                    item,
                    self.declare(item.body, (*route, Hop(item, False)), depth + 1),
                    self.declare(item.rest, (*route, Hop(item, True)), depth + 2),
                )
        return lines

    def make(self, declaration: Declaration, depth: int) -> list[str]:
        """The line that makes the parameters of one declaration."""
        place = declaration.place
        sizes = self.names.size_texts(place, declaration.route)
        return self.assign(self.names.module(place.name, place.positions), place.operator.module(sizes), depth)

    def make_alone(self, name: str, keys: list[Key]) -> list[str]:
        """Parameters that no place of the network makes in its loops: one by one, or in a loop of their own."""
        declaration = self.names.graph.program.parameters.get(name)
        axes = [sorted({key[1][place] for key in keys}) for place in range(len(keys[0][1]))]
        is_box = len({len(key[1]) for key in keys}) == 1 and set(product(*axes)) == {key[1] for key in keys}
        is_box = is_box and all(axis == list(range(axis[0], axis[-1] + 1)) for axis in axes)
        if declaration is None or not is_box or len(keys) < ENOUGH_FOR_A_LOOP or len(axes) != len(declaration.indices):
            return [line for key in keys for line in self.make_one(name, [key], (), 2)]
        loops = [index for index, axis in zip(declaration.indices, axes, strict=True) if len(axis) > 1]
        lines = self.make_one(name, keys, tuple(loops), 2 + len(loops))
        for index, axis in reversed(list(zip(declaration.indices, axes, strict=True))):
            if index in loops:
                lines = [f"for {loop_name(index)} in range({axis[0]}, {axis[-1] + 1}):", *layout.indent(lines)]
        return lines

    def make_one(self, name: str, keys: list[Key], loops: tuple[str, ...], depth: int) -> list[str]:
        """The line that makes parameters over loops of their own."""
        declaration = self.names.graph.program.parameters.get(name)
        indices = declaration.indices if declaration is not None else ()
        tag = keys[0][1]
        over = [at for at in range(len(tag)) if loops and indices[at] in loops]
        positions = tuple(Position(indices[at], 0) if at in over else Position(None, tag[at]) for at in range(len(tag)))
        turns = [dict(zip(indices, key[1], strict=False)) if loops else {} for key in keys]
        stored = [self.names.graph.parameters[key].sizes for key in keys]
        sizes = {
            size: self.names.sizes.fit(f"{name}_{size}", [(t, s[size]) for t, s in zip(turns, stored, strict=True)])
            for size in stored[0]
        }
        operator = self.ownership.made_for[keys[0]]
        return self.assign(self.names.module(name, positions), operator.module(sizes), depth)

    def assign(self, target: str, constructor: str, depth: int) -> list[str]:
        """`target = constructor`, broken if it is too long."""
        function, arguments = constructor.removesuffix(")").split("(", 1)
        if not layout.fits(f"{target} = {function}(", depth):
            return [f"{target} = (", layout.INDENT + constructor, ")"]
        return layout.call(f"{target} = {function}", arguments.split(", "), "", depth)


def initialisers(graph: Graph) -> list[str]:
    """The functions that make kernels, with the parameters that a network needs."""
    lines: list[str] = []
    for operator, write in ((Convolution, conv_lines), (Prolongation, prolong_lines)):
        sizes = [s.sizes for s in graph.parameters.values() if isinstance(s.operator, operator)]
        plain = {"groups": 1, "dilation": 1, "bias": 0}
        uses = {name for s in sizes for name, default in plain.items() if s.get(name, default) != default}
        lines += write(uses) if sizes else []
    return lines


def same_route(first: Route, second: Route) -> bool:
    """Whether two routes lead through the same loops."""
    return [(id(h.loop), h.into_rest) for h in first] == [(id(h.loop), h.into_rest) for h in second]
