"""Labels and colours of operations, values and levels, shared by all formats that draw the graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from colorsys import hls_to_rgb
from dataclasses import dataclass, fields

from cldfc.diagnostics import shape_text
from cldfc.network.cost import level_of_instance, level_text
from cldfc.network.graph import Graph
from cldfc.network.positions import Key, format_key
from cldfc.ops import (
    Add,
    Channels,
    ConjugateGradients,
    Divide,
    EuclideanNorm,
    Extreme,
    ExtremeTotal,
    FixedPoint,
    InnerProduct,
    Input,
    Kernel,
    Limit,
    LogTotal,
    Multiply,
    MultiplyBy,
    Operator,
    RaiseTo,
    Reciprocal,
    ScalarValue,
    Shift,
    Total,
    TrainedSlope,
    TrainedThreshold,
    Unknown,
    VectorValue,
    WithNumber,
    Zero,
)
from cldfc.ops.base import setting_text
from cldfc.ops.convolution import stride_text

_PALETTE = ("#cfe2f3", "#fce5cd", "#d9ead3", "#d9d2e9", "#f4cccc", "#d0e0e3", "#fff2cc", "#ead1dc")
"""Colours of shared kernels, light enough for black text; more kernels start over with the first."""

_CHOSEN = ("#2f6db5", "#c2570c", "#2e7d4f", "#7d4cc0", "#b32d63", "#0f7480", "#8a6a00", "#b3261e")
_GOLDEN = 0.618034
"""Fraction of the colour wheel between successive hues: by the golden ratio, any number of hues stay apart."""

_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])")

SIGNS: dict[type[Operator], str] = {
    Zero: "0",
    Add: "+",
    Total: "sum",
    Multiply: "⊙",
    MultiplyBy: "*",
    Divide: "/",
    InnerProduct: "⟨·,·⟩",
    EuclideanNorm: "‖·‖",
    LogTotal: "log sum exp",
    TrainedThreshold: "soft_threshold",
    TrainedSlope: "leaky_relu",
}
_ITERATIONS: dict[type[Operator], str] = {FixedPoint: "fix", ConjugateGradients: "solve"}


@dataclass(frozen=True, slots=True)
class _LevelGroup:
    """The operations of one level, and its name; None for operations without a level."""

    name: str | None
    operations: tuple[int, ...]


def operation_label(graph: Graph, at: int) -> str:
    """An operation as the language writes it: `A@1 *_2`, `maxpool[3, stride=2]`, `+`."""
    node = graph.node(at)
    operator = node.operator
    if isinstance(operator, Input):
        return format_key(graph.program.input_keys[node.step])
    if isinstance(operator, WithNumber):
        return number_word(operator, " *")
    if isinstance(operator, Channels):
        return channels_text(operator)
    if isinstance(operator, Kernel):
        mark = "^" if operator.is_transposed else "_"
        text = stride_text(operator.stride)
        text = f"{{{text}}}" if "," in text else text
        stride = f"{mark}{text}" if operator.stride != 1 or mark == "^" else ""
        name, tag = node.parameter or ("", ())
        return f"{format_key((name + 'ᵀ' * operator.is_adjoint, tag))} *{stride}"
    if operator.keyword is None and node.parameter is not None:
        return format_key(node.parameter) + " *" * (not isinstance(operator, ScalarValue | VectorValue))
    if isinstance(operator, Extreme | ExtremeTotal):
        return operator.which
    return SIGNS.get(type(operator)) or word(operator) + configuration(operator)


def number_word(operator: WithNumber, times: str) -> str:
    """`0.5 *`, `+ 1`, `1 -`, `1 /`, `^2`: what a number does to a value; `times` is the sign of a product."""
    number = f"{operator.factor:g}"
    match operator:
        case Shift(sign=1):
            return f"- {number[1:]}" if number.startswith("-") else f"+ {number}"
        case Shift():
            return f"{number} -"
        case Reciprocal():
            return f"{number} /"
        case RaiseTo():
            return f"^{number}"
        case Limit(which=which):
            return f"{which} {number}"
        case _:
            return f"{number}{times}"


def channels_text(operator: Channels) -> str:
    """`[0..15]`."""
    return f"[{operator.first}..{operator.last}]"


def word(operator: Operator) -> str:
    """`relu`, `scale_by`: the keyword of an operator, or the name of its class; an unknown has its own name."""
    if isinstance(operator, Unknown):
        return operator.name
    if type(operator) in _ITERATIONS:
        return _ITERATIONS[type(operator)]
    return operator.keyword or _CAPITAL.sub("_", type(operator).__name__).lower()


def configuration(operator: Operator) -> str:
    """`[3, stride=2]`: the settings that differ from the default, the first one without its name."""
    default = {field.name: field.default for field in fields(operator)}
    given = {name: getattr(operator, name) for name in operator.settings() if getattr(operator, name) != default[name]}
    first = next(iter(operator.settings()), None)
    texts = [
        ("" if name == first or isinstance(value, str) else f"{name}=") + setting_text(value)
        for name, value in given.items()
    ]
    texts = [text.removesuffix("=1") if text in ("ceil=1", "fixed=1") else text for text in texts]
    return f"[{', '.join(texts)}]" if texts else ""


def value_names(graph: Graph) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {}
    for value, at in graph.values.items():
        names.setdefault(at, []).append(format_key(value))
    return names


def label_lines(graph: Graph) -> list[tuple[str, str]]:
    """For each operation its values and label, `r@1,1 = +`, and the shape of its result, `64 × 32 × 32`."""
    values = value_names(graph)
    lines: list[tuple[str, str]] = []
    for at, node in enumerate(graph.nodes()):
        label = operation_label(graph, at)
        named = [name for name in values.get(at, ()) if name != label]
        lines.append((" = ".join([*named, label]), shape_text(node.shape)))
    return lines


def groups(graph: Graph) -> Iterator[_LevelGroup]:
    """The operations by level, in the order in which the levels are first reached."""
    found: dict[int | None, list[int]] = {}
    names: dict[int | None, str | None] = {None: None}
    for at, node in enumerate(graph.nodes()):
        instance = graph.instances[node.instance] if node.instance >= 0 else None
        level = level_of_instance(instance) if instance is not None else None
        if instance is not None and level is not None:
            names.setdefault(level, level_text(graph, instance))
        found.setdefault(level, []).append(at)
    for level, operations in found.items():
        yield _LevelGroup(names[level], tuple(operations))


def edges(graph: Graph) -> Iterator[tuple[int, int, str]]:
    """Each operand with the operation that uses it, and `-` if it is subtracted."""
    for at, node in enumerate(graph.nodes()):
        signs = node.operator.signs if isinstance(node.operator, Add) else ()
        for place, operand in enumerate(graph.operands(at)):
            yield operand, at, "-" if signs and signs[place] < 0 else ""


def _shared_kernels(graph: Graph) -> list[Key]:
    """The kernels and scalars that the spec uses more than once."""
    uses = graph.as_written.uses
    return [key for key in graph.parameters if key[0] in graph.program.parameters and uses[key] > 1]


def shared_colours(graph: Graph) -> dict[Key, str]:
    return {key: _PALETTE[at % len(_PALETTE)] for at, key in enumerate(_shared_kernels(graph))}


def colours_of(graph: Graph) -> dict[Key, str]:
    """A colour, `#2f6db5`, for each kernel and scalar that is used more than once."""
    return {key: colour(at) for at, key in enumerate(_shared_kernels(graph))}


def colour(at: int) -> str:
    if at < len(_CHOSEN):
        return _CHOSEN[at]
    red, green, blue = hls_to_rgb(at * _GOLDEN % 1, 0.3, 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
