"""SVHN, house numbers cropped to digits, in MATLAB files."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cldfc.data.bounded import MOST_BYTES
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import read_parsed, require
from cldfc.data.images import Images, Split

_ZERO = 10
"""The label of the digit 0."""


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255.

    Raises UsageError if a file is missing or damaged, or is neither published nor trusted.
    Source: Y. Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011.
    """
    require(dataset, folder)
    parts = [read_parsed(dataset, file, folder, _read_matlab) for file in dataset.files]
    return Split(*(Images(torch.tensor(pixels), torch.tensor(labels)) for pixels, labels in parts))


def _read_matlab(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels, n × 3 × 32 × 32, and digits, n. Raises ValueError if the file holds anything else."""
    # scipy, a dependency of scikit-learn, has no type annotations.
    matlab: Any = import_module("scipy.io")
    try:
        shapes = {name: shape for name, shape, _ in matlab.whosmat(io.BytesIO(data))}
        *size, count = shapes["X"]
        if size != [32, 32, 3] or 32 * 32 * 3 * count > MOST_BYTES or shapes["y"] != (count, 1):
            raise ValueError("holds no images of 32 × 32 × 3 bytes with their labels")
        found = matlab.loadmat(io.BytesIO(data), variable_names=["X", "y"])
        pixels, labels = np.asarray(found["X"]), np.asarray(found["y"]).ravel().astype(np.int64)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"cannot be read as images of SVHN: {error}") from error
    if pixels.dtype != np.uint8 or pixels.shape[3] != len(labels) or not np.isin(labels, range(_ZERO + 1)).all():
        raise ValueError("holds no bytes with labels from 1 to 10")
    return pixels.transpose(3, 2, 0, 1), labels % _ZERO
