"""Adjoints: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩, one kernel for both, and networks that papers write with them.

`make test` samples sizes, strides, kernels, dilations and groups; CLDFC_FUZZ has them all.
"""

import itertools
import os
import random

import pytest
import torch
from networks import build
from test_operators import HELPERS
from torch import nn
from torch.nn import functional as F

from cldfc import ops
from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

ZEROS, BORDERS = ("same", 0, 1, 2), ("circular", "reflect", "replicate")
# Kind, height of the map, stride, kernel, dilation, groups, padding: a number, or where what is around comes from.
EVERY = [
    (kind, *numbers, padding)
    for kind in (ops.ConvolutionAdjoint, ops.ProlongationAdjoint)
    for padding in (*ZEROS, *BORDERS)
    for numbers in itertools.product(range(1, 18), range(1, 5), range(1, 8), (1, 2, 3), (1, 2))
    if kind is ops.ConvolutionAdjoint or padding == "same"
]
SOME = EVERY if os.environ.get("CLDFC_FUZZ") else random.Random(1).sample(EVERY, 600)


def fits(kind, size, stride, k, dilation, padding):
    """Whether the language has this kernel for a map of this height, and of width 9."""
    if kind is ops.ProlongationAdjoint:
        return stride > 1 or dilation * (k - 1) % 2 == 0
    width = padding if isinstance(padding, int) else dilation * (k - 1) // 2
    most = {"circular": min(size, 9), "reflect": min(size, 9) - 1}.get(padding, width)
    is_odd = isinstance(padding, int) or dilation * (k - 1) % 2 == 0
    return is_odd and width <= most and dilation * (k - 1) < min(size, 9) + 2 * width


def test_inner_products():
    torch.manual_seed(1)
    compared = 0
    for kind, size, stride, k, dilation, groups, padding in SOME:
        if not fits(kind, size, stride, k, dilation, padding):
            continue
        given = {"size": k, "dilation": dilation, "groups": groups}
        given |= {"padding": padding} if isinstance(padding, int) else {}
        sizes = {name: str(value) for name, value in {"in": 2, "out": 4, **given}.items()}
        adjoint = kind(stride, mode=padding) if padding in BORDERS else kind(stride)
        module = eval(adjoint.module(sizes), dict(HELPERS)).double()
        x = torch.randn(2, 2, size, 9, dtype=torch.float64)
        image = module(x)
        y = torch.randn_like(image)
        beyond = "0"
        if kind is ops.ConvolutionAdjoint:
            beyond = str(adjoint.beyond(image[0].shape, x[0].shape, given))
        found = eval(adjoint.torch_unlike(["y"], "m", sizes, beyond), HELPERS | {"y": y, "m": module})
        what = (kind.__name__, size, stride, given, padding)
        assert found.shape == x.shape, what
        one, other = (image * y).sum().item(), (x * found).sum().item()
        assert abs(one - other) <= 1e-13 * max(1.0, (image * y).abs().sum().item()), what
        compared += 1
    assert compared > len(SOME) / 3


@pytest.mark.parametrize("words", ["circular", "reflect", "replicate", "padding 0", "padding 2,1", "valid"])
@pytest.mark.parametrize(("size", "stride"), [("3×3", "_2"), ("2×4", "_{2,1}"), ("1×5", ""), ("5×3", "_{1,3}")])
def test_paddings(words, size, stride):
    """Whatever is around a map: the generated code and the equations agree, forwards, backwards and in gradients."""
    if size == "2×4" and words in BORDERS:
        words = f"padding 1 {words}"
    lines = [f"kernel K : {size}, 2 → 3, {words}", f"x = f + tanh(Kᵀ *{stride} relu(K *{stride} f))", HEAD]
    compilation = Compilation(Source("t.cldf", text_of(*lines, shape="2 × 9 × 11")))
    assert verify_forms(compilation, candidates_of(compilation), 1e-11).agrees


def network_of(text):
    """The generated network in float64, which agrees with the equations."""
    torch.manual_seed(2)
    compilation = Compilation(Source("adjoint.cldf", text))
    report = verify_forms(compilation, candidates_of(compilation), 1e-11)
    assert report.agrees
    return build(compilation.code()).double()


