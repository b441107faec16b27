"""Loads batches, from images in memory or from files that worker processes read as needed."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from cldfc.data.batches import WHOLE, Framed, Held, HeldBatch, HeldDraw, Share, chance_of, epoch_batches, frame
from cldfc.data.catalogue import CLASS_FOLDERS, held_out, is_folder
from cldfc.data.class_folders import Sample
from cldfc.data.data_set import DataSet
from cldfc.data.download import EVERY, QUICK
from cldfc.data.images import ImageFiles, Images, Split, load_images
from cldfc.data.pictures import UnreadableImage, cannot_read, open_picture
from cldfc.data.subset import used_for_training
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.processors import usable_processors
from cldfc.recipe import Part, Recipe, steps_per_epoch, tested_parts
from cldfc.stop import deaf, obey_parent

_MOST_WORKERS = 16
_FEW, _CHECKED_AT_ONCE = 1_000, 64
"""Up to _FEW images are checked in this process; more by worker processes, _CHECKED_AT_ONCE at a time."""

_LONGEST = 16
"""An image elongated by more than this factor, relative to the input, is cropped before it is resized."""

PATIENCE = 300
"""Seconds that a worker may take for a batch; without a limit, a dead worker would block training forever."""

_TESTED, _TIMES = 2_000, 16
"""Test batch on CUDA, and its limit as a multiple of the training batch: testing keeps no activations."""

T = TypeVar("T")
Made = TypeVar("Made")

_Cut = Callable[[Image.Image], Tensor]
"""Crops an image to the size of the network's input; the result is channels × height × width, uint8."""


@cache
def _transforms() -> Any:
    """torchvision's transforms, which have no type annotations and take 2 s to import."""
    return import_module("torchvision.transforms.v2")


