"""Checkpoints on the disk: the last two and that of the chosen epoch, each whole or found to be damaged.

A checkpoint is a folder: `tensors.safetensors`, `state.json`, and `SHA256SUMS` of both, which is written
last and which `sha256sum --check` reads. No file is code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.train.metrics import Choice, chosen_epoch
from cldfc.train.position import Position
from cldfc.train.state import Saved

TENSORS, STATE, SUMS = "tensors.safetensors", "state.json", "SHA256SUMS"
LAST_KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read from a checkpoint's folder."""

    path: Path
    tensors: Mapping[str, Tensor]
    saved: Saved


class Damaged(Exception):
    """A checkpoint that is not what was written."""


def name_of(position: Position) -> str:
    """The name of a checkpoint's folder; names sort by time."""
    return f"epoch-{position.epoch:05}-step-{position.step:07}"


def name_of_chosen(position: Position, choice: Choice) -> str | None:
    """The name of the checkpoint after the chosen epoch up to a position; None where there is no epoch yet."""
    if not position.epochs:
        return None
    return name_of(Position.model_construct(epoch=chosen_epoch(position.epochs, choice).epoch + 1))


def write_checkpoint(folder: Path, tensors: dict[str, Tensor], saved: Saved, choice: Choice) -> None:
    """Write a checkpoint, then remove those that are no longer needed. Raises UsageError when that fails."""
    path = folder / name_of(saved.position)
    contents = {TENSORS: save(tensors), STATE: (saved.model_dump_json(indent=2) + "\n").encode()}
    try:
        # What is there by this name was being written when a process was killed.
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        for name, content in contents.items():
            write_file(path / name, content)
        write_file(path / SUMS, sums(contents))
        for changed in (path, folder):
            sync_folder(changed)
        remove_old(folder, saved.position, choice)
    except (OSError, UsageError) as error:
        shutil.rmtree(path, ignore_errors=True)
        raise cannot_save(path, error) from error


def cannot_save(path: Path, error: OSError | UsageError) -> UsageError:
    """The error for a checkpoint that cannot be written."""
    reason = error.message if isinstance(error, UsageError) else f"{error.strerror}"
    kept = "the one before it is intact; " if list_checkpoints(path.parent) else ""
    return UsageError(
        f"the checkpoint `{path}` cannot be saved: {reason}",
        f"{kept}make room, or let the folder be written, then `cldfc train --resume {path.parents[1]}`",
    )


def sums(contents: Mapping[str, bytes]) -> bytes:
    """The SHA-256 of files by name, as `sha256sum` writes them."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents.items()).encode()


def sync_folder(folder: Path) -> None:
    """Let what was made or renamed in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_old(folder: Path, position: Position, choice: Choice) -> None:
    """Keep the last two checkpoints up to a position, and that of the chosen epoch; later ones were damaged."""
    names = [path.name for path in list_checkpoints(folder)]
    kept = [name for name in names if name <= name_of(position)][-LAST_KEPT:]
    for name in names:
        if name not in kept and name != name_of_chosen(position, choice):
            shutil.rmtree(folder / name)


def list_checkpoints(folder: Path) -> list[Path]:
    """The folders of the checkpoints, the oldest first, whether intact or not."""
    return sorted(path for path in folder.glob("epoch-*-step-*") if path.is_dir())


def newest_checkpoint(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest intact checkpoint, if there is one; `warn` hears of each damaged one."""
    for path in reversed(list_checkpoints(folder)):
        try:
            return read_checkpoint(path)
        except Damaged as error:
            warn(f"the checkpoint `{path}` is damaged: {error}; the one before it is used")
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint; raises Damaged when it is not what was written."""
    try:
        contents = {name: (path / name).read_bytes() for name in (TENSORS, STATE)}
        if (path / SUMS).read_bytes() != sums(contents):
            raise Damaged(f"`{SUMS}` does not agree with the files")
        found = Checkpoint(path, load(contents[TENSORS]), Saved.model_validate_json(contents[STATE]))
    except OSError as error:
        raise Damaged(f"cannot read `{error.filename}`: {error.strerror}") from error
    except (SafetensorError, ValidationError) as error:
        raise Damaged(f"it is none of this release: {str(error).splitlines()[0]}") from error
    if name_of(found.saved.position) != path.name:
        raise Damaged("it was made under another name")
    return found
