"""Time and memory of `check`, `compile` and `show` for large networks of many shapes, and for the largest spec.

Each command runs as a process of its own; figures are medians of its processor time, which others lengthen little, and
of the memory that it has at most. The promise is that both grow in proportion to the network, an exponent near 1
between the two largest without the time of a spec of a few lines; 200,000 operations in 8 s and 700 MB; and 0.6 s to
compile the largest of `specs/`.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measuring import ROOT, Benchmark, Cell, main

COUNTS, FEW = (10_000, 50_000, 199_000), 100
COMMANDS = ("check", "compile", "show")
LIMIT = 120.0
"""Seconds of processor time after which a command is ended."""
LARGEST, OPERATIONS = "specs/multigrid/poisson_w.cldf", 6386
"""Of all specs that with most operations; to find it here would load what is measured."""
HEAD = "model Big\ninput f : 3 × 8 × 8\noutput h : 10\nkernel θ : 3×3 → 8\n"

Measured = tuple[float, float]
"""Seconds of processor time, and the megabytes of memory that it had at most."""


def steps(count: int) -> str:
    """One long recurrence over steps."""
    last = count // 4
    equations = "kernel A@i : 3×3 → 8\nr@0 = θ * f\nr@i = r@i-1 + A@i * relu ∘ bn(r@i-1)\n"
    return f"{HEAD}steps i = 1..{last}\n{equations}h = linear ∘ avgpool(r@{last})\n"


def levels(count: int) -> str:
    """One long recurrence over levels, some steps on each."""
    last = count // 12
    equations = (
        "kernel A@ℓ : 3×3 → 8\nkernel B@ℓ,i : 3×3 → 8\nr@1,0 = θ * f\n"
        "r@ℓ,i = r@ℓ,i-1 + A@ℓ * relu ∘ B@ℓ,i * relu(r@ℓ,i-1)\nr@ℓ+1,0 = relu ∘ bn(r@ℓ,2)\n"
    )
    return f"{HEAD}levels ℓ = 1..{last}\nsteps i = 1..2\n{equations}h = linear ∘ avgpool(r@{last},2)\n"


def v_cycles(count: int) -> str:
    """Cycles over four levels, one after the other: 50 operations each, and four equations that only rename."""
    return cycles_over(4, count // 54)


def cycles_over(levels: int, cycles: int) -> str:
    return f"""{HEAD}levels ℓ = 1..{levels}
steps i = 1..2
steps n = 1..{cycles}
kernel A@ℓ : 3×3 → 8
kernel S@ℓ : 3×3 → 8
kernel R@ℓ : 3×3 → 8
kernel P@ℓ : 3×3 → 8
g@0      = θ * f
b@1,n    = g@0
d@1,n,0  = e@n-1
d@ℓ,n,0  = 0                                        for ℓ = 2..{levels}
d@ℓ,n,i  = d@ℓ,n,i-1 + S@ℓ * (b@ℓ,n - A@ℓ * d@ℓ,n,i-1)
b@ℓ+1,n  = R@ℓ *_2 (b@ℓ,n - A@ℓ * d@ℓ,n,2)
c@{levels},n    = d@{levels},n,2
c@ℓ,n    = d@ℓ,n,2 + P@ℓ *^2 c@ℓ+1,n                for ℓ = 1..{levels - 1}
e@0      = 0
e@n      = c@1,n
h        = linear ∘ avgpool(e@{cycles})
"""


def lines(count: int) -> str:
    """A chain of equations of several operations, written out."""
    last = count // 4
    written = [f"x{i} = x{i - 1} + A * relu ∘ bn(x{i - 1})\n" for i in range(1, last)]
    return f"{HEAD}kernel A : 3×3 → 8\nx0 = θ * f\n{''.join(written)}h = linear ∘ avgpool(x{last - 1})\n"


def single(count: int) -> str:
    """A chain of equations of one operation."""
    written = [f"x{i} = relu(x{i - 1})\n" for i in range(1, count)]
    return f"{HEAD}x0 = θ * f\n{''.join(written)}h = linear ∘ avgpool(x{count - 1})\n"


def twice(count: int) -> str:
    """Many equations, each for two steps of its own."""
    last = count // 4
    written = [f"x{k}@i = x{k}@i-1 + relu(x{k}@i-1)\nx{k}@0 = x{k - 1}@2\n" for k in range(1, last)]
    return f"{HEAD}steps i = 1..2\nx0@2 = θ * f\n{''.join(written)}h = linear ∘ avgpool(x{last - 1}@2)\n"


def reductions(count: int) -> str:
    """Sums within sums, a pair in each step."""
    return sums_of(4, count // 26)


def sums_of(terms: int, last: int) -> str:
    return f"""{HEAD}steps i = 1..{last}
