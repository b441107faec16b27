"""Signals and volumes: MgNet and V-Net against networks written by hand, adjoints, operators against torch's."""

import itertools
import random

import pytest
import torch
from networks import ROOT, build, compare, randomise, some, spec_text
from test_operators import EVERYTHING
from torch import nn
from torch.nn import functional as F

import cldfc
from cldfc import ops
from cldfc.algebra.symbols import norm_of
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source, UsageError
from cldfc.emit.constructor import conv_lines, prolong_lines, unpad_lines
from cldfc.plan import plan_run
from cldfc.syntax import tree
from cldfc.syntax.format import format_statement
from cldfc.syntax.read import read_source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

HELPERS = {dimension: {"torch": torch, "nn": nn, "F": F} for dimension in (1, 3)}
for dimension, scope in HELPERS.items():
    lines = [*conv_lines(EVERYTHING, dimension), *prolong_lines(EVERYTHING, dimension), *unpad_lines(dimension)]
    exec("\n".join(lines), scope)

ZEROS, BORDERS = ("same", 0, 1, 2), ("circular", "reflect", "replicate")
# Kind, dimension, size of the map, stride, kernel, dilation, groups, padding.
EVERY = [
    (kind, *numbers, padding)
    for kind in (ops.ConvolutionAdjoint, ops.ProlongationAdjoint)
    for padding in (*ZEROS, *BORDERS)
    for numbers in itertools.product((1, 3), range(1, 13), range(1, 5), range(1, 7), (1, 2, 3), (1, 2))
    if kind is ops.ConvolutionAdjoint or padding == "same"
]


def fits(kind, size, stride, k, dilation, padding):
    """Whether the language has this kernel for a map of this size."""
    if kind is ops.ProlongationAdjoint:
        return stride > 1 or dilation * (k - 1) % 2 == 0
    width = padding if isinstance(padding, int) else dilation * (k - 1) // 2
    most = {"circular": size, "reflect": size - 1}.get(padding, width)
    is_odd = isinstance(padding, int) or dilation * (k - 1) % 2 == 0
    return is_odd and width <= most and dilation * (k - 1) < size + 2 * width


