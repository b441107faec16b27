"""Convolutions by the algorithms of `cldfc train`, side by side and Winograd's, against the usual one.

In bfloat16 where the processor has it, else in float32; batches of 128, channels-last. Errors are the largest ones
against float64, over the largest value: of the result, the gradient of the images and that of the kernel. Then whole
training steps, with the algorithms that the measurement of `cldfc train` chooses, and how long it takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.cuda_parts.job import compiled_from, graph_of
from benchmarks.measuring import Benchmark, Cell, main, ratio
from benchmarks.scripts import Steps, bare
from cldfc.data.catalogue import find
from cldfc.device import choose_device
from cldfc.recipe import Algorithm, change_recipe
from cldfc.runs.training_run import prepare
from cldfc.weights.fast_convolutions import (
    PASSES,
    USUAL,
    FastConv2d,
    count_for,
    fastest,
    find_uses,
    measure_algorithms,
    set_algorithms,
    time_passes,
)
from cldfc.weights.network import build_network

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
    (64, 64, 3, 1, 32),
)
"""Channels before and after, size of the kernel, stride, size of the map."""
NETWORKS = ("resnet18", "preact18_Al", "fbresnet")
DATA = find("fake:3x32x32:10")


def convolution(kernel: FastConv2d, images: Tensor) -> Callable[[], list[Tensor]]:
    """The result, and the gradients of images and kernel."""

    def run() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=DEVICE.bf16 and images.dtype != torch.float64):
            result: Tensor = kernel(images)
        slope = torch.sin(torch.arange(result.numel())).view_as(result).to(result.dtype)
        return [result.detach(), *torch.autograd.grad(result, [images, kernel.weight], slope)]

    return run


def errors(kernel: FastConv2d, images: Tensor) -> str:
    """The largest errors against float64 of the result and of both gradients."""
    exact = deepcopy(kernel).double()
    exact.algorithms = {}
    wanted = convolution(exact, images.detach().double().requires_grad_())()
    found = convolution(kernel, images)()
    return " ".join(f"{float((a - b).abs().max() / b.abs().max()):.0e}" for a, b in zip(found, wanted, strict=True))


def measure(benchmark: Benchmark) -> None:
    compare_shapes(benchmark, *((SHAPES[1:2], 32) if benchmark.is_quick else (SHAPES, BATCH)))
    if not benchmark.is_quick:
        compare_steps(benchmark)


def compare_shapes(benchmark: Benchmark, shapes: tuple[tuple[int, ...], ...], batch: int) -> None:
    rows: list[list[Cell]] = []
    for inputs, outputs, taps, stride, width in shapes:
        torch.manual_seed(0)
        size = (width, width)
        usual = FastConv2d(inputs, outputs, taps, stride, taps // 2, bias=False).to(memory_format=torch.channels_last)
        name, type = usual.name_on(size), torch.bfloat16 if DEVICE.bf16 else torch.float32
        images = torch.randn(batch, inputs, *size).to(type).contiguous(memory_format=torch.channels_last)
        images.requires_grad_()
        others: dict[str, Algorithm] = {}
        if (count := count_for(usual.columns(width), batch)) > 1:
            others[f"{count} side by side"] = count
        if usual.takes_winograd(size) and not DEVICE.bf16:
            others["Winograd"] = PASSES
        kernels = {"usual": usual}
        for other, algorithm in others.items():
            kernels[other] = copy(usual)
            kernels[other].algorithms = {size: algorithm}
        seconds_of = time_passes(usual, images.shape, DEVICE, torch.channels_last)
        works = {other: partial(seconds_of, algorithm) for other, algorithm in {"usual": USUAL, **others}.items()}
        for work in works.values():
            work()
        found: dict[str, list[list[float]]] = {other: [] for other in works}
        for _ in benchmark.rounds(0.6 / len(shapes)):
            for other, work in works.items():
                # The forward pass, both gradients, and all together.
                found[other].append([*(seconds := work()), sum(seconds)])
        benchmark.runs[name] = {other: [seconds[-1] for seconds in turns] for other, turns in found.items()}
        chosen = in_words(fastest(usual, size, DEVICE, torch.channels_last, batch))
        rows.append([name, "usual", 1000 * statistics.median(benchmark.runs[name]["usual"]), *[None] * 4])
        rows[-1] += [errors(usual, images), chosen]
        for other, turns in found.items():
            if other != "usual":
                ratios = (
                    ratio(*([seconds[one] for seconds in each] for each in (found["usual"], turns))) for one in range(4)
                )
                rows.append([name, other, None, *ratios, errors(kernels[other], images), None])
    columns = {"convolution": "{}", "algorithm": "{}", "time": "{:.1f} ms"}
    columns |= dict.fromkeys(("forward", "images", "kernel", "all"), "{:.2f} × as fast")
    columns |= dict.fromkeys(("errors", "chosen"), "{}")
    about = (
        "How much faster other algorithms are than oneDNN's, in the forward pass and for the gradients of images and "
        "kernel; chosen is what the short measurement of `cldfc train` says. Errors are those of the three."
    )
    benchmark.table("How fast are convolutions by other algorithms?", about, columns, rows)


def in_words(algorithm: Algorithm) -> str:
    if isinstance(algorithm, int):
        return "usual" if algorithm == USUAL else f"{algorithm} side by side"
    return f"Winograd: {', '.join(algorithm)}"


def compare_steps(benchmark: Benchmark) -> None:
    rows: list[list[Cell]] = []
    for name in NETWORKS:
        compiled, recipe = compiled_from(graph_of(name, DATA)), change_recipe(DATA.recipe, {"batch": BATCH})
        networks = [build_network(compiled.source, compiled.class_name) for _ in range(2)]
        tasks = [prepare(network, DATA, recipe, Path(), wished="cpu", algorithms={}) for network in networks]
        uses, start = find_uses(tasks[1].network, DEVICE, DATA.shape), time.perf_counter()
        algorithms = measure_algorithms(uses, DEVICE, DEVICE.layout(tasks[1].network), BATCH)
        seconds = time.perf_counter() - start
        set_algorithms(uses, algorithms, DEVICE)
        steps = {way: timed_step(bare(task)) for way, task in zip(("usual", "chosen"), tasks, strict=True)}
        found = benchmark.in_turns(f"a step of {name}", steps, 0.13)
        rows.append([name, statistics.median(found["usual"]), ratio(*found.values()), seconds, len(algorithms)])
    columns = {"a training step of": "{}", "usual": "{:.2f} s", "chosen": "{:.2f} × as fast"}
    columns |= {"measured in": "{:.1f} s", "shapes chosen": "{}"}
    about = "With the algorithms that the measurement of `cldfc train` chooses."
    benchmark.table("How much faster are whole steps by the chosen algorithms?", about, columns, rows)


def timed_step(steps: Steps) -> Callable[[], float]:
    """Takes a step, and says how long it took; the first one is taken here."""
    next(steps)

    def run() -> float:
        start = time.perf_counter()
        next(steps)
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    main(measure, 5)
