"""CIFAR-10 and CIFAR-100: pickled batches in a gzipped archive."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.data.files import read_published, require
from cldfc.train.images import Images, Split


class Layout(NamedTuple):
    """The members of an archive with training and with test images, and the key of their labels."""

    train: Sequence[str]
    test: Sequence[str]
    labels: str


LAYOUTS = {
    "cifar10": Layout(
        [f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)],
        ["cifar-10-batches-py/test_batch"],
        "labels",
    ),
    "cifar100": Layout(["cifar-100-python/train"], ["cifar-100-python/test"], "fine_labels"),
}

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""All that a batch needs; anything else in a pickle could run foreign code."""


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255, read out of the archive in memory.

    Raises UsageError when the archive is missing or not the published one.
    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    require(dataset, folder)
    layout = LAYOUTS[dataset.name]
    data = read_published(dataset.files[0], folder)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return Split(*(read_members(archive, names, layout.labels) for names in (layout.train, layout.test)))


def read_members(archive: tarfile.TarFile, names: Sequence[str], labels: str) -> Images:
    """The images of some members of an archive, in the order of their names."""
    batches = [read_batch(archive, name) for name in names]
    pixels = np.concatenate([np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32) for batch in batches])
    classes = [label for batch in batches for label in batch[labels]]
    return Images(torch.tensor(pixels), torch.tensor(classes))


def read_batch(archive: tarfile.TarFile, name: str) -> dict[str, Any]:
    """The dictionary that a member of an archive holds."""
    file = archive.extractfile(name)
    assert file is not None
    # Python 2 wrote the batches; its strings are bytes.
    return Batches(file, encoding="latin1").load()


class Batches(pickle.Unpickler):
    """Reads dictionaries of numbers, text and arrays, and nothing else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """One of the few functions that arrays need; raises UsageError for any other."""
        if (module_name, global_name) not in ALLOWED:
            raise UsageError(
                f"the archive wants to run `{module_name}.{global_name}`", "it is not a CIFAR archive: delete it"
            )
        return super().find_class(module_name, global_name)
