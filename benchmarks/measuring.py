"""What every benchmark needs: sides in processes of their own, asked in turns; the load of others; a record as JSON.

    python -m benchmarks.trainer             # writes benchmarks/results/…/trainer.json, from which the page is made
    python -m benchmarks.trainer --quick     # tiny, to see that it runs: its figures mean nothing, and are not kept
    python -m benchmarks.trainer --minutes 3 # fewer rounds, never less than three

While one side works the others sleep. Each has a process of its own, since how memory is freed is decided for a whole
process, and what it takes at most is counted for one. A figure is a median over rounds, every second one in turned
order; a ratio is the median of the ratios of the rounds. Two processes with the same work differ by some percent, so
where less is promised, both work in turns within one (`in_pairs`).

torch is loaded only where it is used: what a process takes at most, the kernel may count in what it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from cldfc.processors import Busy, busy_now, prepare_threads

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
QUICK = ROOT / "build" / "benchmarks"
BUSY = 0.2
"""Processors: a machine on which others use more is busy."""
FEWEST, MOST, TURN = 3, 25, 0.5
"""Rounds at least and at most, and the seconds that a turn lasts at least."""
MOST_PAIRS = 200
PATIENCE = 3
"""How many times as long as planned a benchmark may take before it is ended; ten minutes count at least."""

Work = Callable[[], object]
"""What is timed; what it gives is told if it can be said in JSON."""
Cell = str | float | None


# The load of others


def moment() -> Busy | None:
    """How long the processors have worked so far, and how long of it for this process and all that it has started."""
    now = busy_now()
    return now and replace(now, own=used_by_all())


def used_by_all() -> float:
    """Seconds of processor time of this process, of what it has started, and of what those have waited for."""
    parents, used = dict[int, int](), dict[int, int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text(errors="replace").rpartition(")")[2].split()
            parents[int(path.parent.name)], used[int(path.parent.name)] = int(words[1]), sum(map(int, words[11:15]))
    mine = {os.getpid()}
    while found := {child for child, parent in parents.items() if parent in mine} - mine:
        mine |= found
    return sum(used.get(number, 0) for number in mine) / os.sysconf("SC_CLK_TCK")


def others_since(before: Busy | None) -> float | None:
    """How many processors others have kept busy; None where the kernel does not tell."""
    now = moment()
    return None if before is None or now is None else now.others_since(before)


# Sides


class Side:
    """A process that works whenever it is asked; cldfc's has the environment that the command sets for itself."""

    def __init__(self, module: str, name: str, is_quick: bool) -> None:
        self.name, environment = name, dict(os.environ)
        if name.startswith("cldfc"):
            prepare_threads(environment, on_cores=True)
        command = [sys.executable, "-m", module, "--side", name, *["--quick"] * is_quick]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
        self.said: Any = None
        self.megabytes = 0.0

    def begin(self, seconds: float) -> None:
        """Let it work once, and again until some seconds are over."""
        # One that has failed is named when it does not answer.
        with suppress(BrokenPipeError):
            print(seconds, file=self.process.stdin, flush=True)

    def end(self) -> float:
        """Wait until it has done that: the seconds that it took once."""
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"`{self.name}` has failed")
        seconds, self.megabytes, self.said = json.loads(line)
        return seconds

    def run(self, seconds: float) -> float:
        self.begin(seconds)
        return self.end()

    def close(self) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def serve(work: Work) -> None:
    """In the process of a side: work as standard input says, and answer."""
    channel, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        start, count, said = time.perf_counter(), 0, None
        while count == 0 or time.perf_counter() - start < float(line):
            said, count = work(), count + 1
        seconds = (time.perf_counter() - start) / count
        print(json.dumps([seconds, peak(), said], default=lambda _: None), file=channel, flush=True)


