"""How far two outcomes differ, how much of that is rounding, and where the rest begins."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from cldfc.compilation import Compilation
from cldfc.diagnostics import UsageError
from cldfc.verify.outcome import Outcome, RecordedCall, Trial, outcome_of_equations

_Weights = dict[str, Tensor]


def random_state(network: nn.Module, seed: int) -> _Weights:
    """The initial state of a network, with everything but the kernels moved at random.

    Zeros become numbers from -1/2 to 1/2; other values are multiplied by numbers from 1/2 to 3/2, which keeps step
    sizes small enough for iterations to converge. Normalisations that are all 1 and 0, or equal scalars, would hide
    that two of them were exchanged.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for tensor in weights.values():
        if tensor.is_floating_point() and tensor.dim() < 2:
            moved = 0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(torch.where(tensor == 0, moved - 1, moved * tensor))
    return weights


def _mapped_name(name: str, names: Mapping[str, str]) -> str:
    """A name in the state dict with its beginning replaced: `bn_f.1_2`, or `bn_f` for every tag."""
    path, rest = name, ""
    while path and path not in names:
        path, dot, part = path.rpartition(".")
        rest = f"{dot}{part}{rest}"
    return f"{names[path]}{rest}" if path else name


@dataclass(frozen=True)
class Pairs:
    """The names of corresponding weights of two networks, and the names on each side without a counterpart.

    `misfits` would correspond, but have different shapes.
    """

    names: Mapping[str, str]
    first: Sequence[str]
    second: Sequence[str]
    misfits: Sequence[tuple[str, str]] = ()


def attribute_of(name: str) -> str:
    """The attribute of a network that a weight belongs to: `bn_f` of `bn_f.1_2.weight`."""
    return name.split(".")[0]


def pair_weights(weights: _Weights, others: _Weights, names: Mapping[str, str]) -> Pairs:
    """Pair the weights of two networks. `names` maps beginnings of names of the first to those of the second.

    Raises UsageError when `names` has a name that neither network has.
    """
    _refuse_unknown(names, weights, others)
    taken = set(names.values()) - set(names)
    mapped = {name: _mapped_name(name, names) for name in weights if attribute_of(name) not in taken}
    met = {name: other for name, other in mapped.items() if other in others}
    pairs = {name: other for name, other in met.items() if others[other].shape == weights[name].shape}
    misfits = [(name, other) for name, other in met.items() if name not in pairs]
    lonely, counterparts = [name for name in weights if name not in met], set(met.values())
    return Pairs(pairs, lonely, [name for name in others if name not in counterparts], misfits)


def _refuse_unknown(names: Mapping[str, str], weights: _Weights, others: _Weights) -> None:
    for name, known in [*((name, weights) for name in names), *((name, others) for name in names.values())]:
        heads = list(dict.fromkeys(map(attribute_of, known)))
        if name not in heads:
            side = "first" if known is weights else "second"
            raise UsageError(f"the {side} network has no parameter `{name}` to map", f"it has {', '.join(heads)}")


Place = Literal["operand", "result", "missing", "output", "statistics", "gradient"]
"""What differs first: the operand of a parameter, its result, or that it is used at all; the output, where no use of a
parameter differs; running statistics or the gradient of a parameter, where no value differs."""

SMALL = 1e-3
"""A gradient is compared relative to its largest entry, but at least to this share of the largest of all gradients."""


@dataclass(frozen=True)
class Differences:
    """The relative differences of two outcomes: of their outputs, and of each gradient and statistic by name.

    `calls` has the differences of operand and result for each use of a parameter, if both outcomes have the same uses.
    """

    output: float
    gradients: Mapping[str, float]
    statistics: Mapping[str, float]
    calls: Sequence[tuple[float, float]] = ()

    def values(self) -> Iterator[float]:
        """All but the calls."""
        yield from (self.output, *self.gradients.values(), *self.statistics.values())


_NOT_DRAWN = Differences(0.0, {}, {})


@dataclass(frozen=True)
class Allowed:
    """How far outcomes may differ: by the tolerance, or by what rounding alone can do, if that is more."""

    tolerance: float
    rounding: Differences = _NOT_DRAWN

    def output(self) -> float:
        return max(self.tolerance, self.rounding.output)

    def gradient(self, name: str) -> float:
        return max(self.tolerance, self.rounding.gradients.get(name, 0.0))

    def statistic(self, name: str) -> float:
        return max(self.tolerance, self.rounding.statistics.get(name, 0.0))

    def call(self, at: int) -> tuple[float, float]:
        operand, result = self.rounding.calls[at] if at < len(self.rounding.calls) else (0.0, 0.0)
        return max(self.tolerance, operand), max(self.tolerance, result)

    def hold(self, found: Differences) -> bool:
        return (
            found.output <= self.output()
            and all(difference <= self.gradient(name) for name, difference in found.gradients.items())
            and all(difference <= self.statistic(name) for name, difference in found.statistics.items())
        )


