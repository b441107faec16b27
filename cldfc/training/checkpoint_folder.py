"""Checkpoints on the disk: the last two and that of the chosen epoch, each whole or found to be damaged.

A checkpoint is a folder: `tensors.safetensors`, `state.json`, and `SHA256SUMS` of both, which is written
last and which `sha256sum --check` reads. No file is code.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from cldfc.diagnostics import UsageError
from cldfc.files import (
    LARGEST_TENSORS,
    LARGEST_TEXT,
    check_format,
    half_written,
    opened,
    refuse_link,
    refusing,
    write_run_file,
)
from cldfc.training.metrics import Choice, TrainingPosition, chosen_epoch
from cldfc.training.state import FORMAT, Saved

_TENSORS, _STATE, _SUMS = "tensors.safetensors", "state.json", "SHA256SUMS"
_FILES = (_SUMS, _TENSORS, _STATE)
"""In the order in which they are removed: without sums a folder is no longer a checkpoint."""
NAME = re.compile(r"epoch-\d{5,}-step-\d{7,}")
_PART = half_written(_FILES)
_LAST_KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    path: Path
    tensors: Mapping[str, Tensor]
    saved: Saved


class Damaged(Exception):
    """A checkpoint that is not what was written."""


class Torn(Damaged):
    """A checkpoint that was being written, or removed, when its process was killed."""


class UnreadableCheckpoint(Damaged):
    """A checkpoint that cannot be read now, or not by this release, and may be whole."""


def _checkpoint_name(position: TrainingPosition) -> str:
    # Names sort by time.
    return f"epoch-{position.epoch:05}-step-{position.step:07}"


def name_of_chosen(position: TrainingPosition, choice: Choice) -> str | None:
    """The name of the checkpoint after the chosen epoch up to a position; None where there is no epoch yet."""
    if not position.epochs:
        return None
    return _checkpoint_name(TrainingPosition.model_construct(epoch=chosen_epoch(position.epochs, choice).epoch + 1))


def write_checkpoint(folder: Path, tensors: memoryview, saved: Saved, choice: Choice) -> None:
    """Write a checkpoint, with `tensors` as one of its files, then remove those that are no longer needed.

    Raises UsageError when that fails.
    """
    path = folder / _checkpoint_name(saved.position)
    contents = {_TENSORS: tensors, _STATE: (saved.model_dump_json(indent=2) + "\n").encode()}
    try:
        refuse_link(folder, is_folder=True)
        refuse_link(path, is_folder=True)
        # A folder of this name was being written when a process was killed.
        _remove_checkpoint(path)
        # A run that was deleted meanwhile is not recreated.
        folder.mkdir(exist_ok=True)
        path.mkdir(exist_ok=True)
        (path / _SUMS).unlink(missing_ok=True)
        for name, content in contents.items():
            write_run_file(path / name, content)
        write_run_file(path / _SUMS, sums(contents))
        for changed in (path, folder):
            _sync_folder(changed)
    except (OSError, UsageError) as error:
        with suppress(OSError):
            _remove_checkpoint(path)
        raise _cannot_save(path, error) from error
    remove_old(folder, saved.position, choice)


def _cannot_save(path: Path, error: OSError | UsageError) -> UsageError:
    """The error for a checkpoint that cannot be written."""
    reason = error.message if isinstance(error, UsageError) else f"{error.strerror}"
    kept = ""
    with suppress(UsageError):
        kept = "the one before it is intact; " if list_checkpoints(path.parent) else ""
    return UsageError(
        f"the checkpoint `{path}` cannot be saved: {reason}",
        f"{kept}make room, or let the folder be written, then `cldfc train --resume {path.parents[1]}`",
    )


def sums(contents: Mapping[str, bytes | memoryview]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items()).encode()


def _sync_folder(folder: Path) -> None:
    """Make what was created or renamed in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_old(folder: Path, position: TrainingPosition, choice: Choice) -> None:
    """Keep the last two checkpoints up to a position, that of the chosen epoch, and what cannot be removed.

    After epochs 1 to 5, of which 2 is chosen, those after 2, 4 and 5 stay.
    """
    names = [path.name for path in list_checkpoints(folder) if path.name <= _checkpoint_name(position)]
    for name in names[:-_LAST_KEPT]:
        if name != name_of_chosen(position, choice):
            # A checkpoint too many does no harm, and what was just saved is safe.
            with suppress(OSError):
                _remove_checkpoint(folder / name)


