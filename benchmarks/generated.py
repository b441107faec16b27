"""Generated networks against those of others, in alternating runs; and the time of `cldfc compile`: `make bench`.

The ratios are medians over pairs of runs, two threads, float32: below 1.00 the generated network is faster. On a busy
machine `python benchmarks/generated.py 1` is steadier: one thread, and its processor time.

The promise is 1.02 against torchvision and against networks written by hand, and 1.00 against PyPI's `mgnet`
(`pip install '.[bench]'`), which has the same smoothing steps. Compiling the largest spec takes 0.6 s at most.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from cldfc.compilation import Compilation, read_changes
from cldfc.syntax.read import read_source
from cldfc.weights.import_weights import import_weights
from cldfc.weights.network import build_network

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PAIRS = 11
THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
LONGEST_COMPILE = 0.6


def generate(name: str, class_name: str, *lets: str) -> nn.Module:
    """An instance of the class of a spec."""
    source = Compilation(read_source(ROOT / "specs" / f"{name}.cldf"), read_changes(lets)).code()
    return build_network(source, class_name)


def forward(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """One pass in eval mode."""

    def run() -> None:
        network.eval()
        with torch.no_grad():
            network(images)

    return run


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


def seconds(run: Callable[[], None]) -> float:
    """The time of a run; with one thread its processor time, which other programs do not lengthen."""
    clock = time.thread_time if THREADS == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def ratio(one: Callable[[], None], other: Callable[[], None]) -> float:
    """Time of one over that of the other: the median over pairs, every second in turned order, after a warm-up."""
    for run in (one, other, one, other):
        run()
    ratios: list[float] = []
    for pair in range(PAIRS):
        if pair % 2:
            below, above = seconds(other), seconds(one)
        else:
            above, below = seconds(one), seconds(other)
        ratios.append(above / below)
    return statistics.median(ratios)


def compare(what: str, generated: nn.Module, other: nn.Module, images: Tensor, promise: float) -> None:
    """Print a row: the ratios of a pass and of a training step."""
    ratios = [ratio(kind(generated, images), kind(other, images)) for kind in (forward, training_step)]
    verdict = "" if max(ratios) <= promise else "  above the promise"
    print(f"{what:56} {ratios[0]:8.3f} {ratios[1]:10.3f} {promise:9.2f}{verdict}", flush=True)


def same_weights(generated: nn.Module, other: nn.Module) -> tuple[nn.Module, nn.Module]:
    import_weights(generated, other.state_dict())
    return generated, other


def by_hand(what: str, name: str, class_name: str, other: str) -> None:
    """A row against a network of tests/reference_networks.py."""
    import reference_networks

    pair = generate(name, class_name), getattr(reference_networks, other)()
    compare(what, *pair, torch.randn(16, 3, 32, 32), 1.02)


def against_mgnet(channels: int = 128) -> None:
    """A row against PyPI's `mgnet`, whose stem is made that of the spec: it enlarges and pools the image."""
    try:
        from mgnet.model import mgnet
    except ImportError:
        print("PyPI's mgnet is not installed: pip install '.[bench]'")
        return
    sizes = {"n_chan_u": channels, "n_chan_f": channels, "n_iter": [2, 2, 2, 2], "in_channels": 3, "n_classes": 10}
    other = mgnet("jacobi", **sizes)
    other.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
    other.maxpool = nn.Identity()
    generated = generate("mgnet_Bli", "MgNet_Bli", f"cu = {channels}", f"cf = {channels}")
    compare(f"MgNet, {channels} channels, and PyPI's mgnet, 4 × 32²", generated, other, torch.randn(4, 3, 32, 32), 1.0)


def compile_time() -> None:
    """Print the processor time of `cldfc compile`, whole process, for the spec with most operations."""
    paths = sorted((ROOT / "specs").rglob("*.cldf"))
    operations = {path: len(Compilation(read_source(path)).shapes.shapes) for path in paths}
    largest = max(paths, key=lambda path: operations[path])
    command = [sys.executable, "-m", "cldfc", "compile", str(largest), "-o", os.devnull]
    times: list[float] = []
    for _ in range(7):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        times.append(sum(after[2:4]) - sum(before[2:4]))
    name = largest.relative_to(ROOT).as_posix()
    print(f"\ncldfc compile {name} ({operations[largest]:,} operations): {statistics.median(times):.2f} s", end="")
    print(f", promised {LONGEST_COMPILE} s", flush=True)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    print(f"{'generated and other, batch × image':56} {'forward':>8} {'training':>10} {'promise':>9}", flush=True)
    pair = same_weights(generate("imagenet/resnet18", "ResNet18"), torchvision.models.resnet18())
    compare("ResNet-18 and torchvision's, 8 × 224²", *pair, torch.randn(8, 3, 224, 224), 1.02)
    by_hand("ResNet-18 and one by hand, 16 × 32²", "resnet18", "ResNet18", "ResNet")
    by_hand("pre-act ResNet-18-A^ℓ and one by hand, 16 × 32²", "preact18_Al", "PreActResNet18_Al", "PreActResNet")
    against_mgnet()
    compile_time()
    print(f"{THREADS} threads; load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
