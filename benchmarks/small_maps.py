"""Convolutions on small maps, several images side by side, against the plain ones: `python benchmarks/small_maps.py`.

In bfloat16 where the processor has it, else in float32; batches of 128, channels-last, in alternating runs, medians
over turns. Ratios are times of the plain form over those side by side: above 1.00 the latter is faster. Errors are the
largest ones against float64, over the largest value: of the result, the gradient of the images and that of the kernel.
The last column is what the short measurement of `cldfc train` chooses, on a part of the batch. `THREADS=1 TURNS=5` in
the environment choose others than 2 and 9.

Then whole training steps: with the forms that the measurement of `cldfc train` chooses, and how long it takes.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from copy import copy, deepcopy
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc.compilation import Compilation
from cldfc.data.catalogue import find
from cldfc.data.images import standardise
from cldfc.device import choose_device
from cldfc.recipe import change_recipe
from cldfc.runs.training_run import prepare
from cldfc.syntax.read import read_source
from cldfc.training.loop import Task
from cldfc.training.step import make_optimizer
from cldfc.weights.network import build_network
from cldfc.weights.small_maps import SmallConv2d, count_for, find_narrow, lay_side_by_side, measure_counts, pays

THREADS, TURNS = int(os.environ.get("THREADS", "2")), int(os.environ.get("TURNS", "9"))
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
RECIPE = change_recipe(DATA.recipe, {"batch": BATCH})

Timed = Callable[[], list[float]]
"""Computes once, and says how many seconds each part took."""


def both(plain: Timed, beside: Timed) -> list[tuple[list[float], list[float]]]:
    """The seconds of both in turns, after a warm-up."""
    _ = plain(), beside()
    return [(plain(), beside()) for _ in range(TURNS)]


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


def compare_shapes() -> None:
    """A line for each shape."""
    parts = "forward   images   kernel      all"
    print(f"{'':51}{'all':>9}   {parts}    errors, plain       side by side        chosen")
    for inputs, outputs, taps, stride, size in SHAPES:
        torch.manual_seed(0)
        plain = SmallConv2d(inputs, outputs, taps, stride, taps // 2, bias=False).to(memory_format=torch.channels_last)
        beside, type = copy(plain), torch.bfloat16 if DEVICE.bf16 else torch.float32
        beside.side_by_side = {(size, size): count_for(plain.columns(size), BATCH)}
        images = torch.randn(BATCH, inputs, size, size).to(type).contiguous(memory_format=torch.channels_last)
        images.requires_grad_()
        count = beside.side_by_side[size, size]
        chosen = "yes" if pays(plain, (size, size), count, DEVICE, torch.channels_last, BATCH) else "no"
        turns = both(timed(plain, images), timed(beside, images))
        ratios = [statistics.median(one[part] / other[part] for one, other in turns) for part in range(3)]
        ratios.append(statistics.median(sum(one) / sum(other) for one, other in turns))
        seconds = statistics.median(sum(one) for one, _ in turns)
        print(
            f"{plain.name_on((size, size)):51}{1e3 * seconds:6.1f} ms {''.join(f'{ratio:8.2f}×' for ratio in ratios)}"
            f"    {errors(plain, images)}   {errors(beside, images)}   {chosen}",
            flush=True,
        )


def training_step(task: Task) -> Timed:
    """Forward, backward and step, as `bare` in `benchmarks/trainer.py`."""
    optimizer = make_optimizer(task.network, task.recipe)
    batch = next(iter(task.loader.train_batches(1)))
    images = standardise(batch.pixels, DATA)

    def run() -> list[float]:
        start = time.perf_counter()
        task.network.train()
        loss = F.cross_entropy(task.device.scores(task.network, images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return [time.perf_counter() - start]

    return run


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    compilation = Compilation(read_source(Path(__file__).parents[1] / "specs" / f"{name}.cldf"))
    return build_network(compilation.code(), compilation.class_name)


def compare_steps() -> None:
    """A line for each network."""
    for name in NETWORKS:
        tasks = [prepare(network(name), DATA, RECIPE, Path(), wished="cpu", side_by_side={}) for _ in range(2)]
        uses, start = find_narrow(tasks[1].network, DEVICE, DATA.shape), time.perf_counter()
        counts = measure_counts(uses, DEVICE, DEVICE.layout(tasks[1].network), BATCH)
        seconds = time.perf_counter() - start
        lay_side_by_side(uses, counts)
        turns = both(*map(training_step, tasks))
        ratio = statistics.median(one[0] / other[0] for one, other in turns)
        step = statistics.median(one[0] for one, _ in turns)
        print(
            f"a step of {name}: {step:.2f} s, {ratio:.2f}× as fast; measured in {seconds:.1f} s: {counts}", flush=True
        )


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    processor = f"a CPU with {torch.backends.cpu.get_cpu_capability()}"
    print(f"{processor}, {DEVICE}, {THREADS} threads; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    compare_shapes()
    compare_steps()
    print(f"load at the end: {os.getloadavg()[0]:.1f}")
