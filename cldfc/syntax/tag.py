r"""The text of a tag or subscript → its indices: `@ℓ,i-1`, `^{\\ell,\\nu_{\\ell}}`, `x_n`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from cldfc.diagnostics import Problems, Span
from cldfc.syntax import helps, tree
from cldfc.syntax.spelling import ACCENTS, ADJOINT_IN_TAG, BRACED, FONTS, NAME, NOISE, canonical_name
from cldfc.syntax.walk import changed_parts, in_lowest_terms, own_indices

Node = TypeVar("Node")


def read_subscripts(
    own: Sequence[tree.Statement], inherited: Sequence[tree.Statement] = ()
) -> tuple[tree.Statement, ...]:
    """Statements with their subscripts as tags or as parts of names, for what they and inherited ones declare.

    `A^T` is an adjoint then, unless T is an index or a constant, and `ω^2` a power where ω has no tag.
    """
    if not any(_SCRIPT.search(statement.span.text) for statement in own):
        return tuple(own)
    known = _Subscripts.of([*inherited, *own])
    return tuple(known.statement(s) if _SCRIPT.search(s.span.text) else s for s in own)


_SCRIPT = re.compile(r"_|\^ *\{? *(?:T|-? *[0-9])")


@dataclass
class _Subscripts:
    """What the statements of a spec declare, as far as a subscript may mean it."""

    indices: set[str] = field(default_factory=set[str])
    names: set[str] = field(default_factory=set[str])
    """What is declared, and so is what it is called."""
    tagged: set[str] = field(default_factory=set[str])
    constants: set[str] = field(default_factory=set[str])
    """What could be an index as well: a `let`, unless it is a fraction, or a fixed scalar."""
    arities: dict[str, int] = field(default_factory=dict[str, int])
    """How many indices a constant, a scalar, a vector, an input of numbers or a value has, or the largest number."""

    @staticmethod
    def of(statements: Iterable[tree.Statement]) -> _Subscripts:
        found, lefts, statements = _Subscripts(), list[tree.Symbol](), list(statements)
        for statement in statements:
            match statement:
                case tree.Range(_, name):
                    found.indices.add(name)
                case tree.Output():
                    found.names.add(statement.name)
                case tree.Let(symbol, values) if not any(map(_is_fraction, values)):
                    found.constants.add(symbol.name)
                case _:
                    pass
        for statement in statements:
            match statement:
                case (
                    tree.Let(symbol) | tree.KernelStatement(symbol) | tree.Scalar(symbol) | tree.InputStatement(symbol)
                ):
                    symbol = found.joined(found.bound_in(statement).with_index(symbol))
                    found.names.add(symbol.name)
                    found.tagged |= {symbol.name} if symbol.tag else set()
                    is_number = isinstance(statement, tree.InputStatement) and len(statement.shape) == 1
                    if is_number or isinstance(statement, tree.Let | tree.Scalar):
                        found.arities[symbol.name] = max(len(symbol.tag), found.arities.get(symbol.name, 0))
                case tree.Equation(symbol):
                    lefts.append(found.joined(found.bound_in(statement).with_index(symbol)))
                case _:
                    pass
        found.tagged |= {left.name for left in lefts if left.tag}
        for left in lefts:
            found.arities[left.name] = max(len(left.tag), found.arities.get(left.name, 0))
        written = {(left.name, left.tag) for left in lefts}
        for left in lefts:
            base, below = _split_name(left.name)
            number = found.index(below, left) if below.isdecimal() else None
            if not left.tag and (number is None or base not in found.tagged or (base, (number,)) in written):
                found.names.add(left.name)
        return found

    def bound_in(self, statement: tree.Statement) -> _Subscripts:
        """The same with the indices that a statement itself introduces, by `for` or in a sum."""
        own = own_indices(statement)
        return replace(self, indices=self.indices | own) if own - self.indices else self

    def statement(self, statement: tree.Statement) -> tree.Statement:
        """A statement with its subscripts read; what `rename` speaks of has the names that it has."""
        return statement if isinstance(statement, tree.Rename) else self.bound_in(statement).read(statement)

    def read(self, node: Node) -> Node:
        changed = changed_parts(node, self.read)
        if isinstance(changed.get("left" if isinstance(node, tree.Equation) else "symbol"), tree.Adjoint | tree.Power):
            changed = {}  # The head of a statement has indices only.
        whole = cast(Node, replace(cast(Any, node), **changed)) if changed else node
        match whole:
            case tree.Symbol():
                symbol = self.joined(self.with_constant(self.with_index(whole)))
                return cast(Node, self.as_power(symbol) or self.with_adjoint(symbol))
            case tree.Power(base, tree.Symbol("T", ())) if (
                not isinstance(base, tree.Number) and "T" not in self.indices | self.constants
            ):
                return cast(Node, tree.Adjoint(base, whole.span))
            case tree.Index(str(name)):
                base, below = _split_name(name)
                if whole.at is None and name not in self.names | self.indices and base in self.tagged:
                    inner = self.index(below, whole)
                    return cast(Node, replace(whole, name=base, at=inner)) if inner is not None else whole
                return whole
            case _:
                return whole

    def with_index(self, symbol: tree.Symbol) -> tree.Symbol:
        """`x_n` as `x@n`, where n is an index."""
        base, below = _split_name(symbol.name)
        factor, name = _split_multiple(below)
        if base is None or symbol.name in self.names or name not in self.indices:
            return symbol
        index = tree.Index(name, None, 0, symbol.span, factor=factor)
        return replace(symbol, name=base, tag=(index, *symbol.tag))

    def with_constant(self, symbol: tree.Symbol) -> tree.Symbol:
        """`x_0` as `x@0`, and `x_K` as `x@K`, where x has a tag and `x_0` is undefined."""
        base, below = _split_name(symbol.name)
        if base not in self.tagged or symbol.name in self.names:
            return symbol
        index = self.index(below, symbol)
        return symbol if index is None else replace(symbol, name=base, tag=(index, *symbol.tag))

    def as_power(self, symbol: tree.Symbol) -> tree.Power | None:
        """`ω^2`, and `ω_i^2`, where that is one index too many for a number: a power of it."""
        arity = 0 if symbol.name in self.indices else self.arities.get(symbol.name)
        if arity is None or len(symbol.tag) != arity + 1 or symbol.settings or not _is_raised_number(symbol.tag[-1]):
            return None
        last = symbol.tag[-1]
        exponent: tree.Expression = tree.Number(abs(last.offset), last.span)
        if last.offset < 0:
            exponent = tree.Sum((exponent,), (-1,), last.span)
        return tree.Power(replace(symbol, tag=symbol.tag[:-1]), exponent, symbol.span)

    def with_adjoint(self, symbol: tree.Symbol) -> tree.Symbol | tree.Adjoint:
        """`A^T` as the adjoint of A."""
        if not symbol.tag or not _is_raised_t(symbol.tag[-1]) or "T" in self.indices | self.constants:
            return symbol
        return tree.Adjoint(replace(symbol, tag=symbol.tag[:-1]), symbol.span)

    def index(self, below: str, place: tree.Symbol | tree.Index) -> tree.Index | None:
        name = canonical_name(below)
        if below.isdecimal() and len(below) < 10:
            return tree.Index(None, None, int(below), place.span)
        return tree.Index(name, None, 0, place.span) if name in self.indices | self.constants else None

    def joined(self, symbol: tree.Symbol) -> tree.Symbol:
        r"""`S_\theta` as the name `S_θ`, where θ is not an index and nothing that could be one."""
        if not symbol.tag or not _is_below(symbol.tag[0]):
            return symbol
        first = symbol.tag[0]
        if (
            first.at is not None
            or first.offset
            or "_" in (first.name or "")
            or first.name in {"ℓ", *self.indices, *self.constants}
        ):
            return symbol
        return replace(symbol, name=f"{symbol.name}_{first.name}", tag=symbol.tag[1:])


def _is_fraction(value: tree.Expression) -> bool:
    return isinstance(value, tree.Number) and isinstance(value.value, float)


def _is_below(index: tree.Index) -> bool:
    r"""Whether a name is written as LaTeX's subscript: `_\theta`, `_{\theta}`, and alone there."""
    text, place = index.span.source.text, index.span
    before, after = text[: place.start].rstrip(" \t"), text[place.end : place.end + 1]
    is_alone = before.endswith("_") or (before.endswith("{") and before[:-1].rstrip().endswith("_") and after == "}")
    return index.name is not None and is_alone


