"""The networks of the paper and of its relatives: their counts, against the generated classes and other libraries."""

import re
from functools import cache
from itertools import product

import pytest
import torch
from graph_interpreter import run_graph
from networks import ROOT, build_spec, randomise, some, torchvision

from cldfc.compilation import Compilation, read_changes
from cldfc.syntax.read import read_source

NAMES = sorted(p.relative_to(ROOT / "specs").with_suffix("").as_posix() for p in (ROOT / "specs").rglob("*.cldf"))


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@cache
def count(name: str, lets: tuple[str, ...] = (), **options) -> int:
    """Parameters of the generated class; on the meta device, for nothing is computed."""
    with torch.device("meta"):
        return parameters(build_spec(name, lets=lets, **options))


def stated(name: str) -> int:
    text = (ROOT / "specs" / f"{name}.cldf").read_text(encoding="utf-8")
    expected = re.search(r"^expect params = ([\d_]+)$", text, re.MULTILINE)
    assert expected is not None, name
    return int(expected[1])


def test_every_spec_states_its_count():
    assert all(stated(name) >= 0 for name in NAMES)


@pytest.mark.parametrize("name", some(NAMES, 4))
def test_the_stated_count_is_that_of_the_class(name):
    assert count(name) == stated(name)


PUBLISHED = (
    "convnext_t densenet121 efficientnet_b0 googlenet googlenet_aux inception_v3 inception_v3_aux mobilenet_v3_large "
    "mobilenet_v3_small se_resnet18 shufflenet_v2"
)
COMPARED = {f"imagenet/{name}" for name in (*PUBLISHED.split(), "irevnet")}
COMPARED |= {"vnet", "mgnet_signals", "multigrid/poisson_line", "admm_net", "ffdnet", "learned_primal_dual"}
"""Those that `test_published.py`, `test_rearranged.py` and `test_dimensions.py` compare with others."""

# What makes a network narrow, where the spec says so, with other widths on every level.
NARROW = {
    "c@ℓ": "2 + 2 * ℓ",
    "a@ℓ": "4 * ℓ",
    "d@ℓ": "4 * C * ℓ",
    "w@ℓ": "3 + ℓ",
    "C": "2",
    "k": "2",
    "cu": "4",
    "cf": "6",
    "F6": "relu ∘ linear[7]",
    "F7": "relu ∘ linear[6]",
    "F10": "relu ∘ K *",
}


@pytest.mark.parametrize("name", some([name for name in NAMES if name not in COMPARED], 16))
def test_every_spec_computes_its_graph(name):
    """In float64 and training mode, against an interpreter with formulas of its own."""
    source = read_source(ROOT / "specs" / f"{name}.cldf")
    text = Compilation(source).text
    lets = [
        f"{head} = {value}" for head, value in NARROW.items() if re.search(rf"^let {head}\s+?=", text, re.MULTILINE)
    ]
    size = "3x64x64" if "3 × 224 × 224" in text else "1x15x15" if name.endswith("poisson_sweeps") else None
    torch.manual_seed(0)
    network = build_spec(name, lets=lets, input=size).double().train()
    graph = Compilation(source, read_changes(lets, input=size)).simplified
    assert parameters(network) < 200_000
    randomise(network)
    images = torch.randn(3, *graph.program.shape, dtype=torch.float64)
    expected = run_graph(graph, network, images)
    assert (network(images) - expected).abs().max() <= 1e-11 * expected.abs().max()


# With 10 and with 100 classes; the printed forms are a reconstruction of Table 3's counts.
COUNTS = {
    "resnet18": (11_173_962, 11_220_132),
    "resnet34": (21_282_122, 21_328_292),
    "resnet18_Al": (8_040_522, 8_086_692),
    "resnet34_Al": (13_098_314, 13_144_484),
    "resnet18_Bl_printed": (None, 9_671_844),
    "resnet34_Bl_printed": (None, 14_766_500),
    "resnet18_Al_Bl_printed": (None, 6_575_268),
    "resnet34_Al_Bl_printed": (None, 6_656_420),
    "mgnet": (8_278_794, 8_301_924),
    "mgnet_solved": (288_554, 300_164),
    "mgnet_constrained": (288_554, 300_164),
    "mgnet_Bli": (10_638_090, 10_661_220),
}