def test_inner_products():
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, along one axis and along three."""
    torch.manual_seed(1)
    random_cases = random.Random(3).sample(EVERY, len(EVERY))
    compared = 0
    for kind, dimension, size, stride, k, dilation, groups, padding in some(random_cases, 60):
        other = size + 1
        if not all(fits(kind, side, stride, k, dilation, padding) for side in (size, other)):
            continue
        given = {"size": k, "dilation": dilation, "groups": groups}
        given |= {"padding": padding} if isinstance(padding, int) else {}
        sizes = {name: str(value) for name, value in {"in": 2, "out": 4, **given}.items()}
        options = {"mode": padding} if padding in BORDERS else {}
        adjoint = kind(stride, dimension=dimension, **options)
        module = eval(adjoint.module(sizes), dict(HELPERS[dimension])).double()
        x = torch.randn(2, 2, size, *[other] * (dimension - 1), dtype=torch.float64)
        image = module(x)
        y = torch.randn_like(image)
        beyond = "0"
        if kind is ops.ConvolutionAdjoint:
            beyond = str(adjoint.beyond(image[0].shape, x[0].shape, given))
        found = eval(adjoint.torch_unlike(["y"], "m", sizes, beyond), HELPERS[dimension] | {"y": y, "m": module})
        what = (kind.__name__, dimension, size, stride, given, padding)
        assert found.shape == x.shape, what
        one, another = (image * y).sum().item(), (x * found).sum().item()
        assert abs(one - another) <= 1e-13 * max(1.0, (image * y).abs().sum().item()), what
        compared += 1
    assert compared > 50


# Networks


class SignalMgNet(nn.Module):
    def __init__(self, c, levels, steps):
        super().__init__()
        self.steps = steps
        self.stem, self.stem_norm = nn.Conv1d(1, c, 7, padding=3, bias=False), nn.BatchNorm1d(c)
        self.a = nn.ModuleList(nn.Conv1d(c, c, 3, padding=1, bias=False) for _ in range(levels))
        self.b = nn.ModuleList(nn.Conv1d(c, c, 3, padding=1, bias=False) for _ in range(levels))
        self.inner = nn.ModuleList(nn.ModuleList(nn.BatchNorm1d(c) for _ in range(steps)) for _ in range(levels))
        self.outer = nn.ModuleList(nn.ModuleList(nn.BatchNorm1d(c) for _ in range(steps)) for _ in range(levels))
        self.pi, self.r, self.pi_norm, self.r_norm = (
            nn.ModuleList(make() for _ in range(levels - 1))
            for make in (
                *[lambda: nn.Conv1d(c, c, 3, stride=2, padding=1, bias=False)] * 2,
                *[lambda: nn.BatchNorm1d(c)] * 2,
            )
        )
        self.head = nn.Linear(c, 10)

    def forward(self, x):
        f = self.stem_norm(self.stem(x)).relu()
        u = torch.zeros_like(f)
        for at, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            for step in range(self.steps):
                residual = self.inner[at][step](f - a(u)).relu()
                u = u + self.outer[at][step](b(residual)).relu()
            if at < len(self.pi):
                coarse = self.pi_norm[at](self.pi[at](u)).relu()
                f = self.r_norm[at](self.r[at](f - a(u))).relu() + self.a[at + 1](coarse)
                u = coarse
        return self.head(u.mean(2))


def name_in_mgnet(name):
    """`B.2.weight` → `b.1.weight`."""
    head, *rest = name.split(".")
    alone = {"theta": "stem", "bn_theta": "stem_norm", "linear": "head"}
    if head in alone:
        return ".".join([alone[head], *rest])
    level, *step = rest[0].split("_")
    names = {"A": "a", "B": "b", "bn_B": "outer", "bn_f": "inner", "Pi": "pi", "R": "r", "bn_Pi": "pi_norm"}
    names |= {"bn_R": "r_norm"}
    below = int(level) - (2 if head in ("bn_Pi", "bn_R") else 1)
    step = [str(int(step[0]) - 1)] if step and head in ("bn_B", "bn_f") else []
    return ".".join([names[head], str(below), *step, *rest[1:]])


def test_mgnet_for_signals():
    changes = [("let J = 5", "let J = 3"), ("2, 2, 2, 2, 2", "2"), ("let c   = 64", "let c   = 6"), ("1024", "32")]
    torch.manual_seed(4)
    ours = build(agreeing(spec_text("mgnet_signals", *changes)).code())
    assert compare(SignalMgNet(6, 3, 2), ours, name_in_mgnet, torch.randn(3, 1, 32)) < 1e-12


class VNet(nn.Module):
    """As Milletari et al. have it; `count` are the convolutions of each stage, `c` the channels of the first."""

    def __init__(self, count, c):
        super().__init__()
        self.left, self.left_slopes, self.right, self.right_slopes = (nn.ModuleDict() for _ in range(4))
        self.down, self.down_slopes, self.up, self.up_slopes = (nn.ModuleDict() for _ in range(4))
        self.count, last = count, len(count)
        wide = {level: c * 2 ** (level - 1) for level in range(1, last + 1)}
        for level, number in enumerate(count, 1):
            for i in range(1, number + 1):
                before = 1 if level == i == 1 else wide[level]
                self.left[f"{level}_{i}"] = nn.Conv3d(before, wide[level], 5, padding=2)
                self.left_slopes[f"{level}_{i}"] = nn.PReLU(wide[level])
                if level < last:
                    self.right[f"{level}_{i}"] = nn.Conv3d(2 * wide[level], 2 * wide[level], 5, padding=2)
                    self.right_slopes[f"{level}_{i}"] = nn.PReLU(2 * wide[level])
            if level > 1:
                self.down[str(level)] = nn.Conv3d(wide[level - 1], wide[level], 2, stride=2)
                self.down_slopes[str(level)] = nn.PReLU(wide[level])
            if level < last:
                below = wide[last] if level == last - 1 else 2 * wide[level + 1]
                self.up[str(level)] = nn.ConvTranspose3d(below, wide[level], 2, stride=2)
                self.up_slopes[str(level)] = nn.PReLU(wide[level])
        self.classes = nn.Conv3d(2 * c, 2, 1)

    def stage(self, x, kernels, slopes, level):
        number, start = self.count[level - 1], x
        for i in range(1, number + 1):
            x = kernels[f"{level}_{i}"](x)
            x = slopes[f"{level}_{i}"](x + start if i == number else x)
        return x

    def forward(self, x):
        skips, last = {}, len(self.count)
        for level in range(1, last + 1):
            if level > 1:
                x = self.down_slopes[str(level)](self.down[str(level)](x))
            x = skips[level] = self.stage(x, self.left, self.left_slopes, level)
        for level in range(last - 1, 0, -1):
            x = self.up_slopes[str(level)](self.up[str(level)](x))
            x = self.stage(torch.cat([skips[level], x], 1), self.right, self.right_slopes, level)
        return F.softmax(self.classes(x), 1)


def name_in_vnet(name):
    """`prelu_x.2_1.weight` → `left_slopes.2_1.weight`."""
    head, *rest = name.split(".")
    names = {"A": "left", "B": "right", "D": "down", "U": "up", "Z": "classes", "prelu_U": "up_slopes"}
    names |= {"prelu_A": "left_slopes", "prelu_x": "left_slopes", "prelu_D": "down_slopes"}
    names |= {"prelu_B": "right_slopes", "prelu_y": "right_slopes"}
    if head in ("prelu_D", "prelu_U"):
        rest[0] = rest[0].split("_")[0]
    return ".".join([names[head], *rest])


def test_vnet():
    changes = [("128 × 128 × 64", "8 × 12 × 4"), ("J = 5", "J = 3"), ("1, 2, 3, 3, 3", "1, 2, 3"), ("16 *", "4 *")]
    torch.manual_seed(5)
    ours = build(agreeing(spec_text("vnet", *changes)).code())
    assert compare(VNet((1, 2, 3), 4), ours, name_in_vnet, torch.randn(2, 1, 8, 12, 4)) < 1e-12


def test_vnet_has_the_published_size():
    with torch.device("meta"):
        whole = VNet((1, 2, 3, 3, 3), 16)
    network = Compilation(read_source(ROOT / "specs" / "vnet.cldf"))
    assert sum(parameter.numel() for parameter in whole.parameters()) == network.cost.parameters == 65_175_314


def test_multigrid_on_a_line():
    """What the cycles give solves the tridiagonal system, and each is as good as `analyse` says."""
    network = build(Compilation(read_source(ROOT / "specs" / "multigrid" / "poisson_line.cldf")).code()).double()
    right = torch.randn(2, 1, 31, dtype=torch.float64)
    ones = torch.ones(30, dtype=torch.float64)
    matrix = 2 * torch.eye(31, dtype=torch.float64) - torch.diag(ones, 1) - torch.diag(ones, -1)
    exact = torch.linalg.solve(matrix, right.mT).mT
    assert float((network(right) - exact).norm() / exact.norm()) < 1e-8


# Operators


def text_of(*lines, shape):
    return "\n".join(["model M", "levels ℓ = 1..2", f"input f : {shape}", *lines]) + "\n"


def agreeing(text):
    """A network that does what its equations say, in values, gradients and statistics."""
    compilation = Compilation(Source("dimensions.cldf", text))
    assert verify_forms(compilation, candidates_of(compilation), 1e-10).agrees
    return compilation


def network_of(text):
    return build(agreeing(text).code()).double()


SHAPES = {1: (6, 9), 3: (6, 4, 7, 5)}
# What stands before f, and what torch has for it, of as many dimensions as its operand has axes behind the channels.
FORMS = [
    ("avgpool[3, stride=2]", lambda x, d: getattr(F, f"avg_pool{d}d")(x, 3, 2, 1)),
    ("maxpool[2]", lambda x, d: getattr(F, f"max_pool{d}d")(x, 2)),
    ("avgpool[3, ceil]", lambda x, d: getattr(F, f"avg_pool{d}d")(x, 3, ceil_mode=True)),
    ("avgpool", lambda x, d: x.mean(tuple(range(2, d + 2)))),
    ("maxpool", lambda x, d: x.amax(tuple(range(2, d + 2)))),
    ("flatten", lambda x, d: x.flatten(1)),
    ("upsample[3]", lambda x, d: F.interpolate(x, scale_factor=3)),
    ("shuffle[3]", lambda x, d: x.unflatten(1, (3, 2)).transpose(1, 2).flatten(1, 2)),
    ("softmax", lambda x, d: x.softmax(1)),
    ("inorm", lambda x, d: (x - mean(x, d)) / (mean((x - mean(x, d)) ** 2, d) + 1e-5).sqrt()),
    ("cln", lambda x, d: F.layer_norm(x.movedim(1, -1), (6,)).movedim(-1, 1)),
    ("gn[2]", lambda x, d: F.group_norm(x, 2)),
    ("ln", lambda x, d: F.group_norm(x, 1)),
    ("lrn[3]", lambda x, d: F.local_response_norm(x, 3)),
    ("pad_channels[1, 2]", lambda x, d: torch.cat([x[:, :1] * 0, x, x[:, :2] * 0], 1)),
    ("pad[1, 2]", lambda x, d: F.pad(x, (1, 2))),
    ("crop[1, 2]", lambda x, d: x[..., 1:-2]),
]
ALONE = [
    (1, "upsample[2, linear]", lambda x, d: F.interpolate(x, scale_factor=2, mode="linear")),
    (3, "upsample[2, trilinear]", lambda x, d: F.interpolate(x, scale_factor=2, mode="trilinear")),
    (3, "pad[1, 0, 2, 1, 3, 2]", lambda x, d: F.pad(x, (1, 0, 2, 1, 3, 2))),
    (3, "crop[front=1, back=2]", lambda x, d: x[:, :, 1:-2]),
    (3, "crop[top=2, right=1]", lambda x, d: x[:, :, :, 2:, :-1]),
]


def mean(x, d):
    return x.mean(tuple(range(2, d + 2)), keepdim=True)


def written(shape):
    return " × ".join(map(str, shape))


@pytest.mark.parametrize(
    ("dimension", "form", "formula"),
    [pytest.param(*case, id=f"{case[1]}-{case[0]}") for case in (*((d, *f) for f in FORMS for d in (1, 3)), *ALONE)],
)
def test_operators(dimension, form, formula):
    x = torch.randn(2, *SHAPES[dimension], dtype=torch.float64)
    expected = formula(x, dimension)
    kind = "numbers" if expected.dim() == 2 else ""
    output = f"output y : {written(expected.shape[1:])} {kind}"
    text = text_of(output, f"y = {form}(f)", shape=written(SHAPES[dimension]))
    torch.testing.assert_close(network_of(text)(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "size", "words", "stride"),
    [
        ((4, 11), "5", "dilation 2", "2"),
        ((4, 11), "4", "padding 1, groups 2, bias", "3"),
        ((4, 11), "3", "reflect", "1"),
        ((4, 7, 6, 9), "3×1×5", "bias", "2"),
        ((4, 7, 6, 9), "3×4×2", "padding 1,2,0", "{1,2,3}"),
        ((4, 7, 6, 9), "3×3×3", "circular, groups 2", "{2,1,1}"),
        ((4, 7, 6, 9), "2×2×2", "valid", "2"),
    ],
)
def test_convolutions_and_their_adjoints(shape, size, words, stride):
    """A kernel and its adjoint; the reference evaluates both by torch's functional forms and by autograd."""
    kernel = f"kernel K : {size}, 4 → 6, {words}"
    x = torch.randn(2, *shape, dtype=torch.float64)
    scope = text_of("output h : 10", kernel, f"y = K *_{stride} f", "h = linear ∘ avgpool(y)", shape=written(shape))
    found = agreeing(scope).written
    after = found.shape(("y", ()))
    module = network_of(text_of(f"output y : {written(after)}", kernel, f"y = K *_{stride} f", shape=written(shape)))
    assert module(x).shape == (2, *after)
    assert type(module.K).__name__ == f"Conv{len(shape) - 1}d"
    text = text_of(
        f"output z : {written(shape)}", kernel, f"z = f + Kᵀ *_{stride} relu(K *_{stride} f)", shape=written(shape)
    )
    assert network_of(text)(x).shape == x.shape


