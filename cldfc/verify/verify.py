"""Generated code against the equations, and one network against another, in float64."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cldfc.compilation import Compilation
from cldfc.syntax import tree
from cldfc.train.network import build_network
from cldfc.verify.candidates import Candidate
from cldfc.verify.compare import (
    SMALL,
    Allowed,
    Differences,
    FirstDifference,
    VerifiedRow,
    compare_outcomes,
    first_difference,
    verified_row,
)
from cldfc.verify.contrast import alone, contrast_networks, contrast_specs, suggest_map
from cldfc.verify.outcome import Differs, Outcome, Trial, is_statistic, outcome_of_equations, outcome_of_network
from cldfc.verify.python_file import network_of_file
from cldfc.verify.rounding import rounding_of
from cldfc.verify.weights import mapped_name, pair_weights, random_state

BATCH = 2


@dataclass(frozen=True)
class Report:
    """What was compared and found.

    `unused` are parameters that only one side has, and whose gradient is zero there. `problem` says why there
    is nothing to compare, if that is so. `contrasts` say what differs between two networks that are not the same.
    """

    rows: tuple[VerifiedRow, ...]
    first: FirstDifference | None = None
    unused: tuple[str, ...] = ()
    problem: str | None = None
    contrasts: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        return self.problem is None and all(row.agrees for row in self.rows)

    @property
    def worst(self) -> float:
        return math.inf if self.problem else max(row.worst for row in self.rows)


@dataclass(frozen=True)
class Other:
    """The network that a spec is compared with: that of another spec, or one that a file defines; what it is called."""

    name: str
    network: nn.Module
    spec: Compilation | None = None


def verify_forms(spec: Compilation, candidates: Sequence[Candidate], tolerance: float, seed: int = 0) -> Report:
    """Compare generated code with the equations, in eval and in train mode.

    Outputs, gradients of every parameter and of the input, and running statistics are compared, in float64, on
    a batch of two random images with random weights. The first difference is that of the first form and mode
    that exceed the tolerance, and what rounding makes of the equations. Raises UsageError when generated code is no
    network.
    """
    networks = [candidate_network(candidate, spec, seed) for candidate in candidates]
    comparison = Tally(spec, tolerance)
    try:
        for trial in trials(random_state(networks[0], seed), spec, seed):
            expected = outcome_of_equations(spec.tree, trial, spec.program.classes)
            for candidate, network in zip(candidates, networks, strict=True):
                names = {name: mapped_name(name, candidate.names) for name in trial.weights}
                comparison.add(candidate.name, trial, expected, network, names, candidate.is_literal)
    except Differs as difference:
        return Report(tuple(comparison.rows), problem=str(difference))
    order = [candidate.name for candidate in candidates]
    return Report(tuple(sorted(comparison.rows, key=lambda row: order.index(row.form))), comparison.first)


def verify_specs(
    spec: Compilation,
    candidates: Sequence[Candidate],
    other: Compilation,
    theirs: Sequence[Candidate],
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare the equations of a spec with the code of another, which has the same parameters but for `names`."""
    network = candidate_network(theirs[0], other, seed)
    return verify_pair(spec, candidates, Other(other.class_name, network, other), names, tolerance, seed)


