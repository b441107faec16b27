"""Convolutions on small maps, several images side by side, against the plain ones.

In bfloat16 where the processor has it, else in float32; batches of 128, channels-last. Errors are the largest ones
against float64, over the largest value: of the result, the gradient of the images and that of the kernel. Then whole
training steps, with the forms that the measurement of `cldfc train` chooses, and how long it takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import copy, deepcopy
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.cuda_parts.job import compiled_from, graph_of
from benchmarks.measuring import Benchmark, Cell, main, ratio
from benchmarks.scripts import Steps, bare
from cldfc.data.catalogue import find
from cldfc.device import choose_device
from cldfc.recipe import change_recipe
from cldfc.runs.training_run import prepare
from cldfc.weights.network import build_network
from cldfc.weights.small_maps import SmallConv2d, count_for, find_narrow, lay_side_by_side, measure_counts, pays

BATCH = 128
DEVICE = choose_device(wished="cpu")
SHAPES = (
    (512, 512, 3, 1, 2),
    (512, 512, 3, 1, 4),
    (256, 512, 3, 2, 8),
    (256, 512, 1, 2, 8),
    (256, 256, 3, 1, 8),
    (128, 256, 3, 2, 16),
    (128, 128, 3, 1, 16),
)
"""Channels before and after, size of the kernel, stride, size of the map."""
NETWORKS = ("preact18_Al", "fbresnet")
DATA = find("fake:3x32x32:10")

Timed = Callable[[], list[float]]
"""Computes once, and says how many seconds each part took."""


def convolution(kernel: SmallConv2d, images: Tensor) -> Callable[[], list[Tensor]]:
    """The result, and the gradients of images and kernel."""

    def run() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=DEVICE.bf16 and images.dtype != torch.float64):
            result: Tensor = kernel(images)
        slope = torch.sin(torch.arange(result.numel())).view_as(result).to(result.dtype)
        return [result.detach(), *torch.autograd.grad(result, [images, kernel.weight], slope)]

    return run


def timed(kernel: SmallConv2d, images: Tensor) -> Timed:
    """Seconds of the forward pass, of the gradient of the images, and of that of the kernel."""

    def run() -> list[float]:
        times = [time.perf_counter()]
        with torch.autocast("cpu", torch.bfloat16, enabled=DEVICE.bf16):
            result: Tensor = kernel(images)
        times.append(time.perf_counter())
        slope = torch.ones_like(result)
        for given in (images, kernel.weight):
            torch.autograd.grad(result, [given], slope, retain_graph=True)
            times.append(time.perf_counter())
        return [after - before for before, after in pairwise(times)]

    return run


def errors(kernel: SmallConv2d, images: Tensor) -> str:
    """The largest errors against float64 of the result and of both gradients."""
    exact = deepcopy(kernel).double()
    exact.side_by_side = {}
    wanted = convolution(exact, images.detach().double().requires_grad_())()
    found = convolution(kernel, images)()
    return " ".join(f"{float((a - b).abs().max() / b.abs().max()):.0e}" for a, b in zip(found, wanted, strict=True))


def measure(benchmark: Benchmark) -> None:
    compare_shapes(benchmark, *((SHAPES[:1], 32) if benchmark.is_quick else (SHAPES, BATCH)))
    if not benchmark.is_quick:
        compare_steps(benchmark)


def compare_shapes(benchmark: Benchmark, shapes: tuple[tuple[int, ...], ...], batch: int) -> None:
    rows: list[list[Cell]] = []
    for inputs, outputs, taps, stride, size in shapes:
        torch.manual_seed(0)
        plain = SmallConv2d(inputs, outputs, taps, stride, taps // 2, bias=False).to(memory_format=torch.channels_last)
        beside, type = copy(plain), torch.bfloat16 if DEVICE.bf16 else torch.float32
        name, count = plain.name_on((size, size)), count_for(plain.columns(size), batch)
        beside.side_by_side = {(size, size): count}
        images = torch.randn(batch, inputs, size, size).to(type).contiguous(memory_format=torch.channels_last)
        images.requires_grad_()
        one, other = timed(plain, images), timed(beside, images)
        _ = one(), other()
        turns = [(one(), other()) for _ in benchmark.rounds(0.6 / len(shapes))]
        # The forward pass, both gradients, and all together.
        sums = [([*before, sum(before)], [*after, sum(after)]) for before, after in turns]
        benchmark.runs[name] = {
            "plain": [before[-1] for before, _ in sums],
            "side by side": [after[-1] for _, after in sums],
        }
        chosen = pays(plain, (size, size), count, DEVICE, torch.channels_last, batch)
        seconds = statistics.median(before[-1] for before, _ in sums)
        ratios = [statistics.median(before[part] / after[part] for before, after in sums) for part in range(4)]
        found = errors(plain, images), errors(beside, images), "yes" if chosen else "no"
        rows.append([name, 1000 * seconds, *ratios, *found])
    columns = {"convolution": "{}", "plain": "{:.1f} ms"}
    columns |= dict.fromkeys(("forward", "images", "kernel", "all"), "{:.2f} × as fast")
    columns |= dict.fromkeys(("errors, plain", "errors, side by side", "chosen"), "{}")
    about = (
        "How much faster several images side by side are than one by one, in the forward pass and for the gradients of "
        "images and kernel; chosen is what the short measurement of `cldfc train` says."
    )
    benchmark.table("What do small maps gain side by side?", about, columns, rows)


def compare_steps(benchmark: Benchmark) -> None:
    rows: list[list[Cell]] = []
    for name in NETWORKS:
        compiled, recipe = compiled_from(graph_of(name, DATA)), change_recipe(DATA.recipe, {"batch": BATCH})
        networks = [build_network(compiled.source, compiled.class_name) for _ in range(2)]
        tasks = [prepare(network, DATA, recipe, Path(), wished="cpu", side_by_side={}) for network in networks]
        uses, start = find_narrow(tasks[1].network, DEVICE, DATA.shape), time.perf_counter()
        counts = measure_counts(uses, DEVICE, DEVICE.layout(tasks[1].network), BATCH)
        seconds = time.perf_counter() - start
        lay_side_by_side(uses, counts)
        steps = {way: timed_step(bare(task)) for way, task in zip(("plain", "side by side"), tasks, strict=True)}
        found = benchmark.in_turns(f"a step of {name}", steps, 0.2)
        chosen = sum(count > 1 for count in counts.values())
        rows.append([name, statistics.median(found["plain"]), ratio(*found.values()), seconds, chosen])
    columns = {"a training step of": "{}", "plain": "{:.2f} s", "side by side": "{:.2f} × as fast"}
    columns |= {"measured in": "{:.1f} s", "shapes chosen": "{}"}
    about = "With the forms that the measurement of `cldfc train` chooses."
    benchmark.table("How much faster are whole steps with small maps side by side?", about, columns, rows)


def timed_step(steps: Steps) -> Callable[[], float]:
    """Takes a step, and says how long it took; the first one is taken here."""
    next(steps)

    def run() -> float:
        start = time.perf_counter()
        next(steps)
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    main(measure, 3)
