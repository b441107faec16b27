"""`forward`: the equations of a network in its loops."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise

from cldfc.emit import layout
from cldfc.emit.docstring import format_shapes
from cldfc.emit.identifiers import loop_name
from cldfc.emit.loops import ForLoop, Item, Leaf, Site, Turn, sites, turns
from cldfc.emit.methods import Methods
from cldfc.emit.naming import Naming
from cldfc.emit.parameters import Ownership, ParameterUse
from cldfc.emit.statements import CodeNames, write_equation
from cldfc.emit.storage import History
from cldfc.network.graph import Node
from cldfc.network.positions import Key, Position
from cldfc.network.program import Read, Reads, Step
from cldfc.ops import Convolution, Prolongation, Scale, Statistics, Zero


def is_sum(text: str) -> bool:
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
        self.methods = Methods(names, ownership, places, list(sites(items)))
        self.place_at = {
            (id(place.site.leaf), place.step, isinstance(place.operator, Statistics)): place for place in places
        }
        self.site_of = {id(site.leaf): site for site in sites(items)}
        self.number_of = {instance.value: number for number, instance in enumerate(self.graph.instances)}
        self.node_of = {(node.instance, node.step): node for node in self.graph.nodes()}

    def lines(self) -> list[str]:
        """The equations in the loops of the network."""
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
        return lines

    def equation(self, site: Site, depth: int) -> list[str]:
        """One equation, under a comment that names it and its shapes."""
        leaf, template = site.leaf, site.leaf.template
        left = tuple(position.substitute(leaf.binding()) for position in template.left)
        values = [(template.family, tuple(p.value(turn) for p in left)) for turn in turns(site.route)]
        comment = f"# {template.label(left)}: {format_shapes([self.graph.shape(v) for v in values])}"
        template, numbers, calls = self.methods.collapse(template, self.methods.calls.get(id(leaf), ()))
        vocabulary = CodeNames(
            read=lambda read: self.read(site, read),
            apply=lambda at, step, operands: (
                self.methods.call(calls[at], operands[0])
                if at in calls
                else self.apply(site, numbers[at], step, operands)
            ),
            temporaries=self.names.temporaries,
        )
        is_output = (template.family, left) == (self.graph.program.output, ())
        if is_output:
            return [comment, *write_equation(template, vocabulary, "return ", depth)]
        history = self.names.histories.get((template.family, len(left)))
        new = self.names.temporaries[0]
        if history is not None and history.length:
            name = self.names.locals.name((template.family, len(left)), template.family)
            lines = write_equation(template, vocabulary, f"{new} = ", depth)
            return [comment, *lines, f"{name} = ({new}, *{name}[:{history.length - 1}])"]
        shift = history.shifts[id(leaf)] if history else 0
        names = [self.names.variable(template.family, left, age) for age in range(shift + 1)]
        target = f"{names[0]} = "
        if history is None or not shift:
            lines = write_equation(template, vocabulary, target, depth)
            return [] if lines == [target + target.removesuffix(" = ")] else [comment, *lines]
        moved = [f"{older} = {newer}" for newer, older in pairwise(names)][::-1]
        if not self.reads_older(leaf, history):
            # A temporary variable lets go of a larger map, of the level before, while the old value is alive.
            last = template.steps[-1].operands if len(template.steps) > 2 else ()
            held = [operand for operand in last if isinstance(operand, int) and len(last) == 1]
            return [comment, *moved, *write_equation(template, vocabulary, target, depth, held)]
        shifted = f"{', '.join(names[::-1])} = {', '.join(names[-2::-1])}, "
        lines = write_equation(template, vocabulary, shifted, depth)
        if lines[-1].startswith(shifted) and layout.fits(lines[-1], depth):
            return [comment, *lines]
        return [comment, *write_equation(template, vocabulary, f"{new} = ", depth), shifted + new]

    def reads_older(self, leaf: Leaf, history: History) -> bool:
        """Whether an equation reads values of its own family that others have followed."""
        family = (leaf.template.family, len(leaf.template.left))
        reads = [read for read in leaf.template.reads() if (read.family, len(read.positions)) == family]
        return any(history.ages[id(leaf), read.positions] for read in reads)

    def read(self, site: Site, read: Read | Reads) -> str:
        """Another value, or those of a reduction: `x[j] for j in range(i)`."""
        binding = site.leaf.binding()
        if isinstance(read, Read):
            history = self.names.histories.get((read.family, len(read.positions)))
            age = history.ages[id(site.leaf), read.positions] if history else 0
            return self.names.variable(read.family, tuple(p.substitute(binding) for p in read.positions), age)
        around = {hop.loop.variable for hop in site.route}
        free = (letter for letter in "jkmnpq" if letter not in self.names.locals.taken)
        name = next(name for name in (read.name, *free) if name not in around)
        inside = {**binding, read.name: Position(name, 0)}
        value = self.names.variable(read.family, tuple(p.substitute(inside) for p in read.positions))
        first = self.names.sizes.position(read.lower.substitute(binding))
        stop = self.names.sizes.position(read.upper.substitute(binding).shifted(1))
        return f"{value} for {layout.counter(loop_name(name), [value])} in {layout.count(first, stop)}"

    def apply(self, site: Site, at: int, step: Step, operands: list[str]) -> str:
        """An operator, with the module that holds its parameters."""
        if isinstance(step.operator, Zero):
            return self.zero(site, at)
        if isinstance(step.operator, Scale):
            factor = self.factor(site, at)
            return step.operator.torch(operands, f"({factor})" if is_sum(factor) else factor)
        if step.use is None:
            return step.operator.torch(operands, "")
        place = self.place_at[id(site.leaf), at, False]
        module = self.names.module(place.name, place.positions)
        if step.statistics is not None:
            own = self.place_at[id(site.leaf), at, True]
            operands = [*operands, self.names.module(own.name, own.positions)]
        if isinstance(step.operator, Convolution | Prolongation) and not self.ownership.fits(place):
            return step.operator.torch_unlike(operands, module, self.names.size_texts(place, site.route))
        return step.operator.torch(operands, module)

    def factor(self, site: Site, at: int) -> str:
        """The number of a scaling, which may differ from turn to turn."""
        nodes = [(turn, self.node_at(site, at, turn).operator) for turn in turns(site.route)]
        samples = [(turn, operator.factor) for turn, operator in nodes if isinstance(operator, Scale)]
        formula = site.leaf.template.steps[at].factor
        own = formula and formula.substitute(site.leaf.binding())
        return self.names.sizes.fit(f"{site.leaf.template.family}_factor", samples, own)

    def node_at(self, site: Site, at: int, turn: Turn) -> Node:
        """The operation that a step is in one turn of the loops."""
        template, binding = site.leaf.template, site.leaf.binding()
        value = (template.family, tuple(p.substitute(binding).value(turn) for p in template.left))
        return self.node_of[self.number_of[value], at]

    def zero(self, site: Site, at: int) -> str:
        """Zeros for each image of the batch, on the input's device and, if they agree, of its size."""
        argument = self.names.locals.given[self.graph.program.input.name, 0]
        family = site.leaf.template.family
        left = tuple(p.substitute(site.leaf.binding()) for p in site.leaf.template.left)
        samples: list[tuple[Turn, tuple[int, ...]]] = []
        value: Key = (family, ())
        for turn in turns(site.route):
            value = (family, tuple(p.value(turn) for p in left))
            samples.append((turn, self.node_of[self.number_of[value], at].shape))
        as_input = value in self.names.while_input and all(s[1:] == self.graph.program.shape[1:] for _, s in samples)
        axes = range(1 if as_input else len(samples[0][1]))
        by_axis = [[(turn, shape[axis]) for turn, shape in samples] for axis in axes]
        sizes = [self.names.sizes.fit(f"{family}_zero", sample) for sample in by_axis]
        sizes += [f"*{argument}.shape[2:]"] if as_input else []
        return f"{argument}.new_zeros({', '.join([f'{argument}.shape[0]', *sizes])})"
