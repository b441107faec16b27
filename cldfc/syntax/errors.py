"""What to say when a statement cannot be read."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from cldfc.diagnostics import Label, Problems, Span
from cldfc.syntax import advice
from cldfc.syntax.keywords import EXAMPLES, STATEMENTS
from cldfc.syntax.spelling import (
    ACCENTS,
    COMMANDS,
    FOR_WORDS,
    NAME,
    TAG,
    canonical_name,
    describe_character,
    look_alike,
    look_alike_sign,
    with_look_alikes,
)

FIRST_WORDS = re.compile(rf"\s*({NAME})(?:[ \t]+({NAME}))?")
COMMAND = re.compile(r"\\([A-Za-z]+)")
APPLIED = re.compile(r"(?:[\w\])}]|\\(?:left|[bB]igg?l?)) *\{?$")
AS_A_CALL = re.compile(r"\(([^(){}=\n]{1,30})\)\s*&?\s*(?:=|:=)")
STAR_ABOVE = re.compile(r"\^ *\{? *(?:\*|\\(?:ast|star)\b)")
ADJOINT = re.compile(r"\^ *\{? *(?:T\b|H\b|\\(?:top|intercal|dagger)\b|\\[a-z]+ *\{? *[TH]\b)")
RANGE_OF_A_PAPER = re.compile(r"= *[-A-Za-z0-9]+ *(?:,|:|\.\.|\\[lc]?dots)")
RANGE_WORD = re.compile(rf"(?<=\s)({NAME})[ \t]+{NAME}[ \t]*$")
SETTINGS = re.compile(rf"({NAME})\(\s*([0-9.]+|{NAME}\s*=\s*[0-9.]+)\s*$")
CALLED = re.compile(rf"({NAME})$")
BRACKETS = re.compile(rf"(?P<skip>#[^\n]*|{TAG})|[()\[\]]|(?P<sign>(?<=[\w)\]}}])\s*[+-])")
CLOSING = {"(": ")", "[": "]"}
ENDS_IN_TAG = re.compile(r"@[^\s()*]*$")
DEFINED = re.compile(rf"(?<![A-Za-z0-9_])({NAME})\s*=")


def report_syntax(error: UnexpectedInput, statement: Span, problems: Problems) -> None:
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
        end = start + len(token)
        is_sized = token.startswith("\\") and token.endswith(("(", ")"))
        report_token(Span(statement.source, end - 1 if is_sized else start, end), statement, expected, problems)


def report_character(place: Span, statement: Span, problems: Problems) -> None:
    if command := COMMAND.match(place.source.text, place.start):
        report_command(Span(place.source, *command.span()), command[1], problems)
        return
    message = f"unexpected character {describe_character(place.text)}"
    help = help_for_character(place, statement)
    problems.report(
        "E0102", message, place, "not expected here" if place.text.isascii() else "not part of the language", help
    )


def report_command(place: Span, name: str, problems: Problems) -> None:
    if name in COMMANDS or name in advice.MATHEMATICAL:
        message, label = f"unexpected `{place.text}`", "not expected here"
    else:
        message, label = f"unknown LaTeX command `{place.text}`", "not part of the language"
    close = difflib.get_close_matches(name[:20], [*COMMANDS, *advice.MATHEMATICAL, *ACCENTS], n=1, cutoff=0.7)
    otherwise = f"did you mean `\\{close[0]}`?" if close else f"a name of your own is written without `\\`: `{name}`"
    help = advice.HELP_FOR_COMMANDS.get(name, otherwise)
    if label == "not expected here" and name not in advice.HELP_FOR_COMMANDS:
        help = "leave it out, or write an operator or a sign before it"
    if name in ("mathrm", "text", "mbox") and says_cases(place):
        help = advice.HELP_FOR_CASES
    problems.report("E0102", message, place, label, help)


def says_cases(place: Span) -> bool:
    return re.search(r"\\begin *\{cases\}|\{ *(?:if|otherwise|else)\b", place.source.line(place.line)) is not None


def help_for_character(place: Span, statement: Span) -> str:
    before = place.source.text[place.start - 1 : place.start]
    if place.text in "'′’‘" and (name := CALLED.search(place.source.text, statement.start, place.start)):
        return f"a name has no prime: write another one, such as `{name[0]}1`"
    if "SUPERSCRIPT" in unicodedata.name(place.text, "") and before != "*":
        return "a power of a number is written `c^2`, a pointwise product `u ⊙ u`"
    if meant := look_alike(place.text):
        if before == "*" and meant.isdecimal():
            return f"write the stride as `*_{meant}`"
        kind = "digit" if meant.isdecimal() else "letters" if len(meant) > 1 else "letter"
        return f"write the ASCII {kind} `{meant}`"
    if sign := look_alike_sign(place.text):
        return f"write `{sign}`"
    if not place.text.isprintable():
        return advice.HELP_FOR_CATEGORIES.get(unicodedata.category(place.text), "leave it out")
    if not place.text.isascii():
        return "names are made of ASCII letters, Greek letters, script capitals, digits and `_`"
    if place.text == ";" and open_bracket(statement, place.start):
        return advice.HELP_FOR_ONE_VALUE
    two = place.source.text[place.start : place.start + 2]
    if two in ("\\|", "||"):
        return advice.HELP_FOR_NORMS
    return (
        advice.HELP_FOR_CHARACTERS.get(two)
        or advice.HELP_FOR_CHARACTERS.get(place.text)
        or help_for_start(place, statement)
    )


def report_ending(last: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    """A statement that stops too early, after its token `last`."""
    last = last if last.text else statement
    opening = open_bracket(statement, last.end) if expected & {"CLOSE", "RSQB"} else None
    if opening is None:
        label = f"expected {expected_in_words(expected)} after this"
        help = help_for_start(last, statement)
        if expected == advice.RANGE_SIGNS:
            is_for = re.search(rf"(?:\bfor|{FOR_WORDS})\s+$", last.source.text[statement.start : last.start])
            help = f"write its range: `for {last.text} = 1..4`" if is_for else advice.HELP_FOR_COMMA
        problems.report("E0101", "the statement ends too early", last, label, help)
    else:
        what = "parenthesis" if opening.text == "(" else "bracket"
        message, other = f"a {what} is never closed", Label(opening, "opened here")
        label = f"expected `{CLOSING[opening.text]}` here or before"
        problems.report("E0101", message, last, label, help_for_opening(opening, last), other)


def help_for_opening(opening: Span, last: Span) -> str:
    """Where a parenthesis may be closed: of several terms in it, the last is likely not meant to be."""
    inside, depth, signs = Span(opening.source, opening.end, last.end).text, 0, list[re.Match[str]]()
    for found in BRACKETS.finditer(inside):
        depth += (found[0] in ("(", "[")) - (found[0] in (")", "]"))
        if found["sign"] and depth == 0:
            signs.append(found)
    if opening.text == "[":
        return f"close it with `]`: `[{inside.split('(')[0].strip()}]`"
    if len(signs) > 1:
        sign = signs[-1]
        text = " ".join(f"({inside[: sign.start()].rstrip()}) {sign[0].strip()} …".split())
        return f"close it before the last `{sign[0].strip()}`, or at the end: `{text}`"
    return f"close it with `)`: `({' '.join(inside.split())})`"


def report_token(place: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    first = first_word(statement)
    before = place.source.text[first.end : place.start]
    if expected <= {"_EQUAL", "TAG", "LSQB"} and first.text not in STATEMENTS and before and before.isspace():
        if place.text[0].isalpha() or place.text[0] == '"':
            report_statement(first, problems)
            return
    if place.text == ")" and "CLOSE" not in expected and open_bracket(statement, place.start) is None:
        problems.report(
            "E0101", "unexpected `)`", place, "has no matching parenthesis", "leave it out, or open it with `(`"
        )
        return
    if place.source.text.startswith("//", place.start):
        help = advice.HELP_FOR_CHARACTERS["//"]
        problems.report("E0101", "unexpected `//`", Span(place.source, place.start, place.start + 2), "no sign", help)
        return
    word = RANGE_WORD.search(place.source.text, first.start, place.start)
    if word and "FOR" in expected and place.text in ("=", ">=", "<=", "≥", "≤", "in"):
        written = Span(place.source, *word.span(1))
        help = f"a range is written with `for`: `for {word[0].split()[-1]} {place.text} …`"
        problems.report("E0101", f"unexpected `{written.text}`", written, "expected `for`", help)
        return
    to = re.search(r"\bto(?=\s*$)", before)
    if to and "_DOTS" in expected:
        written = Span(place.source, first.end + to.start(), first.end + to.end())
        problems.report("E0101", "unexpected `to`", written, "expected `..`", "write a range with two dots: `1..4`")
        return
    in_tag = ENDS_IN_TAG.search(place.source.text[first.start : place.start]) and place.text not in "=:)"
    in_tag = in_tag and first.text != "tie"
    following = Span(place.source, place.end, place.end + 1)
    if in_tag and place.text == "," and not following.text.isascii() and not re.match(NAME, following.text):
        report_character(following, statement, problems)
        return
    if in_tag and expected == {"_AT_MOST"} and (number := re.search(r"[0-9]+$", before)):
        place, expected = Span(place.source, first.end + number.start(), place.start), {"NAME"}
    in_tag = in_tag or (place.text in "+-" and expected <= {"_EQUAL"})
    help = advice.HELP_FOR_TAGS if in_tag else help_for_token(place, statement, expected)
    problems.report("E0101", f"unexpected `{place.text}`", place, f"expected {expected_in_words(expected)}", help)


def help_for_token(place: Span, statement: Span, expected: set[str]) -> str:
    double = place.source.text[place.end - 2 : place.end]
    for written in (place.text, double):
        if written in advice.HELP_FOR_WORDS:
            return advice.HELP_FOR_WORDS[written]
    known = [
        advice.WORDS[name].strip("`") for name in ("GROUPS", "DILATION", "BIAS", "FIXED", "FOR") if name in expected
    ]
    if close := difflib.get_close_matches(place.text[:20], known, n=1, cutoff=0.7):
        return f"did you mean `{close[0]}`?"
    before = place.source.text[statement.start : place.start]
    if place.text == "," and first_word(statement).text == "tie":
        return "write a `tie` of its own for each kernel"
    if place.text in ")]" and before.endswith(("(", "[")):
        return "leave the brackets out" if place.text == "]" else "write a value in the parentheses: `(x)`"
    if place.text == "," and expected == {"COLON"}:
        return "write the terms after a colon: `sum(j = 0..i-1 : x@ℓ,j)`"
    if place.text == "," and (settings := SETTINGS.search(before)):
        return f"settings go in brackets: `{settings[1]}[{settings[2]}, …](x)`"
    opening = open_bracket(statement, place.start)
    if place.text == "," and opening:
        is_list = not APPLIED.search(before[: opening.start - statement.start])
        return advice.HELP_FOR_LISTS if is_list else advice.HELP_FOR_ONE_VALUE
    return help_for_latex(place, statement, expected) or help_for_start(place, statement)


def help_for_latex(place: Span, statement: Span, expected: set[str]) -> str | None:
    """What to write instead of a form of papers that the language does not have."""
    text = place.source.text
    before, after = text[statement.start : place.start], text[place.start : statement.end]
    is_equation = first_word(statement).text not in STATEMENTS
    if place.text == "(" and "_EQUAL" in expected and is_equation and (called := AS_A_CALL.match(after)):
        index = called[1].strip()
        is_tag = re.fullmatch(NAME, before.strip()) and re.fullmatch(r"[A-Za-z0-9]+ *(?:[+-] *[0-9]+)?", index)
        if is_tag:
            name = before.strip()
            return f"an index is a subscript or a tag, `{name}_{{{index}}}` or `{name}@{{{index}}}`, here and elsewhere"
        if re.search(r"[_^@] *\{? *\w+ *[+-]", before):
            return advice.HELP_FOR_RECURRENCES
        return "an operator is declared with `let`, without what it is applied to: `let F = relu ∘ bn`"
    if place.text.startswith("^") or place.text.startswith("_"):
        if STAR_ABOVE.match(after):
            return advice.HELP_FOR_STARS
        return advice.HELP_FOR_ADJOINTS if ADJOINT.match(after) else advice.HELP_FOR_POWERS
    if says_cases(place):
        return advice.HELP_FOR_CASES
    if place.text in ("×", "\\times") or before.rstrip("_").endswith("\\sum"):
        return advice.HELP_FOR_COMMANDS["sum" if "\\sum" in before else "times"]
    if place.text in ("=", ":=") and is_equation and "_EQUAL" not in expected:
        index = re.search(rf"({NAME})\s*$", before)
        if index and RANGE_OF_A_PAPER.match(after):
            return f"a range follows a comma or `for`: `for {index[1]} = 0..4`"
        return advice.HELP_FOR_EQUALS
    return None


def report_statement(first: Span, problems: Problems) -> None:
    meant = keyword_meant(first.text)
    known = f"{', '.join(STATEMENTS[:-1])} or {STATEMENTS[-1]}"
    help = f"did you mean `{meant}`?" if meant else f"start it with {known}, or write an equation: `x@ℓ = …`"
    problems.report("E0103", f"`{first.text}` does not start a statement", first, "unknown word", help)


def open_bracket(statement: Span, end: int) -> Span | None:
    opened: list[int] = []
    for found in BRACKETS.finditer(statement.source.text, statement.start, end):
        if found[0] in CLOSING:
            opened.append(found.start())
        elif found[0] in CLOSING.values() and opened:
            opened.pop()
    return Span(statement.source, opened[-1], opened[-1] + 1) if opened else None


def keyword_meant(word: str) -> str | None:
    """The word of the language that a word is, or is nearly; two letters of a short one may be exchanged."""
    word = word.lower()[:20]
    close = difflib.get_close_matches(word, STATEMENTS, n=1, cutoff=0.7)
    close = close or [known for known in STATEMENTS if len(known) == 3 and sorted(known) == sorted(word)]
    return close[0] if close else None


def first_word(statement: Span) -> Span:
    return Span(statement.source, statement.start, statement.start + len(statement.text.split()[0]))


def expected_in_words(expected: set[str]) -> str:
    """`a name, `(` or …`."""
    if "SIGN" in expected:
        expected = expected - {"STAR", "_COMPOSE", "_ODOT", "COMMA"}
    if len(expected) > 1:
        expected = expected - {"LSQB", "LBRACE", "RBRACE"}
    words = [word for name, word in advice.WORDS.items() if name in expected] or ["a statement"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def help_for_start(place: Span, statement: Span) -> str:
    """How a statement that starts like this one is written."""
    line_start = place.source.text.rfind("\n", 0, place.start) + 1
    if line_start > statement.start and not place.source.text[line_start : place.start].strip():
        return "a line that starts with white space continues the one before: start statements in the first column"
    if example := EXAMPLES.get(first_word(statement).text):
        return f"write it like {example}"
    return "an equation is written like `r@ℓ,i = r@ℓ,i-1 + A@ℓ * σ(r@ℓ,i-1)`"


def note_names(statement: Span, problems: Problems) -> None:
    """Note what a wrong statement would have defined, so that no error follows from its absence."""
    visible = "".join(c for c in statement.text if c.isprintable() or c.isspace())
    first, *others = with_look_alikes(visible).splitlines() or [""]
    starting = [line for line in others if line.strip() and line.split()[0] in STATEMENTS]
    names = {name for line in starting for name in names_at(line)}
    names |= names_at(first) | set(DEFINED.findall(first))
    problems.broken |= {canonical_name(name) for name in names}
    problems.lost |= not names - set(STATEMENTS) or keyword_meant((first.split() or [""])[0]) == "extend"


def names_at(line: str) -> set[str]:
    """The names that a line defines if it starts a statement, and the word of the language that it starts with."""
    words = FIRST_WORDS.match(line)
    if words is None:
        return set()
    first, second = words.groups()
    return {name for name in (first, second, second and keyword_meant(first)) if name}
