"""What to write instead of a name that is unknown, or of the wrong kind."""

from __future__ import annotations

from collections.abc import Iterable

from cldfc.diagnostics import nearest
from cldfc.syntax import tree
from cldfc.syntax.advice import HELP_FOR_FUNCTIONS
from cldfc.syntax.format import format_symbol
from cldfc.syntax.spelling import ascii_name

LONGEST_TEXT = 40

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

# `§` stands for the expression; by what it is and what it should be.
HELP_FOR_KINDS = {
    ("a kernel", "a value"): "convolve with it: `§ * …`",
    ("a kernel", "an operator"): "write `*` after a kernel: `§ * …`",
    ("an operator", "a value"): "apply it: `§(…)`",
    ("an operator", "a kernel"): "apply an operator with `∘`: `§ ∘ …`",
    ("a value", "an operator"): "write an operator before `∘` or a parenthesis, and values inside",
    ("an index", "a value"): "indices stand in tags and in numbers: `u@§`, `2^§ * …`",
    ("a scalar", "a value"): "a scalar can only be a factor: `§ * …`",
    ("a scalar", "an operator"): "write `*` after a scalar: `§ * …`",
    (
        "a sum of scalars",
        "an operator",
    ): "multiply out, as in `x - ω * x`: a sum with a scalar in it cannot be a factor",
    ("a sum of scalars", "a kernel"): "multiply out, as in `x - ω * x`: a sum with a scalar in it cannot be a factor",
    ("a number", "a value"): "a number can only be a factor: `§ * …`",
    ("a number", "an operator"): "write `*` after a number: `§ * …`",
}
HELP_FOR_EXPECTED = {
    "a value": "write a value such as `u@ℓ,i-1`, or `0`",
    "an operator": "write an operator such as `relu`, or `A@ℓ *`",
    "a kernel": "write a declared kernel before `*`, or a number or scalar: `A@ℓ * …`",
    "a kernel or scalar": "write the name of a declared kernel or scalar, as in `tie A@ℓ`",
    "a number": "write a number, or the name of a constant: `let J = 4`",
}


def declaration_of(symbol: tree.Symbol, expected: str) -> str:
    """How a missing name would be declared, as the kind of thing that its place needs."""
    names = [index.name for index in symbol.tag if index.name is not None]
    head = symbol.name + (f"@{','.join(names)}" if len(names) == len(symbol.tag) > 0 else "")
    match expected:
        case "a kernel" | "a kernel or scalar":
            return f"declare it: `kernel {head} : 3×3 → 64`"
        case "an operator":
            kernel = f"`kernel {head} : 3×3 → 64`, and write `{head} * …`"
            return f"declare it: {kernel}; or, as an operator, `let {head} = relu ∘ bn`"
        case "a number":
            return f"declare it: `let {head} = 4`"
        case _:
            return f"write an equation for it: `{format_symbol(symbol)} = …`"


def like(symbol: tree.Symbol, head: tree.Symbol) -> tree.Symbol:
    """A symbol with too many indices, cut to those that its head names, or to its first ones."""
    names = [index.name for index in head.tag]
    kept = tuple(index for index in symbol.tag if index.name in names)
    tag = kept if len(kept) == len(names) else symbol.tag[: len(names)]
    return tree.Symbol(symbol.name, tag, symbol.span)


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean …?` with the nearest known name, in whichever spelling."""
    spelled = {ascii_name(other): other for other in known if other != name}
    close = nearest(ascii_name(name), spelled)
    return f"did you mean `{spelled[close]}`?" if close else otherwise


def shorten(text: str) -> str:
    """The text, or its two ends."""
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT // 2]}…{text[-LONGEST_TEXT // 2 :]}"


def count(symbol: tree.Symbol) -> str:
    """`no index`, `one index`, `two indices`."""
    words = ("no index", "one index", "two indices", "three indices")
    return words[len(symbol.tag)] if len(symbol.tag) < len(words) else f"{len(symbol.tag)} indices"
