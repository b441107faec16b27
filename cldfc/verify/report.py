"""A report as text and as plain data."""

from __future__ import annotations

import math

from cldfc.verify.compare import FirstDifference, VerifiedRow
from cldfc.verify.verify import Report

MOST_CONTRASTS = 12
"""Lines about what differs; a network that differs everywhere fills the screen otherwise."""


def report_lines(report: Report, tolerance: float) -> list[str]:
    """A table of the largest differences, where the first one appears, and whether all stay below the tolerance."""
    lines = [] if not report.rows else table_of_rows(report.rows)
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
    largest = f"largest difference {difference_text(report.worst)}"
    if report.worst <= tolerance:
        return f"equal: {largest}, within {difference_text(tolerance)}"
    rounding = max(row.rounding or 0.0 for row in report.rows)
    if report.agrees:
        return f"equal: {largest}, which is rounding: it may move this network by {difference_text(rounding)}"
    return f"not equal: {largest}, above {difference_text(tolerance)}, and more than rounding makes"


def table_of_rows(rows: tuple[VerifiedRow, ...]) -> list[str]:
    cells = [["form", "mode", "outputs", "gradients", "statistics"]]
    for row in rows:
        numbers = [row.outputs, row.gradients, row.statistics]
        cells.append([row.form, row.mode, *("" if value is None else difference_text(value) for value in numbers)])
    widths = [max(len(line[place]) for line in cells) for place in range(5)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def where(first: FirstDifference) -> str:
    """`u@2,1`: what `A.2` gives differs by 3.0e-02."""
    by = f"differs by {difference_text(first.difference)}" if math.isfinite(first.difference) else "has another shape"
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


def difference_text(value: float) -> str:
    return f"{value:.1e}" if value and math.isfinite(value) else f"{value:g}"


def report_data(report: Report, tolerance: float) -> dict[str, object]:
    keys = ("form", "mode", "outputs", "gradients", "statistics", "rounding", "agrees")
    rows = [{key: getattr(row, key) for key in keys} for row in report.rows]
    first = report.first and {
        "form": report.first.form,
        "mode": report.first.mode,
        "value": report.first.value,
        "parameter": report.first.module,
        "place": report.first.place,
        "difference": report.first.difference,
    }
    return {
        "agrees": report.agrees,
        "tolerance": tolerance,
        "largest": report.worst,
        "rows": rows,
        "first": first,
        "unused": list(report.unused),
        "problem": report.problem,
        "contrasts": list(report.contrasts),
    }
