"""Image files from elsewhere: what is read of them, and what is said of those that cannot be read."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cldfc.data.pictures import UnreadableImage, cannot_read, has_size, open_picture

SIZE = (9, 6)
FORMATS = "PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF"


def picture(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, name: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name)
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    """A file that claims to be of that size, and holds next to nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = {b"IHDR": head, b"IDAT": zlib.compress(bytes(100)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_read_whatever_its_ending_and_a_part_of_it_is_refused(tmp_path: Path, name: str) -> None:
    data = encoded(picture(), name)
    (tmp_path / "whole.png").write_bytes(data)
    wanted = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.array(open_picture(str(tmp_path / "whole.png"), 3)), wanted)
    assert has_size(str(tmp_path / "whole.png"), SIZE) and not has_size(str(tmp_path / "whole.png"), (6, 6))
    for length in (0, 2, len(data) // 2, len(data) * 3 // 4):
        (tmp_path / "cut.png").write_bytes(data[:length])
        with pytest.raises(UnreadableImage):
            has_size(str(tmp_path / "cut.png"), SIZE)


WRONG: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_text("red"), "it is not an image, or in a format other than PNG, JPEG, PPM"),
    (lambda path: path.write_bytes(encoded(picture(), "DDS")), "it is not an image, or in a format other than PNG"),
    (lambda path: path.write_bytes(encoded(picture(), "ICO")), "it is not an image, or in a format other than PNG"),
    (lambda path: path.write_bytes(png(11_000, 10_000)), r"it has 11,000 × 10,000 pixels, and the limit is 100,000"),
    (lambda path: path.write_bytes(png(2**31 - 1, 2**31 - 1)), "it claims to have more pixels than 100,000,000"),
    (lambda path: path.write_bytes(encoded(picture("F"), "TIFF")), "more than 8 bits in a channel"),
    (os.mkfifo, "it is not a regular file"),
    (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    (Path.mkdir, "Is a directory"),
]


@pytest.mark.parametrize(("make", "reason"), WRONG)
def test_what_is_no_image(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / "image.png")
    for look in (lambda path: open_picture(path, 3), lambda path: has_size(path, SIZE)):
        with pytest.raises(UnreadableImage, match=reason):
            look(str(tmp_path / "image.png"))


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    picture().save(tmp_path / "image.eps")
    (tmp_path / "image.eps").rename(tmp_path / "image.png")
    with pytest.raises(UnreadableImage, match="in a format other"):
        open_picture(str(tmp_path / "image.png"), 3)
    assert not (tmp_path / "started").exists()


def test_whatever_is_damaged_is_an_unreadable_image_and_pillow_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = np.random.default_rng(5)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for name in FORMATS:
            whole, refused = encoded(picture(), name), 0
            for _ in range(60):
                data = bytearray(whole)
                for place in chance.integers(0, min(len(data), 90), 3):
                    data[place] = chance.integers(0, 256)
                (tmp_path / "image").write_bytes(data)
                try:
                    open_picture(str(tmp_path / "image"), 3)
                except UnreadableImage as error:
                    refused += 1
                    assert str(error).isprintable()
            assert refused
        # Pillow warns of these.
        (tmp_path / "image").write_bytes(png(9_000, 10_000))
        assert not has_size(str(tmp_path / "image"), SIZE)
    assert not warned
    assert capfd.readouterr() == ("", "")


def test_the_first_few_are_named_and_the_others_counted() -> None:
    error = cannot_read({f"{number}.png": "it is not an image" for number in range(1_234)}, "mend them")
    first, *named, last = error.message, *error.details
    assert first == "cannot read 1,234 images:" and last == "and 1,229 more"
    assert named == [f"`{number}.png`: it is not an image" for number in range(5)]


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright_as_its_camera_says(tmp_path: Path, name: str, orientation: int) -> None:
    path, note = str(tmp_path / "image"), Image.Exif()
    note[0x0112] = orientation
    picture(size=(40, 24)).save(path, name, exif=note)
    wanted = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    assert wanted.size == ((40, 24) if orientation < 5 else (24, 40))
    assert np.array_equal(np.array(open_picture(path, 3)), np.array(wanted))
    assert has_size(path, wanted.size) and not has_size(path, wanted.size[::-1])


def test_a_damaged_note_of_the_camera_is_passed_over(tmp_path: Path) -> None:
    path = str(tmp_path / "image")
    picture().save(path, "PNG", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff\x01")
    assert np.array_equal(np.array(open_picture(path, 3)), np.array(picture()))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_becomes_white(tmp_path: Path, channels: int) -> None:
    """Black ink on a transparent ground, in each way that a file can say so."""
    ink = np.zeros((8, 8), np.uint8)
    ink[2:6, 3:5] = 255
    alpha = Image.fromarray(ink)
    wanted = np.repeat(255 - ink[:, :, None], channels, 2)
    black = Image.new("L", (8, 8))
    images = {
        "la.png": Image.merge("LA", (black, alpha)),
        "rgba.png": Image.merge("RGBA", (black, black, black, alpha)),
        "rgba.webp": Image.merge("RGBA", (black, black, black, alpha)),
        "rgba.tiff": Image.merge("RGBA", (black, black, black, alpha)),
    }
    for name, image in images.items():
        image.save(tmp_path / name, lossless=True)
    palette = Image.fromarray((ink // 255).astype(np.uint8), "P")
    palette.putpalette([9, 9, 9, 0, 0, 0])
    for name in ("palette.png", "palette.gif"):
        palette.save(tmp_path / name, transparency=0)
    Image.fromarray(255 - ink // 2).point(lambda level: 0 if level == 128 else level).save(
        tmp_path / "key.png", transparency=255
    )
    for path in tmp_path.iterdir():
        assert np.array_equal(np.array(open_picture(str(path), channels)).reshape(wanted.shape), wanted), path.name


def test_half_transparent_ink_is_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (200, 100, 0, 51)).save(tmp_path / "image.png")
    # A fifth of the colour, four fifths of white.
    assert open_picture(str(tmp_path / "image.png"), 3).getpixel((1, 1)) == (244, 224, 204)


def test_white_ink_on_a_transparent_ground_is_refused(tmp_path: Path) -> None:
    image = Image.new("LA", (8, 8), (255, 0))
    image.putpixel((3, 3), (255, 255))
    image.save(tmp_path / "image.png")
    with pytest.raises(UnreadableImage, match="it is white on a transparent background"):
        open_picture(str(tmp_path / "image.png"), 1)


def test_of_several_images_the_first_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (10, 90)]
    for name in ("a.gif", "a.tiff", "a.webp", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert open_picture(str(tmp_path / name), 1).getextrema() == (10, 10)
