"""Public networks into specs of them: from the state dict right or refused, from the module right."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import public_networks as public
import pytest
import reference_networks
import torch
from networks import ROOT, build, compile_text, relative_difference, some, spec_text, timm, torchvision
from reference_networks import conv3
from torch import nn
from torch.nn import functional as F

import cldfc
from cldfc.diagnostics import UsageError


def mix(network: nn.Module) -> nn.Module:
    """Other numbers in every tensor: no two modules alike, no normalisation that does nothing."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.dim() < 2:
            numbers = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(numbers + 0.5 if "weight" in name or "var" in name or not tensor.dim() else numbers - 0.5)
        elif tensor.is_floating_point():
            fan_in = tensor.numel() / tensor.shape[0]
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / fan_in) ** 0.5)
    return network


# Specs


def stack(levels: int, steps: str, widths: str, kernels: str, equations: str, image: str = "3 × 32 × 32") -> str:
    return f"""model Public
let J = {levels}
levels ℓ = 1..J
steps  i = 1..ν
let ν@ℓ = {steps}
let c@ℓ = {widths}
input  f : {image}
output h : 10
let σ = relu ∘ bn
{kernels}
{equations}
"""


BOTTLENECK_KERNELS = """
let d@ℓ = {inner}
kernel θ     : {stem}
kernel B@ℓ,i : 1×1 → d@ℓ
kernel G@ℓ,i : 3×3 → d@ℓ, groups {groups}
kernel A@ℓ,i : 1×1 → c@ℓ
kernel R@ℓ   : 1×1 → c@ℓ
"""

BOTTLENECK = """
s       = {start}
r@1,0   = relu(bn ∘ R@1 * s + bn ∘ A@1,0 * σ ∘ G@1,0 * σ ∘ B@1,0 * s)
r@ℓ,i   = relu(r@ℓ,i-1 + bn ∘ A@ℓ,i * σ ∘ G@ℓ,i * σ ∘ B@ℓ,i * r@ℓ,i-1)
r@ℓ+1,0 = relu(bn ∘ R@ℓ+1 *_2 r@ℓ,ν + bn ∘ A@ℓ+1,0 * σ ∘ G@ℓ+1,0 *_2 σ ∘ B@ℓ+1,0 * r@ℓ,ν)
h       = linear ∘ avgpool(r@J,ν)
"""

IMAGENET_START = "maxpool[3, stride=2] ∘ σ ∘ θ *_2 f"


def bottleneck(inner, groups=1, widths="256 * 2^(ℓ-1)", stem="7×7 → 64", start=IMAGENET_START, steps="1, 1"):
    kernels = BOTTLENECK_KERNELS.format(inner=inner, groups=groups, stem=stem)
    return stack(len(steps.split(",")), steps, widths, kernels, BOTTLENECK.format(start=start))


