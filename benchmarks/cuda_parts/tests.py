"""The tests marked `cuda`, by pytest in this process, each reported when it ends."""

from __future__ import annotations

import os
from typing import Any

import pytest

from benchmarks.cuda_parts.job import ROOT, Job

FILE = "tests/train/test_cuda.py"


class Reporter:
    """A plugin that tells of each test."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out what a process before this one has met."""
        items[:] = [item for item in items if item.name not in self.job.done]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.job.say(begin=name_of(nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test may fail or be skipped before, in, or after itself."""
        name = name_of(report.nodeid)
        if report.skipped:
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            self.job.say(item=name, values={"skipped": reason})
        elif report.failed:
            said = str(getattr(getattr(report.longrepr, "reprcrash", None), "message", report.longrepr))
            self.job.say(item=name, values={"error": f"in its {report.when}: {said}"[:2000]})
            self.job.leave_if_broken()
        elif report.when == "call":
            self.job.say(item=name, values={"seconds": report.duration})


def name_of(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def work(job: Job) -> None:
    """Run them; in a rehearsal a quick one, on the CPU, and one that is skipped there."""
    options = ["-m", "cuda", "-p", "no:cacheprovider", "--tb=short", f"--rootdir={ROOT}", str(ROOT / FILE)]
    if job.device == "cpu":
        os.environ["CLDFC_CUDA_REHEARSAL"] = "1"
        options += ["-k", "augmentation or does_not_wait"]
    code = pytest.main(options, plugins=[Reporter(job)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ends with {code}: the tests could not be collected")
