"""Weights of other implementations in generated networks, from their state dicts."""

import random
from itertools import combinations, permutations

import pytest
import torch
from handwritten_networks import Lista
from networks import (
    ROOT,
    build,
    build_spec,
    compare,
    compile_text,
    only_in_fuzz,
    randomise,
    relative_difference,
    some,
    spec_text,
    torchvision,
)
from reference_networks import BasicBlock, MgNet, ResNet, conv3
from torch import nn
from torch.nn import functional as F

import cldfc
from cldfc.diagnostics import UsageError
from cldfc.weights.groups import ModuleUse, first_uses, read_groups
from cldfc.weights.match import find_options
from cldfc.weights.search_orders import Search, Slot, Stretch

NARROW = ["c = 4, 6, 8, 10"]


def narrow_pair() -> tuple[nn.Module, nn.Module]:
    """A generated ResNet and the same by hand, with numbers of its own."""
    torch.manual_seed(0)
    by_hand = ResNet(widths=(4, 6, 8, 10))
    randomise(by_hand)
    return build_spec("resnet18", lets=NARROW), by_hand


def same_scores(one: nn.Module, other: nn.Module, channels: int = 3) -> bool:
    images = torch.randn(2, channels, 32, 32)
    with torch.no_grad():
        return torch.equal(one.eval()(images), other.eval()(images))


@pytest.mark.parametrize(("depth", "size"), some([(18, 64), (34, 96)], 2))
def test_torchvision_resnet(depth, size):
    """Logits, before and after a pass in training mode, which moves the running statistics."""
    torch.manual_seed(depth)
    other = getattr(torchvision.models, f"resnet{depth}")()
    randomise(other)
    network = build_spec(f"imagenet/resnet{depth}")
    names = cldfc.import_weights(network, other.state_dict())
    assert names.keys() == other.state_dict().keys()
    assert sorted(names.values()) == sorted(network.state_dict())
    assert names["layer2.0.downsample.0.weight"] == "R.2.weight"
    images = torch.randn(2, 3, size, size)
    for training in (False, True):
        with torch.no_grad():
            scores = [net.train(training)(images) for net in (network, other)]
        assert relative_difference(*scores) < 1e-5
    state = network.state_dict()
    for name, tensor in other.state_dict().items():
        assert relative_difference(state[names[name]].float(), tensor.float()) < 1e-5


class PreActBlock(nn.Module):
    """As in widely used code for CIFAR: the shortcut starts after the first σ, and is registered last."""

    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False))

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(out)))) + shortcut


def community_preact(*widths: int) -> nn.Module:
    sizes = zip((widths[0], *widths), widths, (1, 2, 2, 2), strict=False)
    layers = [nn.Sequential(PreActBlock(*size), PreActBlock(size[1], size[1])) for size in sizes]
    stem, head = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.Linear(widths[-1], 10)
    return nn.Sequential(stem, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def test_preact_resnet_in_the_community_style():
    """Its parameter count is the well-known 11,171,146: no bn after the stem, which the spec has."""
    with torch.device("meta"):
        assert sum(p.numel() for p in community_preact(64, 128, 256, 512).parameters()) == 11_171_146
    torch.manual_seed(3)
    other = community_preact(4, 6, 8, 10)
    changes = [("r@1,0   = σ ∘ θ * f", "r@1,0   = θ * f"), ("R@ℓ+1 *_2 r@ℓ,ν", "R@ℓ+1 *_2 p@ℓ+1")]
    changes += [("*_2 σ(r@ℓ,ν)", "*_2 p@ℓ+1\np@ℓ+1 = σ(r@ℓ,ν)"), ("64, 128, 256, 512", "4, 6, 8, 10")]
    changes += [("avgpool ∘ σ(r@J,ν)", "avgpool(r@J,ν)")]
    network = build(compile_text(spec_text("preact18", *changes)))
    names = cldfc.import_weights(network, other.state_dict())
    assert compare(network, other, names.__getitem__, torch.randn(2, 3, 32, 32)) < 1e-12


@only_in_fuzz
def test_vgg_of_torchvision():
    torch.manual_seed(1)
    features = torchvision.models.vgg11_bn().features
    other = nn.Sequential(features, nn.Flatten(), nn.Linear(512, 10))
    randomise(other)
    network = build_spec("vgg11")
    cldfc.import_weights(network, other.state_dict())
    assert same_scores(network, other)
    with torch.device("meta"):
        large = [build_spec("imagenet/vgg11"), torchvision.models.vgg11()]
    names = cldfc.import_weights(large[0], large[1].state_dict())
    assert names["features.18.weight"] == "K.5_2.weight" and len(names) == 2 * 11


def test_densenet_of_torchvision():
    torch.manual_seed(2)
    other = torchvision.models.DenseNet(2, (2, 2, 2), 4, num_classes=10)
    other.features.conv0 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    other.features.norm0 = other.features.relu0 = other.features.pool0 = nn.Identity()
    randomise(other)
    network = build_spec("densenet", lets=["k = 2", "ν = 2", "w = 4, 4, 4"])
    cldfc.import_weights(network, other.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert relative_difference(network.eval()(images), other.eval()(images)) < 1e-5


def test_a_shared_module_has_all_its_names():
    other = MgNet(6, 6)
    names = cldfc.import_weights(build_spec("mgnet", lets=["cu = 6", "cf = 6"]), other.state_dict())
    assert names.keys() == other.state_dict().keys()
    assert names["parts.0.b.weight"] == names["parts.1.b.weight"] == "B.1.weight"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "backbone.encoder."])
