"""Tells people how a run goes, after every epoch and at its end: environment, report, TensorBoard."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from cldfc.diagnostics import UsageError
from cldfc.train.commit import find_commit
from cldfc.train.compiled import Compiled
from cldfc.train.environment import Environment, add_session, session_now
from cldfc.train.files import write_run_file
from cldfc.train.loop import Diverged, Task
from cldfc.train.metrics import Epoch, is_complete
from cldfc.train.position import TrainingPosition
from cldfc.train.report import Account, write_report
from cldfc.train.run import RunFolder, RunRecord
from cldfc.train.setting import TrainingSetting
from cldfc.train.stop import Stopped
from cldfc.train.tensorboard import Board, open_board


@dataclass(slots=True)
class Journal:
    """What is known of a run so far, and where it is told."""

    run: RunFolder
    account: Account
    board: Board | None

    def add(self, epochs: Sequence[Epoch]) -> None:
        """Tell of all epochs so far, the last of which is new. Raises UsageError when a file cannot be written."""
        self.account = replace(self.account, epochs=epochs)
        self.write("running")
        if self.board is not None:
            self.board.add(epochs[-1])

    def write(self, state: str) -> None:
        """Write the report. Raises UsageError when that fails."""
        write_report(self.run, replace(self.account, state=state))


@contextmanager
def journal(
    run: RunFolder,
    record: RunRecord,
    compiled: Compiled,
    task: Task,
    start: TrainingPosition,
    setting: TrainingSetting,
    before: Environment,
) -> Generator[Journal | None]:
    """A journal of a training from a position to its end, however it ends; none in a process that is not the first.

    Raises UsageError when a file cannot be written.
    """
    if not task.processes.is_first:
        yield None
        return
    run.divergence.unlink(missing_ok=True)
    account = Account(record, compiled, environment_of(run, task, start, setting, before), start.epochs)
    has_board = setting.tensorboard or run.tensorboard.exists()
    board = open_board(run.tensorboard, start.epochs) if has_board else None
    kept = Journal(run, account, board)
    kept.write("running")
    try:
        yield kept
    except (Stopped, Diverged) as end:
        # What ended the training is what is to be heard of, even where nothing can be written.
        with suppress(UsageError):
            if isinstance(end, Diverged):
                write_run_file(run.divergence, f"{end.message}\n")
            kept.write("stopped" if isinstance(end, Stopped) else end.message)
        raise
    kept.write("finished")


def environment_of(
    run: RunFolder, task: Task, start: TrainingPosition, setting: TrainingSetting, before: Environment
) -> Environment:
    """The sessions of a run with the one that begins now; of a finished run, which goes no further, those before."""
    if is_complete(start.epochs, task.recipe):
        return before
    commit = find_commit(setting.spec_files)
    session = session_now(start, str(task.device), task.device.kind, task.processes.count, commit)
    return add_session(run.environment, before, session)
