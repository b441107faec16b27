"""Generated networks against those of others: time and memory of a pass and of a training step.

Each plain, float32 as torch lays it out, and good: channels-last, in bfloat16 where the processor has it; one also
through torch.compile. The promise is 1.02 against torchvision and against networks written by hand, and 1.00 against
PyPI's `mgnet`, which has the same smoothing steps and whose stem is made that of the spec: it enlarges and pools.
"""

from __future__ import annotations

import statistics
import sys
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn

from benchmarks.measuring import ROOT, Benchmark, Work, main, paired, ratio
from benchmarks.scripts import COMPILED, GOOD, PLAIN, inference, mode_in_words, training
from cldfc.compilation import Compilation, read_changes
from cldfc.syntax.read import read_source
from cldfc.weights.network import build_network

sys.path.insert(0, str(ROOT / "tests"))
CHANNELS = 128
NETWORKS: dict[str, tuple[tuple[str, ...], tuple[int, int], float]] = {
    "ResNet-18 and torchvision's": (("imagenet/resnet18",), (8, 224), 1.02),
    "ResNet-18 and one by hand": (("resnet18",), (16, 32), 1.02),
    "pre-act ResNet-18-A^ℓ and one by hand": (("preact18_Al",), (16, 32), 1.02),
    f"MgNet, {CHANNELS} channels, and PyPI's mgnet": (
        ("mgnet_Bli", f"cu = {CHANNELS}", f"cf = {CHANNELS}"),
        (4, 32),
        1.0,
    ),
}
"""A spec and what it is changed by; a batch and the size of its images; what is promised."""
THROUGH_COMPILE = "pre-act ResNet-18-A^ℓ and one by hand"
GENERATED, OTHER, BOTH = "generated", "other", "both"
KINDS = {"inference": inference, "training": training}


def generated(spec: str, *lets: str) -> nn.Module:
    compilation = Compilation(read_source(ROOT / "specs" / f"{spec}.cldf"), read_changes(lets))
    return build_network(compilation.code(), compilation.class_name)


def other(spec: str) -> nn.Module:
    """The same network by somebody else."""
    import reference_networks
    import torchvision

    made = {
        "imagenet/resnet18": torchvision.models.resnet18,
        "resnet18": reference_networks.ResNet,
        "preact18_Al": reference_networks.PreActResNet,
    }
    return made[spec]() if spec in made else mgnet()


def mgnet() -> nn.Module:
    from mgnet.model import mgnet

    sizes = {"n_chan_u": CHANNELS, "n_chan_f": CHANNELS, "n_iter": [2, 2, 2, 2], "in_channels": 3, "n_classes": 10}
    network = mgnet("jacobi", **sizes)
    network.conv1 = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def side(name: str, is_quick: bool) -> Work:
    who, title, mode, kind = name.split("; ")
    spec, (batch, size), _ = NETWORKS[title]

    def work(who: str) -> Work:
        torch.manual_seed(0)
        images = torch.randn(*((2, 3, 32, 32) if is_quick else (batch, 3, size, size)))
        run = KINDS[kind](generated(*spec) if who == GENERATED else other(spec[0]), images, mode)
        return lambda: run() is None

    return partial(next, paired(work(GENERATED), work(OTHER))) if who == BOTH else work(who)


def measure(benchmark: Benchmark) -> None:
    titles = [title for title in NETWORKS if "mgnet" not in title or find_spec("mgnet")]
    cases = [(title, mode) for title in titles for mode in (PLAIN, GOOD)]
    cases = cases[-2:] if benchmark.is_quick else [*cases, (THROUGH_COMPILE, COMPILED)]
    rows: list[list[str | float]] = []
    for title, mode, kind in ((*case, kind) for case in cases for kind in KINDS):
        _, (batch, size), promise = NETWORKS[title]
        what = f"{title}, {batch} × {size}²; {kind}, {mode_in_words(mode)}"
        both, ours, theirs = (f"{who}; {title}; {mode}; {kind}" for who in (BOTH, GENERATED, OTHER))
        with benchmark.sides((ours, theirs)) as sides:
            memory, of_ours = sides[theirs].megabytes, sides[ours].megabytes
        one, another = benchmark.in_pairs(what, both, (GENERATED, OTHER), 0.4 / len(cases) / len(KINDS))
        share = ratio(one, another)
        rows.append([what, 1000 * statistics.median(another), share, memory, of_ours / memory])
        benchmark.promise(what, share, most=promise)
    columns = {"generated and other, batch × image": "{}", "time of the other": "{:.0f} ms", "generated": "{:.3f} ×"}
    columns |= {"memory of the other": "{:,.0f} MB", "memory, generated": "{:.2f} ×"}
    about = (
        "Times of the generated network over those of the other: below 1.00 it is faster. Both run in turns within one "
        "process, and the figure is the median of the ratios of pairs. Memory is measured apart: what a process with "
        "one of the two has at most in its first two passes or steps, torch included."
    )
    if len(titles) < len(NETWORKS):
        about += " PyPI's mgnet was not installed: `pip install '.[bench]'`."
    benchmark.table("Is generated code as fast as code by hand?", about, columns, rows)


if __name__ == "__main__":
    main(measure, 7, side)
