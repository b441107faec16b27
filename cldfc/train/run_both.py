"""Two networks run side by side: which module of the one is given what a module of the other is given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cldfc.diagnostics import UsageError
from cldfc.train.groups import TensorGroup, join_groups, read_groups

Arguments = tuple[object, ...]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class RunMode:
    """How a module is run: in which type, where, and how near its values are to be to equal ones."""

    dtype: torch.dtype
    tolerance: float
    device: torch.device


def ways_to_run(module: nn.Module) -> list[RunMode]:
    """The exact way first; some modules make tensors of a type or on a device of their own."""
    own = next((tensor.device for tensor in module.state_dict().values()), CPU)
    doubles = [RunMode(torch.float64, 1e-7, device) for device in dict.fromkeys((CPU, own))]
    return [*doubles, RunMode(torch.float32, 1e-3, own)]


class Running:
    """A copy of a network in eval mode, its groups of tensors, and the number of its group for each address."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self.network = copy.deepcopy(network).to(device, dtype).eval()
        self.groups = join_groups(read_groups(self.network.state_dict()))[0]
        tensors = ((number, tensor) for number, group in enumerate(self.groups) for tensor in group.tensors.values())
        self.numbers = {address(tensor): number for number, tensor in tensors}


def address(tensor: Tensor) -> int:
    """What a tensor and its views have in common."""
    return tensor.untyped_storage().data_ptr()


Print = tuple[tuple[int, ...], Tensor]
"""The shape of a value, and a few sums over it: equal for equal values, and in practice for no others."""


def fingerprint(value: Tensor) -> Print:
    numbers = value.detach().to("cpu", torch.float64).reshape(-1)
    root = max(numbers.numel(), 1) ** 0.5
    sums = print_weights(numbers.numel()) @ numbers
    return tuple(value.shape), torch.cat([(numbers @ numbers).sqrt().reshape(1), sums]) / root


@lru_cache(maxsize=4)
def print_weights(count: int) -> Tensor:
    return torch.randn(3, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def distance(one: Print, other: Print) -> float:
    """How far two values are apart, relative to the larger."""
    if one[0] != other[0]:
        return float("inf")
    size = max(float(one[1][0]), float(other[1][0]))
    return float((one[1] - other[1]).abs().max()) / size if size else 0.0


class Uses(TorchFunctionMode):
    """Calls `seen` before each torch function that is given tensors of a network's groups and other values.

    Unlike a module's hooks it also sees a kernel that is called by its weight, and a scalar.
    """

    def __init__(self, running: Running, seen: Callable[[list[int], list[Print]], None]) -> None:
        super().__init__()
        self.numbers, self.seen = running.numbers, seen

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [thing for thing in (*args, *(kwargs or {}).values()) if isinstance(thing, Tensor)]
        groups = [self.numbers.get(address(tensor)) for tensor in given]
        used = sorted({number for number in groups if number is not None})
        values = [tensor for tensor, number in zip(given, groups, strict=True) if number is None]
        if used and values:
            self.seen(used, [fingerprint(value) for value in values])
        return func(*args, **(kwargs or {}))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Generator[None]:
    """What a module makes tensors in while it runs, such as a start of zeros."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def run_network(
    running: Running, example: Arguments, seen: Callable[[list[int], list[Print]], None] | None = None
) -> list[Tensor]:
    """The outputs of a network; `seen` is told each use of its groups."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if any(type(module).__name__ == "OptimizedModule" for module in running.network.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if seen is not None:
            stack.enter_context(Uses(running, seen))
        return read_outputs(running.network(*example))


def read_outputs(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result.detach().to("cpu", torch.float64)]
    if isinstance(result, Mapping | list | tuple):
        parts = cast("Iterable[object]", result.values() if isinstance(result, Mapping) else result)
        return [tensor for part in parts for tensor in read_outputs(part)]
    raise UsageError(
        f"the output of the module is of type {type(result).__name__}", "give a module that returns tensors"
    )


def largest_difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    """How far outputs are apart, relative to the largest; nan if a number is not finite, inf if shapes differ."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in wanted]:
        return float("inf")
    pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if a.numel()]
    ratios = [(a - b).abs().max() / b.abs().max().clamp_min(1e-30) for a, b in pairs]
    return float(torch.stack(ratios).max()) if ratios else 0.0


def randomise(running: Running, seed: int) -> None:
    """Give a network weights of which no two modules have the same, and normalisations that do something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for group in running.groups:
            for part, tensor in group.tensors.items():
                if tensor.is_floating_point():
                    tensor.copy_(random_numbers(part, tensor, generator))


def random_numbers(part: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers for a tensor: from 0.5 to 1.5 for scales and variances, small ones for shifts, He's for kernels."""
    if part in ("running_mean", "bias"):
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / 2
    if tensor.dim() < 2 or part == "":
        return 0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
    fan_in = tensor.numel() / tensor.shape[0]
    return torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * (2 / fan_in) ** 0.5


def set_weights(theirs: TensorGroup, ours: TensorGroup) -> None:
    """Copy the tensors of one group to another; counters that are missing stay."""
    with torch.no_grad():
        for part in theirs.tensors.keys() & ours.tensors.keys():
            ours.tensors[part].copy_(theirs.tensors[part].reshape(ours.tensors[part].shape))


def draw_example(example: Arguments) -> Arguments:
    """Random numbers in the shape of an example, which may be all zeros."""
    generator = torch.Generator().manual_seed(1)

    def draw(thing: Any) -> Any:
        if not isinstance(thing, Tensor) or not thing.is_floating_point():
            return thing
        return torch.randn(thing.shape, generator=generator, dtype=torch.float64).to(thing)

    return tuple(map(draw, example))


def place_example(example: Arguments, dtype: torch.dtype, device: torch.device) -> Arguments:
    return tuple(
        thing.to(device, dtype if thing.is_floating_point() else thing.dtype) if isinstance(thing, Tensor) else thing
        for thing in example
    )
