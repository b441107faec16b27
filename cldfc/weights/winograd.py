"""Convolutions with kernels of 3×3 by Winograd's method, with a quarter of the multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308), F(4×4, 3×3): a tile of 4×4
results comes from 6×6 pixels. Pixels d and kernel g are transformed, multiplied place by place, which over channels is
a matrix product for each of the 36 places, and transformed back: Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A. The stride is 1.

Results agree with those of the usual convolution up to rounding, which in float32 is up to ten times as large; that of
a kernel's gradient is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

_B = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_A = torch.tensor(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    dtype=torch.float64,
)
"""Bᵀ, G and Aᵀ of the paper, section 4.2."""
TILES = 192
"""About as many tiles are computed at once: the fewer, the more of them stays in the caches."""


def tiles_of(rows: int, columns: int) -> int:
    """The tiles of a result with these rows and columns; the last ones may reach beyond it."""
    down, across = _grid(rows, columns)
    return down * across


def convolve(images: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """The convolution of images n × c × h × w with a kernel k × c × 3 × 3, as n × k × h' × w', channels-last."""
    return _convolve(images, _transform(kernel, _G).transpose(1, 2), padding)


def images_gradient(gradient: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """The gradient of the images, n × c × h × w, from that of the result: a convolution with the turned kernel."""
    rows, columns = padding
    return _convolve(gradient, _transform(kernel, _G.flip(1)), (2 - rows, 2 - columns))


def kernel_gradient(images: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Tensor:
    """The gradient of the kernel, k × c × 3 × 3, from that of the result, n × k × h' × w'."""
    outputs, inputs = gradient.shape[1], images.shape[1]
    down, across = _grid(*gradient.shape[2:])
    found = images.new_zeros(36, outputs, inputs)
    for part in _parts(len(images), down * across):
        tiles = _tiles(_filled(gradient[part].permute(0, 2, 3, 1), (0, 0), (4 * down, 4 * across)), 4)
        slopes = _both(_A.T, tiles).view(36, -1, outputs)
        found.baddbmm_(slopes.transpose(1, 2), _pixels(images[part], padding, down, across))
    return _both(_G.T, found.view(6, 6, -1)).view(3, 3, outputs, inputs).permute(2, 3, 0, 1)


def _convolve(images: Tensor, factors: Tensor, padding: tuple[int, int]) -> Tensor:
    """The convolution with a transformed kernel, 36 × c × k."""
    outputs = factors.shape[2]
    height, width = (size + 2 * added - 2 for size, added in zip(images.shape[2:], padding, strict=True))
    down, across = _grid(height, width)
    results = images.new_empty(len(images), 4 * down, 4 * across, outputs)
    for part in _parts(len(images), down * across):
        products = _pixels(images[part], padding, down, across) @ factors
        tiles = _both(_A, products.view(6, 6, -1)).view(4, 4, -1, down, across, outputs)
        results[part].view(-1, down, 4, across, 4, outputs).copy_(tiles.permute(2, 3, 0, 4, 1, 5))
    return results[:, :height, :width].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _grid(rows: int, columns: int) -> tuple[int, int]:
    """The tiles below one another, and those beside one another."""
    return -(-rows // 4), -(-columns // 4)


def _parts(images: int, tiles: int) -> Iterator[slice]:
    """Some images at a time, of which each has so many tiles."""
    step = max(1, TILES // tiles)
    return (slice(start, start + step) for start in range(0, images, step))


def _pixels(images: Tensor, padding: tuple[int, int], down: int, across: int) -> Tensor:
    """The transformed pixels of all tiles, 36 × tiles × c."""
    filled = _filled(images.permute(0, 2, 3, 1), padding, (4 * down + 2, 4 * across + 2))
    return _both(_B, _tiles(filled, 6)).view(36, -1, images.shape[1])


def _filled(maps: Tensor, before: tuple[int, int], sizes: tuple[int, int]) -> Tensor:
    """Maps n × h × w × c with zeros before and after, so that height and width are these."""
    (top, left), (height, width) = before, sizes
    bottom, right = height - top - maps.shape[1], width - left - maps.shape[2]
    return pad(maps, (0, 0, left, right, top, bottom)) if top or left or bottom or right else maps


def _tiles(maps: Tensor, size: int) -> Tensor:
    """The tiles of so many rows and columns, each four after the last: size × size × (tiles · c)."""
    return maps.unfold(1, size, 4).unfold(2, size, 4).permute(4, 5, 0, 1, 2, 3).reshape(size, size, -1)


def _transform(kernel: Tensor, matrix: Tensor) -> Tensor:
    """The kernel at each of the 36 places, 36 × k × c."""
    return _both(matrix, kernel.permute(2, 3, 0, 1).reshape(3, 3, -1)).view(36, *kernel.shape[:2])


def _both(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix applied to rows and columns, the first two dimensions of three."""
    matrix = matrix.to(values.dtype)
    return matrix @ (matrix @ values.flatten(1)).view(-1, *values.shape[1:])
