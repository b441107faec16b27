"""Published networks in specs/, against torchvision's or by hand: counts, outputs, gradients, running statistics."""

from collections.abc import Iterator
from importlib import import_module

import pytest
import torch
from networks import (
    build,
    build_spec,
    compare,
    compile_spec,
    only_in_fuzz,
    randomise,
    relative_difference,
    some,
    torchvision,
)
from torch import nn
from torch.nn import functional as F

TOLERANCE = 1e-11


def with_norms(*names: str) -> list[str]:
    """Kernels, each followed by its normalisation."""
    return [name for kernel in names for name in (kernel, f"bn_{kernel}")]


def googlenet() -> list[str]:
    return [*with_norms("theta1", "theta2", "theta3", *(f"{k}.{i}" for i in range(1, 10) for k in "ABCDEP"))]


def inception_v3() -> Iterator[str]:
    """A branch's normalisations are numbered in the order of its kernels, in each equation anew."""
    yield from with_norms("theta1", "theta2", "theta3", "theta4", "theta5")
    for i in range(1, 12):
        seen = dict.fromkeys(("B", "C"), 0)
        start = ("y", "z") if i > 9 else ("x", "x")
        branches = {3: "ABBCCCP", 4: "ACCC", 8: "ABBBCCCCCP", 9: "BBCCCC", 11: "ABBBCCCCP"}
        for letter in next(branches[last] for last in branches if i <= last):
            if letter in "AP":
                yield from with_norms(f"{letter}.{i}")
                continue
            seen[letter] += 1
            number, family, first = seen[letter], "x", {"B": 1, "C": 2}[letter]
            if i > 9 and number <= first:
                family = start[letter == "C"]
            elif i > 9:
                number -= first
            yield f"{letter}.{i}_{seen[letter]}"
            yield f"bn_{letter}_{family}{f'_{number}' * (number > 1)}.{i}"


def shufflenet_v2() -> Iterator[str]:
    yield from with_norms("theta")
    for level, count in enumerate((4, 8, 4), 1):
        yield from (f"S.{level}", f"bn_S.{level}_1", f"R.{level}", f"bn_R.{level}_1")
        for i in range(1, count + 1):
            yield from with_norms(*(f"{kernel}.{level}_{i}" for kernel in "ADB"))
    yield from with_norms("K")


def densenet121() -> Iterator[str]:
    yield from with_norms("theta")
    for level, count in enumerate((6, 12, 24, 16), 1):
        for i in range(1, count + 1):
            yield from (f"{name}.{level}_{i}" for name in ("bn_x", "B", "bn_B", "A"))
        if level < 4:
            yield from (f"bn_x.{level + 1}_0", f"T.{level}")
    yield "bn_x_h"


def convnext_t() -> Iterator[str]:
    yield from ("theta", "cln_theta")
    for level, count in enumerate((3, 3, 9, 3), 1):
        for i in range(1, count + 1):
            yield from (f"{name}.{level}_{i}" for name in ("gamma", "D", "cln_D", "E", "P"))
        if level < 4:
            yield from (f"cln_r.{level + 1}_0", f"R.{level + 1}")
    yield "cln_r_h"


def mobilenet_v3_large() -> Iterator[str]:
    yield from with_norms("theta", "D.1", "P.1")
    for i in range(2, 16):
        yield from with_norms(f"E.{i}", f"D.{i}")
        yield from (f"linear_x.{i}", f"linear_x_2.{i}") if i in (4, 5, 6) or i > 10 else ()
        yield from with_norms(f"P.{i}")
    yield from (*with_norms("K"), "linear_h")


def mobilenet_v3_small() -> Iterator[str]:
    yield from (*with_norms("theta", "D.1"), "linear_x.1", "linear_x_2.1", *with_norms("P.1"))
    for i in range(2, 12):
        yield from with_norms(f"E.{i}", f"D.{i}")
        yield from (f"linear_x.{i}", f"linear_x_2.{i}") if i > 3 else ()
        yield from with_norms(f"P.{i}")
    yield from (*with_norms("K"), "linear_h")


