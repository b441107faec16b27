"""Tree → text, in the canonical spelling."""

from __future__ import annotations

from cldfc.syntax import tree

SUM, CHAIN, ATOM = 0, 1, 2


def format_index(index: tree.Index) -> str:
    """`ℓ+1`, `0`, `ν@ℓ`."""
    if index.name is None:
        return str(index.offset)
    own = f"@{format_index(index.at)}" if index.at else ""
    return f"{index.name}{own}{index.offset:+d}" if index.offset else f"{index.name}{own}"


def format_symbol(symbol: tree.Symbol) -> str:
    """`A@ℓ+1`, `σ`."""
    return symbol.name + (f"@{','.join(map(format_index, symbol.tag))}" if symbol.tag else "")


def format_expression(expression: tree.Expression, around: int = SUM) -> str:
    """An expression with the parentheses that its surroundings ask for, and no others."""
    text, own = format_parts(expression)
    return f"({text})" if own < around else text


def format_parts(expression: tree.Expression) -> tuple[str, int]:
    """The text of an expression, and how strongly its outermost sign binds."""
    match expression:
        case tree.Symbol():
            return format_symbol(expression), ATOM
        case tree.Number(value):
            return str(value), ATOM
        case tree.Apply(function, argument):
            return f"{format_expression(function, ATOM)}({format_expression(argument)})", ATOM
        case tree.Compose(outer, inner):
            return f"{format_expression(outer, ATOM)} ∘ {format_expression(inner, CHAIN)}", CHAIN
        case tree.Star(left, stride, right):
            star = f"{format_expression(left, ATOM)} {format_star(stride)}"
            return (star if right is None else f"{star} {format_expression(right, CHAIN)}"), CHAIN
        case tree.Sum():
            return format_sum(expression), SUM


def format_star(stride: int) -> str:
    """`*`, `*_2`."""
    return "*" if stride == 1 else f"*_{stride}"


def format_sum(expression: tree.Sum) -> str:
    """`x + y - z`, `-x`."""
    text = "-" if expression.signs[0] < 0 else ""
    text += format_expression(expression.terms[0], CHAIN)
    for sign, term in zip(expression.signs[1:], expression.terms[1:], strict=True):
        text += f" {'+' if sign > 0 else '-'} {format_expression(term, CHAIN)}"
    return text


def format_equation(equation: tree.Equation, width: int = 0) -> str:
    """`r@ℓ,i = …`, the left side padded to `width`."""
    return f"{format_symbol(equation.left):{width}} = {format_expression(equation.right)}"


def format_let(let: tree.Let, width: int = 0) -> str:
    """`σ = relu ∘ bn`, without its `let`."""
    return f"{format_symbol(let.symbol):{width}} = {', '.join(map(format_expression, let.values))}"
