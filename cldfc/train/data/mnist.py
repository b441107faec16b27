"""MNIST: gzipped IDX files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import torch
from torch import Tensor

from cldfc.train.catalogue import DataFile, DataSet
from cldfc.train.data.files import read_published, require
from cldfc.train.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The digits, pixels from 0 to 255: training images, training labels, test images, test labels in four files.

    Raises UsageError when a file is missing or not the published one.
    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998.
    """
    require(dataset, folder)
    parts = [read_idx(read_zipped(file, folder)) for file in dataset.files]
    return Split(labelled(parts[0], parts[1]), labelled(parts[2], parts[3]))


def read_zipped(file: DataFile, folder: Path) -> bytes:
    """What a gzipped file holds."""
    return gzip.decompress(read_published(file, folder))


def read_idx(data: bytes) -> Tensor:
    """The array of an IDX file of bytes: its number of axes, its sizes, its numbers."""
    axes = data[3]
    first = 4 + 4 * axes
    sizes: tuple[int, ...] = struct.unpack(f">{axes}I", data[4:first])
    return torch.frombuffer(bytearray(data[first:]), dtype=torch.uint8).view(sizes)


def labelled(pixels: Tensor, labels: Tensor) -> Images:
    """Images of one channel with their labels."""
    return Images(pixels.unsqueeze(1), labels.long())
