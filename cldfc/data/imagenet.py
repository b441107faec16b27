"""ImageNet: JPEG files in class folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cldfc.data.class_folders import Sample, class_names, list_samples, reading_folders
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import how_to_get, require
from cldfc.data.images import ImageFiles
from cldfc.diagnostics import UsageError


def load(dataset: DataSet, folder: Path) -> ImageFiles:
    """The files of the class folders in `train` and `val`; classes are numbered in the order of their names.

    Raises UsageError if a folder is missing, the number of classes is wrong, or a class is empty.
    Source: O. Russakovsky et al., ImageNet large scale visual recognition challenge, 2015.
    """
    require(dataset, folder)
    return ImageFiles(*(_list_files(folder / name, dataset) for name in dataset.folders))


def _list_files(folder: Path, dataset: DataSet) -> Sequence[Sample]:
    with reading_folders():
        count = len(class_names(folder))
        if count == dataset.classes:
            return list_samples(folder)
    raise UsageError(f"`{folder}` has {count:,} class folders, not {dataset.classes:,}", how_to_get(dataset))
