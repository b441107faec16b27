"""Opens image files as grey or coloured pictures: the one place where a file from elsewhere meets Pillow."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from cldfc.diagnostics import UsageError

MODES = {1: "L", 3: "RGB"}

_FORMATS = "PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF"
"""What is read. Pillow knows more formats, and starts other programs for some of them."""

_DEEP = ("I", "F")
"""Pillow's names for more than 8 bits in a channel start so; it would cut them off at 255."""

MOST_PIXELS = 100_000_000
"""A larger image is not decoded: a file of a few bytes can claim any size."""

_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "GIF": b"\x3b"}

_NO_WAITING: int = getattr(os, "O_NONBLOCK", 0)
"""Without it the opening of a pipe waits for somebody who writes."""

_NAMED = 5
"""Of more files that cannot be read the others are counted."""

# What Pillow logs would otherwise reach the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadableImage(Exception):
    """A file that is not an image, or one that cannot be read; says why."""


def open_picture(path: str, channels: int) -> Image.Image:
    """The image in a file, upright, grey or in colours as the network wants it; of several, the first.

    What is transparent becomes white. Raises UnreadableImage.
    """
    with _opened_image(path) as (_, image):
        return as_picture(image, channels)


def as_picture(image: Image.Image, channels: int) -> Image.Image:
    """An image, upright, grey or in colours; what is transparent becomes white. Raises UnreadableImage."""
    _check_head(image)
    return _on_white(_upright(image)).convert(MODES[channels])


def has_size(path: str, size: tuple[int, int]) -> bool:
    """Whether an upright image has this width and height. Raises UnreadableImage.

    A file that is whole at its end is decoded only where its head does not settle that.
    """
    with _opened_image(path) as (file, image):
        if not _is_whole(file, image):
            image.load()
        if sorted(image.size) != sorted(size):
            return False
        return size[0] == size[1] or _upright(image).size == size


@contextmanager
def _opened_image(path: str) -> Generator[tuple[BinaryIO, Image.Image]]:
    """A file and its image, of which only the head has been read. Raises UnreadableImage, in the block, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAITING)) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UnreadableImage("it is not a regular file")
                with Image.open(file, formats=_FORMATS) as image:
                    _check_head(image)
                    yield file, image
        except UnreadableImage:
            raise
        # Pillow's readers raise whatever they run into in a damaged file.
        except Exception as error:
            raise UnreadableImage(_why_unreadable(error)) from error


def _check_head(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise UnreadableImage(f"it has {width:,} × {height:,} pixels, and {MOST_PIXELS:,} is the most that is read")
    if image.mode.startswith(_DEEP):
        raise UnreadableImage("it has more than 8 bits in a channel")


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not an image, or in a format other than {', '.join(_FORMATS[:-1])} and {_FORMATS[-1]}"
    if isinstance(error, Image.DecompressionBombError):
        return f"it claims to have more pixels than {MOST_PIXELS:,}, the most that is read"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in said)


def _is_whole(file: BinaryIO, image: Image.Image) -> bool:
    """Whether a file ends as one of its format does; of a format without an end of its own that is not known."""
    end = _ENDS.get(image.format or "")
    if end is None:
        return False
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - len(end)))
    found = file.read()
    file.seek(place)
    return found == end


def _upright(image: Image.Image) -> Image.Image:
    upright = image.copy()
    # A damaged note on the orientation does not make the image unreadable.
    with suppress(Exception):
        ImageOps.exif_transpose(upright, in_place=True)
    return upright


def _on_white(image: Image.Image) -> Image.Image:
    """The image with white behind what is transparent. Raises UnreadableImage where nothing is seen on it."""
    if not image.has_transparency_data:
        return image
    ink = image.convert("RGBA")
    seen = Image.alpha_composite(Image.new("RGBA", ink.size, "white"), ink).convert("RGB")
    low, high = ink.getchannel("A").getextrema()
    if low != high and all(band == (255, 255) for band in seen.getextrema()):
        raise UnreadableImage(
            "it is white on a transparent ground: nothing of it is left on white, which is put behind it"
        )
    return seen


def cannot_read(reasons: Mapping[str, str], help: str) -> UsageError:
    """The error for image files that cannot be read, by their paths: the first few are named, the others counted."""
    named = [f"`{path}`: {reason}" for path, reason in reasons.items()]
    if len(named) == 1:
        return UsageError(f"cannot read the image {named[0]}", help)
    more = [f"and {len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
    return UsageError(f"cannot read {len(named):,} images:", help, [*named[:_NAMED], *more])
