"""Networks written by hand in plain PyTorch, from the mathematics of their specs in tests/golden/compile.

Parameters have the names of the spec, with the values of their tags: B@2,1 is `B.2_1`. A normalisation or a
linear operator is called after the kernel or the value that it is applied to.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

Key = int | tuple[int, ...]


def kernel(cin: int, cout: int, size: int = 3, stride: int = 1, dilation: int = 1, **options) -> nn.Conv2d:
    options = {"bias": False, **options}
    return nn.Conv2d(cin, cout, size, stride, padding=dilation * (size - 1) // 2, dilation=dilation, **options)


def spell(key: Key) -> str:
    return "_".join(map(str, key if isinstance(key, tuple) else (key,)))


def table(keys: Iterable[Key], make: Callable[..., nn.Module]) -> nn.ModuleDict:
    """A module for each value of a tag."""
    keys = list(keys)
    return nn.ModuleDict({spell(key): make(*(key if isinstance(key, tuple) else (key,))) for key in keys})


def numbers(keys: Iterable[Key], value: float) -> nn.ParameterDict:
    return nn.ParameterDict({spell(key): nn.Parameter(torch.tensor(value)) for key in keys})


def of(modules: nn.ModuleDict | nn.ParameterDict, *key: int):
    return modules[spell(key)]


def steps(counts: dict[int, int], start: int = 1) -> list[tuple[int, int]]:
    return [(level, i) for level, count in counts.items() for i in range(start, count + 1)]


class VCycleMgNet(nn.Module):
    """Smoothing and restriction as in Algorithm 2; then correction by the coarser level, and post-smoothing."""

    def __init__(self) -> None:
        super().__init__()
        c, self.before, self.after = {1: 4, 2: 6, 3: 8}, {1: 2, 2: 1, 3: 2}, {1: 3, 2: 1}
        self.theta, self.bn_theta = kernel(3, 4), nn.BatchNorm2d(4)
        self.A = table(c, lambda level: kernel(c[level], c[level]))
        self.B = table(steps(self.before), lambda level, i: kernel(c[level], c[level]))
        self.bn_f_u = table(steps(self.before), lambda level, i: nn.BatchNorm2d(c[level]))
        self.bn_B = table(steps(self.before), lambda level, i: nn.BatchNorm2d(c[level]))
        self.C = table(steps(self.after), lambda level, i: kernel(c[level], c[level]))
        self.bn_f_v = table(steps(self.after), lambda level, i: nn.BatchNorm2d(c[level]))
        self.bn_C = table(steps(self.after), lambda level, i: nn.BatchNorm2d(c[level]))
        self.Pi = table([1, 2], lambda level: kernel(c[level], c[level + 1], stride=2))
        self.R = table([1, 2], lambda level: kernel(c[level], c[level + 1], stride=2))
        self.P = table(
            [1, 2], lambda level: nn.ConvTranspose2d(c[level + 1], c[level], 3, 2, 1, output_padding=1, bias=False)
        )
        self.linear = nn.Linear(4, 5)

    def forward(self, image):
        f = {1: self.bn_theta(self.theta(image)).relu()}
        start, end = {1: torch.zeros_like(f[1])}, {}
        for level in (1, 2, 3):
            u = start[level]
            for i in range(1, self.before[level] + 1):
                residual = f[level] - of(self.A, level)(u)
                inner = of(self.B, level, i)(of(self.bn_f_u, level, i)(residual).relu())
                u = u + of(self.bn_B, level, i)(inner).relu()
            end[level] = u
            if level < 3:
                start[level + 1] = of(self.Pi, level)(u)
                residual = f[level] - of(self.A, level)(u)
                f[level + 1] = of(self.R, level)(residual) + of(self.A, level + 1)(start[level + 1])
        v = end[3]
        for level in (2, 1):
            v = end[level] + of(self.P, level)(v - start[level + 1])
            for i in range(1, self.after[level] + 1):
                residual = f[level] - of(self.A, level)(v)
                inner = of(self.C, level, i)(of(self.bn_f_v, level, i)(residual).relu())
                v = v + of(self.bn_C, level, i)(inner).relu()
        return self.linear(v.mean((2, 3)))


class DenseNet(nn.Module):
    """x_i = K_i * σ([x_0, …, x_{i-1}]) on two levels; between them a 1×1 kernel and a mean of 2×2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        first, self.counts = {1: 8, 2: 10}, {1: 3, 2: 2}

        def width(level, i):
            return first[level] + 4 * (i - 1)

        self.theta = kernel(3, 8)
        self.K = table(steps(self.counts), lambda level, i: kernel(width(level, i), 4))
        self.bn_x = table([*steps(self.counts), (2, 0)], lambda level, i: nn.BatchNorm2d(width(level, i) if i else 20))
        self.T = kernel(8 + 3 * 4, 10, 1)
        self.bn_x_h = nn.BatchNorm2d(10 + 2 * 4)
        self.linear = nn.Linear(10 + 2 * 4, 5)

    def forward(self, image):
        def block(level, x):
            for i in range(1, self.counts[level] + 1):
                new = of(self.K, level, i)(of(self.bn_x, level, i)(x).relu())
                x = torch.cat((x, new), dim=1)
            return x

        x = block(1, self.theta(image))
        x = nn.functional.avg_pool2d(self.T(of(self.bn_x, 2, 0)(x).relu()), 2)
        return self.linear(self.bn_x_h(block(2, x)).relu().mean((2, 3)))


