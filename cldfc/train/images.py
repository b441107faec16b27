"""Labelled images as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from cldfc.train.catalogue import DataSet
from cldfc.train.data.class_folders import Sample


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
class Split:
    """The images of a data set to train on, those to test on, and those that epochs are chosen by, if there are any."""

    train: Images
    test: Images
    validation: Images | None = None

    def __iter__(self) -> Iterator[Images]:
        return iter([self.train, self.test] if self.validation is None else [self.train, self.test, self.validation])

    def to(self, device: torch.device) -> Split:
        return Split(*(images.to(device) for images in self))


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The files of the images of a data set: read, and cut to size, as they are needed."""

    train: Sequence[Sample]
    test: Sequence[Sample]
    validation: Sequence[Sample] | None = None

    def __iter__(self) -> Iterator[Sequence[Sample]]:
        return iter([self.train, self.test] if self.validation is None else [self.train, self.test, self.validation])


def standardise(pixels: Tensor, dataset: DataSet) -> Tensor:
    """Pixels n × channels × height × width with mean 0 and standard deviation 1 in each channel, as float32."""
    return (pixels - of_channels(dataset.mean, pixels.device)) / of_channels(dataset.std, pixels.device)


# A number that is brought to a CUDA device lets the program wait for all that the device has yet to do.
@cache
@torch.inference_mode(False)
def of_channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A number for each channel, channels × 1 × 1, not to be changed."""
    return torch.tensor(values, device=device).view(-1, 1, 1)
