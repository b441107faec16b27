"""Unicode, ASCII and LaTeX are one language: the letters of names, and what each is called."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from cldfc.letters import ASCII, GREEK, SCRIPT

VARIANTS = {"varepsilon": "ε", "vartheta": "θ", "varphi": "φ", "varrho": "ρ", "varsigma": "σ"}
ACCENTS = ("tilde", "hat", "bar", "check", "vec", "breve")
WIDE = {"widetilde": "tilde", "widehat": "hat", "overline": "bar"}
COMMANDS = {**GREEK, **VARIANTS, "ell": "ℓ"}
OPERATORS = (
    "tanh relu elu gelu silu sigmoid softplus bn gn linear dropout maxpool avgpool upsample flatten identity".split()
)
"""The operators whose name may be a command: `\\tanh` is LaTeX's own, the others are macros of many papers."""

# The patterns of the grammar.

LETTER = "[A-Za-zα-ξπ-ρσ-ωΓΔΘΛΞΠΣΦΨΩ𝒜𝒞𝒟𝒢𝒥𝒦𝒩-𝒬𝒮-𝒵ℬℰℱℋℐℒℳℛℓ]"
PLAIN_NAME = f"{LETTER}(?:{LETTER}|[0-9]|_(?![\\\\{{]))*"
COMMAND = rf"\\(?:{'|'.join([*COMMANDS, *OPERATORS])})(?![A-Za-z])"
FONT = r"\\(?:math(?:rm|it|bf|sf|tt|bb|frak|normal)|boldsymbol|bm|pmb|text(?:rm|it|bf|sf|tt)?|mbox|operatorname\*?)"
OLD_FONT = r"\\(?:bf|rm|it|sf|tt|cal)(?![A-Za-z])"
WORD = rf"{FONT} *\{{ *[A-Za-z](?:[A-Za-z0-9]|\\?_)* *\}}"
SCRIPTED = r"\\math(?:cal|scr) *(?:\{ *[A-Z] *\}|[A-Z])"
STYLED = rf"{FONT}(?: *\{{ *(?:{SCRIPTED}|{COMMAND}) *\}}| *{COMMAND}| +{LETTER}(?![A-Za-z0-9]))"
ACCENTED = (
    rf"\\(?:{'|'.join([*ACCENTS, *WIDE])})"
    rf"(?: *\{{ *(?:{SCRIPTED}|{WORD}|{STYLED}|\\?{PLAIN_NAME}) *\}}| *\\[A-Za-z]+| {LETTER})"
)
STYLED_ACCENT = rf"{FONT} *\{{ *{ACCENTED} *\}}"
SUBSCRIPT = rf"_(?:\{{ *(?:{WORD}|[A-Za-z0-9][A-Za-z0-9_]*) *\}}|{WORD})"
SPECIAL = f"{COMMAND}|{SCRIPTED}|{ACCENTED}|{WORD}|{STYLED}|{STYLED_ACCENT}"
BELOW = f"(?:_[A-Za-z0-9]+|{SUBSCRIPT})"
OLD_STYLE = rf"\{{ *{OLD_FONT} *(?:{PLAIN_NAME}|{SPECIAL}) *\}}"
# Braces around a name alone, where a tag follows: `{{x}}^{{k}}`.
EMBRACED = rf"\{{ *(?:{PLAIN_NAME}(?:{SUBSCRIPT})?|(?:{SPECIAL}){BELOW}?) *\}}"
NAME = rf"(?:{PLAIN_NAME}(?:{SUBSCRIPT})?|(?:{SPECIAL}|{OLD_STYLE}|{EMBRACED}(?= *[_^])){BELOW}?)"
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
SIZE = r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])"
SPACING = (
    "quad qquad enspace enskip thinspace medspace thickspace negthinspace hfill displaystyle textstyle scriptstyle "
    "nonumber notag limits nolimits allowbreak strut mathstrut noindent centering"
).split()
ROW_END = r"\\\\(?:\*|\[ *-?[0-9.]+ *[a-z]{2} *\])?"
NOISE = (
    rf"\$|{SIZE} *\.|\\left *\\\{{(?=\s*\\begin)|{SIZE}|\\(?:{'|'.join(SPACING)})(?![A-Za-z])|{ROW_END}"
    r"|\\[,;:!> \[\]()]|[~&]|\{[ \t]*\}|\\begin *\{[^{}\n]*\}(?: *\[[a-z]\])?(?: *\{[clr|@][clr|@ ]*\})?"
    r"|\\(?:tag\*?|label|end|[hv]space\*?|[hv]?phantom) *\{[^{}\n]*\}"
)
COMMENT = r"[#%][^\n]*"

# The brackets and the ranges of a paper.
OPEN = rf"(?:{SIZE} *)?\(|(?:{SIZE} *)?\\(?:\{{(?!\s*\\begin)|l(?:brace|brack|paren)(?![A-Za-z]))|{SIZE} *\["
CLOSE = rf"(?:{SIZE} *)?\)|(?:{SIZE} *)?\\(?:\}}|r(?:brace|brack|paren)(?![A-Za-z]))|{SIZE} *\]"
GAP = r"(?:[ \t\n~&]|\\[,;:! ])*"
ENUMERATION = rf"(?:,{GAP}(?:[0-9]+{GAP},{GAP})*)?(?:\\[lc]?dots[bc]?(?![A-Za-z])|\.\.\.)(?:{GAP},)?"
FOR_WORDS = (
    r"\\(?:text(?:rm|normal)?|mbox) *\{[ ~]*(?:for|for all|for each|for every|where|with)[ ~]*\}|\\forall(?![A-Za-z])"
)
IN_SET = rf"\\in *(?:{SIZE} *)?\\\{{"

SPLIT = re.compile(r"(_|[0-9]+)")
HEAD = re.compile(
    rf"(?P<command>{COMMAND})|(?P<script>{SCRIPTED})|(?P<accented>{ACCENTED})|(?P<word>{WORD})"
    rf"|(?P<styled>{STYLED_ACCENT}|{STYLED})|(?P<old>{OLD_STYLE})|(?P<embraced>{EMBRACED})|(?P<plain>{PLAIN_NAME})"
)
WRAPPER = re.compile(rf"{FONT} *|{OLD_FONT} *")


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
    """A name with LaTeX commands, fonts, braces or a braced subscript."""
    found = HEAD.match(name)
    if found is None:
        return name.lstrip("\\")
    kind, text = found.lastgroup, found[0]
    if kind == "command":
        head = COMMANDS.get(text[1:], text[1:])
    elif kind == "script":
        head = SCRIPT[text.rstrip("} ")[-1]]
    elif kind == "accented":
        accent = next(accent for accent in (*WIDE, *ACCENTS) if text.startswith(accent, 1))
        head = f"{WIDE.get(accent, accent)}_{canonical_name(unbraced(text[len(accent) + 1 :]))}"
    elif kind == "old" and "\\cal" in text:
        head = canonical_plain("cal_" + unbraced(text).removeprefix(r"\cal").strip())
    elif kind in ("word", "styled", "old", "embraced"):
        inner = unbraced(text) if kind in ("old", "embraced") else text
        inner = unbraced(WRAPPER.sub("", inner, count=1)).replace("\\_", "_")
        head = canonical_name(inner)
    else:
        head = canonical_plain(text)
    rest = name[found.end() + 1 :].strip()
    while rest.startswith(("{", "\\")):
        rest = unbraced(rest[max(0, rest.find("{")) :]).replace("\\_", "_")
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
