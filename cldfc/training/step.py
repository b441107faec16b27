"""Parts of a training step: optimizer, rate, CUDA graph, score, and the origin of a number that is not finite."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import unwrap
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer

from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, standardise
from cldfc.device import Device, on_own_core, settled
from cldfc.recipe import Recipe

# Runs have hundreds to thousands of steps: the usual 0.999 would remember the first of them.
_SQUARES = 0.99


# torch keeps torch.compile out of these methods, and loads it for that, which takes two seconds; nothing compiles them.
_sgd: Any = SGD
_adamw: Any = AdamW


class _Sgd(SGD):
    add_param_group = unwrap(_sgd.add_param_group)
    step = torch.no_grad()(unwrap(_sgd.step))


class _AdamW(AdamW):
    add_param_group = unwrap(_adamw.add_param_group)
    step = torch.no_grad()(unwrap(_adamw.step))


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """A fused optimizer: no other obeys a flag on the device that says to change nothing, or reads its rate there."""
    parameters, decay = network.parameters(), recipe.weight_decay
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, _SQUARES)
        # Only so can its steps be captured as a CUDA graph; it counts them on the device in any case.
        is_capturable = next(network.parameters()).is_cuda
        optimizer = _AdamW(parameters, recipe.lr, betas, weight_decay=decay, fused=True, capturable=is_capturable)
        # The first steps are not captured, and torch would warn of that.
        optimizer._warned_capturable_if_run_uncaptured = True  # pyright: ignore
        return optimizer
    return _Sgd(parameters, recipe.lr, recipe.momentum, weight_decay=decay, fused=True)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate at a step, counted from 0, of `steps` in all: a linear rise, then a fall by the recipe's schedule."""
    rise = recipe.warmup * steps
    if step + 1 < rise:
        return recipe.lr * (step + 1) / rise
    if recipe.schedule == "step":
        drops = step * recipe.epochs // steps // recipe.drop_every
        return recipe.lr / recipe.drop_by**drops
    return recipe.lr * (1 + math.cos(math.pi * (step - rise + 1) / (steps - rise + 1))) / 2


LARGE = 1e4
"""The size of numbers that a network with normalised values does not reach."""


def find_origin(network: nn.Module, forward: Callable[[], Tensor], values: Mapping[str, Sequence[str]]) -> str:
    """The layer that first gives a number that is not finite when `forward` runs again, in words.

    If all are finite, the value that has grown the most. `values` are those that the calls of each layer help to
    compute, in the symbols of the spec. Empty if nothing has grown: dropout draws other numbers this time.
    """
    found: list[str] = []
    calls: Counter[str] = Counter()
    sizes: dict[str, float] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def look(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            own = values.get(name, ())
            value = own[calls[name]] if calls[name] < len(own) else ""
            calls[name] += 1
            if not found and not _is_finite(output):
                found.append(_first_fault(name, layer, inputs) + (value and f", in `{value}`"))
            elif value and isinstance(output, Tensor):
                sizes[value] = max(sizes.get(value, 0), float(output.abs().max()))

        return look

    modules = cast(Iterable[tuple[str, nn.Module]], network.named_modules())
    layers = [(name, layer) for name, layer in modules if not any(layer.children())]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    value = max(sizes, key=lambda value: sizes[value], default="")
    has_grown = value and sizes[value] > LARGE
    return found[0] if found else f"`{value}` has grown to {sizes[value]:.1e}" if has_grown else ""


def _first_fault(name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> str:
    for part, parameter in layer.named_parameters():
        if not _is_finite(parameter):
            return f"`{name}.{part}` is no longer finite"
    if not all(_is_finite(value) for value in inputs):
        return f"what `{name}` is given is the first value that is not finite"
    return f"the result of `{name}` is the first value that is not finite"


def _is_finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())


LAUNCHED = 3
"""Steps taken kernel by kernel at first, in which cuDNN tries its algorithms and torch.compile compiles."""

WAITS = "called a synchronizing CUDA operation"


class Captured:
    """Calls a function of tensors that stay where they are; on a CUDA device it is captured, and then replayed.

    If the function waits for the device, or there is not enough memory for a graph, it is called; `remark` says why.
    """

    def __init__(self, remark: Callable[[str], None]) -> None:
        self.remark = remark
        self.calls = 0
        self.waits: list[str] = []
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, function: Callable[[], None]) -> None:
        """Call the function, which is the same each time."""
        self.calls += 1
        if self.calls == LAUNCHED:
            self.look(function)
            return
        if self.calls == LAUNCHED + 1 and not self.waits:
            self.graph = self.capture(function)
        if self.graph is None:
            function()
        else:
            self.graph.replay()

    def look(self, function: Callable[[], None]) -> None:
        """Run the function, and see whether it waits: a wait during a capture spoils torch's generator."""
        with _waiting() as waits:
            function()
        self.waits = waits
        if waits:
            self.explain(f"it waits for the device at {waits[0]}")

    def capture(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        """Record the kernels of a call, without running them."""
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may copy images to the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                function()
        except torch.OutOfMemoryError:
            self.explain("there is not enough memory for one")
            return None
        return graph

    def explain(self, reason: str) -> None:
        self.remark(f"steps are launched kernel by kernel, not as a CUDA graph: {reason}")


@contextmanager
def _waiting() -> Generator[list[str]]:
    """Note where torch says that something waits for the device; other warnings are passed on."""
    found: list[str] = []
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        # torch itself warns that the mode is a prototype.
        heard.clear()
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in heard:
        if WAITS in str(warning.message):
            found.append(f"{warning.filename}:{warning.lineno}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@dataclass(frozen=True, slots=True)
class Score:
    """Mean cross-entropy, share of images classified correctly (0 to 1), and number of images."""

    loss: float
    accuracy: float
    images: int


@torch.no_grad()
def score_network(network: nn.Module, batches: Iterable[Images], dataset: DataSet, device: Device) -> Score:
    """The score of a network on all images of some batches, in evaluation mode; without images there are only zeros."""
    network.eval()
    found: list[tuple[Tensor, Tensor]] = []
    with settled():
        for batch in batches:
            with on_own_core():
                found.append((device.scores(network, standardise(batch.pixels, dataset)), batch.labels))
    if not found:
        return Score(0.0, 0.0, 0)
    scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    correct = int((scores.argmax(1) == labels).sum())
    return Score(cross_entropy(scores, labels).item(), correct / len(labels), len(labels))
