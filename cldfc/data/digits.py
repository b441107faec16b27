"""The handwritten digits that come with scikit-learn: 1,797 images of 8 × 8 pixels."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The digits, pixels from 0 to 16, as 1,437 training and 360 test images; no folder is needed.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    # scikit-learn takes a second to import and carries no types.
    datasets: Any = import_module("sklearn.datasets")
    selection: Any = import_module("sklearn.model_selection")
    digits = datasets.load_digits()
    train, test = selection.train_test_split(
        np.arange(len(digits.target)), test_size=360, stratify=digits.target, random_state=0
    )
    pixels = torch.tensor(digits.images, dtype=torch.uint8).unsqueeze(1)
    images = Images(pixels, torch.tensor(digits.target, dtype=torch.int64))
    return Split(images[torch.tensor(train)], images[torch.tensor(test)])
