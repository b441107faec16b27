"""A comparison of networks as Markdown, with exact figures: for a README or an issue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cldfc.network.cost import Cost
from cldfc.show.marks import Difference, sharing_text

HEADS = (
    *("model", "parameters", "without sharing", "saved", "multiply-adds"),
    *("convolutions", "depth", "activations kept, bytes/image"),
)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One network: its spec as the command line names it, its name, its cost."""

    spec: str
    model: str
    cost: Cost
    label: str
    """Its name, or where others have that, too, its spec."""


def saved(cost: Cost) -> float:
    return 1 - cost.parameters / cost.unshared if cost.unshared else 0.0


def comparison_markdown(rows: Sequence[ComparisonRow], differences: Sequence[Difference]) -> str:
    lines = [f"| {' | '.join(HEADS)} |", f"|---|{'---:|' * (len(HEADS) - 1)}"]
    lines += [f"| {' | '.join(exact_figures(row))} |" for row in rows]
    if len(rows) == 2:
        lines += ["", *difference_lines(rows, differences[0])]
    return "\n".join(lines) + "\n"


def exact_figures(row: ComparisonRow) -> Iterator[str]:
    cost = row.cost
    # As code, for in Markdown the underscores of a name may mean emphasis.
    yield f"`{row.label}`"
    yield f"{cost.parameters:,}"
    yield f"{cost.unshared:,}"
    yield f"{saved(cost):.1%}"
    yield f"{cost.multiply_adds:,}"
    yield f"{cost.convolutions:,}"
    yield f"{cost.depth:,}"
    yield f"{cost.kept.each_image:,}"


def difference_lines(rows: Sequence[ComparisonRow], difference: Difference) -> Iterator[str]:
    if not difference.statements and not difference.sharing:
        yield "no difference"
        return
    if difference.statements:
        yield from ("```diff", f"--- {rows[0].spec}", f"+++ {rows[1].spec}")
        for change in difference.statements:
            before, after = change.texts()
            yield from [f"- {before}"] * (before is not None) + [f"+ {after}"] * (after is not None)
        yield "```"
    if difference.sharing:
        yield ""
        yield from (f"- {sharing_text(family, *both)}" for family, both in difference.sharing.items())
