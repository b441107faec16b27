"""The words of the language, and how the statements that they start are written."""

from __future__ import annotations

from typing import get_args

from cldfc.syntax import tree

LANGUAGE = "1"
"""The version of the language that is read."""


def examples() -> dict[str, str]:
    """The words that start statements, and how they go on: `let σ = relu ∘ bn` or `let ν@ℓ = 2, 1, 1, 1`."""
    found: dict[str, list[str]] = {}
    for kind in get_args(tree.Statement):
        for example in getattr(kind, "examples", ()):
            found.setdefault(example.split()[0], []).append(f"`{example}`")
    return {word: " or ".join(written) for word, written in found.items()}


EXAMPLES = examples()
STATEMENTS = tuple(EXAMPLES)
REDUCTIONS = ("sum", "concat")
WORDS_INSIDE = ("for", "groups", "dilation", "bias", "fixed", *REDUCTIONS)
"""What the language says with words inside a statement."""
