"""Tree → text, the inverse of the parser, in three spellings."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from typing import Literal, cast

from cldfc.output import GREEK, SCRIPT
from cldfc.syntax import tree
from cldfc.syntax.keywords import REDUCTIONS, SOLVERS, STATEMENTS, WORDS_INSIDE
from cldfc.syntax.recall import copier
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
    adjoint: str
    angles: tuple[str, str]
    norm: str


WORDS: dict[Spelling, SpellingWords] = {
    "unicode": SpellingWords("∘", "⊙", "×", "→", "≥", "≤", "ᵀ", ("⟨", "⟩"), "‖"),
    "ascii": SpellingWords(".", ".*", "x", "->", ">=", "<=", "'", ("<", ">"), "||"),
    "latex": SpellingWords(
        r"\circ", r"\odot", r"\times", r"\to", r"\ge", r"\le", r"^{\top}", (r"\langle ", r" \rangle"), r"\|"
    ),
}

_LETTERS = {letter: rf"\{spelled}" for spelled, letter in GREEK.items()} | {"ℓ": r"\ell"}
_SCRIPTS = {script: rf"\mathcal{{{letter}}}" for letter, script in SCRIPT.items()}
COMMANDS = _LETTERS | _SCRIPTS
"""The letters that LaTeX has a command for."""


@lru_cache(maxsize=4096)
def spell_name(name: str, spelling: Spelling) -> str:
    """A canonical name as the spelling writes it; unchanged where it has no way to.

    `σx` has none in ASCII: `sigmax` would be read as another name.
    """
    if spelling == "unicode":
        return name
    forms = [ascii_name(name)] if spelling == "ascii" else _latex_forms(name)
    return next((form for form in forms if _reads_back(form, name)), name)


def _reads_back(form: str, name: str) -> bool:
    found = re.match(NAME, form)
    return found is not None and found.end() == len(form) and canonical_name(form) == name


def _latex_forms(name: str) -> Iterator[str]:
    """What LaTeX may write for a name, the best first; some are read as other names."""
    head, _, rest = name.partition("_")
    if head in ACCENTS:
        letter, _, below = rest.partition("_")
        yield rf"\{head}{{{COMMANDS.get(letter, letter)}}}{_subscript(below)}"
    if len(head) == 1 or head.isascii():
        yield _latex_head(head) + _subscript(rest)
    yield rf"\mathrm{{{ascii_name(name)}}}"
    yield ascii_name(name)


def _latex_head(head: str) -> str:
    """A letter, or a word, which LaTeX would otherwise take for a product of letters."""
    return COMMANDS.get(head, head) if len(head) == 1 else rf"\mathrm{{{head}}}"


def _subscript(rest: str) -> str:
    below = ascii_name(rest)
    return f"_{{{below}}}" if len(below) > 1 else f"_{below}" if below else ""


def _spell_index_name(name: str, spelling: Spelling, braces: int) -> str:
    """A name in a tag, which can hold only so many braces."""
    spelled = spell_name(name, spelling)
    return spelled if spelled.count("{") <= braces else spell_name(name, "ascii")


def _is_subscript(text: str) -> bool:
    return re.fullmatch(SUBSCRIPT, f"_{{{text}}}") is not None


# How strongly a form binds: what stands in a place that asks for more is put in parentheses.
_SUM, PRODUCT, CHAIN, _QUOTIENT, _POWER, ATOM, _NOTHING = range(7)

_KEYWORD = re.compile(rf"(?:{'|'.join(word for word in WORDS_INSIDE if word not in (*REDUCTIONS, *SOLVERS))})(?!\w)")
_LISTED = 10_000
"""LaTeX lists the first two values of a range with steps, unless they are larger."""
_NUMBER = re.compile(r"[0-9]+(?:_[0-9]+)*(\.[0-9]+)?(e[+-]?[0-9]+)?")


def format_index(index: tree.Index, spelling: Spelling = "unicode") -> str:
    """`ℓ+1`, `0`, `ν@ℓ`."""
    return Formatter(spelling).index(index)


def format_symbol(symbol: tree.Symbol, spelling: Spelling = "unicode") -> str:
    """`A@ℓ+1`, `σ`, `maxpool[3, stride=2]`."""
    return Formatter(spelling).symbol(symbol)


def format_expression(expression: tree.Expression, spelling: Spelling = "unicode") -> str:
    return Formatter(spelling).text(expression)


def format_equation(equation: tree.Equation, width: int = 0, spelling: Spelling = "unicode") -> str:
    """`r@ℓ,i = …`, the left side padded to `width`."""
    formatter = Formatter(spelling)
    return f"{formatter.left(equation.left):{width}} = {formatter.right(equation)}"


def format_sides(spec: tree.Tree) -> list[tuple[str, str]]:
    """Both sides of each equation: `r@ℓ,i`, and what it is."""
    formatter, outlines = Formatter(), dict[int, tuple[str, str]]()
    sides: list[tuple[str, str]] = []
    for equation in spec.statements:
        if isinstance(equation, tree.Equation):
            likeness = spec.likeness(equation)
            if likeness is None:
                sides.append((formatter.left(equation.left), formatter.right(equation)))
                continue
            if id(likeness.first) not in outlines:
                outlines[id(likeness.first)] = _outline(likeness)
            left, right = outlines[id(likeness.first)]
            sides.append((left.format(*likeness.names), right.format(*likeness.names)))
    return sides


def _outline(likeness: tree.Likeness) -> tuple[str, str]:
    """Both sides of the equations that are read alike, as format strings for their names."""
    names = [f"gap_{number}_" for number, _ in enumerate(likeness.names)]
    copy = copier(likeness.first, likeness.names_of_first, likeness.place_of_first, is_dataclass)
    equation = copy(names, likeness.place_of_first.source, 0)
    left, right = (with_gaps(text) for text in (Formatter().left(equation.left), Formatter().right(equation)))
    return left, right


def with_gaps(text: str) -> str:
    """A format string that has `{0}` for each `gap_0_`."""
    return re.sub("gap_([0-9]+)_", r"{\1}", text.replace("{", "{{").replace("}", "}}"))


def format_let(let: tree.Let, width: int = 0, spelling: Spelling = "unicode") -> str:
    """`σ = relu ∘ bn`, without its `let`."""
    formatter = Formatter(spelling)
    return f"{formatter.let_head(let):{width}} = {formatter.listed(let.values)}{formatter.clauses(let.clauses)}"


def _format_number(number: tree.Number) -> str:
    """A number as it was written, `8_038_858`, if that is known."""
    written = number.span.text.strip(" ()")
    found = _NUMBER.fullmatch(written)
    if found and len(written) <= 40:
        value = float(written) if found[1] or found[2] else int(written)
        if repr(value) == repr(number.value):
            return written
    return repr(number.value)


def _is_open(expression: tree.Expression) -> bool:
    """Whether an expression ends in an operator without its right side, `σ ∘ K *`."""
    while isinstance(expression, tree.Star | tree.Compose):
        inner = expression.right if isinstance(expression, tree.Star) else expression.inner
        if inner is None:
            return True
        expression = inner
    return False


def _is_plain(expression: tree.Expression) -> bool:
    """Whether an expression is a number or a bare name."""
    return isinstance(expression, tree.Number) or (
        isinstance(expression, tree.Symbol) and not expression.tag and not expression.settings
    )


@dataclass(frozen=True, slots=True)
class Formatter:
    """Writes trees in one spelling.

    `tagged` are the names that a file declares with a tag: in LaTeX, `c^{1}` of another one could be a power of c,
    so it is written `c@1`. Without a file, all names are taken for such.
    """

    spelling: Spelling = "unicode"
    tagged: Container[str] | None = None

    @property
    def words(self) -> SpellingWords:
        return WORDS[self.spelling]

    @property
    def is_latex(self) -> bool:
        return self.spelling == "latex"

    def name(self, name: str) -> str:
        return spell_name(name, self.spelling)

    # Tags

    def index(self, index: tree.Index) -> str:
        if index.name is None:
            return str(index.offset) + (f"/{index.divisor}" if index.divisor != 1 else "")
        own = self.own_tag(index, index.at) if index.at else ""
        text = _spell_index_name(index.name, self.spelling, 1) + own
        if index.factor != 1:
            text = f"{index.factor}{text}" if self.is_latex else f"{index.factor}*{text}"
        if index.divisor == 1:
            return text + shift(index.offset)
        if index.offset % index.divisor == 0:
            return f"{text}/{index.divisor}{shift(index.offset // index.divisor)}"
        return f"({text}{shift(index.offset)})/{index.divisor}"

    def own_tag(self, index: tree.Index, own: tree.Index) -> str:
        """The tag of an index: in braces unless `ν@ℓ-1` can be read in one way only."""
        text = self.inner_index(own)
        if self.is_latex:
            return f"^{{{text}}}" if _is_subscript(text) else f"_{{{text}}}"
        is_bare = own.at is None and not index.offset and (own.name is not None or own.offset >= 0)
        return f"@{text}" if is_bare else f"@{{{text}}}"

    def inner_index(self, index: tree.Index) -> str:
        """What stands in the braces of an index's own tag, where there can be no others."""
        if index.name is None:
            return str(index.offset)
        text, own = _spell_index_name(index.name, self.spelling, 0), index.at
        if own and own.name is None:
            text += f"@{own.offset}" if own.offset >= 0 else f"@0{own.offset}"
        elif own and own.name and index.offset:
            text += f"_{_LETTERS.get(own.name, own.name)}"
        elif own and own.name:
            text += f"@{_spell_index_name(own.name, self.spelling, 0)}{shift(own.offset)}"
        return text + shift(index.offset)

    # Expressions

    def symbol(self, symbol: tree.Symbol) -> str:
        is_clear = self.tagged is None or symbol.name in self.tagged or not _is_plain_number(symbol.tag)
        text = self.name(symbol.name) + (self.tag(symbol.tag) if is_clear else f"@{symbol.tag[0].offset}")
        return f"{text}[{self.configuration(symbol.settings)}]" if symbol.settings else text

    def configuration(self, settings: tuple[tree.Setting, ...]) -> str:
        return ", ".join(
            (f"{setting.name}=" if setting.name else "")
            + self.text(setting.value)
            + (f"..{self.text(setting.upper)}" if setting.upper else "")
            for setting in settings
        )

    def tag(self, tag: tuple[tree.Index, ...]) -> str:
        """`@ℓ,i-1`, `^{\\ell,i-1}`."""
        if not tag:
            return ""
        text = ",".join(map(self.index, tag))
        if not self.is_latex and any(i.divisor != 1 or (i.factor != 1 and i.at is not None) for i in tag):
            return f"@{{{text}}}"
        return f"^{{{text}}}" if self.is_latex else f"@{text}"

    def text(self, expression: tree.Expression, around: int = _SUM) -> str:
        """An expression in a place that asks for a form at least as strong as `around`."""
        text, own = self.parts(expression)
        return f"({text})" if own < around else text

    # Parsed trees are up to 200 levels deep: three calls for each level stay below Python's limit.
    def parts(self, expression: tree.Expression) -> tuple[str, int]:
        """The text of an expression, and how strongly its outermost sign binds."""
        match expression:
            case tree.Symbol():
                return self.symbol(expression), ATOM
            case tree.Adjoint():
                return self.adjoint(expression), ATOM
            case tree.Argument(name):
                return self.name(name), ATOM
            case tree.Number():
                return _format_number(expression), ATOM
            case tree.ApplyToSeveral(function, arguments):
                return f"{self.text(function, ATOM)}({self.listed(arguments)})", ATOM
            case tree.Pairing(left, right):
                opening, close = self.words.angles
                return f"{opening}{self.text(left)}, {self.text(right)}{close}", ATOM
            case tree.Norm(inner):
                return f"{self.words.norm}{self.text(inner)}{self.words.norm}", ATOM
            case tree.Apply(tree.Symbol("split", (), settings=(tree.Setting(None, count, _, None),)), argument):
                return f"{self.name('split')}({self.text(argument)}, {self.text(count)})", ATOM
            case tree.Apply(function, argument):
                return f"{self.text(function, ATOM)}({self.text(argument)})", ATOM
            case tree.Compose(outer, inner):
                return f"{self.text(outer, _QUOTIENT)} {self.words.compose} {self.text(inner, CHAIN)}", CHAIN
            case tree.Star(left, _, right):
                star = f"{self.text(left, _QUOTIENT)} {self.star(expression)}"
                return (star if right is None else f"{star} {self.behind_star(right)}"), CHAIN
            case tree.Sum():
                return self.sum(expression), _SUM
            case tree.Product():
                return self.product(expression), PRODUCT
            case tree.Quotient(numerator, denominator):
                return f"{self.text(numerator, _QUOTIENT)} / {self.text(denominator, _POWER)}", _QUOTIENT
            case tree.Power():
                return self.power(expression), _POWER
            case tree.Reduction():
                return self.reduction(expression), ATOM
            case tree.Listing(reducer, members):
                return f"{self.reducer(reducer)}({self.listed(members)})", ATOM
            case tree.Fix():
                return self.fix(expression), ATOM

    def adjoint(self, expression: tree.Adjoint) -> str:
        """`Aᵀ@ℓ`, `A'@l`, `(A^{\\ell})^{\\top}`."""
        kernel, sign = expression.kernel, self.words.adjoint
        if isinstance(kernel, tree.Symbol) and not kernel.settings and (not self.is_latex or not kernel.tag):
            return self.name(kernel.name) + sign + self.tag(kernel.tag)
        return f"({self.text(kernel)}){sign}"

    def behind_star(self, right: tree.Expression) -> str:
        """What `K *` is applied to; `K * for i` would be read as `K *` and a range."""
        text = self.text(right, CHAIN)
        return f"({text})" if _KEYWORD.match(text) else text

    def star(self, star: tree.Star) -> str:
        """`*`, `*_2`, `*^2`."""
        mark, stride = "^" if star.is_transposed else "_", star.stride
        if stride == 1 and not star.is_transposed:
            return "*"
        sides = stride if isinstance(stride, tuple) else (stride,)
        texts = [str(side) if isinstance(side, int) else self.bound(side) for side in sides]
        is_bare = isinstance(stride, int) and not self.is_latex
        between = "," if all(isinstance(side, int) for side in sides) else ", "  # a tag would go on behind a comma
        return f"*{mark}{texts[0]}" if is_bare else f"*{mark}{{{between.join(texts)}}}"

    def sum(self, expression: tree.Sum, space: str = " ") -> str:
        """`x + y - z`, `-x`."""
        texts: list[str] = []
        for sign, term in zip(expression.signs, expression.terms, strict=True):
            texts.append(f"{space}+{space}" if sign > 0 else f"{space}-{space}")
            # `K * + x` could be read, but not by people.
            texts.append(self.text(term, _NOTHING if _is_open(term) else PRODUCT))
        is_signed = expression.signs[0] < 0 or len(expression.terms) == 1
        texts[0] = texts[0].strip() if is_signed else ""
        return "".join(texts)

    def product(self, expression: tree.Product) -> str:
        texts: list[str] = []
        for factor in expression.factors:
            texts.append(self.text(factor, _NOTHING if _is_open(factor) else CHAIN))
        return f" {self.words.pointwise} ".join(texts)

    def power(self, expression: tree.Power) -> str:
        exponent = expression.exponent
        is_tagged = isinstance(expression.base, tree.Symbol) and bool(expression.base.tag) and not self.is_latex
        is_closed = isinstance(expression.base, tree.Number | tree.Norm | tree.Pairing)
        base = self.text(expression.base, _SUM if is_closed or is_tagged else _NOTHING)
        if self.is_latex:
            return f"{base}^{{{self.bound(exponent)}}}"
        is_bare = isinstance(exponent, tree.Number | tree.Symbol)
        return f"{base}^{self.text(exponent)}" if is_bare else f"{base}^({self.bound(exponent)})"

    def reduction(self, expression: tree.Reduction) -> str:
        interval = f"{self.bound(expression.lower)}..{self.bound(expression.upper)}{by_text(expression.by)}"
        range_ = f"{spell_name(expression.name, self.spelling)} = {interval}"
        return f"{self.reducer(expression.reducer)}({range_} : {self.text(expression.body)})"

    def stencil(self, stencil: tree.Stencil) -> str:
        """`1/16 * [1 2 1; 2 4 2; 1 2 1]`."""
        planes = (
            "; ".join(" ".join(self.text(entry).replace(" ", "") for entry in row) for row in plane)
            for plane in stencil.planes
        )
        text = stencil.name or f"[{';; '.join(planes)}]"
        return text if stencil.factor is None else f"{self.text(stencil.factor, _QUOTIENT)} * {text}"

    def fix(self, fix: tree.Fix) -> str:
        """`fix(u : relu(A * u + f), tol 1e-4)`."""
        right = "" if fix.right is None else f" = {self.text(fix.right)}"
        given = "".join(f", {setting.name} {self.solving(setting)}" for setting in fix.settings)
        return f"{self.reducer(fix.word)}({self.name(fix.name)} : {self.text(fix.body)}{right}{given})"

    def solving(self, setting: tree.Setting) -> str:
        """What stands behind `tol`, `start` or `by`."""
        if setting.name in ("backward", "by") and isinstance(setting.value, tree.Symbol):
            return setting.value.name
        return self.text(setting.value, _SUM if setting.name == "start" else _QUOTIENT)

    def reducer(self, word: str) -> str:
        if word in ("max", "min"):
            return rf"\{word}" if self.is_latex else word
        return rf"\mathrm{{{word}}}" if self.is_latex else word

    def bound(self, expression: tree.Expression) -> str:
        """An end of a range or an exponent: simple sums stand close together, `J-1`."""
        if isinstance(expression, tree.Sum) and all(map(_is_plain, expression.terms)):
            return self.sum(expression, "")
        return self.text(expression)

    def shape(self, sizes: tuple[tree.Expression, ...]) -> str:
        """`1 × H/2 × (2 * N - 1)`."""
        return f" {self.words.times} ".join(map(self.size, sizes))

    def end(self, sizes: tuple[tree.Expression, ...]) -> str:
        """The shape of an input, or of an output that is no scores: `1 × H × W`, `3 numbers`, `1 number`."""
        first, *sides = sizes
        if sides:
            return self.shape(sizes)
        is_one = isinstance(first, tree.Number) and first.value == 1
        return f"{self.size(first)} {'number' if is_one else 'numbers'}"

    def size(self, size: tree.Expression) -> str:
        match size:
            case tree.Symbol() | tree.Number():
                return self.text(size)
            case tree.Quotient(tree.Symbol(), tree.Number(int())):
                return f"{self.text(size.numerator)}/{self.text(size.denominator)}"
            case _:
                return f"({self.text(size)})"

    def listed(self, expressions: tuple[tree.Expression, ...]) -> str:
        return ", ".join(map(self.text, expressions))

    def let_head(self, let: tree.Let) -> str:
        """`σ`, `S@ℓ(u, f)`."""
        head = self.symbol(let.symbol)
        return f"{head}({self.listed(let.arguments)})" if let.arguments else head

    # Equations

    def left(self, symbol: tree.Symbol) -> str:
        # A word that starts a statement is a name only as LaTeX writes it.
        if symbol.name in STATEMENTS:
            return rf"\mathrm{{{symbol.name}}}" + self.symbol(symbol)[len(self.name(symbol.name)) :]
        return self.symbol(symbol)

    def right(self, equation: tree.Equation) -> str:
        text = self.text(equation.right)
        if self.is_latex:
            ranges = [self.clause(clause, " : ") for clause in equation.clauses]
            # With a subscript, what comes next could be an equation.
            if any("_" in self.name(clause.name) for clause in equation.clauses):
                return rf"{text}, \quad \text{{for }} {', '.join(ranges)}"
            return "".join([text, *(rf", \quad {range_}" for range_ in ranges)])
        return text + self.clauses(equation.clauses)

    def clauses(self, clauses: tuple[tree.Clause, ...]) -> str:
        """` for ℓ = 1..J-1, i ≥ 1`, or nothing."""
        return f" for {', '.join(map(self.clause, clauses))}" if clauses else ""

    def clause(self, clause: tree.Clause, to: str = "..") -> str:
        """`i = 1..ν`, `i ≥ 1`."""
        name, lower, upper, by = self.name(clause.name), clause.lower, clause.upper, by_text(clause.by)
        if lower is None:
            return f"{name} {self.words.at_most} {self.bound(cast(tree.Expression, upper))}"
        is_listed = self.is_latex and by and isinstance(lower, tree.Number) and lower.value in range(_LISTED)
        if upper is None and not is_listed:
            sign = self.words.at_least if clause.by > 0 else self.words.at_most
            return f"{name} {sign} {self.bound(lower)}" + (
                rf" \text{{ by }} {clause.by}" if self.is_latex and by else by
            )
        if is_listed and isinstance(lower, tree.Number):
            end = "" if upper is None else f", {self.bound(upper)}"
            return rf"{name} = {self.bound(lower)}, {int(lower.value) + clause.by}, \dots{end}"
        text = f"{name} = {self.bound(lower)}" + (
            "" if lower == upper else f"{to}{self.bound(cast(tree.Expression, upper))}"
        )
        return text + (rf" \text{{ by }} {clause.by}" if self.is_latex and by else by)


