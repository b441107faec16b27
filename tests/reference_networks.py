"""The two networks of the paper, written by hand in plain PyTorch: what generated code must equal."""

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
    """Algorithm 1 with one A per level, (3.6)."""

    def __init__(self, steps=(2, 1, 1, 1), widths=(64, 128, 256, 512), channels=3, classes=10) -> None:
        super().__init__()
        self.stem = conv3(channels, widths[0])
        self.stem_norm = nn.BatchNorm2d(widths[0])
        before = (None, *widths[:-1])
        self.levels = nn.Sequential(*(PreActLevel(*sizes) for sizes in zip(before, widths, steps, strict=True)))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, f):
        r = self.levels(torch.relu(self.stem_norm(self.stem(f))))
        return self.head(r.mean(dim=(2, 3)))


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
    """Algorithm 2 with a linear 𝒜 and ℬ = σ ∘ B * σ."""

    def __init__(self, steps=(2, 2, 2, 2), widths=(64, 128, 256, 512), channels=3, classes=10) -> None:
        super().__init__()
        self.stem = conv3(channels, widths[0])
        self.stem_norm = nn.BatchNorm2d(widths[0])
        after = (*widths[1:], None)
        self.levels = nn.ModuleList([FeatureLevel(*sizes) for sizes in zip(widths, steps, after, strict=True)])
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
        return self.head(u.mean(dim=(2, 3)))
