"""What to write instead of what cannot be read, and what a reader calls the signs of the language."""

from __future__ import annotations

HELP_FOR_TAGS = "write a tag like `@ℓ,i-1` without white space, or in braces: `@{ℓ + 1, ν@ℓ}`"
HELP_FOR_INDICES = "write indices like `ℓ`, `i-1`, `0` or `ν@ℓ`, joined by commas"
HELP_FOR_ADJOINTS = "there are no adjoints: declare a kernel of its own, `kernel At : 3×3 → 64`, and write `At * …`"
HELP_FOR_NORMS = "there are no norms of values; `bn`, `gn[8]` and `ln` normalise"
HELP_FOR_PRODUCTS = "there are no inner products; `x ⊙ y` is the pointwise product, `A * x` a convolution"
HELP_FOR_GRADIENTS = "there are no derivatives: write the gradient out, as in `A * u@ℓ,i - f@ℓ`"
HELP_FOR_MINIMA = "there is no minimisation: write the formula or the steps that give the minimum"
HELP_FOR_FUNCTIONS = (
    "there is no such operator; there are `tanh`, `sigmoid`, `softplus`, `abs`, `soft_threshold[0.1]` and others"
)
HELP_FOR_CASES = "write an equation for each case, with its range: `x@i = y@i for i >= 1`"
HELP_FOR_ONE_VALUE = (
    "an operator takes one value: join values by `concat(x, y)`; weights are not arguments: declare one operator "
    "for each index, `F@i(x)`"
)
HELP_FOR_LISTS = "join channels by a word, `concat(x, y)`; over a range, `concat(j = 0..i-1 : x@j)`"
HELP_FOR_RECURRENCES = (
    "operators are not defined by a recurrence: write a `let` for each, without what it is applied to, "
    "such as `let f_2 = f_1 ∘ f_1`"
)
HELP_FOR_EQUALS = "an equation has one `=`: leave out what stands between the two, or give it an equation of its own"
HELP_FOR_STARS = "a star is not an index: write an adjoint as a kernel of its own, a fixed point as a value of its own"
HELP_FOR_POWERS = "a tag follows a name, `g@ℓ(x)`; a power is that of a number, `(1/2)^2`"
HELP_FOR_FRACTIONS = "an index is a whole number: give the half steps a name of their own, such as `v@i`"
HELP_FOR_PARAMETERS = (
    "leave it out: an index is a name that `levels` or `steps` declares, or a number, as in `u@ℓ,i-1`; "
    "a threshold is a setting of the operator, `soft_threshold[0.1]`"
)
HELP_FOR_GRIDS = "an index is one name, plus or minus a number; grids are numbered, `ℓ` for h, `ℓ+1` for 2h"
HELP_FOR_ARITHMETIC = (
    "an index is one name, plus or minus a number: let the sum run over the index itself, as in `\\sum_{j=k-2}^{k} x_j`"
)
HELP_FOR_PARTS = "leave it out: a name stands for the whole value"
HELP_FOR_CHARACTERS = {
    "//": "a comment starts with `#`",
    ";": "leave it out: a statement ends with its line",
    "@": HELP_FOR_TAGS,
    "@{": "close the brace of the tag: `@{ℓ + 1, ν@ℓ}`",
    "|": "the absolute value is `abs(x)`; there are no norms of values",
}
HELP_FOR_UNDERSCORES = "write a stride as a number: `*_2`; a subscript stands behind a name"
RANGE_SIGNS = {"_EQUAL", "_AT_LEAST", "_AT_MOST", "_MORE", "_LESS", "_IN_SET"}
"""What may follow the index of a range."""
HELP_FOR_COMMA = "a range follows a comma, as in `, i = 1..4`; operators are joined with `∘`: `linear ∘ avgpool(x)`"
HELP_FOR_CATEGORIES = {
    "Cf": "leave it out: it cannot be seen, but it is there",
    "Zs": "write an ordinary space",
    "Cc": "leave it out, or write a space",
}
HELP_FOR_COMMANDS = {
    **dict.fromkeys(("dots", "ldots", "cdots", "dotsc", "dotsb"), "write a range as `1..4`"),
    **dict.fromkeys(("top", "intercal", "dagger", "ddagger"), HELP_FOR_ADJOINTS),
    **dict.fromkeys(("|", "Vert", "lVert", "rVert", "vert", "lvert", "rvert", "norm"), HELP_FOR_NORMS),
    **dict.fromkeys(("langle", "rangle"), HELP_FOR_PRODUCTS),
    **dict.fromkeys(("nabla", "partial", "dot", "ddot"), HELP_FOR_GRADIENTS),
    **dict.fromkeys(("arg", "argmin", "argmax", "min", "inf", "sup"), HELP_FOR_MINIMA),
    **dict.fromkeys(("exp", "log", "ln", "sin", "cos", "tan", "sinh", "cosh", "sgn", "sign"), HELP_FOR_FUNCTIONS),
    **dict.fromkeys(
        ("otimes", "boxtimes", "bullet", "times"), "write `*` after a kernel or a number, `⊙` between values"
    ),
    **dict.fromkeys(("oplus",), "write `x + y` for a sum, `concat(x, y)` to join channels"),
    **dict.fromkeys(
        ("cup", "cap", "in", "subset", "mid", "sim", "neq", "ne"), "leave it out: it is not part of a formula"
    ),
    **dict.fromkeys(("equiv", "doteq", "approx", "mapsto", "stackrel", "overset", "Rightarrow"), "write `=`"),
    **dict.fromkeys(("underbrace", "overbrace", "underline"), "leave it out, with what is written below or above"),
    "frac": "write a quotient of two numbers: `\\frac{1}{2}`",
    "sum": "write a sum with its range: `\\sum_{j=0}^{4}`, or `sum(j = 0..4 : x@j)`",
    "prod": "there are no products over an index: write `g ∘ h` for operators, `x ⊙ y` for values",
    "max": "write `relu(x)` for the maximum of x and 0",
    "sqrt": "write the root of a number as a power: `2^(1/2)`",
    "text": "leave the words out, or write them behind `#`",
    "forall": "leave it out: an index goes over its declared range",
}
MATHEMATICAL = (
    "ast", "circledast", "star", "circ", "cdot", "odot", "times", "to", "rightarrow", "ge", "geq", "le", "leq", "gets",
    "leftarrow", "coloneqq", "sum", "frac", "tfrac", "dfrac", "forall",
)  # fmt: skip
"""The commands for signs."""
HELP_FOR_WORDS = {
    "padding": "leave it out: a convolution pads with zeros by (k-1)/2 · dilation",
    "stride": "write the stride where the kernel is used: `K *_2 x`",
    "in": "a range is written like `for i = 1..2`",
    "==": "write `=` once",
    "**": "write `*` once; a power is written `2^4`",
    "_": HELP_FOR_UNDERSCORES,
    "<": "write `=`",
}

# What a reader calls each terminal, in the order in which a message lists them.
WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": 'a path like `"other.cldf"`',
    "TAG": "a tag such as `@ℓ,i`",
    "_EQUAL": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "_DOTS": "`..`",
    "_TIMES": "`×`",
    "_ARROW": "`→`",
    "_AT_LEAST": "`>=`",
    "_AT_MOST": "`<=`",
    "SIGN": "`+`, `-`",
    "STAR": "`*`",
    "_COMPOSE": "`∘`",
    "_ODOT": "`⊙`",
    "OPEN": "`(`",
    "CLOSE": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "FOR": "`for`",
    "GROUPS": "`groups`",
    "DILATION": "`dilation`",
    "BIAS": "`bias`",
    "FIXED": "`fixed`",
    "$END": "the end of the statement",
}
