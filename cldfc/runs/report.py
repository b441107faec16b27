"""A run at a glance: one HTML file that needs neither a network nor scripts."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from shlex import quote

from cldfc.files import write_run_file
from cldfc.output import fill_page
from cldfc.runs.environment import Environment, Session
from cldfc.runs.run_folder import RunFolder, RunRecord
from cldfc.training.metrics import Epoch, chosen_epoch, clock, speed_in_words, stopped_early
from cldfc.weights.compiled import Compiled

_WIDTH, _HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 34, 36
_LETTER, _GAP = 6, 22
"""Pixels that a letter of the legend takes at most, on average, and pixels between two names."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps the values from `low` to `high` onto the pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.start + share * (self.end - self.start):.1f}"

    def marks(self, least: float) -> list[float]:
        """Round values along the axis, six at most, no closer to each other than `least`."""
        step = max(least, round_step((self.high - self.low) / 5))
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [step * number for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9))


def draw_curves(title: str, curves: Mapping[str, Sequence[float]], low: float, high: float) -> str:
    """An SVG picture of curves over epochs, for values from `low` to `high`, `low` < `high`.

    A curve has a name, which is also the class that styles the line, and a value for each epoch from 1.
    """
    epochs = max(map(len, curves.values()))
    across = Axis(1, max(epochs, 2), _LEFT, _WIDTH - _RIGHT)
    up = Axis(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<text class="title" x="{_LEFT}" y="18">{escape(title)}</text>',
        *(_grid_line(up.at(value), value) for value in up.marks(0)),
        *(
            f'<text class="epoch" x="{across.at(epoch)}" y="{_HEIGHT - _BOTTOM + 20}">{epoch:.0f}</text>'
            for epoch in across.marks(1)
        ),
        *(_draw_curve(name, values, across, up) for name, values in curves.items()),
        *_legend(list(curves)),
    ]
    return "\n".join([f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">', *parts, "</svg>"])


def _grid_line(y: str, value: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="value" x="{_LEFT - 8}" y="{y}" dy="4">{value:.4g}</text>'
    )


def _draw_curve(name: str, values: Sequence[float], across: Axis, up: Axis) -> str:
    points = [f"{across.at(epoch)},{up.at(value)}" for epoch, value in enumerate(values, 1)]
    line, (x, y) = " ".join(points), points[-1].split(",")
    return f'<polyline class="{name}" points="{line}"/><circle class="{name}" cx="{x}" cy="{y}" r="3"/>'


def _legend(names: Sequence[str]) -> list[str]:
    texts: list[str] = []
    x = _WIDTH - _RIGHT
    for name in reversed(names):
        texts.append(f'<text class="legend {name}" x="{x}" y="18">{name}</text>')
        x -= _LETTER * len(name) + _GAP
    return texts


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a run at some time: what it was made from, and what it has reached."""

    record: RunRecord
    compiled: Compiled
    environment: Environment
    epochs: Sequence[Epoch] = ()
    state: str = "running"
    """How it stands, in words: `running`, `finished`, …"""


def write_report(run: RunFolder, account: Account) -> None:
    """Write the report of a run into its folder; raises UsageError when that fails."""
    record, compiled = account.record, account.compiled
    page = fill_page(
        "cldfc.runs",
        "report.html",
        title=f"{record.class_name} on {record.dataset}",
        about=_about(account),
        results=_results(account),
        curves=_curves(account.epochs),
        compiled=compiled,
        # As an image it keeps its styles to itself.
        picture=b64encode(compiled.picture.encode()).decode(),
        record=record,
        recipe={name.replace("_", " "): str(value) for name, value in record.recipe},
        environment=_environment_rows(account.environment),
        resume=f"cldfc train --resume {quote(str(run.path))}" if account.state in ("running", "stopped") else "",
    )
    write_run_file(run.report, page)


def _about(account: Account) -> tuple[str, str]:
    """How the run stands, and when that was so."""
    record, done, all_epochs = account.record, len(account.epochs), account.record.recipe.epochs
    now = _in_utc(datetime.now(UTC))
    early = " early" if stopped_early(account.epochs, record.recipe) else ""
    return (
        f"{account.state}{early}: {done} of {all_epochs} epoch{'s' * (all_epochs > 1)} done, as of {now}",
        f"trained with torch {record.torch} on {record.device}{', through torch.compile' * record.torch_compile}",
    )


def _results(account: Account) -> dict[str, str]:
    """What the training has reached, in words; nothing before the end of the first epoch."""
    epochs, record = account.epochs, account.record
    if not epochs:
        return {}
    last, chosen, seconds = epochs[-1], chosen_epoch(epochs, record.chosen_by), sum(epoch.seconds for epoch in epochs)
    rows = {"after the last epoch": _accuracies(last)}
    if record.chosen_by == "validation":
        rows["chosen by validation"] = _accuracies(chosen)
    if record.chosen_by == "test":
        rows["chosen by the test"] = f"{_accuracies(chosen)}; so it is too good: quote the last one"
    if stopped_early(epochs, record.recipe):
        patience = record.recipe.patience
        rows["stopped early"] = f"no better validation accuracy in {patience} epoch{'s' * (patience > 1)}"
    rows["saved weights"] = f"those of epoch {chosen.epoch}"
    rows["training time"] = f"{clock(seconds)}, {seconds / len(epochs):.1f} s for an epoch with its tests"
    rows["speed"] = speed_in_words(last.images_per_second)
    return rows


def _accuracies(epoch: Epoch) -> str:
    """`test accuracy 98.89%, validation accuracy 99.30%, epoch 9`."""
    found = [f"test accuracy {epoch.test_accuracy:.2%}"]
    if epoch.validation_accuracy is not None:
        found.append(f"validation accuracy {epoch.validation_accuracy:.2%}")
    return ", ".join([*found, f"epoch {epoch.epoch}"])


def _curves(epochs: Sequence[Epoch]) -> list[str]:
    """The loss, the accuracy and the learning rate over the epochs, as SVG."""
    if not epochs:
        return []
    losses, shares = _by_part(epochs, "loss"), _by_part(epochs, "accuracy", 100)
    highest, lowest = max(map(max, losses.values())), min(map(min, shares.values()))
    pictures = [
        draw_curves("Loss", losses, 0, max(highest, 1e-6)),
        draw_curves("Accuracy, %", shares, min(lowest, 99), 100),
    ]
    rates = [epoch.lr for epoch in epochs if epoch.lr is not None]
    if len(rates) == len(epochs):
        pictures.append(draw_curves("Learning rate at the end of an epoch", {"rate": rates}, 0, max(rates)))
    return pictures


def _by_part(epochs: Sequence[Epoch], what: str, scale: float = 1) -> dict[str, list[float]]:
    """The loss or the accuracy over the epochs, for those parts that have it in each epoch."""
    found = {part: [getattr(epoch, f"{part}_{what}") for epoch in epochs] for part in ("train", "validation", "test")}
    return {part: [scale * value for value in values] for part, values in found.items() if None not in values}


def _environment_rows(environment: Environment) -> dict[str, str]:
    """What the run was started with, and for each time that it went on, when and what was different then."""
    if not environment.sessions:
        return {}
    first, *_ = environment.sessions
    rows = {"started": _in_utc(first.started), **_session_in_words(first)}
    for number, (before, session) in enumerate(pairwise(environment.sessions), 1):
        rows[f"resumed, {number}"] = resumed_in_words(before, session)
    return rows


def resumed_in_words(before: Session, session: Session) -> str:
    """When and where a run went on, and what was not as it had been before."""
    was, now = _session_in_words(before), _session_in_words(session)
    changed = [f"{name} {now[name]} (was {was[name]})" for name in now if name in was and now[name] != was[name]]
    place = f"in epoch {session.epoch}" + f" after step {session.step}" * (session.step > 0)
    return "; ".join([f"{_in_utc(session.started)}, {place}", *changed])


def _session_in_words(session: Session) -> dict[str, str]:
    """The fields of a session."""
    rows = {
        "commit of the spec": session.commit.in_words() if session.commit else "",
        "device": session.device,
        "processor": f"{session.processor}, {session.processors} in use",
        "platform": session.platform,
        "threads": str(session.threads),
        "processes": str(session.processes),
        "Python": session.python,
        "CUDA": session.cuda or "",
        **session.packages,
    }
    return {name: value for name, value in rows.items() if value}


def _in_utc(time: datetime) -> str:
    """`2026-11-24 14:19 UTC`."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
