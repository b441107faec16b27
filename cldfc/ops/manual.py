"""docs/operators.md: every operator from its own docstring, settings and rules."""

from __future__ import annotations

from dataclasses import replace
from inspect import getdoc
from re import split

from cldfc.ops import (
    BUILTINS,
    Add,
    Channels,
    Concat,
    Convolution,
    ConvolutionAdjoint,
    Divide,
    EuclideanNorm,
    Extreme,
    ExtremeTotal,
    InnerProduct,
    Limit,
    Multiply,
    MultiplyBy,
    Operator,
    Prolongation,
    ProlongationAdjoint,
    RaiseTo,
    Reciprocal,
    ScalarValue,
    Scale,
    ScaleBy,
    ScaleChannels,
    Shift,
    Total,
    TrainedSlope,
    TrainedThreshold,
    VectorValue,
    Zero,
)
from cldfc.ops.base import setting_text

_SIZES = {"in": "n", "out": "outputs", "channels": "C", "size": "k", "init": "1.0"}
_TITLE = """# Operators

Generated from the docstrings in `cldfc/ops/` by `cldfc/ops/manual.py`; a test compares it.

Settings go in brackets, by place or by name: `maxpool[3, stride=2]`. *Linear*: whether the operator is linear in its
operands. *Sign*: what `constrain` may conclude. PyTorch's own defaults are left out of the code."""
_HEAD = ["| shape | linear | sign | parameters | PyTorch |", "|---|---|---|---|---|"]
_NOTATION: list[tuple[str, Operator, list[str]]] = [
    ("K * x", Convolution(), ["self.K(x)"]),
    ("K *_s x", Convolution(2), ["self.K(x)"]),
    ("K *^s x", Prolongation(2), ["self.K(x)"]),
    ("Aᵀ * x", ConvolutionAdjoint(), ["F.conv_transpose2d(x, self.A.weight, padding=1)"]),
    (
        "Aᵀ *_s x",
        ConvolutionAdjoint(2),
        ["F.conv_transpose2d(x, self.A.weight, stride=2, padding=1, output_padding=1)"],
    ),
    ("Kᵀ *^s x", ProlongationAdjoint(2), ["F.conv2d(x, self.K.weight, stride=2, padding=1)"]),
    ("x + y", Add((1, 1)), ["x + y"]),
    ("x - y", Add((1, -1)), ["x - y"]),
    ("x ⊙ y", Multiply(), ["x * y"]),
    ("a * x", Scale(1.0), ["a * x"]),
    ("x + a", Shift(1.0), ["x + a"]),
    ("a - x", Shift(1.0, -1), ["a - x"]),
    ("x / y", Divide(), ["x / y"]),
    ("a / x", Reciprocal(1.0), ["a / x"]),
    ("⟨x, y⟩", InnerProduct(), ["(x * y).sum((1, 2, 3))"]),
    ("‖x‖", EuclideanNorm(), ["torch.linalg.vector_norm(x, dim=(1, 2, 3))"]),
    ("α * x", MultiplyBy(spread=(3, 0)), ["alpha[:, None, None, None] * x"]),
    ("max(x, y)", Extreme("max"), ["torch.maximum(x, y)"]),
    ("min(x, y)", Extreme("min"), ["torch.minimum(x, y)"]),
    ("max(x, a)", Limit(1.0), ["torch.clamp(x, min=a)"]),
    ("min(x, a)", Limit(1.0, "min"), ["torch.clamp(x, max=a)"]),
    ("ω", ScalarValue(), ["self.omega"]),
    ("ω * x", ScaleBy(), ["self.omega * x"]),
    ("γ", VectorValue(), ["self.gamma.view(-1, 1, 1)"]),
    ("γ * x", ScaleChannels(), ["self.gamma.view(-1, 1, 1) * x"]),
    ("soft_threshold[θ](x)", TrainedThreshold(), ["soft_threshold(x, self.theta)"]),
    ("leaky_relu[a](x)", TrainedSlope(), ["leaky_relu(x, self.a)"]),
    ("ω^a", RaiseTo(2.0), ["self.omega**a"]),
    ("sum(j = a..b : x@j)", Total(), ["x + y + z"]),
    ("max(j = a..b : x@j)", ExtremeTotal("max"), ["torch.stack([x, y, z]).amax(0)"]),
    ("concat(x, y)", Concat(), ["torch.cat([x, y], 1)"]),
    ("x[a..b]", Channels(0, 1), ["torch.narrow(x, 1, a, b - a + 1)"]),
    ("0", Zero(), ["x.new_zeros(…)"]),
]


