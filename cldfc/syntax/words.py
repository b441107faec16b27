"""How each of the three spellings writes signs and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cldfc.letters import GREEK, SCRIPT
from cldfc.syntax.spelling import ACCENTS, NAME, SUBSCRIPT, ascii_name, canonical_name

Spelling = Literal["unicode", "ascii", "latex"]


@dataclass(frozen=True, slots=True)
class SpellingWords:
    compose: str
    pointwise: str
    times: str
    arrow: str
    at_least: str
    at_most: str


WORDS: dict[Spelling, SpellingWords] = {
    "unicode": SpellingWords("∘", "⊙", "×", "→", "≥", "≤"),
    "ascii": SpellingWords(".", ".*", "x", "->", ">=", "<="),
    "latex": SpellingWords(r"\circ", r"\odot", r"\times", r"\to", r"\ge", r"\le"),
}

LETTERS = {letter: rf"\{spelled}" for spelled, letter in GREEK.items()} | {"ℓ": r"\ell"}
SCRIPTS = {script: rf"\mathcal{{{letter}}}" for letter, script in SCRIPT.items()}
COMMANDS = LETTERS | SCRIPTS
"""The letters that LaTeX has a command for."""


@lru_cache(maxsize=4096)
def spell_name(name: str, spelling: Spelling) -> str:
    """A canonical name as the spelling writes it; unchanged where it has no way to.

    `σx` has none in ASCII: `sigmax` would be read as another name.
    """
    if spelling == "unicode":
        return name
    forms = [ascii_name(name)] if spelling == "ascii" else latex_forms(name)
    return next((form for form in forms if reads_back(form, name)), name)


def reads_back(form: str, name: str) -> bool:
    found = re.match(NAME, form)
    return found is not None and found.end() == len(form) and canonical_name(form) == name


def latex_forms(name: str) -> Iterator[str]:
    """What LaTeX may write for a name, the best first; some are read as other names."""
    head, _, rest = name.partition("_")
    if head in ACCENTS:
        letter, _, below = rest.partition("_")
        yield rf"\{head}{{{COMMANDS.get(letter, letter)}}}{subscript(below)}"
    if len(head) == 1 or head.isascii():
        yield latex_head(head) + subscript(rest)
    yield rf"\mathrm{{{ascii_name(name)}}}"
    yield ascii_name(name)


def latex_head(head: str) -> str:
    """A letter, or a word, which LaTeX would otherwise take for a product of letters."""
    return COMMANDS.get(head, head) if len(head) == 1 else rf"\mathrm{{{head}}}"


def subscript(rest: str) -> str:
    below = ascii_name(rest)
    return f"_{{{below}}}" if len(below) > 1 else f"_{below}" if below else ""


def spell_index_name(name: str, spelling: Spelling, braces: int) -> str:
    """A name in a tag, which can hold only so many braces."""
    spelled = spell_name(name, spelling)
    return spelled if spelled.count("{") <= braces else spell_name(name, "ascii")


def is_subscript(text: str) -> bool:
    return re.fullmatch(SUBSCRIPT, f"_{{{text}}}") is not None
