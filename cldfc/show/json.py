"""Graph → JSON in node-link form, which networkx and D3 read; pydantic models define the format."""

from __future__ import annotations

from dataclasses import asdict
from operator import itemgetter
from typing import Any, Literal

import networkx
from pydantic import BaseModel, ConfigDict

from cldfc.network.cost import cost_of_operations, level_of_instance, total_cost
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.ops import Kernel, Operator
from cldfc.ops.convolution import Nested
from cldfc.show.labels import operation_label, value_names, word
from cldfc.show.summary import formula_as_data
from cldfc.syntax.format import format_symbol

_Row = list[float]


class Record(BaseModel):
    """Base class of all records: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OperationRecord(Record):
    """One operation, a node of the graph."""

    id: int
    """Its number, from 0; operands have lower numbers than what uses them."""
    operator: str
    """The keyword of a built-in operator, `relu`; or `input`, `zero`, `add`, `total` (a sum over an index), `multiply`,
    `multiply_by` (by a number of each image), `divide`, `extreme` (max, min), `extreme_total`, `log_total`,
    `inner_product`, `euclidean_norm`, `concat`, `channels`, `convolution`, `prolongation`, `convolution_adjoint`,
    `prolongation_adjoint`, `scalar_value`, `vector_value`, `scale_by` (by a scalar), `scale_channels` (by a vector),
    `scale` (by a number), `shift`, `limit`, `reciprocal`, `raise_to`, `trained_threshold`, `trained_slope`, `fix`,
    `solve`; for the unknown of these two, its name."""
    settings: dict[str, int | float | str | list[int] | list[str] | _Row | list[_Row] | list[list[_Row]] | None]
    """The operator's settings, such as `stride`; null is the operator's default. A kernel also has, if they are not
    the default, the `mode` of its padding, its `start`, its `rules`, and the `rows` of its given numbers, nested by
    axes."""
    label: str
    """The operation as the language writes it, `A@1 *_2`."""
    shape: list[int | str]
    """The shape of the result for one image: channels, height, width; or the length of a vector. An open size is a
    formula, `H/2`."""
    parameter: str | None
    """The parameter that it uses, `A@1`, a `name` in `parameters`."""
    statistics: str | None = None
    """The running statistics of this use of a shared `bn@ℓ`, a `name` in `parameters`."""
    values: list[str]
    """The values of the spec that it gives, `r@1,0`; often none."""
    equation: str | None
    """The left side of the equation that it belongs to, as the spec has it, `r@ℓ,i`; null for the input."""
    indices: dict[str, int]
    """The values of the indices of that equation, by name."""
    level: int | None
    """The level of the value that this equation defines."""
    multiply_adds: int | None
    """Multiply-adds for one image; null where sizes are open."""


def _settings_of(operator: Operator) -> dict[str, Any]:
    found = asdict(operator)
    del found["dimension"]
    if isinstance(operator, Kernel):
        start = operator.start
        del found["start"]
        found |= {"start": start.name} if start.name != "he_out" else {}
        rules = found.pop("rules")
        found |= {"rules": list(rules)} if rules else {}
        found |= {"rows": _as_lists(start.numbers)} if start.numbers else {}
        if found.get("mode") == "zeros":
            del found["mode"]
    return found


def _as_lists(numbers: float | Nested) -> float | list[Any]:
    return list(map(_as_lists, numbers)) if isinstance(numbers, tuple) else numbers


class OperandRecord(Record):
    """One operand, an edge of the graph."""

    source: int
    """The operation that gives it."""
    target: int
    """The operation that uses it."""
    key: int
    """Tells edges between the same two operations apart."""
    operand: int
    """Its place among the operands, from 0."""


class ParameterRecord(Record):
    """One parameter: a kernel, a scalar, or what a normalisation or `linear` owns. Shared ones stand here once."""

    name: str
    """Its name and the values of its tag, `A@1`."""
    operator: str
    """What first uses it, in the words of `operator` above."""
    sizes: dict[str, int | float]
    """`in` and `out` channels, `size` of the kernel, `groups`, `dilation`, `bias`; `channels`; a scalar's `init`."""
    numbers: int
    """How many numbers are stored."""
    uses: int
    """How many operations use it."""


class CostRecord(Record):
    """The cost of the whole network, as the spec writes it."""

    parameters: int
    """Numbers stored, shared ones once."""
    unshared: int
    """Numbers stored if every use had its own."""
    multiply_adds: int | None
    """Multiply-adds for one image; null where sizes are open, as is what training keeps."""
    convolutions: int
    """Convolutions computed for one image."""
    depth: int
    """The longest chain of layers with weights."""
    kept_bytes_per_image: int | None
    """What training keeps for the backward pass, in float32."""
    kept_bytes_per_batch: int | None
    """What it keeps once for a batch, however many images."""


