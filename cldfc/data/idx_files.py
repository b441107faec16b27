"""Finds IDX files, `train-images-idx3-ubyte` and its three companions, and reads their arrays."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import struct
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from cldfc.data.bounded import BLOCK, GZIP, MOST_BYTES, UNREADABLE, opened_regular
from cldfc.data.class_folders import reading_folders
from cldfc.diagnostics import UsageError, shape_text

_Bytes = NDArray[np.uint8]

NAME = re.compile(
    r"(?:(?P<set>.+)[-_])?(?P<part>train|t10k|test)[-_](?P<kind>images|labels)[-.]idx[1-4][-.]ubyte(\.gz)?"
)
_PARTS = {"train": "train", "t10k": "test", "test": "test"}
_HELP = (
    "give a folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and "
    "`t10k-labels-idx1-ubyte`, gzipped or not; `test-…` is as good as `t10k-…`"
)

IMAGES, _COLOURED, LABELS = 3, 4, 1
"""Number of axes of grey images, of colour images, and of labels."""

_CHANNELS = (1, 3)

_AT_ONCE = 1024
"""Images whose pixels are counted at a time."""

_BYTES = 8
"""The type code of unsigned bytes in an IDX header."""
_KINDS = {9: "signed bytes", 11: "16-bit integers", 12: "32-bit integers", 13: "float32", 14: "float64"}


class _Labelled(NamedTuple):
    images: Path
    labels: Path


def find_idx(name: str) -> tuple[_Labelled, _Labelled]:
    """The IDX files in a folder: those to train on, and those to test on.

    If the folder holds several sets, the last part of the path is the prefix of the file names.
    Raises UsageError if files are missing, or if there are several sets and none is named.
    """
    if not name:
        raise UsageError("`idx:` names no folder", _HELP)
    path = Path(os.path.expanduser(name))
    with reading_folders():
        if path.is_dir():
            sets = _sets_in(path)
            begins = "" if "" in sets or not sets else min(sets)
        else:
            sets, begins = _sets_in(path.parent) if path.parent.is_dir() else {}, path.name
    if path.is_dir() and len(sets) > 1 and begins:
        examples = ", ".join(f"`idx:{Path(name, begins)}`" for begins in sorted(sets))
        raise UsageError(f"`{name}` holds {len(sets)} sets of IDX files", f"name one of them: {examples}")
    if begins not in sets:
        what = "is a file, not a folder" if path.is_file() else "is not there"
        raise UsageError(f"`{name}` {'holds no IDX files' if path.is_dir() else what}", _HELP)
    found = sets[begins]
    train, test = (
        _Labelled(*(_only(found, part, kind, name) for kind in ("images", "labels"))) for part in ("train", "test")
    )
    return train, test


_Files = dict[tuple[str, str], list[Path]]


def _sets_in(folder: Path) -> dict[str, _Files]:
    """The IDX files in a folder, by the prefix of their names. Raises OSError."""
    sets: dict[str, _Files] = {}
    for path in sorted(folder.iterdir()):
        if match := NAME.fullmatch(path.name):
            files = sets.setdefault(match["set"] or "", {})
            files.setdefault((_PARTS[match["part"]], match["kind"]), []).append(path)
    return sets


def _only(files: _Files, part: str, kind: str, name: str) -> Path:
    """The one file of a part and kind, preferably not gzipped. Raises UsageError if there is none, or several."""
    paths = files.get((part, kind), [])
    if not paths:
        raise UsageError(f"`{name}` holds no {kind} to {part} on", _HELP)
    if len({path.name.removesuffix(".gz") for path in paths}) > 1:
        listed = " and ".join(f"`{path.name}`" for path in paths)
        raise UsageError(f"`{name}` holds {listed}", f"give a folder with one file of {kind} to {part} on")
    return paths[0]


def _read_idx_file(path: Path, axes: Collection[int]) -> _Bytes:
    """The array in a file, gzipped or not. Raises UsageError unless its number of axes is one of `axes`."""
    with opened_regular(path) as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file
        try:
            return read_idx(stream, axes)
        except ValueError as error:
            raise UsageError(f"`{path}` {error}", "give IDX files of bytes; see docs/data.md") from error


def read_idx(file: BinaryIO, axes: Collection[int]) -> _Bytes:
    """The array in an IDX file of bytes, whose number of axes must be one of `axes`.

    Raises ValueError if the header is wrong, or is not followed by exactly the number of bytes that it promises; at
    most one byte more is read.
    """
    try:
        sizes = _read_head(file, axes)
        data, wanted = bytearray(), math.prod(sizes)
        while len(data) <= wanted and (block := file.read(min(BLOCK, wanted + 1 - len(data)))):
            data += block
    except UNREADABLE as error:
        raise ValueError(f"is truncated or damaged: {error}") from error
    if len(data) != wanted:
        holds = f"{len(data):,}" if len(data) < wanted else "more"
        raise ValueError(f"says that it holds {shape_text(sizes)} bytes, and holds {holds}")
    return np.frombuffer(data, np.uint8).reshape(sizes)


def _read_head(file: BinaryIO, axes: Collection[int]) -> tuple[int, ...]:
    """The sizes in an IDX header. Raises ValueError if it is malformed, has other axes, or promises too many bytes."""
    magic = file.read(4)
    count = magic[3] if len(magic) == 4 else 0
    if magic[:2] == bytes(2) and magic[2:3] != bytes([_BYTES]) and magic[2] in _KINDS and count in axes:
        raise ValueError(f"holds {_KINDS[magic[2]]}; cldfc reads IDX files of bytes")
    if magic[:3] != bytes([0, 0, _BYTES]) or count not in axes:
        wanted = " or ".join(map(str, sorted(axes)))
        found = f"begins with {magic.hex(' ')}" if magic else "is empty"
        raise ValueError(f"is not an IDX file with {wanted} {'axis' if wanted == '1' else 'axes'} of bytes: it {found}")
    head = file.read(4 * count)
    if len(head) < 4 * count:
        raise ValueError("is truncated within its head")
    sizes: tuple[int, ...] = struct.unpack(f">{count}I", head)
    if not 0 < math.prod(sizes) <= MOST_BYTES:
        raise ValueError(
            f"says that it holds {shape_text(sizes)} bytes; at least 1 and at most {MOST_BYTES:,} are read"
        )
    return sizes


def _read_pixels(path: Path) -> _Bytes:
    """Images as n × channels × height × width. Raises UsageError."""
    found = _read_idx_file(path, (IMAGES, _COLOURED))
    if found.ndim == IMAGES:
        return found[:, None]
    if found.shape[3] in _CHANNELS:
        return np.ascontiguousarray(found.transpose(0, 3, 1, 2))
    if found.shape[1] in _CHANNELS:
        return found
    raise UsageError(
        f"`{path}` holds {shape_text(found.shape)} bytes: neither its second nor its last axis has 1 or 3",
        "lay coloured images out as count × height × width × 3",
    )


class IdxPart(NamedTuple):
    pixels: _Bytes
    """n × channels × height × width."""
    labels: _Bytes
    """n; any numbers, not necessarily from 0 upwards."""


def _read_labelled(files: _Labelled) -> IdxPart:
    pixels, labels = _read_pixels(files.images), _read_idx_file(files.labels, (LABELS,))
    if len(labels) != len(pixels):
        raise UsageError(
            f"`{files.labels}` holds {len(labels):,} labels, of {len(pixels):,} images",
            "give the labels that belong to the images",
        )
    return IdxPart(pixels, labels)


class Measured(NamedTuple):
    shape: tuple[int, int, int]
    images: tuple[int, int]
    classes: tuple[int, ...]
    """The distinct training labels, in ascending order."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    """A hash of the training labels, from which a hold-out is drawn."""
    digest: str
    """A hash of all images and labels."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels as names; empty if they are 0, 1, 2, …."""
        return () if self.classes == tuple(range(len(self.classes))) else tuple(map(str, self.classes))


