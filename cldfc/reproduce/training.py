"""Trains the runs that are not finished yet, one after another."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.reproduce.runs import Run, accuracy_of, is_begun, is_finished, share_of
from cldfc.train.catalogue import find
from cldfc.train.launch import Launch
from cldfc.train.run import RunFolder


def train_runs(runs: Sequence[Run], launch: Launch, data_dir: Path, command: str, say: Callable[[str], None]) -> None:
    """Train the runs of a process that are not finished; `say` hears a line about each.

    An interrupted run goes on from its newest checkpoint. `command` goes into the reports.
    Raises UsageError when a folder cannot be written, or a data set cannot be read.
    """
    own = [run for run in share_of(launch, runs) if not is_finished(run)]
    if own:
        from cldfc.train.device import use_device

        use_device(launch.device)
    start = time.monotonic()
    for done, run in enumerate(own, 1):
        began = time.monotonic()
        train_run(run, data_dir, command, say)
        now = time.monotonic()
        left = (now - start) / done * (len(own) - done)
        say(f"{run.folder}: {in_words(run)}, {in_time(now - began)} ({done} of {len(own)}, about {in_time(left)} left)")


def train_run(run: Run, data_dir: Path, command: str, say: Callable[[str], None]) -> None:
    """Train a run aside, then give it its name."""
    from cldfc.compiler import build
    from cldfc.train.loop import Diverged
    from cldfc.train.progress import Silence, show_progress
    from cldfc.train.resume import read_interrupted, resume_network
    from cldfc.train.setting import Setting
    from cldfc.train.train import train_network
    from cldfc.training import compiled_from

    network = run.network
    compiled = compiled_from(build(network.source, network.task), network.text)
    shown = show_progress(sys.stderr, transient=True) if sys.stderr.isatty() else nullcontext(Silence())
    try:
        with shown as progress:
            setting = Setting(progress, data_dir, command=command)
            if is_begun(run):
                begun = read_interrupted(run.aside, {})
                resume_network(begun, compiled, lambda line: say(f"warning: {line}"), setting)
            else:
                shutil.rmtree(run.aside, ignore_errors=True)
                train_network(compiled, find(run.dataset), run.recipe, run.aside, setting)
    except Diverged:
        # Its folder says so.
        pass
    give_name(run)
    shutil.rmtree(RunFolder(run.folder).checkpoints, ignore_errors=True)


def give_name(run: Run) -> None:
    """Let the finished run stand under its name; raises UsageError when that fails."""
    try:
        run.aside.rename(run.folder)
    except OSError as error:
        raise UsageError(
            f"`{run.aside}` cannot be renamed to `{run.folder}`: {error.strerror}",
            "do not train into one folder from two places at once, but through torchrun",
        ) from error


def in_words(run: Run) -> str:
    """What came of a finished run."""
    accuracy = accuracy_of(run)
    return "diverged" if accuracy is None else f"{accuracy:.2f} %"


def in_time(seconds: float) -> str:
    """Seconds in words: `42 s`, `12 min`, `3.5 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