steps j = 1..{terms}
steps k = 1..2
kernel A@j,k : 3×3 → 8
r@0 = θ * f
r@i = r@i-1 + sum(j = 1..{terms} : relu(sum(k = 1..2 : A@j,k * relu(r@i-1))))
h   = linear ∘ avgpool(r@{last})
"""


def kernels(count: int) -> str:
    """Kernels that nothing uses, a line each."""
    declared = [f"kernel A{i} : 3×3 → 8\n" for i in range(count)]
    return f"{HEAD}{''.join(declared)}h = linear ∘ avgpool ∘ θ * f\n"


LARGE = (steps, levels, v_cycles, reductions, lines)
OTHERS = (single, twice, kernels)
"""Those that are not made as large as the first ones."""


def run_command(command: str, spec: Path, folder: Path) -> Measured | None:
    """One run of a command; None where it takes too long."""
    output = ["-o", str(folder / "big.py")] if command == "compile" else []
    arguments = [sys.executable, "-m", "cldfc", command, str(spec), *output]
    limited = ["bash", "-c", f'ulimit -t {math.ceil(LIMIT)}; exec "$@"', "bash", *arguments]
    with (folder / "errors").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(limited, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode > 0:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {errors.read()}")
    return (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000) if process.returncode == 0 else None


def exponent(start: Measured | None, before: Measured | None, after: Measured | None, times: float) -> float | None:
    """Of the growth between two sizes, one so many times the other, without the time of a spec of a few lines."""
    if not (start and before and after):
        return None
    growth = (after[0] - start[0]) / max(before[0] - start[0], 0.01)
    return math.log(max(growth, 0.01)) / math.log(times)


def medians(benchmark: Benchmark, what: str, spec: Path, folder: Path, share: float) -> dict[str, Measured | None]:
    """Of the commands, in turns; None for one that takes too long."""
    found: dict[str, list[Measured | None]] = {command: [] for command in COMMANDS}

    def run(command: str) -> float:
        if None in found[command]:
            return math.nan
        found[command].append(measured := run_command(command, spec, folder))
        return measured[0] if measured else math.nan

    benchmark.in_turns(what, {command: partial(run, command) for command in COMMANDS}, share)
    return {
        command: None if None in runs else tuple(map(statistics.median, zip(*filter(None, runs), strict=True)))
        for command, runs in found.items()
    }


def row(what: str, count: int, found: dict[str, Measured | None]) -> list[Cell]:
    """Seconds and megabytes of each command, and what others take more than `check`."""
    cells: list[Cell] = [what, count]
    check = found["check"]
    for command in COMMANDS:
        measured = found[command]
        cells += measured or (None, None)
        if command != "check":
            cells.append(measured[0] / check[0] if measured and check else None)
    return cells


def measure(benchmark: Benchmark) -> None:
    counts = (1_000, 2_000) if benchmark.is_quick else COUNTS
    shapes: dict[Callable[[int], str], tuple[int, ...]] = dict.fromkeys(LARGE, counts)
    shapes = {steps: counts} if benchmark.is_quick else shapes | dict.fromkeys(OTHERS, counts[:-1])
    rows: list[list[Cell]] = []
    grows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for shape, sizes in shapes.items():
            named = shape.__name__.replace("_", "-")
            found: dict[int, dict[str, Measured | None]] = {}
            for size in (FEW, *sizes):
                (spec := folder / "big.cldf").write_text(shape(size), encoding="utf-8")
                found[size] = medians(benchmark, f"{named}, {size:,}", spec, folder, 0)
            rows += [row(named, size, found[size]) for size in sizes]
            start, before, after = found[FEW], found[sizes[-2]], found[sizes[-1]]
            times = sizes[-1] / sizes[-2]
            grows.append([named, *(exponent(start[c], before[c], after[c], times) for c in COMMANDS)])
        of_spec = medians(benchmark, LARGEST, ROOT / LARGEST, folder, 0.05)
        rows.append(row(LARGEST, OPERATIONS, of_spec))
    columns = {"network": "{}", "operations": "{:,}"}
    for command in COMMANDS:
        columns |= {command: "{:.2f} s", f"{command}, memory": "{:,.0f} MB"}
        columns |= {f"{command} / check": "{:.1f} ×"} if command != "check" else {}
    shown = " ".join(f"{shape.__name__.replace('_', '-')}: {(shape.__doc__ or '').lower()}" for shape in shapes)
    about = f"Processor time and memory of the whole command; — is more than {LIMIT:.0f} s. {shown}"
    benchmark.table("How does compiling grow with the network?", about, columns, rows)
    columns = {"network": "{}"} | dict.fromkeys(COMMANDS, "{:.2f}")
    about = "Of the time, between the two largest, without that of a spec of a few lines; 1 is in proportion."
    benchmark.table("With which exponent?", about, columns, grows)
    largest = [cell for line in rows if line[1] == counts[-1] for cell in (line[2:4], line[4:6], line[7:9])]
    benchmark.promise(
        "the largest exponent of growth", max(cell for line in grows for cell in line[1:] if cell is not None), most=1.1
    )
    benchmark.promise(f"{counts[-1]:,} operations, seconds of a command", max(s or LIMIT for s, _ in largest), most=8)
    benchmark.promise(f"{counts[-1]:,} operations, megabytes", max(m or math.inf for _, m in largest), most=700)
    if compiling := of_spec["compile"]:
        benchmark.promise(f"seconds of compile {LARGEST}", compiling[0], most=0.6)


if __name__ == "__main__":
    main(measure, 35)