@pytest.mark.parametrize("name", some(COUNTS, 2))
def test_counts_of_the_paper(name):
    ten, hundred = COUNTS[name]
    assert ten is None or count(name) == ten
    assert count(name, classes=100) == hundred


# Table 3 as printed, in millions: 18 and 34 layers, 100 classes.
TABLE_3 = {"": ("11", "21"), "_Al": ("8.1", "13"), "_Bl_printed": ("9.7", "15"), "_Al_Bl_printed": ("6.6", "6.7")}


@pytest.mark.parametrize(("sharing", "family"), some(product(TABLE_3, ["resnet", "preact"]), 3))
def test_table_3(family, sharing):
    for depth, printed in zip(("18", "34"), TABLE_3[sharing], strict=True):
        millions = count(f"{family}{depth}{sharing}", classes=100) / 1e6
        assert f"{millions:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "vgg11"])
def test_imagenet_counts_are_those_of_torchvision(name):
    with torch.device("meta"):
        other = getattr(torchvision.models, name)()
    assert count(f"imagenet/{name}") == parameters(other)


@pytest.mark.parametrize("name", some([n for n in NAMES if re.fullmatch("imagenet/(resnet|preact).*", n)], 3))
def test_imagenet_forms_have_a_larger_stem_and_more_classes(name):
    stem, head = 64 * 3 * (7 * 7 - 3 * 3), (1000 - 10) * (512 + 1)
    assert count(name) - count(name.removeprefix("imagenet/")) == stem + head


def test_imagenet_has_the_four_sharings_of_each_network():
    networks = [f"imagenet/{family}{depth}" for family in ("resnet", "preact") for depth in (18, 34)]
    assert {f"{network}{sharing}" for network in networks for sharing in ("", "_Al", "_Bl", "_Al_Bl")} <= {*NAMES}


def test_counts_of_the_pooling_blocks():
    """(6.5) is that of the tables; (6.1) has a kernel more on each level from 2 on, (6.4) wider B and bn."""
    shared = count("pooling/eq_6_5")
    assert shared == count("preact18_Al")
    assert count("pooling/eq_6_1") == shared + 9 * (128**2 + 256**2 + 512**2)
    wider = 9 * (128 * 64 + 256 * 128 + 512 * 256) + 2 * (64 + 128 + 256)
    assert count("pooling/eq_6_4") == shared + wider


# Relatives, against torchvision


def test_vgg_is_that_of_torchvision_with_one_linear_map():
    with torch.device("meta"):
        other = torchvision.models.vgg11_bn().features
    assert count("vgg11") == parameters(other) + 512 * 10 + 10


def test_densenet_is_that_of_torchvision_with_a_small_stem():
    with torch.device("meta"):
        other = torchvision.models.DenseNet(12, (16, 16, 16), 24, num_classes=10)
    assert count("densenet") == parameters(other) - 24 * 3 * (7 * 7 - 3 * 3) - 2 * 24


def test_resnext_at_the_size_of_imagenet_is_that_of_torchvision():
    with torch.device("meta"):
        other = torchvision.models.resnext50_32x4d()
    lets = ["J = 4", "C = 32", "d@ℓ = 4 * C * 2^(ℓ-1)", "ν = 2, 3, 5, 2"]
    stem = 64 * 3 * (7 * 7 - 3 * 3)
    assert count("resnext", lets=tuple(lets), input="3x224x224", classes=1000) == parameters(other) - stem


def test_published_counts():
    """In millions: WRN-28-10, ResNeXt-29 8×64d and DenseNet-BC-100-12, as the tables of their papers have them."""
    names = ("wide_resnet", "resnext", "densenet")
    assert [f"{count(name) / 1e6:.1f}" for name in names] == ["36.5", "34.4", "0.8"]


