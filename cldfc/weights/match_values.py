"""Which module of another network is which of ours: both are given the same values when the networks run."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cldfc.diagnostics import UsageError
from cldfc.weights.groups import TensorGroup, join_groups, read_groups
from cldfc.weights.match import BY_ORDER, BY_SHAPE, Pair

_Arguments = tuple[object, ...]
_Print = tuple[tuple[int, ...], Tensor]
"""A fingerprint of a value: its shape, without axes of a single pixel, and a few sums over it. Equal values have equal
fingerprints, and in practice no others do."""
_Seen = Callable[[list[int], list[_Print]], None]
"""Called with the numbers of the groups in use, and the values that they are given."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _RunMode:
    """How a module is run: number type, device, and the tolerance up to which two values count as equal."""

    dtype: torch.dtype
    tolerance: float
    device: torch.device


def _ways_to_run(module: nn.Module) -> list[_RunMode]:
    """Float64 first; some modules create tensors of a fixed type or on a fixed device."""
    own = next((tensor.device for tensor in module.state_dict().values()), _CPU)
    doubles = [_RunMode(torch.float64, 1e-7, device) for device in dict.fromkeys((_CPU, own))]
    return [*doubles, _RunMode(torch.float32, 1e-3, own)]


class _Running:
    """A copy of a network in eval mode, its groups of tensors, and for each address the number of its group."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.network = copy.deepcopy(network).to(device, dtype).eval()
        self.groups = join_groups(read_groups(self.network.state_dict()))[0]
        tensors = ((number, tensor) for number, group in enumerate(self.groups) for tensor in group.tensors.values())
        self.numbers = {_address(tensor): number for number, tensor in tensors}

    def run(self, example: _Arguments, seen: _Seen | None = None) -> list[Tensor]:
        """The outputs of the network; `seen` is called at each use of its groups."""
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(_default_dtype(self.dtype))
            if any(type(module).__name__ == "OptimizedModule" for module in self.network.modules()):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            if seen is not None:
                stack.enter_context(Uses(self.numbers, seen))
            return _read_outputs(self.network(*(self.place(thing) for thing in example)))

    def place(self, thing: object) -> object:
        if isinstance(thing, list):
            return [self.place(member) for member in cast("list[object]", thing)]
        if not isinstance(thing, Tensor):
            return thing
        return thing.to(self.device, self.dtype if thing.is_floating_point() else thing.dtype)


def _address(tensor: Tensor) -> int:
    """The same for a tensor and its views."""
    return tensor.untyped_storage().data_ptr()


def _fingerprint(value: Tensor) -> _Print:
    numbers = value.detach().to("cpu", torch.float64).reshape(-1)
    root = max(numbers.numel(), 1) ** 0.5
    sums = _print_weights(numbers.numel()) @ numbers
    shape = tuple(value.shape)
    shape = shape[:2] if all(size == 1 for size in shape[2:]) else shape
    return shape, torch.cat([(numbers @ numbers).sqrt().reshape(1), sums]) / root


@lru_cache(maxsize=4)
def _print_weights(count: int) -> Tensor:
    return torch.randn(3, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _distance(one: _Print, other: _Print) -> float:
    """How far two values are apart, relative to the larger."""
    if one[0] != other[0]:
        return inf
    size = max(float(one[1][0]), float(other[1][0]))
    return float((one[1] - other[1]).abs().max()) / size if size else 0.0


class Uses(TorchFunctionMode):
    """Calls `seen` before each torch function that takes tensors of a network's groups together with other values.

    Unlike a module's hooks it also sees a kernel that is called by its weight, and a scalar.
    """

    def __init__(self, numbers: Mapping[int, int], seen: _Seen) -> None:
        super().__init__()
        self.numbers, self.seen = numbers, seen

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [thing for thing in (*args, *(kwargs or {}).values()) if isinstance(thing, Tensor)]
        groups = [self.numbers.get(_address(tensor)) for tensor in given]
        used = sorted({number for number in groups if number is not None})
        values = [tensor for tensor, number in zip(given, groups, strict=True) if number is None]
        if used and values:
            if func is nn.functional.linear:  # on pixels, it is a 1×1 kernel whose channels come last
                values = [value.movedim(-1, 1) if value.dim() > 2 else value for value in values]
            self.seen(used, [_fingerprint(value) for value in values])
        return func(*args, **(kwargs or {}))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Generator[None]:
    """The type of tensors that a module creates while it runs, such as a start of zeros."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _read_outputs(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result.detach().to("cpu", torch.float64)]
    if isinstance(result, Mapping | list | tuple):
        parts = cast("Iterable[object]", result.values() if isinstance(result, Mapping) else result)
        return [tensor for part in parts for tensor in _read_outputs(part)]
    raise UsageError(
        f"the output of the module is of type {type(result).__name__}", "give a module that returns tensors"
    )


