"""Graph → LaTeX: the network as an algorithm, as the paper prints Algorithms 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import get_args

from cldfc.emit.loops import ForLoop, Item, Leaf
from cldfc.emit.python import indent
from cldfc.emit.schedule import arrange
from cldfc.network.graph import Graph
from cldfc.network.numbers import level_index
from cldfc.network.positions import Constant, Lookup, Position
from cldfc.network.program import Program
from cldfc.syntax import tree
from cldfc.syntax.arrange import breaks_of
from cldfc.syntax.format import (
    ATOM,
    COMMANDS,
    PRODUCT,
    WORDS,
    Formatter,
    Spelling,
    SpellingWords,
    shift,
    spell_name,
    statement_line,
)
from cldfc.syntax.keywords import BOUNDARIES, KERNEL_RULES
from cldfc.syntax.spelling import ACCENTS, ascii_name
from cldfc.syntax.walk import mentions, substitute_indices

_OPTION = re.compile(
    rf", (groups|dilation|padding|{'|'.join((*BOUNDARIES, *KERNEL_RULES))}|start|bias|fixed)(?![A-Za-z_])"
)

_WORD = re.compile(rf"\\? (each|shared|{'|'.join(get_args(tree.StartName))}|fixed$)(?![A-Za-z}}])")


@dataclass(frozen=True, slots=True)
class PaperFormatter(Formatter):
    """Writes trees as LaTeX to be printed, not to be parsed; `constants` are those of the spec."""

    spelling: Spelling = "latex"
    constants: Mapping[str, Constant] = field(default_factory=dict[str, Constant])

    @property
    def words(self) -> SpellingWords:
        """The signs of LaTeX, as commands that every renderer of formulas knows."""
        return replace(WORDS["latex"], at_least=r"\geq", at_most=r"\leq")

    def clauses(self, clauses: tuple[tree.Clause, ...]) -> str:
        return rf"\quad \text{{for }} {', '.join(map(self.clause, clauses))}" if clauses else ""

    def name(self, name: str) -> str:
        r"""`\sigma`, `\tilde{r}`, `f_{\mathrm{in}}`; a long name with underscores gets no subscript."""
        head, _, below = name.partition("_")
        if "_" not in name or (head in ACCENTS and "_" not in below):
            return spell_name(name, "latex")
        if len(head) > 1 or "_" in below:
            return rf"\mathrm{{{_roman_text(name)}}}"
        return rf"{{{COMMANDS.get(head, head)}_{{\mathrm{{{_roman_text(below)}}}}}}}"

    def tag(self, tag: tuple[tree.Index, ...]) -> str:
        r"""`^{\ell,\nu_{\ell}}`: a constant that varies by level shows its level."""
        written = tuple(self.with_level(index, tag) for index in tag)
        text = ",".join(map(self.index, written))
        return f"^{{{text}}}" if text else ""

    def with_level(self, index: tree.Index, tag: tuple[tree.Index, ...]) -> tree.Index:
        """`ν` in a tag as `ν@ℓ`."""
        constant = self.constants.get(index.name or "")
        if constant is None or constant.index is None or index.at is not None:
            return index
        own = level_index(tag, constant.index, lambda name: self.is_per_level(name))
        return index if own is None else replace(index, at=own)

    def is_per_level(self, name: str) -> bool:
        return name in self.constants and self.constants[name].index is not None

    def own_tag(self, index: tree.Index, own: tree.Index) -> str:
        return f"_{{{self.inner_index(own)}}}"

    def configuration(self, settings: tuple[tree.Setting, ...]) -> str:
        r"""`3, \mathrm{stride}=2`, `0 : 15`."""
        return ", ".join(map(self.setting, settings))

    def setting(self, setting: tree.Setting) -> str:
        r"""`3`, `\mathrm{stride}=2`, `\mathrm{bilinear}`, `0 : 15`."""
        match setting:
            case tree.Setting(None, lower, upper=upper) if upper is not None:
                return f"{self.text(lower)} : {self.text(upper)}"
            case tree.Setting(None, tree.Symbol(name, tag=())) if len(name) > 1 and name not in self.constants:
                return rf"\mathrm{{{_roman_text(name)}}}"
            case tree.Setting(name, value):
                return (rf"\mathrm{{{_roman_text(name)}}}=" if name else "") + self.text(value)

    def parts(self, expression: tree.Expression) -> tuple[str, int]:
        match expression:
            case tree.Quotient(numerator, denominator):
                return rf"\frac{{{self.text(numerator)}}}{{{self.text(denominator)}}}", ATOM
            case tree.Reduction("sum", _, _, _, body):
                return rf"\sum{self.limits(expression)} {self.text(body, PRODUCT)}", PRODUCT
            case tree.Fix(name, body, right):
                equation = self.text(body) if right is None else f"{self.text(body)} = {self.text(right)}"
                sign = r"\mapsto" if right is None else ":"
                return rf"\mathrm{{{expression.word}}}({self.name(name)} {sign} {equation})", ATOM
            case tree.Reduction(reducer, _, _, _, body):
                return rf"\mathrm{{{reducer}}}{self.limits(expression)}({self.text(body)})", ATOM
            case _:
                return Formatter.parts(self, expression)

    def stencil(self, stencil: tree.Stencil) -> str:
        r"""`\frac{1}{16} \begin{bmatrix} 1 & 2 & 1 \\ … \end{bmatrix}`."""
        planes = [" \\\\ ".join(" & ".join(map(self.text, row)) for row in plane) for plane in stencil.planes]
        matrices = [rf"\begin{{bmatrix}} {entries} \end{{bmatrix}}" for entries in planes]
        matrix = matrices[0] if len(matrices) == 1 else rf"\left( {', '.join(matrices)} \right)"
        text = rf"\mathrm{{{_roman_text(stencil.name)}}}" if stencil.name else matrix
        return text if stencil.factor is None else f"{self.text(stencil.factor)} {text}"

    def limits(self, reduction: tree.Reduction) -> str:
        """`_{j = 0}^{i-1}`."""
        lower, upper = self.bound(reduction.lower), self.bound(reduction.upper)
        if reduction.by != 1:
            return rf"_{{{self.name(reduction.name)} = {lower}, {self.bound(_next_of(reduction))}, \dots}}^{{{upper}}}"
        return f"_{{{self.name(reduction.name)} = {lower}}}^{{{upper}}}"

    def declaration(self, statement: tree.Statement) -> str:
        r"""`$A^{\ell} : 3 \times 3 \to c^{\ell}$`; a `tie` with its range."""
        if isinstance(statement, tree.Tie):
            clauses = ", ".join(f"${self.clause(clause, ' : ')}$" for clause in statement.clauses)
            return f"${self.symbol(statement.symbol)}$" + (f" for {clauses}" if clauses else "")
        line = statement_line(statement, self)
        body = _OPTION.sub(lambda found: rf", \mathrm{{{_roman_text(found[1])}}}\ ", line.body).removesuffix("\\ ")
        body = _WORD.sub(lambda found: rf"\ \mathrm{{{_roman_text(found[1])}}}", body)
        return f"${' '.join(part for part in (line.head, line.sign, body) if part)}$"


def _next_of(reduction: tree.Reduction) -> tree.Expression:
    """The second value of the index of a reduction."""
    if isinstance(reduction.lower, tree.Number):
        return tree.Number(int(reduction.lower.value) + reduction.by, reduction.span)
    by = tree.Number(abs(reduction.by), reduction.span)
    return tree.Sum((reduction.lower, by), (1, 1 if reduction.by > 0 else -1), reduction.span)


def _roman_text(name: str) -> str:
    r"""A name as the text of `\mathrm`, with Greek letters spelled out."""
    return ascii_name(name).replace("_", r"\_")


@dataclass(frozen=True)
class _Bounds:
    program: Program
    formatter: Formatter

    def interval(self, loop: ForLoop) -> str:
        r"""`1 : J`, or downwards `J, \cdots, 1`."""
        first, last = self.bound(loop.first, loop.variable, loop.step < 0), self.last(loop)
        if first == last:
            return first
        if abs(loop.step) > 1:
            second = loop.first.shifted(loop.step)
            dots = "" if second == loop.last else rf"{self.bound(second, loop.variable, False)}, \cdots, "
            return f"{first}, {dots}{last}"
        return f"{first} : {last}" if loop.step > 0 else rf"{first}, \cdots, {last}"

    def last(self, loop: ForLoop) -> str:
        return self.bound(loop.last, loop.variable, loop.step > 0)

    def bound(self, position: Position, variable: str, is_upper: bool) -> str:
        """A bound; an upper one is written relative to the end of the range, `J-1`, if it is close to it."""
        base = position.base
        if isinstance(base, Lookup):
            return _multiple(position, self.looked_up(base))
        if isinstance(base, str):
            return _multiple(position, self.formatter.name(base))
        statements = self.program.spec.statements
        end = next((s.upper for s in statements if isinstance(s, tree.Range) and s.name == variable), None)
        known = self.program.ranges.get(variable)
        declared = None if known is None else known.upper
        if is_upper and isinstance(end, tree.Symbol) and declared is not None and declared.base is None:
            distance = position.offset - declared.offset
            if distance in (0, -1):
                return self.formatter.text(end) + shift(distance)
        return str(position.offset)

    def looked_up(self, lookup: Lookup) -> str:
        r"""`\nu_{\ell}`; the list of its values for a constant that is not in the spec."""
        constant, at = lookup.constant, self.level(lookup.at)
        if constant.name in self.program.constants:
            return f"{self.formatter.name(constant.name)}_{{{at}}}"
        return f"({', '.join(map(str, constant.values))})_{{{at}}}"

    def level(self, position: Position) -> str:
        base = self.formatter.name(position.base) if isinstance(position.base, str) else ""
        return _multiple(position, base) if base else str(position)

    def constants(self) -> Iterator[str]:
        """The constants that bound ranges, for the caption: `J`; by level, only the first and the last value."""
        ranges = [s for s in self.program.spec.statements if isinstance(s, tree.Range)]
        named = {m.name for s in ranges for end in (s.lower, s.upper) for m in mentions(end)}
        for name, constant in self.program.constants.items():
            if name in named:
                yield from self.members(constant)

    def members(self, constant: Constant) -> Iterator[str]:
        """`J`, or `\\nu_{1}`, `\\cdots`, `\\nu_{J}`."""
        name, index = self.formatter.name(constant.name), constant.index
        if index is None:
            yield name
            return
        first, last = min(constant.places), max(constant.places)
        ends = self.bound(Position(None, first), index, False), self.bound(Position(None, last), index, True)
        yield f"{name}_{{{ends[0]}}}"
        if last > first:
            yield from ([r"\cdots"] if len(constant.places) > 2 else [])
            yield f"{name}_{{{ends[1]}}}"


def _multiple(position: Position, base: str) -> str:
    r"""`2k-1`, `\frac{i+1}{2}`."""
    text = (str(position.factor) if position.factor != 1 else "") + base + shift(position.offset)
    return text if position.divisor == 1 else rf"\frac{{{text}}}{{{position.divisor}}}"


_PACKAGES = "amsmath,amssymb,algorithm,algpseudocode"
_LONGEST_EQUATION = 150
"""Characters of LaTeX; longer equations are broken before the signs of a sum."""

_KINDS: dict[str, type[tree.Statement]] = {
    "kernels": tree.KernelStatement,
    "scalars": tree.Scalar,
    "with": tree.Let,
    "tied": tree.Tie,
    "such that": tree.Constrain,
}
"""The declarations listed above the steps, with the word that introduces each kind."""


def emit_latex(graph: Graph) -> str:
    """The network as written, as an algorithm whose length does not depend on the number of steps."""
    program = graph.program
    writer = _Algorithm(program, PaperFormatter(constants=program.constants))
    items = arrange(graph.as_written)[1]
    lines = [
        f"% generated by cldfc: {program.model}",
        rf"% needs \usepackage{{{_PACKAGES}}}",
        r"\begin{algorithm}",
        rf"\caption{{${writer.caption()}$}}",
        r"\begin{algorithmic}[1]",
        *indent(list(writer.declarations())),
        *indent(list(writer.body(items, is_inside=False))),
        r"\end{algorithmic}",
        r"\end{algorithm}",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Algorithm:
    program: Program
    formatter: PaperFormatter

    @property
    def bounds(self) -> _Bounds:
        return _Bounds(self.program, self.formatter)

    def caption(self) -> str:
        r"""`h = \mathrm{FBResNet}(f; J, \nu_{1}, \cdots, \nu_{J})`."""
        name, program = self.formatter.name, self.program
        given = ", ".join(self.bounds.constants())
        constants = f"; {given}" if given else ""
        inputs = ", ".join(self.formatter.symbol(family.statement.symbol) for family in program.inputs)
        outputs = ", ".join(name(output.name) for output in program.outputs)
        return rf"{outputs} = \mathrm{{{_roman_text(program.model)}}}({inputs}{constants})"

    def declarations(self) -> Iterator[str]:
        for statement in (family.statement for family in self.program.inputs):
            shape = next(family.shapes for family in self.program.inputs if family.statement is statement)
            is_stated = not self.program.open_sizes and not statement.symbol.tag
            sizes = r" \times ".join(map(str, *shape.values())) if is_stated else self.formatter.shape(statement.shape)
            symbol = self.formatter.symbol(statement.symbol)
            ranges = "".join(f", ${self.formatter.clause(clause, ' : ')}$" for clause in statement.clauses)
            yield rf"\Require ${symbol} \in \mathbb{{R}}^{{{sizes}}}${ranges}"
        for word, kind in _KINDS.items():
            found = [s for s in self.program.spec.statements if isinstance(s, kind)]
            if found:
                yield rf"\Statex {word} {', '.join(map(self.formatter.declaration, found))}"

    def body(self, items: Sequence[Item], is_inside: bool) -> Iterator[str]:
        """Equations and loops; the terms of a reduction are written inside its equation."""
        for item in items:
            if isinstance(item, ForLoop):
                yield from self.loop(item)
            elif not item.template.is_inner:
                left, right = self.sides(item)
                yield from _display(left, right) if is_inside else [rf"\State ${left} = {right}$"]

    def loop(self, item: ForLoop) -> Iterator[str]:
        """A loop; what its last iteration leaves out is inside an `If`."""
        inside, rest = list(self.body(item.body, True)), list(self.body(item.rest, True))
        if not inside and not rest:
            return
        variable = self.formatter.name(item.variable)
        yield rf"\For{{${variable} = {self.bounds.interval(item)}$}}"
        yield from indent(inside)
        if rest:
            sign = "<" if item.step > 0 else ">"
            yield from indent([rf"\If{{${variable} {sign} {self.bounds.last(item)}$}}", *indent(rest), r"\EndIf"])
        yield r"\EndFor"

    def sides(self, leaf: Leaf) -> tuple[str, str]:
        """The two sides of an equation with its indices substituted; the loops around it state their ranges."""
        equation = leaf.template.statement
        indices = {n: _as_index(v, equation) for n, v in leaf.binding().items() if v != Position(n, 0)}
        left, right = (substitute_indices(side, indices) for side in (equation.left, equation.right))
        return self.formatter.text(left), self.formatter.text(right)


def _as_index(position: Position, equation: tree.Equation) -> tree.Index:
    base, span = position.base, equation.span
    if isinstance(base, Lookup):
        at = _as_index(base.at, equation)
        return tree.Index(base.constant.name, at, position.offset, span, position.factor, position.divisor)
    return tree.Index(base, None, position.offset, span, position.factor, position.divisor)


def _display(left: str, right: str) -> Iterator[str]:
    """A numbered equation; a long one is split into lines that start with a sign."""
    parts = _sum_lines(right) if len(left) + len(right) > _LONGEST_EQUATION else [right]
    yield from (r"\State", r"\begin{equation}")
    if len(parts) == 1:
        yield from indent([f"{left} = {right}"])
    else:
        first, *others = parts
        split = [rf"{left} = {{}} & {first}", *(rf"& {{}} {part}" for part in others)]
        yield from indent([r"\begin{split}", *indent([rf"{part} \\" for part in split]), r"\end{split}"])
    yield r"\end{equation}"


def _sum_lines(text: str) -> list[str]:
    """A sum, split before the signs outside all brackets."""
    signs = [at for at, depth in breaks_of(text) if not depth and text[at + 1] in "+-"]
    return [text[start:end].strip() for start, end in pairwise([0, *signs, len(text)])]
