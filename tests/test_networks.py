"""Generated networks equal networks written by hand, and have the counts of the issue's table."""

from itertools import product

import pytest
import torch
from networks import build, build_spec, compare, compile_spec, only_in_fuzz, some
from reference_networks import FeatureResNet, FeatureScheme, MgNet, PreActResNet, ResNet

from cldfc.weights.import_weights import import_weights

TOLERANCE = 1e-12
NARROW = (4, 6, 8, 10)


def whole_name(name: str, last_norm: str) -> str:
    """The name of a parameter that belongs to no level."""
    names = {"stem": "theta", "stem_norm": "bn_theta", "last_norm": last_norm, "head": "linear"}
    module, _, part = name.partition(".")
    return f"{names[module]}.{part}"


def preact_name(name: str) -> str:
    """From the hand-written names to those of the spec: tags are part of the name."""
    if name.startswith("levels."):
        _, index, part, *rest = name.split(".")
        level = int(index) + 1
        if part == "steps":
            step, inner, *rest = rest
            key = f"{level}_{int(step) + 1}"
            return ".".join([{"norm1": "bn_r", "b": "B", "norm2": "bn_B"}[inner], key, *rest])
        if part == "pool":
            inner, *rest = rest
            return ".".join([{"norm1": "bn_r", "b": "B", "norm2": "bn_B"}[inner], f"{level}_0", *rest])
        return ".".join([{"a": "A", "shortcut": "R"}[part], str(level), *rest])
    return whole_name(name, "bn_r_h")


def feature_name(name: str) -> str:
    if name.startswith("levels."):
        _, index, part, *rest = name.split(".")
        level = int(index) + 1
        if part in ("b", "norm_in", "norm_out"):
            step, *rest = rest
            known = {"b": "B", "norm_in": "bn_f", "norm_out": "bn_B"}
            return ".".join([known[part], f"{level}_{int(step) + 1}", *rest])
        return ".".join([{"a": "A", "prolong": "Pi", "restrict": "R"}[part], str(level), *rest])
    return whole_name(name, "bn_u")


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [("preact18_Al", 8_038_858), ("fbresnet", 12_512_586)],
)
def test_parameters_of_the_generated_class(spec, parameters):
    network = build(compile_spec(spec))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("size", some([9, 16], 2))
def test_preact_equals_the_hand_written_one(size):
    torch.manual_seed(0)
    generated = build_spec("preact18_Al", lets=["c = 4, 6, 8, 10"])
    by_hand = PreActResNet(widths=NARROW)
    assert compare(generated, by_hand, preact_name, torch.randn(2, 3, size, size)) < TOLERANCE


def test_fbresnet_equals_the_hand_written_one():
    torch.manual_seed(1)
    generated, by_hand = build_spec("fbresnet", lets=["c = 4, 6, 8, 10"]), FeatureResNet(widths=NARROW)
    assert compare(generated, by_hand, feature_name, torch.randn(2, 3, 16, 16)) < TOLERANCE


@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (3, 1, 2, 2), (1, 4, 1, 1), (5, 4, 3, 2)])
def test_any_number_of_steps(steps):
    torch.manual_seed(2)
    widths = (4, 6, 6, 10)
    narrow = ("64, 128, 256, 512", ", ".join(map(str, widths)))
    numbers = ", ".join(map(str, steps))
    images = torch.randn(2, 3, 16, 16)
    preact = build(compile_spec("preact18_Al", narrow, ("2, 1, 1, 1", numbers)))
    assert compare(preact, PreActResNet(steps, widths), preact_name, images) < TOLERANCE
    features = build(compile_spec("fbresnet", narrow, ("2, 2, 2, 2", numbers)))
    assert compare(features, FeatureResNet(steps, widths), feature_name, images) < TOLERANCE


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
def test_any_number_of_levels(levels):
    torch.manual_seed(3)
    widths, steps = tuple(range(3, 3 + levels)), tuple(1 + level % 3 for level in range(levels))
    changes = [("J = 4", f"J = {levels}"), ("64, 128, 256, 512", ", ".join(map(str, widths)))]
    numbers = ", ".join(map(str, steps))
    images = torch.randn(2, 3, 64, 64)

    preact = build(compile_spec("preact18_Al", *changes, ("2, 1, 1, 1", numbers)))
    assert compare(preact, PreActResNet(steps, widths), preact_name, images) < TOLERANCE
    features = build(compile_spec("fbresnet", *changes, ("2, 2, 2, 2", numbers)))
    assert compare(features, FeatureResNet(steps, widths), feature_name, images) < TOLERANCE


