"""How networks are run and trained: by `cldfc`, and in scripts that others write, plain and good ones.

A plain one is float32 as torch lays it out, with a DataLoader and torchvision's transforms. A good one is by somebody
who knows the device: bfloat16 where it multiplies in that, channels-last, images that lie on the device as they are
needed and are augmented there, no loss that is waited for; and the same through torch.compile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split, load_images, standardise
from cldfc.device import choose_device, cpu_has_bf16
from cldfc.recipe import Recipe
from cldfc.runs.training_run import prepare
from cldfc.training.descent import Descent
from cldfc.training.loop import train_epoch
from cldfc.training.metrics import BEGINNING, Silence
from cldfc.training.step import make_optimizer
from cldfc.training.task import Task
from cldfc.training.trial import compile_task
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import build_network

WORKERS = 4

Steps = Iterator[object]
"""Takes a training step whenever it is asked for the next value."""


# A network alone


PLAIN, GOOD, COMPILED = "plain", "good", "good, compiled"


def mode_in_words(mode: str) -> str:
    good = f"{'bfloat16' if cpu_has_bf16() else 'float32'}, channels-last"
    return {PLAIN: "float32", GOOD: good, COMPILED: f"{good}, compiled"}[mode]


def in_mode(network: nn.Module, images: Tensor, mode: str) -> Callable[[], Tensor]:
    """The network on the CPU and some images, as one of `PLAIN`, `GOOD` and `COMPILED` runs it."""
    run: Any = network
    if mode != PLAIN:
        run = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if mode == COMPILED:
        run = torch.compile(run, dynamic=False)

    def scores() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=mode != PLAIN and cpu_has_bf16()):
            return run(images)

    return scores


def inference(network: nn.Module, images: Tensor, mode: str = PLAIN) -> Callable[[], Tensor]:
    """A pass in eval mode; where it is compiled, its weights are frozen, so that torch folds the normalisations."""
    scores = in_mode(network.eval(), images, mode)
    if mode == COMPILED:
        from torch._inductor import config

        config.freezing = True
    return torch.no_grad()(scores)


def training(network: nn.Module, images: Tensor, mode: str = PLAIN) -> Callable[[], None]:
    """Forward, backward, and a step of SGD, on the same images again and again."""
    scores = in_mode(network.train(), images, mode)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    labels = torch.arange(len(images)) % 10

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(scores().float(), labels).backward()
        optimizer.step()

    return step


# A training


def images_of(dataset: DataSet) -> Images:
    """The training images of a data set that lies in memory."""
    found = load_images(dataset, Path())
    assert isinstance(found, Split)
    return found.train


def task_of(compiled: Compiled, dataset: DataSet, recipe: Recipe) -> Task:
    """What `cldfc train` trains."""
    torch.manual_seed(0)
    return prepare(build_network(compiled.source, compiled.class_name), dataset, recipe, Path())


def descent_of(compiled: Compiled, dataset: DataSet, recipe: Recipe, is_compiled: bool = False) -> Descent:
    """What takes the steps of `cldfc train`."""
    task = task_of(compiled, dataset, recipe)
    task = compile_task(task) if is_compiled else task
    return Descent(task, make_optimizer(task.network, recipe))


def looped(taken: Descent) -> Steps:
    """The loop of `cldfc train`, without its tests and checkpoints: the first epoch again and again."""
    while True:
        yield from train_epoch(taken, BEGINNING, Silence(), lambda: (0, False))


def bare(task: Task) -> Steps:
    """Forward, backward and step of the same module in the same mode, on one batch."""
    optimizer = make_optimizer(task.network, task.recipe)
    batch = next(iter(task.loader.train_batches(1)))
    images = standardise(batch.pixels, task.dataset)
    task.network.train()
    while True:
        loss = F.cross_entropy(task.device.scores(task.network, images), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR10 keeps them: an array, from which a PIL image is made for the transforms."""

    def __init__(self, dataset: DataSet) -> None:
        from torchvision.transforms import v2

        images = images_of(dataset)
        self.pixels, self.labels = images.pixels.permute(0, 2, 3, 1).numpy(), images.labels.tolist()
        mean, std = ([value / 255 for value in values] for values in (dataset.mean, dataset.std))
        cuts = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
        self.cut = v2.Compose([*cuts, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.cut(Image.fromarray(self.pixels[place])), self.labels[place]


def data_loader(device: str, dataset: DataSet, recipe: Recipe) -> Any:
    """The usual one, whose worker processes stay."""
    workers = min(WORKERS, os.cpu_count() or 1)
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": True, "pin_memory": device == "cuda"}
    return DataLoader(Pictures(dataset), recipe.batch, shuffle=True, drop_last=True, **options)


def plain(device: str, compiled: Compiled, dataset: DataSet, recipe: Recipe) -> Steps:
    """The usual script."""
    network = build_network(compiled.source, compiled.class_name).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    loader = data_loader(device, dataset, recipe)
    while True:
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def good(device: str, compiled: Compiled, dataset: DataSet, recipe: Recipe, is_compiled: bool = False) -> Steps:
    """The script of somebody who knows the device; augmentation is a gather, as fast scripts for CIFAR-10 have it."""
    network: Any = build_network(compiled.source, compiled.class_name).to(device).to(memory_format=torch.channels_last)
    network.train()
    options: dict[str, Any] = {"momentum": recipe.momentum, "weight_decay": recipe.weight_decay, "fused": True}
    optimizer = torch.optim.SGD(network.parameters(), recipe.lr, **options)
    network = torch.compile(network) if is_compiled else network
    images = images_of(dataset).to(torch.device(device))
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
    is_bf16 = choose_device(wished=device).bf16
    standard = ((images.pixels - mean) / std).to(torch.bfloat16 if is_bf16 else torch.float32)
    padded = F.pad(standard, (4, 4, 4, 4)).contiguous(memory_format=torch.channels_last)
    pixels = torch.arange(32, device=device)
    while True:
        order = torch.randperm(len(images), device=device)
        for shown in order[: len(images) // recipe.batch * recipe.batch].split(recipe.batch):
            top, left = torch.randint(0, 9, (2, len(shown), 1), device=device)
            rows, columns = top + pixels, left + pixels
            columns = torch.where(torch.rand(len(shown), 1, device=device) < 0.5, columns.flip(1), columns)
            batch = padded[shown[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
            with torch.autocast(device, torch.bfloat16, enabled=is_bf16):
                loss = F.cross_entropy(network(batch), images.labels[shown])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss
