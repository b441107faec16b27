"""Where the batches of a training come from: images that lie in memory, or files that are read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from cldfc.train.batches import Framed, epoch_batches, frame, steps_per_epoch
from cldfc.train.catalogue import DataSet
from cldfc.train.data.holdout import held_out
from cldfc.train.data.reader import load_images
from cldfc.train.data.subset import used_for_training
from cldfc.train.device import Device
from cldfc.train.images import ImageFiles, Images, Split
from cldfc.train.recipe import Part, Recipe, tested_parts
from cldfc.train.share import WHOLE, Share


class Loader(Protocol):
    """Gives batches of pixels in stored units, or a process's share of them, on the device where the network is."""

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch, which all processes see together."""
        ...

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        """The shuffled and augmented batches of an epoch, counted from 1, from its step `first`, counted from 0.

        The same at each call, whatever else has been drawn.
        """
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """The parts that a network is tested on: the test images, and those for validation if there are any."""
        ...

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        """All images of a part, of the share, as they are and in their order; no batch is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Resident:
    train: Framed
    test: Images
    recipe: Recipe
    share: Share = WHOLE
    validation: Images | None = None

    @property
    def steps(self) -> int:
        return steps_per_epoch(len(self.train), self.recipe)

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        return epoch_batches(self.train, self.recipe, epoch, first, self.share)

    @property
    def parts(self) -> Sequence[Part]:
        return tested_parts(self.validation is not None)

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        images = self.validation if part == "validation" else self.test
        assert images is not None
        starts = range(0, len(images), self.recipe.batch)
        return filter(len, (self.share.of(images[at : at + self.recipe.batch]) for at in starts))


def open_loader(
    dataset: DataSet,
    recipe: Recipe,
    device: Device,
    folder: Path,
    share: Share = WHOLE,
    workers: int | None = None,
) -> Loader:
    """A share of the batches of a data set, whose files `workers` processes read where they do not lie in memory.

    Raises UsageError when its files are not all there, or are not what they should be, or no image of each class can
    be kept for validation.
    """
    found = used_for_training(load_images(dataset, folder), dataset, recipe)
    if recipe.holdout:
        found = hold_out(found, dataset, recipe)
    if isinstance(found, ImageFiles):
        # torchvision's import takes as long as torch's.
        from cldfc.train.data.stream import Stream

        return Stream(found, dataset, recipe, device, share, workers)
    split = found.to(device.torch)
    return Resident(frame(split.train, recipe), split.test, recipe, share, split.validation)


def hold_out(found: Split | ImageFiles, dataset: DataSet, recipe: Recipe) -> Split | ImageFiles:
    if isinstance(found, Split):
        is_held = torch.zeros(len(found.train), dtype=torch.bool)
        is_held[held_out([int(label) for label in found.train.labels], dataset, recipe)] = True
        return Split(found.train[~is_held], found.test, found.train[is_held])
    held = set(held_out([sample.label for sample in found.train], dataset, recipe))
    train, validation = (
        [sample for number, sample in enumerate(found.train) if (number in held) == is_held]
        for is_held in (False, True)
    )
    return ImageFiles(train, found.test, validation)
