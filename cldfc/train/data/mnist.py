"""MNIST and its relatives: IDX files, gzipped or unpacked."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from cldfc.train.catalogue import DataSet
from cldfc.train.data.files import read_parsed, require
from cldfc.train.data.idx_files import IMAGES, LABELS, read_idx
from cldfc.train.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The images, pixels from 0 to 255: training images, training labels, test images, test labels in four files.

    Raises UsageError when a file is missing or not the published one.
    Sources: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998; H. Xiao, K. Rasul and
    R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, 2017; T. Clanuwat
    et al., Deep learning for classical Japanese literature, 2018.
    """
    require(dataset, folder)
    train, train_labels, test, test_labels = (
        read_parsed(dataset, file, folder, lambda data, axes=axes: torch.tensor(read_idx(io.BytesIO(data), (axes,))))
        for file, axes in zip(dataset.files, (IMAGES, LABELS) * 2, strict=True)
    )
    # One channel.
    return Split(Images(train.unsqueeze(1), train_labels.long()), Images(test.unsqueeze(1), test_labels.long()))
