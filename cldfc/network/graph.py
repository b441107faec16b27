"""The network as a graph, whose nodes are validated by pydantic, and how rewrites change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, cast

import pydantic.dataclasses
from annotated_types import Gt
from pydantic import InstanceOf

from cldfc.network.expand import Instance
from cldfc.network.positions import Key, format_key
from cldfc.network.program import Operand, Program, Reads, Step, Template, keep_steps
from cldfc.network.shapes import Inferred, Stored
from cldfc.ops import Operator
from cldfc.ops.size import formula_of, open_names

if TYPE_CHECKING:
    import networkx


@pydantic.dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One operation: what it does, the shape of its result, and the place that it comes from."""

    operator: InstanceOf[Operator]
    shape: tuple[Annotated[InstanceOf[int], Gt(0)], ...]
    """An open size stands here as a number at which all maps fit, and knows its formula."""
    parameter: tuple[str, tuple[int, ...]] | None
    instance: int
    """The equation at one choice of its indices; -1 for an input."""
    step: int
    """The place in that equation."""
    statistics: tuple[str, tuple[int, ...]] | None = None
    """The running statistics of this use of a shared normalisation."""

    @property
    def stored(self) -> list[Key]:
        return [key for key in (self.parameter, self.statistics) if key is not None]


@dataclass(frozen=True)
class Graph:
    """A network: operations 0, 1, … in an order in which they can be computed, and the operands of each."""

    program: Program
    operations: tuple[Node, ...]
    inputs: tuple[tuple[int, ...], ...]
    instances: tuple[Instance, ...]
    values: dict[Key, int]
    parameters: dict[Key, Stored]
    written: Graph | None = None
    """The network that the spec writes, where this one is a rewrite of it; it has the same parameters."""

    @property
    def as_written(self) -> Graph:
        return self.written or self

    @cached_property
    def net(self) -> networkx.MultiDiGraph[int]:
        """The same for networkx, made when it is first asked for: to compile a network needs no such graph.

        It has one node for each operation, under the attribute `node`, and one edge for each operand, with its place
        among the operands under `operand`.
        """
        import networkx

        net: networkx.MultiDiGraph[int] = networkx.MultiDiGraph(name=self.program.model)
        for at, (node, sources) in enumerate(zip(self.operations, self.inputs, strict=True)):
            net.add_node(at, node=node)
            net.add_edges_from((source, at, {"operand": place}) for place, source in enumerate(sources))
        return net

    def node(self, at: int) -> Node:
        return self.operations[at]

    def nodes(self) -> tuple[Node, ...]:
        """All operations, operands before what uses them."""
        return self.operations

    def operands(self, at: int) -> list[int]:
        return list(self.inputs[at])

    @cached_property
    def uses(self) -> Counter[Key]:
        """How often each parameter is used."""
        found = Counter([node.parameter for node in self.operations])
        found.update([node.statistics for node in self.operations])
        del found[None]
        return cast("Counter[Key]", found)

    @cached_property
    def operators(self) -> list[Operator]:
        """Each operator once, though many operations share it."""
        return list({id(node.operator): node.operator for node in self.operations}.values())

    @cached_property
    def members(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {number: [] for number in range(-1, len(self.instances))}
        for at, node in enumerate(self.nodes()):
            found[node.instance].append(at)
        return found

    @cached_property
    def open_sizes(self) -> list[str]:
        """The names of the sizes that the inputs leave open, and that do not follow from one another."""
        nodes = (self.node(at) for at, _ in enumerate(self.program.input_keys))
        return open_names(formula_of(size) for node in nodes for size in node.shape)

    def shape(self, value: Key) -> tuple[int, ...]:
        return self.node(self.values[value]).shape


def build_graph(inferred: Inferred) -> Graph:
    """The graph of a network whose shapes are known. Raises ValueError when it is not a network."""
    expansion = inferred.expansion
    nodes = tuple(
        Node(
            operation.operator,
            shape,
            operation.parameter,
            operation.instance,
            operation.step,
            operation.statistics,
        )
        for operation, shape in zip(expansion.operations, inferred.shapes, strict=True)
    )
    operands = tuple(operation.operands for operation in expansion.operations)
    values, parameters = dict(expansion.values), dict(inferred.parameters)
    graph = Graph(expansion.program, nodes, operands, tuple(expansion.instances), values, parameters)
    validate_graph(graph)
    return graph


def validate_graph(graph: Graph) -> None:
    """Raise ValueError unless operands come first and every parameter is stored; a rewrite may leave some unused."""
    for target, sources in enumerate(graph.inputs):
        for source in sources:
            if source >= target:
                raise ValueError(f"operation {target} uses operation {source}, which comes later")
    used = graph.uses.keys()
    wrong = used - graph.parameters.keys() if graph.written else used ^ graph.parameters.keys()
    if wrong:
        raise ValueError(f"parameters used and stored differ: {', '.join(sorted(map(format_key, wrong)))}")


@dataclass(frozen=True, slots=True)
class Revised:
    """An equation at one choice of its indices, and for each of its steps the old operation that it stands for."""

    template: Template
    binding: dict[str, int]
    value: Key
    origins: tuple[int, ...]


def rebuild_graph(graph: Graph, revised: Sequence[Revised]) -> Graph:
    """The graph of these equations, in their order; shapes are those of the old operations.

    All parameters stay, so a rewrite starts from the same weights and loads the same files. Raises ValueError when it
    is not a network.
    """
    values = {key: at for at, key in enumerate(graph.program.input_keys)}
    nodes = [graph.node(at) for at in values.values()]
    operands: list[tuple[int, ...]] = [() for _ in nodes]
    instances: list[Instance] = []
    for number, equation in enumerate(revised):
        start = len(nodes)
        for at, (step, origin) in enumerate(zip(equation.template.steps, equation.origins, strict=True)):
            nodes.append(_renew(graph.node(origin), step, number, at))
            operands.append(tuple([s for o in step.operands for s in _sources_of(o, equation.binding, start, values)]))
        last = equation.template.result
        assert last is not None
        values[equation.value] = _sources_of(last, equation.binding, start, values)[0]
        instances.append(Instance(equation.template, equation.binding, equation.value, values[equation.value]))
    given = tuple(nodes), tuple(operands), tuple(instances)
    rebuilt = Graph(graph.program, *given, values, graph.parameters, graph.as_written)
    validate_graph(rebuilt)
    return rebuilt


def _renew(node: Node, step: Step, instance: int, at: int) -> Node:
    """An old operation at its new place; a factor, channels and settings may differ from instance to instance."""
    operator = node.operator if step.factor is not None or step.channels or step.settings else step.operator
    parameter = None if step.use is None else node.parameter
    statistics = None if step.statistics is None else node.statistics
    return Node(operator, node.shape, parameter, instance, at, statistics)


def _sources_of(operand: Operand, binding: Mapping[str, int], start: int, values: Mapping[Key, int]) -> list[int]:
    if isinstance(operand, int):
        return [start + operand]
    return [values[key] for key in operand.keys(binding)]


def change_template(template: Template, changes: Mapping[int, Step | Operand]) -> tuple[Template, tuple[int, ...]]:
    """The equation with other steps, or operands, in place of some, without what its value no longer needs.

    Also gives the number that each step had before. With `1: Read x` the steps 0: A * x, 1: relu(0), 2: B * 1
    become 0: B * x, which was step 2.
    """

    def found(operand: Operand) -> Operand:
        while isinstance(operand, int) and operand in changes and not isinstance(changes[operand], Step):
            operand = cast(Operand, changes[operand])
        return operand

    def step_at(at: int) -> Step:
        change = changes.get(at)
        return change if isinstance(change, Step) else template.steps[at]

    assert template.result is not None
    changed = [step_at(at) for at in range(len(template.steps))]
    changed = [replace(step, operands=tuple(map(found, step.operands))) for step in changed]
    result = found(template.result)
    assert not isinstance(result, Reads)
    steps, result, order = keep_steps(changed, result)
    return replace(template, steps=steps, result=result, is_rewritten=True), order


@dataclass
class Changed:
    """Equations as a rewrite changes them: one that is changed twice in the same way stays one, and so one loop."""

    known: dict[Hashable, tuple[Template, tuple[int, ...]]] = field(
        default_factory=dict[Hashable, tuple[Template, tuple[int, ...]]]
    )

    def change(self, template: Template, changes: Mapping[int, Step | Operand]) -> tuple[Template, tuple[int, ...]]:
        if not changes:
            return template, tuple(range(len(template.steps)))
        key = id(template), tuple(changes.items())
        if key not in self.known:
            self.known[key] = change_template(template, changes)
        return self.known[key]


def keep_needed(revised: Sequence[Revised], outputs: Iterable[Key]) -> list[Revised]:
    needed = {*outputs}
    kept: list[Revised] = []
    for equation in reversed(revised):
        if equation.value in needed:
            needed.update(key for read in equation.template.reads for key in read.keys(equation.binding))
            kept.append(equation)
    return kept[::-1]
