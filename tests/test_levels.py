"""Families of declarations, sizes and settings by formula, and what is spread over maps: against networks by hand."""

from typing import ClassVar

import pytest
import torch
from networks import ROOT, build, compare, torchvision
from torch import nn

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.syntax.arrange import format_source
from cldfc.syntax.read import read_source
from cldfc.verify.equivalence import verify_forms
from cldfc.verify.outcome import candidates_of

TOLERANCE = 1e-12


def compiled(text):
    """A spec, which is read again from each spelling, and whose generated code agrees with its equations."""
    source = Source("t.cldf", text)
    found = Compilation(source)
    code = found.code().partition("class ")[2]
    for spelling in ("unicode", "ascii", "latex"):
        again = format_source(source, spelling)
        assert Compilation(Source("t.cldf", again)).code().partition("class ")[2] == code
        assert format_source(Source("t.cldf", again), spelling) == again
    assert verify_forms(found, candidates_of(found), 1e-11).agrees
    return found


def codes(text):
    with pytest.raises(CldfError) as caught:
        Compilation(Source("t.cldf", text)).check()
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def difference(text, by_hand, names, images):
    """How far a generated network is from one by hand, whose modules are those of the spec by `names`."""

    def rename(name):
        module = next(known for known in names if name.startswith(f"{known}."))
        return names[module] + name.removeprefix(module)

    return compare(build(compiled(text).code()), by_hand, rename, images)


def conv(cin, cout, size, **options):
    return nn.Conv2d(cin, cout, size, padding=(size - 1) // 2 * options.get("dilation", 1), bias=False, **options)


# Families

FAMILY = """\
model Family

let J = 4
levels ℓ = 1..J
let c@1 = 4
let c@ℓ = 2 * 4 for ℓ = 2..J

input  f : 2 × 16 × 16
output h : 3

kernel K@1 : 5×5 → c@1
kernel K@ℓ : 3×3 → c@ℓ, dilation 2 for ℓ = 2..J
let S@J = tanh ∘ K@J * relu
let S@ℓ = relu ∘ K@ℓ *

r@0 = f
r@ℓ = S@ℓ(r@ℓ-1)
h   = linear ∘ avgpool(r@J)
"""


class FamilyByHand(nn.Module):
    def __init__(self):
        super().__init__()
        first = [conv(2, 4, 5), conv(4, 8, 3, dilation=2)]
        self.k = nn.ModuleList([*first, conv(8, 8, 3, dilation=2), conv(8, 8, 3, dilation=2)])
        self.head = nn.Linear(8, 3)

    def forward(self, f):
        for kernel in self.k[:3]:
            f = kernel(f).relu()
        return self.head(self.k[3](f.relu()).tanh().mean((2, 3)))


def test_two_declarations_are_one_family():
    torch.manual_seed(0)
    names = {**{f"k.{at}": f"K.{at + 1}" for at in range(4)}, "head": "linear"}
    assert difference(FAMILY, FamilyByHand(), names, torch.randn(2, 2, 16, 16)) < TOLERANCE
    assert "for level in range(1, 4):" in Compilation(Source("t.cldf", FAMILY)).code()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("let S@J = tanh ∘ K@J * relu\nlet S@ℓ = relu ∘ K@ℓ *", "let S@ℓ = relu ∘ K@ℓ *\nlet S@J = tanh ∘ K@J * relu"),
        ("let S@J = tanh", "let S@4 = tanh"),
        ("let S@J = tanh ∘ K@J *", "let S@ℓ = tanh ∘ K@ℓ *"),
        ("let c@1 = 4\nlet c@ℓ = 2 * 4 for ℓ = 2..J", "let c@ℓ = 4 for ℓ <= 1\nlet c@ℓ = 8, 8, 8 for ℓ = 2..4"),
        ("kernel K@1 : 5×5 → c@1\n", "kernel K@ℓ : 5×5 → c@ℓ for ℓ < 2\n"),
    ],
)
def test_however_it_is_written(old, new):
    """The order of declarations makes no difference, nor whether a number is one or a constant."""
    assert old in FAMILY
    text = FAMILY.replace(old, new)
    if "S@ℓ = tanh" in new:
        text = text.replace("* relu\n", "* relu for ℓ = J\n").replace(
            "= relu ∘ K@ℓ *\n", "= relu ∘ K@ℓ * for ℓ = 1..J-1\n"
        )
    code = Compilation(Source("t.cldf", FAMILY)).code().partition("class ")[2]
    assert compiled(text).code().partition("class ")[2] == code


