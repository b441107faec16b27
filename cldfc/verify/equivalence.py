"""Generated code against the equations, and one network against another, in float64."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from cldfc.compilation import Compilation
from cldfc.network.positions import format_key
from cldfc.ops import Iterated
from cldfc.ops.size import SampledSize, choose_sample, formula_of, sampled
from cldfc.output import aligned
from cldfc.syntax import tree
from cldfc.verify.contrast import alone, contrast_networks, contrast_specs, suggest_map
from cldfc.verify.deviation import (
    SMALL,
    Allowed,
    Differences,
    FirstDifference,
    Place,
    VerifiedRow,
    compare_outcomes,
    first_difference,
    pair_weights,
    random_state,
    rounding_of,
    verified_row,
)
from cldfc.verify.outcome import (
    Candidate,
    Differs,
    NotDrawn,
    Outcome,
    Trial,
    is_statistic,
    network_of_file,
    outcome_of_equations,
    outcome_of_network,
)
from cldfc.weights.network import build_network

_BATCH = 2
_SMALL_MAP = 8
"""The least side, in pixels, of the second size at which a network with open sizes is tried."""


_OF_TOL = 100
"""If each step removes 1 % of the error, an iteration that stops at a change of tol is 100 tol from its limit."""


def tolerance_for(specs: Sequence[Compilation], tolerance: float) -> float:
    """The given tolerance, or 100 times the largest `tol` of a fixed point, if that is more."""
    nodes = (node.operator for spec in specs for node in spec.written.nodes())
    return max([tolerance, *(_OF_TOL * operator.tol for operator in nodes if isinstance(operator, Iterated))])


@dataclass(frozen=True)
class Report:
    """The result of a comparison.

    `unused` are parameters that only one side has, with a gradient of zero. `problem` says why nothing could be
    compared. `contrasts` describe how two different networks differ.
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
class _Other:
    """The network that a spec is compared with, from another spec or a file, and its name."""

    name: str
    network: nn.Module
    spec: Compilation | None = None


def verify_forms(spec: Compilation, candidates: Sequence[Candidate], tolerance: float, seed: int = 0) -> Report:
    """Compare generated code with the equations, in eval and in train mode.

    Outputs, gradients of every parameter and of the input, and running statistics are compared, in float64, on
    a batch of two random images with random weights. The first difference is that of the first form and mode that
    exceed both the tolerance and the effect of rounding on the equations. Raises UsageError when generated code is
    not a network.
    """
    # Forms with equal code are run once.
    distinct = list({candidate.code: candidate for candidate in reversed(candidates)}.values())[::-1]
    networks = [_candidate_network(distinct[0], spec, seed)]
    with NotDrawn():
        networks += [_candidate_network(candidate, spec, seed, torch.empty_like) for candidate in distinct[1:]]
    comparison = _Tally(spec, tolerance)
    try:
        for trial in _trials(random_state(networks[0], seed), spec, seed):
            names = {name: name for name in trial.weights}
            expected = outcome_of_equations(spec.tree, trial, spec.program.scores)
            for candidate, network in zip(distinct, networks, strict=True):
                comparison.add(candidate.name, trial, expected, network, names, candidate.is_literal)
    except Differs as difference:
        return Report(tuple(comparison.rows), problem=str(difference))
    names_of = {known.name: [one.name for one in candidates if one.code == known.code] for known in distinct}
    rows = [replace(row, form=name) for row in comparison.rows for name in names_of[row.form]]
    order = [candidate.name for candidate in candidates]
    return Report(tuple(sorted(rows, key=lambda row: order.index(row.form))), comparison.first)


