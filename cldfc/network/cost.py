"""What a network costs, whole and by level: parameters, multiply-adds, convolutions, depth, activation memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import TYPE_CHECKING

from cldfc.diagnostics import Problems, did_you_mean
from cldfc.network.expand import Instance
from cldfc.network.shapes import Inferred, count_stored, find_image_numbers
from cldfc.ops import Iterated, Kernel, Operator, ScalarValue, Shape, Unknown
from cldfc.ops.base import FLOAT
from cldfc.syntax import tree
from cldfc.syntax.format import Formatter
from cldfc.syntax.parse import collector_paused

if TYPE_CHECKING:
    from cldfc.network.graph import Graph, Node
    from cldfc.network.positions import Key
    from cldfc.network.shapes import Stored


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes for each image of a batch, and bytes however many images there are."""

    each_image: int = 0
    each_batch: int = 0

    def __add__(self, other: _Memory) -> _Memory:
        return _Memory(self.each_image + other.each_image, self.each_batch + other.each_batch)

    def of(self, images: int) -> int:
        return images * self.each_image + self.each_batch


@dataclass(frozen=True, slots=True)
class _Keeping:
    """What operations that are alike keep for the backward pass, and whether there is one."""

    is_view: bool
    is_trained: bool
    operands: tuple[int, ...] = ()
    result: bool = False
    own: _Memory = _Memory()


def _keeping(node: Node, parameter: Stored | None, is_number: bool, trained: Sequence[bool]) -> _Keeping:
    """`trained` says which operands depend on parameters."""
    operator, is_own = node.operator, parameter is not None and parameter.numbers > 0
    if not (is_own or isinstance(operator, Unknown) or any(trained)):
        return _Keeping(operator.is_view(), False)
    keeps = operator.keeps(node.shape, trained)
    own = _Memory(keeps.each_image, keeps.each_batch)
    if isinstance(operator, Kernel) and parameter is not None:
        own += _Memory(0, operator.keeps_made(parameter.sizes))
    if not node.shape and not is_number:
        # A number of the whole batch.
        own = _Memory(0, own.of(1))
    return _Keeping(operator.is_view(), True, keeps.operands, keeps.result, own)


