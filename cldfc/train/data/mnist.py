"""MNIST and its relatives: IDX files, gzipped or unpacked."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor

from cldfc.train.catalogue import DataSet
from cldfc.train.data.files import read_content, require, unreadable
from cldfc.train.data.idx_files import IMAGES, LABELS, read_idx
from cldfc.train.images import Images, Split
from cldfc.train.published import DataFile


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255: training images, training labels, test images, test labels in four files.

    Raises UsageError when a file is missing or not the published one.
    Sources: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998; H. Xiao, K. Rasul and
    R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017; T. Clanuwat
    et al., Deep learning for classical Japanese literature, 2018.
    """
    require(dataset, folder)
    axes = (IMAGES, LABELS) * 2
    parts = [read_array(dataset, file, folder, count) for file, count in zip(dataset.files, axes, strict=True)]
    return Split(labelled(parts[0], parts[1]), labelled(parts[2], parts[3]))


def read_array(dataset: DataSet, file: DataFile, folder: Path, axes: int) -> Tensor:
    """The array in a published file, or in what has been unpacked from it."""
    content = read_content(dataset, file, folder)
    try:
        return torch.tensor(read_idx(io.BytesIO(content.parts[0]), (axes,)))
    except ValueError as error:
        raise unreadable(content.paths[0], content.parts[0], file, error) from error


def labelled(pixels: Tensor, labels: Tensor) -> Images:
    """Images of one channel with their labels."""
    return Images(pixels.unsqueeze(1), labels.long())
