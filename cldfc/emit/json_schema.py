"""The JSON of a network: pydantic models, whose docstrings docs/formats.md repeats."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """What all parts have in common: nothing is unknown, nothing changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class OperationRecord(Record):
    """One operation, a node of the graph."""

    id: int
    """Its number, from 0; operands have lower numbers than what uses them."""
    operator: str
    """The keyword of a built-in operator, `relu`; or `input`, `zero`, `add`, `total`, `multiply`, `concat`,
    `convolution`, `prolongation`, `scale` (by a number), `scale_by` (by a scalar)."""
    settings: dict[str, int | float | list[int] | None]
    """The operator's numbers, such as `stride`; null is the operator's own default."""
    label: str
    """The operation as the language writes it, `A@1 *_2`."""
    shape: list[int]
    """The shape of the result for one image: channels, height, width; or the length of a vector."""
    parameter: str | None
    """The parameter that it uses, `A@1`, a `name` in `parameters`."""
    statistics: str | None = None
    """The running statistics of this use of a shared `bn@ℓ`, a `name` in `parameters`."""
    values: list[str]
    """The values of the spec that it gives, `r@1,0`; often none."""
    equation: str | None
    """The left side of the equation that it belongs to, as the spec has it, `r@ℓ,i`; null for the input."""
    indices: dict[str, int]
    """What the index names of that equation stand for here."""
    level: int | None
    """The level of the value that this equation defines."""
    multiply_adds: int
    """Multiply-adds for one image."""


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
    multiply_adds: int
    """Multiply-adds for one image."""
    convolutions: int
    """Convolutions computed for one image."""
    depth: int
    """The longest chain of layers with weights."""
    kept_bytes_per_image: int
    """What training keeps for the backward pass, in float32."""
    kept_bytes_per_batch: int
    """The same that does not grow with the images."""


class NetworkRecord(Record):
    """What is said of the network as a whole, the attributes of the graph."""

    about: str
    """What wrote the file."""
    name: str
    """The network's name, as `model` gives it."""
    input: str
    """The name of the input, the value of operation 0."""
    output: str
    """The name of the output, the value of the last equation."""
    classes: int
    """The number of classes."""
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
    """What is said of the network as a whole."""
    nodes: list[OperationRecord]
    """The operations."""
    edges: list[OperandRecord]
    """The operands."""