def _is_plain_number(tag: tuple[tree.Index, ...]) -> bool:
    return len(tag) == 1 and tag[0].name is None


def by_text(by: int) -> str:
    """` by 2`, or nothing."""
    return f" by {by}" if by != 1 else ""


def shift(offset: int) -> str:
    """`+1`, `-1`, or nothing."""
    return f"{offset:+d}" if offset else ""


@dataclass(frozen=True, slots=True)
class Line:
    """A statement as text: `kernel`, `A@ℓ`, `:`, `3×3 → c@ℓ`. Lines of one kind are aligned; without a kind, none."""

    kind: str
    keyword: str
    head: str
    sign: str = ""
    body: str = ""

    def text(self, keyword_width: int = 0, head_width: int = 0) -> str:
        parts = (f"{self.keyword:{keyword_width}}", f"{self.head:{head_width}}", self.sign, self.body)
        return " ".join(part for part in parts if part)


def format_statement(statement: tree.Statement, spelling: Spelling = "unicode") -> str:
    return statement_line(statement, Formatter(spelling)).text()


def statement_line(statement: tree.Statement, formatter: Formatter) -> Line:
    match statement:
        case tree.Version(number):
            return Line("", "cldf", number)
        case tree.Model(name):
            return Line("", "model", name)
        case tree.Extend(path):
            return Line("", "extend", f'"{path}"')
        case tree.Range(keyword, name, lower, upper):
            ends = f"{formatter.bound(lower)}..{formatter.bound(upper)}{by_text(statement.by)}"
            return Line("range", keyword, formatter.name(name), "=", ends)
        case tree.Let(_, values):
            text = formatter.listed(values) + formatter.clauses(statement.clauses)
            return Line("let", "let", formatter.let_head(statement), "=", text)
        case tree.InputStatement(symbol, shape, _, clauses):
            text = formatter.end(shape) + formatter.clauses(clauses)
            return Line("shape", "input", formatter.symbol(symbol), ":", text)
        case tree.Output(name, shape, is_scores):
            text = formatter.shape(shape) if is_scores else formatter.end(shape)
            return Line("shape", "output", formatter.name(name), ":", text)
        case tree.KernelStatement():
            return Line("kernel", "kernel", formatter.symbol(statement.symbol), ":", _kernel_body(statement, formatter))
        case tree.Scalar(symbol, values, is_fixed, channels=channels):
            text = formatter.listed(values) + (", fixed" if is_fixed else "") + formatter.clauses(statement.clauses)
            if channels is None:
                return Line("scalar", "scalar", formatter.symbol(symbol), "=", text)
            return Line("vector", "vector", formatter.symbol(symbol), ":", f"{formatter.text(channels)} = {text}")
        case tree.Tie(symbol, clauses):
            return Line("", "tie", formatter.symbol(symbol) + formatter.clauses(clauses))
        case tree.Rename(old, new):
            return Line("rename", "rename", formatter.symbol(old), formatter.words.arrow, formatter.symbol(new))
        case tree.Constrain(symbol, bound):
            sign = formatter.words.at_least
            return Line("constrain", "constrain", formatter.symbol(symbol), sign, _format_number(bound))
        case tree.Expect(quantity, number):
            return Line("expect", "expect", quantity, "=", _format_number(number))
        case tree.Equation(left):
            return Line("equation", "", formatter.left(left), "=", formatter.right(statement))