MIXED = """\
model Mixed

let J = 3
levels ℓ = 1..J
steps  i = 1..2
let m@ℓ,i = ℓ + i
let m@ℓ,1 = 1/2

input  f : 3 × 8 × 8
output h : 4

kernel K@1 : 5×5 → 4, bias
kernel K@ℓ : 3×3 → 4, circular, start zero for ℓ = 2..J
kernel R@ℓ : 1×1 → 4
scalar ω@ℓ = 1
scalar ω@J = 1/3
scalar γ@ℓ = 2, fixed
scalar γ@2 = 1/5, fixed
let a@ℓ   = 1 / (1 + softplus(ω@ℓ))
let a@2   = ω@2^2
let σ     = relu ∘ bn
let S@J   = σ ∘ K@J *
let S@ℓ   = σ ∘ K@ℓ * σ
let T@ℓ,i = S@ℓ ∘ bn
let T@ℓ,2 = bn

r@1,0   = σ ∘ R@1 * f
r@ℓ,i   = r@ℓ,i-1 + γ@ℓ * a@ℓ * m@ℓ,i * T@ℓ,i(r@ℓ,i-1) + sum(j = 1..i : T@ℓ,j ∘ T@ℓ,i(r@ℓ,i-1))
r@ℓ+1,0 = R@ℓ+1 *_2 r@ℓ,2
h       = linear ∘ avgpool ∘ σ(r@J,2)
"""


def test_families_of_everything_agree_with_the_equations():
    """Constants of two indices, scalars fixed and trained, operators in operators and in reductions, other starts."""
    network = build(compiled(MIXED).code())
    assert network.omega["3"].item() == pytest.approx(1 / 3)
    assert not network.K["2"].weight.any() and network.K["1"].weight.any() and network.K["1"].bias is not None


def test_adjoints_and_ties_of_families():
    text = FAMILY.replace("let S@ℓ = relu ∘ K@ℓ *\n", "let S@ℓ = relu ∘ K@ℓ * relu ∘ Kᵀ@ℓ * K@ℓ *\n")
    assert compiled(text).cost.parameters == Compilation(Source("t.cldf", FAMILY)).cost.parameters
    head = "model M\nlevels ℓ = 1..2\nsteps i = 1..3\ninput f : 2 × 8 × 8\noutput h : 3\nr@1,0 = f\nr@2,0 = r@1,3\n"
    kernels = "kernel B@ℓ,i : 3×3 → 2\nkernel B@ℓ,1 : 5×5 → 2\n"
    rest = "r@ℓ,i = tanh ∘ B@ℓ,i * r@ℓ,i-1\nh = linear ∘ avgpool(r@2,3)\n"
    assert compiled(head + kernels + rest).cost.parameters == 2 * 4 * (25 + 9 + 9) + 9
    assert compiled(f"{head}{kernels}tie B@ℓ for i >= 2\n{rest}").cost.parameters == 2 * 4 * (25 + 9) + 9


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("let S@ℓ = bn", ["kernel K@1", "kernel K@ℓ", "let S@ℓ = bn"]),
        ("let S@4 = bn", ["kernel K@1", "kernel K@ℓ", "let S@4 = bn", "let S@ℓ = relu"]),
        ("let S@2 = bn", ["kernel K@1", "kernel K@ℓ", "let S@4 = tanh", "let S@ℓ = relu", "let S@2 = bn"]),
        ("kernel K@1 : 1×1 → 4", ["kernel K@1 : 1×1", "kernel K@ℓ", "let S@4 = tanh", "let S@ℓ = relu"]),
        ("kernel K@ℓ : 1×1 → 4", ["kernel K@ℓ : 1×1", "let S@4 = tanh", "let S@ℓ = relu"]),
    ],
)
def test_what_replaces_what_it_extends(tmp_path, own, kept):
    """A declaration for all indices takes the place of the family; one for some, that of its like, or it joins them."""
    base = FAMILY.replace("S@J", "S@4").replace("K@J", "K@4")
    (tmp_path / "base.cldf").write_text(base, encoding="utf-8")
    (tmp_path / "own.cldf").write_text(f'extend "base.cldf"\n{own}\n', encoding="utf-8")
    found = Compilation(read_source(tmp_path / "own.cldf"))
    texts = [statement.span.text for statement in found.check().tree.statements]
    texts = [text for text in texts if text.startswith(("kernel K", "let S"))]
    assert len(texts) == len(kept) and all(map(str.startswith, texts, kept))
    assert found.code()


