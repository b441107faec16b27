"""Graph → the PyTorch module that a careful person would have written."""

from __future__ import annotations

from collections.abc import Sequence

from cldfc.emit import layout
from cldfc.emit.docstring import describe, format_shapes
from cldfc.emit.identifiers import MODULE_ATTRIBUTES, MODULE_NAMES, Identifiers, loop_name
from cldfc.emit.parameters import Declaration, Hop, Route, Site, Turn, assign_owners, sites, turns
from cldfc.emit.schedule import Item, Leaf, Loop, schedule
from cldfc.emit.sizes import Sizes
from cldfc.emit.statements import Vocabulary, write_equation
from cldfc.emit.storage import choose_slots, input_is_done
from cldfc.network.expand import Key
from cldfc.network.graph import Graph
from cldfc.network.program import Positions, Read, Step
from cldfc.ops import Convolution, Zero
from cldfc.syntax.format import format_symbol
from cldfc.syntax.spelling import ascii_name

CONV = [
    "def conv(cin: int, cout: int, size: int, stride: int = 1) -> nn.Conv2d:",
    '    """A kernel without bias; zero padding (size - 1) / 2; He initialisation."""',
    "    kernel = nn.Conv2d(cin, cout, size, stride, padding=size // 2, bias=False)",
    '    nn.init.kaiming_normal_(kernel.weight, nonlinearity="relu")',
    "    return kernel",
    "",
    "",
]


def emit_module(graph: Graph) -> str:
    """The source of a Python module with one class, the network; it imports torch alone."""
    network = NetworkClass(graph)
    body = network.lines()
    code = "\n".join(body)
    lines = ['"""' + describe(graph)[0], *describe(graph)[1:], '"""', "", "import torch"]
    lines += ["import torch.nn.functional as F"] if "F." in code else []
    lines += ["from torch import nn", "", "", *(CONV if "conv(" in code else []), *body]
    return "\n".join(lines) + "\n"