@dataclass(frozen=True)
class VerifiedRow:
    """The largest relative differences of one form in one mode; statistics move only in training.

    `rounding` is the largest difference that rounding alone makes there, where it was estimated; `agrees` says whether
    each difference is allowed.
    """

    form: str
    mode: Literal["train", "eval"]
    outputs: float
    gradients: float
    statistics: float | None
    rounding: float | None
    agrees: bool

    @property
    def worst(self) -> float:
        return max(self.outputs, self.gradients, self.statistics or 0.0)

    def with_other(self, other: VerifiedRow) -> VerifiedRow:
        """The larger one of each difference, for two rows of the same form and mode at different sizes."""
        return VerifiedRow(
            self.form,
            self.mode,
            max(self.outputs, other.outputs),
            max(self.gradients, other.gradients),
            None if self.statistics is None or other.statistics is None else max(self.statistics, other.statistics),
            max((row.rounding for row in (self, other) if row.rounding is not None), default=None),
            self.agrees and other.agrees,
        )


def verified_row(form: str, mode: Literal["train", "eval"], found: Differences, allowed: Allowed) -> VerifiedRow:
    statistics = max(found.statistics.values(), default=0.0) if mode == "train" else None
    rounding = None if allowed.rounding is _NOT_DRAWN else max(allowed.rounding.values())
    gradients = max(found.gradients.values(), default=0.0)
    return VerifiedRow(form, mode, found.output, gradients, statistics, rounding, allowed.hold(found))


@dataclass(frozen=True)
class FirstDifference:
    """Where a form first differs, in the order of computation.

    `value` is the value whose equation differs, `parameter` the parameter that is used there.
    """

    form: str
    mode: str
    value: str
    parameter: str | None
    place: Place
    difference: float


def compare_outcomes(
    expected: Outcome, found: Outcome, names: Mapping[str, str], with_calls: bool = False
) -> Differences:
    """The relative differences of two outcomes; `names` maps expected names to found ones.

    The gradient of a parameter that the other side lacks must be zero up to rounding.
    """
    gradients = _of_tensors(expected.gradients, found.gradients, names, SMALL)
    moved = _of_tensors(expected.statistics, found.statistics, names, 0.0)
    calls = zip(expected.calls, found.calls, strict=True) if with_calls else ()
    uses = [_differences_of_use(one, two) for one, two in calls]
    if len(found.outputs) != len(expected.outputs):
        return Differences(math.inf, gradients, moved, uses)
    output = max(relative(one, two) for one, two in zip(found.outputs, expected.outputs, strict=True))
    return Differences(output, gradients, moved, uses)