def _is_raised_number(index: tree.Index) -> bool:
    """Whether an index is a number alone in a superscript: `ω^2`, `ω_i^{-1}`."""
    before = index.span.source.text[: index.span.start].rstrip(" \t{")
    return index.name is None and re.fullmatch("-? *[0-9]+", index.span.text) is not None and before.endswith("^")


def _is_raised_t(index: tree.Index) -> bool:
    """Whether an index is T, alone in a superscript: `A^T`, `A_i^{T}`."""
    before = index.span.source.text[: index.span.start].rstrip(" \t{")
    return index.name == "T" and index.at is None and not index.offset and before.endswith("^")


def _split_name(name: str) -> tuple[str | None, str]:
    """A name before its last `_`, and what stands behind it; `tilde_r` is a letter with an accent."""
    base, _, below = name.rpartition("_")
    return (base, below) if base and below and base not in ACCENTS else (None, "")


def _split_multiple(below: str) -> tuple[int, str]:
    """What stands below a name, `2k` of `x_{2k}`, as a number and an index."""
    digits = re.match("[0-9]{0,9}", below)
    number = digits[0] if digits and digits.end() < len(below) else ""
    return int(number or 1), canonical_name(below[len(number) :])


_ADJOINT = re.compile(ADJOINT_IN_TAG)


