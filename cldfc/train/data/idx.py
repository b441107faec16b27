"""`idx:PATH`: IDX files, which hold images of one size and their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from cldfc.train.catalogue import DataSet, path_of
from cldfc.train.data.idx_files import IdxPart, find_idx, read_both
from cldfc.train.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The images as they lie in the files; their labels in order become the classes. No data folder is needed.

    Raises UsageError when a file is missing or damaged, or they do not fit together.
    """
    train, test = read_both(find_idx(path_of(dataset.name)))
    classes = np.unique(train.labels)

    def labelled(part: IdxPart) -> Images:
        return Images(torch.tensor(part.pixels), torch.tensor(np.searchsorted(classes, part.labels)))

    return Split(labelled(train), labelled(test))
