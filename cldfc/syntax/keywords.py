"""The words of the language, and how the statements that they start are written."""

from __future__ import annotations

LANGUAGE = "1"
"""The version of the language that is read."""

EXAMPLES = {
    "cldf": f"`cldf {LANGUAGE}`",
    "model": "`model PreActResNet18`",
    "extend": '`extend "preact18_Al"`',
    "levels": "`levels ℓ = 1..J`",
    "steps": "`steps i = 1..ν`",
    "let": "`let σ = relu ∘ bn` or `let ν@ℓ = 2, 1, 1, 1`",
    "input": "`input f : 3 × 32 × 32`",
    "output": "`output h : 10`",
    "kernel": "`kernel A@ℓ : 3×3 → c@ℓ`",
    "scalar": "`scalar ω@ℓ = 1.0`",
    "tie": "`tie A@ℓ` or `tie B@ℓ for i >= 1`",
    "rename": "`rename bn_r@ℓ,i → bn_f@ℓ,i`",
    "constrain": "`constrain u >= 0`",
    "expect": "`expect params = 8_038_858`",
}
STATEMENTS = tuple(EXAMPLES)
REDUCTIONS = ("sum", "concat")
WORDS_INSIDE = ("for", "groups", "dilation", "bias", "fixed", *REDUCTIONS)
"""What the language says with words inside a statement."""
