"""Unicode, ASCII and LaTeX are one language: the letters of names, and what each is called."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from cldfc.letters import ASCII, GREEK, SCRIPT

VARIANTS = {"varepsilon": "ε", "vartheta": "θ", "varphi": "φ", "varrho": "ρ", "varsigma": "σ"}
ACCENTS = ("tilde", "hat", "bar", "check")
COMMANDS = {**GREEK, **VARIANTS, "ell": "ℓ"}

# The patterns of the grammar.

LETTER = "[A-Za-zα-ξπ-ρσ-ωΓΔΘΛΞΠΣΦΨΩ𝒜𝒞𝒟𝒢𝒥𝒦𝒩-𝒬𝒮-𝒵ℬℰℱℋℐℒℳℛℓ]"
PLAIN_NAME = f"{LETTER}(?:{LETTER}|[0-9]|_(?![\\\\{{]))*"
COMMAND = rf"\\(?:{'|'.join(COMMANDS)})(?![A-Za-z])"
WORD = r"\\(?:mathrm|mathit|mathbf|text|operatorname) *\{ *[A-Za-z][A-Za-z0-9_]* *\}"
SCRIPTED = r"\\math(?:cal|scr) *(?:\{ *[A-Z] *\}|[A-Z])"
ACCENTED = rf"\\(?:{'|'.join(ACCENTS)}) *(?:\{{ *(?:{SCRIPTED}|\\?{PLAIN_NAME}) *\}}|\\[A-Za-z]+| {LETTER})"
SUBSCRIPT = rf"_(?:\{{ *(?:{WORD}|[A-Za-z0-9][A-Za-z0-9_]*) *\}}|{WORD})"
NAME = (
    rf"(?:{PLAIN_NAME}(?:{SUBSCRIPT})?"
    rf"|(?:{COMMAND}|{SCRIPTED}|{ACCENTED}|{WORD})(?:_[A-Za-z0-9]+|{SUBSCRIPT})?)"
)
BRACED = r"\{[^{}\n#]*(?:\{[^{}\n#]*\}[^{}\n#]*)*\}"
RAISED = rf"(?:{BRACED}|\\[A-Za-z]+|{LETTER}(?![A-Za-z0-9])|[0-9]+)"
# Tags are split into indices when they have been found, so their pattern need not know all that names can be.
LOOSE = f"(?:\\\\[A-Za-z]+|{LETTER}(?:{LETTER}|[0-9]|_(?![\\\\{{]))*)"
OWN = rf"(?:@{LOOSE}|@[0-9]+|[@_](?:\{{[^{{}}\n#]*\}}|\\[A-Za-z]+))"
INDEX = rf"(?:-?[0-9]+(?![A-Za-z0-9])|{LOOSE}{OWN}?(?:[+-][0-9]+(?![A-Za-z0-9]))?)"
TAG = (
    rf"@(?:{BRACED}|{INDEX}(?:,{INDEX})*)"
    rf"|_ *(?:{BRACED}|\\[A-Za-z]+)(?: *\^ *{RAISED})?"
    rf"|\^ *{RAISED}(?: *_ *{RAISED})?"
)

# What an equation copied from a paper has around it, and what says nothing in it.
NOISE = (
    r"\$+|\\(?:left|right|[bB]igg?[lrm]?|quad|qquad|displaystyle|nonumber|notag|limits)(?![A-Za-z])"
    r"|\\[,;:! \\\[\]]|[~&]|\\(?:tag\*?|label|begin|end) *\{[^{}\n]*\}"
)

SPLIT = re.compile(r"(_|[0-9]+)")
HEAD = re.compile(rf"({COMMAND})|({SCRIPTED})|({ACCENTED})|({WORD})|({PLAIN_NAME})")


@lru_cache(maxsize=4096)
def canonical_name(name: str) -> str:
    """`sigma`, `\\sigma` → `σ`, `cal_A`, `\\mathcal{A}` → `𝒜`, `l`, `\\ell` → `ℓ`, `\\tilde{r}` → `tilde_r`."""
    return canonical_latex(name) if "\\" in name or "{" in name else canonical_plain(name)


def canonical_plain(name: str) -> str:
    """A name without LaTeX: Greek words in it become letters."""
    if name == "l":
        return "ℓ"
    if name.startswith("cal_") and name[4:5] in SCRIPT and not name[5:6].isalpha():
        return SCRIPT[name[4]] + canonical_rest(name[5:])
    return canonical_rest(name)


def canonical_rest(name: str) -> str:
    """The parts of a name between underscores and digits, each as a letter if it is the word for one."""
    parts: list[str] = SPLIT.split(name)
    return "".join(GREEK.get(part, part) for part in parts)


def canonical_latex(name: str) -> str:
    """A name with LaTeX commands or a braced subscript."""
    found = HEAD.match(name)
    if found is None:
        return name.lstrip("\\")
    command, script, accented, word, plain = found.groups()
    if command:
        head = COMMANDS[command[1:]]
    elif script:
        head = SCRIPT[script.rstrip("} ")[-1]]
    elif accented:
        accent = next(accent for accent in ACCENTS if accented.startswith(accent, 1))
        head = f"{accent}_{canonical_name(unbraced(accented[len(accent) + 1 :]))}"
    else:
        head = canonical_plain(plain or unbraced(word[word.index("{") :]))
    rest = name[found.end() + 1 :].strip()
    while rest.startswith(("{", "\\")):
        rest = unbraced(rest[max(0, rest.find("{")) :])
    return canonical_plain(f"{head}_{rest}") if rest else head


def unbraced(text: str) -> str:
    """What stands in a pair of braces, if there is one."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("{") else text


@lru_cache(maxsize=4096)
def ascii_name(name: str) -> str:
    """A Python identifier that spells the name: `σ` → `sigma`, `𝒜` → `cal_A`, `θ0` → `theta0`."""
    return "".join(ASCII.get(letter, letter) for letter in name)


def describe_character(character: str) -> str:
    """A character with its code point and Unicode name, for messages."""
    name = unicodedata.name(character, "(a control character)")
    shown = character if character.isprintable() else ""
    return f"`{shown}` (U+{ord(character):04X} {name})" if shown else f"U+{ord(character):04X} {name}"


def with_look_alikes(text: str) -> str:
    """The text with the letters that its wrong ones were perhaps meant to be."""
    return "".join(c if c.isascii() or c in ASCII else look_alike(c) or c for c in text)


def look_alike(character: str) -> str | None:
    """The letter that may have been meant by a character that names cannot contain."""
    folded = unicodedata.normalize("NFKC", character)
    if folded != character and folded.isascii() and folded.isalnum():
        return folded
    words = unicodedata.name(character, "").split()
    if len(words) == 4 and words[0] in ("GREEK", "CYRILLIC") and words[2] == "LETTER":
        latin = LOOKS_LATIN.get(words[3])
        return latin and (latin.upper() if words[1] == "CAPITAL" else latin.lower())
    return None


def look_alike_sign(character: str) -> str | None:
    """The sign that may have been meant by one that the language does not have."""
    folded = unicodedata.normalize("NFKC", character)
    is_sign = folded != character and folded.isascii() and folded.isprintable() and not folded.isspace()
    return next((sign for sign, others in LOOKS_LIKE.items() if character in others), folded if is_sign else None)


# Signs by what they are taken for.
LOOKS_LIKE = {
    "*": "∗⁎⋆✱·∙⋅•", "-": "−–—‐‑‒﹣", "..": "…‥⋯", "→": "⇒⟶⟹➔↦⇾", '"': "“”„‟«»", "∘": "◦○⚬⸰⚪",
    "×": "✕✖⨯╳", "⊙": "⊗⨀◉☉", ">=": "⩾≧⪰", "<=": "⩽≦⪯", "/": "÷∕⁄",
}  # fmt: skip

# Names of Greek and Cyrillic letters drawn like a Latin one.
LOOKS_LATIN = {
    "A": "a", "ALPHA": "a", "BETA": "b", "VE": "b", "ES": "c", "IE": "e", "EPSILON": "e", "ZETA": "z",
    "ETA": "h", "EN": "h", "IOTA": "i", "BYELORUSSIAN-UKRAINIAN": "i", "JE": "j", "KAPPA": "k", "KA": "k",
    "MU": "m", "EM": "m", "NU": "n", "OMICRON": "o", "O": "o", "RHO": "p", "ER": "p", "DZE": "s",
    "TAU": "t", "TE": "t", "UPSILON": "y", "U": "y", "CHI": "x", "HA": "x",
}  # fmt: skip