def verify_file(
    spec: Compilation,
    candidates: Sequence[Candidate],
    path: Path,
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare the equations of a spec with a Python file, which is run. Raises UsageError when it has no network."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        network = network_of_file(path, spec.class_name)
    except Differs as difference:
        return Report((), problem=str(difference))
    with redirect_stdout(sys.stderr):
        return verify_pair(spec, candidates, Other(path.name, network), names, tolerance, seed)


def verify_pair(
    spec: Compilation,
    candidates: Sequence[Candidate],
    other: Other,
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare a spec with another network, given the same weights, in eval and in train mode.

    `names` leads from parameters of the first, in ASCII and without tags, to those of the second; others have
    the same name. The spec is evaluated by its equations. Raises UsageError when `names` speaks of what is not there.
    """
    one = candidate_network(candidates[0], spec, seed)
    weights, others = random_state(one, seed), random_state(other.network, seed)
    pairs = pair_weights(weights, others, names)
    contrasts = [*(contrast_specs(spec, other.spec) if other.spec is not None else ())]
    contrasts += contrast_networks(one, other.network, pairs)
    # A network with another input, or with other outputs, cannot be given the same images.
    tasks = {(known.program.shape, known.program.classes) for known in (spec, other.spec or spec)}
    if contrasts and len(tasks) > 1:
        return Report((), problem="these are different networks:", contrasts=tuple(contrasts))
    comparison = Tally(spec, tolerance)
    matters: list[str] = []
    try:
        for trial in trials(weights, spec, seed):
            expected = outcome_of_equations(spec.tree, trial, spec.program.classes)
            own = replace(trial, weights=others | {pairs.names[name]: weights[name] for name in pairs.names})
            found = outcome_of_network(other.network, own)
            matters += comparison.mattering(pairs.first, trial, expected, expected)
            matters += comparison.mattering(pairs.second, trial, found, expected)
            if pairs.misfits or matters:
                break
            expected = without_weights(expected, pairs.first)
            comparison.add(other.name, trial, expected, other.network, pairs.names, False, others)
    except Differs as difference:
        return Report(tuple(comparison.rows), problem=str(difference), contrasts=tuple(contrasts))
    if pairs.misfits or matters:
        contrasts += alone(pairs, matters)
        contrasts += suggest_map(pairs, weights, others)
        return Report((), problem="these are different networks:", contrasts=tuple(contrasts))
    unused = tuple(name for name in (*pairs.first, *pairs.second) if not is_statistic(name))
    report = Report(tuple(comparison.rows), comparison.first, unused)
    return report if report.agrees else replace(report, contrasts=tuple(contrasts))


def relative_gradient(name: str, outcome: Outcome) -> float:
    """The gradient of a parameter, relative to a part of the largest, as gradients are compared; 0 of a statistic."""
    gradient = outcome.gradients.get(name)
    if gradient is None or not gradient.numel():
        return 0.0
    largest = max(float(tensor.abs().max()) for tensor in outcome.gradients.values())
    return float(gradient.abs().max()) / (SMALL * largest) if largest else 0.0


@dataclass
class Tally:
    """The rows of a report as they come, and the first difference that is more than rounding."""

    spec: Compilation
    tolerance: float
    rows: list[VerifiedRow] = field(default_factory=list[VerifiedRow])
    first: FirstDifference | None = None
    known: dict[str, Differences] = field(default_factory=dict[str, Differences])
    """What rounding makes of the equations, by mode."""

    def add(
        self,
        form: str,
        trial: Trial,
        expected: Outcome,
        network: nn.Module,
        names: Mapping[str, str],
        is_literal: bool,
        others: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Compare a network with what is expected; `names` leads from the names of weights to its own.

        `others` are the weights that it has besides. Raises Differs.
        """
        wanted = set(network.state_dict())
        own = {names[name]: tensor for name, tensor in trial.weights.items() if names.get(name) in wanted}
        found = outcome_of_network(network, replace(trial, weights={**(others or {}), **own}))
        apart, allowed = compare_outcomes(expected, found, names), Allowed(self.tolerance)
        if not allowed.hold(apart):
            allowed = self.allowed(trial, expected)
        self.rows.append(verified_row(form, trial.mode, apart, allowed))
        if self.first is None and not self.rows[-1].agrees:
            output = next(s.name for s in self.spec.tree.statements if isinstance(s, tree.Output))
            first = first_difference(expected, found, names, allowed, is_literal, output)
            self.first = first and replace(first, form=form, mode=trial.mode)

    def mattering(self, names: Sequence[str], trial: Trial, outcome: Outcome, expected: Outcome) -> list[str]:
        """Those of some parameters of an outcome without which it would be another: their gradient is not zero."""
        found = [name for name in names if relative_gradient(name, outcome) > self.tolerance]
        rounding = max(self.allowed(trial, expected).gradients(), default=0.0) if found else 0.0
        return [name for name in found if relative_gradient(name, outcome) > rounding]

    def allowed(self, trial: Trial, expected: Outcome) -> Allowed:
        if trial.mode not in self.known:
            self.known[trial.mode] = rounding_of(self.spec, trial, expected)
        return Allowed(self.tolerance, self.known[trial.mode])


def candidate_network(candidate: Candidate, spec: Compilation, seed: int) -> nn.Module:
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    return build_network(candidate.code, candidate.class_name or spec.class_name).double()


def trials(weights: Mapping[str, Tensor], spec: Compilation, seed: int) -> Iterator[Trial]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH, *spec.program.shape, generator=generator, dtype=torch.float64)
    yield Trial(weights, images, "eval", seed)
    yield Trial(weights, images, "train", seed)


def without_weights(outcome: Outcome, names: Sequence[str]) -> Outcome:
    gradients = {name: gradient for name, gradient in outcome.gradients.items() if name not in names}
    statistics = {name: tensor for name, tensor in outcome.statistics.items() if name not in names}
    return Outcome(outcome.output, gradients, statistics, outcome.calls)