@pytest.mark.parametrize(("shape", "size", "deep"), [((3, 5), "4", "6 × 10"), ((3, 2, 3, 4), "4×4×4", "6 × 4 × 6 × 8")])
def test_prolongation(shape, size, deep):
    """Twice as large; its adjoint leads back, and its start has the variance of He's rule."""
    kernel = f"kernel K : {size}, 3 → 6"
    network = network_of(text_of(f"output y : {deep}", kernel, "y = K *^2 f", shape=written(shape)))
    x = torch.randn(2, *shape, dtype=torch.float64)
    d = len(shape) - 1
    expected = getattr(F, f"conv_transpose{d}d")(x, network.K.weight, stride=2, padding=1)
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
    network_of(text_of(f"output y : {written(shape)}", kernel, "y = Kᵀ *^2 (K *^2 f)", shape=written(shape)))
    torch.manual_seed(1)
    wide = HELPERS[d]["prolong"](64, 64, 4, 2)
    assert abs(wide.weight.std() / (2 / 64 / 2**d) ** 0.5 - 1) < 0.02


@pytest.mark.parametrize("dimension", [1, 3])
def test_start_by_the_volume_of_a_kernel(dimension):
    torch.manual_seed(1)
    kernel = HELPERS[dimension]["conv"](64, 48, 3, groups=4)
    assert abs(kernel.weight.std() / (2 / (12 * 3**dimension)) ** 0.5 - 1) < 0.05


