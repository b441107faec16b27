"""Every spec, forward and backward, on the device against float64 on the CPU.

The maps of networks for large images are cut down to 64 × 64, as `cldfc verify` does. Dropout is left out, for devices
draw differently. Three modes are compared, each with the same weights and images:

- float64 on the device: output, gradient of every parameter, running statistics, output in evaluation, each relative to
  its largest number (a gradient that is small beside the others relative to a thousandth of the largest of all);
- float32, channels-last, without TF32, as `cldfc train --precise` and `predict` compute;
- bfloat16 autocast, channels-last, as `cldfc train` computes.

The last two are rounded: compared are the Euclidean norms of the differences of the output and of the whole gradient,
relative to those of what is expected. In bfloat16 the gradient has only to be finite.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.cuda_parts.job import ROOT, Job
from cldfc.compilation import Compilation
from cldfc.device import Device
from cldfc.syntax.read import read_source
from cldfc.verify.deviation import SMALL, random_state, relative
from cldfc.verify.outcome import smaller
from cldfc.weights.network import build_network

BATCH = 4
EXACT = 1e-8
"""Of float64: rounding stays below, float32 somewhere on the way would not."""
ROUNDED = {"float32": {"output": 1e-3, "gradient": 0.1}, "bfloat16": {"output": 0.2, "gradient": math.inf}}
"""On a CPU float32 comes to 7e-6 and 0.012, bfloat16 to 0.044 and 0.6: norms over few pixels magnify rounding."""
FIRST = ("resnet18", "preact18_Al", "fbresnet")
TINY = ("lenet5",)
AHEAD = 2
"""How many specs are prepared, by the CPU, while the device works on another; some take a gigabyte."""

Tensors = dict[str, Tensor]
Scores = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Prepared:
    """A network with its weights, in float32, images for it, and what it does in float64 on the CPU."""

    network: nn.Module
    images: Tensor
    expected: Tensors


def work(job: Job) -> None:
    """Compare all specs, the best known first."""
    folder = ROOT / "specs"
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.cldf"))}
    names = list(job.to_do(TINY if job.is_tiny else [*FIRST, *(name for name in paths if name not in FIRST)]))
    # One thread prepares them: what is drawn does not depend on the device's pace.
    with mock.patch("torch.nn.functional.dropout", lambda x, *_: x), ThreadPoolExecutor(1) as ahead:
        prepared = {name: ahead.submit(prepare_spec, paths[name]) for name in names[:AHEAD]}
        for place, name in enumerate(names):
            for later in names[place + AHEAD : place + AHEAD + 1]:
                prepared[later] = ahead.submit(prepare_spec, paths[later])
            with job.item(name) as found:
                compare_spec(prepared.pop(name).result(), job.device, found)


def prepare_spec(path: Path) -> Prepared:
    """The network of a spec with random weights, and what it does by the reference."""
    spec = smaller(Compilation(read_source(path)))
    torch.manual_seed(0)
    network = build_network(spec.code(), spec.class_name)
    network.load_state_dict(random_state(network, 0))
    images = torch.randn(BATCH, *spec.program.shape, generator=torch.Generator().manual_seed(0))
    return Prepared(network, images, outcome(copy.deepcopy(network).double(), images.double(), plainly))


def compare_spec(spec: Prepared, kind: str, found: dict[str, Any]) -> None:
    """Put the differences in each mode into `found`. Raises AssertionError where one is above its tolerance."""
    exact = outcome(copy.deepcopy(spec.network).double().to(kind), spec.images.double().to(kind), plainly)
    found["float64"] = largest_differences(exact, spec.expected)
    has_bf16 = kind == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    for device in (Device(kind, bf16=False), *([Device(kind, bf16=True)] if has_bf16 else [])):
        with device.switches():
            # To try them takes longer than one step.
            torch.backends.cudnn.benchmark = False
            rounded = outcome(device.place(copy.deepcopy(spec.network)), spec.images.to(kind), device.scores)
        found["bfloat16" if device.bf16 else "float32"] = rounded_differences(rounded, spec.expected)
    check(found)


def plainly(network: nn.Module, images: Tensor) -> Tensor:
    return network(images)


def outcome(network: nn.Module, images: Tensor, scores: Scores) -> Tensors:
    """What a network does in a step of training and in evaluation, in float64 on the CPU."""
    output = scores(network.train(), images)
    weights = torch.arange(1, output.numel() + 1, dtype=torch.float64).view(output.shape).cos()
    (output * weights.to(output)).sum().backward()
    found = {"output": output.detach()}
    for name, parameter in network.named_parameters():
        found[f"gradient of {name}"] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    found |= {name: tensor.clone() for name, tensor in network.named_buffers() if tensor.is_floating_point()}
    with torch.no_grad():
        found["output in evaluation"] = scores(network.eval(), images)
    return {name: tensor.detach().cpu().double() for name, tensor in found.items()}


def largest_differences(found: Tensors, expected: Tensors) -> dict[str, float]:
    """The largest relative difference of each kind of tensor."""
    largest = max((float(t.abs().max()) for name, t in expected.items() if is_gradient(name)), default=0.0)
    worst: dict[str, float] = {}
    for name, tensor in expected.items():
        kind = kind_of(name)
        floor = SMALL * largest if kind == "gradient" else 0.0
        worst[kind] = max(worst.get(kind, 0.0), relative(found[name], tensor, floor))
    return worst


def rounded_differences(found: Tensors, expected: Tensors) -> dict[str, float]:
    """The norms of the differences of the output and of the whole gradient, relative to those of what is expected."""
    gradients = [
        torch.cat([tensors[name].flatten() for name in expected if is_gradient(name)]) for tensors in (found, expected)
    ]
    pairs = {"output": (found["output"], expected["output"]), "gradient": tuple(gradients)}
    return {name: float((one - other).norm() / other.norm()) for name, (one, other) in pairs.items()}


def is_gradient(name: str) -> bool:
    return name.startswith("gradient of ")


def kind_of(name: str) -> str:
    """What is compared: an output, a gradient or a running statistic."""
    return "gradient" if is_gradient(name) else name if name.startswith("output") else "statistics"


def check(differences: dict[str, dict[str, float]]) -> None:
    """Raises AssertionError where a difference is above its tolerance, or is not a number."""
    for mode, parts in differences.items():
        for part, difference in parts.items():
            tolerance = EXACT if mode == "float64" else ROUNDED[mode][part]
            if not math.isfinite(difference) or difference > tolerance:
                raise AssertionError(f"{mode}: the {part} differs by {difference:.2g}, tolerance {tolerance:g}")
