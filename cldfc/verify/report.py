"""A report as text and as plain data."""

from __future__ import annotations

import math

from cldfc.verify.compare import FirstDifference, VerifiedRow
from cldfc.verify.verify import Report

MOST_CONTRASTS = 12
"""Lines about what differs; a network that differs everywhere fills the screen otherwise."""


def report_lines(report: Report, tolerance: float) -> list[str]:
    """A table of the largest differences, where the first one appears, and whether all stay below the tolerance."""
    lines = [] if not report.rows else table(report.rows)
    contrasts = [f"  {line}" for line in report.contrasts[:MOST_CONTRASTS]]
    if len(report.contrasts) > MOST_CONTRASTS:
        contrasts.append(f"  and {len(report.contrasts) - MOST_CONTRASTS} more")
    if report.problem:
        return [*lines, report.problem, *contrasts]
    lines += ["", verdict(report, tolerance)]
    if contrasts:
        lines += ["where the two differ:", *contrasts]
    if report.first is not None:
        lines.append(f"first seen in {report.first.form}, {report.first.mode} mode, at {where(report.first)}")
    for name in report.unused:
        lines.append(f"`{name}` exists on one side only; its gradient there is zero")
    return lines


def verdict(report: Report, tolerance: float) -> str:
    """Whether the two are equal, how large the largest difference is, and what rounding has to do with it."""
    largest = f"largest difference {number(report.worst)}"
    if report.worst <= tolerance:
        return f"equal: {largest}, within {number(tolerance)}"
    rounding = max(row.rounding or 0.0 for row in report.rows)
    if report.agrees:
        return f"equal: {largest}, which is rounding: it may move this network by {number(rounding)}"
    return f"not equal: {largest}, above {number(tolerance)}, and more than rounding makes"


def table(rows: tuple[VerifiedRow, ...]) -> list[str]:
    """A line for each form and mode."""
    cells = [["form", "mode", "outputs", "gradients", "statistics"]]
    for row in rows:
        numbers = [row.outputs, row.gradients, row.statistics]
        cells.append([row.form, row.mode, *("" if value is None else number(value) for value in numbers)])
    widths = [max(len(line[place]) for line in cells) for place in range(5)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def where(first: FirstDifference) -> str:
    """`u@2,1`: what `A.2` gives differs by 3.0e-02."""
    by = f"differs by {number(first.difference)}" if math.isfinite(first.difference) else "has another shape"
    match first.place:
        case "operand":
            return f"`{first.value}`: what `{first.module}` is applied to {by}"
        case "result":
            return f"`{first.value}`: what `{first.module}` gives {by}"
        case "missing":
            return f"`{first.value}`: `{first.module}` is not used there"
        case "statistics":
            return f"`{first.value}`: how `{first.module}` moves its running statistics {by}"
        case "gradient":
            return f"`{first.value}`, on the way back: the gradient of `{first.module}` {by}"
        case "output":
            return f"`{first.value}`, behind the last use of a parameter: it {by}"


def number(value: float) -> str:
    """A difference with two digits."""
    return f"{value:.1e}" if value and math.isfinite(value) else f"{value:g}"


def report_data(report: Report, tolerance: float) -> dict[str, object]:
    """The report for `--json`; a difference that is not a number is null."""
    rows = [
        {
            "form": row.form,
            "mode": row.mode,
            "outputs": finite(row.outputs),
            "gradients": finite(row.gradients),
            "statistics": finite(row.statistics),
            "rounding": finite(row.rounding),
            "agrees": row.agrees,
        }
        for row in report.rows
    ]
    first = report.first and {
        "form": report.first.form,
        "mode": report.first.mode,
        "value": report.first.value,
        "parameter": report.first.module,
        "place": report.first.place,
        "difference": finite(report.first.difference),
    }
    return {
        "agrees": report.agrees,
        "tolerance": tolerance,
        "largest": finite(report.worst),
        "rows": rows,
        "first": first,
        "unused": list(report.unused),
        "problem": report.problem,
        "contrasts": list(report.contrasts),
    }


def finite(value: float | None) -> float | None:
    """A number that JSON has."""
    return value if value is not None and math.isfinite(value) else None
