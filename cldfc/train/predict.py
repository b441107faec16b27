"""What a trained network makes of image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet
from cldfc.train.data.pictures import MODES, Unreadable, open_picture
from cldfc.train.device import Device, choose_device, settled
from cldfc.train.images import standardise
from cldfc.train.network import check_fit

AT_ONCE = 64
"""Images in a batch."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A class, counted from 0, its name, and its probability from 0 to 1."""

    number: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image file, and its most probable classes, the first of them first."""

    path: Path
    guesses: tuple[Guess, ...]


def predict_files(
    network: nn.Module, dataset: DataSet, paths: Sequence[Path], top: int
) -> tuple[list[Prediction], dict[Path, str]]:
    """The `top` most probable classes of each image that can be read; and of each other file, why it cannot.

    The network is evaluated in float32, whatever the device: the same image has the same probabilities in any
    company, up to rounding. Raises UsageError when there are not so many classes, or the network does not take images.
    """
    if top > dataset.classes:
        raise UsageError(f"there are {dataset.classes:,} classes, not {top:,}", "give a smaller `--top`")
    if dataset.shape[0] not in MODES:
        raise UsageError(
            f"`{dataset.name}` has {dataset.shape[0]:,} channels, and image files have one or three",
            "give a run of another data set",
        )
    check_fit(network, dataset)
    device = Device(choose_device().kind, bf16=False)
    network = device.place(network).eval()
    found: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    with device.switches(), settled():
        for start in range(0, len(paths), AT_ONCE):
            images = list(read_images(paths[start : start + AT_ONCE], dataset, unreadable))
            found += predict(network, dataset, device, images, top) if images else []
    return found, unreadable


def read_images(paths: Sequence[Path], dataset: DataSet, unreadable: dict[Path, str]) -> Iterator[tuple[Path, Tensor]]:
    """The images in some files, as `read_image` gives them; `unreadable` is told of the others."""
    for path in paths:
        try:
            yield path, read_image(path, dataset)
        except Unreadable as error:
            unreadable[path] = str(error)


def read_image(path: Path, dataset: DataSet) -> Tensor:
    """The image in a file as one of a data set: channels × height × width, uint8, in stored units.

    Of ImageNet, class folders and other image files exactly as it is tested; else the whole image, in grey or in
    colours as the data set is, scaled to its size and to its range of brightness. Raises Unreadable.
    """
    image = open_picture(str(path), dataset.shape[0])
    return cut(image, dataset) if dataset.from_files else scale_whole(image, dataset)


def cut(image: Image.Image, dataset: DataSet) -> Tensor:
    """An image as those of the data set are cut to be tested."""
    # torchvision's import takes as long as torch's.
    from cldfc.train.data.stream import centre_cut

    return centre_cut(dataset)(image)


def scale_whole(image: Image.Image, dataset: DataSet) -> Tensor:
    """An image scaled to the size and the brightness of a data set; one that has them keeps its pixels."""
    channels, height, width = dataset.shape
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    stored = (pixels * (dataset.brightest / 255)).round().astype(np.uint8)
    return torch.tensor(stored).view(height, width, channels).permute(2, 0, 1)


@torch.inference_mode()
def predict(
    network: nn.Module, dataset: DataSet, device: Device, images: Sequence[tuple[Path, Tensor]], top: int
) -> list[Prediction]:
    """The most probable classes of some images."""
    pixels = torch.stack([pixels for _, pixels in images]).to(device.torch)
    shares = device.scores(network, standardise(pixels, dataset)).softmax(1).cpu()
    for (path, _), row in zip(images, shares, strict=True):
        if not row.isfinite().all():
            raise UsageError(
                f"the network's scores of `{path}` are not finite",
                "its weights are damaged, or are those of a training that diverged",
            )
    return [Prediction(path, most_probable(row, dataset, top)) for (path, _), row in zip(images, shares, strict=True)]


def most_probable(shares: Tensor, dataset: DataSet, top: int) -> tuple[Guess, ...]:
    """The classes of the largest probabilities, of as many as there are classes."""
    order = shares.argsort(descending=True, stable=True)[:top]
    return tuple(Guess(int(number), name_of(int(number), dataset), float(shares[number])) for number in order)


def name_of(number: int, dataset: DataSet) -> str:
    """What a class is called."""
    return dataset.class_names[number] if dataset.class_names else str(number)
