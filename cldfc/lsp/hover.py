"""Hover: the declaration and equations of a symbol, its shapes, parameters and cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import getdoc
from itertools import groupby

from cldfc.algebra.linearity import what_breaks_linearity
from cldfc.algebra.symbols import linear_fact
from cldfc.compilation import Compilation
from cldfc.diagnostics import end_text, shape_text
from cldfc.lsp.cursor import CursorPlace, local_name, place_at
from cldfc.lsp.documents import Document
from cldfc.network.cost import sharing_of
from cldfc.network.names import Family, Names
from cldfc.network.positions import Constant, format_key
from cldfc.network.program import InputFamily
from cldfc.network.shapes import Stored
from cldfc.ops import (
    BUILTINS,
    Concat,
    ConjugateGradients,
    Convolution,
    ConvolutionAdjoint,
    Extreme,
    FixedPoint,
    Kernel,
    LogTotal,
    Multiply,
    Prolongation,
    Total,
)
from cldfc.ops.manual import section
from cldfc.show.summary import facts
from cldfc.syntax import tree
from cldfc.syntax.format import Formatter, format_statement
from cldfc.syntax.keywords import EXAMPLES
from cldfc.syntax.tokens import is_adjoint

MOST_ROWS = 12


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; a long one has only its first rows and the last one."""
    middle = [["⋯"] * len(heads)]
    shown = rows if len(rows) <= MOST_ROWS else [*rows[: MOST_ROWS - 2], *middle, rows[-1]]
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *shown)]
    return ["", *lines, ""]


def _from_to(parts: Sequence[str]) -> str:
    """`r@1,0 … r@1,2`; a single name alone."""
    return parts[0] if len(parts) == 1 else f"{parts[0]} … {parts[-1]}"


# Values


def family_figures(network: Compilation, family: Family) -> list[str]:
    """The shapes and costs of a family's values, level by level and as written, and the parameters of its equations.

    Empty for a family that the network, which may be older than the text, does not have.
    """
    templates = {id(t.statement): t for t in network.written.program.templates if not t.is_inner}
    if family not in {(template.family, len(template.left)) for template in templates.values()}:
        return []
    levels: dict[int, list[int]] = {}
    for number, instance in enumerate(network.written.instances):
        template = templates[id(instance.template.statement)]
        if (template.family, len(template.left)) == family:
            # A term of a reduction counts towards the level of the value that it is part of.
            level = template.left[template.level].value(instance.binding) if template.left else 0
            levels.setdefault(level, []).append(number)
    if not levels:
        return [f"The output does not need `{family[0]}`."]
    rows = [_level_row(network, levels[level]) for level in sorted(levels)]
    return [*_markdown_table(("values", "shape", "multiply-adds"), rows), *_used_parameters(network, levels.values())]


def _level_row(network: Compilation, numbers: Sequence[int]) -> list[str]:
    graph = network.written
    instances = [graph.instances[number] for number in numbers]
    values = sorted(instance.value for instance in instances if not instance.template.is_inner)
    shapes = dict.fromkeys(shape_text(graph.shape(value)) for value in values)
    macs = sum(network.costs[at].multiply_adds for number in numbers for at in graph.members[number])
    return [
        f"`{_from_to([format_key(value) for value in values])}`",
        ", ".join(shapes),
        "open" if graph.open_sizes else f"{macs:,}",
    ]


def _used_parameters(network: Compilation, levels: Iterable[Sequence[int]]) -> list[str]:
    graph = network.written
    nodes = (graph.node(at) for numbers in levels for number in numbers for at in graph.members[number])
    keys = list(dict.fromkeys(node.parameter for node in nodes if node.parameter is not None))
    stored = sum(graph.parameters[key].numbers for key in keys)
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(name for name, _ in keys))
    return [f"{stored:,} parameters in its equations: {names}."] if keys else []


# Parameters


def _parameter_figures(network: Compilation, name: str) -> list[str]:
    graph = network.written
    if name not in graph.program.parameters:
        return []
    keys = sorted(key for key in graph.parameters if key[0] == name)
    if not keys:
        return [f"The output does not need `{name}`."]
    uses = graph.as_written.uses
    rows: list[list[str]] = []
    for text, group in groupby(keys, lambda key: _kernel_sizes(graph.parameters[key])):
        same = list(group)
        stored = sum(graph.parameters[key].numbers for key in same)
        names = _from_to([format_key(key) for key in same])
        rows.append([f"`{names}`", text, f"{sum(uses[key] for key in same):,}", f"{stored:,}"])
    total = sum(graph.parameters[key].numbers for key in keys)
    shared = f"{sharing_of(graph)[name]}, {total:,} parameters."
    return [shared, *_markdown_table((f"`{name}`", "size", "uses", "parameters"), rows)]