def test_a_prefix_makes_no_difference(prefix):
    network, by_hand = narrow_pair()
    cldfc.import_weights(network, {prefix + name: tensor for name, tensor in by_hand.state_dict().items()})
    assert same_scores(network, by_hand)


def test_counters_may_be_missing():
    network, by_hand = narrow_pair()
    state = by_hand.state_dict()
    names = cldfc.import_weights(network, {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")})
    assert len(names) < len(state)
    assert same_scores(network, by_hand)


def test_counters_of_other_programs_are_left_out():
    """A counter of averages, one of operations, and positions, as they are found in files."""
    network, by_hand = narrow_pair()
    extra = {"n_averaged": torch.tensor(3), "layers.0.total_ops": torch.zeros(1, dtype=torch.float64)}
    extra["fc.position_ids"] = torch.arange(9)
    names = cldfc.import_weights(network, extra | by_hand.state_dict())
    assert not extra.keys() & names.keys()
    assert same_scores(network, by_hand)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_number_types_are_converted(dtype):
    network, by_hand = narrow_pair()
    cldfc.import_weights(network, by_hand.to(dtype).state_dict())
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert same_scores(network, by_hand.float())


def test_scalars_however_they_are_stored():
    """In several shapes, before or after the kernel that they go with."""
    other = Lista()
    shapes = {"1": (), "2": (1,), "3": (1, 1), "4": (1, 1, 1)}
    weights = {"decode.weight": other.D.weight}
    for step, shape in shapes.items():
        pair = {f"encode{step}.weight": other.E[step].weight, f"damping{step}": torch.full(shape, 1 / int(step))}
        weights |= pair if step in "12" else dict(reversed(pair.items()))
    weights |= {"head.weight": other.linear.weight, "head.bias": other.linear.bias}
    network = build(compile_text((ROOT / "tests/golden/compile/lista.cldf").read_text(encoding="utf-8")))
    names = cldfc.import_weights(network, weights)
    assert names["damping3"] == "omega.3"
    other.omega.update({step: nn.Parameter(torch.tensor(1 / int(step))) for step in shapes})
    images = torch.randn(2, 1, 8, 8)
    assert relative_difference(network(images).detach(), other(images).detach()) < 1e-5


def test_the_weights_of_a_generated_class():
    """Its tables stand in another order than that of use; here two of them have other names, too."""
    one, two = (build_spec("mgnet_Bli", lets=["cu = 4", "cf = 6"]) for _ in range(2))
    randomise(one)
    renamed = {name.replace("Pi.", "P.").replace("bn_f.", "bn_residual."): t for name, t in one.state_dict().items()}
    names = cldfc.import_weights(two, renamed)
    assert names["P.2.weight"] == "Pi.2.weight" and names["bn_residual.3_2.bias"] == "bn_f.3_2.bias"
    assert same_scores(one, two)


# What does not fit


def refused(network: nn.Module, weights: object) -> tuple[str, str]:
    """Message and help; nothing has been changed."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UsageError) as caught:
        cldfc.import_weights(network, weights)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    return caught.value.message, caught.value.help


def test_a_missing_module():
    network, by_hand = narrow_pair()
    state = {name: tensor for name, tensor in by_hand.state_dict().items() if "layers.1.0.conv2" not in name}
    message, help = refused(network, state)
    assert message.startswith("`layers.1.0.bn2` (bias 6, running_mean 6, running_var 6, weight 6) of the weights fits")
    wanted = "after 12 of its 41 modules it would take `A.2_0` (weight 6×6×3×3) or `R.2` (weight 6×4×1×1)"
    assert help.startswith(f"{wanted}; give the module instead: `import_weights(network, module, example=images)`")


def test_a_missing_end():
    network, by_hand = narrow_pair()
    message, help = refused(network, {n: t for n, t in by_hand.state_dict().items() if not n.startswith("fc.")})
    assert message.startswith("the weights end after `layers.3.1.bn2` (")
    assert help == "the network would take `linear` (bias 10, weight 10×10) next"


def test_no_weights():
    assert refused(narrow_pair()[0], {})[0] == "there are no weights"


def test_a_wrong_width():
    network, by_hand = narrow_pair()
    by_hand.layers[2][1] = BasicBlock(8, 8, 1, b=nn.Conv2d(8, 9, 3))
    message, help = refused(network, by_hand.state_dict())
    assert message == "`layers.2.1.conv1` (bias 9, weight 9×8×3×3) of the weights fits nowhere in the network"
    assert "it would take `B.3_1` (weight 8×8×3×3)" in help


def test_too_many():
    network, by_hand = narrow_pair()
    message, help = refused(network, {**by_hand.state_dict(), "head.weight": torch.zeros(5, 5)})
    assert message == "`head` (weight 5×5) of the weights fits nowhere in the network"
    assert help == "all 41 modules of the network are already matched: leave it out"


def test_names_in_alphabetical_order():
    """As files keep them: it is no order of use, even where shapes would let it pass for one."""
    network, by_hand = narrow_pair()
    _, help = refused(network, dict(sorted(by_hand.state_dict().items())))
    assert "alphabetical order" in help
    by_hand = ResNet((12, 1, 1, 1), (4, 6, 8, 10))
    message, help = refused(
        build_spec("resnet18", lets=[*NARROW, "ν = 12, 1, 1, 1"]), dict(sorted(by_hand.state_dict().items()))
    )
    assert message.startswith("`layers.0.10.bn1` of the weights stands before `layers.0.9.bn1`")
    assert "alphabetical order" in help


def test_what_is_no_state_dict():
    network, by_hand = narrow_pair()
    message, help = refused(network, by_hand)
    assert message == "the weights are not a state dict but of type ResNet"
    assert help.startswith("give `….state_dict()`, or an example of the input, too")
    assert refused(network, 3)[1] == "give `….state_dict()`"
    message, help = refused(network, {"epoch": 3, "model": by_hand.state_dict()})
    assert "`epoch` of the weights is not a tensor, but of type int" in message and "`weights['model']`" in help
    message, _ = refused(network, {n: t.to("meta") for n, t in by_hand.state_dict().items()})
    assert "meta device" in message


def test_a_network_that_cannot_be_traced():
    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)

        def forward(self, x):
            return self.one(x) if x.sum() > 0 else self.two(x)

    message, help = refused(Undecided(), {"fc1.weight": torch.zeros(2, 2), "fc2.weight": torch.zeros(2, 2)})
    assert message.startswith("the network cannot be traced") and "generated class" in help


def test_names_that_speak_against_the_order():
    """A and B of one shape, A registered first: by the order it is the first kernel, which is our B."""

    class Stretch(nn.Module):
        def __init__(self):
            super().__init__()
            self.A, self.norm, self.B = conv3(4, 4), nn.BatchNorm2d(4), conv3(4, 4)
            self.fc = nn.Linear(4, 10)

        def forward(self, f):
            return self.fc((f + self.B(F.relu(self.norm(self.A(f))))).mean((2, 3)))

    text = "model One\ninput f : 4 × 8 × 8\noutput h : 10\nkernel A : 3×3 → 4\nkernel B : 3×3 → 4\n"
    network = build(compile_text(text + "h = linear ∘ avgpool(f + A * relu ∘ bn ∘ B * f)\n"))
    message, _ = refused(network, Stretch().state_dict())
    assert message == "`A` of the weights is `B` by the order of the weights, but `A` by its name"
    names = cldfc.import_weights(network, Stretch(), example=torch.randn(2, 4, 8, 8))
    assert names["A.weight"] == "B.weight"


# The search


def brute_force(uses: list[ModuleUse], likely: list[list[int]], blocks: list[Stretch]) -> list[set[int]]:
    """For each of theirs what it is in some pairing: all orders of theirs with all orders of ours."""
    places = [[*block.ordered, *block.free] for block in blocks]
    numbers = [place.group for block in places for place in block]
    orders = [
        order
        for order in permutations(numbers)
        if all(
            order.index(a.group) < order.index(b.group)
            for block, later in combinations(places, 2)
            for a in block
            for b in later
        )
        and all(
            order.index(a.group) < order.index(b.group) for block in blocks for a, b in combinations(block.ordered, 2)
        )
    ]
    options: list[set[int]] = [set() for _ in numbers]
    names = [use.group for use in uses]
    for own in permutations(range(len(uses))):
        if all(names.index(g) in own[: own.index(at)] for at in own for g in uses[at].after):
            for order in orders:
                if all(our in likely[their] for their, our in zip(order, own, strict=True)):
                    for their, our in zip(order, own, strict=True):
                        options[their].add(our)
    return options


@pytest.mark.parametrize("seed", range(60))
def test_the_search_finds_all_pairings_and_no_others(seed):
    draw = random.Random(seed)
    count = 5
    before: list[frozenset[str]] = []
    for at in range(count):
        near = [str(n) for n in range(at) if draw.random() < 0.35]
        before.append(frozenset(near).union(*(before[int(n)] for n in near)))
    uses = [ModuleUse(str(at), after) for at, after in enumerate(before)]
    kinds = [draw.randrange(2) for _ in uses]
    theirs = draw.sample(kinds, count) if draw.random() < 0.3 else kinds
    likely = [[at for at, kind in enumerate(kinds) if kind == wanted] for wanted in theirs]
    places = [Slot(at, at, "") for at in range(count)]
    cut, is_free = draw.randrange(count), [draw.random() < 0.5 for _ in places]
    blocks = [
        Stretch(tuple(p for p in part if not is_free[p.group]), tuple(p for p in part if is_free[p.group]))
        for part in (places[:cut], places[cut:])
    ]
    search = Search(blocks, uses, [-1] * count, likely.__getitem__, lambda _: False)
    found = [set(option) for option in find_options(search)]
    expected = brute_force(uses, likely, blocks)
    assert found == ([] if set() in expected else expected)


@pytest.mark.parametrize("seed", some(range(3), 3))
@pytest.mark.parametrize(
    ("spec", "lets"),
    [
        ("fbresnet", ["c = 4, 4, 4, 4"]),
        ("mgnet", ["cu = 4", "cf = 4"]),
        ("fractalnet", ["c = 4, 4, 4, 4, 4"]),
        ("preact18", ["c = 4, 4, 4, 4"]),
        ("lm_resnet", ["c = 4, 4, 4", "ν = 3, 2, 2"]),
        ("densenet", ["k = 2", "ν = 2, 2, 2", "w = 4, 4, 4"]),
        ("unet", ["J = 3", "c = 4, 4, 4"]),
    ],
)
def test_in_any_order_of_use_it_is_right_or_refused(spec, lets, seed):
    """Names say nothing, all widths are equal, and the state dict is in an order of use drawn at random."""
    network, draw = build_spec(spec, lets=lets), random.Random(seed)
    state = network.state_dict()
    groups = {group.name: group for group in read_groups(state)}
    uses = {use.group: use for use in first_uses(network, list(groups))}
    order: list[str] = []
    while len(order) < len(uses):
        order.append(draw.choice([name for name in uses if name not in order and uses[name].after <= set(order)]))
    letters = ["".join(draw.choices("abcdefgh", k=9)) for _ in order]
    theirs = {
        f"{word}.{part}".rstrip("."): tensor
        for word, name in zip(letters, order, strict=True)
        for part, tensor in groups[name].tensors.items()
    }
    try:
        names = cldfc.import_weights(build_spec(spec, lets=lets), theirs)
    except UsageError as error:
        assert "may be" in error.message
    else:
        assert all(state[own] is theirs[name] for name, own in names.items())


@only_in_fuzz
def test_a_long_network_is_matched_in_a_moment():
    by_hand = ResNet((60,) * 4, (2, 3, 4, 5))
    names = cldfc.import_weights(build_spec("resnet18", lets=["c = 2, 3, 4, 5", "ν = 60"]), by_hand.state_dict())
    assert names["layers.3.60.bn2.weight"] == "bn_A.4_60.weight"
