"""`cldfc train` against the usual float32 script with a DataLoader and against a good one, in turns: `make bench`.

The good script holds all images in memory, cuts a whole batch by its indices, and computes channels-last, in bfloat16
where the processor has it.

ResNet-18 on images of 3 × 32 × 32, batches of 128, two threads. Each side is a process of its own, since how memory
is freed is decided for a whole process; while one works the others sleep. All figures are medians over pairs.

The promises, on two cores: against the usual script 4 times as many images per second with bfloat16, and 2.3 times
without; against the good one 1.3 times with it, and as many without; at most 1.02 times the time of the bare forward,
backward and step of the module in the same mode; augmentation at most 3 % of a step of ResNet-18, and 5 % of one of a
network with a tenth of its work.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from cldfc.compilation import Compilation, read_changes
from cldfc.data.catalogue import find
from cldfc.data.fake import load
from cldfc.data.images import standardise
from cldfc.device import cpu_has_bf16
from cldfc.recipe import change_recipe
from cldfc.runs.training_run import prepare
from cldfc.syntax.read import read_source
from cldfc.training.descent import Descent
from cldfc.training.loop import train_epoch
from cldfc.training.metrics import BEGINNING, Silence
from cldfc.training.step import make_optimizer
from cldfc.training.task import Task
from cldfc.weights.network import build_network

ROOT = Path(__file__).parents[1]
PAIRS, STEPS, THREADS, BATCH = 9, 3, 2, 128
DATA = find("fake:3x32x32:10")
RECIPE = change_recipe(DATA.recipe, {"lr": 0.001})
TENTH = "c@ℓ = 20, 40, 80, 160"

Steps = Iterator[object]
"""Takes a training step whenever it is asked for the next value."""


def network(*lets: str) -> nn.Module:
    """ResNet-18, or a narrower one."""
    spec = read_source(ROOT / "specs" / "resnet18.cldf")
    return build_network(Compilation(spec, read_changes(lets)).code(), "ResNet18")


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR10 keeps them: an array, from which a PIL image is made for the transforms."""

    def __init__(self) -> None:
        images = load(DATA, Path()).train
        self.pixels = images.pixels.permute(0, 2, 3, 1).numpy()
        self.labels = images.labels.tolist()
        mean, std = ([value / 255 for value in values] for values in (DATA.mean, DATA.std))
        cuts = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
        self.cut = v2.Compose([*cuts, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.cut(Image.fromarray(self.pixels[place])), self.labels[place]


def data_loader() -> Any:
    """The usual one: two worker processes that stay."""
    return DataLoader(Pictures(), BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)


def usual() -> Steps:
    """The usual script."""
    trained, loader = network().train(), data_loader()
    optimizer = torch.optim.SGD(trained.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=RECIPE.weight_decay)
    while True:
        for images, labels in loader:
            loss = F.cross_entropy(trained(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def good() -> Steps:
    """A script by somebody who knows the machine."""
    images, is_bf16 = load(DATA, Path()).train, cpu_has_bf16()
    pixels, labels = F.pad(images.pixels, (4, 4, 4, 4)), images.labels
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (DATA.mean, DATA.std))
    trained = network().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        trained.parameters(), RECIPE.lr, RECIPE.momentum, weight_decay=RECIPE.weight_decay, fused=True
    )
    side = torch.arange(32)
    while True:
        for batch in torch.randperm(len(labels)).split(BATCH):
            if len(batch) < BATCH:
                continue
            down, right = torch.randint(9, (2, BATCH, 1))
            across = torch.where(torch.rand(BATCH, 1) < 0.5, side, 31 - side) + right
            cut = pixels[batch[:, None, None], :, (side + down)[:, :, None], across[:, None]]
            shown = ((cut.permute(0, 3, 1, 2) - mean) / std).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
                scores = trained(shown)
            loss = F.cross_entropy(scores.float(), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def task_of(*lets: str) -> Task:
    """What `cldfc train` trains."""
    return prepare(network(*lets), DATA, RECIPE, Path())


def looped(task: Task) -> Steps:
    """The loop of `cldfc train`, without its tests and checkpoints: the first epoch again and again."""
    taken = Descent(task, make_optimizer(task.network, task.recipe))
    while True:
        yield from train_epoch(taken, BEGINNING, Silence(), lambda: (0, False))


def bare(task: Task) -> Steps:
    """Forward, backward and step of the same module in the same mode, on the same images again and again."""
    optimizer = make_optimizer(task.network, task.recipe)
    batch = next(iter(task.loader.train_batches(1)))
    images = standardise(batch.pixels, DATA)
    task.network.train()
    while True:
        loss = F.cross_entropy(task.device.scores(task.network, images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def data_only(task: Task) -> Steps:
    """Batches as the network gets them, and no training."""
    for epoch in count(1):
        for batch in task.loader.train_batches(epoch):
            yield standardise(batch.pixels, DATA).contiguous(memory_format=torch.channels_last)


def loader_only() -> Steps:
    """The batches of the DataLoader, and no training."""
    loader = data_loader()
    while True:
        yield from loader


def sides() -> dict[str, Callable[[], Steps]]:
    """Everything that is timed, by its name."""
    return {
        "usual": usual,
        "good": good,
        "cldfc": lambda: looped(task_of()),
        "bare": lambda: bare(task_of()),
        "tenth": lambda: bare(task_of(TENTH)),
        "data": lambda: data_only(task_of(TENTH)),
        "loader": loader_only,
    }


def serve(name: str) -> None:
    """Take as many steps as a line of standard input says, and answer with the seconds that one took."""
    torch.set_num_threads(THREADS)
    steps = sides()[name]()
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        print((time.perf_counter() - start) / int(line), flush=True)


def start(name: str) -> Callable[[int], float]:
    """A process for one side: asked for a number of steps, it gives the seconds of one."""
    process = subprocess.Popen(
        [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(steps: int) -> float:
        assert process.stdin and process.stdout
        print(steps, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return ask


def compare(names: tuple[str, ...], steps: int) -> dict[str, list[float]]:
    """The seconds of a step of some sides, taken in turns after a warm-up."""
    asked = {name: start(name) for name in names}
    for ask in asked.values():
        ask(steps)
    rounds = [{name: ask(steps) for name, ask in asked.items()} for _ in range(PAIRS)]
    return {name: [measured[name] for measured in rounds] for name in names}


def ratio(one: list[float], other: list[float]) -> float:
    """The median of one over the other, pair by pair."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def main() -> None:
    """Print all figures."""
    found = compare(("usual", "good", "cldfc", "bare"), STEPS)
    for name in ("usual", "good", "cldfc"):
        print(f"{name:<6} {BATCH / statistics.median(found[name]):8.1f} images/s")
    for name, promise in (("usual", "4, without bfloat16 2.3"), ("good", "1.3, without bfloat16 1.0")):
        times = ratio(found[name], found["cldfc"])
        print(f"cldfc train against the {name} script: {times:.2f} times as fast (promise {promise})")
    print(f"its loop against the bare step: {ratio(found['cldfc'], found['bare']):.3f} (promise 1.02)")
    small = compare(("tenth", "data", "loader"), 8)
    data = statistics.median(small["data"])
    for name, step in (("ResNet-18", found["bare"]), ("a tenth of it", small["tenth"])):
        print(f"images of a batch, share of a step of {name}: {data / statistics.median(step):.2%}")
    for name in ("data", "loader"):
        print(f"{name:<6} {BATCH / statistics.median(small[name]):10,.0f} images/s, alone")


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