def _remove_checkpoint(path: Path) -> None:
    """Remove the folder of a checkpoint, unless it holds anything that no training has written. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        return
    names = os.listdir(path)
    parts = [name for name in names if _PART.fullmatch(name)]
    are_written = all(stat.S_ISREG((path / name).lstat().st_mode) for name in names)
    if are_written and set(names) <= {*_FILES, *parts}:
        for name in (*_FILES, *parts):
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def remove_all(folder: Path) -> None:
    """Remove all checkpoints of a run that no longer needs them, and their folder if there is nothing else in it."""
    with suppress(OSError, UsageError):
        for path in list_checkpoints(folder):
            _remove_checkpoint(path)
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()


def put_later_ones_away(folder: Path, position: TrainingPosition) -> None:
    """Remove checkpoints after a position that are torn, and rename the others to `….damaged`. Raises OSError.

    One that is torn, and holds what no training has written, counts as damaged.
    """
    for path in list_checkpoints(folder):
        if path.name > _checkpoint_name(position):
            if not os.path.lexists(path / _SUMS):
                _remove_checkpoint(path)
            if os.path.lexists(path):
                path.rename(free_path(path.with_name(f"{path.name}.damaged")))


def free_path(path: Path) -> Path:
    """The path, or the first of `PATH-2`, `PATH-3`, ... that is not there."""
    others = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(free for free in chain([path], others) if not os.path.lexists(free))


def list_checkpoints(folder: Path) -> list[Path]:
    """What has the name of a checkpoint, the oldest first, whether intact or not. Raises UsageError."""
    with refusing(f"cannot look into `{folder}`", "let it be read"), suppress(FileNotFoundError):
        return sorted(folder / name for name in os.listdir(folder) if NAME.fullmatch(name))
    return []


def find_checkpoint(folder: Path) -> tuple[Checkpoint | None, Mapping[Path, Damaged]]:
    """The newest intact checkpoint of a folder, if there is one, and what is wrong with each of those after it.

    Raises UsageError when the folder cannot be read.
    """
    wrong: dict[Path, Damaged] = {}
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_checkpoint(path), wrong
        except Damaged as error:
            wrong[path] = error
    return None, wrong


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint. Raises Torn, UnreadableCheckpoint, and Damaged when it is not what was written."""
    if path.is_symlink() or not path.is_dir():
        raise UnreadableCheckpoint("it is a link" if path.is_symlink() else "it is not a folder")
    written = _read_checkpoint_file(path / _SUMS, LARGEST_TEXT, Torn)
    contents = {
        _TENSORS: _read_checkpoint_file(path / _TENSORS, LARGEST_TENSORS, Damaged),
        _STATE: _read_checkpoint_file(path / _STATE, LARGEST_TEXT, Damaged),
    }
    if written != sums(contents):
        raise Damaged(f"`{_SUMS}` does not agree with the files")
    try:
        check_format(contents[_STATE], FORMAT, path / _STATE)
        found = Checkpoint(path, load(contents[_TENSORS]), Saved.model_validate_json(contents[_STATE]))
    except UsageError as error:
        raise UnreadableCheckpoint(error.message) from error
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        first = str(error).splitlines() or [type(error).__name__]
        raise UnreadableCheckpoint(f"it is not from this release: {first[0]}") from error
    if _checkpoint_name(found.saved.position) != path.name:
        raise UnreadableCheckpoint("it was made under another name")
    return found


def _read_checkpoint_file(path: Path, largest: int, missing: type[Damaged]) -> bytes:
    """Raises `missing` when the file is not there, and UnreadableCheckpoint when it cannot be read."""
    try:
        with opened(path, largest) as file:
            return file.read()
    except OSError as error:
        kind = missing if isinstance(error, FileNotFoundError) else UnreadableCheckpoint
        raise kind(f"cannot read `{path}`: {error.strerror}") from error