class TwoStep(nn.Module):
    """u_i = ω_i u_{i-1} + u_{i-2} / 4 + σ B_i σ(f - A u_{i-1}); both last iterates go to the next level."""

    def __init__(self) -> None:
        super().__init__()
        c, self.counts = {1: 4, 2: 6}, {1: 3, 2: 2}
        self.theta, self.bn_theta = kernel(3, 4), nn.BatchNorm2d(4)
        self.A = table(c, lambda level: kernel(c[level], c[level]))
        self.B = table(steps(self.counts), lambda level, i: kernel(c[level], c[level]))
        self.bn_B = table(steps(self.counts), lambda level, i: nn.BatchNorm2d(c[level]))
        self.omega = numbers(steps(self.counts), 0.75)
        self.Pi = table([1], lambda level: kernel(4, 6, stride=2))
        self.R = table([1], lambda level: kernel(4, 6, stride=2))
        self.linear = nn.Linear(6, 5)

    def forward(self, image):
        f = self.bn_theta(self.theta(image)).relu()
        older = last = torch.zeros_like(f)
        for level in (1, 2):
            a = of(self.A, level)
            for i in range(1, self.counts[level] + 1):
                correction = of(self.bn_B, level, i)(of(self.B, level, i)((f - a(last)).relu())).relu()
                older, last = last, of(self.omega, level, i) * last + older / 4 + correction
            if level == 1:
                f = of(self.R, 1)(f - a(last))
                older, last = of(self.Pi, 1)(older), of(self.Pi, 1)(last)
        return self.linear(last.mean((2, 3)))


class Damped(nn.Module):
    """r_i = r_{i-1} - ω A σ B_i σ(r_{i-1}) + tanh(τ r_{i-1}) / (ℓ + i), with ω and τ trained."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {1: 2, 2: 3}
        self.theta, self.bn_theta = kernel(3, 4), nn.BatchNorm2d(4)
        self.A = table([1, 2], lambda level: kernel(4, 4))
        self.B = table(steps(self.counts), lambda level, i: kernel(4, 4))
        self.bn_r = table(steps(self.counts), lambda level, i: nn.BatchNorm2d(4))
        self.bn_B = table(steps(self.counts), lambda level, i: nn.BatchNorm2d(4))
        self.omega, self.tau = numbers([1, 2], 0.5), nn.Parameter(torch.tensor(-2.0))
        self.R = table([1], lambda level: kernel(4, 4, stride=2))
        self.linear = nn.Linear(4, 5)

    def forward(self, image):
        r = self.bn_theta(self.theta(image)).relu()
        for level in (1, 2):
            for i in range(1, self.counts[level] + 1):
                inner = of(self.bn_B, level, i)(of(self.B, level, i)(of(self.bn_r, level, i)(r).relu())).relu()
                damped = of(self.omega, level) * of(self.A, level)(inner)
                r = r - damped + torch.tanh(self.tau * r) / (level + i)
            if level == 1:
                r = of(self.R, 1)(r)
        return self.linear(r.mean((2, 3)))


class UNet(nn.Module):
    """Two convolutions on each level down and up; the way up sees the way down through a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        c = {0: 1, 1: 3, 2: 6, 3: 12}
        self.D = table([1, 2, 3], lambda level: kernel(c[level - 1], c[level], bias=True))
        self.E = table([1, 2, 3], lambda level: kernel(c[level], c[level], bias=True))
        self.P = table([1, 2], lambda level: nn.ConvTranspose2d(c[level + 1], c[level], 2, stride=2))
        self.U = table([1, 2], lambda level: kernel(2 * c[level], c[level]))
        self.V = table([1, 2], lambda level: kernel(c[level], c[level]))
        self.bn_U = table([1, 2], lambda level: nn.BatchNorm2d(c[level]))
        self.bn_V = table([1, 2], lambda level: nn.BatchNorm2d(c[level]))
        self.linear = nn.Linear(3, 5)

    def forward(self, image):
        def down(level, x):
            return of(self.E, level)(of(self.D, level)(x).relu()).relu()

        def up(level, skip, coarse):
            y = torch.cat((skip, of(self.P, level)(coarse)), dim=1)
            y = of(self.bn_U, level)(of(self.U, level)(y)).relu()
            return of(self.bn_V, level)(of(self.V, level)(y)).relu()

        fine = down(1, image)
        middle = down(2, nn.functional.max_pool2d(fine, 2))
        coarse = down(3, nn.functional.max_pool2d(middle, 2))
        return self.linear(up(1, fine, up(2, middle, coarse)).mean((2, 3)))


class ResNeXt(nn.Module):
    """Bottlenecks: 1×1, then 3×3 in groups, then 1×1; the shortcut of a new level is a 1×1 of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        c, d, groups, self.counts = {1: 8, 2: 16}, {1: 4, 2: 8}, {1: 2, 2: 4}, {1: 2, 2: 3}
        keys = [*steps(self.counts), (2, 0)]
        self.theta, self.bn_theta = kernel(3, 8), nn.BatchNorm2d(8)
        self.S = table(keys, lambda level, i: kernel(c[level if i else level - 1], d[level], 1))
        self.G = table(keys, lambda level, i: kernel(d[level], d[level], stride=1 if i else 2, groups=groups[level]))
        self.L = table(keys, lambda level, i: kernel(d[level], c[level], 1))
        self.bn_S = table(keys, lambda level, i: nn.BatchNorm2d(d[level]))
        self.bn_G = table(keys, lambda level, i: nn.BatchNorm2d(d[level]))
        self.bn_L = table(keys, lambda level, i: nn.BatchNorm2d(c[level]))
        self.R = table([2], lambda level: kernel(8, 16, 1, stride=2))
        self.bn_R = table([(2, 0)], lambda level, i: nn.BatchNorm2d(16))
        self.linear = nn.Linear(16, 5)

    def forward(self, image):
        def bottleneck(level, i, x):
            x = of(self.bn_S, level, i)(of(self.S, level, i)(x)).relu()
            x = of(self.bn_G, level, i)(of(self.G, level, i)(x)).relu()
            return of(self.bn_L, level, i)(of(self.L, level, i)(x))

        r = self.bn_theta(self.theta(image)).relu()
        for level, i in [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)]:
            shortcut = r if i else of(self.bn_R, 2, 0)(of(self.R, 2)(r))
            r = (shortcut + bottleneck(level, i, r)).relu()
        return self.linear(r.mean((2, 3)))


class LeNet5(nn.Module):
    """Two convolutions with bias, each followed by tanh and a mean of 2×2 pixels; three linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.C1 = kernel(1, 6, 5, bias=True)
        self.C3 = kernel(6, 16, 5, bias=True)
        self.linear, self.linear_2, self.linear_3 = nn.Linear(16 * 4 * 3, 12), nn.Linear(12, 8), nn.Linear(8, 10)

    def forward(self, image):
        pool = nn.AvgPool2d(2)
        x = pool(self.C3(pool(self.C1(image).tanh())).tanh()).flatten(1)
        return self.linear_3(self.linear_2(self.linear(x).tanh()).tanh())


class Tied(nn.Module):
    """Pre-activation blocks that share by `tie`: B_ℓ but for i = 0, A_ℓ but on level 1, one C in all."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {1: 2, 2: 3, 3: 2}
        pooled = [(2, 0), (3, 0)]
        norms = [*steps(self.counts), *pooled]
        self.theta, self.bn_theta = kernel(3, 4), nn.BatchNorm2d(4)
        self.A = table([(1, 1), (1, 2), 2, 3], lambda *key: kernel(4, 4))
        self.B = table([1, 2, 3, *pooled], lambda level, i=1: kernel(4, 4, stride=1 if i else 2))
        self.C = kernel(4, 4, 1)
        self.R = table([2, 3], lambda level: kernel(4, 4, 1, stride=2))
        self.bn_r = table(norms, lambda level, i: nn.BatchNorm2d(4))
        self.bn_B = table(norms, lambda level, i: nn.BatchNorm2d(4))
        self.linear = nn.Linear(4, 5)

    def forward(self, image):
        r = self.bn_theta(self.theta(image)).relu()
        for level in (1, 2, 3):
            for i in range(0 if level > 1 else 1, self.counts[level] + 1):
                a = of(self.A, 1, i) if level == 1 else of(self.A, level)
                b = of(self.B, level) if i else of(self.B, level, 0)
                skip = self.C if i else of(self.R, level)
                r = skip(r) + a(of(self.bn_B, level, i)(b(of(self.bn_r, level, i)(r).relu())).relu())
        return self.linear(r.mean((2, 3)))


class Dilated(nn.Module):
    """Three residual convolutions with holes of 2, 4, 8; then a stride, groups and a bias; then a prolongation."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.bn_theta = kernel(3, 4, 5, dilation=2), nn.BatchNorm2d(4)
        self.K = nn.ModuleDict({str(i): kernel(4, 4, dilation=hole) for i, hole in ((1, 2), (2, 4), (3, 8))})
        self.bn_K = table([1, 2, 3], lambda i: nn.BatchNorm2d(4))
        self.Q = kernel(4, 6, stride=2, dilation=3, groups=2, bias=True)
        # 2 (n - 1) + 2 (2 - 1) + 1 = 2n + 1 pixels, of which padding 1 takes two away; one is added at the end.
        self.P = nn.ConvTranspose2d(6, 3, 2, 2, padding=1, output_padding=1, dilation=2, bias=False)
        self.linear = nn.Linear(3, 5)

    def forward(self, image):
        x = self.bn_theta(self.theta(image)).relu()
        for i in ("1", "2", "3"):
            x = x + self.bn_K[i](self.K[i](x)).relu()
        return self.linear(self.P(self.Q(x)).relu().mean((2, 3)))


class Numbers(nn.Module):
    """r_i = A σ(r) / 2^i + g ⊙ s + (1 - α) r - α r ⊙ r ⊙ g with the gate g and the signal s."""

    def __init__(self) -> None:
        super().__init__()
        self.counts, self.alpha = {1: 2, 2: 3}, {1: 0.3, 2: -1.5}
        self.theta = kernel(3, 4)
        self.A = table([1, 2], lambda level: kernel(4, 4))
        self.G = table(steps(self.counts), lambda level, i: kernel(4, 4, 1, bias=True))
        self.B = table(steps(self.counts), lambda level, i: kernel(4, 4))
        self.R = table([1], lambda level: kernel(4, 4, stride=2))
        self.linear = nn.Linear(4, 5)

    def forward(self, image):
        r = self.theta(image)
        for level in (1, 2):
            alpha = self.alpha[level]
            for i in range(1, self.counts[level] + 1):
                gate, signal = of(self.G, level, i)(r).sigmoid(), of(self.B, level, i)(r).tanh()
                smoothed = of(self.A, level)(r.relu()) * 0.5**i
                r = smoothed + gate * signal + (1 - alpha) * r - alpha * (r**2 * gate)
            if level == 1:
                r = -of(self.R, 1)(r) - nn.functional.avg_pool2d(r, 2)
        return self.linear(r.mean((2, 3)))