LISTA = """model LISTA
let K = 4
steps i = 1..K
input f : 1 × 12 × 12
output h : 5
kernel W : 5×5, 6 → 1
kernel S@i : 3×3, 6 → 6
z@0 = 0
z@i = soft_threshold[0.1](Sᵀ@i * z@i-1 + Wᵀ * (f - W * z@i-1))
h = linear ∘ avgpool(z@K)
"""


class HandWrittenLista(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Conv2d(6, 1, 5, padding=2, bias=False)
        self.S = nn.ModuleDict({str(i): nn.Conv2d(6, 6, 3, padding=1, bias=False) for i in range(1, 5)})
        self.linear = nn.Linear(6, 5)

    def forward(self, f):
        z = f.new_zeros(len(f), 6, 12, 12)
        for i in range(1, 5):
            back = F.conv_transpose2d(f - self.W(z), self.W.weight, padding=2)
            z = F.conv_transpose2d(z, self.S[str(i)].weight, padding=1) + back
            z = z.sign() * (z.abs() - 0.1).clamp(min=0)
        return self.linear(z.mean((2, 3)))


V_CYCLE = """model MgNetV
let J = 3
levels ℓ = 1..J
let c@ℓ = 4, 6, 8
input f : 3 × 13 × 14
output h : 5
kernel θ   : 3×3 → c@1
kernel A@ℓ : 3×3, c@ℓ → c@ℓ
kernel B@ℓ : 3×3, c@ℓ → c@ℓ
kernel R@ℓ : 3×3, c@ℓ → c@ℓ+1
f@1   = θ * f
u@ℓ   = relu ∘ B@ℓ * f@ℓ
f@ℓ+1 = R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ)
v@J   = u@J
v@ℓ   = u@ℓ + Rᵀ@ℓ *_2 v@ℓ+1 for ℓ = 1..J-1
h = linear ∘ avgpool ∘ relu(v@1)
"""


class HandWrittenVCycle(nn.Module):
    def __init__(self):
        super().__init__()
        c = {1: 4, 2: 6, 3: 8}
        self.theta = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.A = nn.ModuleDict({str(n): nn.Conv2d(c[n], c[n], 3, padding=1, bias=False) for n in (1, 2)})
        self.B = nn.ModuleDict({str(n): nn.Conv2d(c[n], c[n], 3, padding=1, bias=False) for n in (1, 2, 3)})
        self.R = nn.ModuleDict({str(n): nn.Conv2d(c[n], c[n + 1], 3, 2, padding=1, bias=False) for n in (1, 2)})
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        f, u = {"1": self.theta(x)}, {}
        for n in "123":
            u[n] = F.relu(self.B[n](f[n]))
            if n != "3":
                f[str(int(n) + 1)] = self.R[n](f[n] - self.A[n](u[n]))
        v = u["3"]
        for n in "21":
            shape = u[n].shape
            down = torch.zeros(shape, dtype=x.dtype, requires_grad=True)
            restricted = F.conv2d(down, self.R[n].weight, stride=2, padding=1)
            v = u[n] + torch.autograd.grad(restricted, down, v, create_graph=True)[0]
        return self.linear(F.relu(v).mean((2, 3)))


@pytest.mark.parametrize(("text", "by_hand"), [(LISTA, HandWrittenLista), (V_CYCLE, HandWrittenVCycle)])
def test_networks_written_by_hand(text, by_hand):
    """The same numbers, the same gradients of what is used both ways, and no parameter more."""
    network, expected = network_of(text), by_hand().double()
    expected.load_state_dict(network.state_dict())
    images = torch.randn(3, *Compilation(Source("adjoint.cldf", text)).program.shape, dtype=torch.float64)
    weights = torch.randn(3, 5, dtype=torch.float64)
    for module in (network, expected):
        (module(images) * weights).sum().backward()
    assert torch.allclose(network(images), expected(images), rtol=1e-13, atol=1e-13)
    gradients = dict(expected.named_parameters())
    for name, parameter in network.named_parameters():
        expected_gradient = gradients[name].grad
        if parameter.grad is None:  # S@1 is applied to zero, and left out.
            assert not expected_gradient.any()
        else:
            assert torch.allclose(parameter.grad, expected_gradient, rtol=1e-12, atol=1e-12), name


def text_of(*lines, shape="2 × 7 × 8"):
    return "\n".join(["model M", f"input f : {shape}", "output h : 3", *lines, ""])


HEAD = "h = linear ∘ avgpool ∘ relu(x)"


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        # Decided by a sum.
        (["x = f + Rᵀ *_2 y", "y = R *_2 f"], (2, 7, 8)),
        # Nothing decides: s times as large.
        (["x = relu ∘ Rᵀ *_2 y", "y = R *_2 f"], (2, 8, 8)),
        # Decided by what is applied to the result.
        (["x = f + z", "z = tanh(w)", "w = Rᵀ *_2 y", "y = R *_2 f"], (2, 7, 8)),
        # A kernel by its adjoint alone, and a zero.
        (["x = Rᵀ *_3 f + 0"], (4, 21, 24)),
        (["x = f + Rᵀ *_2 0"], (2, 7, 8)),
        (["x = Rᵀ *^2 R *^2 f"], (2, 7, 8)),
        (["x = Rᵀ *_2 y + Rᵀ *_2 y", "y = R *_2 f"], (2, 8, 8)),
    ],
)
def test_size_of_the_result(lines, shape):
    kernel = "kernel R : 3×3, 4 → 2" if "*_3" in lines[0] else "kernel R : 3×3, 2 → 4"
    compilation = Compilation(Source("size.cldf", text_of(kernel, *lines, HEAD)))
    assert compilation.written.shape(("x", ())) == shape
    assert verify_forms(compilation, candidates_of(compilation), 1e-12).agrees


