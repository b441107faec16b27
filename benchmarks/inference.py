"""What `cldfc eval` does against the plain forward pass, in one alternating run: `make bench`.

ResNet18 on images of 3 × 32 × 32, batches of 128, two threads. Plain is the module as it is trained, float32, NCHW,
under `torch.no_grad`. The others are what `cldfc eval` and `cldfc eval --compile` run: folded, channels-last, in
bfloat16 where the processor has it. Each side is a process of its own, since how memory is freed is decided for a whole
process; while one works the others sleep. Ratios are times of the plain pass over those of another, medians over turns:
above 1.00 the other is faster. Compiling takes half a minute before the first turn.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cldfc.compilation import Compilation
from cldfc.data.catalogue import find
from cldfc.data.images import standardise
from cldfc.recipe import change_recipe
from cldfc.runs.training_run import prepare
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code, origins_of
from cldfc.weights.inference import fold_weights, freeze
from cldfc.weights.network import build_network

SPEC = read_source(Path(__file__).parents[1] / "specs" / "resnet18.cldf")
TURNS, PASSES, BATCH = 9, 3, 128
DATA = find("fake:3x32x32:10")
RECIPE = change_recipe(DATA.recipe, {"batch": BATCH})
SIDES = ("plain", "cldfc eval", "cldfc eval --compile")

Pass = Callable[[], Tensor]
"""Gives the scores of a batch."""


def networks() -> tuple[nn.Module, nn.Module]:
    """ResNet18 as it is trained, and folded with the same weights."""
    torch.manual_seed(0)
    network = Compilation(SPEC)
    trained = build_network(network.code(), network.class_name).eval()
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    folded = build_network(folded_code(network.folded()), network.class_name).eval()
    folded.load_state_dict(fold_weights(trained.state_dict(), origins_of(network.folded())))
    return trained, folded


def side(name: str) -> Pass:
    """A pass as anybody writes it, or as `cldfc eval` makes it."""
    trained, folded = networks()
    pixels = torch.randint(0, 256, (BATCH, *DATA.shape), dtype=torch.uint8)
    if name == "plain":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        trained, images = trained.to(device), standardise(pixels.to(device), DATA)
        return torch.no_grad()(lambda: trained(images))
    task = prepare(folded, DATA, RECIPE, Path())
    is_compiled = name.endswith("--compile")
    network = freeze(task.network, task.device, BATCH, DATA.shape) if is_compiled else task.network
    images = torch.inference_mode()(standardise)(pixels.to(task.device.torch), DATA)
    return torch.inference_mode()(lambda: task.device.scores(network, images))


def serve(name: str) -> None:
    """For every line of standard input, make some passes, and answer with the seconds of one and the classes."""
    torch.set_num_threads(2)
    run = side(name)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(PASSES):
            classes = run().argmax(1).tolist()
        print(json.dumps([(time.perf_counter() - start) / PASSES, classes]), flush=True)


def start(name: str) -> Callable[[], tuple[float, list[int]]]:
    """A process for one side: asked, it gives the seconds of a pass, and the classes of the images."""
    process = subprocess.Popen(
        [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask() -> tuple[float, list[int]]:
        assert process.stdin and process.stdout
        print(file=process.stdin, flush=True)
        seconds, classes = json.loads(process.stdout.readline())
        return seconds, classes

    return ask


def main() -> None:
    """Print the table."""
    asked = {name: start(name) for name in SIDES}
    classes = {name: ask()[1] for name, ask in asked.items()}
    turns = [{name: ask()[0] for name, ask in asked.items()} for _ in range(TURNS)]
    print(f"{'ResNet18, 128 × 32²':22} {'images/s':>9} {'ratio':>7} {'classes that differ':>20}")
    for name in SIDES:
        speed = BATCH / statistics.median(turn[name] for turn in turns)
        ratio = statistics.median(turn["plain"] / turn[name] for turn in turns)
        other = sum(one != plain for one, plain in zip(classes[name], classes["plain"], strict=True))
        print(f"{name:22} {speed:9,.0f} {ratio:6.2f}× {other:20}")
    print(f"2 threads; load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
