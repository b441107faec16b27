"""What to write instead of a name that is unknown, or of the wrong kind."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from cldfc.syntax import tree
from cldfc.syntax.advice import HELP_FOR_FUNCTIONS
from cldfc.syntax.format import format_symbol


class Kind(Enum):
    """What an expression is, or should be; the value is what a message calls it."""

    KERNEL = "a kernel"
    SCALAR = "a scalar"
    PARAMETER = "a kernel or scalar"
    OPERATOR = "an operator"
    VALUE = "a value"
    NUMBER = "a number"
    INDEX = "an index"
    QUOTIENT = "a quotient"
    POWER = "a power"
    SUM_OF_KERNELS = "a sum of kernels"
    SUM_OF_SCALARS = "a sum of scalars"


# What other libraries call operators, without a final `2d`.
CALLED_ELSEWHERE = {
    "batchnorm": "did you mean `bn`?",
    "batch_norm": "did you mean `bn`?",
    "groupnorm": "did you mean `gn`?",
    "layernorm": "did you mean `ln`?",
    "leakyrelu": "did you mean `leaky_relu`?",
    "swish": "did you mean `silu`?",
    "adaptiveavgpool": "did you mean `avgpool`?",
    "gap": "did you mean `avgpool`?",
    "fc": "did you mean `linear`?",
    "dense": "did you mean `linear`?",
    "conv": "declare a kernel, `kernel K : 3×3 → 64`, and convolve with it: `K * x`",
    "o": "did you mean `∘`, or `.` in ASCII?",
    "i": "did you mean `identity`?",
    "id": "did you mean `identity`?",
    "soft": "did you mean `soft_threshold`?",
    "shrink": "did you mean `soft_threshold`?",
    "interpolate": "did you mean `upsample`?",
    "bilinear": "did you mean `upsample`?",
    "cat": "did you mean `concat`?",
    "softmax": "there is no softmax: `output` takes scores, and the loss has one of its own",
    "pad": "there is no padding by itself: a convolution pads with zeros",
    "prox": "write a proximal map out, as in `soft_threshold[0.1](x)`",
    **dict.fromkeys(
        "attention matmul embedding lstm gru rnn".split(), "it is not part of the language: networks are maps on grids"
    ),
    **dict.fromkeys("exp log sign sgn sin cos sqrt max min norm mean relu6 mish hardswish".split(), HELP_FOR_FUNCTIONS),
}

HELP_FOR_SUMS = "multiply out, as in `x - ω * x`: a sum with a scalar in it cannot be a factor"
# `§` stands for the expression; by what it is and what it should be.
HELP_FOR_KINDS: Mapping[tuple[Kind | None, Kind], str] = {
    (Kind.KERNEL, Kind.VALUE): "convolve with it: `§ * …`",
    (Kind.KERNEL, Kind.OPERATOR): "write `*` after a kernel: `§ * …`",
    (Kind.OPERATOR, Kind.VALUE): "apply it: `§(…)`",
    (Kind.OPERATOR, Kind.KERNEL): "apply an operator with `∘`: `§ ∘ …`",
    (Kind.VALUE, Kind.OPERATOR): "write an operator before `∘` or a parenthesis, and values inside",
    (Kind.INDEX, Kind.VALUE): "indices stand in tags and in numbers: `u@§`, `2^§ * …`",
    (Kind.SCALAR, Kind.VALUE): "a scalar can only be a factor: `§ * …`",
    (Kind.SCALAR, Kind.OPERATOR): "write `*` after a scalar: `§ * …`",
    (Kind.SUM_OF_SCALARS, Kind.OPERATOR): HELP_FOR_SUMS,
    (Kind.SUM_OF_SCALARS, Kind.KERNEL): HELP_FOR_SUMS,
    (Kind.NUMBER, Kind.VALUE): "a number can only be a factor: `§ * …`",
    (Kind.NUMBER, Kind.OPERATOR): "write `*` after a number: `§ * …`",
}
HELP_FOR_EXPECTED = {
    Kind.VALUE: "write a value such as `u@ℓ,i-1`, or `0`",
    Kind.OPERATOR: "write an operator such as `relu`, or `A@ℓ *`",
    Kind.KERNEL: "write a declared kernel before `*`, or a number or scalar: `A@ℓ * …`",
    Kind.PARAMETER: "write the name of a declared kernel or scalar, as in `tie A@ℓ`",
    Kind.NUMBER: "write a number, or the name of a constant: `let J = 4`",
}


def declaration_of(symbol: tree.Symbol, expected: Kind) -> str:
    names = [index.name for index in symbol.tag if index.name is not None]
    head = symbol.name + (f"@{','.join(names)}" if len(names) == len(symbol.tag) > 0 else "")
    match expected:
        case Kind.KERNEL | Kind.PARAMETER:
            return f"declare it: `kernel {head} : 3×3 → 64`"
        case Kind.OPERATOR:
            kernel = f"`kernel {head} : 3×3 → 64`, and write `{head} * …`"
            return f"declare it: {kernel}; or, as an operator, `let {head} = relu ∘ bn`"
        case Kind.NUMBER:
            return f"declare it: `let {head} = 4`"
        case _:
            return f"write an equation for it: `{format_symbol(symbol)} = …`"


def cut_to_head(symbol: tree.Symbol, head: tree.Symbol) -> tree.Symbol:
    """A symbol with too many indices, cut to those that its head names, or to its first ones."""
    names = [index.name for index in head.tag]
    kept = tuple(index for index in symbol.tag if index.name in names)
    tag = kept if len(kept) == len(names) else symbol.tag[: len(names)]
    return tree.Symbol(symbol.name, tag, symbol.span)


def indices_in_words(symbol: tree.Symbol) -> str:
    """`no index`, `one index`, `two indices`."""
    words = ("no index", "one index", "two indices", "three indices")
    return words[len(symbol.tag)] if len(symbol.tag) < len(words) else f"{len(symbol.tag)} indices"