def verify_specs(
    spec: Compilation,
    candidates: Sequence[Candidate],
    other: Compilation,
    theirs: Sequence[Candidate],
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare the equations of a spec with the code of another; `names` maps parameters whose names differ."""
    network = _candidate_network(theirs[0], other, seed)
    return _verify_pair(spec, candidates, _Other(other.class_name, network, other), names, tolerance, seed)


def verify_file(
    spec: Compilation,
    candidates: Sequence[Candidate],
    path: Path,
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare the equations of a spec with a Python file, which is run. Raises UsageError if it defines no network."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        network = network_of_file(path, spec.class_name)
    except Differs as difference:
        return Report((), problem=str(difference))
    with redirect_stdout(sys.stderr):
        return _verify_pair(spec, candidates, _Other(path.name, network), names, tolerance, seed)


def _verify_pair(
    spec: Compilation,
    candidates: Sequence[Candidate],
    other: _Other,
    names: Mapping[str, str],
    tolerance: float,
    seed: int = 0,
) -> Report:
    """Compare a spec with another network, given the same weights, in eval and in train mode.

    `names` maps parameters of the first, in ASCII and without tags, to those of the second; the others have equal
    names. The spec is evaluated by its equations. Raises UsageError when `names` has a name that does not exist.
    """
    one = _candidate_network(candidates[0], spec, seed)
    weights, others = random_state(one, seed), random_state(other.network, seed)
    pairs = pair_weights(weights, others, names)
    contrasts = [*contrast_specs(spec, other.spec or spec), *contrast_networks(one, other.network, pairs)]
    # Networks with different inputs or outputs cannot take the same images.
    tasks = {_task_of(known) for known in (spec, other.spec or spec)}
    if contrasts and len(tasks) > 1:
        return Report((), problem="these are different networks:", contrasts=tuple(contrasts))
    comparison = _Tally(spec, tolerance)
    matters: list[str] = []
    try:
        for trial in _trials(weights, spec, seed):
            expected = outcome_of_equations(spec.tree, trial, spec.program.scores)
            own = replace(trial, weights=others | {pairs.names[name]: weights[name] for name in pairs.names})
            found = outcome_of_network(other.network, own)
            matters += comparison.mattering(pairs.first, trial, expected, expected)
            matters += comparison.mattering(pairs.second, trial, found, expected)
            if pairs.misfits or matters:
                break
            expected = _without_weights(expected, pairs.first)
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


def _relative_gradient(name: str, outcome: Outcome) -> float:
    """The gradient of a parameter, on the scale on which small gradients are compared; 0 for a statistic."""
    gradient = outcome.gradients.get(name)
    if gradient is None or not gradient.numel():
        return 0.0
    largest = max(float(tensor.abs().max()) for tensor in outcome.gradients.values())
    return float(gradient.abs().max()) / (SMALL * largest) if largest else 0.0


@dataclass
class _Tally:
    """The rows of a report so far, and the first difference that is more than rounding."""

    spec: Compilation
    tolerance: float
    rows: list[VerifiedRow] = field(default_factory=list[VerifiedRow])
    first: FirstDifference | None = None
    known: dict[str, Differences] = field(default_factory=dict[str, Differences])

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
        """Compare a network with the expected outcome; `names` maps the names of weights to its own.

        `others` are weights that only it has. Raises Differs.
        """
        wanted = set(network.state_dict())
        own = {names[name]: tensor for name, tensor in trial.weights.items() if names.get(name) in wanted}
        found = outcome_of_network(network, replace(trial, weights={**(others or {}), **own}))
        apart, allowed = compare_outcomes(expected, found, names), Allowed(self.tolerance)
        if not allowed.hold(apart):
            allowed = Allowed(self.tolerance, self.rounding(trial, expected))
        row = verified_row(form, trial.mode, apart, allowed)
        at = next((at for at, old in enumerate(self.rows) if (old.form, old.mode) == (form, trial.mode)), None)
        if at is None:
            self.rows.append(row)
        else:
            self.rows[at] = self.rows[at].with_other(row)
        if self.first is None and not row.agrees:
            output = next(s.name for s in self.spec.tree.statements if isinstance(s, tree.Output))
            place = first_difference(expected, found, names, apart, allowed, is_literal, output)
            self.first = place and FirstDifference(form, trial.mode, *place)

    def mattering(self, names: Sequence[str], trial: Trial, outcome: Outcome, expected: Outcome) -> list[str]:
        """The parameters that an outcome depends on, among these: those whose gradient is not zero."""
        found = [name for name in names if _relative_gradient(name, outcome) > self.tolerance]
        rounding = max(self.rounding(trial, expected).gradients.values(), default=0.0) if found else 0.0
        return [name for name in found if _relative_gradient(name, outcome) > rounding]

    def rounding(self, trial: Trial, expected: Outcome) -> Differences:
        """The effect of rounding on the equations, in the mode of a trial."""
        key = f"{trial.mode} {trial.sizes}"
        if key not in self.known:
            self.known[key] = rounding_of(self.spec, trial, expected)
        return self.known[key]


def _candidate_network(
    candidate: Candidate, spec: Compilation, seed: int, copied: Callable[..., Tensor] = Tensor.to
) -> nn.Module:
    """The network of a form in float64; `copied` is `torch.empty_like` where its kernels are loaded next."""
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    network = build_network(candidate.code, candidate.class_name or spec.class_name)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            # In this layout, which the reference takes over, float64 convolutions take three fifths of the time.
            parameter.data = copied(parameter.data, dtype=torch.float64, memory_format=torch.channels_last)
    return network.double()


def _trials(weights: Mapping[str, Tensor], spec: Compilation, seed: int) -> Iterator[Trial]:
    for images in _random_inputs(spec, seed):
        kinds = {family.name: family.kind for family in spec.program.inputs}
        yield Trial(weights, images, kinds, "eval", seed)
        yield Trial(weights, images, kinds, "train", seed)


def _random_inputs(spec: Compilation, seed: int) -> Iterator[dict[str, Tensor]]:
    """Random inputs of each size that is tried."""
    generator = torch.Generator().manual_seed(seed)
    for shapes in tried_shapes(spec):
        yield {
            name: torch.randn(_BATCH, *shape, generator=generator, dtype=torch.float64)
            for name, shape in shapes.items()
        }


def tried_shapes(spec: Compilation) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of the inputs by name; for a network with open sizes, a wide and a high one."""
    inferred, program = spec.shapes, spec.program
    shapes = {key: inferred.shapes[at] for key, at in inferred.expansion.values.items() if key in program.input_keys}
    if not program.open_sizes:
        return [{format_key(key): shape for key, shape in shapes.items()}]
    open = [size.formula for shape in inferred.shapes for size in shape if isinstance(size, SampledSize)]
    samples = (choose_sample(open), choose_sample(open, _SMALL_MAP, is_reversed=True))
    return [
        {
            format_key(key): tuple(int(sampled(formula_of(size), sample)) for size in shape)
            for key, shape in shapes.items()
        }
        for sample in samples
    ]


def _task_of(spec: Compilation) -> object:
    """The inputs and outputs of a network."""
    inputs = tuple((family.kind, tuple(family.shapes.values())) for family in spec.program.inputs)
    return inputs, tuple(output.shape for output in spec.program.outputs)


def _without_weights(outcome: Outcome, names: Sequence[str]) -> Outcome:
    gradients, statistics = (
        {name: tensor for name, tensor in tensors.items() if name not in names}
        for tensors in (outcome.gradients, outcome.statistics)
    )
    return replace(outcome, gradients=gradients, statistics=statistics)


_MOST_CONTRASTS = 12
"""The most lines about differences: a network that differs everywhere would fill the screen."""


def report_lines(report: Report, tolerance: float) -> list[str]:
    """A table of the largest differences, where the first one appears, and whether all stay below the tolerance."""
    lines = _table_of_rows(report.rows) if report.rows else []
    contrasts = [f"  {line}" for line in report.contrasts[:_MOST_CONTRASTS]]
    if len(report.contrasts) > _MOST_CONTRASTS:
        contrasts.append(f"  and {len(report.contrasts) - _MOST_CONTRASTS} more")
    if report.problem:
        return [*lines, report.problem, *contrasts]
    lines += ["", _verdict(report, tolerance)]
    if contrasts:
        lines += ["where the two differ:", *contrasts]
    if report.first is not None:
        lines.append(f"first seen in {report.first.form}, {report.first.mode} mode, at {_where(report.first)}")
    for name in report.unused:
        lines.append(f"`{name}` exists on one side only; its gradient there is zero")
    return lines


def _verdict(report: Report, tolerance: float) -> str:
    largest = f"largest difference {_difference_text(report.worst)}"
    if report.worst <= tolerance:
        return f"equal: {largest}, within {_difference_text(tolerance)}"
    rounding = max(row.rounding or 0.0 for row in report.rows)
    if report.agrees:
        return f"equal: {largest}, which is rounding: it may move this network by {_difference_text(rounding)}"
    return f"not equal: {largest}, above {_difference_text(tolerance)}, and more than rounding makes"


def _table_of_rows(rows: tuple[VerifiedRow, ...]) -> list[str]:
    cells = [["form", "mode", "outputs", "gradients", "statistics"]]
    for row in rows:
        numbers = [row.outputs, row.gradients, row.statistics]
        cells.append([row.form, row.mode, *("" if value is None else _difference_text(value) for value in numbers)])
    return aligned(cells, [False] * 5)


_WHERE: Mapping[Place, str] = {
    "operand": "`{value}`: what `{parameter}` is applied to {by}",
    "result": "`{value}`: what `{parameter}` gives {by}",
    "missing": "`{value}`: `{parameter}` is not used there",
    "statistics": "`{value}`: how `{parameter}` moves its running statistics {by}",
    "gradient": "`{value}`, on the way back: the gradient of `{parameter}` {by}",
    "output": "`{value}`, behind the last use of a parameter: it {by}",
}


def _where(first: FirstDifference) -> str:
    """`u@2,1`: what `A.2` gives differs by 3.0e-02."""
    by = f"differs by {_difference_text(first.difference)}" if math.isfinite(first.difference) else "has another shape"
    return _WHERE[first.place].format(value=first.value, parameter=first.parameter, by=by)


def _difference_text(value: float) -> str:
    return f"{value:.1e}" if value and math.isfinite(value) else f"{value:g}"


def report_data(report: Report, tolerance: float) -> dict[str, object]:
    return {"agrees": report.agrees, "tolerance": tolerance, "largest": report.worst, **asdict(report)}
