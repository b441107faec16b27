"""What rounding makes of a network: its equations once more, with every number moved by a few units in its last place.

Two ways to compute the same network differ by rounding alone, but not by a fixed number: where `bn` divides by the
deviation of a nearly constant map, or terms cancel, it is a thousand times as large as elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from cldfc.compilation import Compilation
from cldfc.verify.compare import Differences, compare_outcomes
from cldfc.verify.outcome import Outcome, Trial, outcome_of_equations

DRAWS = 3
UNITS = 16
"""By so many units in its last place every weight, every pixel and every result is moved, at most."""
MARGIN = 4
"""Rounding may be so many times as large as the largest difference that was drawn."""
MOST = 1e-3
"""No difference of this size is called rounding: a network that turns 16 units into so much cannot be verified."""


def rounding_of(network: Compilation, trial: Trial, expected: Outcome) -> Differences:
    """The relative differences that rounding may make of each thing in an outcome."""
    found = [disturbed_outcome(network, trial, expected, seed) for seed in range(DRAWS)]
    names = {name: name for name in trial.weights}
    drawn = [compare_outcomes(expected, outcome, names, with_calls=True) for outcome in found]
    calls = zip(*(one.calls for one in drawn), strict=True)
    return Differences(
        enlarged([one.output for one in drawn]),
        by_name([one.gradients for one in drawn]),
        by_name([one.statistics for one in drawn]),
        [(enlarged([o for o, _ in same]), enlarged([r for _, r in same])) for same in calls],
    )


def disturbed_outcome(network: Compilation, trial: Trial, expected: Outcome, seed: int) -> Outcome:
    disturb = disturber(torch.Generator().manual_seed(seed))
    weights = {n: disturb(t) if t.is_floating_point() else t for n, t in trial.weights.items()}
    other = replace(trial, weights=weights, images=disturb(trial.images))
    return outcome_of_equations(network.tree, other, network.program.classes, disturb)


def disturber(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Moves each number of a tensor by some units in its last place; zeros stay."""
    size = UNITS * torch.finfo(torch.float64).eps

    def disturb(tensor: Tensor) -> Tensor:
        drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        return tensor * (1 + size * (2 * drawn - 1))

    return disturb


def enlarged(drawn: list[float]) -> float:
    """What rounding may make of something, given some differences that it did make."""
    return min(MARGIN * max(drawn), MOST)


def by_name(drawn: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: enlarged([one.get(name, 0.0) for one in drawn]) for name in drawn[0]}
