"""Time per line and per node of the front end, small against large, in alternating runs: `make bench`.

The promise is that neither grows: ratios below 1.5 between 1,000 and 20,000 lines, and between 1,000 and 100,000 nodes.
"""

import statistics
import time
from collections.abc import Callable

from cldfc.compilation import Compilation
from cldfc.diagnostics import Problems, Source
from cldfc.network.expand import expand_program
from cldfc.network.resolve import Changes, resolve_spec
from cldfc.syntax.parse import collector_paused
from cldfc.syntax.read import read_spec

ROUNDS = 5
HEAD = "model Big\ninput f : 3 × 8 × 8\noutput h : 10\nkernel θ : 3×3 → 8\n"


def lines_spec(count: int) -> str:
    """A spec of about `count` lines: a chain of equations, written out."""
    lines = [f"x{i} = x{i - 1} + A * relu ∘ bn(x{i - 1})" for i in range(1, count)]
    return HEAD + "kernel A : 3×3 → 8\nx0 = θ * f\n" + "\n".join(lines) + f"\nh = linear ∘ avgpool(x{count - 1})\n"


def nodes_spec(count: int) -> str:
    """A spec of eight lines that expands to about `count` nodes."""
    steps = count // 4
    equations = "kernel A@i : 3×3 → 8\nr@0 = θ * f\nr@i = r@i-1 + A@i * relu ∘ bn(r@i-1)\n"
    return f"{HEAD}steps i = 1..{steps}\n{equations}h = linear ∘ avgpool(r@{steps})\n"


@collector_paused()
def expand(text: str) -> None:
    """Parse and expand, without the shapes."""
    problems = Problems()
    expand_program(resolve_spec(read_spec(Source("big.cldf", text), problems), Changes(), problems), problems)


def check(text: str) -> None:
    """All that `cldfc check` does."""
    Compilation(Source("big.cldf", text)).check()


def measure(what: str, run: Callable[[str], None], spec: Callable[[int], str], small: int, large: int) -> None:
    """Print microseconds for each of `small` and `large`, medians of alternating runs, and their ratio."""
    times: dict[int, list[float]] = {small: [], large: []}
    run(spec(small))
    for _ in range(ROUNDS):
        for count in (small, large):
            text = spec(count)
            start = time.process_time()
            run(text)
            times[count].append(1e6 * (time.process_time() - start) / count)
    few, many = statistics.median(times[small]), statistics.median(times[large])
    print(f"{what}: {few:6.1f} µs at {small:,}, {many:6.1f} µs at {large:,}: ratio {many / few:.2f}", flush=True)


if __name__ == "__main__":
    measure("parse and expand, per line", expand, lines_spec, 1_000, 20_000)
    measure("parse and expand, per node", expand, nodes_spec, 1_000, 100_000)
    measure("check, per line           ", check, lines_spec, 1_000, 20_000)
    measure("check, per node           ", check, nodes_spec, 1_000, 100_000)
