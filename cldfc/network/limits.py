"""How large a spec may be: every network that could be trained is far smaller."""

from __future__ import annotations

from cldfc.diagnostics import Problems, Span

LARGEST_SIZE = 2**20
"""Of an input, of channels and of classes; of the height and the width of each map."""

LARGEST_VALUE = 2**40
"""Numbers of one value, for one image, and of one parameter."""

LARGEST_FLOAT = (2 - 2**-23) * 2.0**127
"""The largest number of float32."""

LONGEST_RANGE = 100_000
"""Values of an index."""

MOST_NESTING = 200
"""Levels of declarations and operators, one inside the other."""

MOST_STEPS = 20_000
"""Operations of one equation, once its operators are expanded."""

MOST_IN_A_CHAIN = 500
"""Operations of one equation that need one another."""

MOST_IN_A_FORMULA = 1_000
"""Numbers and signs of one formula, once the formulas that it names are put in."""

MOST_WORK = 500_000
"""Numbers and signs that are computed before the network is expanded."""

PARTS_FOR_FREE = 8
"""Numbers and signs of a factor that take no longer than its operation; more count as further operations."""

MOST_OPERATIONS = 200_000
"""Operations of a network, and of all its equations."""


def report_size(span: Span, problems: Problems) -> None:
    help = "make the ranges of levels and steps smaller, or the equations shorter"
    problems.report("E0306", f"the network has more than {MOST_OPERATIONS:,} operations", span, "too large", help)
