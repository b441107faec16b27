"""Networks of splits and pixel shuffles against modules written by hand: i-RevNet and ESPCN, in float64."""

import pytest
import torch
from networks import build, build_spec, gradient, some
from torch import nn
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import Source


def squeeze(x):
    """Squares of four pixels as channels, pixel after pixel."""
    return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)


class Block(nn.Module):
    """x₁ + F(x₂) by a bottleneck of three convolutions; the first of a level halves the map."""

    def __init__(self, cin, channels, stride, is_first):
        super().__init__()
        narrow = channels // 4
        before = [] if is_first else [nn.BatchNorm2d(cin), nn.ReLU()]
        self.stride = stride
        self.layers = nn.Sequential(
            *before,
            nn.Conv2d(cin, narrow, 3, stride, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 3, 1, 1, bias=False),
        )

    def forward(self, one, other):
        change = self.layers(other)
        if self.stride == 2:
            one, other = squeeze(one), squeeze(other)
        return other, one + change


class IRevNet(nn.Module):
    def __init__(self, counts=(6, 16, 72, 6), channels=(24, 96, 384, 1536), classes=1000):
        super().__init__()
        blocks, cin = [], 6
        for count, width in zip(counts, channels, strict=True):
            for i in range(count):
                blocks.append(Block(cin, width, 2 if i == 0 else 1, not blocks))
                cin = width
        self.blocks = nn.ModuleList(blocks)
        self.bn = nn.BatchNorm2d(2 * cin, momentum=0.9)
        self.linear = nn.Linear(2 * cin, classes)

    def forward(self, f):
        one, other = squeeze(f).chunk(2, 1)
        for block in self.blocks:
            one, other = block(one, other)
        x = F.relu(self.bn(torch.cat([one, other], 1)))
        return self.linear(x.mean((2, 3)))


def test_irevnet_has_as_many_parameters():
    with torch.device("meta"):
        ours, theirs = build_spec("imagenet/irevnet"), IRevNet()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == 125_120_356


@pytest.mark.parametrize("training", some([True, False], 2))
def test_irevnet_against_a_module_written_by_hand(training):
    """Weights go over in the order of use, which is the same in both."""
    counts, channels = (3, 2, 2, 1), (24, 96, 384, 1536)
    torch.manual_seed(1)
    lets = ["ν@ℓ = 3, 2, 2, 1"]
    ours = build_spec("imagenet/irevnet", lets=lets, input="3x64x64", classes=5).double().train(training)
    theirs = IRevNet(counts, channels, 5).double().train(training)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    one, other = (in_order(network, images) for network in (ours, theirs))
    for mine, its in zip(one, other, strict=True):
        if isinstance(its, nn.BatchNorm2d):
            its.running_mean.normal_()
            its.running_var.uniform_(0.5, 2)
            nn.init.uniform_(its.weight, 0.5, 2)
            nn.init.normal_(its.bias)
        mine.load_state_dict(its.state_dict())
    found, expected = ours(images), theirs(images)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()
    weights = torch.randn_like(found)
    for output in (found, expected):
        (output * weights).sum().backward()
    for mine, its in zip(one, other, strict=True):
        for a, b in zip(mine.parameters(), its.parameters(), strict=True):
            assert (gradient(a) - gradient(b)).abs().max() <= 1e-10 * gradient(b).abs().max().clamp_min(1e-12)
    assert all(
        torch.allclose(mine.running_var, its.running_var, rtol=1e-12)
        for mine, its in zip(one, other, strict=True)
        if isinstance(its, nn.BatchNorm2d)
    )


def in_order(network, images):
    """The modules with parameters in the order of their calls."""
    found, hooks = [], []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            hooks.append(module.register_forward_hook(lambda module, *_: found.append(module)))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        network(images)
    network.load_state_dict(state)
    for hook in hooks:
        hook.remove()
    return found


ESPCN = """model ESPCN
input f : 1 × H × W
output u : 1 × (3*H) × (3*W)
kernel A : 5×5 → 64, bias
kernel B : 3×3 → 32, bias
kernel C : 3×3 → 9, bias
u = depth_to_space[3] ∘ C * tanh ∘ B * tanh ∘ A * f
"""


def test_espcn_super_resolution():
    """Shi et al. 2016: three convolutions on the small image, then a pixel shuffle; for images of any size."""
    network = build(Compilation(Source("t.cldf", ESPCN)).code()).double()
    by_hand = nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(64, 32, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, 9, 3, padding=1),
        nn.PixelShuffle(3),
    ).double()
    for name, at in (("A", 0), ("B", 2), ("C", 4)):
        by_hand[at].load_state_dict(network.get_submodule(name).state_dict())
    for size in ((7, 9), (16, 12)):
        f = torch.randn(2, 1, *size, dtype=torch.float64)
        found, expected = network(f), by_hand(f)
        assert found.shape == (2, 1, 3 * size[0], 3 * size[1])
        assert torch.allclose(found, expected, rtol=1e-13, atol=1e-13)
        network.zero_grad()
        by_hand.zero_grad()
        (found**3).sum().backward()
        (expected**3).sum().backward()
        pairs = zip(network.parameters(), by_hand.parameters(), strict=True)
        assert all(torch.allclose(a.grad, b.grad, rtol=1e-10, atol=1e-12) for a, b in pairs)
