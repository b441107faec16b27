"""The page on performance is made from the kept figures; and how figures come about: turns, load, quick runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import measuring
from benchmarks.measuring import Benchmark, Side, moment, others_since, paired, ratio, used_by_all
from benchmarks.page import BENCHMARKS, PAGE, page, records

BURN = """
import time
while time.process_time() < 0.4:
    pass
print(flush=True)
input()
"""


def test_the_page_is_made_from_the_kept_figures():
    """`python -m benchmarks.page` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page(records())


def test_what_is_kept_says_when_and_where_and_is_not_quick():
    kept = records()
    assert {record["benchmark"] for record in kept} == set(BENCHMARKS)
    for record in kept:
        assert not record["is_quick"] and record["commit"] and record["machine"]["started"]
        rounds = {len(seconds) for sides in record["runs"].values() for seconds in sides.values()}
        assert rounds and min(rounds) >= measuring.FEWEST


def test_a_broken_promise_is_said():
    benchmark = Benchmark("forms", 1, is_quick=True)
    benchmark.promise("fast", 0.9, least=1.0)
    benchmark.promise("small", 0.9, most=1.0)
    assert [promise["kept"] for promise in benchmark.promises] == [False, True]
    benchmark.table("Which?", "All.", {"what": "{}", "time": "{:.1f} s"}, [["this", 1.25], ["that", None]])
    machine = {"processor": "a CPU", "multiplies": "AVX2", "threads": 2, "packages": {"torch": "9.9"}}
    about = {"machine": machine | {"started": "2026-01-01T00:00:00Z"}, "commit": "abc", "benchmark": "forms"}
    about |= {"promises": benchmark.promises, "runs": {"this": {"a side": [1.0, 2.0, 3.0]}}}
    quiet, busy = (page([about | {"tables": [benchmark.tables[0] | {"others": others}]}]) for others in (0.1, 1.5))
    assert "| fast | ≥ 1 | 0.9 | **no** | AVX2 |\n| small | ≤ 1 | 0.9 | yes | AVX2 |" in quiet
    assert "quiet: others used 0.10 processors" in quiet and "| this | 1.2 s |\n| that | — |" in quiet
    assert "BUSY: others used 1.50 processors" in busy and "| small | ≤ 1 | 0.9 | busy | AVX2 |" in busy


def test_every_second_round_is_in_turned_order():
    asked: list[str] = []
    benchmark = Benchmark("forms", 0, is_quick=False)
    found = benchmark.in_turns("x", {name: lambda name=name: asked.append(name) or 1.0 for name in "ab"}, share=1)
    assert asked == [*"abbaab"] and found == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert ratio([2.0, 9.0, 6.0], [1.0, 1.0, 2.0]) == 3


@pytest.mark.skipif(moment() is None, reason="the kernel does not say how long processors have worked")
def test_what_a_side_computes_is_not_the_load_of_others():
    before, used = moment(), used_by_all()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", BURN], text=True, **pipes) as child:
        assert child.stdout and child.stdout.readline()
        while_it_runs = used_by_all() - used
        child.communicate("\n")
    assert while_it_runs >= 0.3
    assert used_by_all() - used >= while_it_runs - 0.05
    others = others_since(before)
    assert others is not None and others >= 0


def test_a_side_that_fails_is_named(capfd: pytest.CaptureFixture[str]):
    side = Side("benchmarks.nothing", "good; inference", is_quick=True)
    with pytest.raises(RuntimeError, match="`good; inference` has failed"):
        side.run(0)
    side.close()


def test_a_quick_run_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "QUICK", tmp_path)
    monkeypatch.setattr(sys, "argv", ["forms.py", "--quick"])
    kept = sorted(measuring.RESULTS.rglob("*"))
    measuring.main(lambda benchmark: benchmark.promise("fast", 1.0, least=1.0), minutes=1)
    record = json.loads((tmp_path / "forms.json").read_text(encoding="utf-8"))
    assert record["is_quick"] and sorted(measuring.RESULTS.rglob("*")) == kept


def test_pairs_are_taken_in_turned_order():
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        time.sleep(0.02)

    pairs = paired(slow, lambda: order.append("fast"))
    assert all(one > other for one, other in (next(pairs), next(pairs)))
    assert order == ["slow", "fast", "fast", "slow"]
