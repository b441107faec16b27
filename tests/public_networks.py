"""Networks with the names and the order of registration of well-known public code, written anew and narrow."""

import torch
from reference_networks import conv3
from torch import nn
from torch.nn import functional as F


def conv1(cin: int, cout: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 1, stride, bias=False)


def norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width)


def stages(block, width, widths, steps, **options) -> list[nn.Sequential]:
    """The blocks of each stage; all but the first begin with stride 2."""
    result = []
    for number, (out, count) in enumerate(zip(widths, steps, strict=True)):
        blocks = []
        for step in range(count):
            blocks.append(block(width, out, 2 if number and not step else 1, **options))
            width = blocks[-1].out
        result.append(nn.Sequential(*blocks))
    return result


class CifarBottleneck(nn.Module):
    """kuangliu's: conv1 to conv3, bn1 to bn3, then `shortcut`."""

    def __init__(self, cin, planes, stride):
        super().__init__()
        self.out = 4 * planes
        self.conv1, self.bn1 = conv1(cin, planes), norm(planes)
        self.conv2, self.bn2 = conv3(planes, planes, stride), norm(planes)
        self.conv3, self.bn3 = conv1(planes, self.out), norm(self.out)
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != self.out:
            self.shortcut = nn.Sequential(conv1(cin, self.out, stride), norm(self.out))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class SequentialBottleneck(nn.Module):
    """weiaicunzai's: the residual function and the shortcut are two sequences."""

    def __init__(self, cin, planes, stride):
        super().__init__()
        self.out = 4 * planes
        self.residual_function = nn.Sequential(
            conv1(cin, planes),
            norm(planes),
            nn.ReLU(),
            conv3(planes, planes, stride),
            norm(planes),
            nn.ReLU(),
            conv1(planes, self.out),
            norm(self.out),
        )
        self.shortcut = nn.Sequential()
        if stride != 1 or cin != self.out:
            self.shortcut = nn.Sequential(conv1(cin, self.out, stride), norm(self.out))

    def forward(self, x):
        return F.relu(self.residual_function(x) + self.shortcut(x))


class NamelessBottleneck(CifarBottleneck):
    """With names that say nothing."""

    def __init__(self, cin, planes, stride):
        super().__init__(cin, planes, stride)
        modules = list(self._modules.values())
        self._modules.clear()
        for letter, module in zip("abcdefg", modules, strict=True):
            self.add_module(letter, module)

    def forward(self, x):
        out = F.relu(self.b(self.a(x)))
        out = F.relu(self.d(self.c(out)))
        return F.relu(self.f(self.e(out)) + self.g(x))


class NormedConv(nn.Conv2d):
    """Detectron's: the normalisation is a part of the kernel's module."""

    def __init__(self, cin, cout, size, stride=1):
        super().__init__(cin, cout, size, stride, size // 2, bias=False)
        self.norm = norm(cout)

    def forward(self, x):
        return self.norm(super().forward(x))


class ShortcutFirst(nn.Module):
    """Detectron's: the shortcut is registered first."""

    def __init__(self, cin, planes, stride):
        super().__init__()
        self.out = 4 * planes
        has_shortcut = stride != 1 or cin != self.out
        self.shortcut = NormedConv(cin, self.out, 1, stride) if has_shortcut else None
        self.conv1 = NormedConv(cin, planes, 1)
        self.conv2 = NormedConv(planes, planes, 3, stride)
        self.conv3 = NormedConv(planes, self.out, 1)

    def forward(self, x):
        out = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class PreActBottleneck(nn.Module):
    """kuangliu's: a shortcut without bn, from the first σ."""

    def __init__(self, cin, planes, stride):
        super().__init__()
        self.out = 4 * planes
        self.bn1, self.conv1 = norm(cin), conv1(cin, planes)
        self.bn2, self.conv2 = norm(planes), conv3(planes, planes, stride)
        self.bn3, self.conv3 = norm(planes), conv1(planes, self.out)
        if stride != 1 or cin != self.out:
            self.shortcut = nn.Sequential(conv1(cin, self.out, stride))

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        return self.conv3(F.relu(self.bn3(out))) + shortcut


class KernelsFirst(nn.Module):
    """A basic block that registers both kernels before both normalisations."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.out = cout
        self.conv1, self.conv2 = conv3(cin, cout, stride), conv3(cout, cout)
        self.bn1, self.bn2 = norm(cout), norm(cout)
        self.shortcut = nn.Sequential(conv1(cin, cout, stride), norm(cout)) if stride != 1 else nn.Sequential()

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ThirdIsShortcut(nn.Module):
    """A well-known textbook's: conv3 is the shortcut, without bn."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.out = cout
        self.conv1, self.conv2 = conv3(cin, cout, stride), conv3(cout, cout)
        self.conv3 = conv1(cin, cout, stride) if stride != 1 else None
        self.bn1, self.bn2 = norm(cout), norm(cout)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.conv3 is None else self.conv3(x)))