def _kernel_sizes(stored: Stored) -> str:
    """`3×3, 64 → 128, groups 2`; for a scalar its initial value."""
    sizes = stored.sizes
    if "init" in sizes:
        return f"starts from {sizes['init']:g}"
    if not isinstance(stored.operator, Kernel):
        return ", ".join(f"{name} {size}" for name, size in sizes.items())
    text = f"{stored.operator.size_text(sizes)}, {sizes['in']} → {sizes['out']}"
    extra = {name: sizes[name] for name in ("groups", "dilation") if sizes.get(name, 1) != 1}
    return ", ".join([text, *(f"{name} {size}" for name, size in extra.items()), *["bias"] * bool(sizes.get("bias"))])


# Numbers


def _constant_figures(constant: Constant) -> list[str]:
    if constant.index is None:
        return [f"= {constant.values[0]:,}"]
    rows = [[f"{at}", f"{value:,}"] for at, value in zip(constant.places, constant.values, strict=True)]
    return _markdown_table((f"`{constant.index}`", f"`{constant.name}`"), rows)


def _input_in_words(family: InputFamily) -> str:
    """`the input, 1 × 32 × 32`; `a list of 3 inputs, 1 × H × W, 1 × H/2 × W/2, …`; `the input, 3 numbers`."""
    shapes = list(dict.fromkeys(map(end_text, family.given_shapes)))
    shown = ", ".join(shapes[:2]) + ", …" * (len(shapes) > 2)
    many = {"levels": f"a list of {family.count} inputs", "steps": f"a sequence of {family.count} inputs in one tensor"}
    return f"{many.get(family.kind, 'the input')}, {shown}"


_INSIDE = {
    "number": "declares an input or output that is one number per image: `input t : 1 number`",
    "numbers": "declares an input or output that is a vector of numbers, not class scores: `output y : 3 numbers`",
    "for": "gives the range of an index: `for i = 1..ν`",
    "groups": "divides the channels of a kernel into groups: `groups 4`",
    "dilation": "spaces out the entries of a kernel: `dilation 2`",
    "padding": "sets how many pixels are added around a map: `padding 2`, `padding 2,0`",
    "valid": "means no padding: a kernel stays inside the map",
    "same": "means a padding of (k-1)/2 · dilation, the default of kernels",
    "circular": "pads a map with its opposite side",
    "reflect": "pads a map with its mirror image, without repeating the outermost pixels",
    "replicate": "pads a map by repeating its outermost pixels",
    "each": "in place of the number of channels: each channel has a kernel of its own (depthwise convolution)",
    "shared": "after `each`: all channels share one kernel, also in training",
    "zero_sum": "keeps the sum of a kernel's entries, for each pair of channels, at 0 in training",
    "symmetric": "keeps a kernel equal to its adjoint in training: ⟨A * x, y⟩ = ⟨x, A * y⟩",
    "unit_norm": "keeps the norm of the entries that lead to each output channel at 1 in training",
    "start": "sets the initial kernel: `he`, `he_out`, `torch`, `zero`, `identity`, `orthogonal`, `normal(0.01)`; "
    "in `fix`, the initial value of the iteration",
    "bias": "adds a number to each output channel of a kernel",
    "tol": "stops `fix` or `solve` once the relative change or residual of every image is at most this: `tol 1e-4`",
    "steps": "stops `fix` or `solve` after this many iterations: `steps 50`",
    "memory": "is how many earlier values Anderson acceleration combines in `fix`: `memory 5`; 0 is plain iteration",
    "relax": "is the factor ω of `solve`, which iterates u + ω (f - A u): `relax 0.5`",
    "backward": "selects the gradient of `fix`: `implicit`, at the fixed point, or `onestep`, through the last step",
    "by": "is the step from one value of an index to the next, `1..9 by 2`, `J..1 by -1`; in `solve`, the method: "
    "`by iteration`, or `by cg`, conjugate gradients",
    "fixed": "makes a scalar or the numbers of a kernel constant: they are not trained",
}


def hover_text(document: Document, offset: int) -> str | None:
    """The hover text at an offset, in Markdown; None if there is nothing to say.

    While the document has errors, figures are those of the last text without any.
    """
    place = place_at(document.current.source.text, offset)
    if place is None:
        return None
    lines = _about_name(document, place, offset) if place.name else _about_sign(place)
    return "\n".join(lines).strip() or None


