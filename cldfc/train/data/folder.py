"""`folder:PATH`: images in class folders, made as large as the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet, is_folder, path_of, skipping
from cldfc.train.data.class_folders import Sample, look_at_folder
from cldfc.train.data.pictures import UnreadableImage, cannot_read, has_size, open_picture
from cldfc.train.images import ImageFiles, Images, Split

MOST_BYTES = 2 * 2**30

HELP = "mend the file, or keep it elsewhere; `--skip-unreadable` trains without such files"


def skip_unreadable(dataset: DataSet, say: Callable[[str], None]) -> DataSet:
    """The data set without the images that cannot be read: each is decoded once. Raises UsageError.

    `say` hears how far that is, if it takes longer than a glance.
    """
    if not is_folder(dataset.name):
        raise UsageError(f"`{dataset.name}` has no class folders", "leave `--skip-unreadable` out")
    # torchvision's import takes as long as torch's.
    from cldfc.train.data.stream import find_unreadable

    found = look_at_folder(path_of(dataset.name))
    samples = [sample for part in found.parts for sample in part]
    unreadable = find_unreadable([sample.path for sample in samples], say)
    for path, reason in unreadable.items():
        say(f"left out: `{path}`: {reason}")
    return skipping(dataset, [found.path_within(sample) for sample in samples if sample.path in unreadable])


def load(dataset: DataSet, folder: Path) -> Split | ImageFiles:
    """Images in memory where all have the size of the input and they fill at most 2 GiB; else their files.

    No data folder is needed. Raises UsageError when the folder is not there, or files are no images.
    """
    found = look_at_folder(path_of(dataset.name)).without(frozenset(dataset.skipped))
    files = ImageFiles(found.train_samples, found.test_samples, found.validation_samples)
    if not fits(dataset, [sample for part in files for sample in part]):
        return files
    unreadable: dict[str, str] = {}
    split = Split(*(decode_images(part, dataset, unreadable) for part in files))
    if unreadable:
        raise cannot_read(unreadable, HELP)
    return split


def fits(dataset: DataSet, samples: Sequence[Sample]) -> bool:
    """Whether all images have the size of the input, and are few enough to lie in memory.

    Raises UsageError that names all files whose head is not an image's, or whose end is missing.
    """
    channels, height, width = dataset.shape
    unreadable: dict[str, str] = {}
    others = 0
    for sample in samples:
        try:
            others += not has_size(sample.path, (width, height))
        except UnreadableImage as error:
            unreadable[sample.path] = str(error)
    if unreadable:
        raise cannot_read(unreadable, HELP)
    return not others and len(samples) * channels * height * width <= MOST_BYTES


def decode_images(samples: Sequence[Sample], dataset: DataSet, unreadable: dict[str, str]) -> Images:
    pixels = torch.empty(len(samples), *dataset.shape, dtype=torch.uint8)
    for place, sample in enumerate(samples):
        try:
            picture = np.array(open_picture(sample.path, dataset.shape[0]))
        except UnreadableImage as error:
            unreadable[sample.path] = str(error)
        else:
            pixels[place] = torch.tensor(picture).view(*dataset.shape[1:], -1).permute(2, 0, 1)
    return Images(pixels, torch.tensor([sample.label for sample in samples]))
