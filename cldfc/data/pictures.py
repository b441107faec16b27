"""Opens image files as grey or RGB pictures: the only place where Pillow reads untrusted files."""

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
"""Accepted formats. Pillow knows more, and runs external programs for some of them."""

_DEEP = ("I", "F")
"""First letters of Pillow's modes with more than 8 bits per channel; conversion would clip them at 255."""

MOST_PIXELS = 100_000_000
"""A larger image is not decoded: a file of a few bytes can claim any size."""

_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "GIF": b"\x3b"}

_NO_WAITING: int = getattr(os, "O_NONBLOCK", 0)
"""Without it, opening a pipe waits for a writer."""

_NAMED = 5
"""Number of unreadable files that an error names; the others are counted."""

# What Pillow logs would otherwise reach the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadableImage(Exception):
    """A file is not an image, or cannot be read; the message says why."""


def open_picture(path: str, channels: int) -> Image.Image:
    """The first image in a file, upright, and grey or RGB for 1 or 3 channels.

    Transparent pixels become white. Raises UnreadableImage.
    """
    with _opened_image(path) as (_, image):
        return as_picture(image, channels)


def as_picture(image: Image.Image, channels: int) -> Image.Image:
    """The image, upright, grey or RGB; transparent pixels become white. Raises UnreadableImage."""
    _check_head(image)
    return _on_white(_upright(image)).convert(MODES[channels])


def has_size(path: str, size: tuple[int, int]) -> bool:
    """Whether an image has this width and height once it is upright. Raises UnreadableImage.

    The image is decoded only if its file may be truncated, or its header does not settle the question.
    """
    with _opened_image(path) as (file, image):
        if not _is_whole(file, image):
            image.load()
        if sorted(image.size) != sorted(size):
            return False
        return size[0] == size[1] or _upright(image).size == size


@contextmanager
def _opened_image(path: str) -> Generator[tuple[BinaryIO, Image.Image]]:
    """A file and its image, of which only the header has been read. Raises UnreadableImage, also from the block."""
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
        # On a damaged file Pillow may raise any exception.
        except Exception as error:
            raise UnreadableImage(_why_unreadable(error)) from error


def _check_head(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise UnreadableImage(f"it has {width:,} × {height:,} pixels, and the limit is {MOST_PIXELS:,}")
    if image.mode.startswith(_DEEP):
        raise UnreadableImage("it has more than 8 bits in a channel")


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not an image, or in a format other than {', '.join(_FORMATS[:-1])} and {_FORMATS[-1]}"
    if isinstance(error, Image.DecompressionBombError):
        return f"it claims to have more pixels than {MOST_PIXELS:,}, the limit"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in said)


def _is_whole(file: BinaryIO, image: Image.Image) -> bool:
    """Whether a file ends with the end marker of its format; False for formats without one."""
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
    # Damaged EXIF data does not make the image unreadable.
    with suppress(Exception):
        ImageOps.exif_transpose(upright, in_place=True)
    return upright


def _on_white(image: Image.Image) -> Image.Image:
    """The image on a white background. Raises UnreadableImage if it would be all white."""
    if not image.has_transparency_data:
        return image
    ink = image.convert("RGBA")
    seen = Image.alpha_composite(Image.new("RGBA", ink.size, "white"), ink).convert("RGB")
    low, high = ink.getchannel("A").getextrema()
    if low != high and all(band == (255, 255) for band in seen.getextrema()):
        raise UnreadableImage(
            "it is white on a transparent background, and would vanish: transparent pixels become white"
        )
    return seen


def cannot_read(reasons: Mapping[str, str], help: str) -> UsageError:
    """The error for unreadable image files, given as path → reason; names the first few and counts the others."""
    named = [f"`{path}`: {reason}" for path, reason in reasons.items()]
    if len(named) == 1:
        return UsageError(f"cannot read the image {named[0]}", help)
    more = [f"and {len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
    return UsageError(f"cannot read {len(named):,} images:", help, [*named[:_NAMED], *more])
