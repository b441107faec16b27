"""What `cldfc eval` does against the plain forward pass, in alternating runs: `make bench`.

ResNet18 at 3 × 32 × 32, batches of 128, two threads. Plain is the module as it is trained, float32, NCHW, under
`torch.no_grad`. The others are what `cldfc eval` and `cldfc eval --compile` run: folded, channels-last, in bfloat16
where the processor has it. Ratios are times of the plain pass over those of another, medians over turns of all three:
above 1.00 the other is faster. Compiling takes half a minute before the first turn.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cldfc.inference import fold_network, origins_of
from cldfc.syntax.read import read_source
from cldfc.train.device import Device, choose_device
from cldfc.train.fold_weights import fold_weights
from cldfc.train.freeze import freeze
from cldfc.train.network import build_network
from cldfc.train.pixel import speed_up_pixels

SPEC = read_source(Path(__file__).parents[1] / "specs" / "resnet18.cldf")
BATCH, SHAPE = 128, (3, 32, 32)
TURNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9


def networks() -> tuple[nn.Module, nn.Module]:
    """ResNet18 as it is trained, and folded with the same weights."""
    torch.manual_seed(0)
    inference = fold_network(SPEC)
    trained = build_network(inference.trained_source, inference.class_name).eval()
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    folded = build_network(inference.source, inference.class_name).eval()
    folded.load_state_dict(fold_weights(trained.state_dict(), origins_of(inference)))
    return trained, folded


def plain(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """A pass as anybody writes it."""

    def run() -> Tensor:
        with torch.no_grad():
            return network(images)

    return run


def fast(network: nn.Module, device: Device, images: Tensor) -> Callable[[], Tensor]:
    """A pass as `cldfc eval` makes it."""

    def run() -> Tensor:
        with torch.inference_mode():
            return device.scores(network, images)

    return run


def seconds(run: Callable[[], Tensor]) -> float:
    """The time of a run."""
    start = time.perf_counter()
    run().sum().item()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    torch.set_num_threads(2)
    device, images = choose_device(), torch.randn(BATCH, *SHAPE)
    trained, folded = networks()
    folded = device.place(folded)
    speed_up_pixels(folded)
    start = time.perf_counter()
    compiled = freeze(folded, device, BATCH, SHAPE)
    print(f"compiled in {time.perf_counter() - start:.0f} s")
    here = images.to(device.torch)
    runs = {
        "plain": plain(trained.to(device.torch), here),
        "cldfc eval": fast(folded, device, here),
        "cldfc eval --compile": fast(compiled, device, here),
    }
    scores = {name: run() for name, run in runs.items()}
    turns = [{name: seconds(run) for name, run in runs.items()} for _ in range(TURNS)]
    print(f"{'ResNet18, 128 × 32², ' + str(device):56} {'images/s':>9} {'ratio':>6} {'classes that differ':>20}")
    for name in runs:
        speed = BATCH / statistics.median(turn[name] for turn in turns)
        ratio = statistics.median(turn["plain"] / turn[name] for turn in turns)
        other = int((scores[name].argmax(1) != scores["plain"].argmax(1)).sum())
        print(f"{name:56} {speed:9,.0f} {ratio:5.2f}× {other:20}", flush=True)
    print(f"2 threads; load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
