"""CIFAR-10 and CIFAR-100: pickled batches, in a gzipped archive or unpacked from it."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.data.files import packed, read_part, read_published, require
from cldfc.train.images import Images, Split
from cldfc.train.published import DataFile

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""All that a batch needs; anything else in a pickle could run foreign code."""


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255; an archive is read in memory.

    Raises UsageError when the archive is missing or not the published one, and no batches have been unpacked.
    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    require(dataset, folder)
    (file,) = dataset.files
    if packed(file, folder):
        *train, test = read_archive(file, folder)
    else:
        *train, test = (read_part(part, file, folder) for part in file.parts)
    return Split(read_batches(train), read_batches([test]))


def read_archive(file: DataFile, folder: Path) -> list[bytes]:
    """The batches in an archive."""
    data = read_published(file, folder)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return [read_member(archive, part.name) for part in file.parts]


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """What a member of an archive holds."""
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def read_batches(batches: Sequence[bytes]) -> Images:
    """The images of some batches, in their order, by their fine labels where there are two."""
    found = [read_batch(batch) for batch in batches]
    pixels = np.concatenate([np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32) for batch in found])
    labels = [batch["labels" if "labels" in batch else "fine_labels"] for batch in found]
    return Images(torch.tensor(pixels), torch.tensor([label for part in labels for label in part]))


def read_batch(batch: bytes) -> dict[str, Any]:
    """The dictionary that a batch holds."""
    # Python 2 wrote the batches; its strings are bytes.
    return Batches(io.BytesIO(batch), encoding="latin1").load()


class Batches(pickle.Unpickler):
    """Reads dictionaries of numbers, text and arrays, and nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """One of the few functions that arrays need; raises UsageError for any other."""
        if (module_name, global_name) not in ALLOWED:
            raise UsageError(
                f"the archive wants to run `{module_name}.{global_name}`", "it is not a CIFAR archive: delete it"
            )
        return super().find_class(module_name, global_name)
