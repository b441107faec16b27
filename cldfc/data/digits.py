"""The handwritten digits that come with scikit-learn: 1,797 images of 8 × 8 pixels."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split

_SPLIT = Path(__file__).with_name("digits_split.txt")
"""Numbers of the training images on the first line and of the test images on the second: the result of
scikit-learn's `train_test_split(range(1797), test_size=360, stratify=labels, random_state=0)`."""


def load(dataset: DataSet, folder: Path) -> Split:
    """The digits, pixels from 0 to 16, as 1,437 training and 360 test images; no folder is needed.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    table = torch.tensor(_pixels_and_labels(), dtype=torch.int64)
    images = Images(table[:, :64].to(torch.uint8).reshape(-1, 1, 8, 8), table[:, 64])
    lines = _SPLIT.read_text(encoding="ascii").splitlines()
    train, test = (torch.tensor(list(map(int, line.split()))) for line in lines)
    return Split(images[train], images[test])


def _pixels_and_labels() -> Any:
    """One row for each image: its 64 pixels, then its label."""
    # Importing scikit-learn takes two seconds, so its file is read directly if possible.
    found = find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        if (file := Path(folder, "datasets", "data", "digits.csv.gz")).is_file():
            return np.loadtxt(file, delimiter=",")
    datasets: Any = import_module("sklearn.datasets")
    digits = datasets.load_digits()
    return np.column_stack([digits.data, digits.target])