WRONG = {
    "kernel K@ℓ : 3×3 → 8\nkernel K@ℓ : 3×3 → 8": ["E0203"],
    "kernel K@ℓ : 3×3 → 8 for ℓ = 1..2\nkernel K@ℓ : 3×3 → 8 for ℓ = 2..3": ["E0203"],
    "kernel K@ℓ : 3×3 → 8 for ℓ = 1..2": ["E0215"],
    "kernel K@ℓ : 3×3 → 8\nscalar K@1 = 1": ["E0203"],
    "kernel K@ℓ : 3×3 → 8\nkernel K@1,2 : 3×3 → 8": ["E0203"],
    "kernel K@ℓ : 3×3 → 8 for k = 1..2": ["E0206"],
    "kernel K@ℓ : {ℓ - 1}×3 → 8": ["E0504", "E0407"],
    "kernel K@ℓ : {ℓ / 2}×3 → 8": ["E0504"],
    "kernel K@ℓ : {c@ℓ}×3 → 8": ["E0201"],
    "kernel K@ℓ : {2*ℓ-1}×{2*ℓ-1} each = laplace5": ["E0411"],
    "kernel K@ℓ+1 : 3×3 → 8": ["E0208"],
}


@pytest.mark.parametrize("declarations", WRONG)
def test_what_is_wrong(declarations):
    rest = "r@0 = f\nr@ℓ = K@ℓ * r@ℓ-1\nh = linear ∘ avgpool(r@3)\n"
    head = "model M\nlevels ℓ = 1..3\ninput f : 3 × 8 × 8\noutput h : 3\n"
    assert codes(f"{head}{declarations}\n{rest}") == WRONG[declarations]


# Equations


def test_of_two_equations_the_one_with_more_numbers_holds():
    head = "model M\nsteps i = 1..3\ninput f : 3 × 8 × 8\noutput h : 3\nkernel K@i : 3×3 → 3\nr@0 = f\n"
    rest = "h = linear ∘ avgpool(r@3)\n"
    special = compiled(f"{head}r@i = K@i * r@i-1\nr@2 = relu(K@2 * r@1)\n{rest}")
    outright = compiled(f"{head}r@i = K@i * r@i-1 for i = 1\nr@2 = relu(K@2 * r@1)\nr@3 = K@3 * r@2\n{rest}")
    one, other = build(special.code()).double(), build(outright.code()).double()
    other.load_state_dict(one.state_dict())
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(one(images), other(images))
    assert [remark.code for remark in special.diagnostics] == ["R0904"]
    assert not outright.diagnostics
    assert codes(f"{head}r@i = K@i * r@i-1\nr@i = relu(r@i-1) for i >= 2\n{rest}") == ["E0303"]


# Formulas

SIZES = """\
model Sizes

let J = 3
levels ℓ = 1..J
let c@ℓ = 4 * ℓ

input  f : 2 × 14 × 14
output h : 3

kernel K@ℓ : {2*ℓ + 1}×{2*ℓ + 1} → c@ℓ, groups 2 * ℓ - ℓ
kernel L@ℓ : 1×{2*ℓ - 1} → 2 * c@ℓ
kernel D@ℓ : 3×3 → c@ℓ + 4, dilation 2^(ℓ-1), padding 2^(ℓ-1)

r@0 = f
r@ℓ = relu ∘ D@ℓ * K@ℓ * concat(L@ℓ * r@ℓ-1, L@ℓ * r@ℓ-1)
h   = linear ∘ avgpool(r@J)
"""


class SizesByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = nn.ModuleList([conv(16 * at, 4 * at, 2 * at + 1, groups=at) for at in (1, 2, 3)])
        cin = (2, 8, 12)
        self.l = nn.ModuleList(
            nn.Conv2d(cin[at - 1], 8 * at, (1, 2 * at - 1), padding=(0, at - 1), bias=False) for at in (1, 2, 3)
        )
        self.d = nn.ModuleList([conv(4 * at, 4 * at + 4, 3, dilation=2 ** (at - 1)) for at in (1, 2, 3)])
        self.head = nn.Linear(16, 3)

    def forward(self, f):
        for k, left, d in zip(self.k, self.l, self.d, strict=True):
            f = d(k(torch.cat([left(f), left(f)], 1))).relu()
        return self.head(f.mean((2, 3)))


def test_sizes_by_formula():
    torch.manual_seed(0)
    names = {f"{own}.{at}": f"{own.upper()}.{at + 1}" for own in "kld" for at in range(3)} | {"head": "linear"}
    assert difference(SIZES, SizesByHand(), names, torch.randn(2, 2, 14, 14)) < TOLERANCE
    code = Compilation(Source("t.cldf", SIZES)).code()
    assert "for level in range(1, 4):" in code and "2 * level + 1" in code


STRIDES = """\
model Strides

let J = 4
levels ℓ = 1..J
let s@ℓ = 1, 2, 2, 1
let p@ℓ = 3, 2, 2, 2

input  f : 2 × 24 × 24
output h : 3

kernel K@ℓ : 3×3 → 4 * ℓ
kernel M   : 3×3 → 4

let P@ℓ = maxpool[p@ℓ, stride=1, padding=0]

r@0 = M * f
r@ℓ = P@ℓ ∘ leaky_relu[1/ℓ] ∘ K@ℓ *_{s@ℓ, 3 - s@ℓ} r@ℓ-1
h   = linear ∘ avgpool(r@J)
"""


class StridesByHand(nn.Module):
    def __init__(self):
        super().__init__()
        steps = ((1, 2), (2, 1), (2, 1), (1, 2))
        self.k = nn.ModuleList([conv(max(1, at) * 4, 4 * at + 4, 3, stride=steps[at]) for at in range(4)])
        self.m = conv(2, 4, 3)
        self.head = nn.Linear(16, 3)

    def forward(self, f):
        x = self.m(f)
        for at, kernel in enumerate(self.k):
            x = nn.functional.leaky_relu(kernel(x), 1 / (at + 1))
            x = nn.functional.max_pool2d(x, 3 if at == 0 else 2, 1)
        return self.head(x.mean((2, 3)))


def test_strides_and_pools_by_formula():
    torch.manual_seed(0)
    names = {f"k.{at}": f"K.{at + 1}" for at in range(4)} | {"m": "M", "head": "linear"}
    assert difference(STRIDES, StridesByHand(), names, torch.randn(2, 2, 24, 24)) < TOLERANCE


def test_one_kernel_at_several_strides():
    """Its module has one of them; its adjoints, and the others, are functions of its weight."""
    head = "model M\nlevels ℓ = 1..4\nlet s@ℓ = 1, 2, 2, 1\ninput f : 2 × 16 × 12\noutput h : 3\nkernel M : 3×3 → 2\n"
    equations = "r@0 = f\nr@ℓ = relu ∘ M *_{s@ℓ, 3 - s@ℓ} r@ℓ-1\nt@ℓ = r@ℓ-1 + Mᵀ *_{s@ℓ} M *_{s@ℓ} r@ℓ-1\n"
    tail = "h = linear ∘ concat(avgpool(r@4), avgpool ∘ M *^{s@2} t@2, avgpool(t@3), avgpool(t@4))\n"
    found = compiled(head + equations + tail.replace("avgpool ∘ M *^{s@2} t@2", "avgpool(t@2)"))
    assert found.cost.parameters == 9 * 4 + 3 * (8 + 1)
    assert codes(head + equations + tail) == ["E0408"]


def test_only_what_differs_breaks_a_loop():
    """Strides of kernels and outputs of `linear` are told to modules, so a loop with them stays one."""
    text = Compilation(read_source(ROOT / "specs/imagenet/efficientnet_b0.cldf")).code()
    assert text.count("for level in range(2, 8):") == 2 and "stride=s[level]" in text


