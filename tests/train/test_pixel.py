"""The short way gives what the convolution gives, with the same gradients."""

import copy

import pytest
import torch
from torch import nn

from cldfc.weights.inference import PixelConv2d, speed_up_pixels

KERNELS = [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (5, 3, 2), (2, 2, 0)]
MAPS = [(1, 1), (2, 2), (1, 2), (3, 3), (1, 5)]
CASES = [(*kernel, size) for kernel in KERNELS for size in MAPS if min(size) + 2 * kernel[2] >= kernel[0]]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("taps", "stride", "padding", "size"), CASES)
def test_same_results_and_gradients(taps, stride, padding, size, bias):
    torch.manual_seed(0)
    usual = nn.Sequential(nn.Conv2d(3, 4, taps, stride, padding, bias=bias)).double()
    short = copy.deepcopy(usual)
    speed_up_pixels(short)
    images = torch.randn(5, 3, *size, dtype=torch.float64)
    results = []
    for network in (usual, short):
        given = images.clone().requires_grad_()
        output = network(given)
        (output**2).sum().backward()
        results.append([output, given.grad, *(p.grad for p in network.parameters())])
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)
    assert short[0].gives_pixel(images, (padding, padding)) <= (results[0][0].shape[2:] == (1, 1))


def test_the_short_way_is_taken_on_the_smallest_maps():
    kernel, halving = PixelConv2d(3, 4, 3, padding=1), PixelConv2d(3, 4, 3, stride=2, padding=1)
    assert kernel.gives_pixel(torch.zeros(1, 3, 1, 1), (1, 1))
    assert not kernel.gives_pixel(torch.zeros(1, 3, 2, 2), (1, 1))
    assert halving.gives_pixel(torch.zeros(1, 3, 2, 2), (1, 1))


def test_weights_keep_their_names():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    before = dict(network.state_dict())
    speed_up_pixels(network)
    assert network.state_dict().keys() == before.keys()
