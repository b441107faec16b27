"""FB-ResNet (Algorithm 2 with a linear 𝒜) in its three forms: time and memory of a training step and of a pass.

Theorem 1 says that the three are one network; the residual form is the cheapest. The promise for it is 1.25 at ν = 2
with 64 to 512 channels, in training and in inference, and at most 0.85 of the memory that the backward pass needs.

`torch.compile` is a peer: the forms also go through it, and it is counted how many of the convolutions as written are
left in the training pass that it makes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.measuring import ROOT, Benchmark, Work, main
from benchmarks.scripts import COMPILED, GOOD, PLAIN, inference, mode_in_words, training
from cldfc.compilation import Compilation, Form, read_changes
from cldfc.network.cost import cost_of_network
from cldfc.syntax.read import read_source
from cldfc.weights.network import build_network

SPEC = read_source(ROOT / "specs" / "fbresnet.cldf")
FORMS: tuple[Form, ...] = ("written", "simplified", "residual")
KINDS = {"training": training, "inference": inference}
BATCH = 32


def compilation(is_quick: bool) -> Compilation:
    return Compilation(SPEC, read_changes(["ν = 2", *["c = 8, 8, 8, 8"] * is_quick]))


def generate(form: Form, is_quick: bool = False) -> nn.Module:
    """The network in one form, with random weights."""
    torch.manual_seed(0)
    return build_network(compilation(is_quick).code(form), "FBResNet_residual" if form == "residual" else "FBResNet")


def batch(is_quick: bool) -> Tensor:
    return torch.randn(2 if is_quick else BATCH, 3, 32, 32)


def side(name: str, is_quick: bool) -> Work:
    form, mode, kind = name.split("; ")
    run = KINDS[kind](generate(form, is_quick), batch(is_quick), mode)
    return lambda: run() is None


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


def measure(benchmark: Benchmark) -> None:
    is_quick = benchmark.is_quick
    images = batch(is_quick)
    modes = (PLAIN, GOOD) if is_quick else (PLAIN, GOOD, COMPILED)
    costs = {form: cost_of_network(compilation(is_quick).graph(form)) for form in FORMS}
    kept = {form: saved_bytes(generate(form, is_quick), images) for form in FORMS}
    left = convolutions_left(generate("written", is_quick), images)
    benchmark.table(
        "What does the residual form save?",
        f"FB-ResNet, ν = 2, images of 3 × 32². torch.compile leaves {left} of the {costs['written'].convolutions} "
        "convolutions as written in the forward pass of training.",
        {"form": "{}", "convolutions": "{}", "multiply-adds": "{:.1f} M", "kept for backward": "{:.2f} ×"},
        [[f, costs[f].convolutions, costs[f].multiply_adds / 1e6, kept[f] / kept["written"]] for f in FORMS],
    )
    benchmark.promise("residual form: of the memory kept for backward", kept["residual"] / kept["written"], most=0.85)
    rows: list[list[str | float]] = []
    for mode, kind in ((mode, kind) for mode in modes for kind in KINDS):
        what = f"{kind}, {mode_in_words(mode)}"
        names = [f"{form}; {mode}; {kind}" for form in FORMS]
        found = benchmark.compare(what, names, 0.5 / len(modes) / len(KINDS))
        speeds = [found.ratio(names[0], name) for name in names]
        rows.append(
            [what, len(images) / found.median(names[0]), *speeds[1:], *(found.megabytes[name] for name in names)]
        )
        if mode != COMPILED:
            benchmark.promise(f"residual form, {what}: times as fast as written", speeds[-1], least=1.25)
    columns = {"": "{}", "as written": "{:,.0f} images/s"}
    columns |= dict.fromkeys(FORMS[1:], "{:.2f} × as fast") | {f"memory, {form}": "{:,.0f} MB" for form in FORMS}
    about = f"Batches of {len(images)}. Memory is what the process has at most, torch included."
    benchmark.table("How much faster is it?", about, columns, rows)


if __name__ == "__main__":
    main(measure, 5, side)
