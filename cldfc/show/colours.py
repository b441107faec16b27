"""One colour for each shared kernel, in the terminal and in pictures; white text can be read on all of them."""

from __future__ import annotations

from colorsys import hls_to_rgb

from cldfc.emit.labels import shared_kernels
from cldfc.network.graph import Graph
from cldfc.network.positions import Key

CHOSEN = ("#2f6db5", "#c2570c", "#2e7d4f", "#7d4cc0", "#b32d63", "#0f7480", "#8a6a00", "#b3261e")
GOLDEN = 0.618034
"""Of a turn of the colour circle: hues that follow one another in such steps stay apart, however many there are."""


def colours_of(graph: Graph) -> dict[Key, str]:
    """The kernels and scalars that a network uses more than once, each with its colour, `#2f6db5`."""
    return {key: colour(at) for at, key in enumerate(shared_kernels(graph))}


def colour(at: int) -> str:
    if at < len(CHOSEN):
        return CHOSEN[at]
    red, green, blue = hls_to_rgb(at * GOLDEN % 1, 0.3, 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