class EndRecord(Record):
    """An input or an output."""

    name: str
    """Its name, with the values of its tag."""
    operation: int
    """The operation that gives it."""
    shape: list[int | str]
    """Its shape for one image; an open size is a formula."""


class NetworkRecord(Record):
    """The network as a whole: the attributes of the graph."""

    about: str
    """What wrote the file."""
    name: str
    """The network's name, as `model` gives it."""
    inputs: list[EndRecord]
    """The inputs, which are the first operations."""
    outputs: list[EndRecord]
    """The outputs."""
    classes: int | None
    """The number of classes, if an output is their scores."""
    open_sizes: list[str]
    """The names of the sizes that the inputs leave open."""
    cost: CostRecord
    """The cost of the whole network."""
    parameters: list[ParameterRecord]
    """All parameters, in the order of use."""


class GraphRecord(Record):
    """The whole file: a directed graph with several edges between two nodes, in networkx's node-link form."""

    directed: Literal[True] = True
    """Edges lead from an operand to what uses it."""
    multigraph: Literal[True] = True
    """There may be several edges between two operations, as in `x + x`."""
    graph: NetworkRecord
    """The network as a whole."""
    nodes: list[OperationRecord]
    """The operations."""
    edges: list[OperandRecord]
    """The operands."""


_ABOUT = "generated by cldfc; docs/formats.md says what the keys mean"


def emit_json(graph: Graph) -> str:
    """The network as it is written, as JSON."""
    return describe_graph(graph).model_dump_json(indent=2) + "\n"


def describe_graph(graph: Graph) -> GraphRecord:
    """The network as it is written, as plain data."""
    written = graph.as_written
    return GraphRecord(
        graph=_describe_network(written), nodes=_describe_operations(written), edges=_describe_operands(written)
    )


def _describe_operands(graph: Graph) -> list[OperandRecord]:
    """All operands, sorted by the operation that uses them."""
    edges: list[dict[str, int]] = networkx.node_link_data(graph.net, edges="edges")["edges"]
    return [OperandRecord(**edge) for edge in sorted(edges, key=itemgetter("target", "operand"))]


def _describe_network(graph: Graph) -> NetworkRecord:
    program = graph.program
    return NetworkRecord(
        about=_ABOUT,
        name=program.model,
        inputs=[
            EndRecord(name=format_key(key), operation=graph.values[key], shape=_shape_of_end(graph, key))
            for family in program.inputs
            for key in family.keys
        ],
        outputs=[
            EndRecord(
                name=output.name,
                operation=graph.values[output.key],
                shape=_shape_of_end(graph, output.key),
            )
            for output in program.outputs
        ],
        classes=program.scores,
        open_sizes=graph.open_sizes,
        cost=_describe_cost(graph),
        parameters=_describe_parameters(graph),
    )


def _shape_of_end(graph: Graph, key: Key) -> list[int | str]:
    """The shape of an input or output; a single number per image is a vector of length 1."""
    return [*map(formula_as_data, graph.shape(key) or (1,))]


def _describe_cost(graph: Graph) -> CostRecord:
    cost = total_cost(graph, cost_of_operations(graph))
    return CostRecord(
        parameters=cost.parameters,
        unshared=cost.unshared,
        multiply_adds=None if cost.open_sizes else cost.multiply_adds,
        convolutions=cost.convolutions,
        depth=cost.depth,
        kept_bytes_per_image=None if cost.open_sizes else cost.kept.each_image,
        kept_bytes_per_batch=None if cost.open_sizes else cost.kept.each_batch,
    )


def _describe_parameters(graph: Graph) -> list[ParameterRecord]:
    uses = graph.as_written.uses
    return [
        ParameterRecord(
            name=format_key(key),
            operator=word(stored.operator),
            sizes=dict(stored.sizes),
            numbers=stored.numbers,
            uses=uses[key],
        )
        for key, stored in graph.parameters.items()
    ]


def _describe_operations(graph: Graph) -> list[OperationRecord]:
    values, costs = value_names(graph), cost_of_operations(graph)
    records: list[OperationRecord] = []
    for at, node in enumerate(graph.nodes()):
        instance = graph.instances[node.instance] if node.instance >= 0 else None
        records.append(
            OperationRecord(
                id=at,
                operator=word(node.operator),
                settings=_settings_of(node.operator),
                label=operation_label(graph, at),
                shape=[*map(formula_as_data, node.shape)],
                parameter=None if node.parameter is None else format_key(node.parameter),
                statistics=None if node.statistics is None else format_key(node.statistics),
                values=values.get(at, []),
                equation=None if instance is None else format_symbol(instance.template.statement.left),
                indices={} if instance is None else dict(instance.binding),
                level=None if instance is None else level_of_instance(instance),
                multiply_adds=None if graph.open_sizes else costs[at].multiply_adds,
            )
        )
    return records
