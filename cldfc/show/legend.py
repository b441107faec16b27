"""The text beside a picture: the table of kernels, and the tooltip of each box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cldfc.network.cost import Cost, cost_of_operations
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.ops import Kernel, Linear, WithScalar
from cldfc.show.blocks import operator_word
from cldfc.show.labels import colours_of
from cldfc.syntax.format import format_equation

if TYPE_CHECKING:
    from cldfc.show.drawing import DrawnBox


@dataclass(frozen=True, slots=True)
class _KernelRow:
    """One shared parameter, or all unshared parameters of one name; shared kernels and scalars have a colour."""

    is_kernel: bool
    """Whether it is a kernel or scalar of the spec, not owned by an operator such as `bn` or `linear`."""
    name: str
    shape: str
    keys: tuple[Key, ...]
    uses: int
    parameters: int
    saved: int
    colour: str | None


def parameter_rows(graph: Graph) -> Iterator[_KernelRow]:
    """Rows for all parameters: shared kernels and scalars, then other ones, then what operators own."""
    uses, colours, declared = graph.as_written.uses, colours_of(graph), graph.program.parameters
    groups: dict[object, list[Key]] = {}
    for key in sorted(graph.parameters, key=lambda key: (key[0] not in declared, key not in colours)):
        groups.setdefault(key if uses[key] > 1 else key[0], []).append(key)
    for keys in groups.values():
        stored = [graph.parameters[key] for key in keys]
        name, is_kernel = keys[0][0], keys[0][0] in declared
        if is_kernel:
            kind = "scalar" if isinstance(stored[0].operator, WithScalar) else "kernel"
        else:
            kind = "map" if isinstance(stored[0].operator, Linear) else "norm"
        yield _KernelRow(
            is_kernel=is_kernel,
            name=format_key(keys[0]) if len(keys) == 1 else f"{name}, {len(keys)} {kind}s",
            shape=_widths_text(graph, keys) if is_kernel else _channels_text(graph, keys),
            keys=tuple(keys),
            uses=sum(uses[key] for key in keys),
            parameters=sum(each.numbers for each in stored),
            saved=sum(each.numbers * (uses[key] - 1) for key, each in zip(keys, stored, strict=True)),
            colour=colours.get(keys[0]),
        )


def _channels_text(graph: Graph, keys: Sequence[Key]) -> str:
    """`512 → 10` for linear maps, `64 channels` for norms; several have a range."""
    sizes = [graph.parameters[key].sizes for key in keys]
    if "channels" in sizes[0]:
        return f"{_range_text(size['channels'] for size in sizes)} channels"
    return " → ".join(_range_text(size[side] for size in sizes) for side in ("in", "out"))


def _widths_text(graph: Graph, keys: Sequence[Key]) -> str:
    """`3×3  64 → 128`; a range of widths for several kernels."""
    sizes = [graph.parameters[key].sizes for key in keys]
    operator = graph.parameters[keys[0]].operator
    if not isinstance(operator, Kernel):
        return f"scalar  from {sizes[0]['init']}"
    before, after = (_range_text(size[side] for size in sizes) for side in ("in", "out"))
    groups = f" in {sizes[0]['groups']} groups" if sizes[0].get("groups", 1) > 1 else ""
    return f"{operator.size_text(sizes[0])}  {before} → {after}{groups}"


def _range_text(numbers: Iterable[float]) -> str:
    """`64…512`, or a single number if all are equal."""
    found = list(numbers)
    return "…".join(str(n) for n in sorted({min(found), max(found)}))


def describe_boxes(graph: Graph, nodes: Sequence[DrawnBox]) -> list[str]:
    costs, uses = cost_of_operations(graph), graph.as_written.uses
    return ["\n".join(filter(None, _describe_node(graph, costs, uses, node))) for node in nodes]


def _describe_node(graph: Graph, costs: Sequence[Cost], uses: Mapping[Key, int], node: DrawnBox) -> Iterator[str]:
    yield _title(graph, node)
    results = [graph.node(at) for at in node.operations]
    yield f"result {'×'.join(map(str, results[-1].shape))}"
    if node.kind == "value":
        return
    if len(node.parameters) == 1 and uses[node.parameters[0]] > 1:
        yield f"{uses[node.parameters[0]]} uses in the network"
    stored = sum({r.parameter: graph.parameters[r.parameter].numbers for r in results if r.parameter}.values())
    yield f"{stored:,} parameters" if stored else ""
    work = 0 if graph.open_sizes else sum(costs[at].multiply_adds for at in node.operations)
    yield f"{work:,} multiply-adds for an image" if work else ""


def _title(graph: Graph, node: DrawnBox) -> str:
    """The first line: a kernel with its widths, operators in the order of application, the equation of a value."""
    if node.parameters:
        name = ", ".join(map(format_key, node.parameters[:4])) + ", …" * (len(node.parameters) > 4)
        return f"{name}: {_widths_text(graph, node.parameters)}"
    if node.kind == "value":
        if node.instance < 0:
            return "the input"
        template = graph.instances[node.instance].template
        return "a term of " * template.is_inner + format_equation(template.statement)
    members = [graph.node(at) for at in node.operations if graph.node(at).instance == node.instance]
    return ", then ".join(operator_word(member.operator) for member in members)