def outer(*vectors):
    product = torch.tensor(vectors[0], dtype=torch.float64)
    for vector in vectors[1:]:
        product = product[..., None] * torch.tensor(vector, dtype=torch.float64)
    return product


HAT, QUARTERS, SECOND, MIDDLE = [0.5, 1, 0.5], [0.25, 0.5, 0.25], [-1.0, 2, -1], [0.0, 1, 0]
STENCILS = [
    ("[1 -2 1]", -outer(SECOND)),
    ("1/2 * [1 0 -1]", torch.tensor([0.5, 0, -0.5], dtype=torch.float64)),
    ("laplace3", outer(SECOND)),
    ("linear", outer(HAT)),
    ("full_weighting", outer(QUARTERS)),
    ("average", torch.full((3,), 1 / 3, dtype=torch.float64)),
    ("identity", outer(MIDDLE)),
    ("laplace7", outer(SECOND, MIDDLE, MIDDLE) + outer(MIDDLE, SECOND, MIDDLE) + outer(MIDDLE, MIDDLE, SECOND)),
    ("trilinear", outer(HAT, HAT, HAT)),
    ("full_weighting", outer(QUARTERS, QUARTERS, QUARTERS)),
    ("average", torch.full((3, 3, 3), 1 / 27, dtype=torch.float64)),
    ("identity", outer(MIDDLE, MIDDLE, MIDDLE)),
    (
        "[1 2 3; 4 5 6; 7 8 9;; 10 11 12; 13 14 15; 16 17 18;; 19 20 21; 22 23 24; 25 26 27]",
        torch.arange(1, 28, dtype=torch.float64).reshape(3, 3, 3),
    ),
]


