"""What a trained network makes of image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cldfc.data.data_set import DataSet
from cldfc.data.images import standardise
from cldfc.data.pictures import MODES, UnreadableImage, as_picture, cannot_read, open_picture
from cldfc.device import choose_device, on_device, settled
from cldfc.diagnostics import UsageError, shape_text
from cldfc.weights.network import check_fit

_AT_ONCE = 64
"""Images in a batch."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """A class, counted from 0, its name, and its probability from 0 to 1."""

    number: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """An image file, and its most probable classes, the first of them first."""

    path: Path
    guesses: tuple[_Guess, ...]


def predict_files(
    network: nn.Module, dataset: DataSet, paths: Sequence[Path], top: int, wished: str | None = None
) -> tuple[list[Prediction], dict[Path, str]]:
    """The `top` most probable classes of each image that can be read; and of each other file, why it cannot.

    The network is evaluated in float32, whatever the device: the same image has the same probabilities in any
    company, up to rounding. Raises UsageError when there are not so many classes, or the network does not take images.
    """
    if top > dataset.classes:
        raise UsageError(f"there are {dataset.classes:,} classes, not {top:,}", "give a smaller `--top`")
    _refuse_channels(dataset)
    found: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    with _classifying(network, dataset, wished) as shares_of:
        for start in range(0, len(paths), _AT_ONCE):
            images: list[tuple[Path, Tensor]] = []
            for path in paths[start : start + _AT_ONCE]:
                try:
                    images.append((path, read_image(path, dataset)))
                except UnreadableImage as error:
                    unreadable[path] = str(error)
            if images:
                names, pixels = zip(*images, strict=True)
                shares = shares_of(torch.stack(pixels), names)
                found += [
                    Prediction(path, _most_probable(row, dataset, top)) for path, row in zip(names, shares, strict=True)
                ]
    return found, unreadable


def predict_pixels(network: nn.Module, dataset: DataSet, pixels: Tensor, wished: str | None = None) -> Tensor:
    """The probabilities n × classes for images in stored units, on the CPU. Raises UsageError when they do not fit."""
    names = [f"image {number}" for number in range(len(pixels))]
    found = [torch.empty(0, dataset.classes)]
    with _classifying(network, dataset, wished) as shares_of:
        for start in range(0, len(pixels), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found.append(shares_of(pixels[part], names[part]))
    return torch.cat(found)


def pixels_of(images: object, dataset: DataSet) -> Tensor:
    """Images as those of a data set, n × channels × height × width, uint8, in stored units.

    They are given in just this way, as a tensor or an array; or as image files and Pillow's images, one or several,
    which are prepared as by `read_image`. Raises UsageError for anything else.
    """
    if isinstance(images, np.ndarray):
        array = cast(np.ndarray[Any, Any], images)
        if array.dtype.kind not in "iu":
            raise _wrong_units(str(array.dtype), dataset)
        # However the array lies in memory, and whatever its byte order.
        whole = array.astype(np.uint8 if array.dtype == np.uint8 else np.int64, order="C")
        return _checked_pixels(torch.as_tensor(whole), dataset)
    if isinstance(images, Tensor):
        return _checked_pixels(images.cpu(), dataset)
    _refuse_channels(dataset)
    found: list[Tensor] = []
    unreadable: dict[str, str] = {}
    for number, each in enumerate(_one_by_one(images)):
        if not isinstance(each, Image.Image | str | Path):
            shape = " × ".join(["n", *map(str, dataset.shape)])
            raise UsageError(
                f"{type(each).__name__} is not an image",
                f"give an array of {shape} whole numbers, or image files or Pillow images",
            )
        name = f"image {number}" if isinstance(each, Image.Image) else str(each)
        try:
            found.append(read_image(each if isinstance(each, Image.Image) else Path(name), dataset))
        except UnreadableImage as error:
            unreadable[name] = str(error)
    if unreadable:
        raise cannot_read(unreadable, "give image files, such as .png or .jpg")
    return torch.stack(found) if found else torch.empty(0, *dataset.shape, dtype=torch.uint8)


def _one_by_one(images: object) -> Iterable[object]:
    """Images, of which there may be one alone; paths are strings or of pathlib."""
    is_single = isinstance(images, Image.Image | str | os.PathLike) or not isinstance(images, Iterable)
    for each in [cast(object, images)] if is_single else cast(Iterable[object], images):
        yield Path(cast(os.PathLike[str], each)) if isinstance(each, os.PathLike) else each


def _wrong_units(kind: str, dataset: DataSet) -> UsageError:
    return UsageError(
        f"images of {kind} are not pixels in the units of `{dataset.name}`",
        f"give whole numbers from 0 to {dataset.brightest:g}, such as uint8; they are standardised here",
    )


def _checked_pixels(pixels: Tensor, dataset: DataSet) -> Tensor:
    """The same images, if they are some of a data set in stored units. Raises UsageError."""
    shape = " × ".join(["n", *map(str, dataset.shape)])
    if tuple(pixels.shape[1:]) != dataset.shape:
        given = shape_text(pixels.shape) or "one number"
        raise UsageError(f"images of {given} are not {shape}", "put images, channels, rows and columns in this order")
    if pixels.is_floating_point() or pixels.is_complex() or pixels.dtype == torch.bool:
        raise _wrong_units(str(pixels.dtype).removeprefix("torch."), dataset)
    if pixels.dtype != torch.uint8:
        pixels = pixels.long()
    low, high = (int(pixels.min()), int(pixels.max())) if len(pixels) else (0, 0)
    if low < 0 or high > dataset.brightest:
        raise UsageError(
            f"images with values from {low} to {high} are not in the units of `{dataset.name}`",
            f"its pixels go from 0 to {dataset.brightest:g}",
        )
    return pixels.to(torch.uint8)


def _refuse_channels(dataset: DataSet) -> None:
    if dataset.shape[0] not in MODES:
        raise UsageError(
            f"`{dataset.name}` has {dataset.shape[0]:,} channels, and image files have one or three",
            "give a run of another data set",
        )


@contextmanager
def _classifying(
    network: nn.Module, dataset: DataSet, wished: str | None
) -> Generator[Callable[[Tensor, Sequence[object]], Tensor]]:
    """Gives what computes probabilities, n × classes, from pixels and the names of images. Raises UsageError."""
    check_fit(network, dataset)
    device = replace(choose_device(wished=wished), bf16=False)
    placed = device.place(network).eval()

    @torch.inference_mode()
    def shares_of(pixels: Tensor, names: Sequence[object]) -> Tensor:
        shares = device.scores(placed, standardise(pixels.to(device.torch), dataset)).softmax(1).cpu()
        for name, row in zip(names, shares, strict=True):
            if not row.isfinite().all():
                raise UsageError(
                    f"the network's scores of `{name}` are not finite",
                    "its weights are damaged, or are those of a training that diverged",
                )
        return shares.clone()

    with on_device(wished), device.switches(), settled():
        yield shares_of


def read_image(image: Path | Image.Image, dataset: DataSet) -> Tensor:
    """An image, or that in a file, as one of a data set: channels × height × width, uint8, in stored units.

    If the data set reads files, cut exactly as it is tested; else the whole image, grey or in colours as the data set
    is, scaled to its size and brightness. Raises UnreadableImage.
    """
    channels = dataset.shape[0]
    image = as_picture(image, channels) if isinstance(image, Image.Image) else open_picture(str(image), channels)
    if not dataset.from_files:
        return _scale_whole(image, dataset)
    # torchvision's import takes as long as torch's.
    from cldfc.data.loader import centre_cut

    return centre_cut(dataset)(image)


def _scale_whole(image: Image.Image, dataset: DataSet) -> Tensor:
    """An image scaled to the size and the brightness of a data set; one that has them keeps its pixels."""
    channels, height, width = dataset.shape
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    stored = (pixels * (dataset.brightest / 255)).round().astype(np.uint8)
    return torch.tensor(stored).view(height, width, channels).permute(2, 0, 1)


def _most_probable(shares: Tensor, dataset: DataSet, top: int) -> tuple[_Guess, ...]:
    order = shares.argsort(descending=True, stable=True)[:top]
    return tuple(_Guess(int(number), class_name_of(int(number), dataset), float(shares[number])) for number in order)


def class_name_of(number: int, dataset: DataSet) -> str:
    return dataset.class_names[number] if dataset.class_names else str(number)