CALLS = """\
model Calls

let J = 2
levels ℓ = 1..J
steps  i = 1..3
let n@ℓ = 0, 3
let a@ℓ = 1/4, 1/3

input  f : 2 × 12 × 12
output h : 3

kernel K@ℓ,i : 3×3 → 4
kernel M     : 3×3 → 4

let σ@ℓ,i = soft_threshold[(n@ℓ + i) / 50] ∘ elu[ℓ + i / 2] ∘ leaky_relu[a@ℓ]

r@1,0   = M * f
r@ℓ,i   = r@ℓ,i-1 + droppath[(n@ℓ + i - 1) / 10] ∘ K@ℓ,i * σ@ℓ,i(r@ℓ,i-1)
r@ℓ+1,0 = maxpool[2] ∘ dropout[ℓ / 5] ∘ celu[1 / ℓ](r@ℓ,3)
h       = linear ∘ avgpool(r@J,3)
"""


class CallsByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.k, self.m, self.head = nn.ModuleList([conv(4, 4, 3) for _ in range(6)]), conv(2, 4, 3), nn.Linear(4, 3)

    def forward(self, f):
        x = self.m(f)
        for at, kernel in enumerate(self.k):
            level, i = divmod(at, 3)
            if at == 3:
                x = nn.functional.dropout(nn.functional.celu(x, 1.0), 0.2, self.training)
                x = nn.functional.max_pool2d(x, 2)
            y = nn.functional.elu(nn.functional.leaky_relu(x, (1 / 4, 1 / 3)[level]), level + 1 + (i + 1) / 2)
            y = kernel(y.sign() * (y.abs() - (at + 1) / 50).clamp_min(0))
            x = x + torchvision.ops.stochastic_depth(y, at / 10, "row", self.training)
        return self.head(x.mean((2, 3)))


def test_settings_of_calls_by_formula():
    """What a function is given may differ from turn to turn; with the same draws."""
    torch.manual_seed(0)
    names = {f"k.{at}": f"K.{at // 3 + 1}_{at % 3 + 1}" for at in range(6)} | {"m": "M", "head": "linear"}
    text = CALLS.replace("droppath", "identity ∘ droppath")
    assert difference(text, CallsByHand(), names, torch.randn(8, 2, 12, 12)) < TOLERANCE
    code = Compilation(Source("t.cldf", CALLS)).code()
    assert code.count("drop_path(") == 2 and code.count("F.softshrink(") == 1 and "/ 10, self.training)" in code


def test_settings_of_calls_in_methods():
    """A named operator is one method only where its settings are the same in all uses."""
    head = "model M\nsteps i = 1..4\ninput f : 3 × 8 × 8\noutput h : 3\nkernel K@i : 3×3 → 3\nr@0 = f\n"
    rest = "r@i = S@i(S@i(r@i-1))\nh = linear ∘ avgpool(r@4)\n"
    for slope, is_method in (("i / 8", False), ("i / 2 - i / 2 + 1 / 4", True)):
        found = compiled(f"{head}let S@i = tanh ∘ leaky_relu[{slope}] ∘ K@i *\n{rest}").code()
        assert ("def s(" in found) == is_method and found.count("for i in range(1, 5):") == 2


# What is spread over maps

BLOCK = """\
model Block

input  f : 8 × {size} × {size}
output h : 3

kernel E : 1×1 → 24
kernel D : 3×3 each
kernel P : 1×1 → 8
kernel M : 7×7 → 1
let σ = silu ∘ bn

{equations}
h = linear ∘ avgpool(y)
"""

SE = "y = f ⊙ sigmoid ∘ linear[8] ∘ relu ∘ linear[2] ∘ avgpool(f)"
MBCONV = """\
x = σ ∘ D * σ ∘ E * f
y = f + bn ∘ P * (x ⊙ sigmoid ∘ linear[24] ∘ silu ∘ linear[2] ∘ avgpool(x))"""
CBAM = """\
m = sigmoid ∘ bn ∘ M * (f - avgpool(f))
y = m ⊙ f + m - f / (2 + m)"""


