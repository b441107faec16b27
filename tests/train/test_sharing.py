"""A kernel that is used eight times is one tensor, wherever the network goes: saved, copied, spread, exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from io import BytesIO
from itertools import product
from pathlib import Path

import onnx
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from networks import ROOT, build, only_in_fuzz, randomise, some
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from cldfc.compilation import Compilation, read_changes
from cldfc.data.catalogue import find
from cldfc.network.resolve import Changes
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code, origins_of
from cldfc.weights.export import onnx as onnx_format
from cldfc.weights.export import torch_export
from cldfc.weights.export.classifier import Classifier, describe_network
from cldfc.weights.inference import fold_weights

DATASET = find("fake:2x8x8:5")
ABOUT = describe_network("Net", DATASET, True, 0, {})
USES = 8

# A is followed by a sum in the one network and by a norm at each use in the others, which only one use could fold.
NETWORKS: dict[str, tuple[str, Changes, str]] = {
    "one A for each level": ("preact18_Al", read_changes(["J = 2", "c = 4", "ν = 8, 1"], (), "2x8x8", 5), "A.1.weight"),
    "one A for all levels": ("preact18_Al", read_changes(["c = 4"], ["A"], "2x8x8", 5), "A.weight"),
    "one A with a norm after each use": (
        "resnet18_Al",
        read_changes(["J = 2", "c = 4", "ν = 8, 1"], (), "2x8x8", 5),
        "A.1.weight",
    ),
}

Made = tuple[nn.Module, str]


def make(name: str) -> Made:
    """A network whose tensors are all different, and the name of its A."""
    spec, changes, kernel = NETWORKS[name]
    torch.manual_seed(1)
    network = build(Compilation(read_source(ROOT / "specs" / f"{spec}.cldf"), changes).code())
    randomise(network)
    return network, kernel


@pytest.fixture(params=NETWORKS)
def made(request: pytest.FixtureRequest) -> Made:
    return make(request.param)


def batch() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(6, 2, 8, 8, generator=draw), torch.arange(6) % 5


class Convolutions(TorchFunctionMode):
    """Notes the weight of every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.conv2d:
            self.weights.append(args[1])
        return func(*args, **(kwargs or {}))


def step(network: nn.Module) -> None:
    """One step of training."""
    images, labels = batch()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    optimizer.zero_grad()
    F.cross_entropy(network.train()(images), labels).backward()
    optimizer.step()


@torch.no_grad()
def scores(network: nn.Module) -> Tensor:
    return network.eval()(batch()[0])


def one_tensor(network: nn.Module, kernel: str) -> Tensor:
    """A, after seeing that all parameters lie apart and that eight convolutions take this one."""
    tensors = dict(network.named_parameters(remove_duplicate=False))
    assert len({tensor.data_ptr() for tensor in tensors.values()}) == len(tensors)
    with Convolutions() as seen:
        scores(network)
    assert sum(weight is tensors[kernel] for weight in seen.weights) == USES
    return tensors[kernel]


def survives(network: nn.Module, moved: nn.Module, kernel: str, prefix: str = "") -> None:
    """The moved network is the same before and after a step of training, and its A is one tensor."""
    assert count(moved.parameters()) == count(network.parameters())
    assert torch.equal(scores(moved), scores(network))
    before = one_tensor(moved, prefix + kernel).detach().clone()
    assert before.data_ptr() != dict(network.named_parameters())[kernel].data_ptr()
    step(moved)
    step(network)
    after = one_tensor(moved, prefix + kernel)
    assert not torch.equal(after, before)
    assert torch.equal(after, dict(network.named_parameters())[kernel])
    assert torch.equal(scores(moved), scores(network))


def count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def test_saved_and_loaded(made: Made, tmp_path: Path) -> None:
    """`save_file` refuses tensors that share memory."""
    network, kernel = made
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    tensors = load_file(tmp_path / "weights.safetensors")
    assert count(tensors.values()) == count(network.parameters()) + count(network.buffers())
    loaded = type(network)()
    loaded.load_state_dict(tensors)
    survives(network, loaded, kernel)


def test_loaded_in_the_place_of_its_own_tensors(made: Made) -> None:
    network, kernel = made
    with torch.device("meta"):
        loaded = type(network)()
    loaded.load_state_dict({name: tensor.clone() for name, tensor in network.state_dict().items()}, assign=True)
    survives(network, loaded, kernel)


def test_copied(made: Made) -> None:
    network, kernel = made
    survives(network, deepcopy(network), kernel)


@contextmanager
def group(folder: Path) -> Generator[None]:
    """A process group of one."""
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 1), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_spread(made: Made, tmp_path: Path) -> None:
    network, kernel = made
    with group(tmp_path):
        survives(network, DistributedDataParallel(deepcopy(network)), kernel, "module.")


# Exports


def as_trained(name: str) -> Made:
    return make(name)


def folded(name: str) -> Made:
    """The same for inference, with the folded weights."""
    spec, changes, kernel = NETWORKS[name]
    inference = Compilation(read_source(ROOT / "specs" / f"{spec}.cldf"), changes).folded()
    network = build(folded_code(inference))
    network.load_state_dict(fold_weights(make(name)[0].state_dict(), origins_of(inference)))
    return network, kernel


EACH = pytest.mark.parametrize(("name", "form"), some(product(NETWORKS, (as_trained, folded)), 6))


def needed(network: nn.Module) -> int:
    """Numbers that a network computes with in evaluation: parameters and running statistics."""
    return sum(tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point())


@only_in_fuzz
@EACH
def test_onnx(name: str, form: Callable[[str], Made]) -> None:
    network, kernel = form(name)
    model = onnx.load_model_from_string(onnx_format.write(Classifier(network, DATASET), ABOUT))
    numbers = {part.name: torch.Size(part.dims).numel() for part in model.graph.initializer if part.data_type == 1}
    assert sum(numbers.values()) == needed(network) + len(DATASET.mean) + len(DATASET.std)
    uses = Counter(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    assert uses[f"network.{kernel}"] == USES
    assert sum(uses.values()) == sum(1 for _ in convolutions(network))


@EACH
def test_an_exported_program(name: str, form: Callable[[str], Made]) -> None:
    network, kernel = form(name)
    program = torch.export.load(BytesIO(torch_export.write(Classifier(network, DATASET), ABOUT)))
    assert count(dict(program.named_parameters()).values()) == count(network.parameters())
    (place,) = [at for at, own in program.graph_signature.inputs_to_parameters.items() if own == f"network.{kernel}"]
    (node,) = [node for node in program.graph.nodes if node.name == place]
    assert len(node.users) == USES
    assert {str(user.target) for user in node.users} == {"aten.conv2d.default"}


def convolutions(network: nn.Module) -> Iterator[Tensor]:
    """The weight of every convolution that a network computes."""
    with Convolutions() as seen:
        scores(network)
    return iter(seen.weights)


def test_norms_after_a_shared_kernel_stay() -> None:
    """Folding them would make eight kernels of one."""
    trained, folded_one = (form("one A with a norm after each use")[0] for form in (as_trained, folded))
    norms = [name for name, part in folded_one.named_modules() if isinstance(part, nn.BatchNorm2d)]
    assert len([name for name in norms if name.startswith("bn_A.1_")]) == USES
    assert torch.equal(*(dict(network.named_parameters())["A.1.weight"] for network in (trained, folded_one)))
    assert torch.allclose(scores(trained), scores(folded_one), atol=1e-5)