def efficientnet_b0() -> Iterator[str]:
    yield from with_norms("theta")
    for level, count in enumerate((1, 2, 2, 3, 3, 4, 1), 1):
        for i in range(1, count + 1):
            at = f"{level}_{i}"
            yield from with_norms(*(f"{kernel}.{at}" for kernel in ("ED" if level > 1 else "D")))
            yield from (f"linear_r.{at}", f"linear_r_2.{at}", *with_norms(f"P.{at}"))
    yield from with_norms("H")


def se_resnet18() -> Iterator[str]:
    yield from with_norms("theta")
    for level in range(1, 5):
        for i in (1, 2) if level == 1 else (0, 1):
            at = f"{level}_{i}"
            yield from (*with_norms(f"B.{at}", f"A.{at}"), f"linear_r.{at}", f"linear_r_2.{at}")
            yield from () if i else (f"R.{level}", f"bn_R.{at}")


class HardSigmoid(nn.Module):
    def forward(self, x):
        return F.relu6(x + 3) / 6


def made(name: str, **options) -> nn.Module:
    """torchvision's network of this name; its start from a truncated normal would take long."""
    classes = {"googlenet": "GoogLeNet", "inception_v3": "Inception3"}
    if name in classes:
        return getattr(torchvision.models, classes[name])(**{"aux_logits": False, "init_weights": False, **options})
    if name == "se_resnet18":
        return with_gates(torchvision.models.resnet18())
    others = {"shufflenet_v2": "shufflenet_v2_x1_0", "convnext_t": "convnext_tiny"}
    network = getattr(torchvision.models, others.get(name, name))()
    for module in network.modules():
        if isinstance(getattr(module, "scale_activation", None), nn.Hardsigmoid):
            # The gradient of torch's own is 1/6 in single precision only.
            module.scale_activation = HardSigmoid()
    return network


def with_gates(network: nn.Module) -> nn.Module:
    """Squeeze and excitation behind the last normalisation of each block of a ResNet."""
    for module in network.modules():
        if isinstance(module, torchvision.models.resnet.BasicBlock):
            channels = module.bn2.num_features
            module.bn2 = nn.Sequential(module.bn2, torchvision.ops.SqueezeExcitation(channels, channels // 16))
    return network


# The names of our modules in the order in which torchvision registers its own, but for the last; and an image's side.
PUBLISHED = {
    shufflenet_v2: 64,
    inception_v3: 96,
    mobilenet_v3_small: 64,
    densenet121: 64,
    convnext_t: 32,
    mobilenet_v3_large: 64,
    googlenet: 32,
    efficientnet_b0: 64,
    se_resnet18: 32,
}
LAST = {
    "mobilenet_v3_large": "linear_h_2",
    "mobilenet_v3_small": "linear_h_2",
    "efficientnet_b0": "linear_h",
    "se_resnet18": "linear_h",
}


def renamed(names: list[str], other: nn.Module):
    """From the names of a network to ours, which come in the order of its modules."""
    modules = [name for name, module in other.named_modules() if [*module.parameters(recurse=False)]]
    ours = dict(zip(modules, names, strict=True))

    def rename(name: str) -> str:
        module, _, part = name.rpartition(".")
        return ours[module] if part == "layer_scale" else f"{ours[module]}.{part}"

    return rename


@pytest.mark.parametrize("names", some(PUBLISHED, 12), ids=lambda names: names.__name__)
def test_a_network_is_that_of_torchvision(names):
    """In eval and in training mode, with the same draws; images need not be square."""
    name = names.__name__
    torch.manual_seed(0)
    other, network = made(name), build_spec(f"imagenet/{name}")
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in other.parameters())
    rename = renamed([*names(), LAST.get(name, "linear")], other)
    side = PUBLISHED[names]
    assert compare(network, other, rename, torch.randn(2, 3, side, side + 32)) < TOLERANCE


class Head(nn.Module):
    """The paper's: a mean over 5×5 windows, where torchvision has 4×4 windows of other sizes."""

    def __init__(self, channels: int, classes: int, **_: object) -> None:
        super().__init__()
        self.conv = import_module("torchvision.models.googlenet").BasicConv2d(channels, 128, kernel_size=1)
        self.fc1, self.fc2 = nn.Linear(2048, 1024), nn.Linear(1024, classes)

    def forward(self, x):
        x = self.fc1(self.conv(F.avg_pool2d(x, 5, 3)).flatten(1)).relu()
        return self.fc2(F.dropout(x, 0.7, self.training))


def with_heads(name: str) -> tuple[nn.Module, list[str]]:
    """torchvision's network with its auxiliary heads, and our names in the order of its modules."""
    if name == "inception_v3":
        names = [*inception_v3()]
        middle = names.index("bn_B_x.9") - 1
        return made(name, aux_logits=True), [*names[:middle], *with_norms("K1", "K2"), "linear_h1", *names[middle:]]
    module = import_module("torchvision.models.googlenet")
    other = made(name, aux_logits=True, blocks=[module.BasicConv2d, module.Inception, Head])
    heads = [part for i in (1, 2) for part in (f"K{i}", f"bn_K{i}", f"linear_h{i}", f"linear_h{i}_2")]
    return other, [*googlenet(), *heads]


@only_in_fuzz
@pytest.mark.parametrize(("name", "side"), [("googlenet", 224), ("inception_v3", 299)])
def test_heads_of_training_are_further_outputs(name, side):
    """Outputs are drawn in another order, so without what draws: all gradients of the image."""
    torch.manual_seed(0)
    other, names = with_heads(name)
    network = build_spec(f"imagenet/{name}_aux").double().train()
    other.double().train()
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in other.parameters())
    rename = renamed([*names, "linear_h"], other)
    network.load_state_dict({rename(key): tensor for key, tensor in other.state_dict().items()})
    image = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "dropout", lambda x, *_, **__: x)
        for each in (network, other):
            given = each(image)
            scores = [given[0], *(given[1:] if each is network else given[:0:-1])]
            found.append([*scores, *torch.autograd.grad(sum(score.square().sum() for score in scores), image)])
            found[-1] = [tensor.detach() for tensor in found[-1]]
    assert max(relative_difference(a, b) for a, b in zip(*found, strict=True)) < TOLERANCE


