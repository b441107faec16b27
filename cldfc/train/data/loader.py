"""Where the batches of a training come from: images that lie in memory, or files that are read as they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cldfc.train.batches import Framed, epoch_batches, frame, steps_per_epoch
from cldfc.train.catalogue import DataSet
from cldfc.train.data.reader import load_images
from cldfc.train.data.subset import used_for_training
from cldfc.train.device import Device
from cldfc.train.images import ImageFiles, Images
from cldfc.train.recipe import Recipe
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

    def test_batches(self) -> Iterator[Images]:
        """All test images of the share, as they are and in their order; no batch is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Resident:
    """Batches of images that all lie in the memory of the device."""

    train: Framed
    test: Images
    recipe: Recipe
    share: Share = WHOLE

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch."""
        return steps_per_epoch(len(self.train), self.recipe)

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        """The batches of an epoch, drawn and augmented on the device."""
        return epoch_batches(self.train, self.recipe, epoch, first, self.share)

    def test_batches(self) -> Iterator[Images]:
        """All test images of the share."""
        starts = range(0, len(self.test), self.recipe.batch)
        return filter(len, (self.share.of(self.test[at : at + self.recipe.batch]) for at in starts))


def open_loader(dataset: DataSet, recipe: Recipe, device: Device, folder: Path, share: Share = WHOLE) -> Loader:
    """A share of the batches of a data set.

    Raises UsageError when its files are not all there, or are not what they should be.
    """
    found = used_for_training(load_images(dataset, folder), dataset, recipe)
    if isinstance(found, ImageFiles):
        # torchvision's import takes as long as torch's.
        from cldfc.train.data.stream import Stream

        return Stream(found, dataset, recipe, device, share)
    split = found.to(device.torch)
    return Resident(frame(split.train, recipe), split.test, recipe, share)
