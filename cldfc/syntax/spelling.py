"""Unicode, ASCII and LaTeX are one language: the letters of names, and what each is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from cldfc.diagnostics import nearest
from cldfc.output import ASCII, GREEK, SCRIPT

_VARIANTS = {"varepsilon": "ε", "vartheta": "θ", "varphi": "φ", "varrho": "ρ", "varsigma": "σ"}
ACCENTS = ("tilde", "hat", "bar", "check", "vec", "breve")
_WIDE = {"widetilde": "tilde", "widehat": "hat", "overline": "bar"}
COMMANDS = {**GREEK, **_VARIANTS, "ell": "ℓ"}
_OPERATORS = (
    "tanh exp log sin cos relu elu gelu silu sigmoid softplus softmax bn gn linear dropout maxpool avgpool upsample "
    "flatten identity"
).split()
"""The operators whose name may be a command: `\\tanh` is LaTeX's own, the others are macros of many papers."""

# The patterns of the grammar.

_LETTERS = "A-Za-zα-ξπ-ρσ-ωΓΔΘΛΞΠΣΦΨΩ𝒜𝒞𝒟𝒢𝒥𝒦𝒩-𝒬𝒮-𝒵ℬℰℱℋℐℒℳℛℓ"
LETTER = f"[{_LETTERS}]"
PLAIN_NAME = f"{LETTER}(?:[{_LETTERS}0-9]|_(?![\\\\{{]))*"
FONTS = (
    r"(?:math(?:rm|it|bf|sf|tt|bb|frak|normal)|text(?:rm|it|bf|sf|tt)?|boldsymbol|bm|pmb|mbox|operatorname\*?)"
    r"(?![A-Za-z])"
)
_OLD_FONTS = r"(?:bf|rm|it|sf|tt|cal)(?![A-Za-z])"
# What stands in the braces of a font or an accent is taken apart when the name has been found.
_INNER = r"\\?[A-Za-z][A-Za-z0-9_\\]*(?: *\{ *\\?[A-Za-z][A-Za-z0-9_]* *\}| +[A-Za-z])?"
_ARGUMENT = rf"(?: *\{{ *(?:{_INNER}|{PLAIN_NAME}) *\}}| *\\[A-Za-z]+| +{LETTER}(?![A-Za-z0-9]))"
_SPECIAL = (
    rf"\\(?:(?:{'|'.join([*COMMANDS, *_OPERATORS])})(?![A-Za-z])|math(?:cal|scr) *(?:\{{ *[A-Z] *\}}|[A-Z])"
    rf"|(?:{FONTS}|{'|'.join([*ACCENTS, *_WIDE])}){_ARGUMENT})"
)
_BELOW = r"[A-Za-z0-9][A-Za-z0-9_]* *\}"
_WORD_BELOW = rf"\\(?:math(?!cal|scr)|text|operatorname|bm|mbox)[a-z]* *\{{ *{_BELOW}"
SUBSCRIPT = rf"_(?:\{{ *(?:{_BELOW}|{_WORD_BELOW} *\}})|{_WORD_BELOW})"
# Braces around a name alone: `{\bf x}`, and `{x}^{k}`, where a tag follows.
_EMBRACED = rf"\{{ *(?:\\{_OLD_FONTS} *{_INNER} *\}}|(?:{_INNER}|{LETTER}) *\}}(?= *[_^]))"
NAME = rf"(?:{PLAIN_NAME}(?:{SUBSCRIPT})?|(?:{_SPECIAL}|{_EMBRACED})(?:_[A-Za-z0-9]+|{SUBSCRIPT})?)"
# The sign of the adjoint above a kernel: `A^\\top`, `A^{\\mathsf T}`. A plain `A^T` may as well be a tag.
_TRANSPOSED = rf"(?:\\(?:top|intercal)(?![A-Za-z])|\\(?:{FONTS}|{_OLD_FONTS}) *(?:\{{ *T *\}}|T(?![A-Za-z0-9])))"
ADJOINT = rf"ᵀ|'|\^ *(?:{_TRANSPOSED}|\{{ *{_TRANSPOSED} *\}})"
ADJOINT_IN_TAG = rf"\^ *(?:{_TRANSPOSED}|\{{ *{_TRANSPOSED} *\}})|,? *{_TRANSPOSED}(?= *\}})"
"""The sign in a tag, with the comma before it: `_\\ell^\\top`, `^{\\ell,\\top}`."""
BRACED = r"\{[^{}\n#]*(?:\{[^{}\n#]*\}[^{}\n#]*)*\}"
_RAISED = rf"(?:{BRACED}|{_TRANSPOSED}|\\[A-Za-z]+|{LETTER}(?![A-Za-z0-9])|[0-9]+)"
# Tags are split into indices when they have been found, so their pattern need not know all that names can be.
_LOOSE = rf"(?:\\[A-Za-z]+|{PLAIN_NAME})"
_OWN = rf"(?:@{_LOOSE}|@[0-9]+|[@_](?:\{{[^{{}}\n#]*\}}|\\[A-Za-z]+))"
# `2*k-1`, unless the star is that of a convolution: `A@2*B@2 * x`, `A@2*σ(x)`, `A@1*f`.
_MULTIPLE = rf"(?:[2-9]|[1-9][0-9]+)\*{_LOOSE}(?![A-Za-z0-9_@(\[])"
INDEX = rf"(?:(?:{_MULTIPLE}|{_LOOSE}{_OWN}?)(?:[+-][0-9]+(?![A-Za-z0-9]))?|-?[0-9]+(?![A-Za-z0-9]))"
TAG = (
    rf"@(?:{BRACED}|{INDEX}(?:,{INDEX})*)"
    rf"|_ *(?:{BRACED}|\\[A-Za-z]+)(?: *\^ *{_RAISED})?"
    rf"|\^ *{_RAISED}(?: *_ *{_RAISED})?"
)

