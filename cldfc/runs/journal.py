"""Keeps what a training reaches, and tells people after every epoch: measurements, weights, report, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Self

import torch
from torch.optim import Optimizer

from cldfc.data.catalogue import DATA_DIR
from cldfc.diagnostics import UsageError
from cldfc.files import write_run_file
from cldfc.output import ignore
from cldfc.runs.environment import Environment, find_commit, session_now
from cldfc.runs.lock import Lock
from cldfc.runs.report import Account, write_report
from cldfc.runs.run_folder import RunFolder, RunRecord, write_sealed
from cldfc.runs.tensorboard import add_to_board, open_board
from cldfc.stop import Request, Stopped
from cldfc.training.checkpoint_folder import write_checkpoint
from cldfc.training.loop import train_from
from cldfc.training.metrics import Epoch, Progress, Silence, TrainingPosition, as_csv, chosen_epoch, is_complete
from cldfc.training.processes import ALONE, Processes
from cldfc.training.snapshot import Snapshot
from cldfc.training.state import Saved, generators, not_finite, spec_digest, training_tensors
from cldfc.training.task import Diverged, Task, diverged
from cldfc.weights.compiled import Compiled


@dataclass(frozen=True, slots=True)
class Saving:
    """When the state of a training is saved, beside after every epoch."""

    minutes: float = 10
    """After this many minutes within an epoch."""
    request: Request = field(default_factory=Request)
    """When it is asked to stop."""


def train_and_save(
    task: Task,
    optimizer: Optimizer,
    run: RunFolder,
    start: TrainingPosition,
    progress: Progress,
    saving: Saving,
    tell: Callable[[Sequence[Epoch]], None],
    lock: Lock | None,
) -> Sequence[Epoch]:
    """Train from a position to the end, and keep what is reached; gives what was measured in all epochs.

    `tell` is called with all epochs whenever another one is saved, in a thread that writes while the next is trained.
    The lock is that of the run, in the process that writes. Raises Diverged, UsageError when a file cannot be
    written, and Stopped; the last checkpoint is then intact.
    """
    position, saved = start, monotonic()
    state, weights = Snapshot(), Snapshot()

    def wish() -> tuple[int, bool]:
        return saving.request.number, monotonic() - saved > 60 * saving.minutes

    with Writer() as writer:
        for reached in train_from(task, optimizer, start, progress, wish):
            position = reached.position
            if not reached.stands:
                continue
            # It reads the memory into which the next state is copied.
            writer.finish()
            if lock is not None:
                lock.check()
            # The checkpoint comes first: metrics and weights can be written again from it.
            works = [save_state(task, optimizer, run, position, state)]
            if position.step == 0 and task.processes.is_first:
                works += [keep_epoch(task, run, position, weights), partial(tell, position.epochs)]
            writer.write(works)
            saved = monotonic()
            is_asked = reached.asked > 0 and not is_complete(position.epochs, task.recipe)
            if position.step or is_asked:
                writer.finish()
            if is_asked:
                raise Stopped(run.path, reached.asked, task.processes.is_first)
    return position.epochs


_Work = Callable[[], None]
"""Writes something that was copied before."""


class Writer:
    """Writes in a thread, one thing after another. What fails there is raised when it is next waited for."""

    def __init__(self) -> None:
        self.thread: Thread | None = None
        self.error: BaseException | None = None

    def write(self, works: Sequence[_Work]) -> None:
        """Let some works be done, in their order, up to the first that fails; those before them have to be done."""
        self.finish()
        self.thread = Thread(target=self.do, args=(works,), name="cldfc-writer")
        self.thread.start()

    def do(self, works: Sequence[_Work]) -> None:
        try:
            for work in works:
                work()
        except BaseException as error:
            self.error = error

    def wait(self) -> None:
        """Wait until what was begun has been done, or has failed."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None

    def finish(self) -> None:
        """The same. Raises what has failed."""
        self.wait()
        error, self.error = self.error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # If something else ends the training, that is what should be reported.
        self.wait() if kind else self.finish()