def _kept_by_operation(graph: Graph) -> list[_Memory]:
    """What each operation is the first to keep for the backward pass of training, in float32 on the CPU.

    That is what PyTorch's autograd saves, except parameters and running statistics. A tensor that several operations
    keep counts once, whatever its shape in each. What depends on no parameter has no gradient. The padded map that
    torch keeps for a kernel with `circular`, `reflect` or `replicate` is left out. Equal figures are one object.
    """
    tensors: list[int] = []
    trained: list[bool] = []
    kept: list[_Memory] = []
    nodes = graph.nodes()
    are_numbers = find_image_numbers([node.operator for node in nodes], graph.inputs, [node.shape for node in nodes])
    known = {at for at, node in enumerate(nodes) if isinstance(node.operator, ScalarValue)}
    alike: dict[Hashable, _Keeping] = {}
    memories: dict[tuple[int, int], _Memory] = {}
    for at, (node, operands) in enumerate(zip(nodes, graph.inputs, strict=True)):
        depends = tuple([trained[operand] for operand in operands])
        parameter = None if node.parameter is None else graph.parameters[node.parameter]
        kind = id(node.operator), node.shape, id(parameter), are_numbers[at], depends
        keeping = alike.get(kind)
        if keeping is None:
            keeping = alike[kind] = _keeping(node, parameter, are_numbers[at], depends)
        tensors.append(tensors[operands[0]] if keeping.is_view else at)
        trained.append(keeping.is_trained)
        each_image, each_batch = keeping.own.each_image, keeping.own.each_batch
        saved = [tensors[operands[place]] for place in keeping.operands]
        if keeping.result:
            saved.append(at)
        for tensor in saved:
            if tensor not in known:
                known.add(tensor)
                shape = nodes[tensor].shape
                if shape or are_numbers[tensor]:
                    each_image += FLOAT * prod(shape)
                else:
                    each_batch += FLOAT
        memory = memories.get((each_image, each_batch))
        if memory is None:
            memory = memories[each_image, each_batch] = _Memory(each_image, each_batch)
        kept.append(memory)
    return kept


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation, a level or a whole network costs.

    `multiply_adds` and `convolutions` are those of one image, the former of an iteration with all its steps;
    `unshared` are the parameters if every use had its own; `depth` is the longest chain of layers with weights;
    `kept` is what the backward pass needs.
    """

    parameters: int = 0
    unshared: int = 0
    multiply_adds: int = 0
    convolutions: int = 0
    depth: int = 0
    kept: _Memory = field(default_factory=_Memory)
    open_sizes: tuple[str, ...] = ()
    """The names of open sizes, on which multiply-adds and memory depend: they are those at sizes that fit."""

    def of_size(self, text: str) -> str:
        """A figure that depends on the sizes of maps, as text; of open ones it is not known."""
        return "open" if self.open_sizes else text


def count_unshared(graph: Graph) -> int:
    return sum(graph.parameters[key].numbers * uses for key, uses in graph.as_written.uses.items())


def _count_multiply_adds(operator: Operator, operands: list[Shape], result: Shape, parameter: Stored | None) -> int:
    """Multiply-adds of one operation, for one image."""
    return operator.multiply_adds(operands, result, parameter.sizes if parameter is not None else {})


def _applications(operators: Sequence[Operator], operands: Sequence[Sequence[int]]) -> list[int]:
    """How often each operation is computed at most: what depends on an unknown, as often as its iteration says."""
    times = [1] * len(operators)
    for end, operator in enumerate(operators):
        if isinstance(operator, Iterated):
            unknown = operands[end][1]
            inside = {unknown}
            for at in range(unknown + 1, end):
                if not inside.isdisjoint(operands[at]):
                    inside.add(at)
                    times[at] *= operator.applications
    return times


def _is_convolution(operator: Operator) -> bool:
    """Whether an operation counts as a convolution; a transposed one does."""
    return isinstance(operator, Kernel)


def cost_of_network(graph: Graph) -> Cost:
    return total_cost(graph, cost_of_operations(graph))


@collector_paused()
def cost_of_operations(graph: Graph, with_kept: bool = True) -> list[Cost]:
    """The cost of each operation; what several share counts where it is first used.

    Without `kept`, which takes half of the time, that is left at nothing.
    """
    known: set[Key] = set()
    costs: list[Cost] = []
    nodes = graph.nodes()
    times = _applications([node.operator for node in nodes], graph.inputs)
    alike: dict[Hashable, Cost] = {}
    every = _kept_by_operation(graph) if with_kept else [_Memory()] * len(nodes)
    for at, (node, operands, kept) in enumerate(zip(nodes, graph.inputs, every, strict=True)):
        key = node.parameter
        parameter = graph.parameters[key] if key is not None else None
        shapes = [nodes[operand].shape for operand in operands]
        kind = id(node.operator), id(parameter), times[at], key in known, id(kept), node.shape, *shapes
        cost = alike.get(kind)
        if cost is None:
            numbers = parameter.numbers if parameter is not None else 0
            cost = alike[kind] = Cost(
                parameters=0 if key in known else numbers,
                unshared=numbers,
                multiply_adds=times[at] * _count_multiply_adds(node.operator, shapes, node.shape, parameter),
                convolutions=int(_is_convolution(node.operator)),
                depth=int(node.operator.is_layer),
                kept=kept,
            )
        costs.append(cost)
        if key is not None:
            known.add(key)
    return costs


def total_cost(
    graph: Graph, costs: Sequence[Cost], operations: Iterable[int] | None = None, with_depth: bool = True
) -> Cost:
    order = range(len(costs)) if operations is None else sorted(operations)
    chosen = [costs[at] for at in order]
    return Cost(
        parameters=sum([cost.parameters for cost in chosen]),
        unshared=sum([cost.unshared for cost in chosen]),
        multiply_adds=sum([cost.multiply_adds for cost in chosen]),
        convolutions=sum([cost.convolutions for cost in chosen]),
        depth=_longest_chain(graph, costs, order) if with_depth else 0,
        kept=_Memory(sum([cost.kept.each_image for cost in chosen]), sum([cost.kept.each_batch for cost in chosen])),
        open_sizes=tuple(graph.open_sizes),
    )


def _longest_chain(graph: Graph, costs: Sequence[Cost], operations: Sequence[int]) -> int:
    """The most layers with weights that follow one another inside some operations, given in their order."""
    depths: dict[int, int] = {}
    for at in operations:
        before = 0
        for operand in graph.inputs[at]:
            before = max(before, depths.get(operand, 0))
        depths[at] = costs[at].depth + before
    return max(depths.values(), default=0)


@dataclass(frozen=True, slots=True)
class Sharing:
    """A family of parameters, how many there are, and the indices that one depends on.

    `tied` are the indices that are left where `where` holds, the text of a clause; None without such a tie.
    Normalisations and `linear` are one family for each kind, with None for `indices`.
    """

    kind: str
    count: int
    indices: tuple[str, ...] | None = None
    tied: tuple[str, ...] | None = None
    where: str = ""

    def __str__(self) -> str:
        if self.indices is None:
            return f"{self.count:,}"
        many = f"{self.count:,} {self.kind}{'s' * (self.count != 1)}"
        if self.tied is None:
            return f"one {_per(self.indices)}, {many}"
        return f"one {_per(self.tied)} where {self.where}, else {_per(self.indices)}, {many}"


def _per(indices: tuple[str, ...]) -> str:
    """`per (ℓ, i)`, `per ℓ`, `per network`."""
    return f"per ({', '.join(indices)})" if len(indices) > 1 else f"per {indices[0] if indices else 'network'}"


def sharing_of(graph: Graph) -> dict[str, Sharing]:
    """How each kernel and scalar that is used is shared, by its name; normalisations and `linear` by their kind."""
    counts = Counter(name for name, _ in graph.parameters)
    clauses = {s.symbol.name: s.clauses for s in graph.program.spec.statements if isinstance(s, tree.Tie)}
    found: dict[str, Sharing] = {}
    for name, declaration in graph.program.parameters.items():
        if not counts[name]:
            continue
        kind = "scalar" if isinstance(declaration.statement, tree.Scalar) else "kernel"
        tie, indices = graph.program.ties.get(name), declaration.indices
        kept = indices if tie is None else tuple(indices[place] for place in tie.kept)
        if tie is None or not tie.clauses:
            found[name] = Sharing(kind, counts[name], kept)
        else:
            found[name] = Sharing(kind, counts[name], indices, kept, ", ".join(map(Formatter().clause, clauses[name])))
    owned = Counter(stored.operator.owns for stored in graph.parameters.values() if stored.operator.owns is not None)
    return found | {kind: Sharing(kind, count) for kind, count in owned.items()}


def compare_sharing(before: Graph, after: Graph) -> dict[str, tuple[Sharing | None, Sharing | None]]:
    """The families that two networks share differently, each as both have it; None where one has none."""
    old, new = sharing_of(before), sharing_of(after)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


@dataclass(frozen=True, slots=True)
class _Level:
    """The part of a network that defines the values of one level: its name, the shapes of its values, its cost."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    cost: Cost