# What an equation copied from a paper has around it, and what says nothing in it.
_SIZE = r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])"
_SPACING = (
    "quad qquad enspace enskip thinspace medspace thickspace negthinspace hfill displaystyle textstyle scriptstyle "
    "nonumber notag limits nolimits allowbreak strut mathstrut noindent centering"
).split()
ROW_END = r"\\\\(?:\*|\[ *-?[0-9.]+ *[a-z]{2} *\])?"
NOISE = (
    rf"\$|{_SIZE} *\.|\\left *\\\{{(?=\s*\\begin)|{_SIZE}|\\(?:{'|'.join(_SPACING)})(?![A-Za-z])|{ROW_END}"
    r"|\\[,;:!> \[\]()]|[~&]|\{[ \t]*\}|\\begin *\{[^{}\n]*\}(?: *\[[a-z]\])?(?: *\{[clr|@][clr|@ ]*\})?"
    r"|\\(?:tag\*?|label|end|[hv]space\*?|[hv]?phantom) *\{[^{}\n]*\}"
)
COMMENT = r"[#%][^\n]*"
STEPS_OF_FIX = re.compile(r"steps[ \t]+[^\s=:,()]+[ \t]*(?:[,)]|\\right)")
"""The setting `steps 50` of an iteration, which a line may start with, as with the statement `steps i = 1..ν`."""
STARTS_COMMENT = re.compile(r'"[^"\n]*"|\\%|([#%])')
"""The sign that starts a comment, and what could be taken for one."""

# The brackets and the ranges of a paper.
OPEN = rf"(?:{_SIZE} *)?\(|(?:{_SIZE} *)?\\(?:\{{(?!\s*\\begin)|l(?:brace|brack|paren)(?![A-Za-z]))|{_SIZE} *\["
CLOSE = rf"(?:{_SIZE} *)?\)|(?:{_SIZE} *)?\\(?:\}}|r(?:brace|brack|paren)(?![A-Za-z]))|{_SIZE} *\]"
GAP = r"(?:[ \t\n~&]|\\[,;:! ])*"
_LISTED = rf"(?:[0-9]+|{_LOOSE}{GAP}[+-]{GAP}[0-9]+)"
ENUMERATION = rf"(?:,{GAP}(?:{_LISTED}{GAP},{GAP})*)?(?:\\[lc]?dots[bc]?(?![A-Za-z])|\.\.\.)(?:{GAP},)?"
FOR_WORDS = (
    r"\\(?:text(?:rm|normal)?|mbox) *\{[ ~]*(?:for|for all|for each|for every|where|with)[ ~]*\}|\\forall(?![A-Za-z])"
)
INDEXED = rf"{GAP}(?:{_SIZE} *)?\({GAP}{NAME}{GAP}="
"""What follows a word whose parentheses begin with an index."""
IN_SET = rf"\\in *(?:{_SIZE} *)?\\\{{"

_SPLIT = re.compile(r"(_|[0-9]+)")
_START = re.compile(rf"\\([A-Za-z]+)\*?|({PLAIN_NAME})")
_FONT = re.compile(rf"(?:{FONTS}|{_OLD_FONTS}|cal|math(?:cal|scr))")


@lru_cache(maxsize=4096)
def canonical_name(name: str) -> str:
    """`sigma`, `\\sigma` → `σ`, `cal_A`, `\\mathcal{A}` → `𝒜`, `l`, `\\ell` → `ℓ`, `\\tilde{r}` → `tilde_r`."""
    return _canonical_latex(name) if "\\" in name or "{" in name else _canonical_plain(name)


def _canonical_plain(name: str) -> str:
    if name == "l":
        return "ℓ"
    if name.startswith("cal_") and name[4:5] in SCRIPT and not name[5:6].isalpha():
        return SCRIPT[name[4]] + _canonical_rest(name[5:])
    return _canonical_rest(name)


def _canonical_rest(name: str) -> str:
    """The parts of a name between underscores and digits, each as a letter if it is the word for one."""
    parts: list[str] = _SPLIT.split(name)
    return "".join(GREEK.get(part, part) for part in parts)


