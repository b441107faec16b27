"""Has a data set read by its reader, whoever wrote that."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.images import ImageFiles, Images, Split
from cldfc.train.plugins import in_one_line


def load_images(dataset: DataSet, folder: Path) -> Split | ImageFiles:
    """The images of a data set, by the function `load` of its reader.

    Raises UsageError when they are not in the folder, or the reader cannot be used or gives something else.
    """
    try:
        reader: Any = import_module(dataset.reader)
        found: object = reader.load(dataset, folder)
    except (UsageError, MemoryError):
        raise
    except Exception as error:
        raise broken_reader(dataset, in_one_line(error)) from error
    if not isinstance(found, Split | ImageFiles):
        raise broken_reader(dataset, f"`load` gives a {type(found).__name__}, neither a Split nor ImageFiles")
    if isinstance(found, ImageFiles) and not dataset.from_files:
        raise broken_reader(dataset, "`load` gives ImageFiles, and the entry lacks `from_files=True`")
    if (found.validation is not None) != dataset.has_validation:
        has, says = ("images", "none") if found.validation is not None else ("no images", "some")
        raise broken_reader(dataset, f"`load` gives {has} for validation, and the entry says that there are {says}")
    if isinstance(found, Split):
        for images in found:
            check_images(images, dataset)
    return found


def check_images(images: Images, dataset: DataSet) -> None:
    pixels, labels = images.pixels, images.labels
    if pixels.dtype != torch.uint8 or labels.dtype != torch.int64:
        raise broken_reader(
            dataset, f"pixels and labels are {pixels.dtype} and {labels.dtype}, not torch.uint8 and torch.int64"
        )
    if tuple(pixels.shape) != (len(labels), *dataset.shape) or labels.dim() != 1:
        shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
        raise broken_reader(dataset, f"pixels and labels have the shapes {shapes}, and an image is {dataset.shape}")
    if not len(labels):
        raise broken_reader(dataset, "there are no images")
    if int(labels.min()) < 0 or int(labels.max()) >= dataset.classes:
        raise broken_reader(
            dataset, f"labels go from {int(labels.min())} to {int(labels.max())}, of {dataset.classes} classes"
        )


def broken_reader(dataset: DataSet, reason: str) -> UsageError:
    return UsageError(
        f"`{dataset.reader}` cannot read the data set `{dataset.name}`: {reason}",
        "the entry of the data set and its reader do not fit together: report that to whoever wrote them",
    )
