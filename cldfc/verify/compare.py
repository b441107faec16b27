"""How far two outcomes differ, what of that is rounding, and where the rest begins."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cldfc.verify.calls import Call
from cldfc.verify.outcome import Outcome

Place = Literal["operand", "result", "missing", "output", "statistics", "gradient"]
"""What differs: what a parameter is applied to, what it gives, that it is used at all; the output, though no
parameter's use differs; or, though no value does, running statistics or the gradient of a parameter."""

SMALL = 1e-3
"""Gradients are compared relative to the largest of their parameter, or to this part of the largest of all."""


@dataclass(frozen=True)
class Differences:
    """The relative differences of two outcomes: of their outputs, and of each gradient and statistic by name.

    `calls` are those of the operand and the result of each use of a parameter, where the two have the same uses.
    """

    output: float
    gradients: Mapping[str, float]
    statistics: Mapping[str, float]
    calls: Sequence[tuple[float, float]] = ()

    def values(self) -> Iterator[float]:
        """All but those of the calls."""
        yield from (self.output, *self.gradients.values(), *self.statistics.values())


@dataclass(frozen=True)
class Allowed:
    """How far outcomes may differ: by the tolerance, or by what rounding makes of the same thing, if that is more."""

    tolerance: float
    rounding: Differences | None = None

    def output(self) -> float:
        return self.most(self.rounding.output if self.rounding else 0.0)

    def gradient(self, name: str) -> float:
        return self.most(self.rounding.gradients.get(name, 0.0) if self.rounding else 0.0)

    def gradients(self) -> list[float]:
        return [self.gradient(name) for name in self.rounding.gradients] if self.rounding else []

    def statistic(self, name: str) -> float:
        return self.most(self.rounding.statistics.get(name, 0.0) if self.rounding else 0.0)

    def call(self, at: int) -> tuple[float, float]:
        if self.rounding is None or at >= len(self.rounding.calls):
            return self.tolerance, self.tolerance
        operand, result = self.rounding.calls[at]
        return self.most(operand), self.most(result)

    def most(self, rounding: float) -> float:
        return max(self.tolerance, rounding)

    def hold(self, found: Differences) -> bool:
        return (
            found.output <= self.output()
            and all(difference <= self.gradient(name) for name, difference in found.gradients.items())
            and all(difference <= self.statistic(name) for name, difference in found.statistics.items())
        )


@dataclass(frozen=True)
class VerifiedRow:
    """The largest relative differences of one form in one mode; statistics move in training alone.

    `agrees` says whether each is within what is allowed; `rounding` is the largest difference that rounding alone
    makes there, if that had to be found out.
    """

    form: str
    mode: Literal["train", "eval"]
    outputs: float
    gradients: float
    statistics: float | None
    agrees: bool = True
    rounding: float | None = None

    @property
    def worst(self) -> float:
        return max(self.outputs, self.gradients, self.statistics or 0.0)


def verified_row(form: str, mode: Literal["train", "eval"], found: Differences, allowed: Allowed) -> VerifiedRow:
    statistics = max(found.statistics.values(), default=0.0) if mode == "train" else None
    rounding = max(allowed.rounding.values()) if allowed.rounding else None
    gradients = max(found.gradients.values(), default=0.0)
    return VerifiedRow(form, mode, found.output, gradients, statistics, allowed.hold(found), rounding)


@dataclass(frozen=True)
class FirstDifference:
    """Where a form first differs, in the order of computation.

    `value` is that whose equation it stands in, `module` the parameter that is used there.
    """

    value: str
    module: str | None
    place: Place
    difference: float
    form: str = ""
    mode: str = ""


def compare_outcomes(
    expected: Outcome, found: Outcome, names: Mapping[str, str], with_calls: bool = False
) -> Differences:
    """The relative differences of two outcomes; `names` leads from expected names to found ones.

    A parameter that the other side lacks must have no gradient.
    """
    gradients = of_tensors(expected.gradients, found.gradients, names, SMALL)
    moved = of_tensors(expected.statistics, found.statistics, names, 0.0)
    calls = zip(expected.calls, found.calls, strict=True) if with_calls else ()
    pairs = [(call_difference(one.operand, two.operand), call_difference(one.result, two.result)) for one, two in calls]
    return Differences(relative(found.output, expected.output), gradients, moved, pairs)


