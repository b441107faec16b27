"""Images per second of the training loop, against what it could reach and what others write; alternating, medians.

Sides, all with the same generated module on the same random images of 3 × 32 × 32, SGD with momentum:

- loop: what `cldfc train` does in an epoch, with shuffling, augmentation and the loss of every step;
- launched: the same without a CUDA graph, each kernel launched by the CPU;
- bare: forward, backward and step of the same module in the same mode on one batch that is already there;
- plain: the usual script, float32, a DataLoader with torchvision's transforms;
- good: bfloat16, channels-last, images on the device, augmented there, the loss never waited for; also through
  torch.compile, and then the loop with `--compile on` beside it, and what `--compile auto` says.

The busy share is the time in which a kernel or a copy runs, by torch.profiler, over the time of a step without it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.cuda_parts.clock import Clock
from benchmarks.cuda_parts.job import Job, compiled_from, graph_of
from benchmarks.scripts import Steps, bare, descent_of, good, looped, plain, task_of
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split
from cldfc.device import Device, choose_device
from cldfc.output import ignore
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.training_run import train_network
from cldfc.training import trial
from cldfc.training.descent import Descent
from cldfc.training.trial import choose_compile
from cldfc.weights.compiled import Compiled

NETWORKS = ("resnet18", "preact18_Al", "fbresnet")
BATCHES = (128, 512)
IMAGES, TINY_IMAGES = (50_000, 10_000), (64, 16)
LR = 1e-6
"""So small that no network diverges on images of noise: what a step costs does not depend on it."""
ROUNDS, SECONDS = 5, 0.25
"""How often every side has its turn, and how long a turn is."""
WARM, PROFILED = 8, 10


def data(job: Job) -> DataSet:
    """Random images, as many as CIFAR-10 has."""
    counts = TINY_IMAGES if job.is_tiny else IMAGES
    changes = {"name": "random", "reader": __name__, "images": counts}
    return find("fake:3x32x32:10").model_copy(update=changes)


def load(dataset: DataSet, folder: Path) -> Split:
    """The random images: this module is the data set's reader."""
    draw = torch.Generator().manual_seed(0)
    return Split(*(random_images(dataset, count, draw) for count in dataset.images))


def random_images(dataset: DataSet, count: int, draw: torch.Generator) -> Images:
    pixels = torch.randint(0, 256, (count, *dataset.shape), dtype=torch.uint8, generator=draw)
    return Images(pixels, torch.randint(0, dataset.classes, (count,), generator=draw))


def work(job: Job) -> None:
    """Measure what is worth most first, as long as there is time for it."""
    lets = ["c@ℓ = 4, 4, 8, 8"] if job.is_tiny else []
    dataset = data(job)
    names, sizes = (NETWORKS[:1], (16,)) if job.is_tiny else (NETWORKS, BATCHES)
    compiled = {name: compiled_from(graph_of(name, dataset, *lets)) for name in names}
    first, small, large = names[0], sizes[0], sizes[1:]
    jobs = [*(("eager", name, small) for name in names), ("outside", first, small), ("compiled", first, small)]
    jobs += [("eager", name, size) for size in large for name in names]
    jobs += [("compiled", name, size) for size in sizes for name in names if (name, size) != (first, small)]
    jobs += [("outside", name, small) for name in names[1:]]
    kinds: dict[str, tuple[Callable[..., dict[str, Any]], float]] = {
        "eager": (eager, 20.0),
        "outside": (outside, 25.0),
        "compiled": (through_compile, 95.0),
    }
    titles = {f"{kind} {name} {size}": (kind, name, size) for kind, name, size in jobs}
    for title in job.to_do(titles):
        kind, name, size = titles[title]
        measure, usual = kinds[kind]
        if not job.has_time_for(kind, usual):
            job.say(item=title, values={"skipped": "no time is left for it"})
            continue
        with job.item(title) as found, job.timed(kind):
            recipe = change_recipe(dataset.recipe, {"batch": size, "lr": LR})
            found.update(network=name, batch=size, **measure(job, compiled[name], dataset, recipe))


@dataclass
class Side:
    """Something that takes steps, with torch's switches as it has them: the plain script leaves them alone."""

    steps: Steps
    device: Device | None

    def seconds(self, job: Job, count: int = 1) -> float:
        """The time that a step takes, over some steps, all of them done."""
        with self.device.switches() if self.device else nullcontext():
            job.wait()
            start = time.perf_counter()
            for _ in range(count):
                next(self.steps)
            job.wait()
            return (time.perf_counter() - start) / count