class Reductions(nn.Module):
    """x_i = Σ_j K_j σ(x_j) - Σ_j W_ij tanh(x_j) / (i + j) over j < i."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {1: 3, 2: 2}
        pairs = [(level, i, j) for level, i in steps(self.counts) for j in range(i)]
        self.theta = kernel(3, 4)
        self.K = table([(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)], lambda level, j: kernel(4, 4))
        self.W = table(pairs, lambda level, i, j: kernel(4, 4, 1))
        self.bn_x = table(pairs, lambda level, i, j: nn.BatchNorm2d(4))
        self.R = table([1], lambda level: kernel(4, 4, stride=2))
        self.linear = nn.Linear(12, 5)

    def forward(self, image):
        x = [self.theta(image)]
        for level in (1, 2):
            for i in range(1, self.counts[level] + 1):
                new = torch.zeros_like(x[0])
                for j, old in enumerate(x):
                    new = new + of(self.K, level, j)(of(self.bn_x, level, i, j)(old).relu())
                    new = new - of(self.W, level, i, j)(old.tanh()) / (i + j)
                x.append(new)
            if level == 1:
                x = [of(self.R, 1)(x[1] + x[2] + x[3])]
        return self.linear(torch.cat(x, dim=1).relu().mean((2, 3)))


class Operators(nn.Module):
    """The other operators, by formulas where they are short."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.gn_theta = kernel(3, 16), nn.GroupNorm(8, 16)
        self.K, self.ln_K = kernel(16, 16), nn.GroupNorm(1, 16)
        self.N, self.bn_b = kernel(16, 16, 1), nn.BatchNorm2d(16)
        self.linear, self.gn_k = nn.Linear(16 + 16 + 16, 8), nn.GroupNorm(2, 8)
        self.linear_2, self.ln_k, self.linear_3 = nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 5)

    def forward(self, image):
        def shrink(x, threshold):
            return x.sign() * (x.abs() - threshold).relu()

        a = nn.GELU()(self.gn_theta(self.theta(image)))
        b = nn.MaxPool2d(3, stride=2, padding=1)(a)
        c = self.ln_K(self.K(b))
        c = c * c.sigmoid()
        normal = self.bn_b(b + torch.where(c > 0, c, 0.2 * c))
        d = torch.where(normal > 0, normal, 0.5 * (normal.exp() - 1))
        d = d.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        e = self.N(d).exp().log1p() + d.abs() - shrink(d, 0.1)
        pool = nn.AvgPool2d(3, stride=2)
        g = pool(e) * pool(d).sigmoid()
        corner = nn.MaxPool2d(4)(g).flatten(1)
        k = torch.cat((g.amax((2, 3)), g.mean((2, 3)), corner), dim=1)
        return self.linear_3(self.ln_k(shrink(self.linear_2(self.gn_k(self.linear(k))), 0.5)))


class Lista(nn.Module):
    """z_i = S(z_{i-1} + ω_i E_i (f - D z_{i-1})) with the soft threshold S at 1/20."""

    def __init__(self) -> None:
        super().__init__()
        self.E = table([1, 2, 3, 4], lambda i: kernel(1, 6))
        self.D = kernel(6, 1)
        self.omega = numbers([1, 2, 3, 4], 1.0)
        self.linear = nn.Linear(6, 5)

    def forward(self, f):
        z = f.new_zeros(len(f), 6, *f.shape[2:])
        for i in (1, 2, 3, 4):
            z = z + of(self.omega, i) * of(self.E, i)(f - self.D(z))
            z = z.sign() * (z.abs() - 0.05).clamp_min(0)
        return self.linear(z.abs().mean((2, 3)))