def relative(found: Tensor | None, expected: Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest number that is expected or to `floor`; inf for no number."""
    if found is None or found.shape != expected.shape:
        return math.inf
    difference = float((found.detach().double() - expected.detach().double()).abs().max())
    scale = max(float(expected.detach().double().abs().max()), floor, torch.finfo(torch.float64).tiny)
    return difference / scale if math.isfinite(difference) else math.inf


def call_difference(expected: Tensor | None, found: Tensor | None) -> float:
    """The relative difference of what a parameter is applied to, or gives; zeros without a shape are all alike."""
    return 0.0 if expected is None or found is None else relative(found, expected)


def first_difference(
    expected: Outcome, found: Outcome, names: Mapping[str, str], allowed: Allowed, is_literal: bool, output: str
) -> FirstDifference | None:
    """Where two outcomes first differ by more than is allowed, if they do; `output` is what that is called."""
    place = locate(expected, found, names, allowed, is_literal)
    if place is not None:
        return place
    difference = relative(found.output, expected.output)
    if difference > allowed.output():
        return FirstDifference(output, None, "output", difference)
    calls = {call.module: call for call in expected.calls}
    moved = of_tensors(expected.statistics, found.statistics, names, 0.0)
    for call in calls.values():
        own = {name: moved[name] for name in moved if name.startswith(f"{call.module}.")}
        if any(difference > allowed.statistic(name) for name, difference in own.items()):
            return FirstDifference(call.value, call.module, "statistics", max(own.values()))
    gradients = of_tensors(expected.gradients, found.gradients, names, SMALL)
    for call in reversed(expected.calls):
        own = {name: gradients[name] for name in gradients if module_of(name) == call.module}
        if any(difference > allowed.gradient(name) for name, difference in own.items()):
            return FirstDifference(call.value, call.module, "gradient", max(own.values()))
    return None


def of_tensors(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], names: Mapping[str, str], small: float
) -> dict[str, float]:
    """The relative difference of each tensor; those of less than `small` of the largest count as that large.

    One that the other side lacks must be zero.
    """
    largest = max((float(tensor.double().abs().max()) for tensor in expected.values()), default=0.0)
    pairs = {name: found.get(names.get(name, name)) for name in expected}
    is_there = {name: pairs[name] is not None or bool(expected[name].any()) for name in expected}
    return {n: relative(pairs[n], tensor, small * largest) for n, tensor in expected.items() if is_there[n]}


def locate(
    expected: Outcome, found: Outcome, names: Mapping[str, str], allowed: Allowed, is_literal: bool
) -> FirstDifference | None:
    """The first use of a parameter that differs by more than is allowed, in the order of the equations.

    The uses of each parameter are compared one after another. A form that is not literal may need a parameter
    less often; its other uses are passed over then. None: no use differs.
    """
    theirs: Mapping[str, list[Call]] = defaultdict(list)
    for call in found.calls:
        theirs[call.module].append(call)
    modules = {module_of(name): module_of(other) for name, other in names.items()}
    counts = Counter(call.module for call in expected.calls)
    place: Counter[str] = Counter()
    for number, call in enumerate(expected.calls):
        module = modules.get(call.module, call.module)
        at, place[module] = place[module], place[module] + 1
        if at < len(theirs[module]) and (is_literal or len(theirs[module]) == counts[call.module]):
            difference = difference_of_calls(call, theirs[module][at], allowed.call(number))
            if difference is not None:
                return difference
        elif is_literal:
            return FirstDifference(call.value, call.module, "missing", math.inf)
    return None


def module_of(name: str) -> str:
    """The module of a weight or bias, `A.1` of `A.1.weight`; a scalar is its own."""
    return name.removesuffix(".weight").removesuffix(".bias")


def difference_of_calls(expected: Call, found: Call, allowed: tuple[float, float]) -> FirstDifference | None:
    places: tuple[tuple[Place, float], ...] = (("operand", allowed[0]), ("result", allowed[1]))
    for place, most in places:
        wanted, given = getattr(expected, place), getattr(found, place)
        if wanted is None:
            wanted = torch.zeros_like(given)
        difference = relative(given, wanted)
        if difference > most:
            return FirstDifference(expected.value, expected.module, place, difference)
    return None