class CifarResNet(nn.Module):
    """A 3×3 stem, stages, a linear head."""

    def __init__(self, block, widths=(4, 6, 8, 10), steps=(2, 1, 2, 1), stem=4, bare_stem=False, last_norm=False):
        super().__init__()
        self.conv1 = conv3(3, stem)
        self.bn1 = nn.Identity() if bare_stem else norm(stem)
        for number, stage in enumerate(stages(block, stem, widths, steps), start=1):
            self.add_module(f"layer{number}", stage)
        width = self.layer4[-1].out
        self.last = norm(width) if last_norm else nn.Identity()
        self.linear = nn.Linear(width, 10)
        self.is_bare, self.has_last = bare_stem, last_norm

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x = x if self.is_bare else F.relu(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = F.relu(self.last(x)) if self.has_last else x
        return self.linear(x.mean((2, 3)))


class ResNeXtBlock(nn.Module):
    """prlz77's ResNeXt-29: named by what they do, the shortcut last."""

    def __init__(self, cin, cout, stride, groups=2, width=4):
        super().__init__()
        self.out, d = cout, groups * width * cout // 16
        self.conv_reduce, self.bn_reduce = conv1(cin, d), norm(d)
        self.conv_conv, self.bn = nn.Conv2d(d, d, 3, stride, 1, groups=groups, bias=False), norm(d)
        self.conv_expand, self.bn_expand = conv1(d, cout), norm(cout)
        self.shortcut = nn.Sequential()
        if cin != cout:
            self.shortcut.add_module("shortcut_conv", conv1(cin, cout, stride))
            self.shortcut.add_module("shortcut_bn", norm(cout))

    def forward(self, x):
        out = F.relu(self.bn_reduce(self.conv_reduce(x)))
        out = F.relu(self.bn(self.conv_conv(out)))
        return F.relu(self.bn_expand(self.conv_expand(out)) + self.shortcut(x))


class ResNeXt29(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_1_3x3, self.bn_1 = conv3(3, 8), norm(8)
        for number, stage in enumerate(stages(ResNeXtBlock, 8, (16, 32, 64), (2, 2, 2)), start=1):
            self.add_module(f"stage_{number}", stage)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn_1(self.conv_1_3x3(x)))
        x = self.stage_3(self.stage_2(self.stage_1(x)))
        return self.classifier(x.mean((2, 3)))


class WideBlock(nn.Module):
    """xternalz's Wide ResNet: `convShortcut` last."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.out = cout
        self.bn1, self.conv1 = norm(cin), conv3(cin, cout, stride)
        self.bn2, self.conv2 = norm(cout), conv3(cout, cout)
        self.convShortcut = None if cin == cout else conv1(cin, cout, stride)

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(out)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(out))))


class WideResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = conv3(3, 4)
        self.block1, self.block2, self.block3 = stages(WideBlock, 4, (8, 16, 32), (2, 2, 2))
        self.bn1 = norm(32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 25, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x.flatten(1))))))


class DoubleConv(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        parts = conv3(cin, cout), norm(cout), nn.ReLU(), conv3(cout, cout), norm(cout), nn.ReLU()
        self.double_conv = nn.Sequential(*parts)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(cin, cout))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.up = nn.ConvTranspose2d(cin, cin // 2, 2, 2)
        self.conv = DoubleConv(cin, cout)

    def forward(self, low, high):
        return self.conv(torch.cat([high, self.up(low)], 1))


class UNet(nn.Module):
    """milesial's, as a classifier."""

    def __init__(self, c=4):
        super().__init__()
        self.inc = DoubleConv(3, c)
        self.down1, self.down2 = Down(c, 2 * c), Down(2 * c, 4 * c)
        self.up1, self.up2 = Up(4 * c, 2 * c), Up(2 * c, c)
        self.outc = nn.Linear(c, 10)

    def forward(self, x):
        one = self.inc(x)
        two = self.down1(one)
        return self.outc(self.up2(self.up1(self.down2(two), two), one).mean((2, 3)))


class ConvBlock(nn.Sequential):
    def __init__(self, cin, cout):
        super().__init__(conv3(cin, cout), norm(cout), nn.ReLU())


class FractalBlock(nn.Module):
    """Two columns, in a list, in an order of one's own: "short" is K, "first" and "second" are L and M."""

    def __init__(self, cin, cout, order):
        super().__init__()
        sizes = {"short": cin, "first": cin, "second": cout}
        self.convs = nn.ModuleList([ConvBlock(sizes[name], cout) for name in order])
        self.order = order

    def forward(self, x):
        of = {name: self.convs[place] for place, name in enumerate(self.order)}
        return (of["short"](x) + of["second"](of["first"](x))) / 2


class FractalNet(nn.Module):
    def __init__(self, order=("short", "first", "second"), widths=(4, 4, 6)):
        super().__init__()
        sizes = zip((3, *widths), widths, strict=False)
        self.blocks = nn.ModuleList([FractalBlock(*size, order) for size in sizes])
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, x):
        for block in self.blocks:
            x = F.max_pool2d(block(x), 2)
        return self.fc(x.mean((2, 3)))


