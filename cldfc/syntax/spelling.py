"""Unicode and ASCII are one language: the letters of names and what each is called."""

from __future__ import annotations

import unicodedata

# The Greek letters that LaTeX has a command for: exactly those that no Latin letter looks like.
GREEK = dict(
    zip(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
        "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(),
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        strict=True,
    )
)
SCRIPT = {
    f"cal_{letter}": script
    for letter, script in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "𝒜ℬ𝒞𝒟ℰℱ𝒢ℋℐ𝒥𝒦ℒℳ𝒩𝒪𝒫𝒬ℛ𝒮𝒯𝒰𝒱𝒲𝒳𝒴𝒵", strict=True)
}
CANONICAL = {**GREEK, **SCRIPT, "l": "ℓ"}
ASCII = {letter: spelled for spelled, letter in CANONICAL.items()}

LETTER = f"[A-Za-z{''.join(ASCII)}]"
NAME = f"{LETTER}(?:{LETTER}|[0-9_])*"
SHIFTED = rf"(?:{NAME}(?:[+-][0-9]+)?|[0-9]+)"
INDEX = rf"(?:{NAME}@{SHIFTED}|{SHIFTED})"


def canonical_name(name: str) -> str:
    """`sigma` → `σ`, `cal_A` → `𝒜`, `l` → `ℓ`; every other name as it is."""
    return CANONICAL.get(name, str(name))


def ascii_name(name: str) -> str:
    """A Python identifier that spells the name: `σ` → `sigma`, `𝒜` → `cal_A`, `θ0` → `theta0`."""
    return "".join(ASCII.get(letter, letter) for letter in name)


def describe_character(character: str) -> str:
    """A character with its code point and Unicode name, for messages."""
    name = unicodedata.name(character, "a control character")
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


# Names of Greek and Cyrillic letters drawn like a Latin one.
LOOKS_LATIN = {
    "A": "a", "ALPHA": "a", "BETA": "b", "VE": "b", "ES": "c", "IE": "e", "EPSILON": "e", "ZETA": "z",
    "ETA": "h", "EN": "h", "IOTA": "i", "BYELORUSSIAN-UKRAINIAN": "i", "JE": "j", "KAPPA": "k", "KA": "k",
    "MU": "m", "EM": "m", "NU": "n", "OMICRON": "o", "O": "o", "RHO": "p", "ER": "p", "DZE": "s",
    "TAU": "t", "TE": "t", "UPSILON": "y", "U": "y", "CHI": "x", "HA": "x",
}  # fmt: skip