def keep_epoch(task: Task, run: RunFolder, position: TrainingPosition, memory: Snapshot) -> _Work:
    """What writes the measurements of all epochs, and the weights if the last of them is the chosen one."""
    is_chosen = chosen_epoch(position.epochs, task.choice) is position.epochs[-1]
    if is_chosen:
        memory.take(task.network.state_dict())

    def work() -> None:
        contents: dict[str, bytes | memoryview] = {run.metrics.name: as_csv(position.epochs).encode()}
        write_sealed(run.path, contents | ({run.weights.name: memory.content()} if is_chosen else {}))

    return work


def save_state(task: Task, optimizer: Optimizer, run: RunFolder, position: TrainingPosition, memory: Snapshot) -> _Work:
    """What writes a checkpoint. Raises Diverged when a tensor is not finite; the one before it stays the last."""
    tensors = training_tensors(task.network, optimizer)
    if name := not_finite(tensors):
        raise diverged(f"`{name}` is no longer finite in epoch {position.epoch}", task)
    saved = Saved(
        position=position,
        generators=task.processes.gather(generators()),
        threads=torch.get_num_threads(),
        spec=spec_digest(task.compiled.spec_text if task.compiled else ""),
        recipe=task.recipe.model_dump(mode="json"),
    )
    if not task.processes.is_first:
        return lambda: None
    memory.take(tensors)
    return lambda: write_checkpoint(run.checkpoints, memory.content(), saved, task.choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetting:
    """Who listens to a training, where its images are, when it is saved, and who takes part."""

    progress: Progress = field(default_factory=Silence)
    data_dir: Path = DATA_DIR
    saving: Saving = field(default_factory=Saving)
    processes: Processes = ALONE
    command: str = ""
    """What repeats the run on a command line, if it was started on one."""
    spec_files: Sequence[Path] = ()
    """Where the spec was read from, if it was in files; the commit that they belong to is recorded."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`; None for the best there is."""
    workers: int | None = None
    """How many processes read image files; None for as many as suit."""
    tensorboard: bool = False
    say: Callable[[str], None] = ignore
    """Hears a line about what begins, and where."""


@contextmanager
def journal(
    run: RunFolder,
    record: RunRecord,
    compiled: Compiled,
    task: Task,
    start: TrainingPosition,
    setting: TrainingSetting,
    before: Environment,
) -> Generator[Callable[[Sequence[Epoch]], None]]:
    """Keep a journal of a training from a position to its end, however it ends; only the first process writes.

    The function that it gives is told all epochs so far, the last of which is new. `before` are the earlier
    sessions of the run. Raises UsageError when a file cannot be written.
    """
    if not task.processes.is_first:
        yield lambda epochs: None
        return
    run.divergence.unlink(missing_ok=True)
    environment = _environment_of(run, task, start, setting, before)
    account = Account(record=record, compiled=compiled, environment=environment, epochs=start.epochs, state="running")
    has_board = setting.tensorboard or run.tensorboard.exists()
    board = open_board(run.tensorboard, start.epochs) if has_board else None

    def tell(epochs: Sequence[Epoch]) -> None:
        nonlocal account
        account = replace(account, epochs=epochs)
        write_report(run, account)
        if board is not None:
            add_to_board(board, epochs[-1])

    write_report(run, account)
    try:
        yield tell
    except (Stopped, Diverged) as end:
        # What ended the training is what is to be heard of, even where nothing can be written.
        with suppress(UsageError):
            if isinstance(end, Diverged):
                write_run_file(run.divergence, f"{end.message}\n")
            write_report(run, replace(account, state="stopped" if isinstance(end, Stopped) else end.message))
        raise
    write_report(run, replace(account, state="finished"))


def _environment_of(
    run: RunFolder, task: Task, start: TrainingPosition, setting: TrainingSetting, before: Environment
) -> Environment:
    """The sessions of a run with the one that begins now; of a finished run, which goes no further, those before."""
    if is_complete(start.epochs, task.recipe):
        return before
    commit = find_commit(setting.spec_files)
    session = session_now(start, str(task.device), task.device.kind, task.processes.count, commit)
    environment = Environment(sessions=(*before.sessions, session))
    write_run_file(run.environment, environment.model_dump_json(indent=2) + "\n")
    return environment
