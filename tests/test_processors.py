"""The number of threads, by affinity, cgroups and the environment; others who use the processors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from networks import some

from cldfc.processors import (
    Busy,
    affinity,
    bf16_of_cpu,
    busy_now,
    device_text,
    may_have_cuda,
    prepare_threads,
    remark_on_others,
    usable_processors,
)

ALL = set(range(64))
ROOT = Path(__file__).parents[1]
ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
ON_CORES = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
LOADED = """
import json, os, sys
from unittest.mock import patch
sys.argv = ["cldfc", "show", "fbresnet"]
with patch.object(os, "cpu_count", lambda: 1024):
    from cldfc.__main__ import main
    try:
        main()
    except SystemExit:
        pass
names = "OMP_WAIT_POLICY", "OMP_NUM_THREADS"
print(json.dumps([[os.environ.get(name) for name in names], "torch" in sys.modules]))
"""


def cgroup(folder: Path, membership: str, files: dict[str, str]) -> int:
    """The processors that a process of these groups has on a machine of 64."""
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "self").write_text(membership)
    return usable_processors(folder / "cgroup", folder / "self")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ALL, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("membership", "files", "count"),
    [
        ("", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "300000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "5000 100000\n"}, 1),
        ("0::/elsewhere/in/the/host\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/a\n", {"a/cpu.max": "nonsense\n"}, 64),
        (
            "3:cpu,cpuacct:/a\n1:memory:/b\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "50000\n"},
            5,
        ),
        ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 64),
        ("3:memory:/a\n", {"memory/a/cpu.cfs_quota_us": "100000\n", "memory/a/cpu.cfs_period_us": "100000\n"}, 64),
        ("0::/a\n", {"unified/a/cpu.max": "200000 100000\n"}, 2),
    ],
)
def test_the_smallest_quota_of_the_groups_around_a_process_counts(tmp_path, membership, files, count):
    assert cgroup(tmp_path, membership, files) == count


@pytest.mark.usefixtures("machine")
def test_the_affinity_counts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 5})
    assert cgroup(tmp_path, "0::/a\n", {"a/cpu.max": "900000 100000\n"}) == 3
    environment: dict[str, str] = {}
    prepare_threads(environment)
    assert environment == ASLEEP | {"OMP_NUM_THREADS": "3"}


@pytest.mark.usefixtures("machine")
def test_what_the_environment_says_stays():
    said = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}
    environment = dict(said)
    prepare_threads(environment)
    assert environment == said


def test_torch_chooses_the_number_where_nothing_limits_it(monkeypatch):
    monkeypatch.setattr("cldfc.processors.usable_processors", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    environment: dict[str, str] = {}
    prepare_threads(environment)
    assert environment == ASLEEP


@pytest.mark.parametrize(
    ("count", "said", "is_kept"),
    [
        (8, {}, True),
        (8, {"OMP_NUM_THREADS": "8"}, True),
        # The first cores would be taken by two such trainings.
        (8, {"OMP_NUM_THREADS": "4"}, False),
        (8, {"OMP_NUM_THREADS": "8,2"}, False),
        # A quota: others have the rest.
        (3, {}, False),
        (8, {"OMP_PROC_BIND": "false"}, False),
        (8, {"GOMP_CPU_AFFINITY": "0-3"}, False),
    ],
)
def test_threads_that_take_all_processors_are_kept_on_cores(monkeypatch, count, said, is_kept):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("cldfc.processors.usable_processors", lambda: count)
    monkeypatch.setattr("cldfc.processors.may_have_cuda", lambda: False)
    environment = dict(said)
    prepare_threads(environment, on_cores=True)
    assert environment.items() >= said.items()
    assert (environment.items() >= ON_CORES.items()) == is_kept
    other = dict(said)
    prepare_threads(other)
    assert environment == (other | ON_CORES if is_kept else other)


@pytest.mark.parametrize(
    ("said", "expected"),
    some(
        [
            ({}, ["PASSIVE", str(usable_processors())]),
            ({"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "1"}, ["ACTIVE", "1"]),
        ],
        2,
    ),
)
def test_every_command_says_it_before_torch_is_loaded(said, expected):
    outside = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=outside | said, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [expected, False]


def test_the_kernel_tells_what_others_do(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    statistics, tick = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    ticks = f"{tick} 0 {2 * tick} 99999 99999 0 0 0 5555 0"
    statistics.write_text(f"cpu  1 2 3 4 5\ncpu0 {ticks}\ncpu1 7 7 7 7 7 7 7 7 7 7\ncpu2 {ticks}\nintr 1 2\n")
    busy = busy_now(statistics)
    assert busy is not None
    assert busy.seconds == 6.0
    assert busy_now(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("others", "own", "is_told"), [(0.0, 1.9, False), (0.4, 1.6, False), (0.7, 1.3, True), (2.0, 0.1, True)]
)
def test_others_are_told_of_when_they_take_what_is_needed(monkeypatch, others, own, is_told):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr("cldfc.processors.usable_processors", lambda: 2)
    before, now = Busy(10.0, 500.0, 3.0), Busy(14.0, 500.0 + 4 * (others + own), 3.0 + 4 * own)
    remark = remark_on_others(before, now)
    assert (remark is not None) == is_told
    if remark:
        assert remark == (
            f"others keep {others:.1f} of the 2 processors busy: this takes longer than on an idle machine"
        )
    assert remark_on_others(before, Busy(10.1, 500.2, 3.0)) is None
    assert remark_on_others(None, now) is None


def test_the_device_is_known_without_torch_as_torch_knows_it():
    if may_have_cuda():
        pytest.skip("torch is asked here")
    from cldfc.device import choose_device

    bf16 = bf16_of_cpu()
    assert bf16 is not None
    assert device_text("cpu", bf16, False) == str(choose_device())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_libraries_are_loaded_without_torch() -> None:
    """By themselves, and torch computes with them; where there is no torch, nothing happens."""
    code = """