def _canonical_latex(name: str) -> str:
    if name.startswith("{"):
        inner, rest = _argument(name)
        head = canonical_name(inner)
    elif (found := _START.match(name)) is None:
        return name
    elif found[2]:
        head, rest = _canonical_plain(found[2]), name[found.end() :]
    else:
        head, rest = _canonical_command(found[1], name[found.end() :])
    below = rest.strip().removeprefix("_")
    while below.startswith(("{", "\\")):
        below = _argument(below[max(0, below.find("{")) :])[0]
    return _canonical_plain(f"{head}_{below}") if below else head


def _canonical_command(command: str, rest: str) -> tuple[str, str]:
    """The name that a command writes, with its argument if it has one, and what stands behind that."""
    accent = _WIDE.get(command, command)
    if accent not in ACCENTS and _FONT.fullmatch(command) is None:
        return COMMANDS.get(command, command), rest
    inner, rest = _argument(rest)
    if command.endswith(("cal", "scr")):
        return SCRIPT.get(inner, inner), rest
    head = canonical_name(inner.replace("\\_", "_"))
    return (f"{accent}_{head}" if accent in ACCENTS else head), rest


def _argument(text: str) -> tuple[str, str]:
    """What a command is applied to, and the rest: a pair of braces, a command, or a letter."""
    text = text.lstrip()
    if text.startswith("\\"):
        end = next((at for at, sign in enumerate(text) if at and not sign.isalpha()), len(text))
        return text[:end], text[end:]
    if not text.startswith("{"):
        return text[:1], text[1:]
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[1:at].strip(), text[at + 1 :]
    return text[1:].strip(), ""


def ascii_name(name: str) -> str:
    """A Python identifier that spells the name: `σ` → `sigma`, `𝒜` → `cal_A`, `θ0` → `theta0`."""
    return name if name.isascii() else _spelled(name)


@lru_cache(maxsize=4096)
def _spelled(name: str) -> str:
    return "".join(ASCII.get(letter, letter) for letter in name)


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean …?` with the nearest known name, in whichever spelling."""
    spelled = {ascii_name(other): other for other in known if other != name}
    close = nearest(ascii_name(name), spelled)
    return f"did you mean `{spelled[close]}`?" if close else otherwise


def describe_character(character: str) -> str:
    """A character, with its code point and Unicode name unless it is on every keyboard, for messages."""
    if character.isascii() and character.isprintable():
        return f"`{character}`"
    name = unicodedata.name(character, "(a control character)")
    shown = character if character.isprintable() else ""
    return f"`{shown}` (U+{ord(character):04X} {name})" if shown else f"U+{ord(character):04X} {name}"


def with_look_alikes(text: str) -> str:
    return "".join(c if c.isascii() or c in ASCII else look_alike(c) or c for c in text)


def look_alike(character: str) -> str | None:
    """The letter that may have been meant by a character that names cannot contain."""
    folded = unicodedata.normalize("NFKC", character)
    if folded != character and folded.isascii() and folded.isalnum():
        return folded
    words = unicodedata.name(character, "").split()
    if len(words) == 4 and words[0] in ("GREEK", "CYRILLIC") and words[2] == "LETTER":
        latin = _LOOKS_LATIN.get(words[3])
        return latin and (latin.upper() if words[1] == "CAPITAL" else latin.lower())
    return None


def look_alike_sign(character: str) -> str | None:
    """The sign that may have been meant by one that the language does not have."""
    folded = unicodedata.normalize("NFKC", character)
    is_sign = folded != character and folded.isascii() and folded.isprintable() and not folded.isspace()
    return next((sign for sign, others in _LOOKS_LIKE.items() if character in others), folded if is_sign else None)


# Signs by what they are taken for.
_LOOKS_LIKE = {
    "*": "∗⁎⋆✱·∙⋅•", "-": "−–—‐‑‒﹣", "..": "…‥⋯", "→": "⇒⟶⟹➔↦⇾", '"': "“”„‟«»", "∘": "◦○⚬⸰⚪",
    "×": "✕✖⨯╳", "⊙": "⊗⨀◉☉", ">=": "⩾≧⪰", "<=": "⩽≦⪯", "/": "÷∕⁄",
}  # fmt: skip

# Names of Greek and Cyrillic letters drawn like a Latin one.
_LOOKS_LATIN = {
    "A": "a", "ALPHA": "a", "BETA": "b", "VE": "b", "ES": "c", "IE": "e", "EPSILON": "e", "ZETA": "z",
    "ETA": "h", "EN": "h", "IOTA": "i", "BYELORUSSIAN-UKRAINIAN": "i", "JE": "j", "KAPPA": "k", "KA": "k",
    "MU": "m", "EM": "m", "NU": "n", "OMICRON": "o", "O": "o", "RHO": "p", "ER": "p", "DZE": "s",
    "TAU": "t", "TE": "t", "UPSILON": "y", "U": "y", "CHI": "x", "HA": "x",
}  # fmt: skip
