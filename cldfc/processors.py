"""The processors that this process may use, and what others leave of them: what is known before torch is loaded."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_GROUPS, _MEMBERSHIP, _STATISTICS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"), Path("/proc/stat")
_PERIOD = 100_000
"""Microseconds, where a cgroup names none."""


def affinity() -> set[int]:
    """The processors on which the kernel lets this thread run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


ALLOWED = affinity()
"""Those at the start, before torch is loaded, which may keep this thread on one of them."""


def prepare_threads(environment: MutableMapping[str, str] = os.environ, on_cores: bool = False) -> None:
    """Let threads of OpenMP wait asleep, and start no more of them than this process has processors.

    Threads that spin while they wait take the processors from each other as soon as somebody else computes. What the
    environment says already stays; where nothing limits the process, torch chooses the number.

    With `on_cores`, if they take all its processors, each is kept on a core of its own: the kernel may put two on one
    when others compute, and within oneDNN's convolutions one that runs spins until the other has run, too.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment.setdefault("GOMP_SPINCOUNT", _SPINS)
    count, there = usable_processors(), len(affinity())
    if count < (os.cpu_count() or 1):
        environment.setdefault("OMP_NUM_THREADS", str(count))
    takes_all = environment.get("OMP_NUM_THREADS", str(count)) == str(there)
    can_be_kept = hasattr(os, "sched_setaffinity") and environment.keys().isdisjoint(_BINDING)
    if on_cores and takes_all and can_be_kept and not may_have_cuda():
        environment.update(ON_CORES)


_SPINS = "10000"
"""How often a thread looks for work before it sleeps: in a tenth of a millisecond the next part of a step begins."""
ON_CORES = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
"""What keeps each thread of OpenMP on a core."""
_BINDING = {*ON_CORES, "GOMP_CPU_AFFINITY", "KMP_AFFINITY"}


def load_libraries() -> None:
    """Load the libraries of torch, in its order: half a second that needs no Python, for a thread beside all else.

    What is missing or called otherwise, as on other systems than Linux, torch loads later.
    """
    from ctypes import CDLL, RTLD_GLOBAL

    found = find_spec("torch")
    for folder in (found and found.submodule_search_locations) or ():
        with suppress(OSError):
            CDLL(os.path.join(folder, "lib", "libtorch_global_deps.so"), RTLD_GLOBAL)
            CDLL(os.path.join(folder, "lib", "libtorch.so"))


def usable_processors(groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> int:
    """How many processors this process may use: by its affinity, and by the quotas of its cgroups."""
    quotas = [math.ceil(quota) for quota in _quotas(groups, membership)]
    return max(1, min([len(affinity()), *quotas]))


def _quotas(groups: Path, membership: Path) -> Iterator[float]:
    """The processors that each cgroup around this process allows, of version 1 or 2; those without a limit say nothing.

    Within a container its own group may be mounted as the root, so that folders on the way to it are missing.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = membership.read_text().splitlines()
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in (groups / controllers, groups / "cpu") if controllers else (groups, groups / "unified"):
            folder = root / place.lstrip("/")
            for around in (folder, *folder.parents):
                if around.is_relative_to(root):
                    yield from _quota(around, is_unified=not controllers)


def _quota(folder: Path, is_unified: bool) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        if is_unified:
            limit, period = [*(folder / "cpu.max").read_text().split(), str(_PERIOD)][:2]
        else:
            limit = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        if (quota := int(limit) / int(period)) > 0:
            yield quota


@dataclass(frozen=True, slots=True)
class Busy:
    """A moment: seconds that the usable processors have worked until then, and of these for this process."""

    at: float
    seconds: float
    own: float

    def others_since(self, before: Busy) -> float:
        """How many processors others have kept busy since a moment."""
        passed = max(self.at - before.at, 1e-9)
        return max(0.0, self.seconds - before.seconds - (self.own - before.own)) / passed


_SHORTEST = 0.3
"""Seconds in which hundredths, the unit of the kernel, say enough."""
_MUCH = 0.25
"""The part of its processors that a process misses."""


def busy_now(statistics: Path = _STATISTICS) -> Busy | None:
    """What the kernel has counted so far; None where it does not tell."""
    names = {f"cpu{number}" for number in affinity()}
    worked = 0
    try:
        for line in statistics.read_text().splitlines():
            name, *ticks = line.split()
            if name in names:
                # user, nice, system, idle, iowait, irq, softirq, steal
                worked += sum(int(part) for at, part in enumerate(ticks[:8]) if at not in (3, 4))
        seconds = worked / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    own = os.times()
    return Busy(time.monotonic(), seconds, own.user + own.system + own.children_user + own.children_system)


def remark_on_others(before: Busy | None, now: Busy | None) -> str | None:
    """One line where others use so much of the processors that this process has to wait for them."""
    if before is None or now is None or now.at - before.at < _SHORTEST:
        return None
    others, there, wanted = now.others_since(before), len(affinity()), usable_processors()
    if there - others > (1 - _MUCH) * wanted:
        return None
    return f"others keep {others:.1f} of the {there} processors busy: this takes longer than on an idle machine"


def device_text(name: str, bf16: bool, is_precise: bool) -> str:
    precision = "bfloat16 autocast" if bf16 else "float32"
    return f"{name}, {precision}{', deterministic' * is_precise}, channels-last"


def may_have_cuda() -> bool:
    """Whether torch has to be asked for CUDA devices: False only where no driver of one is."""
    signs = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd", "/dev/nvmap")
    return sys.platform != "linux" or any(map(os.path.exists, signs))


def bf16_of_cpu(information: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether the CPU multiplies in bfloat16, as the kernel says; None where it does not."""
    with suppress(OSError):
        for line in information.read_text().splitlines():
            name, _, flags = line.partition(":")
            if name.strip() == "flags":
                return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())
    return None