import sys, cldfc.processors
from unittest.mock import patch
def are_loaded(): return "libtorch_cpu" in open("/proc/self/maps").read()
with patch.object(cldfc.processors, "find_spec", lambda name: None):
    cldfc.processors.load_libraries()
print(are_loaded())
cldfc.processors.load_libraries()
print(are_loaded(), "torch" in sys.modules)
import torch
print(torch.ones(3).sum().item())
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True", "False", "3.0"]


KEPT = """
import json, os, subprocess, sys
from pathlib import Path
from cldfc.processors import prepare_threads
prepare_threads(on_cores=True)
import torch
from cldfc.device import on_own_core, start_threads

def places():
    threads = [path.name for path in Path("/proc/self/task").iterdir()]
    return sorted(sorted(os.sched_getaffinity(int(thread))) for thread in threads)

start_threads()
free = sorted(os.sched_getaffinity(0))
with on_own_core():
    torch.zeros(2**20).add_(1)
    kept = places()
child = subprocess.run(
    [sys.executable, "-c", "import torch, os; torch.zeros(2**20).add_(1); print(len(os.sched_getaffinity(0)))"],
    capture_output=True, text=True, check=True,
)
print(json.dumps([free, kept, sorted(os.sched_getaffinity(0)), int(child.stdout), torch.get_num_threads()]))
"""


@pytest.mark.skipif(may_have_cuda() or not hasattr(os, "sched_setaffinity"), reason="threads are not kept on cores")
@pytest.mark.skipif(usable_processors() < len(affinity()) or len(affinity()) < 2, reason="it takes several processors")
def test_threads_are_kept_on_cores_of_their_own_and_what_they_start_is_not():
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", KEPT], env=outside, capture_output=True, text=True, check=True)
    free, kept, after, of_child, threads = json.loads(done.stdout)
    everywhere = sorted(affinity())
    assert free == after == everywhere and of_child == len(everywhere)
    bound = [place for place in kept if place != everywhere]
    assert len(bound) == threads == len({processor for place in bound for processor in place}) > 1