def read_both(train_files: _Labelled, test_files: _Labelled) -> tuple[IdxPart, IdxPart]:
    """The training and the test images. Raises UsageError if they differ in size or in classes."""
    train, test = _read_labelled(train_files), _read_labelled(test_files)
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        sizes = [shape_text(part.pixels.shape[1:]) for part in (train, test)]
        raise UsageError(
            f"the images of `{train_files.images}` have {sizes[0]} pixels, those of `{test_files.images}` {sizes[1]}",
            "give images of one size",
        )
    unknown = np.setdiff1d(test.labels, train.labels)
    if len(unknown):
        raise UsageError(
            f"`{test_files.labels}` has the label {unknown[0]}, which `{train_files.labels}` lacks",
            "give labels that occur in training, too",
        )
    if len(np.unique(train.labels)) == 1:
        raise UsageError(f"`{train_files.labels}` has only the label {train.labels[0]}", "give at least two classes")
    return train, test


def measure(name: str) -> Measured:
    """Sizes, classes, mean and standard deviation, computed again only if a file has changed. Raises UsageError."""
    files = find_idx(name)
    found = [os.stat(path) for pair in files for path in pair if os.path.exists(path)]
    return measured(*files, tuple((each.st_mtime_ns, each.st_size) for each in found))


@lru_cache(maxsize=1)
def measured(train_files: _Labelled, test_files: _Labelled, _ages: tuple[tuple[int, int], ...]) -> Measured:
    train, test = read_both(train_files, test_files)
    _, channels, height, width = train.pixels.shape
    moments = [_mean_and_std(train.pixels[:, channel]) for channel in range(channels)]
    digest = hashlib.sha256()
    for array in (*train, *test):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return Measured(
        (channels, height, width),
        (len(train.labels), len(test.labels)),
        tuple(map(int, np.unique(train.labels))),
        tuple(mean for mean, _ in moments),
        tuple(std for _, std in moments),
        hashlib.sha256(train.labels.tobytes()).hexdigest(),
        digest.hexdigest()[:16],
    )


def _mean_and_std(pixels: _Bytes) -> tuple[float, float]:
    """Mean and standard deviation, with 1 in place of a standard deviation of 0."""
    # `bincount` converts to 64-bit integers: all images at once would take eight times the memory.
    groups = (pixels[at : at + _AT_ONCE] for at in range(0, len(pixels), _AT_ONCE))
    counts = sum((np.bincount(group.ravel(), minlength=256) for group in groups), np.zeros(256, np.int64))
    values = np.arange(256)
    mean = float((counts * values).sum() / counts.sum())
    variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
    return mean, math.sqrt(variance) or 1.0