def operators_page() -> str:
    builtins = [line for name in sorted(BUILTINS) for line in section(BUILTINS[name])]
    rows = [_row(operator, codes, f"`{form}`") for form, operator, codes in _NOTATION]
    about = [_described(kind) for kind in dict.fromkeys(type(operator) for _, operator, _ in _NOTATION)]
    heads = ["| form " + _HEAD[0], "|---" + _HEAD[1]]
    return "\n".join([_TITLE, "", *builtins, "## Notation", "", *about, "", *heads, *rows]) + "\n"


def _described(kind: type[Operator]) -> str:
    """The docstring of a form of the notation, with what users write set as code."""
    forms, text = split(r"(?<! ): ", " ".join((getdoc(kind) or "").split()), maxsplit=1)
    return f"- {' and '.join(f'`{form}`' for form in forms.split(' and '))}: {text}"


def section(kind: type[Operator]) -> list[str]:
    settings = [f"- `{name}`: {_limits(kind, name)}" for name in kind.settings()]
    codes = list(dict.fromkeys(code for example in _operator_examples(kind) for code in _code_of(example)))
    table = [*_HEAD, _row(kind(), codes)]
    return [f"## `{signature(kind)}`", "", getdoc(kind) or "", "", *settings, *[""] * bool(settings), *table, ""]


def _default(kind: type[Operator], name: str) -> int | float | str | None:
    return getattr(kind(), name)


def _operator_examples(kind: type[Operator]) -> list[Operator]:
    """An operator as it is without settings and, where that is another one, with its first."""
    optional = [name for name in kind.settings() if _default(kind, name) is None]
    return [kind(), *(replace(kind(), **{name: 3}) for name in optional[:1])]


def signature(kind: type[Operator]) -> str:
    """`maxpool[size, stride, padding]`, `leaky_relu[slope=0.01]`."""
    defaults = {name: _default(kind, name) for name in kind.settings()}
    settings = [name if value is None else f"{name}={setting_text(value)}" for name, value in defaults.items()]
    return f"{kind.keyword}[{', '.join(settings)}]" if settings else str(kind.keyword)


def _limits(kind: type[Operator], name: str) -> str:
    """`a whole number, 1 to 1,024`."""
    setting = kind.settings()[name]
    if setting.kind == "word":
        return " or ".join(f"`{word}`" for word in setting.words)
    what = "whole number" if setting.kind == "whole" else "number"
    return f"a {what}, {setting.least:,} to {setting.most:,}"


def _code_of(operator: Operator) -> list[str]:
    """Its constructor, if it has parameters, and its call."""
    if operator.owns is None:
        return [operator.torch(["x", "y"][: operator.takes_operands], "")]
    return [f"self.{operator.owns} = {operator.module(_SIZES)}", operator.torch(["x"], f"self.{operator.owns}")]


def _sign(operator: Operator) -> str:
    if operator.nonnegative([False]):
        return "≥ 0"
    return "≥ 0 if all operands are" if operator.nonnegative([True]) else "any"


def _row(operator: Operator, codes: list[str], *first: str) -> str:
    code = "<br>".join(f"`{code}`" for code in codes)
    linear = "yes" if operator.linear else "no"
    return f"| {' | '.join([*first, operator.shapes, linear, _sign(operator), operator.parameters, code])} |"
