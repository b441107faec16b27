"""The networks of the paper, written by hand in plain PyTorch: what generated code must equal."""

import torch
from torch import nn
from torch.nn import functional as F


def conv3(cin: int, cout: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False)


class PreActStep(nn.Module):
    """σ ∘ B * σ of one block; A is handed in, for the level owns it."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(cin)
        self.b = conv3(cin, cout, stride)
        self.norm2 = nn.BatchNorm2d(cout)

    def forward(self, r, a):
        return a(torch.relu(self.norm2(self.b(torch.relu(self.norm1(r))))))


class PreActLevel(nn.Module):
    def __init__(self, cin: int | None, cout: int, steps: int) -> None:
        super().__init__()
        self.a = conv3(cout, cout)
        self.pool = None if cin is None else PreActStep(cin, cout, 2)
        self.shortcut = None if cin is None else nn.Conv2d(cin, cout, 1, stride=2, bias=False)
        self.steps = nn.ModuleList([PreActStep(cout, cout) for _ in range(steps)])

    def forward(self, r):
        if self.pool is not None:
            r = self.shortcut(r) + self.pool(r, self.a)
        for step in self.steps:
            r = r + step(r, self.a)
        return r


class PreActResNet(nn.Module):
    """Algorithm 1 with one A per level, (3.6), and the last σ of the paper's [14]."""

    def __init__(self, steps=(2, 1, 1, 1), widths=(64, 128, 256, 512), channels=3, classes=10) -> None:
        super().__init__()
        self.stem = conv3(channels, widths[0])
        self.stem_norm = nn.BatchNorm2d(widths[0])
        before = (None, *widths[:-1])
        self.levels = nn.Sequential(*(PreActLevel(*sizes) for sizes in zip(before, widths, steps, strict=True)))
        self.last_norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, f):
        r = self.levels(torch.relu(self.stem_norm(self.stem(f))))
        return self.head(torch.relu(self.last_norm(r)).mean(dim=(2, 3)))


class FeatureLevel(nn.Module):
    def __init__(self, width: int, steps: int, after: int | None) -> None:
        super().__init__()
        self.a = conv3(width, width)
        self.b = nn.ModuleList([conv3(width, width) for _ in range(steps)])
        self.norm_in = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(steps)])
        self.norm_out = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(steps)])
        if after is not None:
            self.prolong = conv3(width, after, 2)
            self.restrict = conv3(width, after, 2)


class FeatureResNet(nn.Module):
    """Algorithm 2 with a linear 𝒜 and ℬ = σ ∘ B * σ, and σ before the average."""

    def __init__(self, steps=(2, 2, 2, 2), widths=(64, 128, 256, 512), channels=3, classes=10) -> None:
        super().__init__()
        self.stem = conv3(channels, widths[0])
        self.stem_norm = nn.BatchNorm2d(widths[0])
        after = (*widths[1:], None)
        self.levels = nn.ModuleList([FeatureLevel(*sizes) for sizes in zip(widths, steps, after, strict=True)])
        self.last_norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, image):
        f = F.relu(self.stem_norm(self.stem(image)))
        u = torch.zeros_like(f)
        for number, level in enumerate(self.levels):
            for b, norm_in, norm_out in zip(level.b, level.norm_in, level.norm_out, strict=True):
                u = u + F.relu(norm_out(b(F.relu(norm_in(f - level.a(u))))))
            if number + 1 < len(self.levels):
                residual = f - level.a(u)
                u = level.prolong(u)
                f = level.restrict(residual) + self.levels[number + 1].a(u)
        return self.head(F.relu(self.last_norm(u)).mean(dim=(2, 3)))


class Mapping(nn.Module):
    """K, with σ before it, after it, on both sides or on none; the normalisations are those of this place."""

    def __init__(self, kernel: nn.Conv2d, before: bool, after: bool) -> None:
        super().__init__()
        self.norm_before = nn.BatchNorm2d(kernel.in_channels) if before else None
        self.kernel = kernel
        self.norm_after = nn.BatchNorm2d(kernel.out_channels) if after else None

    def forward(self, x):
        if self.norm_before is not None:
            x = F.relu(self.norm_before(x))
        x = self.kernel(x)
        return x if self.norm_after is None else F.relu(self.norm_after(x))


class FeaturePooling(nn.Module):
    """(4.4): Π u, and R(f - 𝒜(u)) + 𝒜'(u') with the 𝒜' and u' of the next level."""

    def __init__(self, a: Mapping, a_next: Mapping) -> None:
        super().__init__()
        width, after = a.kernel.in_channels, a_next.kernel.in_channels
        self.prolong = conv3(width, after, 2)
        self.a = a
        self.restrict = conv3(width, after, 2)
        self.a_next = a_next

    def forward(self, u, f):
        coarse = self.prolong(u)
        return coarse, self.restrict(f - self.a(u)) + self.a_next(coarse)


class FeatureStep(nn.Module):
    """(4.3): u + ℬ(f - 𝒜(u))."""

    def __init__(self, a: Mapping, b: Mapping) -> None:
        super().__init__()
        self.a = a
        self.b = b

    def forward(self, u, f):
        return u + self.b(f - self.a(u)), f


