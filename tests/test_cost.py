"""What a network costs, against what torch counts and keeps when the generated class runs."""

from itertools import product
from math import prod

import networkx
import pytest
import torch
from networks import ROOT, build, in_one_test, some
from test_operators import CASES, evaluate, infer, make
from test_operators import numbers as numbers_of
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from cldfc import ops
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.emit.torch_module import emit_module
from cldfc.network.cost import cost_of_network, cost_of_operations, costs_of_levels, levels_of
from cldfc.output import short_bytes, short_count
from cldfc.syntax.read import read_source

SPECS = sorted((ROOT / "specs").rglob("*.cldf"))
# Whose maps would otherwise be large; the others have an input that their levels divide.
SMALLER = {"imagenet": "3x64x64", "vgg11": "3x32x32", "fractalnet": "3x32x32", "lenet5": "1x12x12"}
SMALLER |= {
    "multigrid": "1x15x15",
    "lista_trained": "1x16x16",
    "mgnet_signals": "1x64",
    "admm_net": "1x12x12",
    "learned_primal_dual": "1x12x12",
    "ffdnet": "f=1x12x12",
}
SMALLER |= {"googlenet_aux": "3x224x224", "inception_v3": "3x75x75", "inception_v3_aux": "3x299x299"}
BATCH = 2


def graph_of(path):
    small = SMALLER.get(path.stem) or SMALLER.get(path.parent.name) or "3x16x16"
    # The output of these is a map of the size that they state.
    states_size = path.stem == "vnet" or (path.parent.name == "multigrid" and path.stem != "poisson_sweeps")
    return Compilation(read_source(path), read_changes(input=None if states_size else small)).simplified


