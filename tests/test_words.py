"""Each word for kernels, channels and operators, in three spellings, against torch written by hand in float64."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from networks import build, randomise, some
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.syntax.arrange import format_source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of


@dataclass
class Word:
    """A value `u` in a spec, and the same from the input and from the tensors of the network, by their names."""

    text: str
    shape: str
    by_hand: Callable
    declarations: str = ""
    draws: bool = False


def stencil(numbers):
    """A given kernel, the same for each of the 8 channels."""
    weight = torch.tensor(numbers, dtype=torch.float64)
    return lambda f, p, training: F.conv2d(f, weight.expand(8, 1, *weight.shape), padding=1, groups=8)


def kernel(weight_of, text="K * f", shape="8 × 6 × 8", **options):
    """A trained kernel whose numbers are made of those that are stored."""
    given = {"padding": 1} | options
    return Word(text, shape, lambda f, p, training: F.conv2d(f, weight_of(p["K.weight"]), **given))


def with_declaration(declaration, word):
    word.declarations = declaration
    return word


def zero_sum(w):
    return w - w.flatten(2).mean(2)[:, :, None, None]


def symmetric(w):
    """(K + Kᵀ) / 2, entry by entry."""
    found = torch.zeros_like(w)
    out, cin, height, width = w.shape
    entries = [
        (w[o, i, y, x] + w[i, o, height - 1 - y, width - 1 - x]) / 2
        for o in range(out)
        for i in range(cin)
        for y in range(height)
        for x in range(width)
    ]
    return found + torch.stack(entries).reshape(w.shape)


def unit_norm(w):
    return w / w.square().sum((1, 2, 3), keepdim=True).sqrt()


def block_symmetric(w):
    """Two groups: each is a kernel by itself."""
    return torch.cat([symmetric(w[:4]), symmetric(w[4:])])


def each_symmetric(w):
    return (w + w.flip(2).flip(3)) / 2


def drop(x, rate, training):
    return F.dropout(x, rate, training)


def norm(x, axes, eps=1e-5):
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + eps).sqrt()


def batch(f, p, training, name="bn_f", eps=1e-5):
    """bn by its formula, with scale and shift if there are any."""
    axes = (0, 2, 3)
    mean, var = (f.mean(axes), f.var(axes, unbiased=False)) if training else running(p, name)
    x = (f - mean[:, None, None]) / (var + eps).sqrt()[:, None, None]
    if f"{name}.weight" not in p:
        return x
    return x * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]


def running(p, name):
    return p[f"{name}.running_mean"], p[f"{name}.running_var"]


def by_channel(x, p, name):
    return x * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]


def unpooled(x, y, size=2):
    """Each number of x at the first of the largest numbers of its window."""
    found = torch.zeros_like(y)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    window = y[n, c, size * i : size * (i + 1), size * j : size * (j + 1)]
                    row, column = divmod(int(window.flatten().max(0).indices), size)
                    spot = torch.zeros_like(y)
                    spot[n, c, size * i + row, size * j + column] = 1
                    found = found + spot * x[n, c, i, j]
    return found


def relu_k(x, k):
    return torch.minimum(torch.relu(x), torch.tensor(float(k)))


def response(x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    padded = F.pad(x.square(), (0, 0, 0, 0, size // 2, (size - 1) // 2))
    sums = sum(padded[:, at : at + x.shape[1]] for at in range(size))
    return x / (k + alpha / size * sums) ** beta


HAT = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
SAME = "8 × 6 × 8"

KERNELS = {
    "[…] fixed": with_declaration(
        "kernel L : 3×3 each = [0 -1 0; -1 4 -1; 0 -1 0] fixed",
        Word("L * f", SAME, stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])),
    ),
    "1/16 * […]": with_declaration("kernel K : 3×3 each = 1/16 * [1 2 1; 2 4 2; 1 2 1]", kernel(lambda w: w, groups=8)),
    "laplace5": with_declaration(
        "kernel L : 3×3 each = laplace5 fixed", Word("L * f", SAME, stencil([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]))
    ),
    "laplace9": with_declaration(
        "kernel L : 3×3 each = laplace9 fixed",
        Word("L * f", SAME, stencil([[-1 / 6, -4 / 6, -1 / 6], [-4 / 6, 20 / 6, -4 / 6], [-1 / 6, -4 / 6, -1 / 6]])),
    ),
    "bilinear": with_declaration(
        "kernel L : 3×3 each = bilinear fixed",
        Word("L * f", SAME, stencil([[n / 4 for n in row] for row in HAT])),
    ),
    "full_weighting": with_declaration(
        "kernel L : 3×3 each = full_weighting fixed",
        Word("L * f", SAME, stencil([[n / 16 for n in row] for row in HAT])),
    ),
    "identity": with_declaration("kernel L : 3×3 each = identity fixed", Word("L * f", SAME, lambda f, p, t: f)),
    "average": with_declaration(
        "kernel L : 3×3 each = average fixed", Word("L * f", SAME, lambda f, p, t: F.avg_pool2d(f, 3, 1, 1))
    ),
    "each": with_declaration("kernel K : 3×3 each", kernel(lambda w: w, groups=8)),
    "each shared": with_declaration(
        "kernel K : 3×3 each shared = laplace5", kernel(lambda w: torch.cat([w] * 8), groups=8)
    ),
    "each shared, *_2": with_declaration(
        "kernel K : 3×3 each shared", kernel(lambda w: torch.cat([w] * 8), "K *_2 f", "8 × 3 × 4", groups=8, stride=2)
    ),
    "each shared, Kᵀ": with_declaration(
        "kernel K : 3×3 each shared",
        Word(
            "Kᵀ * f",
            SAME,
            lambda f, p, t: torch.cat([F.conv_transpose2d(f[:, [c]], p["K.weight"], padding=1) for c in range(8)], 1),
        ),
    ),
    "each shared, *^2": with_declaration(
        "kernel K : 4×4 each shared",
        Word(
            "K *^2 f",
            "8 × 12 × 16",
            lambda f, p, t: torch.cat(
                [F.conv_transpose2d(f[:, [c]], p["K.weight"], stride=2, padding=1) for c in range(8)], 1
            ),
        ),
    ),
    "zero_sum": with_declaration("kernel K : 3×3 → 8, zero_sum", kernel(zero_sum)),
    "zero_sum, *^2": with_declaration(
        "kernel K : 4×4 → 3, zero_sum",
        Word(
            "K *^2 f",
            "3 × 12 × 16",
            lambda f, p, t: F.conv_transpose2d(f, zero_sum(p["K.weight"]), stride=2, padding=1),
        ),
    ),
    "zero_sum, bias": with_declaration(
        "kernel K : 5×3 → 8, zero_sum, bias",
        Word("K * f", SAME, lambda f, p, t: F.conv2d(f, zero_sum(p["K.weight"]), p["K.bias"], padding=(2, 1))),
    ),
    "symmetric": with_declaration("kernel K : 3×3 → 8, symmetric", kernel(symmetric)),
    "symmetric, 1×3": with_declaration("kernel K : 1×3 → 8, symmetric", kernel(symmetric, padding=(0, 1))),
    "symmetric, groups": with_declaration("kernel K : 3×3 → 8, groups 2, symmetric", kernel(block_symmetric, groups=2)),
    "symmetric, dilation": with_declaration(
        "kernel K : 3×3 → 8, dilation 2, symmetric", kernel(symmetric, padding=2, dilation=2)
    ),
    "symmetric, each": with_declaration("kernel K : 3×3 each, symmetric", kernel(each_symmetric, groups=8)),
    "symmetric, zero_sum": with_declaration(
        "kernel K : 3×3 → 8, symmetric, zero_sum", kernel(lambda w: zero_sum(symmetric(w)))
    ),
    "symmetric, circular": with_declaration(
        "kernel K : 3×3 → 8, symmetric, circular",
        Word(
            "K * f",
            SAME,
            lambda f, p, t: F.conv2d(F.pad(f, (1, 1, 1, 1), mode="circular"), symmetric(p["K.weight"])),
        ),
    ),
    "unit_norm": with_declaration("kernel K : 3×3 → 5, unit_norm", kernel(unit_norm, shape="5 × 6 × 8")),
    "unit_norm, groups": with_declaration(
        "kernel K : 3×3 → 6, groups 2, unit_norm", kernel(unit_norm, shape="6 × 6 × 8", groups=2)
    ),
    "unit_norm, zero_sum": with_declaration(
        "kernel K : 3×3 → 5, unit_norm, zero_sum", kernel(lambda w: unit_norm(zero_sum(w)), shape="5 × 6 × 8")
    ),
    "unit_norm, Kᵀ": with_declaration(
        "kernel K : 3×3, 4 → 8, unit_norm",
        Word("Kᵀ * f", "4 × 6 × 8", lambda f, p, t: F.conv_transpose2d(f, unit_norm(p["K.weight"]), padding=1)),
    ),
    "shared, symmetric, unit_norm": with_declaration(
        "kernel K : 3×3 each shared, symmetric, unit_norm, start normal(0.1)",
        kernel(lambda w: torch.cat([unit_norm(each_symmetric(w))] * 8), groups=8),
    ),
}
for start in ("he", "he_out", "torch", "zero", "identity", "orthogonal", "normal(0.01)"):
    KERNELS[f"start {start}"] = with_declaration(f"kernel K : 3×3 → 8, start {start}", kernel(lambda w: w))

CHANNELS = {
    "x[2..5]": Word("f[2..5]", "4 × 6 × 8", lambda f, p, t: f[:, 2:6]),
    "x[formula]": Word("f[0..4 / 2 - 1]", "2 × 6 × 8", lambda f, p, t: f[:, :2]),
    "split": Word(
        "concat(y@2, y@1)", SAME, lambda f, p, t: torch.cat([f[:, 4:], f[:, :4]], 1), "y@k = split(f, 2) for k = 1..2"
    ),
    "split[4], from 0": Word(
        "concat(y@3, y@0)",
        "4 × 6 × 8",
        lambda f, p, t: torch.cat([f[:, 6:], f[:, :2]], 1).relu(),
        "steps k = 0..3\ny@k = (relu ∘ split[4])(f)",
    ),
    "split in a loop": Word(
        "sum(k = 1..4 : y@k)",
        "2 × 6 × 8",
        lambda f, p, t: f[:, :2] + f[:, 2:4] + f[:, 4:6] + f[:, 6:],
        "steps k = 1..4\ny@k = split(f, 4)",
    ),
    "split of a vector": Word(
        "upsample[2] ∘ (y@1 ⊙ f[0..3])",
        "4 × 12 × 16",
        lambda f, p, t: F.interpolate(f.mean((2, 3))[:, :4, None, None] * f[:, :4], scale_factor=2.0),
        "y@k = split(avgpool(f), 2) for k = 1..2",
    ),
    "shuffle": Word("shuffle[2](f)", SAME, lambda f, p, t: f[:, [0, 4, 1, 5, 2, 6, 3, 7]]),
    "depth_to_space": Word("depth_to_space[2](f)", "2 × 12 × 16", lambda f, p, t: F.pixel_shuffle(f, 2)),
    "space_to_depth": Word("space_to_depth[2](f)", "32 × 3 × 4", lambda f, p, t: F.pixel_unshuffle(f, 2)),
    "pad_channels": Word(
        "pad_channels[1, 2](f)",
        "11 × 6 × 8",
        lambda f, p, t: torch.cat([f[:, :1] * 0, f, f[:, :2] * 0], 1),
    ),
    "unpool": Word(
        "unpool[2](K * maxpool[2](f), f)",
        SAME,
        lambda f, p, t: unpooled(F.conv2d(F.max_pool2d(f, 2), p["K.weight"], padding=1), f),
        "kernel K : 3×3 → 8",
    ),
    "unpool, 3 of 8": Word(
        "unpool[3](maxpool[3](f), relu(f))",
        SAME,
        lambda f, p, t: unpooled(F.max_pool2d(f, 3), f.relu(), 3),
    ),
    "max_with, two values": Word(
        "max_with(K * f, f)",
        SAME,
        lambda f, p, t: torch.maximum(F.conv2d(f, p["K.weight"], padding=1), f),
        "kernel K : 3×3 → 8",
    ),
    "max_with[a]": Word("max_with[0.25](f)", SAME, lambda f, p, t: torch.where(f > 0.25, f, 0.25 + 0 * f)),
    "max_with[scalar]": Word("max_with[a] ∘ f", SAME, lambda f, p, t: torch.maximum(f, p["a"]), "scalar a = 0.25"),
    "upsample, bilinear": Word(
        "upsample[2, bilinear](f)",
        "8 × 12 × 16",
        lambda f, p, t: F.interpolate(f, scale_factor=2, mode="bilinear", align_corners=False),
    ),
    "upsample, nearest": Word(
        "upsample[3](f)", "8 × 18 × 24", lambda f, p, t: f.repeat_interleave(3, 2).repeat_interleave(3, 3)
    ),
}

OPERATORS = {
    "relu6": Word("relu6(8 * f)", SAME, lambda f, p, t: relu_k(8 * f, 6)),
    "hard_swish": Word("hard_swish(3 * f)", SAME, lambda f, p, t: 3 * f * relu_k(3 * f + 3, 6) / 6),
    "hard_sigmoid": Word("hard_sigmoid(3 * f)", SAME, lambda f, p, t: relu_k(3 * f + 3, 6) / 6),
    "prelu": Word("prelu(f)", SAME, lambda f, p, t: torch.where(f > 0, f, p["prelu_f.weight"][:, None, None] * f)),
    "softmax": Word("softmax(f)", SAME, lambda f, p, t: f.exp() / f.exp().sum(1, keepdim=True)),
    "celu": Word("celu[0.5](f)", SAME, lambda f, p, t: torch.where(f > 0, f, 0.5 * ((f / 0.5).exp() - 1))),
    "mish": Word("mish(f)", SAME, lambda f, p, t: f * (1 + f.exp()).log().tanh()),
    "droppath": Word(
        "droppath[0.5](f)",
        SAME,
        lambda f, p, t: f * drop(torch.ones(len(f), 1, 1, 1, dtype=f.dtype), 0.5, t),
        draws=True,
    ),
    "lrn": Word("lrn[5, k=2](9 * f)", SAME, lambda f, p, t: response(9 * f, k=2)),
    "inorm": Word("inorm(f)", SAME, lambda f, p, t: by_channel(norm(f, (2, 3)), p, "inorm_f")),
    "cln": Word("cln(f)", SAME, lambda f, p, t: by_channel(norm(f, (1,)), p, "cln_f")),
    "bn": Word("bn[eps=1e-3, momentum=0.01, affine=0](f)", SAME, lambda f, p, t: batch(f, p, t, eps=1e-3)),
    "bn fixed": Word("bn fixed(f)", SAME, lambda f, p, t: batch(f, p, False)),
    "bn[fixed]": Word("bn[eps=1e-3, fixed] ∘ f", SAME, lambda f, p, t: batch(f, p, False, eps=1e-3)),
    "bn fixed, affine=0": Word("bn[affine=0] fixed ∘ f", SAME, lambda f, p, t: batch(f, p, False)),
    "relu ∘ bn fixed ∘": Word(
        "σ ∘ K * f",
        SAME,
        lambda f, p, t: batch(F.conv2d(f, p["K.weight"], padding=1), p, False, "bn_K").relu(),
        "kernel K : 3×3 → 8\nlet σ = relu ∘ bn fixed",
    ),
}
WORDS = KERNELS | CHANNELS | OPERATORS


def compilation(word, text=None):
    inner = word.declarations.replace("\n\n", "\n")
    lines = ["model M", "input f : 8 × 6 × 8", f"output u : {word.shape}", *inner.splitlines(), f"u = {word.text}"]
    return Compilation(Source("t.cldf", text or "\n".join([*lines, ""])))


@contextlib.contextmanager
def in_doubles():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def built(code):
    """A network that starts in float64, so that 1/6 in a stencil is the 1/6 of Python."""
    torch.manual_seed(4)
    with in_doubles():
        network = build(code).double()
    randomise(network)
    return network


@pytest.mark.parametrize("name", WORDS)
def test_word(name):
    word = WORDS[name]
    network = built(compilation(word).code())
    for training in (False, True):
        network.train(training)
        f = torch.randn(2, 8, 6, 8, dtype=torch.float64, requires_grad=True)
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        before = {key: tensor.detach().clone() for key, tensor in tensors.items()}
        trained = [f, *network.parameters()]
        torch.manual_seed(5)
        expected = word.by_hand(f, tensors, training)
        torch.manual_seed(5)
        found = network(f)
        assert found.shape == expected.shape
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(found)
        options = {"allow_unused": True, "materialize_grads": True}
        one, other = (torch.autograd.grad((u * weights).sum(), trained, **options) for u in (found, expected))
        assert all(torch.allclose(a, b, rtol=1e-11, atol=1e-11) for a, b in zip(one, other, strict=True))
        if "fixed" in name:
            assert all(torch.equal(before[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", some(WORDS, 4))
def test_word_in_three_spellings(name):
    text = compilation(WORDS[name]).text
    code = compilation(WORDS[name]).code()
    for spelling in ("latex", "ascii", "unicode"):
        text = format_source(Source("t.cldf", text), spelling)
        assert compilation(WORDS[name], text).code() == code
        assert format_source(Source("t.cldf", text), spelling) == text


@pytest.mark.parametrize("name", some([name for name in WORDS if not WORDS[name].draws], 3))
def test_word_against_the_equations(name):
    found = verify_forms(compilation(WORDS[name]), candidates_of(compilation(WORDS[name])), 1e-12)
    assert found.agrees, found
