"""Random images with random labels, for tests and timing."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator

from cldfc.data.catalogue import FAKE_IMAGES
from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split


def load(dataset: DataSet, folder: Path) -> Split:
    """The same random images in every call, pixels from 0 to 255; `folder` is not used."""
    draw = Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, *dataset.shape), dtype=torch.uint8, generator=draw)
        return Images(pixels, torch.randint(0, dataset.classes, (count,), generator=draw))

    return Split(*map(images, FAKE_IMAGES))