class LearnedPrimalDual(nn.Module):
    """Adler and Öktem 2018, algorithm 3, with the blur in place of the ray transform."""

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def step(self, names: str, i: int, *parts: torch.Tensor) -> torch.Tensor:
        x = torch.cat(parts, 1)
        for name in names[:2]:
            kernel = getattr(self.given, name)[str(i)]
            x = F.conv2d(x, kernel.weight, kernel.bias, padding=1)
            slope = getattr(self.given, f"prelu_{name}")[str(i)].weight[:, None, None]
            x = x.clamp_min(0) + slope * x.clamp_max(0)
        last = getattr(self.given, names[2])[str(i)]
        return F.conv2d(x, last.weight, last.bias, padding=1)

    def forward(self, g):
        blur = self.given.K.weight
        torch.testing.assert_close(blur, torch.full_like(blur, 1 / 25), rtol=1e-7, atol=0)
        x = y = g.new_zeros(len(g), 5, *g.shape[2:])
        for i in range(1, 11):
            y = y + self.step("ABC", i, y, F.conv2d(x[:, 1:2], blur, padding=2), g)
            x = x + self.step("DEG", i, x, F.conv2d(y[:, :1], blur, padding=2))  # the blur is its own adjoint
        return x[:, :1]


class ADMMNet(nn.Module):
    """ADMM-Net of Yang, Sun, Li and Xu 2016: a dense system in each step, whose matrix is made column by column."""

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, f):
        g, (height, width) = self.given, f.shape[2:]
        torch.testing.assert_close(g.K.weight, torch.full_like(g.K.weight, 1 / 25), rtol=1e-7, atol=0)
        pixels = torch.eye(height * width, dtype=f.dtype).view(-1, 1, height, width)
        filters = g.D.weight - g.D.weight.mean((2, 3), keepdim=True)
        blur = F.conv2d(pixels, g.K.weight, padding=2).flatten(1).T
        gradient = F.conv2d(pixels, filters, padding=1).flatten(1).T
        right = f.flatten(1) @ blur
        z = w = f.new_zeros(len(f), len(gradient))
        for i in ("1", "2", "3", "4"):
            matrix = blur.T @ blur + g.rho[i] * gradient.T @ gradient
            x = torch.linalg.solve(matrix, (right + g.rho[i] * (z - w) @ gradient).T).T
            if i != "4":
                left = x @ gradient.T + w
                z = left.sign() * (left.abs() - g.theta[i]).clamp_min(0)
                w = left - z
        return x.view_as(f)


