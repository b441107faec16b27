"""Images that do not lie in memory: worker processes read and cut their files as they are needed."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from time import monotonic
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from cldfc.diagnostics import UsageError
from cldfc.train.batches import chance_of, steps_per_epoch
from cldfc.train.catalogue import CLASS_FOLDERS, DataSet, is_folder
from cldfc.train.data.bytes_progress import EVERY, QUICK
from cldfc.train.data.class_folders import Sample
from cldfc.train.data.pictures import UnreadableImage, cannot_read, open_picture
from cldfc.train.device import Device
from cldfc.train.images import ImageFiles, Images
from cldfc.train.recipe import Part, Recipe, tested_parts
from cldfc.train.share import WHOLE, Share
from cldfc.train.stop import deaf, obey_parent

MOST_WORKERS = 16
FEW, CHECKED_AT_ONCE = 1_000, 64
"""So few images are checked in this process; and of more, so many at a time in another one."""

LONGEST = 16
"""An image that is longer than so many of its cuts is shortened first."""

PATIENCE = 300
"""Seconds that a worker may take for a batch; without an end a dead worker would be waited for for ever."""

Cut = Callable[[Image.Image], Tensor]
"""Makes an image as large as the network's input; the result is channels × height × width, uint8."""


@cache
def transforms() -> Any:
    """Those of torchvision, which carries no types, and takes 2 s to load."""
    return import_module("torchvision.transforms.v2")