# MgNet, three times


class MgIte(nn.Module):
    """The authors': both kernels before both normalisations."""

    def __init__(self, a, s):
        super().__init__()
        self.A, self.S = a, s
        self.bn1, self.bn2 = norm(a.out_channels), norm(s.out_channels)

    def forward(self, out):
        u, f = out
        return u + F.relu(self.bn2(self.S(F.relu(self.bn1(f - self.A(u)))))), f


class MgRestriction(nn.Module):
    """The authors': A of the next level before Π and R, which are used before it."""

    def __init__(self, a_old, a, pi, r):
        super().__init__()
        self.A_old, self.A, self.Pi, self.R = a_old, a, pi, r
        self.bn1, self.bn2 = norm(pi.out_channels), norm(r.out_channels)

    def forward(self, out):
        u_old, f_old = out
        u = F.relu(self.bn1(self.Pi(u_old)))
        return u, F.relu(self.bn2(self.R(f_old - self.A_old(u_old)))) + self.A(u)


class AuthorsMgNet(nn.Module):
    def __init__(self, cu, cf, steps=(2, 2, 2)):
        super().__init__()
        self.cu = cu
        self.conv1, self.bn1 = conv3(3, cf), norm(cf)
        a, s, parts = conv3(cu, cf), conv3(cf, cu), []
        for level, count in enumerate(steps):
            parts += [MgIte(a, s) for _ in range(count)]
            self.add_module(f"layer{level}", nn.Sequential(*parts))
            if level + 1 < len(steps):
                old, a, s = a, conv3(cu, cf), conv3(cf, cu)
                parts = [MgRestriction(old, a, conv3(cu, cu, 2), conv3(cf, cf, 2))]
        self.fc = nn.Linear(cu, 10)
        self.levels = len(steps)

    def forward(self, image):
        f = F.relu(self.bn1(self.conv1(image)))
        out = torch.zeros(f.shape[0], self.cu, *f.shape[2:]), f
        for level in range(self.levels):
            out = getattr(self, f"layer{level}")(out)
        return self.fc(out[0].mean((2, 3)))