@pytest.mark.parametrize(("stencil", "numbers"), STENCILS, ids=[f"{s}-{n.dim()}" for s, n in STENCILS])
def test_given_kernels(stencil, numbers):
    d = numbers.dim()
    shape = SHAPES[d]
    text = text_of(
        f"output y : {written(shape)}",
        f"kernel L : {'×'.join('3' * d)} each = {stencil} fixed",
        "y = L * f",
        shape=written(shape),
    )
    x = torch.randn(2, *shape, dtype=torch.float64)
    weight = numbers.float().double().expand(6, 1, *numbers.shape)
    expected = getattr(F, f"conv{d}d")(x, weight, padding=1, groups=6)
    torch.testing.assert_close(network_of(text)(x), expected, rtol=1e-12, atol=1e-12)
    statements = Compilation(Source("t.cldf", text)).tree.statements
    kernel = next(statement for statement in statements if isinstance(statement, tree.KernelStatement))
    for spelling in ("unicode", "ascii", "latex"):
        again = text.replace(kernel.span.text, format_statement(kernel, spelling))
        assert Compilation(Source("t.cldf", again)).tree == Compilation(Source("t.cldf", text)).tree


@pytest.mark.parametrize("dimension", [1, 3])
def test_vectors_scalars_and_numbers_of_images_are_spread(dimension):
    shape = SHAPES[dimension]
    lines = [
        f"output y : {written(shape)}",
        "vector γ : 6 = 0.5",
        "scalar ω = 0.3",
        "g = linear[6] ∘ avgpool(f)",
        "a = ⟨f, f⟩ / ‖f‖",
        "m = f[0..0]",
        "y = a * f + γ * f + softplus(γ) + ω * f ⊙ sigmoid(g) + m + soft_threshold[γ](f) + a + prelu(f) - 1",
    ]
    x = torch.randn(2, *shape, dtype=torch.float64)
    network = network_of(text_of(*lines, shape=written(shape)))
    wide = (..., *[None] * dimension)
    g = torch.sigmoid(network.linear(x.flatten(2).mean(2)))[wide]
    a = x.flatten(1).norm(dim=1)[(..., None, *[None] * dimension)]
    half = torch.tensor(0.5, dtype=torch.float64)
    expected = a * x + half * x + F.softplus(half) + 0.3 * x * g + x[:, :1] + F.softshrink(x, 0.5) + a - 1
    expected = expected + torch.where(x > 0, x, 0.25 * x)
    torch.testing.assert_close(network(x), expected, rtol=1e-6, atol=1e-6)  # 0.3 and 0.5 are stored as float32