class Saved:
    """Counts the bytes of what autograd saves, parameters and buffers apart, each storage once."""

    def __init__(self, *modules: nn.Module | nn.Parameter | None) -> None:
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.apart = set()
        for module in modules:
            own = [*module.parameters(), *module.buffers()] if isinstance(module, nn.Module) else [module]
            self.apart |= {tensor.untyped_storage().data_ptr() for tensor in own if tensor is not None}

    def pack(self, tensor: torch.Tensor) -> None:
        """Keeps the tensor's storage; the tensor itself would keep its network alive, and nothing runs backward."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.apart:
            self.storages[storage.data_ptr()] = storage

    def hooks(self):
        return saved_tensors_hooks(self.pack, lambda nothing: nothing)

    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


@pytest.mark.parametrize(
    "spec",
    some([s for s in SPECS if s.stem not in ("vnet", "inception_v3_aux")], 16),
    ids=lambda path: path.relative_to(ROOT / "specs").as_posix(),
)
def test_a_spec_costs_what_torch_counts_and_keeps(spec):
    graph = graph_of(spec)
    cost = cost_of_network(graph)
    torch.manual_seed(0)
    network = build(emit_module(graph)).train()
    saved = Saved(network)
    given = [torch.randn(BATCH, *graph.shape(key)) for key in graph.program.input_keys if graph.shape(key)]
    given += [torch.randn(BATCH, 1) for key in graph.program.input_keys if not graph.shape(key)]
    with FlopCounterMode(display=False) as counter, saved.hooks():
        network(*given)
    assert cost.parameters == sum(parameter.numel() for parameter in network.parameters())
    counted, stated = counter.get_total_flops(), 2 * BATCH * cost.multiply_adds
    # An iteration may come to rest before its last step, and torch leaves inner products out.
    more = ops.Iterated | ops.InnerProduct | ops.EuclideanNorm
    assert counted < stated if any(isinstance(node.operator, more) for node in graph.nodes()) else counted == stated
    assert cost.kept.of(BATCH) == saved.bytes()


OTHERS = sorted([*(ROOT / "tests" / "golden" / "compile").glob("*.cldf"), *(ROOT / "examples").glob("*.cldf")])


@pytest.mark.parametrize("spec", some(OTHERS, 3), ids=lambda path: path.stem)
@pytest.mark.parametrize("batch", some([5, 2], 2))
def test_what_is_kept_is_linear_in_the_batch(spec, batch):
    # In float32 nothing comes to rest within 1e-13.
    lets = ["ε = 1e-3"] if spec.stem == "fixed_points" else []
    graph = Compilation(read_source(spec), read_changes(lets)).simplified
    network = build(emit_module(graph)).train()
    saved = Saved(network)
    with saved.hooks():
        network(torch.randn(batch, *graph.program.shape))
    kept = cost_of_network(graph).kept.of(batch)
    kernels = [node.operator for node in graph.nodes() if isinstance(node.operator, ops.Kernel)]
    has_borders = any(getattr(kernel, "mode", "zeros") != "zeros" for kernel in kernels)
    # What torch keeps of padded maps is left out.
    assert kept < saved.bytes() < 2 * kept if has_borders else kept == saved.bytes()


@in_one_test(some([case for case in CASES if not isinstance(case.operator, ops.Statistics)], 2))
def test_an_operator_keeps_what_torch_keeps(case):
    """Whichever of the operands depend on parameters."""
    for shapes in case.shapes:
        result, sizes = infer(case, shapes)
        for trained in product([False, True], repeat=len(shapes)):
            module = make(case, sizes)
            module = nn.Parameter(module.float()) if isinstance(module, nn.Parameter) else module and module.float()
            xs = [
                torch.randn(BATCH, *shape, requires_grad=wanted) for shape, wanted in zip(shapes, trained, strict=True)
            ]
            saved = Saved(module)
            with saved.hooks():
                found = evaluate(case, module, xs, training=True)
            # Generated code sums with `sum(…)`, which starts at 0 and so makes a tensor of its own.
            if not isinstance(case.operator, ops.Total):
                assert case.operator.is_view() == any(
                    found.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for x in xs
                )
            kept = case.operator.keeps(result, trained) if any(trained) or numbers_of(module) else ops.Kept()
            numbers = sum(prod(shapes[place]) for place in kept.operands) + kept.result * prod(result)
            assert BATCH * (4 * numbers + kept.each_image) + kept.each_batch == saved.bytes()


@pytest.mark.parametrize(
    "rules", ["zero_sum", "symmetric, zero_sum", "unit_norm", "zero_sum, unit_norm", "unit_norm, bias"]
)
@pytest.mark.parametrize("channels", ["→ 4", "→ 4, groups 2", "each shared"])
def test_weights_that_rules_make_are_kept(rules, channels):
    """One for each use, whatever the number of images."""
    if channels == "each shared":
        rules = rules.removesuffix(", bias")
    text = (
        f"model N\ninput f : 4 × 4 × 4\noutput h : 3\nkernel A : 3×3 {channels}, {rules}\nlet B = A *\n"
        f"h = linear ∘ avgpool ∘ relu ∘ B ∘ relu ∘ B(f)\n"
    )
    graph = Compilation(Source("kept.cldf", text)).simplified
    saved = Saved(network := build(emit_module(graph)).train())
    with saved.hooks():
        network(torch.randn(BATCH, 4, 4, 4))
    assert cost_of_network(graph).kept.of(BATCH) == saved.bytes()


def test_a_tensor_that_two_operations_keep_is_counted_once():
    """f once, though two kernels keep it; their sum, which the pooling and the last kernel keep, once."""
    text = (
        "model N\ninput f : 2 × 4 × 4\noutput h : 3\nkernel A : 3×3 → 2\nkernel B : 3×3 → 2\nkernel C : 1×1 → 3\n"
        "x = A * f + B * f\ny = C * identity(x)\nh = linear ∘ flatten(concat(maxpool[2](y), maxpool[2](y)))\n"
    )
    kept = cost_of_network(Compilation(Source("n.cldf", text)).written).kept
    f, x, y, indices, flat = 32, 32, 48, 12, 24
    assert kept.of(1) == kept.each_image == 4 * (f + x + y + flat) + 8 * 2 * indices


def test_without_parameters_nothing_is_kept():
    text = "model N\ninput f : 3 × 4 × 4\noutput h : 3\nh = avgpool ∘ relu(f ⊙ f)\n"
    assert cost_of_network(Compilation(Source("n.cldf", text)).simplified).kept.of(7) == 0


# As the networks are called, but of Wide ResNet-28, whose name counts projections, 26 follow one another,
# and the form of VGG-11 for CIFAR has one `linear` where the original has three.
DEPTHS = {
    "lenet5": 5,
    "vgg11": 9,
    "resnet18": 18,
    "resnet34": 34,
    "preact18_Al": 18,
    "imagenet/resnet18": 18,
    "imagenet/resnet34": 34,
    "resnext": 29,
    "densenet": 100,
    "wide_resnet": 26,
}


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_is_what_the_name_says(name):
    assert cost_of_network(Compilation(read_source(ROOT / "specs" / f"{name}.cldf")).simplified).depth == DEPTHS[name]


@pytest.mark.parametrize("spec", some(SPECS, 8), ids=lambda path: path.relative_to(ROOT / "specs").as_posix())
def test_depth_and_levels(spec):
    """networkx finds the same longest path; the levels add up to the whole."""
    graph = graph_of(spec)
    cost = cost_of_network(graph)
    levels = [level.cost for level in costs_of_levels(graph, cost_of_operations(graph), levels_of(graph)).values()]
    layers = {at for at, node in enumerate(graph.nodes()) if isinstance(node.operator, ops.Kernel | ops.Linear)}
    weighted = networkx.DiGraph()
    weighted.add_weighted_edges_from((one, other, int(other in layers)) for one, other in graph.net.edges())
    assert cost.depth == networkx.dag_longest_path_length(weighted)
    for figure in ("parameters", "unshared", "multiply_adds", "convolutions"):
        assert sum(getattr(level, figure) for level in levels) == getattr(cost, figure)
    assert sum(level.kept.of(BATCH) for level in levels) == cost.kept.of(BATCH)
    assert max(level.depth for level in levels) <= cost.depth


def test_the_depth_of_a_level_is_that_of_its_own_layers():
    graph = Compilation(read_source(ROOT / "specs" / "resnet18.cldf")).simplified
    levels = costs_of_levels(graph, cost_of_operations(graph), levels_of(graph)).values()
    assert [(level.name, level.cost.depth) for level in levels] == [
        *(("ℓ=1", 5), ("ℓ=2", 4), ("ℓ=3", 4), ("ℓ=4", 4), ("h", 1))
    ]


@pytest.mark.parametrize(
    ("count", "text", "size"),
    [
        (0, "0", "0 B"),
        (999, "999", "999 B"),
        (1_000, "1.00 k", "1.00 kB"),
        (9_994, "9.99 k", "9.99 kB"),
        (9_996, "10.0 k", "10.0 kB"),
        (999_499, "999 k", "999 kB"),
        (999_501, "1.00 M", "1.00 MB"),
        (8_038_858, "8.04 M", "8.04 MB"),
        (1_814_073_344, "1.81 G", "1.81 GB"),
    ],
)
def test_numbers_in_three_digits(count, text, size):
    assert (short_count(count), short_bytes(count)) == (text, size)
