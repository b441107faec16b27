"""What to say when a statement cannot be read."""

from __future__ import annotations

import difflib
import re
from typing import cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from cldfc.diagnostics import Label, Problems, Span
from cldfc.syntax.spelling import NAME, canonical_name, describe_character, look_alike, with_look_alikes

EXAMPLES = {
    "model": "`model PreActResNet18`",
    "levels": "`levels ℓ = 1..J`",
    "steps": "`steps i = 1..ν`",
    "let": "`let σ = relu ∘ bn` or `let ν@ℓ = 2, 1, 1, 1`",
    "input": "`input f : 3 × 32 × 32`",
    "output": "`output h : 10`",
    "kernel": "`kernel A@ℓ : 3×3 → c@ℓ`",
}
STATEMENTS = tuple(EXAMPLES)
HELP_FOR_TAGS = "write a tag like `@ℓ,i-1` without white space, or in braces: `@{ℓ + 1, ν@ℓ}`"
HELP_FOR_CHARACTERS = {
    "//": "a comment starts with `#`",
    ";": "leave it out: a statement ends with its line",
    "@": HELP_FOR_TAGS,
    "_": "write a stride as a number: `*_2`",
}

# What a reader calls each terminal, in the order in which a message lists them.
WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "TAG": "a tag such as `@ℓ,i`",
    "EQUAL": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "__ANON_0": "`..`",
    "_TIMES": "`×`",
    "_ARROW": "`→`",
    "SIGN": "`+`, `-`",
    "STAR": "`*`",
    "_COMPOSE": "`∘`",
    "_OPEN": "`(`",
    "CLOSE": "`)`",
    "$END": "the end of the statement",
}

FIRST_WORDS = re.compile(rf"\s*({NAME})(?:[ \t]+({NAME}))?")
ENDS_IN_TAG = re.compile(r"@[^\s()*]*$")
DEFINED = re.compile(rf"({NAME})\s*=")


def report_syntax(error: UnexpectedInput, statement: Span, problems: Problems) -> None:
    """Report where the parser stopped in a statement, and what it would have taken."""
    start = statement.start + (error.pos_in_stream or 0)
    if isinstance(error, UnexpectedCharacters):
        report_character(Span(statement.source, start, start + 1), statement, problems)
        return
    token = cast(Token, cast(UnexpectedToken, error).token)  # pyright: ignore[reportUnknownMemberType]
    expected = {str(name) for name in cast(UnexpectedToken, error).accepts or ()}
    if token.type == "$END":
        last = Span(statement.source, start, statement.start + (token.end_pos or 0))
        report_ending(last, statement, expected, problems)
    else:
        report_token(Span(statement.source, start, start + len(token)), statement, expected, problems)


def report_character(place: Span, statement: Span, problems: Problems) -> None:
    """A character that no part of the language contains, or not there."""
    problems.report(
        "E0102",
        f"unexpected character {describe_character(place.text)}",
        place,
        "not expected here" if place.text.isascii() else "not part of the language",
        help_for_character(place, statement),
    )


def help_for_character(place: Span, statement: Span) -> str:
    """What to write instead of a character."""
    if meant := look_alike(place.text):
        return f"write the ASCII {'digit' if meant.isdecimal() else 'letter'} `{meant}`"
    if not place.text.isprintable():
        return "leave it out, or write a space"
    if not place.text.isascii():
        return "names are made of ASCII letters, Greek letters, script capitals, digits and `_`"
    two = place.source.text[place.start : place.start + 2]
    return HELP_FOR_CHARACTERS.get(two) or HELP_FOR_CHARACTERS.get(place.text) or help_for(place, statement)