def _largest_difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    """How far outputs are apart, relative to the largest; nan if a number is not finite, inf if shapes differ."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in wanted]:
        return inf
    pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if a.numel()]
    ratios = [(a - b).abs().max() / b.abs().max().clamp_min(1e-30) for a, b in pairs]
    return float(torch.stack(ratios).max()) if ratios else 0.0


def _randomise(running: _Running, seed: int) -> None:
    """Give a network random weights, different for each module, and normalisations that change their inputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for group in running.groups:
            for part, tensor in group.tensors.items():
                if tensor.is_floating_point():
                    tensor.copy_(_random_numbers(part, tensor, generator))


def _random_numbers(part: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers for a tensor: 0.5 to 1.5 for scales and variances, small ones for shifts, He's for kernels."""
    if part in ("running_mean", "bias"):
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / 2
    if tensor.dim() < 2 or part == "":
        return 0.5 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
    fan_in = tensor.numel() / tensor.shape[0]
    return torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * (2 / fan_in) ** 0.5


def _set_weights(theirs: TensorGroup, ours: TensorGroup) -> None:
    """Copy the tensors of one group to another; counters that are missing stay."""
    with torch.no_grad():
        for part in theirs.tensors.keys() & ours.tensors.keys():
            ours.tensors[part].copy_(theirs.tensors[part].reshape(ours.tensors[part].shape))


def _draw_example(example: _Arguments) -> _Arguments:
    """Random numbers of the shape of an example, which itself may be all zeros."""
    generator = torch.Generator().manual_seed(1)

    def draw(thing: Any) -> Any:
        if isinstance(thing, list):
            return [draw(member) for member in cast("list[Any]", thing)]
        if not isinstance(thing, Tensor) or not thing.is_floating_point():
            return thing
        return torch.randn(thing.shape, generator=generator, dtype=torch.float64).to(thing)

    return tuple(map(draw, example))


_MOST_RUNS = 300
"""The search gives up after this many runs of our network. It takes one where no two branches look alike."""

_DRAWS = 3
"""The number of draws of random weights for which outputs must be equal."""

_Pairs = dict[int, int]
"""For each of our groups, by number, the number of theirs."""


class _DeadEndError(Exception):
    """The choices so far cannot be right."""


@dataclass
class _Apart:
    """Where the networks part: our group, and the group of theirs that is given the nearest value."""

    decided: int = -1
    ours: str = ""
    theirs: str = ""
    difference: float = inf

    def __str__(self) -> str:
        if not self.ours:
            return "all modules are given the same values, so they part after the last"
        if not self.theirs:
            return f"nothing like `{self.ours}` is used there"
        near = "of another shape" if self.difference == inf else f"which differs by {percentage(self.difference)}"
        return f"they part where `{self.ours}` is used: the nearest value is given to `{self.theirs}`, {near}"


def percentage(share: float) -> str:
    return f"{100 * share:.2g} %"


class _Both:
    """Our network and theirs, run with random weights on random numbers."""

    def __init__(self, ours: _Running, theirs: _Running, example: _Arguments, way: _RunMode) -> None:
        self.ours, self.theirs, self.example, self.way = ours, theirs, example, way
        self.given: list[list[_Print]] = [[] for _ in theirs.groups]
        self.rank: dict[int, int] = {}
        self.apart = _Apart()
        self.outputs = theirs.run(example, self.note)

    def note(self, groups: list[int], values: list[_Print]) -> None:
        for group in groups:
            self.given[group] += values
            self.rank.setdefault(group, len(self.rank))

    def search(self) -> _Pairs | None:
        """Pairs for which both networks have the same outputs; None if none were found."""
        for is_strict in (True, False):
            choices: list[int] | None = []
            for _ in range(_MOST_RUNS):
                attempt = _Attempt(self, choices, is_strict)
                try:
                    attempt.finish(self.ours.run(self.example, attempt.use))
                    return attempt.pairs
                except _DeadEndError:
                    choices = attempt.next_choices()
                    if choices is None:
                        break
        return None

    def differences(self, pairs: _Pairs) -> list[float]:
        """The differences of the outputs for several draws of random weights; draws with zero outputs are left out."""
        found: list[float] = []
        for seed in range(_DRAWS):
            _randomise(self.theirs, seed)
            for number, their in pairs.items():
                _set_weights(self.theirs.groups[their], self.ours.groups[number])
            wanted = self.theirs.run(self.example)
            if any(bool(tensor.any()) for tensor in wanted):
                found.append(_largest_difference(self.ours.run(self.example), wanted))
        _randomise(self.theirs, 0)
        return found

    def is_proved(self, pairs: _Pairs) -> bool:
        """Whether the outputs are equal for several draws; in a single one, a branch may be zero by chance."""
        found = self.differences(pairs)
        return bool(found) and all(difference < self.way.tolerance for difference in found)


class _Attempt:
    """A run of our network. Each group takes the weights of one of theirs at its first use."""

    def __init__(self, both: _Both, choices: Sequence[int], is_strict: bool) -> None:
        self.both, self.choices, self.is_strict = both, choices, is_strict
        self.pairs: _Pairs = {}
        self.is_guess = False
        self.made: list[tuple[int, int]] = []

    def use(self, groups: list[int], values: list[_Print]) -> None:
        """A use of our groups. Raises DeadEndError."""
        for number in groups:
            ours = self.both.ours.groups[number]
            if ours.is_kernel and not any(float(value[1][0]) for value in values):
                continue  # a kernel applied to a zero says nothing
            if number not in self.pairs:
                self.choose(number, self.candidates(number, values))
            elif self.is_strict and not self.is_near(self.pairs[number], values):
                self.note_apart(number, [self.pairs[number]], values)
                raise _DeadEndError

    def candidates(self, number: int, values: list[_Print]) -> list[int]:
        """Their groups of its shape that are given one of the values; if there are none, any that may be given others.

        These are kernels, which another form of the same iteration applies to increments, and groups that no function
        has been seen to take.
        """
        both, signature = self.both, self.both.ours.groups[number].signature
        left = [
            their
            for their, group in enumerate(both.theirs.groups)
            if group.signature == signature and their not in self.pairs.values()
        ]
        left.sort(key=lambda their: both.rank.get(their, len(both.rank)))
        found = [their for their in left if self.is_near(their, values)]
        was_guess, self.is_guess = self.is_guess, not found
        if not found and self.is_strict:
            self.note_apart(number, left, values)
        if not found and not self.is_strict:
            is_free = both.ours.groups[number].is_kernel and not was_guess
            found = [their for their in left if is_free or not both.given[their]]
        return found

    def is_near(self, their: int, values: list[_Print]) -> bool:
        return self.nearest(their, values) < self.both.way.tolerance

    def nearest(self, their: int, values: list[_Print]) -> float:
        """The smallest distance of these values from those that their group is given."""
        return min((_distance(a, b) for a in values for b in self.both.given[their]), default=inf)

    def note_apart(self, number: int, theirs: list[int], values: list[_Print]) -> None:
        if len(self.pairs) > self.both.apart.decided:
            near, their = min(((self.nearest(their, values), their) for their in theirs), default=(inf, None))
            name = "" if their is None else self.both.theirs.groups[their].name
            self.both.apart = _Apart(len(self.pairs), self.both.ours.groups[number].name, name, near)

    def choose(self, number: int, candidates: list[int]) -> None:
        """Give one of our groups the weights of one of theirs. Raises DeadEndError."""
        if not candidates:
            raise _DeadEndError
        place = len(self.made)
        choice = self.choices[place] if place < len(self.choices) else 0
        self.made.append((choice, len(candidates)))
        self.pairs[number] = candidates[choice]
        _set_weights(self.both.theirs.groups[candidates[choice]], self.both.ours.groups[number])

    def next_choices(self) -> list[int] | None:
        """The choices of the next run: the last one with an alternative changes. None if no choice has any left."""
        made = self.made
        while made and made[-1][0] + 1 == made[-1][1]:
            made.pop()
        return [*(choice for choice, _ in made[:-1]), made[-1][0] + 1] if made else None

    def finish(self, outputs: list[Tensor]) -> None:
        """Match the groups that do not affect the outputs, then compare these. Raises DeadEndError."""
        if not _largest_difference(outputs, self.both.outputs) < self.both.way.tolerance:
            if len(self.pairs) > self.both.apart.decided:
                self.both.apart = _Apart(len(self.pairs))
            raise _DeadEndError
        for number, ours in enumerate(self.both.ours.groups):
            if number not in self.pairs:
                theirs = self.both.theirs.groups
                left = (at for at, group in enumerate(theirs) if group.signature == ours.signature)
                self.pairs[number] = next(at for at in left if at not in self.pairs.values())
        if not self.both.is_proved(self.pairs):
            raise _DeadEndError


@dataclass(frozen=True)
class Match:
    """The pairs that were found, or None and where the networks part; and both networks."""

    pairs: list[Pair] | None
    both: _Both

    def difference(self, pairs: Sequence[Pair]) -> float:
        """How far apart the outputs are for random weights that are paired like this."""
        theirs = {group.name: number for number, group in enumerate(self.both.theirs.groups)}
        ours = {group.name: number for number, group in enumerate(self.both.ours.groups)}
        found = self.both.differences({ours[p.our.name]: theirs[p.their.name] for p in pairs})
        return float(torch.tensor(found or [inf]).max())


def match_values(network: nn.Module, module: nn.Module, example: _Arguments) -> Match:
    """Pairs for which both networks compute the same function.

    Copies of both are run with random weights, which no two modules have in common, so that equal outputs prove it.
    The numbers of groups of each shape must be equal. Raises UsageError when either cannot be run.
    """
    both = _start(network, module, example)
    ours, theirs = both.ours.groups, both.theirs.groups
    try:
        pairs = both.search()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the network cannot be run on the example: {error}", "give what it takes") from error
    if pairs is None:
        return Match(None, both)
    counts = Counter(group.signature for group in ours)
    how = {number: BY_SHAPE if counts[ours[number].signature] == 1 else BY_ORDER for number in pairs}
    return Match([Pair(theirs[their], ours[number], how[number]) for number, their in pairs.items()], both)


def _start(network: nn.Module, module: nn.Module, example: _Arguments) -> _Both:
    """Both networks, theirs with random weights. Raises UsageError."""
    failure: Exception | None = None
    for way in _ways_to_run(module):
        try:
            theirs, ours = _Running(module, way.dtype, way.device), _Running(network, way.dtype, _CPU)
            _randomise(theirs, 0)
            return _Both(ours, theirs, _draw_example(example), way)
        except UsageError:
            raise
        except Exception as error:
            failure = failure or error
    raise UsageError(
        f"the module cannot be copied and run on the example: {failure}", "give what its `forward` takes"
    ) from failure


def compare_outputs(
    network: nn.Module, module: nn.Module, example: _Arguments, way: _RunMode, pairs: Sequence[Pair]
) -> float:
    """How far apart the outputs are on the example with their weights in both; neither network is changed."""
    theirs, ours = _Running(module, way.dtype, way.device), _Running(network, way.dtype, _CPU)
    own = {group.name: group for group in ours.groups}
    for pair in pairs:
        _set_weights(pair.their, own[pair.our.name])
    wanted = theirs.run(example)
    return _largest_difference(ours.run(example), wanted)
