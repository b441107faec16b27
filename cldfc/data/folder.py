"""`folder:PATH`: images in class folders, resized to the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from cldfc.data.catalogue import is_folder, path_of, skipping
from cldfc.data.class_folders import Sample, look_at_folder
from cldfc.data.data_set import DataSet
from cldfc.data.images import ImageFiles, Images, Split
from cldfc.data.pictures import UnreadableImage, cannot_read, has_size, open_picture
from cldfc.diagnostics import UsageError

MOST_BYTES = 2 * 2**30

_HELP = "mend the file, or keep it elsewhere; `--skip-unreadable` trains without such files"


def skip_unreadable(dataset: DataSet, say: Callable[[str], None]) -> DataSet:
    """The data set without its unreadable images, found by decoding every image once. Raises UsageError.

    Names them to `say`, and reports progress if this takes more than a moment.
    """
    if not is_folder(dataset.name):
        raise UsageError(f"`{dataset.name}` has no class folders", "leave `--skip-unreadable` out")
    from cldfc.data.loader import find_unreadable

    found = look_at_folder(path_of(dataset.name))
    samples = [sample for part in found.parts for sample in part]
    unreadable = find_unreadable([sample.path for sample in samples], say)
    for path, reason in unreadable.items():
        say(f"left out: `{path}`: {reason}")
    return skipping(dataset, [found.path_within(sample) for sample in samples if sample.path in unreadable])


def load(dataset: DataSet, folder: Path) -> Split | ImageFiles:
    """Images in memory if all have the size of the input and together take at most 2 GiB; otherwise their files.

    `folder` is not used. Raises UsageError if the class folders are missing, or files are not images.
    """
    found = look_at_folder(path_of(dataset.name)).without(frozenset(dataset.skipped))
    files = ImageFiles(found.train, found.test, found.validation or None)
    if not _fits_input(dataset, [sample for part in files for sample in part]):
        return files
    unreadable: dict[str, str] = {}
    split = Split(*(_decode_images(part, dataset, unreadable) for part in files))
    if unreadable:
        raise cannot_read(unreadable, _HELP)
    return split


def _fits_input(dataset: DataSet, samples: Sequence[Sample]) -> bool:
    """Whether all images have the size of the input, and together fit into memory.

    Raises UsageError for files that are truncated, or do not begin like an image.
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
        raise cannot_read(unreadable, _HELP)
    return not others and len(samples) * channels * height * width <= MOST_BYTES


def _decode_images(samples: Sequence[Sample], dataset: DataSet, unreadable: dict[str, str]) -> Images:
    pixels = torch.empty(len(samples), *dataset.shape, dtype=torch.uint8)
    for place, sample in enumerate(samples):
        try:
            picture = np.array(open_picture(sample.path, dataset.shape[0]))
        except UnreadableImage as error:
            unreadable[sample.path] = str(error)
        else:
            pixels[place] = torch.tensor(picture).view(*dataset.shape[1:], -1).permute(2, 0, 1)
    return Images(pixels, torch.tensor([sample.label for sample in samples]))