class JacobiSmoother(nn.Module):
    """PyPI's `mgnet`: kernels before normalisations, B for each step."""

    def __init__(self, a, b):
        super().__init__()
        self.A, self.B = a, b
        self.batch_normA, self.batch_normB = norm(a.out_channels), norm(b.out_channels)

    def forward(self, out):
        u, f = out
        return u + F.relu(self.batch_normB(self.B(F.relu(self.batch_normA(f - self.A(u)))))), f


class Prolongation(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.pi, self.batch_norm = conv3(c, c, 2), norm(c)

    def forward(self, out):
        u, f = out
        return F.relu(self.batch_norm(self.pi(u))), u, f


class Restriction(nn.Module):
    """Its A_l has four names: here, in two steps of the next level, and as A_old of the next restriction."""

    def __init__(self, a_old, c):
        super().__init__()
        self.A_old, self.R, self.A_l, self.batch_norm = a_old, conv3(c, c, 2), conv3(c, c), norm(c)

    def forward(self, out):
        coarse, u, f = out
        return coarse, F.relu(self.batch_norm(self.R(f - self.A_old(u)) + self.A_l(coarse)))


class PackagedMgNet(nn.Module):
    def __init__(self, c, steps=(2, 2, 2)):
        super().__init__()
        self.conv1, self.bn1 = conv3(3, c), norm(c)
        self.fc = nn.Linear(c, 10)
        self.mg_blocks = nn.Sequential()
        a = conv3(c, c)
        for level, count in enumerate(steps):
            layer = nn.Sequential(*(JacobiSmoother(a, conv3(c, c)) for _ in range(count)))
            if level + 1 < len(steps):
                layer.append(Prolongation(c))
                layer.append(Restriction(a, c))
                a = layer[-1].A_l
            self.mg_blocks.add_module(f"layer{level}", layer)

    def forward(self, image):
        f = F.relu(self.bn1(self.conv1(image)))
        return self.fc(self.mg_blocks((torch.zeros(f.shape), f))[0].mean((2, 3)))


class PlainStep(nn.Module):
    """A third one's: B is a sequence with its normalisations, in the order of use."""

    def __init__(self, a, b):
        super().__init__()
        self.A, self.B = a, b

    def forward(self, out):
        u, f = out
        return u + self.B(f - self.A(u)), f


class PlainRestriction(nn.Module):
    def __init__(self, a1, a2, pi, r):
        super().__init__()
        self.A1, self.A2, self.Pi, self.R = a1, a2, pi, r

    def forward(self, out):
        u, f = out
        coarse = self.Pi(u)
        return coarse, self.R(f - self.A1(u)) + self.A2(coarse)


class SequentialMgNet(nn.Module):
    def __init__(self, c, steps=(2, 2, 2)):
        super().__init__()
        self.conv1, self.bn1 = conv3(3, c), norm(c)
        a, layers = conv3(c, c), []
        for level, count in enumerate(steps):
            b = conv3(c, c)
            for _ in range(count):
                layers.append(PlainStep(a, nn.Sequential(norm(c), nn.ReLU(), b, norm(c), nn.ReLU())))
            if level + 1 < len(steps):
                old, a = a, conv3(c, c)
                pi, r = (nn.Sequential(conv3(c, c, 2), norm(c), nn.ReLU()) for _ in range(2))
                layers.append(PlainRestriction(old, a, pi, r))
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(c, 10)

    def forward(self, image):
        f = F.relu(self.bn1(self.conv1(image)))
        return self.fc(self.layers((torch.zeros(f.shape), f))[0].mean((2, 3)))