def levels_of(graph: Graph) -> list[int | None]:
    """The levels of a network; None, which stands for what has no level, comes last."""
    return sorted({*map(level_of_instance, graph.instances)}, key=lambda at: (at is None, at))


def costs_of_levels(
    graph: Graph, costs: Sequence[Cost], levels: Sequence[int | None], with_depth: bool = True
) -> dict[int | None, _Level]:
    """Those of some levels that a network has, given the cost of each operation.

    What several levels share counts where it is first used, so that all but the depths add up to the network's.
    """
    members: dict[int | None, list[int]] = {at: [] for at in levels}
    for number, instance in enumerate(graph.instances):
        at = level_of_instance(instance)
        if at in members:
            members[at].append(number)
    found: dict[int | None, _Level] = {}
    for at, numbers in members.items():
        instances = [graph.instances[number] for number in numbers]
        if instances:
            shapes = dict.fromkeys([graph.node(i.result).shape for i in instances])
            operations = chain.from_iterable([graph.members[number] for number in numbers])
            cost = total_cost(graph, costs, operations, with_depth)
            found[at] = _Level(level_text(graph, instances[0]), tuple(filter(None, shapes)), cost)
    return found


def level_of_instance(instance: Instance) -> int | None:
    """The level of the value that an instance defines; None when that has no index."""
    indices = instance.value[1]
    return indices[instance.template.level] if indices else None


