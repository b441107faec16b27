"""Time and memory of `check`, `compile` and `show` for large networks of many shapes: `make bench`.

Each command runs as a process of its own; a row has the medians of its processor time and of its memory, and the
exponent of growth between the two largest networks, without the time of a spec of a few lines. The promise is an
exponent near 1 for every shape, and 200,000 operations in 8 s and 700 MB.

    python benchmarks/front_end.py                                    # all shapes, some minutes
    python benchmarks/front_end.py levels v-cycles --commands compile --counts 10000,50000 --rounds 1
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

COUNTS = "10000,50000,199000"
COMMANDS = "check,compile,show"
ROUNDS = 3
LIMIT = 120.0
"""Seconds after which a command is ended; larger networks of its shape are then left out."""
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
    """V-cycles over four levels, one after the other."""
    cycles = count // 42
    return f"""{HEAD}levels ℓ = 1..4
steps i = 1..2
steps n = 1..{cycles}
kernel A@ℓ : 3×3 → 8
kernel S@ℓ : 3×3 → 8
kernel R@ℓ : 3×3 → 8
kernel P@ℓ : 3×3 → 8
g@0      = θ * f
b@1,n    = g@0
d@1,n,0  = e@n-1
d@ℓ,n,0  = 0                                        for ℓ = 2..4
d@ℓ,n,i  = d@ℓ,n,i-1 + S@ℓ * (b@ℓ,n - A@ℓ * d@ℓ,n,i-1)
b@ℓ+1,n  = R@ℓ *_2 (b@ℓ,n - A@ℓ * d@ℓ,n,2)
c@4,n    = d@4,n,2
c@ℓ,n    = d@ℓ,n,2 + P@ℓ *^2 c@ℓ+1,n                for ℓ = 1..3
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
    last = count // 26
    return f"""{HEAD}steps i = 1..{last}
steps j = 1..4
steps k = 1..2
kernel A@j,k : 3×3 → 8
r@0 = θ * f
r@i = r@i-1 + sum(j = 1..4 : relu(sum(k = 1..2 : A@j,k * relu(r@i-1))))
h   = linear ∘ avgpool(r@{last})
"""


def kernels(count: int) -> str:
    """Kernels that nothing uses, a line each."""
    declared = [f"kernel A{i} : 3×3 → 8\n" for i in range(count)]
    return f"{HEAD}{''.join(declared)}h = linear ∘ avgpool ∘ θ * f\n"


SHAPES: dict[str, Callable[[int], str]] = {
    "steps": steps,
    "levels": levels,
    "v-cycles": v_cycles,
    "lines": lines,
    "single": single,
    "twice": twice,
    "reductions": reductions,
    "kernels": kernels,
}


def measure(command: str, text: str, folder: Path, limit: float) -> Measured | None:
    """One run of a command; None where it takes too long."""
    spec = folder / "big.cldf"
    spec.write_text(text, encoding="utf-8")
    output = ["-o", str(folder / "big.py")] if command == "compile" else []
    arguments = [sys.executable, "-m", "cldfc", command, str(spec), *output]
    limited = ["bash", "-c", f'ulimit -t {math.ceil(limit)}; exec "$@"', "bash", *arguments]
    with (folder / "errors").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(limited, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode > 0:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {errors.read()}")
    return (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000) if process.returncode == 0 else None


def median(command: str, text: str, folder: Path, rounds: int, limit: float) -> Measured | None:
    runs = [measure(command, text, folder, limit) for _ in range(rounds)]
    found = [run for run in runs if run is not None]
    if len(found) < rounds:
        return None
    seconds, megabytes = zip(*found, strict=True)
    return statistics.median(seconds), statistics.median(megabytes)


def row(shape: str, command: str, counts: list[int], folder: Path, rounds: int, limit: float) -> str:
    """A line of the table: seconds and megabytes for each size, and the exponent between the last two."""
    start = median(command, SHAPES[shape](100), folder, rounds, limit)
    results: list[tuple[int, Measured]] = []
    cells: list[str] = []
    for count in counts:
        found = median(command, SHAPES[shape](count), folder, rounds, limit) if len(results) == len(cells) else None
        if found is not None:
            results.append((count, found))
        cells.append("—" if found is None else f"{found[0]:.1f} s, {found[1]:.0f} MB")
    exponent = "—"
    if start is not None and len(results) > 1:
        (few, before), (many, after) = results[-2:]
        growth = (after[0] - start[0]) / max(before[0] - start[0], 0.01)
        exponent = f"{math.log(max(growth, 0.01)) / math.log(many / few):.2f}"
    return f"| {shape} | {command} | {' | '.join(cells)} | {exponent} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time and memory of the front end for large networks.")
    parser.add_argument("shapes", nargs="*", default=[], help=f"which of {', '.join(SHAPES)}; all by default")
    parser.add_argument("--commands", default=COMMANDS)
    parser.add_argument("--counts", default=COUNTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of processor time for one command")
    given = parser.parse_args()
    counts = [int(count) for count in given.counts.split(",")]
    print(f"| shape | command | {' | '.join(f'{count:,}' for count in counts)} | exponent |")
    print(f"|---|---|{'---|' * len(counts)}---|")
    with tempfile.TemporaryDirectory() as folder:
        for shape in given.shapes or SHAPES:
            for command in given.commands.split(","):
                print(row(shape, command, counts, Path(folder), given.rounds, given.limit), flush=True)


if __name__ == "__main__":
    main()