@pytest.mark.parametrize(
    ("shape", "good", "bad", "wrong"),
    [
        ("1 × N", (1, 16), (1, 18), "N = 18 is not a multiple of 4"),
        ("1 × D × H × W", (1, 4, 8, 12), (1, 4, 6, 8), "H = 6 is not a multiple of 4"),
    ],
)
def test_open_sizes(shape, good, bad, wrong):
    k = "×".join("3" * (len(good) - 1))
    lines = [f"output u : {shape}", f"kernel R@ℓ : {k} → 2", f"kernel P@ℓ : {k} → 1"]
    network = network_of(text_of(*lines, "u = f + P@1 *^2 P@2 *^2 bn ∘ R@2 *_2 R@1 *_2 f", shape=shape))
    x = torch.randn(2, *good, dtype=torch.float64)
    assert network(x).shape == x.shape
    with pytest.raises(ValueError, match=wrong):
        network(torch.randn(2, *bad, dtype=torch.float64))


def test_sizes_are_found_in_both_directions():
    """The channels and sizes of a zero follow from its uses, along three axes as along two."""
    lines = ["output h : 10", "kernel A : 3×3×3 → 8", "kernel B : 1×1×1 → 8", "u = 0"]
    text = text_of(*lines, "v = A *_2 f + B * u", "h = linear ∘ avgpool(v + u)", shape="2 × 8 × 4 × 6")
    assert agreeing(text).written.shape(("u", ())) == (8, 4, 2, 3)


def test_multiply_adds():
    lines = ["output h : 10", "kernel A : 3×5×1, 2 → 8", "h = linear ∘ avgpool(A * f)"]
    cost = Compilation(Source("t.cldf", text_of(*lines, shape="2 × 3 × 4 × 5"))).cost
    assert cost.multiply_adds == 2 * 8 * 15 * 60 + 8 * 10
    lines = ["output h : 10", "kernel A : 3, 2 → 8", "h = linear ∘ avgpool(A *_2 f)"]
    cost = Compilation(Source("t.cldf", text_of(*lines, shape="2 × 9"))).cost
    assert cost.multiply_adds == 2 * 8 * 3 * 5 + 8 * 10


def test_norms_of_given_kernels():
    assert norm_of({(-1,): -1.0, (0,): 2.0, (1,): -1.0}) == pytest.approx(4)
    assert norm_of({(0,): 0.5, (1,): 0.5}, (2,)) == pytest.approx(0.5**0.5)
    assert norm_of({(0, 0, 0): 6.0, (1, 0, 0): -1.0, (-1, 0, 0): -1.0}) == pytest.approx(8)


def test_weights_of_torch_modules_are_imported():
    changes = [("let J = 5", "let J = 2"), ("2, 2, 2, 2, 2", "2"), ("let c   = 64", "let c   = 6"), ("1024", "32")]
    network = build(Compilation(Source("t.cldf", spec_text("mgnet_signals", *changes))).code())
    other = build(Compilation(Source("t.cldf", spec_text("mgnet_signals", *changes))).code())
    randomise(other)
    cldfc.import_weights(network, {f"x.{name}": tensor for name, tensor in other.state_dict().items()})
    x = torch.randn(2, 1, 32)
    torch.testing.assert_close(network.eval()(x), other.eval()(x))


def test_sizes_of_the_command_line():
    text = text_of("output h : 10", "kernel A : 3 → 8", "h = linear ∘ avgpool(A * f)", shape="1 × 64")
    assert Compilation(Source("t.cldf", text), read_changes(input="1x20")).check().program.shape == (1, 20)
    with pytest.raises(UsageError, match="`1x20x20` is not a valid shape for `f`, which is 1 × 64"):
        Compilation(Source("t.cldf", text), read_changes(input="1x20x20")).check()


def test_training_is_for_images():
    source = read_source(ROOT / "specs" / "mgnet_signals.cldf")
    with pytest.raises(UsageError, match="the input `f` is 1 × 1024, not an image"):
        plan_run(source, "digits", read_changes(), {})
