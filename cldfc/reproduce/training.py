"""Trains the runs that are not finished yet, one after another or several at a time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

from cldfc.diagnostics import CldfError, UsageError
from cldfc.reproduce.recipes import find_dataset
from cldfc.reproduce.runs import TableRun, accuracy_of, refuse_other, share_of, unfinished
from cldfc.train.launch import Launch
from cldfc.train.run import RunFolder
from cldfc.train.stop import OwnRequest, Request, SharedRequest, Stopped, deaf, listen, obey_parent


def train_runs(
    runs: Sequence[TableRun],
    launch: Launch,
    data_dir: Path,
    command: str,
    say: Callable[[str], None],
    jobs: int = 1,
    device: str | None = None,
    workers: int | None = None,
) -> None:
    """Train the runs of a process that are not finished, `jobs` at a time; `say` hears a line about each.

    An interrupted run goes on from its newest checkpoint. `command` goes into the reports.
    Raises UsageError when a run stands in the way (`unfinished`), a folder cannot be written, or a data set cannot be
    read; and Stopped when a signal has asked for it, and what was trained is saved.
    """
    own = unfinished(share_of(launch, runs), lambda line: say(f"warning: {line}"))
    jobs = min(jobs, len(own))
    request = RawValue(SharedRequest) if jobs > 1 else OwnRequest()
    work = Work(launch, data_dir, command, request, max(1, jobs), device, workers)
    start = time.monotonic()
    with listen(launch.count == 1, request):
        trained = train_at_once(own, work, say) if jobs > 1 else train_in_turn(own, work, say)
        for done, (run, seconds) in enumerate(trained, 1):
            left = in_time((time.monotonic() - start) / done * (len(own) - done))
            say(f"{run.folder}: {result_of(run)}, {in_time(seconds)} ({done} of {len(own)}, about {left} left)")


@dataclass(frozen=True, slots=True)
class Work:
    launch: Launch
    data_dir: Path
    command: str
    request: Request
    jobs: int
    device: str | None = None
    workers: int | None = None


def train_in_turn(runs: Sequence[TableRun], work: Work, say: Callable[[str], None]) -> Iterator[tuple[TableRun, float]]:
    """Train runs in this process, one after another; gives each, and the seconds that it took."""
    if runs:
        from cldfc.train.device import number_of, use_device

        number = number_of(work.device)
        use_device(work.launch.device if number is None else number)
    for run in runs:
        if work.request.number:
            raise Stopped(run.aside, work.request.number)
        began = time.monotonic()
        train_run(run, work, say)
        yield run, time.monotonic() - began


def train_at_once(runs: Sequence[TableRun], work: Work, say: Callable[[str], None]) -> Iterator[tuple[TableRun, float]]:
    """The same in several processes, each of which takes the next run that nobody has; given is who ends first.

    Networks as narrow as a miniature's gain nothing from a second thread. However it ends, what is being trained is
    saved. Raises UsageError when a process dies.
    """
    waiting = list(reversed(runs))
    helpers: list[tuple[SpawnProcess, Connection]] = []
    running: dict[Connection, TableRun] = {}
    try:
        for _ in range(work.jobs):
            helpers.append(start_helper(work))
            end, run = helpers[-1][1], waiting.pop()
            running[end] = run
            with hearing_of_death(run):
                end.send(run)
        while running:
            ready = wait(list(running))
            for end in [end for end in running if end in ready]:
                run = running.pop(end)
                with hearing_of_death(run):
                    outcome: RunOutcome = end.recv()
                for line in outcome.lines:
                    say(line)
                if outcome.error:
                    raise outcome.error
                yield run, outcome.seconds
                if waiting:
                    running[end] = waiting.pop()
                    with hearing_of_death(running[end]):
                        end.send(running[end])
    finally:
        work.request.number = work.request.number or signal.SIGTERM
        for _, end in helpers:
            end.close()
        for process, _ in helpers:
            process.join()


def start_helper(work: Work) -> tuple[SpawnProcess, Connection]:
    context = get_context("spawn")
    end, other = context.Pipe()
    process = context.Process(target=help_training, args=(other, work))
    with deaf():
        process.start()
    other.close()
    return process, end


@contextmanager
def hearing_of_death(run: TableRun) -> Generator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise UsageError(
            f"the process that was training `{run.folder}` has died",
            "it may have run out of memory: the same command with fewer `--jobs` continues from there",
        ) from error


@dataclass(frozen=True, slots=True)
class RunOutcome:
    seconds: float
    lines: Sequence[str]
    error: Exception | None = None


def help_training(end: Connection, work: Work) -> None:
    obey_parent()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // work.jobs))
    while True:
        # The parent closes its end when there are no more, and may have ended itself.
        try:
            run: TableRun = end.recv()
        except (EOFError, OSError):
            return
        lines: list[str] = []
        try:
            ((_, seconds),) = train_in_turn([run], work, lines.append)
            outcome = RunOutcome(seconds, lines)
        except (CldfError, UsageError, Stopped) as error:
            outcome = RunOutcome(0, lines, error)
        with suppress(OSError):
            end.send(outcome)


def train_run(run: TableRun, work: Work, say: Callable[[str], None]) -> None:
    """Train a run aside, then give it its name. Raises UsageError when what lies aside is another run, or in use."""
    from cldfc.train.checkpoint_folder import remove_all
    from cldfc.train.keep import Saving
    from cldfc.train.loop import Diverged
    from cldfc.train.pace import Silence
    from cldfc.train.progress import show_progress
    from cldfc.train.resume import read_interrupted, resume_network
    from cldfc.train.setting import TrainingSetting
    from cldfc.train.train import train_network
    from cldfc.training import compiled_from

    compiled = compiled_from(run.network)
    is_shown = sys.stderr.isatty() and parent_process() is None
    shown = show_progress(sys.stderr, transient=True) if is_shown else nullcontext(Silence())
    try:
        with shown as progress:
            saving = Saving(request=work.request)
            setting = TrainingSetting(
                progress=progress,
                data_dir=work.data_dir,
                saving=saving,
                command=work.command,
                device=work.device,
                workers=work.workers,
            )
            if os.path.lexists(run.aside):
                refuse_other(run, run.aside, "begun")
                begun = read_interrupted(run.aside, {})
                resume_network(begun, compiled, lambda line: say(f"warning: {line}"), setting)
            else:
                train_network(compiled, find_dataset(run.dataset), run.recipe, run.aside, setting)
    except Diverged:
        # Its folder says so.
        pass
    try:
        run.aside.rename(run.folder)
    except OSError as error:
        raise UsageError(
            f"`{run.aside}` cannot be renamed to `{run.folder}`: {error.strerror}",
            "do not train into one folder from two places at once, but through torchrun",
        ) from error
    remove_all(RunFolder(run.folder).checkpoints)


def result_of(run: TableRun) -> str:
    accuracy = accuracy_of(run)
    return "diverged" if accuracy is None else f"{accuracy:.2f} %"


def in_time(seconds: float) -> str:
    """Seconds in words: `42 s`, `12 min`, `3.5 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