def _about_sign(place: CursorPlace) -> list[str]:
    text, kind = place.token.text, place.token.kind
    if kind == "statement":
        return [f"**{text}**: {EXAMPLES[text]}"]
    if kind == "word":
        return [f"**{text}** {_INSIDE[text]}"]
    if kind == "reduction":
        meant = {
            "concat": Concat,
            "softmax": LogTotal,
            "max": Extreme,
            "min": Extreme,
            "fix": FixedPoint,
            "solve": ConjugateGradients,
        }
        return [getdoc(next((operator for name, operator in meant.items() if name in text), Total)) or ""]
    if is_adjoint(place.token):
        return [getdoc(ConvolutionAdjoint) or ""]
    if kind == "sign" and text.startswith(("*", "\\ast", "\\cdot")):
        return [getdoc(Prolongation if "^" in text else Convolution) or ""]
    return [getdoc(Multiply) or ""] if text in ("⊙", ".*", r"\odot") else []


def _about_name(document: Document, place: CursorPlace, offset: int) -> list[str]:
    names = document.names(place.name)
    local = local_name(document.current.tree, document.current.source, offset, place.name)
    if isinstance(local, tree.Fix) and not (place.indices or place.is_index):
        return [*_code(local.span.text), f"the unknown of `{local.word}`"]
    if isinstance(local, tree.Let):
        if not (place.indices or place.is_index):
            return [*_code(format_statement(local)), "an operand of the operator"]
    elif local is not None and not isinstance(local, tree.Fix):
        return [*_code(local.span.text), "an index"]
    if place.name == "max_with" and place.name not in names.declared:
        return ["**max_with[a]** is the operator `max(identity, a)`, and `max_with(x, y)` is `max(x, y)`"]
    if place.name in BUILTINS:
        return ["\n".join(section(BUILTINS[place.name])).replace("## ", "### ", 1)]
    family = (place.name, place.indices)
    network = document.good
    if not place.is_index and family in names.families:
        return _about_value(names, family, network)
    if place.name in names.open:
        return [*_code(place.name), "a size that an input leaves open"]
    if names.model is not None and names.model.name == place.name:
        figures = facts(network.simplified) if network else {}
        return [*_code(format_statement(names.model)), *(f"- {name}: {figure}" for name, figure in figures.items())]
    if place.name in names.declared:
        statement = names.declared[place.name]
        said = _code(*map(format_statement, names.statements_of(place.name)))
        return [*said, *_declaration_in_words(statement, names, document, network)]
    arities = names.arities(place.name)
    return _about_value(names, (place.name, arities[0]), network) if arities else []


def _code(*lines: str) -> list[str]:
    return ["```cldf", *lines, "```"]


def _about_value(names: Names, family: Family, network: Compilation | None) -> list[str]:
    output = None if family[1] else names.outputs.get(family[0])
    statements = [*([] if output is None else [output]), *names.families[family]]
    said = _code(*map(format_statement, statements))
    return [
        *said,
        "a value" if output is None else _kind_of_output(output),
        *(family_figures(network, family) if network else []),
    ]


def _kind_of_output(output: tree.Output) -> str:
    if len(output.shape) > 1:
        return "an output, a map"
    if output.is_scores:
        return "the output, scores of classes"
    return f"an output, {Formatter().end(output.shape)}"


def _declaration_in_words(
    statement: tree.Let | tree.Range | tree.KernelStatement | tree.Scalar | tree.InputStatement,
    names: Names,
    document: Document,
    network: Compilation | None,
) -> list[str]:
    """The meaning of a declaration in the network: sizes of parameters, linearity, values of a constant or index."""
    program = None if network is None else network.program
    match statement:
        case tree.KernelStatement(symbol) | tree.Scalar(symbol, is_fixed=False):
            return _parameter_figures(network, symbol.name) if network else []
        case tree.Let(symbol) if not names.is_constant(symbol.name):
            broken = what_breaks_linearity(statement, document.known.tree)
            if broken or program is None:
                return [f"a nonlinear operator: {', '.join(broken)}" if broken else "a linear operator"]
            return [f"a linear operator{linear_fact(statement, program).removeprefix('linear')}"]
        case tree.Let(symbol):
            constant = program.constants.get(symbol.name) if program else None
            return _constant_figures(constant) if constant else ["a constant"]
        case tree.InputStatement(symbol) if program:
            family = next((family for family in program.inputs if family.name == symbol.name), None)
            return [_input_in_words(family)] if family is not None else []
        case tree.Range(kind, name):
            found = program.ranges.get(name) if program else None
            bounds = f", {found.ends()}" if found and found.level is None else ""
            return [f"an index of {kind}{bounds}"]
        case _:
            return []
