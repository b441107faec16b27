"""FB-ResNet (Algorithm 2 with a linear 𝒜) in its three forms, in alternating runs: `make bench`.

Theorem 1 says that the three are one network; the residual form is the cheapest. The ratios are times of the form as
written over those of another, medians over turns of all forms, two threads, float32: above 1.00 the other is faster.
The promise for the residual form is 1.25 at ν = 2 with 64 to 512 channels, in training and in inference, and at most
0.85 of the memory that the backward pass needs.

`torch.compile` is a peer: how many of the convolutions as written are left in the training pass that it compiles.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc.compilation import Compilation, Form, read_changes
from cldfc.network.cost import cost_of_network
from cldfc.syntax.read import read_source
from cldfc.weights.network import build_network

SPEC = read_source(Path(__file__).parents[1] / "specs" / "fbresnet.cldf")
FORMS: tuple[Form, ...] = ("written", "simplified", "residual")
TURNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
BATCH = 32


def generate(form: Form) -> nn.Module:
    """The network in one form, with random weights."""
    torch.manual_seed(0)
    source = Compilation(SPEC, read_changes(["ν = 2"])).code(form)
    return build_network(source, "FBResNet_residual" if form == "residual" else "FBResNet")


def training_step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Forward, backward, and a step of SGD."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    labels = torch.arange(len(images)) % 10

    def run() -> None:
        network.train()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return run


def inference(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """One pass in eval mode."""

    def run() -> None:
        network.eval()
        with torch.inference_mode():
            network(images)

    return run


def seconds(run: Callable[[], None]) -> float:
    """The time of a run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speedups(kind: Callable[[nn.Module, Tensor], Callable[[], None]], images: Tensor) -> dict[Form, float]:
    """How much faster than as written each form is: the median over turns, after a warm-up."""
    runs = {form: kind(generate(form), images) for form in FORMS}
    for run in runs.values():
        run()
    turns = [{form: seconds(run) for form, run in runs.items()} for _ in range(TURNS)]
    return {form: statistics.median(turn["written"] / turn[form] for turn in turns) for form in FORMS}


def saved_bytes(network: nn.Module, images: Tensor) -> int:
    """What autograd keeps for the backward pass, parameters and buffers apart, each storage once."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network.train()(images)
    assert output.requires_grad
    return sum(kept.values())


def convolutions_left(network: nn.Module, images: Tensor) -> int:
    """The convolutions in the forward pass of training that `torch.compile` runs."""
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd
    from torch._functorch.partitioners import min_cut_rematerialization_partition

    counts: list[int] = []

    def count(graph: torch.fx.GraphModule, _: object) -> object:
        counts.append(sum("convolution" in str(node.target) for node in graph.graph.nodes))
        return make_boxed_func(graph.forward)

    backend = aot_autograd(
        fw_compiler=count,
        bw_compiler=lambda graph, _: make_boxed_func(graph.forward),
        partition_fn=min_cut_rematerialization_partition,
    )
    torch.compile(network.train(), backend=backend)(images).sum()
    return counts[0]


if __name__ == "__main__":
    torch.set_num_threads(2)
    images = torch.randn(BATCH, 3, 32, 32)
    steps, passes = speedups(training_step, images), speedups(inference, images)
    kept = {form: saved_bytes(generate(form), images) for form in FORMS}
    print(f"{'form':12}{'convolutions':>13}{'multiply-adds':>15}{'training':>10}{'inference':>11}{'memory kept':>13}")
    for form in FORMS:
        cost = cost_of_network(Compilation(SPEC, read_changes(["ν = 2"])).graph(form))
        print(
            f"{form:12}{cost.convolutions:13}{cost.multiply_adds / 1e6:13.1f} M"
            f"{steps[form]:9.2f}×{passes[form]:10.2f}×{kept[form] / kept['written']:12.2f}×"
        )
    left = convolutions_left(generate("written"), images)
    print(f"torch.compile leaves {left} of the 29 convolutions as written in the forward pass of training")