@dataclass(frozen=True, slots=True)
class Stream:
    files: ImageFiles
    dataset: DataSet
    recipe: Recipe
    device: Device
    share: Share = WHOLE
    workers: int | None = None
    """Processes that read; none for this one, without a number as many as there are processors."""

    @property
    def steps(self) -> int:
        return steps_per_epoch(len(self.files.train), self.recipe)

    def train_batches(self, epoch: int, first: int = 0) -> Iterator[Images]:
        order = torch.randperm(len(self.files.train), generator=chance_of(self.recipe, epoch))
        shown = [self.share.even(part) for part in self.batches_of(list(map(int, order)))[first : self.steps]]
        cut = random_cut(self.dataset, self.recipe)
        return self.read(Files(self.files.train, cut, (self.recipe.seed, epoch), self.dataset.shape[0]), shown)

    @property
    def parts(self) -> Sequence[Part]:
        return tested_parts(self.files.validation is not None)

    def test_batches(self, part: Part = "test") -> Iterator[Images]:
        samples = self.files.validation if part == "validation" else self.files.test
        assert samples is not None
        shown = filter(len, map(self.share.of, self.batches_of(range(len(samples)))))
        files = Files(samples, centre_cut(self.dataset), (0, 0), self.dataset.shape[0])
        return self.read(files, list(shown))

    def batches_of(self, order: Sequence[int]) -> list[Sequence[int]]:
        return [order[at : at + self.recipe.batch] for at in range(0, len(order), self.recipe.batch)]

    def read(self, files: Files, shown: Sequence[Sequence[int]]) -> Iterator[Images]:
        """Batches of some files by their numbers, on the device. Raises UsageError when one cannot be read."""
        if not shown:
            return
        usual = max(1, min((os.cpu_count() or 1) // self.share.count, MOST_WORKERS))
        workers = min(usual if self.workers is None else self.workers, len(shown))
        for pixels, labels, unreadable in batches(files, shown, workers, self.device.kind == "cuda"):
            if unreadable:
                can_skip = is_folder(self.dataset.name)
                without = "; `--skip-unreadable` trains without such files" if can_skip else ""
                raise cannot_read(unreadable, f"mend the file, or keep it elsewhere{without}")
            yield Images(*(part.to(self.device.torch, non_blocking=True) for part in (pixels, labels)))


@dataclass(frozen=True, slots=True)
class Files(Dataset[tuple[Tensor, int, str, str]]):
    """Images as they are cut: a pure function of the seeds and of which file it is, in whichever process."""

    samples: Sequence[Sample]
    cut: Cut
    seeds: tuple[int, int]
    channels: int

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[Tensor, int, str, str]:
        """Pixels, class, path, and what is wrong with the file, if anything; pixels are empty then."""
        path, label = self.samples[number]
        try:
            image = open_picture(path, self.channels)
        except UnreadableImage as error:
            return torch.empty(0), label, path, str(error)
        # The transforms draw from the generator of the process.
        with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
            torch.manual_seed(seed_of(*self.seeds, number))  # pyright: ignore[reportUnknownMemberType]
            return self.cut(image), label, path, ""


def seed_of(*numbers: int) -> int:
    """A seed of 32 bits for the numbers; those of neighbours have nothing in common."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def collate(samples: Sequence[tuple[Tensor, int, str, str]]) -> tuple[Tensor, Tensor, dict[str, str]]:
    unreadable = {path: error for _, _, path, error in samples if error}
    pixels = torch.empty(0) if unreadable else torch.stack([pixels for pixels, *_ in samples])
    return pixels, torch.tensor([label for _, label, *_ in samples]), unreadable


def batches(
    files: Files, shown: Sequence[Sequence[int]], workers: int, pinned: bool
) -> Iterator[tuple[Tensor, Tensor, dict[str, str]]]:
    """Batches of some files by their numbers, read by other processes; raises UsageError when one dies."""
    try:
        with deaf(), warnings.catch_warnings():
            # Who asks for more workers than processors is not to be asked why.
            warnings.simplefilter("ignore", UserWarning)
            loader: Any = DataLoader(
                files,
                batch_sampler=list(map(list, shown)),
                num_workers=workers,
                collate_fn=collate,
                pin_memory=pinned,
                timeout=PATIENCE if workers else 0,
                generator=Generator(),
                worker_init_fn=obey,
            )
            iterator = iter(loader)
        yield from iterator
    except RuntimeError as error:
        raise UsageError(
            f"a process that reads images has failed: {error}", "it may lack memory: use less `--batch`"
        ) from error


def obey(_worker: int) -> None:
    obey_parent()


@dataclass(frozen=True, slots=True)
class Check(Dataset[str]):
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> str:
        try:
            open_picture(self.paths[number], 3)
        except UnreadableImage as error:
            return str(error)
        return ""


def find_unreadable(paths: Sequence[str], say: Callable[[str], None]) -> dict[str, str]:
    """The files that cannot be decoded, and why. `say` hears how far it is, if it takes longer than a glance."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS) if len(paths) > FEW else 0
    loader: Any = DataLoader(
        Check(paths),
        batch_size=CHECKED_AT_ONCE,
        num_workers=workers,
        collate_fn=list,
        timeout=PATIENCE if workers else 0,
        worker_init_fn=obey,
    )
    found: list[str] = []
    wait, said = QUICK, monotonic()
    with deaf():
        iterator = iter(loader)
    for reasons in iterator:
        found += reasons
        if monotonic() - said > wait:
            say(f"looked at {len(found):,} of {len(paths):,} images")
            wait, said = EVERY, monotonic()
    return {path: reason for path, reason in zip(paths, found, strict=True) if reason}


@dataclass(frozen=True, slots=True)
class BySize:
    size: tuple[int, int]
    fitting: Cut
    other: Cut

    def __call__(self, image: Image.Image) -> Tensor:
        return (self.fitting if image.size == self.size else self.other)(image)


@dataclass(frozen=True, slots=True)
class CentreCut:
    height: int
    width: int

    def __call__(self, image: Image.Image) -> Tensor:
        image = middle_of_long(image, self.height, self.width)
        width, height = image.size
        high, wide = self.height * 8 // 7, self.width * 8 // 7
        # The other side is rounded down as by torchvision, and is never too short.
        scaled = [high, high * width // height] if width * high >= height * wide else [wide * height // width, wide]
        functional = transforms().functional
        large = functional.resize(image, scaled, antialias=True)
        return functional.pil_to_tensor(functional.center_crop(large, [self.height, self.width]))


def middle_of_long(image: Image.Image, height: int, width: int) -> Image.Image:
    """The middle of an image that is very much longer than it will be cut: all of it, scaled, would fill the memory."""
    long, high = LONGEST * image.height * width // height, LONGEST * image.width * height // width
    if image.width <= long and image.height <= high:
        return image
    return transforms().functional.center_crop(image, [min(image.height, max(high, 1)), min(image.width, max(long, 1))])


def random_cut(dataset: DataSet, recipe: Recipe) -> Cut:
    """A part of 8 % to all of the area, scaled to the size of the network's input, mirrored half of the time.

    Its shape is that of the input, stretched by 4:3 at most. Images of class folders that have the size of the
    input are shifted and mirrored, as if they lay in memory.
    """
    v2 = transforms()
    height, width = dataset.shape[1:]
    mirrored = [v2.RandomHorizontalFlip()] if recipe.flip else []
    ratio = (3 / 4 * width / height, 4 / 3 * width / height)
    resized = v2.RandomResizedCrop((height, width), ratio=ratio, antialias=True)
    part = v2.Compose([resized, *mirrored, v2.PILToTensor()])
    if dataset.reader != CLASS_FOLDERS:
        return part
    margin = (recipe.shift_columns, recipe.shift_rows)
    shifted = v2.Compose([v2.RandomCrop((height, width), padding=margin), *mirrored, v2.PILToTensor()])
    return BySize((width, height), shifted, part)


def centre_cut(dataset: DataSet) -> Cut:
    """The centre of an image; of class folders an image of exactly the size of the input is left whole."""
    height, width = dataset.shape[1:]
    # Loads torchvision here, not in each worker.
    whole, cut = transforms().PILToTensor(), CentreCut(height, width)
    return BySize((width, height), whole, cut) if dataset.reader == CLASS_FOLDERS else cut