def paired(one: Work, other: Work) -> Iterator[tuple[float, float]]:
    """The seconds of two works in turns, again and again; every second time in turned order."""
    works = {"one": one, "other": other}
    for number in count():
        seconds = dict[str, float]()
        for name in [*works][:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            works[name]()
            seconds[name] = time.perf_counter() - start
        yield seconds["one"], seconds["other"]


def peak() -> float:
    """The megabytes of memory that this process has had at most."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) / 1000
    return 0.0


@dataclass
class Compared:
    """What some sides took, round by round."""

    seconds: dict[str, list[float]]
    megabytes: dict[str, float]
    said: dict[str, Any]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, one: str, other: str) -> float:
        """How many times as long as the other one takes."""
        return ratio(self.seconds[one], self.seconds[other])


def ratio(one: Iterable[float], other: Iterable[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


# A benchmark


@dataclass
class Benchmark:
    """A benchmark that runs: what it asks, and what it has found."""

    name: str
    minutes: float
    is_quick: bool
    tables: list[dict[str, Any]] = field(default_factory=list)
    promises: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """The seconds of every round, for whoever wants other figures than medians."""
    since: Busy | None = field(default_factory=moment)

    @contextmanager
    def sides(self, names: Iterable[str]) -> Generator[dict[str, Side]]:
        """Processes, started and warmed up one by one: what one of them measures or compiles, it does alone."""
        started: dict[str, Side] = {}
        with ExitStack() as stack:
            for name in names:
                started[name] = Side(f"benchmarks.{self.name}", name, self.is_quick)
                stack.callback(started[name].close)
                started[name].run(0)
                started[name].run(0)
            yield started

    def rounds(self, share: float, most: int = MOST) -> Generator[int]:
        """The numbers of the rounds that fit into a share of the minutes."""
        until, number = time.monotonic() + 60 * share * self.minutes, 0
        fewest, most = (1, 1) if self.is_quick else (FEWEST, most)
        while number < fewest or (number < most and time.monotonic() < until):
            yield number
            number += 1

    def in_turns(self, what: str, works: Mapping[str, Callable[[], float]], share: float) -> dict[str, list[float]]:
        """Let each do its work and say how long that took, round by round, for a share of the minutes."""
        found: dict[str, list[float]] = {name: [] for name in works}
        for number in self.rounds(share):
            for name in [*works][:: -1 if number % 2 else 1]:
                found[name].append(works[name]())
        self.runs[what] = found
        return found

    def compare(self, what: str, names: Sequence[str], share: float, turn: float = TURN) -> Compared:
        """Ask sides in turns."""
        with self.sides(names) as sides:
            turn = 0 if self.is_quick else turn
            found = self.in_turns(what, {name: partial(side.run, turn) for name, side in sides.items()}, share)
            memory = {name: side.megabytes for name, side in sides.items()}
            return Compared(found, memory, {name: side.said for name, side in sides.items()})

    def in_pairs(self, what: str, side: str, works: tuple[str, str], share: float) -> list[list[float]]:
        """What each of two works took, pair by pair, on a side that says what is `paired`."""
        with self.sides((side,)) as sides:
            pairs: list[list[float]] = []
            for _ in self.rounds(share, MOST_PAIRS):
                sides[side].run(0)
                pairs.append(sides[side].said)
        found = [list(column) for column in zip(*pairs, strict=True)]
        self.runs[what] = dict(zip(works, found, strict=True))
        return found

    def table(self, question: str, about: str, columns: Mapping[str, str], rows: Sequence[Sequence[Cell]]) -> None:
        """Keep what answers a question; the columns have their formats. Print it, with the load of others meanwhile."""
        others, self.since = others_since(self.since), moment()
        self.tables.append(
            {"question": question, "about": about, "columns": dict(columns), "rows": rows, "others": others}
        )
        print(f"\n{question}\n\n{as_markdown(columns, rows)}\n{load_in_words([others])}", flush=True)

    def promise(self, what: str, found: float, most: float | None = None, least: float | None = None) -> None:
        """Keep a figure, what it is to be at most or at least, and whether it is."""
        is_kept = (most is None or found <= most) and (least is None or found >= least)
        self.promises.append({"what": what, "found": found, "most": most, "least": least, "kept": is_kept})
        print(promise_in_words(self.promises[-1]), flush=True)

    def record(self, others_before: float | None) -> dict[str, Any]:
        """All of it, and what machine it was."""
        from cldfc.device import choose_device
        from cldfc.runs.environment import session_now
        from cldfc.training.metrics import BEGINNING

        session = session_now(BEGINNING, str(choose_device(wished="cpu")), "cpu", 1).model_dump(mode="json")
        kept = ("started", "processor", "platform", "processors", "threads", "device", "python", "packages")
        return {
            "benchmark": self.name,
            "machine": {**{name: session[name] for name in kept}, "multiplies": multiplies()},
            "commit": commit(),
            "is_quick": self.is_quick,
            "others_before": others_before,
            "tables": self.tables,
            "promises": self.promises,
            "runs": {
                what: {name: [float(f"{second:.5g}") for second in seconds] for name, seconds in found.items()}
                for what, found in self.runs.items()
            },
        }


def commit() -> str:
    """What was measured; other results and the page do not change it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs/performance.md")
    return git("rev-parse", "--short", "HEAD") + " with changes" * bool(changed)


def multiplies() -> str:
    """With what the processor multiplies matrices: its results are kept apart from those of others."""
    import torch

    flags: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    named = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
    return next((name for flag, name in named.items() if flags.get(flag)), torch.backends.cpu.get_cpu_capability())


def as_markdown(columns: Mapping[str, str], rows: Iterable[Sequence[Cell]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for row in rows:
        cells = ["—" if cell is None else shown.format(cell) for shown, cell in zip(columns.values(), row, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def load_in_words(others: Iterable[float | None]) -> str:
    """How much others have computed meanwhile, at most, and whether figures can be trusted."""
    known = [load for load in others if load is not None]
    if not known:
        return "the load of others is not known"
    return f"{'BUSY' if max(known) > BUSY else 'quiet'}: others used {max(known):.2f} processors"


def promise_in_words(promise: Mapping[str, Any]) -> str:
    sign, bound = ("≤", promise["most"]) if promise["least"] is None else ("≥", promise["least"])
    return (
        f"{promise['what']}: {promise['found']:.3g}, promised {sign} {bound:g}{'' if promise['kept'] else ': NOT KEPT'}"
    )


def main(measure: Callable[[Benchmark], None], minutes: float, side: Callable[[str, bool], Work] | None = None) -> None:
    """Measure, or serve as one side of it."""
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="tiny; the figures mean nothing, and are not kept")
    parser.add_argument("--minutes", type=float, default=minutes, help="about how long it takes (default %(default)g)")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is not None:
        assert side is not None
        serve(side(given.side, given.quick))
        return
    # The sides end with their standard input.
    signal.alarm(0 if given.quick else int(60 * PATIENCE * max(given.minutes, 10)))
    before = moment()
    time.sleep(0.5 if given.quick else 3)
    others = others_since(before)
    print(f"{name}, about {given.minutes:g} minutes; {load_in_words([others])}", flush=True)
    benchmark = Benchmark(name, given.minutes, given.quick)
    measure(benchmark)
    record = benchmark.record(others)
    folder = QUICK if given.quick else RESULTS / re.sub(r"\W+", "-", record["machine"]["multiplies"]).lower()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps(record, ensure_ascii=False, indent=1)
    # A row or the seconds of a side on a line.
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r"\n\s*", " ", found[1]) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")
    print(path)
