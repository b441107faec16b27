"""Operators with a module of their own in torch or torchvision: the same numbers and gradients, in both modes."""

import pytest
import torch
from networks import build, compile_text, torchvision
from torch import nn

MAP = (6, 5, 4)


class ChannelNorm(nn.LayerNorm):
    """ConvNeXt's: torch's has the channels last."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Twice(nn.Module):
    """Another module on the channels twice."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(torch.cat([x, x], 1))


PAIRS = {
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "hard_sigmoid": nn.Hardsigmoid,
    "celu": nn.CELU,
    "celu[0.5]": lambda: nn.CELU(0.5),
    "mish": nn.Mish,
    "prelu": lambda: nn.PReLU(6),
    "prelu[shared=1]": nn.PReLU,
    "softmax": lambda: nn.Softmax(1),
    "lrn": lambda: nn.LocalResponseNorm(5),
    "lrn[3, 0.1, 0.6, 2]": lambda: nn.LocalResponseNorm(3, 0.1, 0.6, 2),
    "lrn[4]": lambda: nn.LocalResponseNorm(4),
    "bn[eps=1e-3, momentum=0.01]": lambda: nn.BatchNorm2d(6, eps=1e-3, momentum=0.01),
    "bn[affine=0]": lambda: nn.BatchNorm2d(6, affine=False),
    "gn[3, eps=1e-6]": lambda: nn.GroupNorm(3, 6, eps=1e-6),
    "gn[2, affine=0]": lambda: nn.GroupNorm(2, 6, affine=False),
    "ln[eps=1e-6]": lambda: nn.GroupNorm(1, 6, eps=1e-6),
    "ln[affine=0]": lambda: nn.GroupNorm(1, 6, affine=False),
    "inorm": lambda: nn.InstanceNorm2d(6, affine=True),
    "inorm[affine=0]": lambda: nn.InstanceNorm2d(6),
    "cln[eps=1e-6]": lambda: ChannelNorm(6, eps=1e-6),
    "upsample[2, bilinear]": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "upsample[bilinear, factor=3]": lambda: nn.Upsample(scale_factor=3, mode="bilinear", align_corners=False),
    "shuffle[3]": lambda: nn.ChannelShuffle(3),
    "depth_to_space[2] ∘ concat(identity, identity)": lambda: Twice(nn.PixelShuffle(2)),
    "space_to_depth[2] ∘ pad[bottom=1]": lambda: nn.Sequential(nn.ZeroPad2d((0, 0, 0, 1)), nn.PixelUnshuffle(2)),
    "pad[1, 2, 3, 4]": lambda: nn.ZeroPad2d((1, 2, 3, 4)),
    "pad_channels[1, 2]": lambda: nn.ConstantPad3d((0, 0, 0, 0, 1, 2), 0),
    "crop[1, 2, 0, 1]": lambda: nn.ZeroPad2d((-1, -2, 0, -1)),
    "droppath": lambda: torchvision.ops.StochasticDepth(0.1, "row"),
    "droppath[0.5]": lambda: torchvision.ops.StochasticDepth(0.5, "row"),
}
SINGLE = {"hard_sigmoid": 1e-7}
"""How close torch's gradient is where it is in single precision."""


def operator_alone(operator: str, out: int) -> nn.Module:
    return build(
        compile_text(f"model N\ninput f : 6 × 5 × 4\noutput h : {out}\nh = flatten ∘ ({operator})(f)\n")
    ).double()


def moved(module: nn.Module) -> nn.Module:
    """With every tensor away from where it starts."""
    generator = torch.Generator().manual_seed(5)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return module


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("operator", PAIRS)
def test_numbers_gradients_and_statistics_are_those_of_torch(operator, training):
    theirs = moved(PAIRS[operator]().double()).train(training)
    images = torch.randn(8, *MAP, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).mul(4)
    ours = operator_alone(operator, theirs(images).flatten(1).shape[1]).train(training)
    moved(theirs)
    own = {name.rpartition(".")[2]: tensor for name, tensor in ours.state_dict().items()}
    for name, tensor in theirs.state_dict().items():
        own.pop(name).copy_(tensor)
    assert not own
    results = []
    for network in (ours, theirs):
        x = images.clone().requires_grad_()
        torch.manual_seed(3)
        result = network(x).flatten(1)
        (result * torch.arange(1, 1 + result.numel()).view_as(result)).sum().backward()
        tensors = dict(network.named_buffers()) | {name: p.grad for name, p in network.named_parameters()}
        named = {name.rpartition(".")[2]: tensor for name, tensor in tensors.items()}
        results.append({"result": result, "x": x.grad, **named})
    mine, others = results
    assert mine.keys() == others.keys()
    for name, tensor in others.items():
        close = 1e-10 if name == "result" else SINGLE.get(operator, 1e-10)
        assert torch.allclose(mine[name], tensor, rtol=close, atol=close * tensor.detach().abs().max().item()), name
