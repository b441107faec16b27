"""Opens image files as grey or coloured pictures."""

from __future__ import annotations

from PIL import Image

MODES = {1: "L", 3: "RGB"}
"""Pillow's names for one and for three channels."""

DEEP = ("I", "F")
"""Pillow's names for more than 8 bits in a channel start so; it would cut them off at 255."""

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What is raised for files that are no images, damaged, or monstrous."""


def open_picture(path: str, channels: int) -> Image.Image:
    """The image in a file, grey or in colours as the network wants it. Raises one of UNREADABLE."""
    with Image.open(path) as image:
        if image.mode.startswith(DEEP):
            raise ValueError("it has more than 8 bits in a channel")
        return image.convert(MODES[channels])
