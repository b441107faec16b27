"""Reads IDX files, gzipped or not: MNIST and its relatives, and the user's own, `idx:PATH`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from cldfc.data.catalogue import path_of
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import read_parsed, require
from cldfc.data.idx_files import IMAGES, LABELS, IdxPart, find_idx, read_both, read_idx
from cldfc.data.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255. Raises UsageError if a file is missing, damaged or not the published one.

    Sources: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998; H. Xiao, K. Rasul and
    R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017; T. Clanuwat
    et al., Deep learning for classical Japanese literature, 2018.
    """
    return _load_published(dataset, folder) if dataset.files else _load_own(path_of(dataset.name))


def _load_published(dataset: DataSet, folder: Path) -> Split:
    """Four files: training images, training labels, test images, test labels; the images have one channel."""
    require(dataset, folder)
    train, train_labels, test, test_labels = (
        read_parsed(dataset, file, folder, lambda data, axes=axes: torch.tensor(read_idx(io.BytesIO(data), (axes,))))
        for file, axes in zip(dataset.files, (IMAGES, LABELS) * 2, strict=True)
    )
    return Split(Images(train.unsqueeze(1), train_labels.long()), Images(test.unsqueeze(1), test_labels.long()))


def _load_own(path: str) -> Split:
    """The images as stored; the labels that occur, in ascending order, become the classes."""
    train, test = read_both(*find_idx(path))
    classes = np.unique(train.labels)

    def labelled(part: IdxPart) -> Images:
        return Images(torch.tensor(part.pixels), torch.tensor(np.searchsorted(classes, part.labels)))

    return Split(labelled(train), labelled(test))
