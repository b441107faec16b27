"""The equations of a spec in MathML, which browsers set as mathematics."""

from __future__ import annotations

import re

from cldfc.algebra.linearity import operators_of
from cldfc.syntax import tree
from cldfc.syntax.format import format_equation, format_let

WORD_BREAK = re.compile(r"(?<=\w)_(?=\w)")
"""The underscore of `a_{long_name}`, which LaTeX would read as a subscript of a subscript."""


def equations_as_mathml(spec: tree.Tree) -> str:
    """Equations, then the operators that they use, a formula each."""
    from latex2mathml.converter import convert  # pyright: ignore[reportMissingTypeStubs]

    equations = [s for s in spec.statements if isinstance(s, tree.Equation)]
    formulas = [format_equation(equation, 0, "latex") for equation in equations]
    formulas += [format_let(operator, 0, "latex") for operator in operators_of(spec)]
    return "\n".join(convert(WORD_BREAK.sub(r"\_", latex)) for latex in formulas)
