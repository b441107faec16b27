"""Generated code against the equations, and one spec against another, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.syntax import tree
from cldfc.train.network import build_network
from cldfc.verify.compare import FirstDifference, Row, compare_outcomes, first_difference
from cldfc.verify.outcome import Differs, Outcome, Trial, is_statistic, outcome_of_equations, outcome_of_network
from cldfc.verify.subject import Form, Subject
from cldfc.verify.weights import pair_weights, random_weights, renamed

BATCH = 2


@dataclass(frozen=True)
class Report:
    """What was compared and found.

    `unused` are parameters that only one side has, and whose gradient is zero there. `problem` says why there
    is nothing to compare, if that is so.
    """

    rows: tuple[Row, ...]
    first: FirstDifference | None = None
    unused: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def worst(self) -> float:
        """The largest relative difference of all."""
        return math.inf if self.problem else max(row.worst for row in self.rows)


def verify_forms(subject: Subject, forms: Sequence[Form], tolerance: float, seed: int = 0) -> Report:
    """Compare generated code with the equations, in eval and in train mode.

    Outputs, gradients of every parameter and of the input, and running statistics are compared, in float64, on
    a batch of two random images with random weights. The first difference is that of the first form and mode
    that exceed the tolerance. Raises UsageError when generated code is no network.
    """
    networks = [network_of(form.source, form.class_name or subject.class_name, seed) for form in forms]
    comparison = Comparison(subject, tolerance)
    try:
        for trial in trials(random_weights(networks[0], seed), subject, seed):
            expected = outcome_of_equations(subject.spec, trial, subject.classes)
            for form, network in zip(forms, networks, strict=True):
                names = {name: renamed(name, form.names) for name in trial.weights}
                comparison.add(form.name, trial, expected, network, names, form.is_literal)
    except Differs as difference:
        return Report(tuple(comparison.rows), problem=str(difference))
    order = [form.name for form in forms]
    return Report(tuple(sorted(comparison.rows, key=lambda row: order.index(row.form))), comparison.first)


def verify_pair(
    subject: Subject,
    forms: Sequence[Form],
    other: Subject,
    other_forms: Sequence[Form],
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare two specs with the same weights, in eval and in train mode.

    `names` leads from parameters of the first, in ASCII and without tags, to those of the second; others have
    the same name. The first spec is evaluated by its equations, the second is the first of its forms. Raises
    UsageError when the two have different inputs or outputs, when a parameter that matters has no counterpart,
    or one of another shape.
    """
    refuse_other_task(subject, other)
    one = network_of(forms[0].source, subject.class_name, seed)
    two = network_of(other_forms[0].source, other.class_name, seed)
    weights, others = random_weights(one, seed), random_weights(two, seed)
    pairs = pair_weights(weights, others, names)
    comparison = Comparison(subject, tolerance)
    try:
        for trial in trials(weights, subject, seed):
            expected = outcome_of_equations(subject.spec, trial, subject.classes)
            refuse_lonely(pairs.first, expected, subject.class_name, other.class_name)
            own = replace(trial, weights=others | {pairs.names[name]: weights[name] for name in pairs.names})
            refuse_lonely(pairs.second, outcome_of_network(two, own), other.class_name, subject.class_name)
            expected = without(expected, pairs.first)
            comparison.add(other.class_name, trial, expected, two, pairs.names, False, others)
    except Differs as difference:
        return Report(tuple(comparison.rows), problem=str(difference))
    unused = tuple(name for name in (*pairs.first, *pairs.second) if not is_statistic(name))
    return Report(tuple(comparison.rows), comparison.first, unused)


@dataclass
class Comparison:
    """The rows of a report as they come, and the first difference above the tolerance."""

    subject: Subject
    tolerance: float
    rows: list[Row] = field(default_factory=list[Row])
    first: FirstDifference | None = None

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
        self.rows.append(compare_outcomes(form, trial.mode, expected, found, names))
        if self.first is None and self.rows[-1].worst > self.tolerance:
            output = next(s.name for s in self.subject.spec.statements if isinstance(s, tree.Output))
            first = first_difference(expected, found, names, self.tolerance, is_literal, output)
            self.first = first and replace(first, form=form, mode=trial.mode)


def network_of(source: str, class_name: str, seed: int) -> nn.Module:
    """The network that generated code defines, in float64."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    return build_network(source, class_name).double()


def trials(weights: Mapping[str, Tensor], subject: Subject, seed: int) -> Iterator[Trial]:
    """The comparisons that are made: the same images and weights in both modes."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(BATCH, *subject.shape, generator=generator, dtype=torch.float64)
    yield Trial(weights, images, "eval", seed)
    yield Trial(weights, images, "train", seed)


def without(outcome: Outcome, names: Sequence[str]) -> Outcome:
    """An outcome without some parameters."""
    gradients = {name: gradient for name, gradient in outcome.gradients.items() if name not in names}
    statistics = {name: tensor for name, tensor in outcome.statistics.items() if name not in names}
    return Outcome(outcome.output, gradients, statistics, outcome.calls)


def refuse_other_task(subject: Subject, other: Subject) -> None:
    """Two specs can be compared at one input only. Raises UsageError."""
    if (subject.shape, subject.classes) != (other.shape, other.classes):
        sizes = [f"{' × '.join(map(str, s.shape))} → {s.classes}" for s in (subject, other)]
        help = "give both the same: `--input 3x32x32 --classes 10`"
        raise UsageError(f"the two networks are for different inputs and outputs, {sizes[0]} and {sizes[1]}", help)


def refuse_lonely(names: Sequence[str], outcome: Outcome, owner: str, other: str) -> None:
    """A parameter without counterpart must not matter: its gradient is zero. Raises UsageError."""
    for name in names:
        gradient = outcome.gradients.get(name)
        if gradient is not None and bool(gradient.any()):
            head = name.split(".")[0]
            raise UsageError(
                f"`{owner}` has the parameter `{name}`, and `{other}` has none that corresponds to it",
                f"say which it is: `--map {head}=…`, with the name in the first spec on the left",
            )