class FFDNet(nn.Module):
    """Zhang, Zuo and Zhang 2018, for gray images: four images of half the size beside a map of the noise level."""

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def forward(self, f, noise):
        g, (batch, _, height, width) = self.given, f.shape
        quarters = [f[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        level = noise[:, :, None, None] * f.new_ones(batch, 1, height // 2, width // 2)
        x = torch.cat([*quarters, level], 1)
        for layer in (g.A, *g.B.values()):
            x = F.conv2d(x, layer.weight, layer.bias, padding=1).clamp_min(0)
        x = F.conv2d(x, g.C.weight, g.C.bias, padding=1)
        return x.view(batch, 2, 2, height // 2, width // 2).permute(0, 3, 1, 4, 2).reshape(f.shape)


class VCycle(nn.Module):
    """MgNet down, then up by the adjoint of each restriction, whose kernel is turned and its channels exchanged."""

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given

    def smooth(self, kernel: str, norm: str, level: int, u, f):
        g = self.given
        for i in ("1", "2"):
            at = f"{level}_{i}"
            left = f - F.conv2d(u, g.A[str(level)].weight, padding=1)
            kernel_at, norms = getattr(g, kernel)[at], (getattr(g, norm)[at], getattr(g, f"bn_{kernel}")[at])
            u = u + norms[1](F.conv2d(norms[0](left).relu(), kernel_at.weight, padding=1)).relu()
        return u

    def forward(self, image):
        g, fs, us = self.given, [], []
        f = g.bn_theta(F.conv2d(image, g.theta.weight, padding=1)).relu()
        for level in range(1, 5):
            fs.append(f)
            us.append(self.smooth("B", "bn_f_u", level, torch.zeros_like(f), f))
            if level < 4:
                left = f - F.conv2d(us[-1], g.A[str(level)].weight, padding=1)
                f = F.conv2d(left, g.R[str(level)].weight, stride=2, padding=1)
        v = us[3]
        for level in (3, 2, 1):
            wide = v.new_zeros(*v.shape[:2], 2 * v.shape[2], 2 * v.shape[3])
            wide[:, :, ::2, ::2] = v
            turned = g.R[str(level)].weight.flip(2, 3).transpose(0, 1)
            v = us[level - 1] + F.conv2d(wide, turned, padding=1)
            v = self.smooth("C", "bn_f_v", level, v, fs[level - 1])
        return g.linear(g.bn_v(v).relu().mean((2, 3)))


BY_HAND = [
    ("learned_primal_dual", LearnedPrimalDual, (2, 1, 12, 12)),
    ("mgnet_v_cycle", VCycle, (4, 3, 16, 16)),
    ("admm_net", ADMMNet, (2, 1, 9, 9)),
    ("ffdnet", FFDNet, (2, 1, 6, 8)),
]


@pytest.mark.parametrize("training", some([True, False], 2))
@pytest.mark.parametrize(("name", "by_hand", "shape"), BY_HAND)
def test_an_iteration_is_that_by_hand(name, by_hand, shape, training):
    """What is solved is solved to rounding, where the spec asks for less."""
    torch.manual_seed(0)
    exact = [("tol 1e-5, steps 100", "tol 1e-13, steps 500")] if name == "admm_net" else []
    network = build(compile_spec(name, *exact)).double().train(training)
    randomise(network)
    if name == "admm_net":
        for penalty in network.rho.values():
            nn.init.uniform_(penalty, 0.5, 1.5)
    given = [torch.randn(shape, dtype=torch.float64)]
    given += [torch.rand(2, 1, dtype=torch.float64)] if name == "ffdnet" else []
    found = []
    for candidate in (network, by_hand(network)):
        network.zero_grad()
        result = candidate(*given)
        result.square().sum().backward()
        found.append([result.detach(), *(p.grad.clone() for p in network.parameters() if p.requires_grad)])
    assert max(relative_difference(a, b) for a, b in zip(*found, strict=True)) < 1e-10
