"""What to write instead of what cannot be read, and what a reader calls the signs of the language."""

from __future__ import annotations

HELP_FOR_TAGS = "write a tag like `@ℓ,i-1` without white space, or in braces: `@{ℓ + 1, ν@ℓ}`"
HELP_FOR_CHARACTERS = {
    "//": "a comment starts with `#`",
    ";": "leave it out: a statement ends with its line",
    "@": HELP_FOR_TAGS,
    "@{": "close the brace of the tag: `@{ℓ + 1, ν@ℓ}`",
    "_": "write a stride as a number: `*_2`",
    "%": "a comment starts with `#`",
}
HELP_FOR_PRIMES = "a name has no prime: write `A1`, or `A_2`"
RANGE_SIGNS = {"_EQUAL", "_AT_LEAST", "_AT_MOST", "_MORE", "_LESS", "_IN_SET"}
"""What may follow the index of a range."""
HELP_FOR_COMMA = (
    "behind a comma stands a range, as in `, i = 1..ν`; operators are joined with `∘`: `linear ∘ avgpool(x)`"
)
HELP_FOR_CATEGORIES = {
    "Cf": "leave it out: it cannot be seen, but it is there",
    "Zs": "write an ordinary space",
    "Cc": "leave it out, or write a space",
}
HELP_FOR_COMMANDS = {
    "frac": "write a quotient in parentheses: `(1/2)`",
    "sum": "write a sum with its range inside: `sum(j = 0..i-1 : x@ℓ,j)`",
    "dots": "write a range as `1..J`",
    "ldots": "write a range as `1..J`",
    "cdots": "write a range as `1..J`",
    "max": "write `relu` for the maximum with 0",
}
MATHEMATICAL = ("ast", "circ", "cdot", "odot", "times", "to", "rightarrow", "ge", "geq", "le", "leq")
"""The commands for signs."""
HELP_FOR_WORDS = {
    "padding": "leave it out: a convolution pads with zeros by (k-1)/2 · dilation",
    "stride": "write the stride where the kernel is used: `K *_2 x`",
    "in": "a range is written like `for i = 1..2`",
    "==": "write `=` once",
    "**": "write `*` once; a power is written `2^4`",
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
    "FOR": "`for`",
    "GROUPS": "`groups`",
    "DILATION": "`dilation`",
    "BIAS": "`bias`",
    "FIXED": "`fixed`",
    "$END": "the end of the statement",
}