def test_lm_resnet_has_56_layers_and_a_scalar_for_every_second_step():
    """Blocks of two kernels, each with a bn before it; beside the first of a level a 1×1 kernel with a bn before it."""

    def block(cin, cout):
        return 9 * cin * cout + 9 * cout * cout + 2 * cin + 2 * cout

    level_1 = 27 * 16 + 9 * block(16, 16)
    level_2 = block(16, 32) + 16 * 32 + 2 * 16 + 8 * block(32, 32)
    level_3 = block(32, 64) + 32 * 64 + 2 * 32 + 8 * block(64, 64)
    assert count("lm_resnet") == level_1 + level_2 + level_3 + 3 * 8 + 2 * 64 + 10 * (64 + 1)


def test_unet_has_the_published_size():
    """31,037,698 parameters with two classes: as widely used code with bn and transposed convolutions."""
    assert count("unet", classes=2) == 31_037_698


def in_order(names, other):
    """The tensors of another network by our names: each of its modules, in order, has a name of ours."""
    parts = [name for name, module in other.named_modules() if [*module.parameters(recurse=False)]]
    renamed = dict(zip(parts, names, strict=True))
    return {f"{renamed[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": t for key, t in other.state_dict().items()}


FIRES = [f"{letter}.{i}" for i in range(1, 9) for letter in "SDE"]
SAME = {
    "squeezenet": ("squeezenet1_1", ["theta", *FIRES, "K"]),
    "alexnet": ("alexnet", ["C1", "C2", "C3", "C4", "C5", "linear", "linear_2", "linear_3"]),
}


@pytest.mark.parametrize(("name", "training"), some(product(SAME, [True, False]), 4))
def test_numbers_and_gradients_are_those_of_torchvision(name, training):
    """With its weights, and, in training, the same draws of its dropout."""
    theirs, names = SAME[name]
    torch.manual_seed(0)
    other = getattr(torchvision.models, theirs)().double().train(training)
    with torch.device("meta"):
        ours = build_spec(f"imagenet/{name}").train(training)
    ours.load_state_dict(in_order(names, other), assign=True)
    image = torch.randn(1, 3, 224, 224, dtype=torch.float64, requires_grad=True)
    found = []
    for network in (ours, other):
        torch.manual_seed(1)
        scores = network(image)
        found.append((scores.detach(), *torch.autograd.grad(scores.square().sum(), image)))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-13)


class TiedLista(torch.nn.Module):
    """z_i = S_i(z_{i-1} + τ_i Wᵀ (f - W z_{i-1})), with a threshold for each channel."""

    def __init__(self, given):
        super().__init__()
        self.given = given

    def forward(self, f):
        given, weight = self.given, self.given.W.weight
        z = f.new_zeros(len(f), 32, *f.shape[2:])
        for i in ("1", "2", "3"):
            left = f - torch.nn.functional.conv2d(z, weight, padding=2)
            z = z + given.tau[i] * torch.nn.functional.conv2d(left, weight.flip(2, 3).transpose(0, 1), padding=2)
            z = z.sign() * (z.abs() - given.theta[i][:, None, None]).clamp_min(0)
        return given.linear(given.bn_z(z).relu().mean((2, 3)))


@pytest.mark.parametrize("training", some([True, False], 2))
def test_lista_with_trained_thresholds_is_that_by_hand(training):
    network = build_spec("lista_trained").double().train(training)
    randomise(network)
    image = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    found = []
    for candidate in (network, TiedLista(network)):
        network.zero_grad()
        scores = candidate(image)
        scores.square().sum().backward()
        found.append([scores.detach(), *(p.grad.clone() for p in network.parameters())])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


# Table 2 (MNIST) and Table 4 (ImageNet), in millions.
OTHER_TABLES = {
    "resnet18": ("1x28x28", "11"),
    "resnet18_Al": ("1x28x28", "8.0"),
    "preact18": ("1x28x28", "11"),
    "preact18_Al": ("1x28x28", "8.0"),
    "imagenet/resnet18": (None, "11.7"),
    "imagenet/resnet18_Al": (None, "8.6"),
    "imagenet/preact18": (None, "11.7"),
    "imagenet/preact18_Al": (None, "8.6"),
}


@pytest.mark.parametrize("name", OTHER_TABLES)
def test_tables_2_and_4(name):
    shape, printed = OTHER_TABLES[name]
    assert f"{count(name, input=shape) / 1e6:.{len(printed.partition('.')[2])}f}" == printed
