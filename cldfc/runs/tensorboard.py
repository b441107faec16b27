"""What is measured in each epoch as events that TensorBoard reads; its package is needed to write them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from time import time
from typing import Any

from cldfc.diagnostics import UsageError
from cldfc.files import refuse_link, refusing, write_run_file
from cldfc.training.metrics import Epoch

_PREFIX = "events.out.tfevents."
"""By which TensorBoard knows its files."""
_WRITTEN = re.compile(r"events\.out\.tfevents\.\d+\.cldfc")
"""A file of an earlier session."""


def add_to_board(board: Path, epoch: Epoch) -> None:
    """Append what was measured in an epoch to a file of events. Raises UsageError when that fails."""
    refuse_link(board)
    with _writing(board), board.open("ab") as file:
        file.write(_as_records([_event(epoch, time())]))


def _writing(path: Path) -> AbstractContextManager[None]:
    return refusing(f"`{path}` cannot be written", "see that it can be")


def require_tensorboard() -> None:
    """Raises UsageError when the package is not installed."""
    if find_spec("tensorboard") is None:
        raise UsageError("`--tensorboard` needs the package tensorboard", "pip install 'cldfc[tensorboard]'")


def open_board(folder: Path, epochs: Sequence[Epoch]) -> Path:
    """A file in a folder that holds these epochs and no other; what lay there before is replaced.

    Raises UsageError when the package is not installed, or a file cannot be written.
    """
    require_tensorboard()
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore

    now = time()
    path = folder / f"{_PREFIX}{now:.0f}.cldfc"
    # The hours at which earlier epochs ended are not known, but how long each took.
    ends = [now - sum(later.seconds for later in epochs[at:]) for at in range(1, len(epochs) + 1)]
    events = [_event(epoch, end) for epoch, end in zip(epochs, ends, strict=True)]
    refuse_link(folder, is_folder=True)
    with _writing(folder):
        folder.mkdir(exist_ok=True)
        write_run_file(path, _as_records([Event(wall_time=now, file_version="brain.Event:2"), *events]))
        for name in filter(_WRITTEN.fullmatch, os.listdir(folder)):
            if name != path.name:
                (folder / name).unlink()
    return path


def _event(epoch: Epoch, wall_time: float) -> Any:
    """The measurements of an epoch, at the time when it ended, in seconds since 1970."""
    from tensorboard.compat.proto import event_pb2, summary_pb2  # pyright: ignore

    # Generated classes have no types.
    events: Any = event_pb2
    summaries: Any = summary_pb2
    values = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(epoch).items()]
    return events.Event(wall_time=wall_time, step=epoch.epoch, summary=summaries.Summary(value=values))


def scalars(epoch: Epoch) -> dict[str, float]:
    """The names under which TensorBoard shows what was measured; what stands before `/` is a group."""
    measures = [(what, part) for what in ("loss", "accuracy") for part in ("train", "validation", "test")]
    found = {f"{what}/{part}": getattr(epoch, f"{part}_{what}") for what, part in measures}
    found |= {"learning rate": epoch.lr, "images per second": epoch.images_per_second}
    return {name: value for name, value in found.items() if value is not None}


def _as_records(events: Iterable[Any]) -> bytes:
    """Events as TensorBoard stores them, each with its length and checksums."""
    from tensorboard.summary.writer.record_writer import RecordWriter  # pyright: ignore

    data = io.BytesIO()
    writer: Any = RecordWriter(data)
    for each in events:
        writer.write(each.SerializeToString())
    return data.getvalue()
