"""What to say when a statement cannot be read, and what to write instead."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from cldfc.diagnostics import Label, Problems, Span
from cldfc.syntax.helps import (
    HELP_FOR_ADJOINTS,
    HELP_FOR_EQUATIONS,
    HELP_FOR_FLOORS,
    HELP_FOR_FROZEN,
    HELP_FOR_FUNCTIONS,
    HELP_FOR_STARS,
    help_for_attribute,
)
from cldfc.syntax.keywords import BOUNDARIES, EXAMPLES, KERNEL_RULES, SOLVERS, STATEMENTS
from cldfc.syntax.spelling import (
    ACCENTS,
    COMMANDS,
    COMMENT,
    FONTS,
    FOR_WORDS,
    NAME,
    TAG,
    canonical_name,
    describe_character,
    look_alike,
    look_alike_sign,
    with_look_alikes,
)

_HELP_FOR_TAGS = "write a tag like `@ℓ,i-1` without white space, or in braces: `@{ℓ + 1, ν@ℓ}`"
_HELP_FOR_NORMS = "write the norm of a value as `‖x‖`, in ASCII `||x||`, in LaTeX `\\|x\\|`; `abs(x)` is pointwise"
_HELP_FOR_GRADIENTS = "there are no derivatives: write the gradient out, as in `A * u@ℓ,i - f@ℓ`"
_HELP_FOR_MINIMA = "there is no minimisation: write the formula or the steps that give the minimum"
_HELP_FOR_CASES = "write an equation for each case, with its range: `x@i = y@i for i >= 1`"
_HELP_FOR_ONE_VALUE = (
    "an operator takes one value: join values by `concat(x, y)`; weights are not arguments: declare one operator "
    "for each index, `F@i(x)`"
)
_HELP_FOR_LISTS = "join channels by a word, `concat(x, y)`; over a range, `concat(j = 0..i-1 : x@j)`"
_HELP_FOR_SOLVERS = {
    "fix": "a fixed point is written like `fix(u : relu(A * u + f), tol 1e-4, steps 50, memory 5, start x)`",
    "solve": "a solution is written like `solve(u : A * u = f, tol 1e-4, steps 50, by cg)`",
}
_HELP_FOR_RECURRENCES = (
    "operators are not defined by a recurrence: write a `let` for each, without what it is applied to, "
    "such as `let f_2 = f_1 ∘ f_1`"
)
_HELP_FOR_EQUALS = "an equation has one `=`: leave out what stands between the two, or give it an equation of its own"
_HELP_FOR_SIGNS = "a sign stands before a term: leave it out, or put both in parentheses, as in `A * (-x)` or `2^(-1)`"
_HELP_FOR_CHANNELS = (
    "channels are those of a value with a name: write an equation for it, `y = relu(x)`, and `y[0..15]`"
)
_HELP_FOR_FACTORS = (
    "write a sign between two factors: `⊙` between values, `*` after a number, a scalar, a kernel or a norm"
)
_HELP_FOR_POWERS = "a tag follows a name, `g@ℓ(x)`; a power is that of a number, `(1/2)^2`"
_HELP_FOR_CHARACTERS = {
    "//": "a comment starts with `#`",
    ";": "leave it out: a statement ends with its line",
    "@": _HELP_FOR_TAGS,
    "@{": "close the brace of the tag: `@{ℓ + 1, ν@ℓ}`",
    "|": "the absolute value is `abs(x)`, the norm of a value `‖x‖`",
}
_HELP_FOR_UNDERSCORES = "write a stride as a number: `*_2`; a subscript stands behind a name"
_RANGE_SIGNS = {"_EQUAL", "_AT_LEAST", "_AT_MOST", "_MORE", "_LESS", "_IN_SET"}
"""What may follow the index of a range."""
_HELP_FOR_COMMA = "a range follows a comma, as in `, i = 1..4`; operators are joined with `∘`: `linear ∘ avgpool(x)`"
_HELP_FOR_CATEGORIES = {
    "Cf": "leave it out: it cannot be seen, but it is there",
    "Zs": "write an ordinary space",
    "Cc": "leave it out, or write a space",
}
_HELP_FOR_COMMANDS = {
    **dict.fromkeys(("dots", "ldots", "cdots", "dotsc", "dotsb"), "write a range as `1..4`"),
    **dict.fromkeys(("top", "intercal", "dagger", "ddagger"), HELP_FOR_ADJOINTS),
    **dict.fromkeys(("|", "Vert", "lVert", "rVert", "vert", "lvert", "rvert", "norm"), _HELP_FOR_NORMS),
    **dict.fromkeys(("nabla", "partial", "dot", "ddot"), _HELP_FOR_GRADIENTS),
    **dict.fromkeys(("arg", "argmin", "argmax", "inf", "sup"), _HELP_FOR_MINIMA),
    **dict.fromkeys(("ln", "tan", "sinh", "cosh", "sgn", "sign"), HELP_FOR_FUNCTIONS),
    **dict.fromkeys(
        ("otimes", "boxtimes", "bullet", "times"), "write `*` after a kernel or a number, `⊙` between values"
    ),
    **dict.fromkeys(("oplus",), "write `x + y` for a sum, `concat(x, y)` to join channels"),
    **dict.fromkeys(
        ("cup", "cap", "in", "subset", "mid", "sim", "neq", "ne"), "leave it out: it is not part of a formula"
    ),
    **dict.fromkeys(("equiv", "doteq", "approx", "mapsto", "stackrel", "overset", "Rightarrow"), "write `=`"),
    **dict.fromkeys(("underbrace", "overbrace", "underline"), "leave it out, with what is written below or above"),
    "frac": "write a quotient of two numbers: `\\frac{1}{2}`",
    "sum": "write a sum with its range: `\\sum_{j=0}^{4}`, or `sum(j = 0..4 : x@j)`",
    "prod": "there are no products over an index: write `g ∘ h` for operators, `x ⊙ y` for values",
    "sqrt": "write what stands under a root in braces: `\\sqrt{x}`",
    "text": "leave the words out, or write them behind `#`",
    "forall": "leave it out: an index goes over its declared range",
    **dict.fromkeys(("int", "oint", "iint"), "there are no integrals: write the sum that stands for it"),
    **dict.fromkeys(
        ("lim", "limsup", "liminf"), "there are no limits: write a fixed point, `u = fix(u : relu(A * u + f))`"
    ),
    **dict.fromkeys(("lfloor", "rfloor", "lceil", "rceil"), HELP_FOR_FLOORS),
    **dict.fromkeys(
        ("downarrow", "uparrow"), "write a stride, `R *_2 x` and `P *^2 x`, or `avgpool[2]` and `upsample[2]`"
    ),
}
MATHEMATICAL = (
    "ast", "circledast", "star", "circ", "cdot", "odot", "times", "to", "rightarrow", "ge", "geq", "le", "leq", "gets",
    "leftarrow", "coloneqq", "sum", "frac", "tfrac", "dfrac", "forall",
)  # fmt: skip
"""The commands for signs."""
_HELP_FOR_WORDS = {
    "padding": "write it behind the channels of a kernel: `kernel K : 3×3 → 16, padding 1`",
    "step": "write how far it is from one value of an index to the next like `1..9 by 2`",
    "stride": "write the stride where the kernel is used: `K *_2 x`",
    "in": "a range is written like `for i = 1..2`",
    "==": "write `=` once",
    "**": "write `*` once; a power is written `2^4`",
    "_": _HELP_FOR_UNDERSCORES,
    "<": "write `=`",
}

# What a reader calls each terminal, in the order in which a message lists them.
_WORDS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": 'a path like `"other.cldf"`',
    "TAG": "a tag such as `@ℓ,i`",
    "_EQUAL": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "_DOTS": "`..`",
    "_TIMES": "`×`",
    "NUMBERS": "`numbers`",
    "_ARROW": "`→`",
    "_AT_LEAST": "`>=`",
    "_AT_MOST": "`<=`",
    "SIGN": "`+`, `-`",
    "STAR": "`*`",
    "_COMPOSE": "`∘`",
    "_ODOT": "`⊙`",
    "OPEN": "`(`",
    "CLOSE": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "FOR": "`for`",
    "GROUPS": "`groups`",
    "DILATION": "`dilation`",
    "PADDING": "`padding`",
    "BIAS": "`bias`",
    "FIXED": "`fixed`",
    "TOL": "`tol`",
    "MEMORY": "`memory`",
    "START": "`start`",
    "BACKWARD": "`backward`",
    "BY": "`by`",
    "WAY": "a word such as `onestep` or `cg`",
    "$END": "the end of the statement",
}


_FIRST_WORDS = re.compile(rf"\s*({NAME})(?:[ \t]+({NAME}))?")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_APPLIED = re.compile(r"(?:[\w\])}]|\\(?:left|[bB]igg?l?)) *\{?$")
_AS_A_CALL = re.compile(r"\(([^(){}=\n]{1,30})\)\s*&?\s*(?:=|:=)")
_STAR_ABOVE = re.compile(r"\^ *\{? *(?:\*|\\(?:ast|star)\b)")
_ADJOINT = re.compile(r"\^ *\{? *(?:T\b|H\b|\\(?:top|intercal|dagger)\b|\\[a-z]+ *\{? *[TH]\b)")
_RANGE_OF_A_PAPER = re.compile(r"= *[-A-Za-z0-9]+ *(?:,|:|\.\.|\\[lc]?dots)")
_RANGE_WORD = re.compile(rf"(?<=\s)({NAME})[ \t]+{NAME}[ \t]*$")
_SETTINGS = re.compile(rf"({NAME})\(\s*([0-9.]+|{NAME}\s*=\s*[0-9.]+)\s*$")
_CALLED = re.compile(rf"({NAME})$")
_BRACKETS = re.compile(rf"(?P<skip>#[^\n]*|{TAG})|[()\[\]]|(?P<sign>(?<=[\w)\]}}])\s*[+-])")
_SOLVER = re.compile(rf"({'|'.join(SOLVERS)})\W*\(\Z")
_CLOSING = {"(": ")", "[": "]"}
_ENDS_IN_TAG = re.compile(r"@[^\s()*]*$")
_DEFINED = re.compile(rf"(?<![A-Za-z0-9_])({NAME})\s*=")


def report_syntax(error: UnexpectedInput, statement: Span, problems: Problems) -> None:
    start = statement.start + (error.pos_in_stream or 0)
    if isinstance(error, UnexpectedCharacters):
        _report_character(Span(statement.source, start, start + 1), statement, problems)
        return
    token = cast(Token, cast(UnexpectedToken, error).token)  # pyright: ignore[reportUnknownMemberType]
    expected = {str(name) for name in cast(UnexpectedToken, error).accepts or ()}
    expected = expected - {"BY"} if len(expected) > 1 else expected  # of a range, which may end without it
    if token.type == "$END":
        last = Span(statement.source, start, statement.start + (token.end_pos or 0))
        _report_ending(last, statement, expected, problems)
    else:
        end = start + len(token)
        is_sized = token.startswith("\\") and token.endswith(("(", ")"))
        _report_token(Span(statement.source, end - 1 if is_sized else start, end), statement, expected, problems)


def _report_character(place: Span, statement: Span, problems: Problems) -> None:
    if command := _COMMAND.match(place.source.text, place.start):
        _report_command(Span(place.source, *command.span()), command[1], problems)
        return
    message = f"unexpected character {describe_character(place.text)}"
    help = _help_for_character(place, statement)
    problems.report(
        "E0102", message, place, "not expected here" if place.text.isascii() else "not part of the language", help
    )


def _report_command(place: Span, name: str, problems: Problems) -> None:
    if name in COMMANDS or name in MATHEMATICAL:
        message, label = f"unexpected `{place.text}`", "not expected here"
    else:
        message, label = f"unknown LaTeX command `{place.text}`", "not part of the language"
    close = difflib.get_close_matches(name[:20], [*COMMANDS, *MATHEMATICAL, *ACCENTS], n=1, cutoff=0.7)
    otherwise = f"did you mean `\\{close[0]}`?" if close else f"a name of your own is written without `\\`: `{name}`"
    help = _HELP_FOR_COMMANDS.get(name, otherwise)
    if re.fullmatch(FONTS, name):
        help = "a name starts with a letter; a number is written without a font: `1`"
    if label == "not expected here" and name not in _HELP_FOR_COMMANDS:
        help = "leave it out, or write an operator or a sign before it"
    if name in ("mathrm", "text", "mbox") and _says_cases(place):
        help = _HELP_FOR_CASES
    problems.report("E0102", message, place, label, help)


def _says_cases(place: Span) -> bool:
    return re.search(r"\\begin *\{cases\}|\{ *(?:if|otherwise|else)\b", place.source.line(place.line)) is not None


def _help_for_character(place: Span, statement: Span) -> str:
    before = place.source.text[place.start - 1 : place.start]
    if place.text in "'′’‘" and (name := _CALLED.search(place.source.text, statement.start, place.start)):
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
    if place.text in "\u2329\u232a\u3008\u3009\u2039\u203a":
        return "an inner product is written `⟨x, y⟩`"
    if not place.text.isprintable():
        return _HELP_FOR_CATEGORIES.get(unicodedata.category(place.text), "leave it out")
    if not place.text.isascii():
        return "names are made of ASCII letters, Greek letters, script capitals, digits and `_`"
    if place.text == ";" and _open_bracket(statement, place.start):
        return _HELP_FOR_ONE_VALUE
    two = place.source.text[place.start : place.start + 2]
    if two in ("\\|", "||"):
        return _HELP_FOR_NORMS
    return _HELP_FOR_CHARACTERS.get(two) or _HELP_FOR_CHARACTERS.get(place.text) or _help_for_start(place, statement)


def _report_ending(last: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    """A statement that stops too early, after its token `last`."""
    last = last if last.text else statement
    opening = _open_bracket(statement, last.end) if expected & {"CLOSE", "RSQB"} else None
    if opening is None:
        label = f"expected {_expected_in_words(expected)} after this"
        help = _help_for_start(last, statement)
        if _first_word(statement).text == "input" and "NUMBERS" in expected:
            written = " ".join(re.sub(COMMENT, "", statement.text).split())
            word = "number" if last.text == "1" else "numbers"
            help = f"write `{written} {word}` for numbers of each image, or the sizes of a map, as in `3 × 32 × 32`"
        if expected == _RANGE_SIGNS:
            is_for = re.search(rf"(?:\bfor|{FOR_WORDS})\s+$", last.source.text[statement.start : last.start])
            help = f"write its range: `for {last.text} = 1..4`" if is_for else _HELP_FOR_COMMA
        problems.report("E0101", "the statement ends too early", last, label, help)
    else:
        what = "parenthesis" if opening.text == "(" else "bracket"
        message, other = f"a {what} is never closed", Label(opening, "opened here")
        label = f"expected `{_CLOSING[opening.text]}` here or before"
        problems.report("E0101", message, last, label, _help_for_opening(opening, last), other)


def _help_for_opening(opening: Span, last: Span) -> str:
    """Where a parenthesis may be closed: of several terms in it, the last is likely not meant to be."""
    inside, depth, signs = Span(opening.source, opening.end, last.end).text, 0, list[re.Match[str]]()
    for found in _BRACKETS.finditer(inside):
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


def _report_token(place: Span, statement: Span, expected: set[str], problems: Problems) -> None:
    first = _first_word(statement)
    before = place.source.text[first.end : place.start]
    if expected <= {"_EQUAL", "TAG", "LSQB"} and first.text not in STATEMENTS and before and before.isspace():
        if place.text[0].isalpha() or place.text[0] == '"':
            _report_statement(first, problems)
            return
    if place.text in ("'", "ᵀ") and "_EQUAL" in expected:
        found = _CALLED.search(place.source.text, statement.start, place.start)
        name = found[0] if found else first.text
        help = f"a name has no prime: write another one, such as `{name}1`; `'` after a kernel is its adjoint, `A' * x`"
        problems.report("E0101", f"unexpected `{place.text}`", place, "not expected here", help)
        return
    if place.text == ")" and "CLOSE" not in expected and _open_bracket(statement, place.start) is None:
        problems.report(
            "E0101", "unexpected `)`", place, "has no matching parenthesis", "leave it out, or open it with `(`"
        )
        return
    if place.source.text.startswith("//", place.start):
        help = _HELP_FOR_CHARACTERS["//"]
        problems.report("E0101", "unexpected `//`", Span(place.source, place.start, place.start + 2), "no sign", help)
        return
    word = _RANGE_WORD.search(place.source.text, first.start, place.start)
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
    in_tag = _ENDS_IN_TAG.search(place.source.text[first.start : place.start]) and place.text not in "=:)"
    in_tag = in_tag and first.text != "tie"
    following = Span(place.source, place.end, place.end + 1)
    if in_tag and place.text == "," and not following.text.isascii() and not re.match(NAME, following.text):
        _report_character(following, statement, problems)
        return
    if in_tag and expected == {"_AT_MOST"} and (number := re.search(r"[0-9]+$", before)):
        place, expected = Span(place.source, first.end + number.start(), place.start), {"NAME"}
    in_tag = in_tag or (place.text in "+-" and expected <= {"_EQUAL"})
    help = _HELP_FOR_TAGS if in_tag else _help_for_token(place, statement, expected)
    problems.report("E0101", f"unexpected `{place.text}`", place, f"expected {_expected_in_words(expected)}", help)


_WITHOUT_CHANNELS = re.compile(
    r"(?P<head>kernel[^:=→>]*:)(?P<size>[^,=→>]*?)"
    rf"(?P<words>,?\s+(?:{'|'.join((*BOUNDARIES, *KERNEL_RULES, 'padding', 'dilation', 'bias', 'start'))})\b[^=→>]*)?"
    r"(?:,[^=→>]*)?(?P<numbers>= *[^ ].*)"
)
_LONGEST_NUMBERS = 60


def _help_for_channels(statement: Span) -> str | None:
    """A kernel with given numbers as it would be with channels, which are missing before its `=`."""
    text = " ".join(re.sub(COMMENT, "", statement.text).split())
    found = _WITHOUT_CHANNELS.fullmatch(text)
    if found is None or re.search(r"\beach\b", text):
        return None
    head, size, words = found["head"], found["size"].strip(), (found["words"] or "").strip(", ")
    numbers = found["numbers"] if len(found["numbers"]) <= _LONGEST_NUMBERS else "= …"
    both = [f"{head} {size}, 1 → 1", f"{head} {size} each"]
    both = [" ".join([f"{one}, {words}" if words else one, numbers]) for one in both]
    if "shared" in words:
        return f"write `{both[1].replace(' each, shared', ' each shared')}`: given numbers need channels, or `each`"
    return f"write `{both[0]}`, or `{both[1]}` for a map of any channels, each by itself"


_FACTOR = re.compile(r"\\(?:max|min|sum|exp|sqrt|tanh|langle|lVert|Vert|\|)(?![A-Za-z])|\|\||[‖⟨]")
_ENDED = re.compile(r"[\w)\]}⟩‖]\s*$")


def _help_for_token(place: Span, statement: Span, expected: set[str]) -> str:
    if _first_word(statement).text == "kernel" and "_ARROW" in expected:
        if help := _help_for_channels(statement):
            return help
        words = re.findall(NAME, place.source.text[statement.start : place.end])
        if help := help_for_attribute(words[-1]):
            return help
    before = place.source.text[statement.start : place.start]
    if (over := _SUM_WITHOUT_RANGE.search(before)) and place.text in _ENDS_OF_A_BOUND:
        j = over[1]
        return f"write the range of a sum: `\\sum_{{{j}=0}}^{{4}} x_{j}`, or `sum({j} = 0..4 : x@{j})`"
    double = place.source.text[place.end - 2 : place.end]
    for written in (place.text, double):
        if written in _HELP_FOR_WORDS:
            return _HELP_FOR_WORDS[written]
    known = [
        _WORDS[name].strip("`")
        for name in ("GROUPS", "DILATION", "BIAS", "PADDING", "FIXED", "FOR")
        if name in expected
    ]
    if close := difflib.get_close_matches(place.text[:20], known, n=1, cutoff=0.7):
        return f"did you mean `{close[0]}`?"
    if place.text == "fixed" and (_first_word(statement).text not in STATEMENTS or before.startswith("let")):
        return HELP_FOR_FROZEN
    if place.text == "*" and before.rstrip(" {").endswith("^"):
        return HELP_FOR_STARS
    if _FACTOR.match(place.source.text, place.start) and _ENDED.search(before):
        return _HELP_FOR_FACTORS
    if place.text in "+-" and "NAME" in expected:
        return _HELP_FOR_SIGNS
    if place.text.startswith("[") and re.search("[,;]", place.text):
        return _HELP_FOR_LISTS
    if place.text.startswith("[") and "NAME" in expected and before.rstrip().endswith(")"):
        return _HELP_FOR_CHANNELS
    if place.text == "," and _first_word(statement).text == "tie":
        return "write a `tie` of its own for each kernel"
    if place.text in ")]" and before.endswith(("(", "[")):
        return "leave the brackets out" if place.text == "]" else "write a value in the parentheses: `(x)`"
    if place.text == "," and expected == {"COLON"}:
        return "write the terms after a colon: `sum(j = 0..i-1 : x@ℓ,j)`"
    if place.text == "," and (settings := _SETTINGS.search(before)):
        return f"settings go in brackets: `{settings[1]}[{settings[2]}, …](x)`"
    opening = _open_bracket(statement, place.start)
    if opening and (solver := _SOLVER.search(place.source.text, statement.start, opening.end)):
        return _HELP_FOR_SOLVERS[solver[1]]
    if place.text == "," and opening:
        is_list = not _APPLIED.search(before[: opening.start - statement.start])
        return _HELP_FOR_LISTS if is_list else _HELP_FOR_ONE_VALUE
    return _help_for_latex(place, statement, expected) or _help_for_start(place, statement)


def _help_for_latex(place: Span, statement: Span, expected: set[str]) -> str | None:
    """What to write instead of a form of papers that the language does not have."""
    text = place.source.text
    before, after = text[statement.start : place.start], text[place.start : statement.end]
    is_equation = _first_word(statement).text not in STATEMENTS
    if place.text == "(" and "_EQUAL" in expected and is_equation and (called := _AS_A_CALL.match(after)):
        index = called[1].strip()
        is_tag = re.fullmatch(NAME, before.strip()) and re.fullmatch(r"[A-Za-z0-9]+ *(?:[+-] *[0-9]+)?", index)
        if is_tag:
            name = before.strip()
            return f"an index is a subscript or a tag, `{name}_{{{index}}}` or `{name}@{{{index}}}`, here and elsewhere"
        if re.search(r"[_^@] *\{? *\w+ *[+-]", before):
            return _HELP_FOR_RECURRENCES
        return "an operator is declared with `let`, without what it is applied to: `let F = relu ∘ bn`"
    if place.text == "," and (first := _RANGE_BEGUN.search(before)) and (last := _LISTED.match(after)):
        return f"write a range: `for {first[1]} = {first[2]}..{last[1]}`"
    if place.text.endswith("frac") and _DERIVATIVE.match(after):
        return _HELP_FOR_GRADIENTS
    if place.text.startswith("^") or place.text.startswith("_"):
        if _EQUATION_BEGUN.search(before) and "=" in after:
            return HELP_FOR_EQUATIONS
        if _STAR_ABOVE.match(after):
            return HELP_FOR_STARS
        return HELP_FOR_ADJOINTS if _ADJOINT.match(after) else _HELP_FOR_POWERS
    if _says_cases(place):
        return _HELP_FOR_CASES
    if place.text in ("×", "\\times") or before.rstrip("_").endswith("\\sum"):
        return _HELP_FOR_COMMANDS["sum" if "\\sum" in before else "times"]
    if place.text in ("=", ":=") and is_equation and "_EQUAL" not in expected:
        index = re.search(rf"({NAME})\s*$", before)
        if index and _RANGE_OF_A_PAPER.match(after):
            return f"a range follows a comma or `for`: `for {index[1]} = 0..4`"
        return _HELP_FOR_EQUALS
    return None


_EQUATION_BEGUN = re.compile(rf", *(?:\\(?:[,;: ]|q?quad) *)*(?:{NAME}|\\[a-zA-Z]+) *$")
_ENDS_OF_A_BOUND = ("}", "<", "<=", "≤", "\\le", "\\leq", "\\leqslant")
_SUM_WITHOUT_RANGE = re.compile(rf"\\sum *_ *\{{ *({NAME}) *$")
_RANGE_BEGUN = re.compile(rf"({NAME}) *= *([0-9]+)(?: *, *[0-9]+)* *$")
_LISTED = re.compile(r"(?: *, *[0-9]+)* *, *([0-9]+)\b")
_DERIVATIVE = re.compile(r"\\[dt]?frac *\{ *(?:d\b|d[ {]?[A-Za-z\\]|\\partial|\\mathrm *\{ *d)")


def _report_statement(first: Span, problems: Problems) -> None:
    meant = _keyword_meant(first.text)
    known = f"{', '.join(STATEMENTS[:-1])} or {STATEMENTS[-1]}"
    help = f"did you mean `{meant}`?" if meant else f"start it with {known}, or write an equation: `x@ℓ = …`"
    problems.report("E0103", f"`{first.text}` does not start a statement", first, "unknown word", help)


def _open_bracket(statement: Span, end: int) -> Span | None:
    opened: list[int] = []
    for found in _BRACKETS.finditer(statement.source.text, statement.start, end):
        if found[0] in _CLOSING:
            opened.append(found.start())
        elif found[0] in _CLOSING.values() and opened:
            opened.pop()
    return Span(statement.source, opened[-1], opened[-1] + 1) if opened else None


def _keyword_meant(word: str) -> str | None:
    """The word of the language that a word is, or is nearly; two letters of a short one may be exchanged."""
    word = word.lower()[:20]
    close = difflib.get_close_matches(word, STATEMENTS, n=1, cutoff=0.7)
    close = close or [known for known in STATEMENTS if len(known) == 3 and sorted(known) == sorted(word)]
    return close[0] if close else None


def _first_word(statement: Span) -> Span:
    return Span(statement.source, statement.start, statement.start + len(statement.text.split()[0]))


def _expected_in_words(expected: set[str]) -> str:
    """`a name, `(` or …`."""
    if "SIGN" in expected:
        expected = expected - {"STAR", "STRIDED", "_COMPOSE", "_ODOT", "COMMA"}
    if len(expected) > 1:
        expected = expected - {"LSQB", "LBRACE", "RBRACE"}
    words = [word for name, word in _WORDS.items() if name in expected] or ["a statement"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _help_for_start(place: Span, statement: Span) -> str:
    """How a statement that starts like this one is written."""
    line_start = place.source.text.rfind("\n", 0, place.start) + 1
    if line_start > statement.start and not place.source.text[line_start : place.start].strip():
        return "a line that starts with white space continues the one before: start statements in the first column"
    if example := EXAMPLES.get(_first_word(statement).text):
        return f"write it like {example}"
    return "an equation is written like `r@ℓ,i = r@ℓ,i-1 + A@ℓ * σ(r@ℓ,i-1)`"


def note_names(statement: Span, problems: Problems) -> None:
    """Note what a wrong statement would have defined, so that no error follows from its absence."""
    visible = "".join(c for c in statement.text if c.isprintable() or c.isspace())
    first, *others = with_look_alikes(visible).splitlines() or [""]
    starting = [line for line in others if line.strip() and line.split()[0] in STATEMENTS]
    names = {name for line in starting for name in _names_at(line)}
    names |= _names_at(first) | set(_DEFINED.findall(first))
    # The value `x_k` of a wrong equation may be read elsewhere as `x_3`.
    bases = {name.rpartition("_")[0] for name in names} - {""}
    problems.broken |= {canonical_name(name) for name in names | bases}
    problems.lost |= not names - set(STATEMENTS) or _keyword_meant((first.split() or [""])[0]) == "extend"


def _names_at(line: str) -> set[str]:
    """The names that a line defines if it starts a statement, and the word of the language that it starts with."""
    words = _FIRST_WORDS.match(line)
    if words is None:
        return set()
    first, second = words.groups()
    return {name for name in (first, second, second and _keyword_meant(first)) if name}