def test_ablation_by_one_character():
    """`A@ℓ,i` for `A@ℓ` is the paper's A^{ℓ,i}: 11,172,298 - what the two share apart."""
    changes = [("A@ℓ   :", "A@ℓ,i :"), ("+ A@ℓ *", "+ A@ℓ,i *"), ("+ A@ℓ+1 *", "+ A@ℓ+1,0 *")]
    network = build(compile_spec("preact18_Al", *changes))
    unshared = sum(p.numel() for p in network.parameters())
    assert unshared == 11_172_298
    a = [name for name, _ in network.named_parameters() if name.startswith("A.")]
    assert len(a) == 8


def test_a_shared_kernel_is_one_module_called_twice():
    network = build(compile_spec("preact18_Al"))
    calls = []
    network.A["1"].register_forward_hook(lambda *_: calls.append(1))
    network(torch.zeros(1, 3, 8, 8).expand(2, -1, -1, -1))
    assert len(calls) == 2
    tensors = [t.data_ptr() for t in network.state_dict().values()]
    assert len(tensors) == len(set(tensors))


def test_kernels_start_from_he_and_follow_the_seed():
    source = compile_spec("preact18_Al")
    torch.manual_seed(5)
    one = build(source)
    torch.manual_seed(5)
    two = build(source)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    weight = one.B["4_1"].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    assert weight.mean().abs().item() < 1e-4


# Networks whose names are found by `import_weights`: were they wrong, the numbers would be, too.


def difference(generated, by_hand, images):
    names = import_weights(generated, by_hand, example=images)
    return compare(generated, by_hand, names.__getitem__, images)


@only_in_fuzz
def test_resnet_equals_the_widely_used_one():
    torch.manual_seed(4)
    assert difference(build_spec("resnet18"), ResNet(), torch.randn(2, 3, 16, 16)) < TOLERANCE


@pytest.mark.parametrize(
    ("spec", "sharing"),
    [("resnet18", "none"), ("resnet18_Al", "A"), ("resnet18_Al_Bl_printed", "printed"), ("resnet34_Al", "A")],
)
def test_sharing_in_resnet_is_calling_one_module(spec, sharing):
    torch.manual_seed(5)
    steps = (3, 3, 5, 2) if "34" in spec else (2, 1, 1, 1)
    by_hand = ResNet(steps, NARROW, sharing)
    generated = build_spec(spec, lets=["c = 4, 6, 8, 10"])
    assert difference(generated, by_hand, torch.randn(2, 3, 32, 32)) < TOLERANCE


@pytest.mark.parametrize(
    ("spec", "cu", "cf"),
    [("mgnet", 6, 6), ("mgnet_Bli", 6, 6), ("mgnet_wide_data", 4, 8), ("mgnet_Bli", 9, 5)],
)
def test_mgnet_equals_the_hand_written_one(spec, cu, cf):
    torch.manual_seed(6)
    generated = build_spec(spec, lets=[f"cu = {cu}", f"cf = {cf}"])
    by_hand = MgNet(cu, cf, one_b="Bli" not in spec)
    assert difference(generated, by_hand, torch.randn(2, 3, 32, 32)) < TOLERANCE


SIDES = {(False, False): "{} *", (True, False): "{} * σ", (False, True): "σ ∘ {} *", (True, True): "σ ∘ {} * σ"}


@pytest.mark.parametrize(("a", "b"), some(product(SIDES, SIDES), 5), ids=SIDES.get)
def test_the_schemes_of_table_1_equal_the_hand_written_ones(a, b):
    torch.manual_seed(7)
    lets = ["c = 4, 6, 8, 10", "𝒜@ℓ = " + SIDES[a].format("A@ℓ"), "ℬ@ℓ,i = " + SIDES[b].format("B@ℓ,i")]
    by_hand = FeatureScheme(a, b, (2, 2, 2, 2), NARROW)
    assert difference(build_spec("fbresnet", lets=lets), by_hand, torch.randn(2, 3, 32, 32)) < TOLERANCE
