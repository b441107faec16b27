"""`docs/performance.md` from what the benchmarks have kept: `python -m benchmarks.page`, the end of `make bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import BUSY, FEWEST, RESULTS, ROOT, as_markdown, load_in_words

PAGE = ROOT / "docs" / "performance.md"
BENCHMARKS = ("trainer", "inference", "generated", "forms", "convolutions", "front_end")
"""In the order of the page."""
HEAD = f"""# Performance

`make bench` writes this page, in about an hour on two cores, from `benchmarks/results/`, which also has the seconds of
each round. It is not edited by hand.

- The sides of a comparison take turns, each in a process of its own, in reversed order every second round. A figure is
  a median over at least {FEWEST} rounds, a ratio the median of the ratios of the rounds.
- Plain is float32 in torch's default layout, under `torch.no_grad` or with a DataLoader. Good is what somebody who
  knows the machine would write: channels-last, in bfloat16 if the processor multiplies in it, images in memory. Good,
  compiled is the same through `torch.compile`. All of them are in `benchmarks/scripts.py`.
- Busy means that other programs used more than {BUSY:g} processors meanwhile: such figures say little, and do not show
  whether a promise is kept.
- Figures for CUDA are on [a page of their own](cuda.md).
"""

Record = Mapping[str, Any]


def records(folder: Path = RESULTS) -> list[Record]:
    """What has been kept, a record for each benchmark and kind of processor."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]
    return sorted(found, key=lambda record: BENCHMARKS.index(record["benchmark"]))


def page(found: Sequence[Record]) -> str:
    """A section for each question, and in it a table for each processor; promises first."""
    asked: dict[str, list[str]] = {}
    for record in found:
        for table in record["tables"]:
            where = f"{machine(record)}; {load_in_words([table['others']])}."
            parts = asked.setdefault(table["question"], [f"## {table['question']}\n"])
            parts += [f"{where}\n\n{table['about']}\n", as_markdown(table["columns"], table["rows"])]
    return "\n".join([HEAD, promises(found), *(part for parts in asked.values() for part in parts)])


def machine(record: Record) -> str:
    """On what a benchmark ran, and when."""
    about = record["machine"]
    release = about["packages"]["torch"]
    where = f"{about['processor']} ({about['multiplies']}), {about['threads']} threads, torch {release}"
    rounds = min(len(seconds) for sides in record["runs"].values() for seconds in sides.values())
    return f"{where}, {about['started'][:10]}, commit {record['commit']}; at least {rounds} rounds"


def promises(found: Sequence[Record]) -> str:
    """What is promised, and whether it is kept, which a busy machine cannot say: a row for each processor."""
    columns = dict.fromkeys(("promise", "wanted", "found", "kept", "where"), "{}")
    rows: list[list[str]] = []
    for record in found:
        is_busy = load_in_words(table["others"] for table in record["tables"]).startswith("BUSY")
        for promise in record["promises"]:
            wanted = f"≤ {promise['most']:g}" if promise["least"] is None else f"≥ {promise['least']:g}"
            kept = "busy" if is_busy else "yes" if promise["kept"] else "**no**"
            rows.append([promise["what"], wanted, f"{promise['found']:.3g}", kept, record["machine"]["multiplies"]])
    body = as_markdown(columns, rows) if rows else "No benchmark with a promise has been run for this page yet.\n"
    return f"## What is promised\n\n{body}"


if __name__ == "__main__":
    PAGE.write_text(page(records()), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
