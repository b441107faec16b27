"""The letters and signs of the language and of what cldfc prints, and how each is spelled in ASCII."""

from __future__ import annotations

# The Greek letters that LaTeX has a command for: exactly those that no Latin letter looks like.
GREEK: dict[str, str] = dict(
    zip(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
        "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(),
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        strict=True,
    )
)
SCRIPT: dict[str, str] = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "𝒜ℬ𝒞𝒟ℰℱ𝒢ℋℐ𝒥𝒦ℒℳ𝒩𝒪𝒫𝒬ℛ𝒮𝒯𝒰𝒱𝒲𝒳𝒴𝒵", strict=True))
ASCII = {
    **{letter: spelled for spelled, letter in GREEK.items()},
    **{script: f"cal_{letter}" for letter, script in SCRIPT.items()},
    "ℓ": "l",
}
"""The letters of names."""

SIGNS = {
    "∘": ".", "⊙": ".*", "×": "x", "→": "->", "≥": ">=", "≤": "<=",
    "←": "<-", "↓": "v", "↑": "^", "↔": "<->", "≠": "!=", "±": "+-", "−": "-", "–": "-", "—": "-", "…": "...",
    "⋯": "...", "•": "*",
    "·": "*", "⋮": ":", "⊕": "(+)", "⊗": "(x)", "√": "sqrt", "∞": "inf", "∥": "||", "■": "#",
    "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "²": "^2", "³": "^3", "₁": "_1", "₂": "_2", "§": "section ",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+",
    "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "╴": "-", "╶": "-", "╸": "-", "╺": "-",
    "‘": "'", "’": "'", "“": '"', "”": '"', "\ufffd": "?",
}  # fmt: skip
"""The signs of the language, and those of tables, pictures and sentences."""