class Gate(nn.Module):
    def __init__(self, channels, act):
        super().__init__()
        self.down, self.up, self.act = nn.Linear(channels, 2), nn.Linear(2, channels), act

    def forward(self, x):
        weights = self.up(self.act(self.down(x.mean((2, 3))))).sigmoid()
        return torch.einsum("nchw,nc->nchw", x, weights)


class SqueezeAndExcitation(nn.Module):
    names: ClassVar = {"gate.down": "linear_y", "gate.up": "linear_y_2", "head": "linear_h"}

    def __init__(self):
        super().__init__()
        self.gate, self.head = Gate(8, nn.ReLU()), nn.Linear(8, 3)

    def forward(self, f):
        return self.head(self.gate(f).mean((2, 3)))


class MBConv(nn.Module):
    names: ClassVar = {
        "wide.0": "E", "wide.1": "bn_E", "deep.0": "D", "deep.1": "bn_D", "narrow.0": "P", "narrow.1": "bn_P",
        "gate.down": "linear_y", "gate.up": "linear_y_2", "head": "linear_h",
    }  # fmt: skip

    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(conv(8, 24, 1), nn.BatchNorm2d(24), nn.SiLU())
        self.deep = nn.Sequential(conv(24, 24, 3, groups=24), nn.BatchNorm2d(24), nn.SiLU())
        self.gate = Gate(24, nn.SiLU())
        self.narrow = nn.Sequential(conv(24, 8, 1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 3)

    def forward(self, f):
        return self.head((f + self.narrow(self.gate(self.deep(self.wide(f))))).mean((2, 3)))


class SpatialAttention(nn.Module):
    """Woo et al., CBAM, 2018: one weight for each pixel; and what else one channel does beside several."""

    names: ClassVar = {"where.0": "M", "where.1": "bn_M", "head": "linear"}

    def __init__(self):
        super().__init__()
        self.where, self.head = nn.Sequential(conv(8, 1, 7), nn.BatchNorm2d(1)), nn.Linear(8, 3)

    def forward(self, f):
        weight = self.where(f - f.mean((2, 3), keepdim=True)).sigmoid().repeat(1, 8, 1, 1)
        return self.head((weight * f + weight - f / (2 + weight)).mean((2, 3)))


BLOCKS = {"se": (SE, SqueezeAndExcitation), "mbconv": (MBCONV, MBConv), "cbam": (CBAM, SpatialAttention)}


@pytest.mark.parametrize("size", [8, 13])
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_by_hand(name, size):
    torch.manual_seed(0)
    equations, by_hand = BLOCKS[name]
    text = BLOCK.format(size=size, equations=equations)
    assert difference(text, by_hand(), by_hand.names, torch.randn(3, 8, size, size)) < TOLERANCE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("f + linear[7] ∘ avgpool(f)", "E0403"),
        ("f ⊙ (M *_2 f)", "E0403"),
        ("f ⊙ g[0..2]", "E0403"),
        ("sum(f, E * f)", "E0403"),
        ("concat(f, M *_2 f)", "E0403"),
    ],
)
def test_what_is_not_spread(value, code):
    assert codes(BLOCK.format(size=8, equations=f"g = P * f\ny = {value}")) == [code]


def test_channels_that_become_known_later():
    """`1 + n` channels: A's input is known only by what its adjoint gives, and beside one channel it is one."""
    head = "model M\ninput f : 1 × 8 × 8\noutput h : 3\nkernel A : 3×3 → 4\nkernel B : 1×1 → 4\n"
    found = compiled(f"{head}x = f + Aᵀ * B * f\nh = linear ∘ avgpool(x)\n")
    assert found.cost.parameters == 9 * 4 + 4 + 6


@pytest.mark.parametrize("zero", ["u@0 = 0\nu@i = u@i-1 + g", "u@0 = 0\nu@i = g + u@i-1 - u@0"])
def test_zeros_beside_vectors(zero):
    """A zero that is a map gives its shape to a sum, so it is not dropped beside a vector."""
    head = "model M\nsteps i = 1..2\ninput f : 4 × 8 × 8\noutput h : 3\nkernel A : 3×3 → 4\ng = avgpool(f)\n"
    compiled(f"{head}{zero}\nx = u@2 + A * u@1 + f\nh = linear ∘ avgpool(x)\n".replace("+ A * u@1 ", "+ u@1 "))