def test_one_parameter_for_both_uses():
    """`P` replaced by `Rᵀ` is one kernel less, also after `tie`."""
    lines = ["levels ℓ = 1..2", "kernel R@ℓ : 3×3, 2 → 2", "y@1 = R@1 *_2 f", "x = f + Rᵀ@2 *_2 y@1", HEAD]
    assert Compilation(Source("t.cldf", text_of(*lines))).cost.parameters == 2 * 36 + 9
    assert Compilation(Source("t.cldf", text_of(*lines, "tie R"))).cost.parameters == 36 + 9


def test_an_adjoint_has_no_bias():
    compilation = Compilation(Source("t.cldf", text_of("kernel K : 3×3, 2 → 2, bias", "x = Kᵀ * K * f", HEAD)))
    assert verify_forms(compilation, candidates_of(compilation), 1e-12).agrees
    compilation = Compilation(Source("t.cldf", text_of("kernel K : 3×3, 2 → 2, bias", "x = Kᵀ * f", HEAD)))
    assert "F.conv_transpose2d(f, self.K.weight, padding=1)" in compilation.code()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x = fᵀ * f", "is the adjoint of a value; only kernels have one"),
        ("x = reluᵀ * f", "is the adjoint of an operator; only kernels have one"),
        ("x = (Kᵀ)ᵀ * f", "write `K`: the two cancel"),
        ("x = Kᵀ f", "write `*` after a kernel: `Kᵀ * f …`"),
        ("x = (K + K)ᵀ * f", "add up the adjoints"),
        ("x = (K * K *)ᵀ * f", "write the adjoints of its kernels in reverse order"),
        ("x = K *_2 f + Kᵀ *^2 f", "the adjoint of `K *_2` is `Kᵀ *_2`"),
        ("x = Kᵀ *^3 f", "a map of size 7 is not 3 times as large as another"),
        ("x = K^H * f", "write the adjoint of a kernel as `Aᵀ@ℓ * x`"),
        ("x' = K * f", "a name has no prime"),
    ],
)
def test_errors(line, said):
    with pytest.raises(CldfError) as caught:
        _ = Compilation(Source("t.cldf", text_of("kernel K : 3×3, 2 → 2", line, HEAD))).written
    texts = [text for d in caught.value.diagnostics for text in (d.message, d.help)]
    assert any(said in text for text in texts), texts


def test_theorem_1_applies():
    lines = ["steps i = 1..3", "kernel A : 3×3, 2 → 2", "kernel B@i : 3×3, 2 → 2", "u@0 = 0"]
    lines += ["u@i = u@i-1 + relu ∘ B@i * relu(f - Aᵀ * A * u@i-1)", "h = linear ∘ avgpool ∘ relu ∘ bn(u@3)"]
    compilation = Compilation(Source("t.cldf", text_of(*lines)))
    assert "- Aᵀ * A * " in compilation.residual.source.text
    assert verify_forms(compilation, candidates_of(compilation), 1e-12).agrees
