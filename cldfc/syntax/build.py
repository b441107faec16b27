"""The grammar's rules as constructors of the tree."""

from __future__ import annotations

import math
import re
from typing import Literal, cast

from lark import Token, Transformer

from cldfc.diagnostics import Problems, Span
from cldfc.syntax import tree
from cldfc.syntax.spelling import NAME, canonical_name

INDEX = re.compile(rf" *(?:({NAME})(?: *@ *({NAME}|[0-9]+))?|([0-9]+)) *(?:([+-]) *([0-9]+) *)?")
LONGEST_NUMBER = 20
LARGEST_STRIDE = 255

Parts = list[tree.Expression | Token]


class Builder(Transformer[Token, tree.Statement]):
    """One method per rule, called by the parser when it has read it.

    `statement` is the stretch that is being parsed; tokens count from its start.
    """

    def __init__(self, problems: Problems) -> None:
        super().__init__(visit_tokens=False)
        self.problems = problems
        self.statement: Span

    def place(self, start: int, end: int) -> Span:
        """A stretch of the statement."""
        base = self.statement.start
        return Span(self.statement.source, base + start, base + end)

    def place_of(self, part: tree.Expression | Token) -> Span:
        """Where a token or an expression stands."""
        if isinstance(part, Token):
            return self.place(cast(int, part.start_pos), cast(int, part.end_pos))
        return part.span

    # Statements

    def start(self, parts: list[tree.Statement]) -> tree.Statement:
        return parts[0]

    def model(self, parts: list[Token]) -> tree.Model:
        return tree.Model(str(parts[0]), self.place_of(parts[0]))

    def levels(self, parts: Parts) -> tree.Range:
        return self.range("levels", parts)

    def steps(self, parts: Parts) -> tree.Range:
        return self.range("steps", parts)

    def range(self, kind: Literal["levels", "steps"], parts: Parts) -> tree.Range:
        name, lower, upper = cast("tuple[Token, tree.Expression, tree.Expression]", parts)
        return tree.Range(kind, canonical_name(name), lower, upper, self.place_of(name), self.statement)

    def let(self, parts: list[tree.Expression]) -> tree.Let:
        return tree.Let(cast(tree.Symbol, parts[0]), tuple(parts[1:]), self.statement)

    def input(self, parts: Parts) -> tree.Input:
        name, sizes = cast(Token, parts[0]), cast("list[tree.Expression]", parts[1:])
        return tree.Input(canonical_name(name), tuple(sizes), self.place_of(name), self.statement)

    def output(self, parts: Parts) -> tree.Output:
        name, classes = cast("tuple[Token, tree.Expression]", parts)
        return tree.Output(canonical_name(name), classes, self.place_of(name), self.statement)

    def kernel(self, parts: list[tree.Expression | list[tree.Expression]]) -> tree.Kernel:
        symbol, height, width, channels = cast(
            "tuple[tree.Symbol, tree.Expression, tree.Expression, list[tree.Expression]]", parts
        )
        channels_in = channels[0] if len(channels) == 2 else None
        return tree.Kernel(symbol, height, width, channels_in, channels[-1], self.statement)

    def channels(self, parts: list[tree.Expression]) -> list[tree.Expression]:
        return parts

    def equation(self, parts: list[tree.Expression]) -> tree.Equation:
        return tree.Equation(cast(tree.Symbol, parts[0]), parts[1], self.statement)

    # Expressions

    def sum(self, parts: Parts) -> tree.Sum:
        signed = parts if isinstance(parts[0], Token) else ["+", *parts]
        terms = cast("tuple[tree.Expression, ...]", tuple(signed[1::2]))
        signs = tuple[Literal[1, -1], ...](1 if sign == "+" else -1 for sign in signed[::2])
        return tree.Sum(terms, signs, self.place_of(parts[0]).to(terms[-1].span))

    def star(self, parts: Parts) -> tree.Star:
        left, star = cast("tuple[tree.Expression, Token]", parts[:2])
        right = cast(tree.Expression, parts[2]) if len(parts) == 3 else None
        return tree.Star(left, self.stride(star), right, left.span.to(self.place_of(parts[-1])))

    def stride(self, star: Token) -> int:
        """The stride of `*_2`; that of `*` is 1."""
        stride = self.whole_number(star.strip("*_{ }") or "1", self.place_of(star))
        if not 1 <= stride <= LARGEST_STRIDE:
            self.problems.report(
                "E0504",
                f"a stride of {stride:,} is too {'large' if stride else 'small'}",
                self.place_of(star),
                f"expected a stride from 1 to {LARGEST_STRIDE}",
                "write `*` for stride 1, or `*_2`",
            )
        return stride

    def compose(self, parts: list[tree.Expression]) -> tree.Compose:
        return tree.Compose(parts[0], parts[1], parts[0].span.to(parts[1].span))

    def apply(self, parts: Parts) -> tree.Apply:
        function, argument = cast("tuple[tree.Expression, tree.Expression]", parts[:2])
        return tree.Apply(function, argument, function.span.to(self.place_of(parts[2])))

    def group(self, parts: Parts) -> tree.Expression:
        return cast(tree.Expression, parts[0])

    def plain_symbol(self, parts: list[Token]) -> tree.Symbol:
        return self.symbol(parts)

    def symbol(self, parts: list[Token]) -> tree.Symbol:
        name = parts[0]
        tag = self.tag(parts[1]) if len(parts) == 2 else ()
        return tree.Symbol(canonical_name(name), tag, self.place_of(name).to(self.place_of(parts[-1])))

    def number(self, parts: list[Token]) -> tree.Number:
        text, place = parts[0].replace("_", ""), self.place_of(parts[0])
        if text.isdecimal():
            return tree.Number(self.whole_number(text, place), place)
        value = float(text)
        if math.isinf(value):
            self.report_length(
                "this number is larger than any that can be computed with", place, "write a smaller number"
            )
        return tree.Number(value, place)

    def whole_number(self, text: str, place: Span) -> int:
        """An integer; Python itself refuses to read very long ones."""
        if len(text) <= LONGEST_NUMBER:
            return int(text)
        help = f"write a number of at most {LONGEST_NUMBER} digits"
        self.report_length(f"this number has {len(text):,} digits", place, help)
        return 1

    def report_length(self, message: str, place: Span, help: str) -> None:
        """Report a number that is too large to be read."""
        self.problems.report("E0104", message, place, "too large", help)

    # Tags

    def tag(self, token: Token) -> tuple[tree.Index, ...]:
        """The indices of a tag; white space is free inside braces."""
        at = cast(int, token.start_pos) + 1
        text = token[1:]
        if text.startswith("{"):
            at, text = at + 1, text[1:-1]
        indices: list[tree.Index] = []
        for part in text.split(","):
            indices.append(self.index(part, self.place(at, at + len(part))))
            at += len(part) + 1
        return tuple(indices)

    def index(self, text: str, place: Span) -> tree.Index:
        """One index: a number, a name, a name ± a number, or a constant with its own tag."""
        match = INDEX.fullmatch(text.replace("\t", " "))
        if match is None:
            self.problems.report(
                "E0106",
                f"`{text.strip()}` is not an index" if text.strip() else "an index is missing",
                place,
                "expected a name, a number, or a name ± a number",
                "write indices like `ℓ`, `i-1`, `0` or `ν@ℓ`, joined by commas",
            )
            return tree.Index(None, None, 0, place)
        name, at, number, sign, shift = match.groups()
        offset = self.whole_number(shift or "0", place) * (-1 if sign == "-" else 1)
        if number is not None:
            return tree.Index(None, None, self.whole_number(number, place) + offset, place)
        if at is None:
            return tree.Index(canonical_name(name), None, offset, place)
        own = self.own_tag(at, offset, place)
        return tree.Index(canonical_name(name), own, 0, place)

    def own_tag(self, at: str, offset: int, place: Span) -> tree.Index:
        """The index after a second `@`: in `ν@ℓ+1`, `ℓ+1`."""
        if at.isdecimal():
            return tree.Index(None, None, self.whole_number(at, place) + offset, place)
        return tree.Index(canonical_name(at), None, offset, place)
