"""Labelled images from the reader of a data set, checked because the reader may come from a plugin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from cldfc.data.bounded import read_bytes
from cldfc.data.catalogue import in_one_line
from cldfc.data.class_folders import Sample
from cldfc.data.data_set import DataSet, trusting
from cldfc.data.dataset_files import Copy, copies, known_as, read_copy, read_unpacked_part, require
from cldfc.diagnostics import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Images:
    """`pixels` n × channels × height × width (uint8, stored units), and their classes `labels` n (int64)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        return Images(self.pixels[index], self.labels[index])

    def to(self, device: torch.device) -> Images:
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class _Parts(Generic[T]):
    """The training, the test and, if there are any, the validation images."""

    train: T
    test: T
    validation: T | None = None

    def __iter__(self) -> Iterator[T]:
        return iter([self.train, self.test] if self.validation is None else [self.train, self.test, self.validation])


class Split(_Parts[Images]):
    """The images of a data set, in memory."""

    def to(self, device: torch.device) -> Split:
        return Split(*(images.to(device) for images in self))


class ImageFiles(_Parts[Sequence[Sample]]):
    """The image files of a data set, read and resized as they are needed."""


def standardise(pixels: Tensor, dataset: DataSet) -> Tensor:
    """Subtract the data set's mean from each channel, and divide by its standard deviation.

    Shapes: n × channels × height × width, the result float32.
    """
    return (pixels - of_channels(dataset.mean, pixels.device)) / of_channels(dataset.std, pixels.device)


# Cached because copying a number to a CUDA device waits for all work that the device has yet to do.
@cache
@torch.inference_mode(False)
def of_channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """One number per channel as a shared tensor, channels × 1 × 1, which must not be modified."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


def load_images(dataset: DataSet, folder: Path) -> Split | ImageFiles:
    """The images of a data set, from the function `load` of its reader.

    Raises UsageError if they are not in the folder, the reader fails, or what it returns contradicts the entry.
    """
    try:
        reader: Any = import_module(dataset.reader)
        found: object = reader.load(dataset, folder)
    except (UsageError, MemoryError):
        raise
    except Exception as error:
        raise _broken_reader(dataset, in_one_line(error)) from error
    if not isinstance(found, Split | ImageFiles):
        raise _broken_reader(dataset, f"`load` gives a {type(found).__name__}, neither a Split nor ImageFiles")
    if isinstance(found, ImageFiles) and not dataset.from_files:
        raise _broken_reader(dataset, "`load` gives ImageFiles, and the entry lacks `from_files=True`")
    if (found.validation is not None) != dataset.has_validation:
        has, says = ("images", "none") if found.validation is not None else ("no images", "some")
        raise _broken_reader(dataset, f"`load` gives {has} for validation, and the entry says that there are {says}")
    if isinstance(found, Split):
        for images in found:
            _check_images(images, dataset)
    return found


def _check_images(images: Images, dataset: DataSet) -> None:
    pixels, labels = images.pixels, images.labels
    if pixels.dtype != torch.uint8 or labels.dtype != torch.int64:
        raise _broken_reader(
            dataset, f"pixels and labels are {pixels.dtype} and {labels.dtype}, not torch.uint8 and torch.int64"
        )
    if tuple(pixels.shape) != (len(labels), *dataset.shape) or labels.dim() != 1:
        shapes = f"{tuple(pixels.shape)} and {tuple(labels.shape)}"
        raise _broken_reader(dataset, f"pixels and labels have the shapes {shapes}, and an image is {dataset.shape}")
    if not len(labels):
        raise _broken_reader(dataset, "there are no images")
    if int(labels.min()) < 0 or int(labels.max()) >= dataset.classes:
        raise _broken_reader(
            dataset, f"labels go from {int(labels.min())} to {int(labels.max())}, of {dataset.classes} classes"
        )


def _broken_reader(dataset: DataSet, reason: str) -> UsageError:
    return UsageError(
        f"`{dataset.reader}` cannot read the data set `{dataset.name}`: {reason}",
        "the entry of the data set and its reader do not fit together: report that to whoever wrote them",
    )


def trust_files(dataset: DataSet, folder: Path) -> DataSet:
    """The data set, accepting the files found in place of the published ones.

    They are read once by the usual reader, and their images counted. Raises UsageError if they cannot be read, or
    belong to another data set.
    """
    if not dataset.files:
        raise UsageError(f"`{dataset.name}` has no published files", "leave `--trust-files` out")
    require(dataset, folder)
    own = [path for file in dataset.files for path in _own_files(dataset, copies(file, folder))]
    trusted = trusting(dataset, [_own_checksum(path, dataset) for path in own])
    if not trusted.trusted:
        return dataset
    found = load_images(trusted, folder)
    assert isinstance(found, Split)
    return trusted.model_copy(update={"images": (len(found.train), len(found.test))})


def _own_files(dataset: DataSet, found: Sequence[Copy]) -> list[Path]:
    """The unpublished files of the first copy; none if they are a published copy in any form."""
    first = found[0]
    if any(_can_read(read_copy, dataset, copy) for copy in found if copy.paths == first.paths):
        return []
    if first.is_packed:
        return list(first.paths)
    pairs = zip(first.paths, first.file.parts, strict=True)
    return [path for path, part in pairs if not _can_read(read_unpacked_part, dataset, path, part, first.file)]


def _can_read(read: Callable[..., object], *arguments: object) -> bool:
    """Whether `read` accepts the files as published or already trusted."""
    try:
        read(*arguments)
    except UsageError:
        return False
    return True


def _own_checksum(path: Path, dataset: DataSet) -> str:
    """The SHA-256 of a file. Raises UsageError if the file belongs to another data set."""
    data = read_bytes(path)
    known = known_as(data)
    if known and known[0] != dataset.name:
        raise UsageError(f"`{path}` is `{known[1]}` of the data set `{known[0]}`", f"`--data {known[0]}` trains on it")
    return hashlib.sha256(data).hexdigest()