class NetworkClass:
    """The class of a network: its names, `__init__` and `forward` over one schedule of loops."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.items = schedule(graph.instances, graph.program.ranges)
        self.places, self.ownership = assign_owners(self.items)
        self.place_at = {(id(place.site.leaf), place.step): place for place in self.places}
        self.slots = choose_slots(graph.instances)
        self.number_of = {instance.value: number for number, instance in enumerate(graph.instances)}
        self.shape_of = {(node.instance, node.step): node.shape for node in graph.nodes()}
        self.name_attributes()
        self.name_variables()

    # Names

    def name_attributes(self) -> None:
        """One attribute for each parameter name; where the spec has an index name in the tag, a dictionary."""
        self.members: dict[str, list[Key]] = {}
        for key in self.graph.parameters:
            self.members.setdefault(key[0], []).append(key)
        uses = [step.use for i in self.graph.instances for step in i.template.steps if step.use is not None]
        indexed = {use.name for use in uses if any(position.base is not None for position in use.positions)}
        self.single = {name for name, keys in self.members.items() if len(keys) == 1} - indexed
        self.loops = {loop_name(name) for name in self.graph.program.ranges}
        self.attributes = Identifiers(MODULE_ATTRIBUTES | MODULE_NAMES | self.loops)
        for name in self.members:
            self.attributes.name(name, name)
        per_level = [c for c in self.graph.program.constants.values() if c.index is not None]
        self.sizes = Sizes(per_level, lambda name: self.attributes.name(("table", name), name))

    def name_variables(self) -> None:
        """One local name for each family of values; the input shares that of its own if it can."""
        program = self.graph.program
        given = (program.input.name, 0)
        self.locals = Identifiers(MODULE_NAMES | self.loops)
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

    def module(self, name: str, positions: Positions) -> str:
        """`self.theta`, `self.A[f"{level + 1}"]`."""
        attribute = f"self.{self.attributes.name(name, name)}"
        return attribute if name in self.single else f"{attribute}[{self.sizes.key(positions)}]"

    def variable(self, family: str, positions: Positions) -> str:
        """`r`, `u[level + 1]`."""
        slot = self.slots.get((family, len(positions)), ())
        name = self.locals.name((family, len(positions)), family)
        indices = ", ".join(self.sizes.position(positions[place]) for place in slot)
        return f"{name}[{indices}]" if slot else name

    def lines(self) -> list[str]:
        """The class; `forward` is worked out first, for it decides which tables are attributes."""
        argument = self.locals.given[self.graph.program.input.name, 0]
        head = layout.call("def forward", ["self", f"{argument}: torch.Tensor"], " -> torch.Tensor:", 1)
        self.sizes.in_forward = True
        forward = self.forward_lines()
        self.sizes.in_forward = False
        return [
            f"class {ascii_name(self.graph.program.model)}(nn.Module):",
            *layout.indent(["def __init__(self) -> None:", *layout.indent(self.init_lines()), ""]),
            *layout.indent([*head, *layout.indent(forward)]),
        ]

    # __init__

    def init_lines(self) -> list[str]:
        """Tables and dictionaries first, then the parameters in the loops of the network."""
        parameters = self.parameter_lines()
        tables = self.sizes.tables.items()
        lines = [line for n, entries in tables for line in layout.table(self.sizes.assignment(n), entries, 2)]
        return ["super().__init__()", *lines, *parameters]

    def parameter_lines(self) -> list[str]:
        """What makes the parameters."""
        several = [self.attributes.name(name, name) for name in self.members if name not in self.single]
        lines = [f"self.{attribute} = nn.ModuleDict()" for attribute in several]
        lines += self.declare(self.items, (), 2)
        for key in self.ownership.alone:
            stored = self.graph.parameters[key]
            sizes = {name: str(size) for name, size in stored.sizes.items()}
            name, indices = key
            target = f'self.{self.attributes.name(name, name)}["{"_".join(map(str, indices))}"]'
            lines += self.assign(target, self.ownership.made_for[key].module(sizes), 2)
        return lines

    def declare(self, items: Sequence[Item], route: Route, depth: int) -> list[str]:
        """The parameters that are made in one container of the schedule, and inside it."""
        lines: list[str] = []
        for index, item in enumerate(items):
            for declaration in self.ownership.declarations:
                if declaration.index == index and same_route(declaration.route, route):
                    lines += self.make(declaration, depth)
            if isinstance(item, Loop):
                lines += self.loop(
                    item,
                    self.declare(item.body, (*route, Hop(item, False)), depth + 1),
                    self.declare(item.rest, (*route, Hop(item, True)), depth + 2),
                )
        return lines

    def make(self, declaration: Declaration, depth: int) -> list[str]:
        """The line that makes the parameters of one declaration."""
        place = declaration.place
        at = turns(declaration.route)
        stored = [self.graph.parameters[key].sizes for key in place.keys(declaration.route)]
        sizes = {
            name: self.sizes.fit(f"{place.name}_{name}", [(t, s[name]) for t, s in zip(at, stored, strict=True)])
            for name in stored[0]
        }
        return self.assign(self.module(place.name, place.positions), place.operator.module(sizes), depth)

    def assign(self, target: str, constructor: str, depth: int) -> list[str]:
        """`target = constructor`, broken if it is too long."""
        function, arguments = constructor.removesuffix(")").split("(", 1)
        if not layout.fits(f"{target} = {function}(", depth):
            return [f"{target} = (", layout.INDENT + constructor, ")"]
        return layout.call(f"{target} = {function}", arguments.split(", "), "", depth)

    def loop(self, loop: Loop, body: list[str], rest: list[str]) -> list[str]:
        """A loop over its body; `rest` is guarded, for the last turn leaves it out."""
        variable = loop_name(loop.variable)
        sign = "<" if loop.step > 0 else ">"
        guard = [f"if {variable} {sign} {self.sizes.position(loop.last)}:", *layout.indent(rest)] if rest else []
        if not body and not guard:
            return []
        first, stop = self.sizes.position(loop.first), self.sizes.position(loop.last.shifted(loop.step))
        step = "" if loop.step == 1 else f", {loop.step}"
        start = "" if first == "0" and not step else f"{first}, "
        return [f"for {variable} in range({start}{stop}{step}):", *layout.indent([*body, *guard])]

    # forward

    def forward_lines(self) -> list[str]:
        """The equations in the loops of the network."""
        kept = dict.fromkeys(family for family, slot in self.slots.items() if slot)
        names = [self.locals.name(family, family[0]) for family in kept]
        self.site_of = {id(site.leaf): site for site in sites(self.items)}
        return [
            *(f"{name}: dict[{self.key_type(f)}, torch.Tensor] = {{}}" for f, name in zip(kept, names, strict=True)),
            *self.compute(self.items, 2),
        ]

    def key_type(self, family: tuple[str, int]) -> str:
        """The type of the key under which values of a family are kept."""
        arity = len(self.slots[family])
        return "int" if arity == 1 else f"tuple[{', '.join(['int'] * arity)}]"

    def compute(self, items: Sequence[Item], depth: int) -> list[str]:
        """The lines of one container of the schedule."""
        lines: list[str] = []
        for item in items:
            if isinstance(item, Loop):
                lines += self.loop(item, self.compute(item.body, depth + 1), self.compute(item.rest, depth + 2))
            else:
                lines += self.equation(self.site_of[id(item)], depth)
        return lines

    def equation(self, site: Site, depth: int) -> list[str]:
        """One equation, under a comment that names it and its shapes."""
        leaf, template = site.leaf, site.leaf.template
        left = tuple(position.substitute(leaf.binding()) for position in template.left)
        values = [(template.family, tuple(p.value(turn) for p in left)) for turn in turns(site.route)]
        comment = f"# {format_symbol(template.statement.left)}: {format_shapes([self.graph.shape(v) for v in values])}"
        vocabulary = Vocabulary(
            read=lambda read: self.read(leaf, read),
            apply=lambda at, step, operands: self.apply(site, at, step, operands),
            temporaries=self.temporaries,
        )
        is_output = (template.family, left) == (self.graph.program.output, ())
        target = "return " if is_output else f"{self.variable(template.family, left)} = "
        lines = write_equation(template, vocabulary, target, depth)
        return [] if lines == [target + target.removesuffix(" = ")] else [comment, *lines]

    def read(self, leaf: Leaf, read: Read) -> str:
        """Another value."""
        return self.variable(read.family, tuple(p.substitute(leaf.binding()) for p in read.positions))

    def apply(self, site: Site, at: int, step: Step, operands: list[str]) -> str:
        """An operator, with the module that holds its parameters."""
        if isinstance(step.operator, Zero):
            return self.zero(site, at)
        if step.use is None:
            return step.operator.torch(operands, "")
        place = self.place_at[id(site.leaf), at]
        module = self.module(place.name, place.positions)
        if isinstance(step.operator, Convolution) and not self.ownership.fits(place):
            return step.operator.torch_unlike(operands, module)
        return step.operator.torch(operands, module)

    def zero(self, site: Site, at: int) -> str:
        """Zeros for each image of the batch, on the input's device and, if they agree, of its size."""
        argument = self.locals.given[self.graph.program.input.name, 0]
        family = site.leaf.template.family
        left = tuple(p.substitute(site.leaf.binding()) for p in site.leaf.template.left)
        samples: list[tuple[Turn, tuple[int, ...]]] = []
        number = 0
        for turn in turns(site.route):
            number = self.number_of[family, tuple(p.value(turn) for p in left)]
            samples.append((turn, self.shape_of[number, at]))
        as_input = number < self.input_until and all(s[1:] == self.graph.program.shape[1:] for _, s in samples)
        axes = range(1 if as_input else len(samples[0][1]))
        sizes = [self.sizes.fit(f"{family}_zero", [(turn, shape[axis]) for turn, shape in samples]) for axis in axes]
        sizes += [f"*{argument}.shape[2:]"] if as_input else []
        return f"{argument}.new_zeros({', '.join([f'{argument}.shape[0]', *sizes])})"


def same_route(first: Route, second: Route) -> bool:
    """Whether two routes lead through the same loops."""
    return [(id(h.loop), h.into_rest) for h in first] == [(id(h.loop), h.into_rest) for h in second]