@dataclass(frozen=True)
class Stream:
    files: ImageFiles
    dataset: DataSet
    recipe: Recipe
    device: Device
    share: Share = WHOLE
    workers: int | None = None
    """Number of reading processes: 0 reads in this one, None chooses by the number of processors."""

    @property
    def steps(self) -> int:
        return steps_per_epoch(len(self.files.train), self.recipe)

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        order = torch.randperm(len(self.files.train), generator=chance_of(self.recipe, epoch))
        shown = [self.share.even(part) for part in self.batches_of(list(map(int, order)))[first : self.steps]]
        return self.read("train", shown, epoch)

    def hold(self) -> Held:
        return HeldBatch(self.train_batches)

    @property
    def parts(self) -> Sequence[Part]:
        return tested_parts(self.files.validation is not None)

    @property
    def tested(self) -> int:
        return self.recipe.batch

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        samples = self.files.validation if part == "validation" else self.files.test
        assert samples is not None
        shown = filter(len, map(self.share.of, self.batches_of(range(len(samples)))))
        return self.read(part, list(shown))

    def batches_of(self, order: Sequence[int]) -> list[Sequence[int]]:
        return [order[at : at + self.recipe.batch] for at in range(0, len(order), self.recipe.batch)]

    @cached_property
    def elsewhere(self) -> _Elsewhere[_Asked, _Read]:
        """The reading processes, kept for all epochs."""
        usual = max(1, min(usable_processors() // self.share.count, _MOST_WORKERS))
        most = max(len(samples) for samples in self.files) // (self.recipe.batch // self.share.count) + 1
        workers = min(usual if self.workers is None else self.workers, most)
        samples = {"train": self.files.train, "test": self.files.test, "validation": self.files.validation or []}
        cuts = {"train": random_cut(self.dataset, self.recipe)}
        cuts |= dict.fromkeys(("test", "validation"), centre_cut(self.dataset))
        reader = _Reader(samples, cuts, self.recipe.seed, self.dataset.shape[0])
        return _Elsewhere(reader, workers, self.device.kind == "cuda")

    def read(self, part: str, shown: Sequence[Sequence[int]], epoch: int = 0) -> Iterator[Images]:
        """Batches of a part, given by image numbers, on the device; only one iterator may be in use at a time.

        Raises UsageError if a file cannot be read.
        """
        if not shown:
            return
        for pixels, labels, unreadable in self.elsewhere([_Asked(part, epoch, numbers) for numbers in shown]):
            if unreadable:
                can_skip = is_folder(self.dataset.name)
                without = "; `--skip-unreadable` trains without such files" if can_skip else ""
                raise cannot_read(unreadable, f"mend the file, or keep it elsewhere{without}")
            yield Images(*(part.to(self.device.torch, non_blocking=True) for part in (pixels, labels)))


class _Asked(NamedTuple):
    """A requested batch: images of a part by number. Tests have epoch 0."""

    part: str
    epoch: int
    numbers: Sequence[int]


_Read = tuple[Tensor, Tensor, dict[str, str]]
"""Pixels, labels, and why files could not be read, by path; if any could not, pixels are empty."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads and crops images: a pure function of the seed and the request, in any process."""

    samples: Mapping[str, Sequence[Sample]]
    cuts: Mapping[str, _Cut]
    seed: int
    channels: int

    def __call__(self, asked: _Asked) -> _Read:
        samples, cut = self.samples[asked.part], self.cuts[asked.part]
        pixels: list[Tensor] = []
        unreadable: dict[str, str] = {}
        for number in asked.numbers:
            path = samples[number].path
            try:
                image = open_picture(path, self.channels)
            except UnreadableImage as error:
                unreadable[path] = str(error)
                continue
            # The transforms draw from the global generator.
            with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
                torch.manual_seed(_seed_of(self.seed, asked.epoch, number))  # pyright: ignore[reportUnknownMemberType]
                pixels.append(cut(image))
        labels = torch.tensor([samples[number].label for number in asked.numbers])
        return torch.empty(0) if unreadable else torch.stack(pixels), labels, unreadable


def _seed_of(*numbers: int) -> int:
    """A 32-bit seed, hashed so that neighbouring numbers get unrelated seeds."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest()
    return int.from_bytes(digest)


class _Elsewhere(Generic[T, Made]):
    """Worker processes that apply a function to a sequence, in order; with 0 workers, this process does.

    They start with the first call, and end when this object is no longer referenced.
    """

    def __init__(self, make: Callable[[T], Made], workers: int, pinned: bool = False) -> None:
        self.order = _OrderGiven[T]()
        # DataLoader's annotations do not allow for this use of `collate_fn`.
        any_loader: Any = DataLoader
        with warnings.catch_warnings():
            # torch warns about more workers than processors; the user may have asked for them.
            warnings.simplefilter("ignore", UserWarning)
            self.loader = any_loader(
                _AsGiven(),
                batch_size=None,
                sampler=self.order,
                num_workers=workers,
                collate_fn=make,
                pin_memory=pinned,
                timeout=PATIENCE if workers else 0,
                generator=Generator(),
                worker_init_fn=_obey,
                persistent_workers=workers > 0,
            )

    def __call__(self, given: Sequence[T]) -> Iterator[Made]:
        """The result for each element; the iterator of an earlier call must not be used any more.

        Raises UsageError if a process dies.
        """
        self.order.given = given
        try:
            with deaf(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                iterator = iter(self.loader)
            for _ in given:
                assert self.order.given is given, "something else was asked for meanwhile"
                yield next(iterator)
        except RuntimeError as error:
            raise UsageError(
                f"a process that reads images has failed: {error}", "if memory ran out, use a smaller `--batch`"
            ) from error


class _AsGiven:
    """The data set of a DataLoader: maps each request to itself."""

    def __getitem__(self, given: T) -> T:
        return given


@dataclass
class _OrderGiven(Generic[T]):
    """The sampler of a DataLoader: the latest sequence given."""

    given: Sequence[T] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.given)


def _obey(_worker: int) -> None:
    obey_parent()


def _why_unreadable_each(paths: Sequence[str]) -> list[str]:
    """For each file why it cannot be decoded, or an empty string."""
    reasons: list[str] = []
    for path in paths:
        try:
            open_picture(path, 3)
            reasons.append("")
        except UnreadableImage as error:
            reasons.append(str(error))
    return reasons


def find_unreadable(paths: Sequence[str], say: Callable[[str], None]) -> dict[str, str]:
    """The files that cannot be decoded, and why; reports progress to `say` if this takes more than a moment."""
    workers = min(usable_processors(), _MOST_WORKERS) if len(paths) > _FEW else 0
    parts = [paths[at : at + _CHECKED_AT_ONCE] for at in range(0, len(paths), _CHECKED_AT_ONCE)]
    found: list[str] = []
    wait, said = QUICK, monotonic()
    for reasons in _Elsewhere(_why_unreadable_each, workers)(parts):
        found += reasons
        if monotonic() - said > wait:
            say(f"looked at {len(found):,} of {len(paths):,} images")
            wait, said = EVERY, monotonic()
    return {path: reason for path, reason in zip(paths, found, strict=True) if reason}


@dataclass(frozen=True, slots=True)
class _BySize:
    size: tuple[int, int]
    fitting: _Cut
    other: _Cut

    def __call__(self, image: Image.Image) -> Tensor:
        return (self.fitting if image.size == self.size else self.other)(image)


@dataclass(frozen=True, slots=True)
class _CentreCut:
    height: int
    width: int

    def __call__(self, image: Image.Image) -> Tensor:
        image = _middle_of_long(image, self.height, self.width)
        width, height = image.size
        high, wide = self.height * 8 // 7, self.width * 8 // 7
        # The other side is rounded down, as in torchvision, and is never shorter than the crop.
        scaled = [high, high * width // height] if width * high >= height * wide else [wide * height // width, wide]
        functional = _transforms().functional
        large = functional.resize(image, scaled, antialias=True)
        return functional.pil_to_tensor(functional.center_crop(large, [self.height, self.width]))


def _middle_of_long(image: Image.Image, height: int, width: int) -> Image.Image:
    """The image, or only its middle if it is so elongated that scaling all of it would fill the memory."""
    long, high = _LONGEST * image.height * width // height, _LONGEST * image.width * height // width
    if image.width <= long and image.height <= high:
        return image
    return _transforms().functional.center_crop(
        image, [min(image.height, max(high, 1)), min(image.width, max(long, 1))]
    )


def random_cut(dataset: DataSet, recipe: Recipe) -> _Cut:
    """A random crop of 8 % to all of the area, resized to the network's input; `flip` mirrors half of the crops.

    Its aspect ratio is that of the input, stretched by 4:3 at most. Images of class folders that have exactly the
    size of the input are shifted and mirrored instead, like images in memory.
    """
    v2 = _transforms()
    height, width = dataset.shape[1:]
    mirrored = [v2.RandomHorizontalFlip()] if recipe.flip else []
    ratio = (3 / 4 * width / height, 4 / 3 * width / height)
    resized = v2.RandomResizedCrop((height, width), ratio=ratio, antialias=True)
    part = v2.Compose([resized, *mirrored, v2.PILToTensor()])
    if dataset.reader != CLASS_FOLDERS:
        return part
    margin = (recipe.shift_columns, recipe.shift_rows)
    shifted = v2.Compose([v2.RandomCrop((height, width), padding=margin), *mirrored, v2.PILToTensor()])
    return _BySize((width, height), shifted, part)


def centre_cut(dataset: DataSet) -> _Cut:
    """The centre crop of an image; images of class folders that have exactly the size of the input are left whole."""
    height, width = dataset.shape[1:]
    # Imports torchvision here, not in each worker.
    whole, cut = _transforms().PILToTensor(), _CentreCut(height, width)
    return _BySize((width, height), whole, cut) if dataset.reader == CLASS_FOLDERS else cut


class Loader(Protocol):
    """Batches of pixels in stored units, or a process's share of them, on the network's device."""

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch; every process has a share of each."""
        ...

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        """The shuffled, augmented batches of an epoch, counted from 1, starting at step `first`, counted from 0.

        Every call returns the same batches, whatever else has been drawn at random.
        """
        ...

    def hold(self) -> Held:
        """The same batches, taken step by step from tensors at fixed addresses."""
        ...

    @property
    def parts(self) -> Sequence[Part]:
        """What a network is tested on: the validation images, if there are any, and the test images."""
        ...

    @property
    def tested(self) -> int:
        """Number of images in a test batch, over all processes."""
        ...

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        """This process's share of a part, unaugmented and in order; no batch is empty."""
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

    def hold(self) -> Held:
        return HeldDraw(self.train, self.recipe, self.share)

    @property
    def parts(self) -> Sequence[Part]:
        return tested_parts(self.validation is not None)

    @property
    def tested(self) -> int:
        batch = self.recipe.batch
        return max(batch, min(_TESTED, _TIMES * batch)) if self.test.labels.is_cuda else batch

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        images = self.validation if part == "validation" else self.test
        assert images is not None
        starts = range(0, len(images), self.tested)
        return filter(len, (self.share.of(images[at : at + self.tested]) for at in starts))


def open_loader(
    dataset: DataSet,
    recipe: Recipe,
    device: Device,
    folder: Path,
    share: Share = WHOLE,
    workers: int | None = None,
) -> Loader:
    """A process's share of the batches of a data set; `workers` processes read images that are not in memory.

    Raises UsageError if files are missing or wrong, or a class has too few images for the hold-out.
    """
    found = used_for_training(load_images(dataset, folder), dataset, recipe)
    if recipe.holdout:
        found = _hold_out(found, dataset, recipe)
    if isinstance(found, ImageFiles):
        return Stream(found, dataset, recipe, device, share, workers)
    split = found.to(device.torch)
    return Resident(frame(split.train, recipe), split.test, recipe, share, split.validation)


def _hold_out(found: Split | ImageFiles, dataset: DataSet, recipe: Recipe) -> Split | ImageFiles:
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
