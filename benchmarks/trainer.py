"""`cldfc train` against a plain script and good ones, alone and beside another training, and what is beside its steps.

ResNet-18 on images of 3 × 32 × 32, batches of 128, two threads. The scripts are those of `benchmarks/scripts.py`, and
train the same module. The promises, on two cores:

- against the plain script 4 times as many images per second with AMX, and 2.3 times without; against the good one 1.3
  times with it, and as many without; at most 1.02 times the time of the bare forward, backward and step of the module
  in the same mode;
- the images of a batch at most 3 % of a step of ResNet-18, and 5 % of one of a network with a tenth of its work;
- of two trainings at once, two threads each, each 40 % of one alone;
- a narrow network on digits: 3 s from the command to its first step; and one whose epochs last about a second: 2 % of
  the training for saving, testing and reporting.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, pairwise
from pathlib import Path

import torch

from benchmarks.cuda_parts.job import compiled_from, graph_of
from benchmarks.measuring import ROOT, Benchmark, Compared, Work, main, multiplies, paired, ratio
from benchmarks.scripts import (
    COMPILED,
    GOOD,
    PLAIN,
    Steps,
    bare,
    data_loader,
    descent_of,
    good,
    looped,
    mode_in_words,
    plain,
    task_of,
)
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.images import standardise
from cldfc.device import cpu_has_bf16
from cldfc.recipe import Recipe, change_recipe
from cldfc.training.descent import Descent
from cldfc.training.task import Task
from cldfc.weights.compiled import Compiled

DATA, DIGITS = find("fake:3x32x32:10"), find("digits")
BATCH, TINY = 128, 4
TENTH = "c = 20, 40, 80, 160"
TINIEST = "c = 16, 16, 16, 16"
"""With fewer channels, oneDNN writes past its memory where maps lie channels-last (docs/decisions.md)."""
NARROW, WIDE = "c = 16, 32, 64, 128", "c = 64, 128, 256, 512"
OF_A_SECOND = WIDE if cpu_has_bf16() else NARROW
"""With it, an epoch of digits lasts about a second on two cores."""
EPOCHS = 8
TOGETHER = 6.0
"""Seconds of a turn in which two trainings compute at once."""
CLDFC, CLDFC_COMPILED, BARE = "cldfc train", "cldfc train --compile on", "bare step"
IMAGES, LOADER, BARE_TENTH, OF_DIGITS, BESIDE_BARE = (
    "images",
    "DataLoader",
    "bare step of a tenth",
    "cldfc, steps of digits",
    "cldfc, a step of its loop and a bare one",
)


def compiled(spec: str, dataset: DataSet, *lets: str) -> Compiled:
    return compiled_from(graph_of(spec, dataset, *lets))


def only_images(task: Task) -> Steps:
    """Batches as the network gets them, and no training."""
    for epoch in count(1):
        for batch in task.loader.train_batches(epoch):
            yield standardise(batch.pixels, DATA).contiguous(memory_format=torch.channels_last)


def only_loader(recipe: Recipe) -> Steps:
    """The batches of the DataLoader, and no training."""
    loader = data_loader("cpu", DATA, recipe)
    while True:
        yield from loader


def beside_bare(taken: Descent) -> Work:
    """A step of the loop, and a bare one of the same network."""
    loop, alone = looped(taken), bare(taken.task)
    return partial(next, paired(partial(next, loop), partial(next, alone)))


def side(name: str, is_quick: bool) -> Work:
    recipe = change_recipe(DATA.recipe, {"lr": 0.001, "batch": TINY if is_quick else BATCH})
    lets = [TINIEST] * is_quick
    of_18, tenth = (partial(compiled, "resnet18", DATA, *changes) for changes in (lets, [TENTH]))
    made: dict[str, Callable[[], Steps]] = {
        PLAIN: lambda: plain("cpu", of_18(), DATA, recipe),
        GOOD: lambda: good("cpu", of_18(), DATA, recipe),
        COMPILED: lambda: good("cpu", of_18(), DATA, recipe, is_compiled=True),
        CLDFC: lambda: looped(descent_of(of_18(), DATA, recipe)),
        CLDFC_COMPILED: lambda: looped(descent_of(of_18(), DATA, recipe, is_compiled=True)),
        BARE: lambda: bare(task_of(of_18(), DATA, recipe)),
        BARE_TENTH: lambda: bare(task_of(tenth(), DATA, recipe)),
        IMAGES: lambda: only_images(task_of(tenth(), DATA, recipe)),
        LOADER: lambda: only_loader(recipe),
        OF_DIGITS: lambda: looped(descent_of(compiled("preact18_Al", DIGITS, OF_A_SECOND), DIGITS, DIGITS.recipe)),
    }
    if name == BESIDE_BARE:
        return beside_bare(descent_of(of_18(), DATA, recipe))
    steps = made[name.removesuffix(", once more")]()
    return lambda: next(steps) is None


def speed(benchmark: Benchmark) -> Compared:
    names = (PLAIN, GOOD, CLDFC, BARE) if benchmark.is_quick else (PLAIN, GOOD, COMPILED, CLDFC, CLDFC_COMPILED, BARE)
    batch = TINY if benchmark.is_quick else BATCH
    found = benchmark.compare("a training step", names, 0.3)
    rows: list[list[str | float | None]] = []
    for name in names:
        words = f"{name}: {mode_in_words(name)}" if name in (PLAIN, GOOD, COMPILED) else name
        rows.append([words, batch / found.median(name), found.ratio(name, CLDFC), found.megabytes[name]])
    benchmark.table(
        "How fast is a training?",
        f"ResNet-18, 3 × 32², batches of {batch}. The plain script has a DataLoader with two workers, whose memory is "
        "not counted; the good ones hold the images in memory and cut a batch by its indices. Bare is forward, "
        "backward and step of the module that cldfc trains, on one batch.",
        {"": "{}", "speed": "{:,.1f} images/s", "`cldfc train` is": "{:.3f} × as fast", "memory": "{:,.0f} MB"},
        rows,
    )
    has_amx = multiplies() == "AMX"
    benchmark.promise("times as fast as the plain script", found.ratio(PLAIN, CLDFC), least=4 if has_amx else 2.3)
    benchmark.promise("times as fast as the good script", found.ratio(GOOD, CLDFC), least=1.3 if has_amx else 1.0)
    return found


def loop(benchmark: Benchmark) -> None:
    in_loop, alone = benchmark.in_pairs("the loop and the bare step", BESIDE_BARE, ("loop", "bare"), 0.15)
    benchmark.promise("its loop, against the bare step", ratio(in_loop, alone), most=1.02)


def images(benchmark: Benchmark, of_18: Compared) -> None:
    found = benchmark.compare("the images", (IMAGES, LOADER, BARE_TENTH), 0.05)
    batch = TINY if benchmark.is_quick else BATCH
    shares = [found.median(IMAGES) / step for step in (of_18.median(BARE), found.median(BARE_TENTH))]
    speeds = {IMAGES: "images drawn, cut and standardised by cldfc", LOADER: "by a DataLoader with two workers"}
    rows = [[words, batch / found.median(name)] for name, words in speeds.items()]
    of_tenth = f"{shares[1]:.2%} of one of a network with a tenth of its work"
    about = f"Those of a batch take {shares[0]:.2%} of a step of ResNet-18, and {of_tenth}."
    benchmark.table("How fast are the images?", about, {"alone": "{}", "speed": "{:,.0f} images/s"}, rows)
    benchmark.promise("images of a batch, percent of a step of ResNet-18", 100 * shares[0], most=3)
    benchmark.promise("images of a batch, percent of a step of a tenth of it", 100 * shares[1], most=5)


def together(benchmark: Benchmark) -> None:
    """Two trainings at once, each against itself alone."""
    rows: list[list[str | float]] = []
    for name in (CLDFC, GOOD):
        with benchmark.sides((name, f"{name}, once more")) as sides:
            turn = 0 if benchmark.is_quick else TOGETHER
            alone: list[list[float]] = []
            both: list[list[float]] = []
            for _ in benchmark.rounds(0.1):
                alone.append([other.run(turn) for other in sides.values()])
                for other in sides.values():
                    other.begin(turn)
                both.append([other.end() for other in sides.values()])
        of_each = [*zip(*alone, strict=True)], [*zip(*both, strict=True)]
        shares = [100 * ratio(*pair) for pair in zip(*of_each, strict=True)]
        for word, seconds in zip(("alone", "at once"), of_each, strict=True):
            benchmark.runs[f"{name}, {word}"] = dict(zip(sides, map(list, seconds), strict=True))
        rows.append([name, *shares])
        if name == CLDFC:
            benchmark.promise("two trainings at once: percent of one alone, the slower", min(shares), least=40)
    benchmark.table(
        "What is left when two train at once?",
        "The speed of each of two trainings of ResNet-18 on the same cores, as many threads each as there are cores.",
        {"two of": "{}", "one": "{:.0f} % of its speed alone", "the other": "{:.0f} % of its speed alone"},
        rows,
    )


def epochs_of(command: list[str]) -> Iterator[tuple[float, dict[str, float]]]:
    """What a training says of each epoch, and how many seconds after its command it says that."""
    start = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if (said := json.loads(line))["kind"] == "epoch":
                yield time.monotonic() - start, said
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} has failed")


def beside_steps(benchmark: Benchmark) -> None:
    """Networks on digits, by the command, from outside."""
    steps = DIGITS.images[0] // DIGITS.recipe.batch
    command = [sys.executable, "-m", "cldfc", "train", "preact18_Al", "--data", "digits", "--json"]
    epochs = ["--epochs", str(2 if benchmark.is_quick else EPOCHS)]
    let = NARROW if benchmark.is_quick else OF_A_SECOND
    starts, alone, found = list[float](), list[float](), list[list[float]]()
    with benchmark.sides((OF_DIGITS,)) as sides, tempfile.TemporaryDirectory() as folder:
        for number in benchmark.rounds(0.2):
            narrow = ["--let", NARROW, "--epochs", "1", "-o", str(Path(folder, f"{number}-narrow"))]
            ((after, epoch),) = epochs_of([*command, *narrow])
            starts.append(after - epoch["seconds"])
            said = list(epochs_of([*command, "--let", let, *epochs, "-o", str(Path(folder, str(number)))]))
            for (before, _), (after, epoch) in pairwise(said):
                trained = steps * DIGITS.recipe.batch / epoch["images_per_second"]
                found.append([after - before, trained, epoch["seconds"] - trained, after - before - epoch["seconds"]])
            alone.append(steps * sides[OF_DIGITS].run(3))
    benchmark.runs["networks on digits"] = {"to the first step": starts, "steps of an epoch, alone": alone} | {
        name: list(column)
        for name, column in zip(("epochs", "steps", "tests", "between epochs"), zip(*found, strict=True), strict=True)
    }
    epoch, trained, tests, gap = (statistics.median(column) for column in zip(*found, strict=True))
    of_steps = statistics.median(alone)
    rows = [
        ["an epoch", epoch, None],
        ["its steps", trained, 100 * trained / epoch],
        ["the same steps in a loop that saves, tests and reports nothing", of_steps, 100 * of_steps / epoch],
        ["its test", tests, 100 * tests / epoch],
        ["between epochs", gap, 100 * gap / epoch],
    ]
    start = statistics.median(starts)
    benchmark.table(
        "What does a training take beside its steps?",
        f"`cldfc train preact18_Al --data digits`, seen from outside: with `--let '{NARROW}'` {start:.1f} s from the "
        f"command to the first step; and in an epoch of {steps} steps with `--let '{let}'`:",
        {"": "{}", "time": "{:.3f} s", "of an epoch": "{:.1f} %"},
        rows,
    )
    benchmark.promise("digits, narrow: seconds to the first step", start, most=3)
    benchmark.promise("digits, epochs of about a second: percent of one between epochs", 100 * gap / epoch, most=2)
    cost = 100 * (1 - of_steps / epoch)
    benchmark.promise(
        "digits, epochs of about a second: percent of one for saving, testing and reporting", cost, most=2
    )


def measure(benchmark: Benchmark) -> None:
    found = speed(benchmark)
    loop(benchmark)
    images(benchmark, found)
    together(benchmark)
    beside_steps(benchmark)


if __name__ == "__main__":
    main(measure, 13, side)