def without_adjoint(tag: str) -> str:
    """A tag as it is written, but blank where it has LaTeX's sign of the adjoint: `^{\\ell\\top}`."""
    return _ADJOINT.sub(lambda found: " " * len(found[0]), tag) if "\\" in tag else tag


_AFTER_POINT = re.compile(r"\.[0-9]+")
_EXPONENTIAL = re.compile(r"(?<![\w\\])(?:e|\\(?:mathrm|text|operatorname) *\{ *e *\}) *\^ *\{? *$")
LONGEST_NUMBER = 20
_MOST_BRACKETS = 4
_HELP_FOR_NO_INDEX = {
    re.compile(r"\\(?:top|intercal|dagger)\b"): helps.HELP_FOR_ADJOINTS,
    re.compile(r"\*|\\(?:ast|star)\b"): helps.HELP_FOR_STARS,
    re.compile(r"\\prime\b|'"): "a name has no prime: write another name",
    re.compile(r"[0-9] */ *[0-9]|\\[dt]?frac"): helps.HELP_FOR_FRACTIONS,
    re.compile(r"\\[lr](?:floor|ceil)\b|[⌊⌋⌈⌉]"): helps.HELP_FOR_FLOORS,
    re.compile(":"): helps.HELP_FOR_PARTS,
    re.compile(
        r"[0-9] *(?:\\times|×|x) *[0-9]"
    ): "a size stands in a declaration: `kernel K : 3×3 → 64`, used as `K * x`",
    re.compile(r"^[0-9]+ *\\?[A-Za-zℓ]"): helps.HELP_FOR_GRIDS,
    re.compile(r"^ *\\?[A-Za-z]+ *[+-].*[A-Za-z]"): helps.HELP_FOR_ARITHMETIC,
    re.compile(r"/|[0-9 ]\\?[A-Za-z]|[\^_]"): helps.HELP_FOR_PARAMETERS,
}
_NOTHING = re.compile(NOISE)
_WRAPPED = re.compile(rf"(?:\\{FONTS})? *(?:\{{(.*)\}}|\((.*)\)|\[(.*)\])")
"""A tag, or an index, in brackets of its own: `x^{{(k)}}`."""
_PART = re.compile(rf"[@^_] *(?:({BRACED})|(\\[A-Za-z]+|[^{{}}^_]+))")
_INDEX = re.compile(
    rf"(?:(?P<name>{NAME}) *(?:@ *(?P<plain>{NAME}|[0-9]+)|[@_^] *(?:(?P<braced>{BRACED})|(?P<command>\\[A-Za-z]+)))?"
    r"|(?P<number>-? *[0-9]+)) *(?:(?P<sign>[+-]) *(?P<shift>[0-9]+) *)?"
)
_MULTIPLE = re.compile(r"(?P<factor>[0-9]+) *(?:\*|\\(?:cdot|ast)(?![A-Za-z]))? *(?P<rest>[^0-9 ].*)")
"""`2*k-1`, `2 k`, `2(k-1)`."""
_PART_OF = re.compile(
    r"(?:(?P<above>[^/()]+?)|\((?P<sum>[^/()]+)\)|\\[dt]?frac *\{(?P<over>[^{}]+)\} *\{(?P<under>[^{}]+)\})"
    r" *(?(under)|/ *(?P<below>[0-9]+)) *(?:(?P<sign>[+-]) *(?P<shift>[0-9]+) *)?"
)
"""`i/2`, `(i+1)/2`, `\\frac{i}{2} - 1`."""


def whole_number(text: str, place: Span, problems: Problems) -> int:
    """An integer; Python itself refuses to read very long ones."""
    if len(text) <= LONGEST_NUMBER:
        return int(text)
    help = f"write a number of at most {LONGEST_NUMBER} digits"
    problems.report("E0104", f"this number has {len(text):,} digits", place, "too large", help)
    return 1


def _unwrapped(text: str) -> str:
    """A tag without the brackets around the whole of it, each sign at its place; LaTeX that says nothing is blank."""
    text = _NOTHING.sub(lambda found: " " * len(found[0]), text).replace("\t", " ")
    for _ in range(_MOST_BRACKETS):
        found = _WRAPPED.fullmatch(text.strip())
        if found is None:
            break
        inner = next(group for group in found.groups() if group is not None)
        if any(bracket in inner for bracket in "(){}[]") and not _is_balanced(inner):
            break
        start = text.index(inner, text.index(text.strip()) + 1) if inner else len(text)
        text = " " * start + inner + " " * (len(text) - start - len(inner))
    return text


def _is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return False
    return True


