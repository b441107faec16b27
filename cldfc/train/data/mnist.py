"""MNIST and its relatives: IDX files, gzipped or unpacked."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.data.files import read_unzipped, require
from cldfc.train.images import Images, Split
from cldfc.train.published import DataFile

AXES_OF_IMAGES, AXES_OF_LABELS = 3, 1
BYTES = 8
"""How an IDX file says that its numbers are bytes."""


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255: training images, training labels, test images, test labels in four files.

    Raises UsageError when a file is missing or not the published one.
    Sources: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998; H. Xiao, K. Rasul and
    R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017.
    """
    require(dataset, folder)
    axes = (AXES_OF_IMAGES, AXES_OF_LABELS) * 2
    parts = [read_array(file, folder, count) for file, count in zip(dataset.files, axes, strict=True)]
    return Split(labelled(parts[0], parts[1]), labelled(parts[2], parts[3]))


def read_array(file: DataFile, folder: Path, axes: int) -> Tensor:
    """The array in a published file, or in what has been unpacked from it."""
    return read_idx(*read_unzipped(file, folder), axes)


def read_idx(data: bytes, where: str, axes: int) -> Tensor:
    """The array of an IDX file of bytes: its number of axes, its sizes, its numbers.

    Raises UsageError unless the head says that, and the file is as long as the sizes make it.
    """
    first = 4 + 4 * axes
    if len(data) < first or data[:4] != bytes([0, 0, BYTES, axes]):
        raise UsageError(
            f"`{where}` is no IDX file with {axes} axes of bytes: it begins with {data[:4].hex(' ')}",
            "delete it, then fetch it again with `--download`",
        )
    sizes: tuple[int, ...] = struct.unpack(f">{axes}I", data[4:first])
    if first + math.prod(sizes) != len(data):
        raise UsageError(
            f"`{where}` says that it holds {' × '.join(map(str, sizes))} bytes, and holds {len(data) - first:,}",
            "delete it, then fetch it again with `--download`",
        )
    return torch.frombuffer(bytearray(data[first:]), dtype=torch.uint8).view(sizes)


def labelled(pixels: Tensor, labels: Tensor) -> Images:
    """Images of one channel with their labels."""
    return Images(pixels.unsqueeze(1), labels.long())