def with_equations(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


CIFAR_BOTTLENECK = bottleneck("16, 4, 8, 16", 1, "64, 16, 32, 64", "3×3 → 16", "σ ∘ θ * f", "1, 0, 1, 0")
"""The stem is as wide as the inner kernels of the first stage, as in the real ones: A@1,0 and R@1 have one shape."""

PREACT_BOTTLENECK = stack(
    4,
    "1, 0, 1, 0",
    "64, 16, 32, 64",
    BOTTLENECK_KERNELS.format(inner="16, 4, 8, 16", groups=1, stem="3×3 → 16"),
    """
p@1     = σ ∘ θ * f
let F@ℓ,i = A@ℓ,i * σ ∘ G@ℓ,i * σ ∘ B@ℓ,i *
r@1,0   = R@1 * p@1 + F@1,0(p@1)
r@ℓ,i   = r@ℓ,i-1 + F@ℓ,i ∘ σ(r@ℓ,i-1)
p@ℓ+1   = σ(r@ℓ,ν)
r@ℓ+1,0 = R@ℓ+1 *_2 p@ℓ+1 + A@ℓ+1,0 * σ ∘ G@ℓ+1,0 *_2 σ ∘ B@ℓ+1,0 * p@ℓ+1
h       = linear ∘ avgpool(r@J,ν)
""",
)

BASIC = stack(
    4,
    "2, 0, 1, 0",
    "4, 6, 8, 10",
    """
kernel θ     : 3×3 → c@1
kernel A@ℓ,i : 3×3 → c@ℓ
kernel B@ℓ,i : 3×3 → c@ℓ
kernel R@ℓ   : 1×1 → c@ℓ
""",
    """
r@1,0   = σ ∘ θ * f
r@ℓ,i   = relu(r@ℓ,i-1 + bn ∘ A@ℓ,i * σ ∘ B@ℓ,i * r@ℓ,i-1)
r@ℓ+1,0 = relu(bn ∘ R@ℓ+1 *_2 r@ℓ,ν + bn ∘ A@ℓ+1,0 * σ ∘ B@ℓ+1,0 *_2 r@ℓ,ν)
h       = linear ∘ avgpool(r@J,ν)
""",
)

SMALL_MGNET = [("let J = 4", "let J = 3"), ("2, 2, 2, 2", "2, 2, 2")]


def mgnet(cu: int, cf: int, *changes: tuple[str, str]) -> str:
    return spec_text("mgnet", *SMALL_MGNET, ("cu  = 256", f"cu  = {cu}"), ("cf  = 256", f"cf  = {cf}"), *changes)


PACKAGED_MGNET = mgnet(
    6,
    6,
    ("B@ℓ : 3×3", "B@ℓ,i : 3×3"),
    ("σ ∘ B@ℓ *", "σ ∘ B@ℓ,i *"),
    ("σ ∘ R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,ν) + A@ℓ+1 * u@ℓ+1,0", "σ(R@ℓ *_2 (f@ℓ - A@ℓ * u@ℓ,ν) + A@ℓ+1 * u@ℓ+1,0)"),
)

FRACTALNET = spec_text(
    "fractalnet", ("let J = 5", "let J = 3"), ("64, 128, 256, 512, 512", "4, 4, 6"), ("flatten(x@J)", "avgpool(x@J)")
)


# Networks


def two_stages(network: nn.Module) -> nn.Module:
    """A ResNet without its two widest stages."""
    network.layer3 = network.layer4 = nn.Identity()
    width = [m.num_features for m in network.layer2.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    network.fc = nn.Linear(width, 10)
    return network


def residual(block: str, **options) -> nn.Module:
    return two_stages(torchvision.models.ResNet(getattr(torchvision.models.resnet, block), [2, 2, 1, 1], **options))


def timm_resnet(name: str) -> nn.Module:
    return two_stages(timm.create_model(name, layers=(2, 2, 1, 1)))


def timm_densenet() -> nn.Module:
    return timm.create_model("densenet121", growth_rate=2, block_config=(2, 2, 2), num_classes=10)


@dataclass(frozen=True)
class Case:
    """A network, its spec, and whether its state dict says enough."""

    make: Callable[[], nn.Module]
    spec: str
    state: str = "right"
    image: tuple[int, ...] = (3, 32, 32)


def convnext() -> nn.Module:
    module = import_module("torchvision.models.convnext")
    blocks = [module.CNBlockConfig(4, 6, 1), module.CNBlockConfig(6, 8, 2), module.CNBlockConfig(8, None, 1)]
    return module.ConvNeXt(blocks, num_classes=10)


def gated() -> nn.Module:
    """A block of MobileNetV3, whose gate has kernels where ours has linear maps."""
    module = import_module("torchvision.models.mobilenetv3")
    block = module.InvertedResidualConfig(8, 3, 32, 8, True, "HS", 1, 1, 1.0)
    return nn.Sequential(conv3(3, 8), module.InvertedResidual(block, nn.BatchNorm2d), nn.Flatten(), nn.Linear(2048, 10))


def cifar(block, **options) -> Callable[[], nn.Module]:
    return lambda: public.CifarResNet(block, (16, 4, 8, 16), **{"stem": 16, **options})


def plain_vgg(with_norms: bool) -> nn.Module:
    layers = [4, "M", 6, "M", 8, 8, "M", 10, 10, "M", 10, 10, "M"]
    features = torchvision.models.vgg.make_layers(layers, with_norms)
    return nn.Sequential(features, nn.Flatten(), nn.Linear(10, 10))


def preact_timm() -> nn.Module:
    network = timm.create_model("resnetv2_50", num_classes=0, layers=(2, 2, 1, 1))
    network.stages, network.norm = network.stages[:2], type(network.norm)(512)
    return nn.Sequential(network, nn.Linear(512, 10))


NARROW_VGG = spec_text("vgg11", ("64, 128, 256, 512, 512", "4, 6, 8, 10, 10"))
STEM_OF_THREE = ("kernel θ     : 7×7 → 64", "kernel θ : 3×3 → 64\nkernel θ1 : 3×3 → 32\nkernel θ2 : 3×3 → 32")
POOLED = [
    ("σ ∘ θ *_2 f", "σ ∘ θ * σ ∘ θ2 * σ ∘ θ1 *_2 f"),
    ("R@ℓ+1 *_2 r@ℓ,ν", "R@ℓ+1 * avgpool[2](r@ℓ,ν)"),
    STEM_OF_THREE,
]
TIMM_PREACT = [
    ("let J = 4", "let J = 2"),
    ("1, 0, 1, 0", "1, 1"),
    ("64, 16, 32, 64", "256, 512"),
    ("16, 4, 8, 16", "64, 128"),
    ("3×3 → 16", "7×7 → 64"),
    ("p@1     = σ ∘ θ * f", "p@1     = σ ∘ maxpool[3, stride=2] ∘ θ *_2 f"),
    ("avgpool(r@J,ν)", "avgpool ∘ σ(r@J,ν)"),
]

DENSENET = spec_text(
    "densenet",
    ("let k = 12", "let k = 2"),
    ("16, 16, 16", "2, 2, 2"),
    ("24, 108, 150", "4, 4, 4"),
    ("kernel θ     : 3×3", "kernel θ     : 7×7"),
    ("θ * f", "maxpool[3, stride=2] ∘ σ ∘ θ *_2 f"),
)

CONVNEXT = spec_text(
    "imagenet/convnext_t",
    ("let J = 4", "let J = 3"),
    ("3, 3, 9, 3", "1, 2, 1"),
    ("0, 3, 6, 15", "0, 1, 3"),
    ("96 * 2^(ℓ-1)", "4, 6, 8"),
    ("h : 1000", "h : 10"),
)

GATED = """model Gated
input f : 3 × 16 × 16
output h : 10
kernel θ : 3×3 → 8
kernel E : 1×1 → 32
kernel D : 3×3 each
kernel P : 1×1 → 8
let η = hard_swish ∘ bn
let S = identity ⊙ hard_sigmoid ∘ linear[32] ∘ relu ∘ linear[8] ∘ avgpool
r = θ * f
x = r + bn ∘ P * S ∘ η ∘ D * η ∘ E * r
h = linear ∘ flatten(x)
"""

ORDERS = [("short", "first", "second"), ("first", "second", "short"), ("first", "short", "second")]
IMAGENET_BASIC = [
    ("let J = 4", "let J = 2"),
    ("2, 1, 1, 1", "2, 1"),
    ("64, 128, 256, 512", "64, 128"),
    ("h : 1000", "h : 10"),
]
SMALL = (3, 16, 16)

CASES = {
    "torchvision resnet18": Case(lambda: residual("BasicBlock"), spec_text("imagenet/resnet18", *IMAGENET_BASIC)),
    "torchvision resnet50": Case(lambda: residual("Bottleneck"), bottleneck("64 * 2^(ℓ-1)")),
    "torchvision resnext50_32x4d": Case(
        lambda: residual("Bottleneck", groups=32, width_per_group=4), bottleneck("128 * 2^(ℓ-1)", 32)
    ),
    "torchvision wide_resnet50_2": Case(
        lambda: residual("Bottleneck", width_per_group=128),
        bottleneck("128 * 2^(ℓ-1)"),
    ),
    "torchvision vgg11": Case(lambda: plain_vgg(False), with_equations(NARROW_VGG, ("relu ∘ bn ∘", "relu ∘"))),
    "torchvision vgg11_bn": Case(lambda: plain_vgg(True), NARROW_VGG),
    "torchvision densenet": Case(lambda: torchvision.models.DenseNet(2, (2, 2, 2), 4, num_classes=10), DENSENET),
    "torchvision convnext": Case(convnext, CONVNEXT),
    "torchvision shufflenet": Case(
        lambda: torchvision.models.ShuffleNetV2([2, 1, 2], [24, 4, 8, 16, 10], num_classes=10),
        spec_text(
            "imagenet/shufflenet_v2", ("4, 8, 4", "2, 1, 2"), ("58 *", "2 *"), ("1024", "10"), ("h : 1000", "h : 10")
        ),
        "refused",
    ),
    "torchvision squeeze and excitation": Case(gated, GATED, image=SMALL),
    "timm resnet18": Case(
        lambda: timm_resnet("resnet18"),
        spec_text("imagenet/resnet18", *IMAGENET_BASIC),
    ),
    "timm resnet50": Case(lambda: timm_resnet("resnet50"), bottleneck("64 * 2^(ℓ-1)")),
    "timm resnext50_32x4d": Case(lambda: timm_resnet("resnext50_32x4d"), bottleneck("128 * 2^(ℓ-1)", 32)),
    "timm wide_resnet50_2": Case(lambda: timm_resnet("wide_resnet50_2"), bottleneck("128 * 2^(ℓ-1)")),
    "timm resnet50d": Case(lambda: timm_resnet("resnet50d"), with_equations(bottleneck("64 * 2^(ℓ-1)"), *POOLED)),
    "timm resnetv2_50": Case(preact_timm, with_equations(PREACT_BOTTLENECK, *TIMM_PREACT), "refused"),
    "timm densenet": Case(timm_densenet, DENSENET),
    "kuangliu ResNet50": Case(cifar(public.CifarBottleneck), CIFAR_BOTTLENECK),
    "weiaicunzai resnet50": Case(cifar(public.SequentialBottleneck), CIFAR_BOTTLENECK),
    "detectron bottleneck": Case(cifar(public.ShortcutFirst), CIFAR_BOTTLENECK),
    "bottleneck a to g": Case(cifar(public.NamelessBottleneck), CIFAR_BOTTLENECK, "refused"),
    "kuangliu PreActResNet50": Case(
        cifar(public.PreActBottleneck, bare_stem=True, last_norm=True),
        with_equations(PREACT_BOTTLENECK, ("σ ∘ θ * f", "σ(θ * f)"), ("avgpool(r@J,ν)", "avgpool ∘ σ(r@J,ν)")),
    ),
    "kernels first": Case(lambda: public.CifarResNet(public.KernelsFirst, steps=(2, 1, 2, 1)), BASIC, "refused"),
    "conv3 is the shortcut": Case(
        lambda: public.CifarResNet(public.ThirdIsShortcut, steps=(2, 1, 2, 1)),
        with_equations(BASIC, ("bn ∘ R@ℓ+1", "R@ℓ+1")),
        "refused",
    ),
    "prlz77 ResNeXt-29": Case(
        public.ResNeXt29,
        spec_text(
            "resnext",
            ("let C = 8", "let C = 2"),
            ("→ 64", "→ 8"),
            ("2, 2, 2", "1, 1, 1"),
            ("256 *", "16 *"),
            ("64 * C", "4 * C"),
        ),
    ),
    "xternalz WideResNet": Case(
        public.WideResNet,
        spec_text(
            "wide_resnet",
            ("let k = 10", "let k = 1"),
            ("16 * k", "8 * k"),
            ("→ 16", "→ 4"),
            ("1..3", "1..1"),
            (",3)", ",1)"),
            ("p@1     = σ ∘ θ * f", "p@1     = σ(θ * f)"),
        ),
    ),
    "LeNet": Case(public.LeNet, spec_text("lenet5"), image=(1, 28, 28)),
    "milesial UNet": Case(public.UNet, spec_text("unet", ("let J = 5", "let J = 3"), ("64 *", "4 *"))),
    **{
        f"FractalNet {'-'.join(order)}": Case(lambda order=order: public.FractalNet(order), FRACTALNET, "refused")
        for order in ORDERS
    },
    "MgNet, its authors'": Case(lambda: public.AuthorsMgNet(6, 6), mgnet(6, 6), "refused", image=SMALL),
    "MgNet, its authors', two widths": Case(lambda: public.AuthorsMgNet(4, 6), mgnet(4, 6), image=SMALL),
    "MgNet of PyPI": Case(lambda: public.PackagedMgNet(6), PACKAGED_MGNET, image=SMALL),
    "MgNet in sequences": Case(lambda: public.SequentialMgNet(6), mgnet(6, 6), image=SMALL),
}


def difference(network: nn.Module, other: nn.Module, image: tuple[int, ...]) -> float:
    images = torch.randn(2, *image, dtype=torch.float64)
    with torch.no_grad():
        return relative_difference(network.double().eval()(images), run_double(other, images))


def run_double(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """In float64, also where a module makes a start of zeros in the default type."""
    torch.set_default_dtype(torch.float64)
    try:
        return module.double().eval()(images)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", some(CASES, 9))
def test_a_state_dict_is_right_or_refused(name):
    case = CASES[name]
    torch.manual_seed(0)
    other, network = mix(case.make()), build(compile_text(case.spec))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        names = cldfc.import_weights(network, other.state_dict())
    except UsageError as error:
        assert case.state == "refused", error
        assert "may be" in error.message or "fits nowhere" in error.message
        assert "example=" in error.help
        assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    else:
        assert difference(network, other, case.image) < 1e-10
        assert case.state == "right"
        assert names.keys() == names.how.keys() == other.state_dict().keys()


@pytest.mark.parametrize("name", some(CASES, 9))
def test_a_module_is_right(name):
    case = CASES[name]
    torch.manual_seed(0)
    other, network = mix(case.make()), build(compile_text(case.spec))
    names = cldfc.import_weights(network, other, example=torch.randn(2, *case.image))
    assert names.difference < 1e-10
    assert names.keys() == other.state_dict().keys() and sorted(set(names.values())) == sorted(network.state_dict())
    assert difference(network, other, case.image) < 1e-10


def test_the_result_says_how_each_pair_was_decided():
    """The shortcut and conv3 of the first block have one shape; norms have that of others; A of MgNet is shared."""
    case = CASES["torchvision resnet50"]
    other = case.make()
    names = cldfc.import_weights(build(compile_text(case.spec)), other.state_dict())
    assert names.how["conv1.weight"] == "by shape" and names.how["layer1.0.bn1.bias"] == "by order of use"
    assert names.how["layer1.0.conv3.weight"] == names.how["layer1.0.downsample.1.weight"] == "by name"
    assert names["layer1.0.downsample.0.weight"] == "R.1.weight" and names["layer1.0.conv3.weight"] == "A.1_0.weight"
    assert "layer1.0.downsample.0  R.1" in str(names) and names.difference is None
    case = CASES["MgNet of PyPI"]
    names = cldfc.import_weights(build(compile_text(case.spec)), case.make().state_dict())
    four = [name for name, own in names.items() if own == "A.2.weight"]
    assert len(four) == 4 and {names.how[name] for name in four} == {"by alias"}


def both(case: Case, change: Callable[[nn.Module], object] = lambda _: None) -> tuple[nn.Module, nn.Module]:
    """Our network, and the other with a change."""
    torch.manual_seed(0)
    other = mix(case.make())
    change(other)
    return build(compile_text(case.spec)), other


def refused(network: nn.Module, other: nn.Module, example: object) -> str:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UsageError) as caught:
        cldfc.import_weights(network, other, example=example)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    return caught.value.message


CIFAR = CASES["kuangliu ResNet50"]
IMAGES = torch.randn(2, 3, 32, 32)


def test_another_epsilon():
    def change(other):
        other.layer3[0].bn2.eps = 1e-2

    network, other = both(CIFAR, change)
    found = refused(network, other, IMAGES)
    cldfc.import_weights(network, other.state_dict())
    with torch.no_grad():
        figure = 100 * relative_difference(
            network.double().eval()(IMAGES.double()), other.double().eval()(IMAGES.double())
        )
    assert found == (
        f"the outputs of the two networks differ by {figure:.2g} % of the largest; they part where `A.3_0` is used: "
        f"the nearest value is given to `layer3.0.conv3`, which differs by {found.split()[-2]} %"
    )


def test_another_stride():
    def change(other):
        other.layer2[0].conv1.stride, other.layer2[0].conv2.stride = (2, 2), (1, 1)

    message = refused(*both(CIFAR, change), IMAGES)
    assert "differ by" in message and "`bn_B.2_0` is used: the nearest value is given to `layer2.0.bn1`" in message


def test_another_head():
    network, other = both(CIFAR)
    assert "differ by" in refused(network, nn.Sequential(other, nn.Tanh()), IMAGES)


def test_modules_used_in_another_order_than_they_are_registered():
    """Names, numbers and order all say conv1 is first; only running the module shows that it is second."""

    class Swapped(public.CifarBottleneck):
        def forward(self, x):
            out = F.relu(self.bn2(self.conv1(x)))
            out = F.relu(self.bn1(self.conv2(out)))
            return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))

    network, other = both(Case(cifar(Swapped), CIFAR_BOTTLENECK))
    names = cldfc.import_weights(network, other, example=IMAGES)
    assert names["layer1.0.bn2.weight"] == "bn_B.1_0.weight" and difference(network, other, (3, 32, 32)) < 1e-10


