"""A comparison of networks as Markdown, with exact figures: for a README or an issue."""

from __future__ import annotations

from collections.abc import Iterator

from cldfc.show.comparison import Comparison, ComparisonRow, Difference, saved, sharing_text

HEADS = (
    *("model", "parameters", "without sharing", "saved", "multiply-adds"),
    *("convolutions", "depth", "activations kept, bytes/image"),
)


def comparison_markdown(comparison: Comparison) -> str:
    lines = [f"| {' | '.join(HEADS)} |", f"|---|{'---:|' * (len(HEADS) - 1)}"]
    lines += [f"| {' | '.join(figures(row))} |" for row in comparison.rows]
    if len(comparison.rows) == 2:
        lines += ["", *difference_lines(comparison, comparison.differences[0])]
    return "\n".join(lines) + "\n"


def figures(row: ComparisonRow) -> Iterator[str]:
    """The exact figures of one network, in the order of the heads; an underscore in a name is no emphasis."""
    cost = row.cost
    yield f"`{row.label}`"
    yield f"{cost.parameters:,}"
    yield f"{cost.unshared:,}"
    yield f"{saved(cost):.1%}"
    yield f"{cost.multiply_adds:,}"
    yield f"{cost.convolutions:,}"
    yield f"{cost.depth:,}"
    yield f"{cost.kept.each_image:,}"


def difference_lines(comparison: Comparison, difference: Difference) -> Iterator[str]:
    if not difference.statements and not difference.sharing:
        yield "no difference"
        return
    if difference.statements:
        yield from ("```diff", f"--- {comparison.rows[0].spec}", f"+++ {comparison.rows[1].spec}")
        for change in difference.statements:
            before, after = change.texts()
            yield from [f"- {before}"] * (before is not None) + [f"+ {after}"] * (after is not None)
        yield "```"
    if difference.sharing:
        yield ""
        yield from (f"- {sharing_text(family, *both)}" for family, both in difference.sharing.items())
