"""Trains the runs that are not finished yet, one after another or several at a time."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread

from cldfc.diagnostics import UsageError
from cldfc.reproduce.recipes import find_dataset
from cldfc.reproduce.runs import Run, accuracy_of, is_begun, is_finished, share_of
from cldfc.train.launch import Launch
from cldfc.train.run import RunFolder


def train_runs(
    runs: Sequence[Run], launch: Launch, data_dir: Path, command: str, say: Callable[[str], None], jobs: int = 1
) -> None:
    """Train the runs of a process that are not finished, `jobs` at a time; `say` hears a line about each.

    An interrupted run goes on from its newest checkpoint. `command` goes into the reports.
    Raises UsageError when a folder cannot be written, or a data set cannot be read.
    """
    own = [run for run in share_of(launch, runs) if not is_finished(run)]
    train = train_in_turn if jobs == 1 or len(own) < 2 else partial(train_at_once, jobs=min(jobs, len(own)))
    start = time.monotonic()
    for done, (run, seconds) in enumerate(train(own, launch, data_dir, command, say), 1):
        left = (time.monotonic() - start) / done * (len(own) - done)
        say(f"{run.folder}: {in_words(run)}, {in_time(seconds)} ({done} of {len(own)}, about {in_time(left)} left)")


def train_in_turn(
    runs: Sequence[Run], launch: Launch, data_dir: Path, command: str, say: Callable[[str], None]
) -> Iterator[tuple[Run, float]]:
    """Train runs in this process, one after another; gives each, and the seconds that it took."""
    if runs:
        from cldfc.train.device import use_device

        use_device(launch.device)
    for run in runs:
        began = time.monotonic()
        train_run(run, data_dir, command, say)
        yield run, time.monotonic() - began


def train_at_once(
    runs: Sequence[Run], launch: Launch, data_dir: Path, command: str, say: Callable[[str], None], jobs: int
) -> Iterator[tuple[Run, float]]:
    """The same in so many processes, each of which takes the next run that nobody has; given is who ends first.

    Networks as narrow as a miniature's gain nothing from a second thread. Raises UsageError when a process dies.
    """
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), begin_work, (jobs,))
    try:
        running = {pool.submit(train_apart, run, launch, data_dir, command): run for run in runs}
        for done in as_completed(running):
            seconds, lines = done.result()
            for line in lines:
                say(line)
            yield running[done], seconds
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that was training has died",
            "it may have lacked memory: the same command with fewer `--jobs` goes on from what is there",
        ) from error
    finally:
        # Whoever still trains is not waited for: its run goes on from a checkpoint another time.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()


def begin_work(jobs: int) -> None:
    """Prepare a process that trains for another one, and ends with it or at Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that came about."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def train_apart(run: Run, launch: Launch, data_dir: Path, command: str) -> tuple[float, list[str]]:
    """Train a run; gives the seconds that it took, and what is to be said of it."""
    lines: list[str] = []
    ((_, seconds),) = train_in_turn([run], launch, data_dir, command, lines.append)
    return seconds, lines


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
    is_shown = sys.stderr.isatty() and parent_process() is None
    shown = show_progress(sys.stderr, transient=True) if is_shown else nullcontext(Silence())
    try:
        with shown as progress:
            setting = Setting(progress, data_dir, command=command)
            if is_begun(run):
                begun = read_interrupted(run.aside, {})
                resume_network(begun, compiled, lambda line: say(f"warning: {line}"), setting)
            else:
                shutil.rmtree(run.aside, ignore_errors=True)
                train_network(compiled, find_dataset(run.dataset), run.recipe, run.aside, setting)
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
