"""What an equation does for nothing is left out: the same bits come out of the forward pass, and the same gradients."""

from inspect import getfile
from itertools import product
from pathlib import Path

import pytest
import torch
from networks import ROOT, build, gradient, randomise, relative_difference, some
from torch import nn

from cldfc.algebra.drop_zeros import drop_zeros
from cldfc.algebra.merge_equal import merge_equal
from cldfc.algebra.simplify import REWRITES, simplify
from cldfc.algebra.untrained import find_untrained
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.network.cost import cost_of_network
from cldfc.network.graph import Graph
from cldfc.network.resolve import Changes
from cldfc.ops import Add, Concat, Convolution, Zero
from cldfc.syntax.read import read_source

FEATURES = read_source(ROOT / "specs" / "fbresnet.cldf")
NARROW = {
    "fbresnet": ["c = 4"],
    "mgnet": ["cu = 4", "cf = 4"],
    "mgnet_wide_data": ["cu = 4", "cf = 6"],
    "lista": [],
}
CASES = [*sorted((ROOT / "tests/golden/compile").glob("*.cldf")), *(ROOT / f"specs/{name}.cldf" for name in NARROW)]


def pair(source: Source, changes: Changes) -> tuple[nn.Module, nn.Module]:
    """The network as written and simplified, from one seed, in float64."""
    networks = []
    for form in ("written", "simplified"):
        torch.manual_seed(1)
        networks.append(build(Compilation(source, changes).code(form)).double())
    return networks[0], networks[1]


def graphs(text: str) -> tuple[Graph, Graph]:
    source = Source("test.cldf", text)
    network = Compilation(source)
    return network.written, network.simplified


def spec(*equations: str, kernels: str = "kernel A : 3×3 → 4\nkernel B : 3×3 → 4") -> str:
    head = "model Test\ninput f : 4 × 6 × 6\noutput h : 3\n"
    return "\n".join([head + kernels, *equations])


def count(graph: Graph, operator: type) -> int:
    return sum(isinstance(node.operator, operator) for node in graph.nodes())


# The promise