def relative(found: Tensor | None, expected: Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest expected number or to `floor`; inf where a number is NaN."""
    if found is None or found.shape != expected.shape:
        return math.inf
    difference = _largest(found.detach().double() - expected.detach().double())
    scale = max(_largest(expected.detach().double()), floor, torch.finfo(torch.float64).tiny)
    return difference / scale if math.isfinite(difference) else math.inf


def _largest(numbers: Tensor) -> float:
    """The largest absolute value, found without a copy; NaN if any value is."""
    # aminmax copies a tensor whose axes are not in the order of its memory.
    order = sorted(range(numbers.dim()), key=numbers.stride, reverse=True)
    least, most = numbers.permute(order).aminmax()
    return max(abs(float(least)), abs(float(most)))


def _differences_of_use(expected: RecordedCall, found: RecordedCall) -> tuple[float, float]:
    """The differences of operand and result of a use of a parameter; zeros without a shape are equal."""

    def difference(wanted: Tensor | None, given: Tensor | None) -> float:
        if wanted is None:
            return 0.0 if given is None else relative(given, torch.zeros_like(given))
        return relative(given, wanted)

    return difference(expected.operand, found.operand), difference(expected.result, found.result)


_Found = tuple[str, str | None, Place, float]
"""The value whose equation differs, the parameter that is used there, what differs, and by how much."""


def first_difference(
    expected: Outcome,
    found: Outcome,
    names: Mapping[str, str],
    apart: Differences,
    allowed: Allowed,
    is_literal: bool,
    output: str,
) -> _Found | None:
    """Where two outcomes first differ by more than is allowed, in the order of computation.

    `apart` are their differences, `output` is the name of the output.
    """
    if place := _locate(expected, found, names, allowed, is_literal):
        return place
    if apart.output > allowed.output():
        return output, None, "output", apart.output
    last_uses = {call.module: call for call in expected.calls}.values()
    kinds: tuple[tuple[Place, Iterable[RecordedCall], Mapping[str, float], Callable[[str], float]], ...] = (
        ("statistics", last_uses, apart.statistics, allowed.statistic),
        ("gradient", reversed(expected.calls), apart.gradients, allowed.gradient),
    )
    for place, calls, differences, most in kinds:
        for call in calls:
            own = {name: by for name, by in differences.items() if f"{name}.".startswith(f"{call.module}.")}
            if any(by > most(name) for name, by in own.items()):
                return call.value, call.module, place, max(own.values())
    return None


def _of_tensors(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], names: Mapping[str, str], small: float
) -> dict[str, float]:
    """The relative difference of each tensor; the scale of a tensor is at least `small` times the largest of all.

    A tensor that the other side lacks counts as zero there: a gradient whose terms cancel up to rounding.
    """
    largest = max((_largest(tensor.double()) for tensor in expected.values()), default=0.0)
    pairs = {name: names.get(name, name) for name in expected}
    return {
        name: relative(
            found[pairs[name]] if pairs[name] in found else torch.zeros_like(tensor), tensor, small * largest
        )
        for name, tensor in expected.items()
    }


def _locate(
    expected: Outcome, found: Outcome, names: Mapping[str, str], allowed: Allowed, is_literal: bool
) -> _Found | None:
    """The first use of a parameter that differs by more than is allowed, in the order of the equations.

    The uses of each parameter are compared in turn. A form that is not literal may use a parameter less often; that
    parameter is skipped then. None: no use differs.
    """
    theirs: Mapping[str, list[RecordedCall]] = defaultdict(list)
    for call in found.calls:
        theirs[call.module].append(call)
    modules = {module_of(name): module_of(other) for name, other in names.items()}
    counts = Counter(call.module for call in expected.calls)
    place: Counter[str] = Counter()
    for number, call in enumerate(expected.calls):
        module = modules.get(call.module, call.module)
        at, place[module] = place[module], place[module] + 1
        if at < len(theirs[module]) and (is_literal or len(theirs[module]) == counts[call.module]):
            operand, result = _differences_of_use(call, theirs[module][at])
            most_of_operand, most_of_result = allowed.call(number)
            if operand > most_of_operand:
                return call.value, call.module, "operand", operand
            if result > most_of_result:
                return call.value, call.module, "result", result
        elif is_literal:
            return call.value, call.module, "missing", math.inf
    return None


def module_of(name: str) -> str:
    """The module of a weight or bias, `A.1` of `A.1.weight`; a scalar has its own name."""
    return name.removesuffix(".weight").removesuffix(".bias")


_DRAWS = 3
_UNITS = 16
"""How far each weight, pixel and result is moved at most, in units in the last place."""
_MARGIN = 4
"""How much larger than the largest drawn difference rounding may be."""
_MOST = 1e-3
"""Larger differences never count as rounding: a network that turns 16 units into this cannot be verified."""


def rounding_of(network: Compilation, trial: Trial, expected: Outcome) -> Differences:
    """The relative difference that rounding may make to each part of an outcome."""
    found = [_disturbed_outcome(network, trial, expected, seed) for seed in range(_DRAWS)]
    names = {name: name for name in trial.weights}
    drawn = [compare_outcomes(expected, outcome, names, with_calls=True) for outcome in found]
    calls = zip(*(one.calls for one in drawn), strict=True)
    return Differences(
        _enlarged([one.output for one in drawn]),
        _by_name([one.gradients for one in drawn]),
        _by_name([one.statistics for one in drawn]),
        [(_enlarged([o for o, _ in same]), _enlarged([r for _, r in same])) for same in calls],
    )


def _disturbed_outcome(network: Compilation, trial: Trial, expected: Outcome, seed: int) -> Outcome:
    disturb = _disturber(torch.Generator().manual_seed(seed))
    weights = {n: disturb(t) if t.is_floating_point() else t for n, t in trial.weights.items()}
    other = replace(trial, weights=weights, images={name: disturb(image) for name, image in trial.images.items()})
    return outcome_of_equations(network.tree, other, network.program.scores, disturb)


def _disturber(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A function that moves each number of a tensor by some units in its last place; zeros stay."""
    size = _UNITS * torch.finfo(torch.float64).eps

    def disturb(tensor: Tensor) -> Tensor:
        drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        return tensor * (1 + size * (2 * drawn - 1))

    return disturb


def _enlarged(drawn: list[float]) -> float:
    """The difference that rounding may make, given some that it did make."""
    return min(_MARGIN * max(drawn), _MOST)


def _by_name(drawn: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: _enlarged([one.get(name, 0.0) for one in drawn]) for name in drawn[0]}
