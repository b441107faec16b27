"""CIFAR-10 and CIFAR-100: pickled or binary batches, in their archive or unpacked."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import help_for, read_content, require
from cldfc.data.images import Images, Split
from cldfc.diagnostics import UsageError


def _latin1(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, with which Python 3 pickles bytes in protocols that Python 2 reads."""
    if encoding != "latin1":
        raise _Foreign(f"wants the encoding `{encoding}`")
    return text.encode("latin1")


class _Foreign(ValueError):
    """A pickle asks for something that no batch needs."""


_OWN = {("_codecs", "encode"): _latin1, ("__builtin__", "bytes"): lambda: b""}
_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("multiarray", "_reconstruct"),
    ("multiarray", "scalar"),
    ("numeric", "_frombuffer"),
}
"""All that a batch needs; any other global in a pickle could run foreign code."""

_PIXELS = 3 * 32 * 32


class _Batch(NamedTuple):
    pixels: NDArray[np.uint8]
    """n × 3072."""
    labels: NDArray[np.int64]


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255; the last batch has the test images. Archives are unpacked in memory.

    Raises UsageError if files are missing or damaged, or are neither published nor trusted.
    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    require(dataset, folder)
    (file,) = dataset.files
    content = read_content(dataset, file, folder)
    batches: list[_Batch] = []
    for data, part, path in zip(content.parts, content.file.parts, content.paths, strict=True):
        try:
            batch = _read_binary(data, dataset) if part.name.endswith(".bin") else _read_pickled(data)
            _check_labels(batch, dataset)
        except ValueError as error:
            raise UsageError(f"`{part.name}` of `{path}` {error}", help_for(file)) from error
        batches.append(batch)
    *train, test = batches
    return Split(_images_of(train), _images_of([test]))


def _images_of(batches: Sequence[_Batch]) -> Images:
    pixels = np.concatenate([batch.pixels for batch in batches]).reshape(-1, 3, 32, 32)
    return Images(torch.tensor(pixels), torch.tensor(np.concatenate([batch.labels for batch in batches])))


def _check_labels(batch: _Batch, dataset: DataSet) -> None:
    if not len(batch.labels):
        raise ValueError("holds no images")
    least, most = int(batch.labels.min()), int(batch.labels.max())
    if least < 0 or most >= dataset.classes:
        raise ValueError(f"has labels from {least} to {most}, and `{dataset.name}` has {dataset.classes} classes")


def _read_binary(data: bytes, dataset: DataSet) -> _Batch:
    """A batch of records, each a label, or a coarse and a fine label, then the pixels. Raises ValueError."""
    labels = 1 if dataset.classes == 10 else 2
    records = np.frombuffer(data, np.uint8)
    if len(records) % (labels + _PIXELS):
        raise ValueError(
            f"has {len(data):,} bytes, which is not a multiple of {labels + _PIXELS:,}: a record of an image"
        )
    records = records.reshape(-1, labels + _PIXELS)
    return _Batch(records[:, labels:], records[:, labels - 1].astype(np.int64))


def _read_pickled(data: bytes) -> _Batch:
    """A pickled batch, with the fine labels of CIFAR-100. Raises ValueError."""
    batch = _unpickle(data)
    found = cast("dict[object, object]", batch) if isinstance(batch, dict) else {}
    labels = found.get("labels", found.get("fine_labels"))
    try:
        pixels = np.asarray(found["data"])
        numbers = np.asarray(labels, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError("holds no batch of images and labels") from error
    if pixels.dtype != np.uint8 or numbers.ndim != 1 or pixels.shape != (len(numbers), _PIXELS):
        raise ValueError(f"holds no batch of {_PIXELS:,} bytes for each label")
    return _Batch(pixels, numbers)


def _unpickle(data: bytes) -> object:
    """The object in a pickle. Raises ValueError if it is damaged, would run foreign code, or would fill the memory."""
    try:
        # The memo is allocated up to its largest index, even if the pickle is short.
        if any("PUT" in code.name and int(place or 0) > len(data) for code, place, _ in pickletools.genops(data)):
            raise _Foreign("refers to more values than it can hold")
        # Python 2 wrote the batches; its strings are bytes.
        return Batches(io.BytesIO(data), encoding="latin1").load()
    except (MemoryError, _Foreign):
        raise
    except Exception as error:
        raise ValueError(f"cannot be read as a batch: {error}") from error


class Batches(pickle.Unpickler):
    """Unpickles dictionaries of numbers, text and arrays, and nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        own = _OWN.get((module_name, global_name))
        if own:
            return own
        # numpy 2 renamed `numpy.core` to `numpy._core`.
        if (re.sub(r"^numpy\._?core\.", "", module_name), global_name) not in _ARRAYS:
            raise _Foreign(f"wants to run `{module_name}.{global_name}`: it is no batch of CIFAR")
        return super().find_class(module_name, global_name)