def _kernel_body(kernel: tree.KernelStatement, formatter: Formatter) -> str:
    """`3×3, 64 → c@ℓ, groups 2, bias`."""
    text = _kernel_size(kernel, formatter)
    if kernel.channels_in is not None:
        text += f", {formatter.text(kernel.channels_in)}"
    text += " each" if kernel.is_each else f" {formatter.words.arrow} {formatter.text(kernel.channels_out)}"
    text += " shared" * ("shared" in kernel.rules and kernel.is_each)
    if kernel.groups is not None:
        text += f", groups {formatter.text(kernel.groups)}"
    if kernel.dilation is not None:
        text += f", dilation {formatter.text(kernel.dilation)}"
    if kernel.padding:
        text += f", padding {','.join(map(formatter.text, kernel.padding))}"
    if kernel.boundary is not None:
        text += f", {kernel.boundary}"
    if kernel.start is not None:
        text += f", start {kernel.start}"
        text += f"({formatter.text(kernel.start_number, _QUOTIENT)})" if kernel.start_number is not None else ""
    text += "".join(f", {rule}" for rule in kernel.rules if rule != "shared" or not kernel.is_each)
    text += ", bias" if kernel.has_bias else ""
    if kernel.stencil is not None:
        text += f" = {formatter.stencil(kernel.stencil)}"
    return text + (" fixed" if kernel.is_fixed else "") + formatter.clauses(kernel.clauses)


def _kernel_size(kernel: tree.KernelStatement, formatter: Formatter) -> str:
    """`3×3`, `5`; an `x` between names needs white space, as does a command."""
    times, sizes = formatter.words.times, kernel.sizes
    is_close = times == "×" or (times == "x" and all(isinstance(size, tree.Number) for size in sizes))
    texts = [formatter.text(size) if _is_plain(size) else f"{{{formatter.bound(size)}}}" for size in sizes]
    return (times if is_close else f" {times} ").join(texts)