class FeatureScheme(nn.Module):
    """Algorithm 2 for a row of Table 1: 𝒜 and ℬ each with σ before, after, on both sides or on none."""

    def __init__(self, a: tuple[bool, bool], b: tuple[bool, bool], steps, widths, classes=10) -> None:
        super().__init__()
        self.stem = conv3(3, widths[0])
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.parts = nn.ModuleList()
        kernel = None
        for width, count in zip(widths, steps, strict=True):
            before, kernel = kernel, conv3(width, width)
            if before is not None:
                self.parts.append(FeaturePooling(Mapping(before, *a), Mapping(kernel, *a)))
            for _ in range(count):
                self.parts.append(FeatureStep(Mapping(kernel, *a), Mapping(conv3(width, width), *b)))
        self.last_norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, image):
        f = F.relu(self.stem_norm(self.stem(image)))
        u = torch.zeros_like(f)
        for part in self.parts:
            u, f = part(u, f)
        return self.head(F.relu(self.last_norm(u)).mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """The block of widely used code for ResNet; its kernels are handed in where several blocks share them."""

    def __init__(self, cin: int, cout: int, stride: int = 1, a=None, b=None) -> None:
        super().__init__()
        self.conv1 = b or conv3(cin, cout, stride)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = a or conv3(cout, cout)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class RestrictingBlock(nn.Module):
    """A BasicBlock that is applied to the restriction of x: eq. (6.4)."""

    def __init__(self, cin: int, cout: int, a, b) -> None:
        super().__init__()
        self.restriction = nn.Sequential(nn.Conv2d(cin, cout, 1, 2, bias=False), nn.BatchNorm2d(cout))
        self.block = BasicBlock(cout, cout, 1, a, b)

    def forward(self, x):
        return self.block(self.restriction(x))


class ResNet(nn.Module):
    """ResNet for small images in widely used style: 3×3 stem, no max-pooling, two or more BasicBlocks a level.

    `sharing` is "none", "A" (one A for a level) or "printed" (one A and one B for a level from the second on, and
    pooling by restriction).
    """

    def __init__(self, steps=(2, 1, 1, 1), widths=(64, 128, 256, 512), sharing="none", classes=10) -> None:
        super().__init__()
        self.conv1 = conv3(3, widths[0])
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layers = nn.ModuleList()
        for number, (width, count) in enumerate(zip(widths, steps, strict=True)):
            shares_a = sharing == "A" or (sharing == "printed" and number > 0)
            a = conv3(width, width) if shares_a else None
            b = conv3(width, width) if shares_a and sharing == "printed" else None
            first = [] if number == 0 else [self.pooling(widths[number - 1], width, a, b, sharing)]
            self.layers.append(nn.Sequential(*first, *(BasicBlock(width, width, 1, a, b) for _ in range(count))))
        self.fc = nn.Linear(widths[-1], classes)

    def pooling(self, cin, cout, a, b, sharing):
        return RestrictingBlock(cin, cout, a, b) if sharing == "printed" else BasicBlock(cin, cout, 2, a)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in self.layers:
            x = layer(x)
        return self.fc(x.mean(dim=(2, 3)))


class MgStep(nn.Module):
    """u + σ(B * σ(f - A * u)), each σ a normalisation and relu."""

    def __init__(self, a: nn.Conv2d, b: nn.Conv2d) -> None:
        super().__init__()
        self.a = a
        self.norm_in = nn.BatchNorm2d(a.out_channels)
        self.b = b
        self.norm_out = nn.BatchNorm2d(b.out_channels)

    def forward(self, u, f):
        return u + F.relu(self.norm_out(self.b(F.relu(self.norm_in(f - self.a(u)))))), f


class MgPooling(nn.Module):
    """σ(Π u), and σ(R(f - A u)) + A' u' with the A' and u' of the next level."""

    def __init__(self, a: nn.Conv2d, a_next: nn.Conv2d) -> None:
        super().__init__()
        self.a = a
        self.pi = conv3(a.in_channels, a.in_channels, 2)
        self.norm_pi = nn.BatchNorm2d(a.in_channels)
        self.r = conv3(a.out_channels, a.out_channels, 2)
        self.norm_r = nn.BatchNorm2d(a.out_channels)
        self.a_next = a_next

    def forward(self, u, f):
        coarse = F.relu(self.norm_pi(self.pi(u)))
        return coarse, F.relu(self.norm_r(self.r(f - self.a(u)))) + self.a_next(coarse)


class MgNet(nn.Module):
    """MgNet as its authors' code computes it, with c_u channels of features and c_f of data."""

    def __init__(self, cu=256, cf=256, steps=(2, 2, 2, 2), one_b=True, classes=10) -> None:
        super().__init__()
        self.cu = cu
        self.conv1 = conv3(3, cf)
        self.bn1 = nn.BatchNorm2d(cf)
        self.parts = nn.ModuleList()
        kernels = [conv3(cu, cf) for _ in steps]
        for number, count in enumerate(steps):
            if number:
                self.parts.append(MgPooling(kernels[number - 1], kernels[number]))
            b = conv3(cf, cu)
            self.parts.extend(MgStep(kernels[number], b if one_b else conv3(cf, cu)) for _ in range(count))
        self.fc = nn.Linear(cu, classes)

    def forward(self, image):
        f = F.relu(self.bn1(self.conv1(image)))
        u = f.new_zeros(f.shape[0], self.cu, *f.shape[2:])
        for part in self.parts:
            u, f = part(u, f)
        return self.fc(u.mean(dim=(2, 3)))