def test_branches_that_are_zero():
    """As they often start: the last scale of each block is 0, and the example, too; both networks stay as they are."""

    def change(other):
        for module in other.modules():
            if isinstance(module, public.CifarBottleneck):
                nn.init.zeros_(module.bn3.weight)

    network, other = both(CIFAR, change)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    names = cldfc.import_weights(network.train(), other.train(), example=torch.zeros(1, 3, 32, 32))
    assert names["layer1.1.conv1.weight"] == "B.1_1.weight" and names["layer4.0.conv1.weight"] == "B.4_0.weight"
    assert network.training and other.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_other_forms_of_the_network():
    """In the residual form A is applied to other values than in the one by hand."""
    spec = cldfc.load(ROOT / "specs/fbresnet.cldf").let("c = 4, 6, 8, 10")
    other = mix(reference_networks.FeatureResNet((2, 2, 2, 2), (4, 6, 8, 10)))
    for form in ("written", "simplified", "residual"):
        network = spec.build(form)
        names = cldfc.import_weights(network, other.float(), example=IMAGES)
        assert names["levels.1.restrict.weight"] == "R.2.weight" and difference(network, other, (3, 32, 32)) < 1e-10


def test_numbers_that_are_trained():
    """The dampings, one for each step, and kernels that all read the image."""

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 5)
            self.decode = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.damping = nn.ParameterList(torch.rand(1, 1) for _ in range(4))
            self.encode = nn.ModuleList(nn.Conv2d(1, 8, 3, padding=1, bias=False) for _ in range(4))

        def forward(self, f):
            z = 0
            for encode, damping in zip(self.encode, self.damping, strict=True):
                z = z + damping * F.softshrink(encode(f), 0.1)
            return self.head(self.decode(z).mean((2, 3)))

    text = """model Steps
steps i = 1..4
input f : 1 × 8 × 8
output h : 5
kernel E@i : 3×3 → 8
kernel D : 3×3 → 8
scalar w@i = 1
z@1 = w@1 * soft_threshold[0.1](E@1 * f)
z@i = z@i-1 + w@i * soft_threshold[0.1](E@i * f) for i = 2..4
h = linear ∘ avgpool ∘ D * z@4
"""
    network, other = both(Case(Steps, text))
    names = cldfc.import_weights(network, other, example=torch.randn(2, 1, 8, 8))
    assert all(names[f"damping.{step}"][-1] == names[f"encode.{step}.weight"][2] for step in range(4))
    assert difference(network, other, (1, 8, 8)) < 1e-10


def test_what_cannot_be_run_or_compared():
    network, other = both(CIFAR)
    assert "cannot be copied and run on the example" in refused(network, other, torch.randn(2, 4, 32, 32))
    other.layer1[0].conv1.weight.data.fill_(float("nan"))
    assert refused(network, other, IMAGES) == "the outputs on the example are not finite"
    wider = public.CifarResNet(public.CifarBottleneck, (16, 4, 8, 16), (2, 1, 3, 1), stem=16)
    assert "the network 4" in refused(network, wider, IMAGES)
    with pytest.raises(UsageError, match="goes with a module"):
        cldfc.import_weights(network, other.state_dict(), example=IMAGES)
