"""`folder:PATH`: images in class folders, made as large as the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet, path_of
from cldfc.train.data.class_folders import Sample, look_at_folder
from cldfc.train.data.pictures import UNREADABLE, open_picture
from cldfc.train.images import ImageFiles, Images, Split

MOST_BYTES = 2 * 2**30
"""Images of more bytes than that are not held in memory."""


def load(dataset: DataSet, folder: Path) -> Split | ImageFiles:
    """Images in memory where all have the size of the input and they fill at most 2 GiB; else their files.

    No data folder is needed. Raises UsageError when the folder is not there, or a file is no image.
    """
    found = look_at_folder(path_of(dataset.name))
    train, test, validation = found.train_samples, found.test_samples, found.validation_samples
    if not fits(dataset, [*train, *test, *(validation or ())]):
        return ImageFiles(train, test, validation)
    kept = None if validation is None else read_images(validation, dataset)
    return Split(read_images(train, dataset), read_images(test, dataset), kept)


def fits(dataset: DataSet, samples: Sequence[Sample]) -> bool:
    """Whether all images have the size of the input, and are few enough to lie in memory."""
    channels, height, width = dataset.shape
    if len(samples) * channels * height * width > MOST_BYTES:
        return False
    return all(size_of(sample.path) == (width, height) for sample in samples)


def size_of(path: str) -> tuple[int, int]:
    """Width and height of an image, from the head of its file. Raises UsageError when it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def read_images(samples: Sequence[Sample], dataset: DataSet) -> Images:
    """Images of exactly the size of the input. Raises UsageError when one cannot be read."""
    pixels = torch.empty(len(samples), *dataset.shape, dtype=torch.uint8)
    for place, sample in enumerate(samples):
        try:
            picture = np.array(open_picture(sample.path, dataset.shape[0]))
        except UNREADABLE as error:
            raise unreadable(sample.path, error) from error
        pixels[place] = torch.tensor(picture).view(*dataset.shape[1:], -1).permute(2, 0, 1)
    return Images(pixels, torch.tensor([sample.label for sample in samples]))


def unreadable(path: str, error: Exception) -> UsageError:
    """The error for a file that cannot be read as an image."""
    return UsageError(f"cannot read the image `{path}`: {error}", "mend the file, or keep it elsewhere")
