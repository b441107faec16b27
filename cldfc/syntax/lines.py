"""Statements → lines, in parts that a block of statements aligns."""

from __future__ import annotations

from dataclasses import dataclass

from cldfc.syntax import tree
from cldfc.syntax.format import QUOTIENT, Formatter, format_number
from cldfc.syntax.words import Spelling


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
            ends = f"{formatter.bound(lower)}..{formatter.bound(upper)}"
            return Line("range", keyword, formatter.name(name), "=", ends)
        case tree.Let(symbol, values):
            return Line("let", "let", formatter.symbol(symbol), "=", formatter.listed(values))
        case tree.InputStatement(name, shape):
            sizes = f" {formatter.words.times} ".join(map(formatter.text, shape))
            return Line("shape", "input", formatter.name(name), ":", sizes)
        case tree.Output(name, classes):
            return Line("shape", "output", formatter.name(name), ":", formatter.text(classes))
        case tree.KernelStatement():
            return Line("kernel", "kernel", formatter.symbol(statement.symbol), ":", kernel_body(statement, formatter))
        case tree.Scalar(symbol, value, is_fixed):
            text = formatter.text(value) + (", fixed" if is_fixed else "")
            return Line("scalar", "scalar", formatter.symbol(symbol), "=", text)
        case tree.Tie(symbol, clauses):
            return Line("", "tie", formatter.symbol(symbol) + formatter.clauses(clauses))
        case tree.Rename(old, new):
            return Line("rename", "rename", formatter.symbol(old), formatter.words.arrow, formatter.symbol(new))
        case tree.Constrain(symbol, bound):
            sign = formatter.words.at_least
            return Line("constrain", "constrain", formatter.symbol(symbol), sign, format_number(bound))
        case tree.Expect(quantity, number):
            return Line("expect", "expect", quantity, "=", format_number(number))
        case tree.Equation(left):
            return Line("equation", "", formatter.left(left), "=", formatter.right(statement))


def kernel_body(kernel: tree.KernelStatement, formatter: Formatter) -> str:
    """`3×3, 64 → c@ℓ, groups 2, bias`."""
    text = kernel_size(kernel, formatter)
    if kernel.channels_in is not None:
        text += f", {formatter.text(kernel.channels_in)}"
    text += f" {formatter.words.arrow} {formatter.text(kernel.channels_out)}"
    if kernel.groups is not None:
        text += f", groups {formatter.text(kernel.groups, QUOTIENT)}"
    if kernel.dilation is not None:
        text += f", dilation {formatter.text(kernel.dilation, QUOTIENT)}"
    return text + (", bias" if kernel.has_bias else "")


def kernel_size(kernel: tree.KernelStatement, formatter: Formatter) -> str:
    """`3×3`; an `x` between names needs white space, as does a command."""
    times, sizes = formatter.words.times, (kernel.height, kernel.width)
    is_close = times == "×" or (times == "x" and all(isinstance(size, tree.Number) for size in sizes))
    return (times if is_close else f" {times} ").join(map(formatter.text, sizes))