@pytest.mark.parametrize("path", some(CASES, 4), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_not_a_bit_changes_in_the_forward_pass(path, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, rate, training: x)
    source = read_source(path)
    is_spec = path.parent.name == "specs"
    changes = read_changes(NARROW[path.stem] if is_spec else [])
    written, simplified = pair(source, changes)
    start = written.state_dict(), simplified.state_dict()
    assert [*start[0]] == [*start[1]]
    assert all(torch.equal(start[0][name], start[1][name]) for name in start[0])
    randomise(written)
    simplified.load_state_dict(written.state_dict())
    images = torch.randn(2, *Compilation(source, changes).program.shape).double()
    for mode in (False, True):
        outputs = [network.train(mode)(images) for network in (written, simplified)]
        assert torch.equal(*outputs)
        for network, output in zip((written, simplified), outputs, strict=True):
            network.zero_grad()
            (output * torch.arange(1.0, output.numel() + 1).view_as(output)).sum().backward()
        largest = max(float(gradient(parameter).abs().max()) for parameter in written.parameters())
        for one, other in zip(written.parameters(), simplified.parameters(), strict=True):
            assert relative_difference(gradient(other), gradient(one), largest / 100) < 1e-12
    assert all(torch.equal(a, b) for a, b in zip(written.buffers(), simplified.buffers(), strict=True))


@pytest.mark.parametrize(("steps", "convolutions"), [(1, (21, 17)), (2, (29, 25)), (4, (45, 41)), (8, (77, 73))])
def test_convolutions_of_algorithm_2(steps, convolutions):
    changes = read_changes([f"ν = {steps}"])
    network = Compilation(FEATURES, changes)
    written, simplified = network.written, network.simplified
    assert tuple(cost_of_network(graph).convolutions for graph in (written, simplified)) == convolutions


def test_multiply_adds_of_algorithm_2():
    assert round(cost_of_network(Compilation(FEATURES).written).multiply_adds / 1e6, 1) == 945.5
    assert round(cost_of_network(Compilation(FEATURES).simplified).multiply_adds / 1e6, 1) == 794.5


@pytest.mark.parametrize(("levels", "mixed"), some(product([1, 2, 5], [False, True]), 3))
def test_code_is_as_long_for_many_steps_as_for_few(levels, mixed):
    def lines(steps: int) -> int:
        each = [str(1 if mixed and level % 2 else steps + level * mixed) for level in range(levels)]
        lets = [f"J = {levels}", "c = 4", f"ν = {', '.join(each)}"]
        return len(Compilation(FEATURES, read_changes(lets)).code().splitlines())

    assert lines(2) == lines(3) == lines(60)


def test_every_rewrite_takes_part():
    """In the files beside those of the rewrites, a function `Graph → Graph` that is named as its file."""
    folder = Path(getfile(drop_zeros)).parent
    for path in folder.glob("*.py"):
        is_rewrite = f"\ndef {path.stem}(graph: Graph) -> Graph:" in path.read_text(encoding="utf-8")
        if is_rewrite and path.stem != "simplify":
            named = path.stem in [rewrite.__name__ for rewrite in REWRITES]
            assert named, f"`{path.stem}` is not in REWRITES of {getfile(simplify)[len(str(ROOT)) + 1 :]}"


# Zeros


def test_a_zero_that_is_convolved_added_or_subtracted_disappears():
    written, simplified = graphs(spec("u = 0", "v = f - A * u + B * f - u", "h = linear ∘ avgpool(v + relu(u))"))
    assert (count(written, Zero), count(written, Convolution), count(written, Add)) == (1, 2, 2)
    assert (count(simplified, Zero), count(simplified, Convolution), count(simplified, Add)) == (0, 1, 1)


@pytest.mark.parametrize(
    "value", ["bn(u)", "concat(A * f, u)", "sigmoid ∘ A * u", "C * u", "f ⊙ u", "sum(j = 0..1 : w@j)", "softplus(u)"]
)
def test_a_zero_that_something_else_needs_is_left_alone(value):
    kernels = "kernel A : 3×3 → 4\nkernel C : 3×3 → 4, bias\nsteps j = 0..1"
    equations = ("u = 0", "w@0 = u", "w@1 = f", f"h = linear ∘ avgpool({value}) + linear ∘ avgpool(u + f)")
    simplified = graphs(spec(*equations, kernels=kernels))[1]
    assert count(simplified, Zero) == 1


def test_minus_alone_stays():
    written, simplified = graphs(spec("u = 0", "h = linear ∘ avgpool(u - A * f)"))
    assert [node.operator.signs for node in simplified.nodes() if isinstance(node.operator, Add)] == [(-1,)]
    assert count(written, Zero) == 1


def test_a_network_without_zeros_is_left_as_it_is():
    graph = Compilation(read_source(ROOT / "specs/preact18_Al.cldf")).written
    assert drop_zeros(graph) is graph


def test_a_network_with_nothing_to_merge_is_left_as_it_is():
    """`relu(f)` in two equations is cheap to compute twice."""
    graph = Compilation(Source("test.cldf", spec("a = A * relu(f)", "h = linear ∘ avgpool(a + B * relu(f))"))).written
    assert merge_equal(graph) is graph


# Equal expressions


def convolutions(*equations: str, kernels: str = "kernel A : 3×3 → 4\nkernel B : 3×3 → 4") -> tuple[int, int]:
    written, simplified = graphs(spec(*equations, kernels=kernels))
    return count(written, Convolution), count(simplified, Convolution)


def test_equal_expressions_of_one_equation():
    assert convolutions("h = linear ∘ avgpool(relu ∘ A * f + B * relu ∘ A * f)") == (3, 2)


def test_equal_expressions_of_two_equations():
    assert convolutions("u = relu ∘ A * f", "v = B * relu ∘ A * f", "h = linear ∘ avgpool(u + v)") == (3, 2)


def test_the_largest_equal_expression_is_shared():
    written, simplified = graphs(spec("u = f - B * A * f", "v = relu(f - B * A * f)", "h = linear ∘ avgpool(u ⊙ v)"))
    families = {instance.value[0] for instance in simplified.instances} - {i.value[0] for i in written.instances}
    assert len(families) == 1
    assert count(simplified, Convolution) == 2


def test_a_shared_expression_inside_another():
    equations = ("u = B * A * f", "v = relu ∘ B * A * f", "w = tanh ∘ A * f", "h = linear ∘ avgpool(u + v + w)")
    assert convolutions(*equations) == (5, 2)


def test_other_kernels_strides_or_values_are_not_equal():
    equal = ("u = A * f", "v = B * f", "w = upsample ∘ A *_2 f", "x = A * (f + f)", "h = linear ∘ avgpool(u+v+w+x)")
    assert convolutions(*equal) == (4, 4)


def test_what_counts_its_uses_or_draws_is_not_equal():
    kernels = "kernel A@ℓ : 3×3 → 4\nlevels ℓ = 1..1"
    for operator in ("bn", "bn@ℓ", "dropout"):
        equations = (
            f"u@ℓ = A@ℓ * {operator}(f) + A@ℓ * {operator}(f)",
            f"v@ℓ = A@ℓ * {operator}(f)",
            "h = linear ∘ avgpool(u@1 + v@1)",
        )
        assert convolutions(*equations, kernels=kernels) == (3, 3)


def test_terms_of_sums_that_grow_are_computed_once():
    text = spec(
        "x@0 = A * f",
        "x@i = relu(sum(j = 0..i-1 : K@j * x@j))",
        "h = linear ∘ avgpool(x@6)",
        kernels="kernel A : 3×3 → 4\nkernel K@i : 3×3 → 4\nsteps i = 1..6",
    )
    written, simplified = graphs(text)
    assert (count(written, Convolution), count(simplified, Convolution)) == (22, 7)
    assert count(simplified, Concat) == 0
    assert not any(instance.value[0].startswith("terms") for instance in simplified.instances)


# Parameters that nothing trains


@pytest.mark.parametrize("lets", [["ν = 1"], ["ν = 2"], ["ν = 2, 2, 2, 1"], ["J = 1", "ν = 1"], ["J = 1", "ν = 2"]])
def test_untrained_parameters_are_those_without_a_gradient(lets):
    lets = ["c = 4", *lets]
    reported = {
        f"{name}.{'_'.join(map(str, tag))}"
        for name, tag in find_untrained(Compilation(FEATURES, read_changes(lets)).simplified)
    }
    for network in pair(FEATURES, read_changes(lets)):
        randomise(network)
        network(torch.randn(4, 3, 16, 16).double()).square().sum().backward()
        still = {name for name, p in network.named_parameters() if not gradient(p).any()}
        assert {name.removesuffix(".weight") for name in still} == reported


@pytest.mark.parametrize(
    ("difference", "untrained"),
    [("b - a - a", {"A"}), ("b - a", set[str]()), ("a - b", set[str]()), ("b + b - a - a - a - a", {"A"})],
)
def test_a_value_that_is_added_twice_is_cancelled_by_what_subtracts_it_twice(difference, untrained):
    equations = ("a = A * f", "b = a + a", f"h = linear ∘ avgpool(f + {difference})")
    _, simplified = graphs(spec(*equations, kernels="kernel A : 3×3 → 4"))
    assert {name for name, _ in find_untrained(simplified)} == untrained


def test_every_parameter_of_the_other_networks_is_trained():
    for path in some(sorted((ROOT / "specs").rglob("*.cldf")), 8):
        assert find_untrained(Compilation(read_source(path)).simplified) == {}, path


def test_the_simplified_form_trains_as_the_written_one():
    """Three steps of SGD: Algorithm 2 with ν = 2, where each path of a gradient is added up in another order."""
    written, simplified = pair(FEATURES, read_changes(["c = 4"]))
    optimizers = [torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9) for network in (written, simplified)]
    for _ in range(3):
        images, outputs = torch.randn(4, 3, 16, 16).double(), []
        for network, optimizer in zip((written, simplified), optimizers, strict=True):
            optimizer.zero_grad()
            outputs.append(network(images))
            outputs[-1].square().sum().backward()
            optimizer.step()
        assert relative_difference(outputs[1].detach(), outputs[0].detach()) < 1e-12
    for name, tensor in written.state_dict().items():
        assert relative_difference(simplified.state_dict()[name].double(), tensor.double()) < 1e-12