@dataclass(frozen=True, slots=True)
class TagReader:
    """Reads one tag, which stands at `place`."""

    problems: Problems
    place: Span

    def tag(self, text: str) -> tuple[tree.Index, ...]:
        """All indices of a tag; of LaTeX's two, the lower ones come first."""
        if text.isspace():
            return ()
        fraction = _AFTER_POINT.match(self.place.source.text, self.place.end)
        if fraction and text[-1].isdecimal():
            whole = self.within(1, len(text) - 1 + len(fraction[0]))
            self.refuse(f"`{whole.text}` is not an index", whole, helps.HELP_FOR_FRACTIONS)
            return ()
        if text.startswith("@"):
            return self.indices(text, 1)
        parts = [(match.start(), match.group()) for match in _PART.finditer(text)]
        parts.sort(key=lambda part: not part[1].startswith("_"))
        return tuple(index for start, part in parts for index in self.indices(part, 1, start))

    def indices(self, text: str, skip: int, start: int = 0) -> tuple[tree.Index, ...]:
        at, inner = skip, text[skip:]
        stripped = inner.lstrip()
        at += len(inner) - len(stripped)
        if stripped.startswith("{"):
            at, stripped = at + 1, stripped.rstrip()[1:-1]
        stripped = _unwrapped(stripped)
        found: list[tree.Index] = []
        for part in stripped.split(","):
            written = part.strip() or part
            found.append(self.index(written, self.within(start + at + part.index(written), len(written))))
            at += len(part) + 1
        return tuple(found)

    def refuse(self, message: str, place: Span, help: str) -> None:
        self.problems.report("E0106", message, place, "expected a name, a number, or a name ± a number", help)

    def within(self, start: int, length: int) -> Span:
        return Span(self.place.source, self.place.start + start, self.place.start + start + length)

    def index(self, text: str, place: Span) -> tree.Index:
        plain = _unwrapped(text).strip()
        match = _INDEX.fullmatch(plain)
        if match is None and (found := self.multiple(plain, place) or self.part_of(plain, place)):
            return found
        if match is None:
            message = f"`{text.strip()}` is not an index" if text.strip() else "an index is missing"
            help = next(
                (help for sign, help in _HELP_FOR_NO_INDEX.items() if sign.search(text)), helps.HELP_FOR_INDICES
            )
            if plain.startswith("-") and _EXPONENTIAL.search(place.source.text[: place.start][-40:]):
                help = helps.HELP_FOR_EXPONENTIALS
            self.refuse(message, place, help)
            return tree.Index(None, None, 0, place)
        offset = whole_number(match["shift"] or "0", place, self.problems) * (-1 if match["sign"] == "-" else 1)
        if match["number"] is not None:
            number = match["number"].replace(" ", "")
            return tree.Index(None, None, whole_number(number, place, self.problems) + offset, place)
        name = canonical_name(match["name"])
        if match["plain"] is not None:
            own = self.index(match["plain"], place)
            return tree.Index(name, replace(own, offset=own.offset + offset), 0, place)
        inner = match["command"] or (match["braced"] or "")[1:-1]
        return tree.Index(name, self.index(inner, place) if inner else None, offset, place)

    def multiple(self, text: str, place: Span) -> tree.Index | None:
        """`2*k-1`, in LaTeX `2k - 1`; None where it is something else."""
        match = _MULTIPLE.fullmatch(text)
        inner = _INDEX.fullmatch(_unwrapped(match["rest"]).strip()) if match else None
        if match is None or inner is None or inner["name"] is None or re.fullmatch("[0-9]+ *h", text):
            return None  # `2h` is the next coarser grid.
        factor, own = whole_number(match["factor"], place, self.problems), self.index(match["rest"], place)
        is_grouped = match["rest"].startswith(("(", "{"))
        return in_lowest_terms(replace(own, factor=factor, offset=own.offset * (factor if is_grouped else 1)))

    def part_of(self, text: str, place: Span) -> tree.Index | None:
        """`i/2`, `(i+1)/2`, `i/2 - 1`; None where it is something else."""
        match = _PART_OF.fullmatch(text)
        above = (match["sum"] or match["over"] or match["above"] or "").strip() if match else ""
        below = (match["under"] or match["below"] or "").strip() if match else ""
        if match is None or not below.isdecimal() or not (_INDEX.fullmatch(above) or _MULTIPLE.fullmatch(above)):
            return None
        own, divisor = self.index(above, place), whole_number(below, place, self.problems)
        is_sum = bool(match["above"]) and own.offset != 0
        if own.name is None or not divisor or own.divisor != 1 or is_sum:
            return None
        offset = whole_number(match["shift"] or "0", place, self.problems) * (-1 if match["sign"] == "-" else 1)
        return in_lowest_terms(replace(own, offset=own.offset + offset * divisor, divisor=divisor))
