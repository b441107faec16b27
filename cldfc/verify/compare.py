"""How far two outcomes differ, and where that begins."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
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
class Row:
    """The largest relative differences of one form in one mode; statistics move in training alone."""

    form: str
    mode: Literal["train", "eval"]
    outputs: float
    gradients: float
    statistics: float | None

    @property
    def worst(self) -> float:
        """The largest of them."""
        return max(self.outputs, self.gradients, self.statistics or 0.0)


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
    form: str, mode: Literal["train", "eval"], expected: Outcome, found: Outcome, names: Mapping[str, str]
) -> Row:
    """The largest relative differences between two outcomes; `names` leads from expected names to found ones.

    A parameter that the other side lacks must have no gradient.
    """
    gradients = of_tensors(expected.gradients, found.gradients, names, SMALL)
    moved = of_tensors(expected.statistics, found.statistics, names, 0.0)
    statistics = max(moved.values(), default=0.0) if mode == "train" else None
    return Row(form, mode, relative(found.output, expected.output), max(gradients.values()), statistics)


def relative(found: Tensor | None, expected: Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest number that is expected or to `floor`; inf for no number."""
    if found is None or found.shape != expected.shape:
        return math.inf
    difference = float((found.detach().double() - expected.detach().double()).abs().max())
    scale = max(float(expected.detach().double().abs().max()), floor, torch.finfo(torch.float64).tiny)
    return difference / scale if math.isfinite(difference) else math.inf


def first_difference(
    expected: Outcome, found: Outcome, names: Mapping[str, str], tolerance: float, is_literal: bool, output: str
) -> FirstDifference | None:
    """Where two outcomes first differ by more than the tolerance, if they do; `output` is what that is called."""
    place = locate(expected, found, names, tolerance, is_literal)
    if place is not None:
        return place
    difference = relative(found.output, expected.output)
    if difference > tolerance:
        return FirstDifference(output, None, "output", difference)
    calls = {call.module: call for call in expected.calls}
    moved = of_tensors(expected.statistics, found.statistics, names, 0.0)
    for call in calls.values():
        worst = max((moved[name] for name in moved if name.startswith(f"{call.module}.")), default=0.0)
        if worst > tolerance:
            return FirstDifference(call.value, call.module, "statistics", worst)
    gradients = of_tensors(expected.gradients, found.gradients, names, SMALL)
    for call in reversed(expected.calls):
        worst = max((gradients[n] for n in gradients if module_of(n) == call.module), default=0.0)
        if worst > tolerance:
            return FirstDifference(call.value, call.module, "gradient", worst)
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
    expected: Outcome, found: Outcome, names: Mapping[str, str], tolerance: float, is_literal: bool
) -> FirstDifference | None:
    """The first use of a parameter that differs by more than the tolerance, in the order of the equations.

    The uses of each parameter are compared one after another. A form that is not literal may need a parameter
    less often; its other uses are passed over then. None: no use differs.
    """
    theirs: Mapping[str, list[Call]] = defaultdict(list)
    for call in found.calls:
        theirs[call.module].append(call)
    modules = {module_of(name): module_of(other) for name, other in names.items()}
    counts = Counter(call.module for call in expected.calls)
    place: Counter[str] = Counter()
    for call in expected.calls:
        module = modules.get(call.module, call.module)
        at, place[module] = place[module], place[module] + 1
        if at < len(theirs[module]) and (is_literal or len(theirs[module]) == counts[call.module]):
            difference = difference_of_calls(call, theirs[module][at], tolerance)
            if difference is not None:
                return difference
        elif is_literal:
            return FirstDifference(call.value, call.module, "missing", math.inf)
    return None


def module_of(name: str) -> str:
    """The module of a weight or bias, `A.1` of `A.1.weight`; a scalar is its own."""
    return name.removesuffix(".weight").removesuffix(".bias")


def difference_of_calls(expected: Call, found: Call, tolerance: float) -> FirstDifference | None:
    """Whether the use of a parameter differs: what it is applied to, or what it gives."""
    for place in ("operand", "result"):
        wanted, given = getattr(expected, place), getattr(found, place)
        if wanted is None:
            wanted = torch.zeros_like(given)
        difference = relative(given, wanted)
        if difference > tolerance:
            return FirstDifference(expected.value, expected.module, place, difference)
    return None