def level_text(graph: Graph, instance: Instance) -> str:
    """`ℓ=2`, or the names of the outputs."""
    level = level_of_instance(instance)
    if level is None:
        return ", ".join(output.name for output in graph.program.outputs)
    template, ranges = instance.template, graph.program.ranges
    alike = [t for t in graph.program.templates if (t.family, len(t.left)) == (template.family, len(template.left))]
    bases = [t.left[template.level].base for t in (template, *alike)]
    own = (base for base in bases if isinstance(base, str))
    levels = (name for name, range in ranges.items() if range.kind == "levels")
    index = next(own, None) or next(levels, template.statement.left.name)
    return f"{index}={level}"


def count_params(inferred: Inferred) -> int:
    return count_stored(inferred.parameters)


def count_macs(inferred: Inferred) -> int:
    """Multiply-adds for one image; of iterations, with all their steps."""
    total = 0
    operations = inferred.expansion.operations
    times = _applications([o.operator for o in operations], [o.operands for o in operations])
    for operation, shape, many in zip(operations, inferred.shapes, times, strict=True):
        operands = [inferred.shapes[at] for at in operation.operands]
        parameter = None if operation.parameter is None else inferred.parameters[operation.parameter]
        total += many * _count_multiply_adds(operation.operator, operands, shape, parameter)
    return total


def count_convs(inferred: Inferred) -> int:
    return sum(_is_convolution(operation.operator) for operation in inferred.expansion.operations)


QUANTITIES: Mapping[str, tuple[Callable[[Inferred], int], str]] = {
    "params": (count_params, "parameters"),
    "macs": (count_macs, "multiply-adds"),
    "convs": (count_convs, "convolutions"),
}


def check_expectations(spec: tree.Tree, inferred: Inferred, problems: Problems) -> None:
    for expect in spec.statements:
        if not isinstance(expect, tree.Expect):
            continue
        if expect.quantity not in QUANTITIES:
            known = ", ".join(f"`{name}`" for name in QUANTITIES)
            help = did_you_mean(expect.quantity, QUANTITIES, f"write one of {known}")
            message = f"`{expect.quantity}` cannot be used with `expect`"
            problems.report("E0602", message, expect.name_span, "unknown quantity", help)
            continue
        count, what = QUANTITIES[expect.quantity]
        if open := inferred.expansion.program.open_sizes if expect.quantity == "macs" else []:
            help = "leave it out, or write numbers for the sizes of the input"
            message = f"the multiply-adds depend on {' and '.join(f'`{name}`' for name in open)}, which are open"
            problems.report("E0412", message, expect.name_span, "a number for each size alone", help)
            continue
        found = count(inferred)
        if found != expect.number.value:
            help = f"correct the network, or write `expect {expect.quantity} = {found:_}`"
            message = f"the network has {found:,} {what}, not {expect.number.span.text}"
            problems.report("E0601", message, expect.number.span, f"{found:,} counted", help)
