"""Tells people how a run goes, after every epoch and at its end: environment, report, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from cldfc.diagnostics import UsageError
from cldfc.train.commit import find_commit
from cldfc.train.compiled import Compiled
from cldfc.train.environment import Environment, session_now
from cldfc.train.files import write_run_file
from cldfc.train.loop import Diverged, Task
from cldfc.train.metrics import Epoch, is_complete
from cldfc.train.position import TrainingPosition
from cldfc.train.report import Account, write_report
from cldfc.train.run import RunFolder, RunRecord
from cldfc.train.setting import TrainingSetting
from cldfc.train.stop import Stopped
from cldfc.train.tensorboard import open_board


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
    environment = environment_of(run, task, start, setting, before)
    account = Account(record=record, compiled=compiled, environment=environment, epochs=start.epochs, state="running")
    has_board = setting.tensorboard or run.tensorboard.exists()
    board = open_board(run.tensorboard, start.epochs) if has_board else None

    def tell(epochs: Sequence[Epoch]) -> None:
        nonlocal account
        account = replace(account, epochs=epochs)
        write_report(run, account)
        if board is not None:
            board.add(epochs[-1])

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


def environment_of(
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
