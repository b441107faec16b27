"""The grammar's rules as constructors of the tree: statements and expressions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise
from typing import Literal, cast

from lark import Token, Transformer

from cldfc.diagnostics import Problems, Span
from cldfc.syntax import tree
from cldfc.syntax.keywords import KERNEL_RULES
from cldfc.syntax.spelling import GAP, NAME, canonical_name
from cldfc.syntax.tag import LONGEST_NUMBER, TagReader, whole_number, without_adjoint
from cldfc.syntax.walk import name_arguments

LARGEST_STRIDE = 255
LONGEST_STEP = 100_000
"""From a value of an index to the next."""
_LISTED = re.compile(rf",((?:(?!,|\\[lc]?dots|\.\.\.).)*[0-9]){GAP}(?=,)", re.DOTALL)

_ENTRY = re.compile(rf"([+-]?)({NAME}|[0-9.]+(?:e[+-]?[0-9]+)?)(?:/({NAME}|[0-9.]+))?")

_Parts = list[tree.Expression | Token]
_Summation = tuple[Token, tree.Expression, tree.Expression]
_Attribute = tuple[Token, tree.Expression | None]


class Builder(Transformer[Token, tree.Statement]):
    """One method per rule, called by the parser when it has read it.

    `statement` is the stretch that is being parsed; tokens count from its start. What is wrong in it is reported to
    `problems`.
    """

    statement: Span
    problems: Problems

    def __init__(self) -> None:
        super().__init__(visit_tokens=False)

    def place(self, start: int, end: int) -> Span:
        base = self.statement.start
        return Span(self.statement.source, base + start, base + end)

    def place_of(self, part: tree.Expression | Token) -> Span:
        if isinstance(part, Token):
            return self.place(cast(int, part.start_pos), cast(int, part.end_pos))
        return part.span

    # Statements

    def start(self, parts: list[tree.Statement]) -> tree.Statement:
        return parts[0]

    def version(self, parts: list[Token]) -> tree.Version:
        return tree.Version(str(parts[0]), self.place_of(parts[0]))

    def model(self, parts: list[Token]) -> tree.Model:
        return tree.Model(str(parts[0]), self.place_of(parts[0]))

    def extend(self, parts: list[Token]) -> tree.Extend:
        return tree.Extend(parts[0][1:-1], self.place_of(parts[0]))

    def levels(self, parts: _Parts) -> tree.Range:
        return self.range_of("levels", parts)

    def steps(self, parts: _Parts) -> tree.Range:
        return self.range_of("steps", parts)

    def range_of(self, kind: Literal["levels", "steps"], parts: _Parts) -> tree.Range:
        name, lower, upper, by = self.range_parts(parts)
        return tree.Range(kind, canonical_name(name), lower, upper, self.place_of(name), self.statement, by)

    def range_parts(self, parts: _Parts) -> tuple[Token, tree.Expression, tree.Expression, int]:
        """The index of a range, its ends, and by how much it goes up."""
        name, lower, between, upper = cast("tuple[Token, tree.Expression, Token | None, tree.Expression]", parts[:4])
        listed = self.listed_step(lower, between)
        by = next((part for part in parts[4:] if isinstance(part, tree.Number)), None)
        return name, lower, upper, listed if by is None else int(by.value)

    def step(self, parts: list[Token]) -> tree.Number:
        """`by 2`, `by -1`."""
        number, place = self.number(parts[-1:]), self.place_of(parts[1]).to(self.place_of(parts[-1]))
        value = -number.value if parts[1] == "-" else number.value
        if not isinstance(value, int) or not 1 <= abs(value) < LONGEST_STEP:
            message, help = (
                f"an index cannot go on by {value}",
                "write a whole number other than 0, as in `by 2` or `by -1`",
            )
            self.problems.report("E0505", message, place, "expected a whole number other than 0", help)
            value = 1
        return tree.Number(value, place)

    def let(self, parts: list[tree.Expression | tree.Clause | tuple[tree.Argument, ...]]) -> tree.Let:
        head, *rest = parts
        arguments = cast("tuple[tree.Argument, ...]", rest.pop(0) if isinstance(rest[0], tuple) else ())
        values, clauses = _split_clauses(cast("list[tree.Expression | tree.Clause]", rest))
        names = {argument.name for argument in arguments}
        values = tuple(name_arguments(value, names) for value in values)
        return tree.Let(self.head(cast(tree.Expression, head)), values, self.statement, clauses, arguments)

    def arguments(self, parts: list[Token]) -> tuple[tree.Argument, ...]:
        found: dict[str, tree.Argument] = {}
        for name in parts[1:-1]:
            argument = tree.Argument(canonical_name(name), self.place_of(name))
            if argument.name in found:
                message, help = f"`{argument.name}` stands for two operands", "give each a name of its own"
                self.problems.report("E0203", message, argument.span, "named again", help)
            found.setdefault(argument.name, argument)
        return tuple(found.values())

    def input(
        self, parts: list[tree.Expression | tuple[tree.Expression, ...] | tree.Clause | Token]
    ) -> tree.InputStatement:
        symbol, size = self.head(cast(tree.Expression, parts[0])), parts[1]
        shape = size if isinstance(size, tuple) else (cast(tree.Expression, size),)
        clauses = tuple(part for part in parts[2:] if isinstance(part, tree.Clause))
        return tree.InputStatement(symbol, shape, self.statement, clauses)

    def output(self, parts: list[Token | tree.Expression | tuple[tree.Expression, ...]]) -> tree.Output:
        name, size = cast("tuple[Token, tree.Expression | tuple[tree.Expression, ...]]", parts[:2])
        shape = size if isinstance(size, tuple) else (size,)
        is_scores = len(shape) == 1 and len(parts) == 2
        return tree.Output(canonical_name(name), shape, is_scores, self.place_of(name), self.statement)

    def sizes(self, parts: list[tree.Expression]) -> tuple[tree.Expression, ...]:
        return tuple(parts)

    def kernel(
        self, parts: list[tree.Expression | list[tree.Expression] | _Attribute | tree.Clause]
    ) -> tree.KernelStatement:
        symbol, *others = parts
        behind = next(at for at, part in enumerate(others) if isinstance(part, list | Token))
        sizes = cast("tuple[tree.Expression, ...]", tuple(others[:behind]))
        channels = cast("list[tree.Expression] | Token", others[behind])
        rest = [part for part in others[behind + 1 :] if not isinstance(part, tree.Clause)]
        is_fixed = bool(rest) and isinstance(rest[-1], Token)
        rest = rest[:-1] if is_fixed else rest
        stencil = rest.pop() if rest and isinstance(rest[-1], tree.Stencil) else None
        is_each = isinstance(channels, Token)
        if isinstance(channels, Token):
            channels = [cast(tree.Expression, tree.Number(1, self.place_of(channels)))]
        channels_in = channels[0] if len(channels) == 2 else None
        symbol = self.head(cast(tree.Symbol, symbol))
        kernel = tree.KernelStatement(symbol, sizes, channels_in, channels[-1], self.statement)
        kernel = replace(kernel, is_each=is_each, stencil=cast("tree.Stencil | None", stencil), is_fixed=is_fixed)
        kernel = replace(kernel, clauses=tuple(part for part in parts if isinstance(part, tree.Clause)))
        return self.with_attributes(kernel, cast("list[_Attribute]", rest))

    def stencil(self, parts: _Parts) -> tree.Stencil:
        last, factor = cast(Token, parts[-1]), cast(tree.Expression, parts[0]) if len(parts) == 3 else None
        place = self.place_of(parts[0]).to(self.place_of(last))
        if last.type == "NAME":
            return tree.Stencil((), str(last), factor, place)
        planes, at = list[tuple[tuple[tree.Expression, ...], ...]](), cast(int, last.start_pos) + 1
        for plane in last[1:-1].split(";;"):
            rows: list[tuple[tree.Expression, ...]] = []
            for row in plane.split(";"):
                found = ((m[0], self.place(at + m.start(), at + m.end())) for m in re.finditer(r"\S+", row))
                rows.append(tuple(self.entry(text, span) for text, span in found))
                at += len(row) + 1
            planes.append(tuple(rows))
            at += 1
        return tree.Stencil(tuple(planes), None, factor, place)

    def entry(self, text: str, place: Span) -> tree.Expression:
        """`-1`, `1/4`, `-a/2`: a number or a constant, perhaps over another."""
        found = _ENTRY.fullmatch(text)
        if found is None:
            help = "write numbers, constants or quotients of them without white space: `[0 -1 0; -1 4 -1; 0 -1/2 0]`"
            self.problems.report(
                "E0101", f"`{text}` is not a valid entry of a kernel", place, "expected a number", help
            )
            return tree.Number(0, place)
        atoms = [self.atom(atom, place) for atom in (found[2], found[3]) if atom]
        value = atoms[0] if len(atoms) == 1 else tree.Quotient(atoms[0], atoms[1], place)
        return value if found[1] != "-" else tree.Sum((value,), (-1,), place)

    def atom(self, text: str, place: Span) -> tree.Expression:
        if not text[0].isdigit():
            return tree.Symbol(canonical_name(text), (), place)
        return tree.Number(whole_number(text, place, self.problems) if text.isdecimal() else float(text), place)

    def with_attributes(self, kernel: tree.KernelStatement, attributes: list[_Attribute]) -> tree.KernelStatement:
        given: dict[str, tree.Expression | None] = {}
        boundary: tree.Boundary | None = None
        padding: list[tree.Expression] = []
        before = ""
        for word, value in attributes:
            name = "boundary" if word.type == "BOUNDARY" else str(word)
            if word.type in ("NUMBER", "NAME") and value is not None:
                if before != "padding" or len(padding) > 2:
                    help = "write a word before it, as in `padding 2`, or `padding 2,0`, one for each axis"
                    message = f"unexpected `{value.span.text}`"
                    text = value.span.source.text[kernel.span.start : value.span.start].split() or [""]
                    if meant := get_close_matches(text[-1][:20], ("groups", "dilation", "padding"), n=1, cutoff=0.7):
                        help = f"did you mean `{meant[0]} {value.span.text}`?"
                    self.problems.report("E0101", message, value.span, "not expected here", help)
                padding.append(value)
                continue
            if word.type == "START":
                kernel, name = self.with_start(kernel, word, value), "start"
            if name in given:
                self.report_twice(word)
            elif name == "padding" and value is not None:
                padding.append(value)
            given[name], before = value, str(word)
            if word.type == "BOUNDARY":
                boundary = cast(tree.Boundary, str(word))
            if boundary in ("valid", "same") and "padding" in given:
                message, help = f"`{boundary}` says the padding, and so does `padding`", "keep one of the two"
                self.problems.report("E0203", message, self.place_of(word), "the second", help)
        return replace(
            kernel,
            groups=given.get("groups"),
            dilation=given.get("dilation"),
            has_bias="bias" in given,
            padding=tuple(padding),
            boundary=boundary,
            rules=tuple(rule for rule in KERNEL_RULES if rule in given),
        )

    def with_start(
        self, kernel: tree.KernelStatement, word: Token, number: tree.Expression | None
    ) -> tree.KernelStatement:
        if (number is None) == (word == "normal"):
            help = "write `start normal(0.01)`, with a standard deviation, or another start without a number"
            message = f"`start {word}` with{'out' if number is None else ''} a number"
            self.problems.report("E0101", message, self.place_of(word), "not possible", help)
        return replace(kernel, start=cast(tree.StartName, str(word)), start_number=number)

    def report_twice(self, word: Token) -> None:
        message, help = f"`{word}` is given twice", "keep one of the two"
        if word.type == "BOUNDARY":
            message = f"`{word}` is a second word for what stands around a map"
        self.problems.report("E0203", message, self.place_of(word), "the second", help)

    def attribute(self, parts: _Parts) -> _Attribute:
        word = parts[0]
        if isinstance(word, Token) and word.type == "START":
            given = cast(Token, parts[1])
            number = cast(tree.Expression, parts[3]) if len(parts) > 2 else None
            return Token("START", str(given), given.start_pos, end_pos=given.end_pos), number
        if not isinstance(word, Token):
            kind = "NUMBER" if isinstance(word, tree.Number) else "NAME"
            return Token(kind, word.span.text), word
        return word, cast(tree.Expression, parts[1]) if len(parts) == 2 else None

    def channels(self, parts: list[tree.Expression]) -> list[tree.Expression]:
        return parts

    def scalar(self, parts: _Parts) -> tree.Scalar:
        return self.with_values(parts[0], parts[1:], None)

    def vector(self, parts: _Parts) -> tree.Scalar:
        return self.with_values(parts[0], parts[2:], cast(tree.Expression, parts[1]))

    def with_values(
        self, symbol: tree.Expression | Token, parts: _Parts, channels: tree.Expression | None
    ) -> tree.Scalar:
        clauses = tuple(part for part in parts if isinstance(part, tree.Clause))
        is_fixed = any(isinstance(part, Token) for part in parts)
        values = tuple(part for part in parts if not isinstance(part, Token | tree.Clause))
        return tree.Scalar(
            self.head(cast(tree.Expression, symbol)), values, is_fixed, self.statement, channels, clauses
        )

    def tie(self, parts: list[tree.Symbol | tree.Clause]) -> tree.Tie:
        return tree.Tie(
            self.head(cast(tree.Symbol, parts[0])), cast("tuple[tree.Clause, ...]", tuple(parts[1:])), self.statement
        )

    def rename(self, parts: list[tree.Symbol]) -> tree.Rename:
        return tree.Rename(self.head(parts[0]), self.head(parts[1]), self.statement)

    def constrain(self, parts: list[tree.Expression]) -> tree.Constrain:
        return tree.Constrain(self.head(parts[0]), cast(tree.Number, parts[1]), self.statement)

    def expect(self, parts: _Parts) -> tree.Expect:
        quantity, number = cast("tuple[Token, tree.Number]", parts)
        return tree.Expect(str(quantity), number, self.place_of(quantity), self.statement)

    def equation(self, parts: list[tree.Expression | tree.Clause | Token]) -> tree.Equation:
        clauses = tuple(part for part in parts[2:] if isinstance(part, tree.Clause))
        left = self.head(cast(tree.Expression, parts[0]))
        return tree.Equation(left, cast(tree.Expression, parts[1]), self.statement, clauses)

    def head(self, symbol: tree.Expression) -> tree.Symbol:
        """The symbol that a statement speaks of, which cannot be an adjoint."""
        if isinstance(symbol, tree.Adjoint):
            plain = cast(tree.Symbol, symbol.kernel)
            message, help = f"`{symbol.span.text}` is an adjoint", f"write `{plain.name}`: an adjoint is not defined"
            self.problems.report("E0211", message, symbol.span, "expected a name", help)
            return plain
        head = cast(tree.Symbol, symbol)
        for index in head.tag:
            if index.factor != 1 or index.divisor != 1:
                message = f"`{index.span.text}` cannot stand on the left: an index is a name there, or one ± a number"
                help = (
                    "write the name alone, `k`, the values that it takes, `for k = 2..8 by 2`, and `k/2` on the right"
                )
                self.problems.report("E0106", message, index.span, "not possible on the left", help)
        return head

    def to(self, parts: list[Token]) -> Token | None:
        """What stands between the ends of a range, if that is more than a sign: `, 1, \\dots,`."""
        return parts[0] if parts else None

    def between(self, parts: _Parts) -> tree.Clause:
        _, lower, upper, by = self.range_parts(parts)
        return self.clause(parts, lower, upper, by)

    def counted_on(self, parts: _Parts) -> tree.Clause:
        lower = cast(tree.Expression, parts[1])
        return self.open_clause(parts, lower, self.listed_step(lower, cast(Token, parts[2])))

    def listed_step(self, lower: tree.Expression, written: Token | None) -> int:
        """By how much the values go up that a range lists: 2 for `0, 2, \\dots`, -1 for `J, J-1, \\dots`."""
        if written is None:
            return 1
        name = canonical_name(lower.span.text) if isinstance(lower, tree.Symbol) and not lower.tag else ""
        first = lower.value if isinstance(lower, tree.Number) else 0
        listed = [first, *(self.listed_number(item[1], name) for item in _LISTED.finditer(written))]
        steps = {other - one for one, other in pairwise(listed) if one is not None and other is not None}
        if len(listed) == 1:
            return 1
        if None in listed or len(steps) > 1 or not isinstance(first, int) or steps == {0}:
            values = " ".join(written.replace(",", " ").split()[:-1])
            message = f"`{values}` does not go on from `{lower.span.text}` in equal steps"
            help = "give the first value, the last, and the step between two: `0..8 by 2`, `J..1 by -1`"
            self.problems.report("E0505", message, self.place_of(written), "expected equal steps", help)
            return 1
        return int(steps.pop())

    def listed_number(self, text: str, name: str) -> int | None:
        """A value that a range lists, counted from its first where that is a name; None if it is something else."""
        plain = re.sub(r"[\s~&]|\\[,;:! ]", "", text)
        if plain.isdecimal():
            return None if name else int(plain[:LONGEST_NUMBER])
        found = re.fullmatch(r"(.*?)([+-][0-9]+)", plain)
        return int(found[2][:LONGEST_NUMBER]) if found and name and canonical_name(found[1]) == name else None

    def exactly(self, parts: _Parts) -> tree.Clause:
        return self.clause(parts, cast(tree.Expression, parts[1]), cast(tree.Expression, parts[1]))

    def at_least(self, parts: _Parts) -> tree.Clause:
        return self.clause_by(parts, 1)

    def at_most(self, parts: _Parts) -> tree.Clause:
        return self.clause_by(parts, -1)

    def clause_by(self, parts: _Parts, way: Literal[1, -1]) -> tree.Clause:
        """`k ≥ 1 by 2`, `k ≤ 9 by -2`: from the end that is said towards the other."""
        by = cast(tree.Number, parts[2]) if len(parts) > 2 else tree.Number(way, cast(tree.Expression, parts[1]).span)
        if cast(int, by.value) * way < 0:
            message = f"`by {by.value}` goes away from the end that is left open"
            help = f"count on by `{-by.value}`, or a range with both ends, as in `9..1 by -2`"
            self.problems.report("E0505", message, by.span, "the wrong way", help)
        return self.open_clause(parts, cast(tree.Expression, parts[1]), abs(cast(int, by.value)) * way)

    def open_clause(self, parts: _Parts, start: tree.Expression, by: int) -> tree.Clause:
        """A range with one end; `i ≤ 4` has its own form, as it does not say where it starts."""
        return self.clause(parts, None, start) if by == -1 else self.clause(parts, start, None, by)

    def more(self, parts: _Parts) -> tree.Clause:
        return self.clause(parts, _without_end(cast(tree.Expression, parts[1]), 1), None)

    def less(self, parts: _Parts) -> tree.Clause:
        return self.clause(parts, None, _without_end(cast(tree.Expression, parts[1]), -1))

    def within(self, parts: _Parts) -> tree.Clause:
        lower, name, upper = cast("tuple[tree.Expression, Token, tree.Expression]", tuple(parts))
        return self.clause([name, upper], lower, upper)

    def within_less(self, parts: _Parts) -> tree.Clause:
        lower, name, upper = cast("tuple[tree.Expression, Token, tree.Expression]", tuple(parts))
        return self.clause([name, upper], lower, _without_end(upper, -1))

    def clause(
        self, parts: _Parts, lower: tree.Expression | None, upper: tree.Expression | None, by: int = 1
    ) -> tree.Clause:
        name = cast(Token, parts[0])
        place = self.place_of(name)
        return tree.Clause(canonical_name(name), lower, upper, place, place.to(self.place_of(parts[-1])), by)

    # Expressions

    def sum(self, parts: _Parts) -> tree.Sum:
        signed = parts if isinstance(parts[0], Token) else ["+", *parts]
        terms = cast("tuple[tree.Expression, ...]", tuple(signed[1::2]))
        signs = tuple[Literal[1, -1], ...](1 if sign == "+" else -1 for sign in signed[::2])
        return tree.Sum(terms, signs, self.place_of(parts[0]).to(terms[-1].span))

    def product(self, parts: list[tree.Expression]) -> tree.Expression:
        return parts[0] if len(parts) == 1 else tree.Product(tuple(parts), parts[0].span.to(parts[-1].span))

    def fraction(self, parts: _Parts) -> tree.Quotient:
        bar, above, below, close = cast("tuple[Token, tree.Expression, tree.Expression, Token]", tuple(parts))
        return tree.Quotient(above, below, self.place_of(bar).to(self.place_of(close)))

    def short_fraction(self, parts: list[Token]) -> tree.Quotient:
        """`\\tfrac12`."""
        place = self.place_of(parts[0])
        ends = [match.end() for match in re.finditer("[0-9]", parts[0])]
        spans = [Span(place.source, place.start + end - 1, place.start + end) for end in ends]
        above, below = (tree.Number(int(span.text), span) for span in spans)
        return tree.Quotient(above, below, place)

    def root(self, parts: _Parts) -> tree.Apply:
        """`\\sqrt{x}`."""
        sign, inner, close = cast("tuple[Token, tree.Expression, Token]", tuple(parts))
        function = tree.Symbol("sqrt", (), self.place_of(sign))
        return tree.Apply(function, inner, function.span.to(self.place_of(close)))

    def quotient(self, parts: list[tree.Expression]) -> tree.Quotient:
        return tree.Quotient(parts[0], parts[1], parts[0].span.to(parts[1].span))

    def power(self, parts: list[tree.Expression]) -> tree.Power:
        return tree.Power(parts[0], parts[1], parts[0].span.to(parts[1].span))

    def star(self, parts: _Parts) -> tree.Star:
        left, star = cast("tuple[tree.Expression, Token]", parts[:2])
        rest = parts[2:]
        if star.type == "STRIDED":
            end = next(at for at, part in enumerate(rest) if isinstance(part, Token) and part.type == "RBRACE")
            written = cast("list[tree.Expression]", rest[:end])
            sides = [self.stated_stride(part) for part in written]
            stride = sides[0] if all(side == sides[0] for side in sides) else tuple(sides)
            rest = rest[end + 1 :]
        else:
            stride = self.stride(star)
        right = cast(tree.Expression, rest[0]) if rest else None
        place = left.span.to(self.place_of(parts[-1]))
        return tree.Star(left, stride, right, place, "^" in star)

    def stated_stride(self, written: tree.Expression) -> int | tree.Expression:
        """A stride in braces; one that is written as a number is one."""
        if isinstance(written, tree.Number) and isinstance(written.value, int):
            self.check_stride(written.value, written.span)
            return written.value
        return written

    def stride(self, star: Token) -> int | tuple[int, ...]:
        """The stride of `*_2`, `*^2` and `*_{2,1}`; that of `*` is 1."""
        numbers = re.findall("[0-9]+", star) or ["1"]
        strides = [whole_number(digits, self.place_of(star), self.problems) for digits in numbers]
        for stride in strides:
            self.check_stride(stride, self.place_of(star))
        return strides[0] if len(set(strides)) == 1 else tuple(strides)

    def check_stride(self, stride: int, place: Span) -> None:
        if not 1 <= stride <= LARGEST_STRIDE:
            message = f"a stride of {stride:,} is too {'large' if stride else 'small'}"
            help = "write `*` for stride 1, or `*_2`"
            self.problems.report("E0504", message, place, f"expected a stride from 1 to {LARGEST_STRIDE}", help)

    def compose(self, parts: list[tree.Expression]) -> tree.Compose:
        return tree.Compose(parts[0], parts[1], parts[0].span.to(parts[1].span))

    def apply(self, parts: _Parts) -> tree.Apply:
        function, _, argument, close = cast("tuple[tree.Expression, Token, tree.Expression, Token]", tuple(parts))
        return tree.Apply(function, argument, function.span.to(self.place_of(close)))

    def apply_braced(self, parts: _Parts) -> tree.Apply:
        """`\\sigma{…}`: braces of LaTeX around what an operator is applied to."""
        function, argument, close = cast("tuple[tree.Expression, tree.Expression, Token]", tuple(parts))
        return tree.Apply(function, argument, function.span.to(self.place_of(close)))

    def apply_to_several(self, parts: _Parts) -> tree.Expression:
        """`S(u, f)`; `split(x, 2)` is `split[2](x)`, and `max_with(x, y)` is `max(x, y)`."""
        function, close = cast(tree.Expression, parts[0]), parts[-1]
        arguments = cast("tuple[tree.Expression, ...]", tuple(parts[2:-1]))
        place = function.span.to(self.place_of(close))
        match function, arguments:
            case tree.Symbol("split", (), settings=()), (value, count):
                setting = tree.Setting(None, count, count.span)
                return tree.Apply(replace(function, settings=(setting,)), value, place)
            case tree.Symbol("max_with", (), settings=()), _:
                return tree.Listing("max", arguments, place)
            case _:
                return tree.ApplyToSeveral(function, arguments, place)

    def pairing(self, parts: _Parts) -> tree.Pairing:
        opening, left, right, close = cast("tuple[Token, tree.Expression, tree.Expression, Token]", tuple(parts))
        return tree.Pairing(left, right, self.place_of(opening).to(self.place_of(close)))

    def norm(self, parts: _Parts) -> tree.Norm:
        opening, inner, close = cast("tuple[Token, tree.Expression, Token]", tuple(parts))
        return tree.Norm(inner, self.place_of(opening).to(self.place_of(close)))

    def group(self, parts: _Parts) -> tree.Expression:
        opening, inner, close = cast("tuple[Token, tree.Expression, Token]", tuple(parts))
        return replace(inner, span=self.place_of(opening).to(self.place_of(close)))

    def reduction(self, parts: _Parts) -> tree.Reduction:
        word, _, *range_, body, close = parts
        name, lower, upper, by = self.range_parts(range_)
        return tree.Reduction(
            _reducer(cast(Token, word)),
            canonical_name(name),
            lower,
            upper,
            cast(tree.Expression, body),
            self.place_of(name),
            self.place_of(word).to(self.place_of(close)),
            by,
        )

    def summation(self, parts: _Parts) -> _Summation:
        return cast("_Summation", tuple(parts))

    def summation_upper_first(self, parts: _Parts) -> _Summation:
        upper, name, lower = cast("tuple[tree.Expression, Token, tree.Expression]", tuple(parts))
        return name, lower, upper

    def total(self, parts: list[_Summation | tree.Expression]) -> tree.Reduction:
        (name, lower, upper), body = cast("tuple[_Summation, tree.Expression]", tuple(parts))
        place = self.place_of(name)
        start = place.source.text.rfind("\\sum", self.statement.start, place.start)
        whole = Span(place.source, start, body.span.end)
        return tree.Reduction("sum", canonical_name(name), lower, upper, body, place, whole)

    def listing(self, parts: _Parts) -> tree.Listing:
        members = cast("tuple[tree.Expression, ...]", tuple(parts[2:-1]))
        place = self.place_of(parts[0]).to(self.place_of(parts[-1]))
        return tree.Listing(_reducer(cast(Token, parts[0])), members, place)

    def fix(self, parts: _Parts) -> tree.Fix:
        word, _, name, body, *settings, close = parts
        return self.fix_of(word, name, body, None, settings, close)

    def solve(self, parts: _Parts) -> tree.Fix:
        word, _, name, left, right, *settings, close = parts
        return self.fix_of(word, name, left, cast(tree.Expression, right), settings, close)

    def fix_of(
        self,
        word: tree.Expression | Token,
        name: tree.Expression | Token,
        body: tree.Expression | Token,
        right: tree.Expression | None,
        settings: _Parts,
        close: tree.Expression | Token,
    ) -> tree.Fix:
        given = cast("tuple[tree.Setting, ...]", tuple(settings))
        for at, setting in enumerate(given):
            if setting.name in [other.name for other in given[:at]]:
                message, help = f"`{setting.name}` is given twice", "keep one of the two"
                self.problems.report("E0203", message, setting.span, "the second", help)
        place = self.place_of(word).to(self.place_of(close))
        bound = canonical_name(cast(Token, name))
        return tree.Fix(bound, cast(tree.Expression, body), right, given, self.place_of(name), place)

    def solving(self, parts: _Parts) -> tree.Setting:
        """`tol 1e-4`, `start x`, `by cg`."""
        word, value = cast(Token, parts[0]), parts[1]
        place = self.place_of(word).to(self.place_of(value))
        if isinstance(value, Token):
            value = tree.Symbol(str(value), (), self.place_of(value))
        return tree.Setting(str(word), value, place)

    def plain_symbol(self, parts: list[Token]) -> tree.Symbol:
        return self.head(self.symbol([*parts]))

    def part_of_size(self, parts: list[Token]) -> tree.Quotient:
        """`H/2`, in the shape of an input."""
        return self.quotient([self.plain_symbol(parts[:-1]), self.number(parts[-1:])])

    def symbol(self, parts: list[Token | tree.Expression | tree.Setting]) -> tree.Symbol | tree.Adjoint | tree.Listing:
        name, *others = parts
        tag, end, is_adjoint = (), self.place_of(cast(Token, name)), False
        if others and isinstance(others[0], Token):
            end, written = self.place_of(others[0]), str(others.pop(0))
            text = without_adjoint(written)
            tag, is_adjoint = TagReader(self.problems, end).tag(text), text != written
        values = cast("list[tree.Expression | tree.Setting]", others)
        settings = tuple(v if isinstance(v, tree.Setting) else tree.Setting(None, v, v.span) for v in values)
        if settings:
            end = settings[-1].span
            close = end.source.text.find("]", end.end)
            end = Span(end.source, end.start, close + 1) if close >= 0 else end
        place = self.place_of(cast(Token, name)).to(end)
        symbol = tree.Symbol(canonical_name(cast(Token, name)), tag, place, settings)
        if symbol.name == "max_with" and settings and not tag:
            whole = tree.Symbol("identity", (), self.place_of(cast(Token, name)))
            return tree.Listing("max", (whole, *(setting.value for setting in settings)), place)
        return tree.Adjoint(symbol, place) if is_adjoint else symbol

    def frozen(self, parts: list[Token | tree.Expression | tree.Setting]) -> tree.Symbol:
        """`bn fixed`: `bn[fixed]`."""
        word, norm = self.place_of(cast(Token, parts[-1])), cast(tree.Symbol, self.symbol(parts[:-1]))
        setting = tree.Setting(None, tree.Symbol("fixed", (), word), word)
        return replace(norm, settings=(*norm.settings, setting), span=norm.span.to(word))

    def adjoint(self, parts: _Parts) -> tree.Adjoint:
        """`Aᵀ@ℓ`, `A@ℓᵀ`, `(A^{\\ell})^{\\top}`."""
        place = self.place_of(parts[0]).to(self.place_of(parts[-1]))
        if not isinstance(parts[0], Token):
            return tree.Adjoint(parts[0], place)
        marked = [part for part in parts if not (isinstance(part, Token) and part.type == "ADJOINT")]
        kernel = self.symbol(cast("list[Token | tree.Expression | tree.Setting]", marked))
        return tree.Adjoint(replace(kernel, span=place), place)

    def setting(self, parts: _Parts) -> tree.Setting:
        name, value = cast("tuple[Token, tree.Expression]", tuple(parts))
        return tree.Setting(str(name), value, self.place_of(name).to(value.span))

    def channel_range(self, parts: list[tree.Expression]) -> tree.Setting:
        lower, upper = parts
        return tree.Setting(None, lower, lower.span.to(upper.span), upper)

    def number(self, parts: list[Token]) -> tree.Number:
        text, place = parts[0].replace("_", ""), self.place_of(parts[0])
        if text.isdecimal():
            return tree.Number(whole_number(text, place, self.problems), place)
        value = float(text)
        if math.isinf(value):
            message = "this number is larger than any that can be computed with"
            self.problems.report("E0104", message, place, "too large", "write a smaller number")
        return tree.Number(value, place)


def _split_clauses(
    parts: Sequence[tree.Expression | tree.Clause],
) -> tuple[tuple[tree.Expression, ...], tuple[tree.Clause, ...]]:
    """The values of a `let`, and its range."""
    clauses = tuple(part for part in parts if isinstance(part, tree.Clause))
    return tuple(part for part in parts if not isinstance(part, tree.Clause)), clauses


def _without_end(bound: tree.Expression, by: Literal[1, -1]) -> tree.Expression:
    """The end of a range that `<` or `>` leaves out."""
    if isinstance(bound, tree.Number) and isinstance(bound.value, int):
        value = tree.Number(abs(bound.value + by), bound.span)
        return value if bound.value + by >= 0 else tree.Sum((value,), (-1,), bound.span)
    return tree.Sum((bound, tree.Number(1, bound.span)), (1, by), bound.span)


def _reducer(word: Token) -> tree.Reducer:
    """`concat`, `\\mathrm{concat}`."""
    return next(reducer for reducer in ("softmax", "concat", "max", "min", "sum") if reducer in word)