def eager(job: Job, compiled: Compiled, dataset: DataSet, recipe: Recipe) -> dict[str, Any]:
    """All sides without torch.compile, and how busy the loop keeps the device."""
    device = choose_device()
    captured, launched = (descent_of(compiled, dataset, recipe) for _ in range(2))
    launched.captured = None
    sides = {
        "loop": Side(looped(captured), device),
        "launched": Side(looped(launched), device),
        "bare": Side(bare(task_of(compiled, dataset, recipe)), device),
        "plain": Side(plain(job.device, compiled, dataset, recipe), None),
        "good": Side(good(job.device, compiled, dataset, recipe), device),
    }
    found = alternate(job, sides, recipe.batch)
    refuse_launched(job, captured)
    step = recipe.batch / found["images_per_second"]["loop"]
    return {**found, "busy": busy_seconds(job, sides["loop"]) / step}


def through_compile(job: Job, compiled: Compiled, dataset: DataSet, recipe: Recipe) -> dict[str, Any]:
    """The good script through torch.compile, the loop with and without it, and what is said before a long training."""
    device = choose_device()
    quick = mock.patch.object(torch, "compile", partial(torch.compile, backend="eager"))
    with quick if job.is_tiny else nullcontext():
        through = descent_of(compiled, dataset, recipe, is_compiled=True)
        sides = {
            "loop": Side(looped(descent_of(compiled, dataset, recipe)), device),
            "good, compiled": Side(good(job.device, compiled, dataset, recipe, is_compiled=True), device),
            "loop, compiled": Side(looped(through), device),
        }
        found = alternate(job, sides, recipe.batch)
        refuse_launched(job, through)
        said: list[str] = []
        with mock.patch.multiple(trial, LONG=0.0, TRIED_ON=job.device):
            choose_compile(task_of(compiled, dataset, recipe), None, said.append, ignore)
        return {**found, "auto": said[0].partition(": ")[2]}


def refuse_launched(job: Job, taken: Descent) -> None:
    """Raises RuntimeError where steps are not a CUDA graph: what was measured is not what was to be."""
    if job.device == "cuda" and (taken.captured is None or taken.captured.graph is None):
        waits = taken.captured.waits if taken.captured else []
        raise RuntimeError(f"the steps were not captured as a CUDA graph{': they wait at ' if waits else ''}{waits}")


def alternate(job: Job, sides: Mapping[str, Side], batch: int) -> dict[str, Any]:
    """Images per second of each side: medians over rounds, every second one in turned order; and the first steps."""
    first: dict[str, float] = {}
    turns: dict[str, int] = {}
    for name, side in sides.items():
        first[name] = side.seconds(job)
        side.seconds(job, 1 if job.is_tiny else WARM)
        turns[name] = 1 if job.is_tiny else max(3, round(SECONDS / side.seconds(job, 3)))
    rounds: list[dict[str, float]] = []
    for number in range(1 if job.is_tiny else ROUNDS):
        names = list(sides) if number % 2 else list(sides)[::-1]
        rounds.append({name: sides[name].seconds(job, turns[name]) for name in names})
    medians = {name: statistics.median(found[name] for found in rounds) for name in sides}
    spread = {name: [min(r[name] for r in rounds), max(r[name] for r in rounds)] for name in sides}
    speeds = {name: batch / seconds for name, seconds in medians.items()}
    against = {name: statistics.median(r["loop"] / r[name] for r in rounds) for name in sides}
    return {"images_per_second": speeds, "seconds_range": spread, "loop_against": against, "first_step": first}


def busy_seconds(job: Job, side: Side) -> float:
    """How long something runs on the device in a step; on a CPU, in a rehearsal, any operation."""
    from torch.profiler import ProfilerActivity, profile

    count = 1 if job.is_tiny else PROFILED
    kinds = ("kernel", "gpu_memcpy", "gpu_memset") if job.device == "cuda" else ("cpu_op",)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if job.device == "cuda" else [])]
    with profile(activities=activities) as profiled:
        side.seconds(job, count)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiled.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") in kinds)
    if not spans:
        raise RuntimeError("the profiler has seen nothing on the device")
    busy, until = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6 / count


def outside(job: Job, compiled: Compiled, dataset: DataSet, recipe: Recipe) -> dict[str, Any]:
    """What an epoch of a training takes beside its steps."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        changed = change_recipe(recipe, {"epochs": 2})
        train_network(compiled, dataset, changed, Path(folder, "run"), TrainingSetting(progress=clock))
    return clock.outside()