def report_ending(last: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    """A statement that stops too early, after its token `last`."""
    label = f"expected {in_words(expected)} after this"
    opening = open_parenthesis(statement, last.end) if "CLOSE" in expected else None
    if opening is None:
        problems.report("E0101", "the statement ends too early", last, label, help_for(last, statement))
    else:
        message, other = "a parenthesis is never closed", Label(opening, "opened here")
        problems.report("E0101", message, last, label, "close it with `)`", other)


def report_token(place: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    """A word or sign where it cannot stand."""
    first = first_word(statement)
    before = place.source.text[first.end : place.start]
    if expected <= {"EQUAL", "TAG"} and first.text not in STATEMENTS and before and before.isspace():
        if place.text[0].isalpha():
            report_statement(first, problems)
            return
    if place.text == ")" and "CLOSE" not in expected and open_parenthesis(statement, place.start) is None:
        problems.report("E0101", "unexpected `)`", place, "closes no parenthesis", "leave it out, or open it with `(`")
        return
    in_tag = ENDS_IN_TAG.search(place.source.text[first.start : place.start]) and place.text not in "=:)"
    in_tag = in_tag or (place.text in "+-" and expected <= {"EQUAL"})
    help = HELP_FOR_TAGS if in_tag else help_for(place, statement)
    problems.report("E0101", f"unexpected `{place.text}`", place, f"expected {in_words(expected)}", help)


def report_statement(first: Span, problems: Problems) -> None:
    """A statement whose first word is none of the language's."""
    meant = keyword_meant(first.text)
    known = f"{', '.join(STATEMENTS[:-1])} or {STATEMENTS[-1]}"
    help = f"did you mean `{meant}`?" if meant else f"start it with {known}, or write an equation: `x@ℓ = …`"
    problems.report("E0103", f"`{first.text}` starts no statement", first, "unknown word", help)


def open_parenthesis(statement: Span, end: int) -> Span | None:
    """The innermost `(` that is open at a place of a statement."""
    text = re.sub(r"#[^\n]*", lambda comment: " " * len(comment.group()), statement.text)
    opened: list[int] = []
    for at, character in enumerate(text[: end - statement.start], statement.start):
        if character == "(":
            opened.append(at)
        elif character == ")" and opened:
            opened.pop()
    return Span(statement.source, opened[-1], opened[-1] + 1) if opened else None


def keyword_meant(word: str) -> str | None:
    """The word of the language that a word is, or is nearly."""
    close = difflib.get_close_matches(word.lower()[:20], STATEMENTS, n=1, cutoff=0.7)
    return close[0] if close else None


def first_word(statement: Span) -> Span:
    """The first word of a statement."""
    return Span(statement.source, statement.start, statement.start + len(statement.text.split()[0]))


def in_words(expected: set[str]) -> str:
    """`a name, `(` or …`."""
    words = [word for name, word in WORDS.items() if name in expected] or ["a statement"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def help_for(place: Span, statement: Span) -> str:
    """How a statement that starts like this one is written."""
    line_start = place.source.text.rfind("\n", 0, place.start) + 1
    if line_start > statement.start and not place.source.text[line_start : place.start].strip():
        return "a line that starts with white space continues the one before: start statements in the first column"
    if example := EXAMPLES.get(first_word(statement).text):
        return f"write it like {example}"
    return "an equation is written like `r@ℓ,i = r@ℓ,i-1 + A@ℓ * σ(r@ℓ,i-1)`"


def note_names(statement: Span, problems: Problems) -> None:
    """Note what a wrong statement would have defined, so that no error follows from its absence."""
    first, *others = with_look_alikes(statement.text).splitlines()
    starting = [line for line in others if line.strip() and line.split()[0] in STATEMENTS]
    names = {name for line in starting for name in names_at(line)}
    names |= names_at(first) | set(DEFINED.findall(first))
    problems.broken |= {canonical_name(name) for name in names}
    problems.lost |= not names - set(STATEMENTS)


def names_at(line: str) -> set[str]:
    """The names that a line defines if it starts a statement, and the word of the language that it starts with."""
    words = FIRST_WORDS.match(line)
    if words is None:
        return set()
    first, second = words.groups()
    return {name for name in (first, second, second and keyword_meant(first)) if name}
