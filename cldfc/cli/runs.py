"""`cldfc runs`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.options import Json, errors
from cldfc.output import aligned, printed, say, show, show_json

if TYPE_CHECKING:
    from cldfc.console import Column
    from cldfc.recipe import Part
    from cldfc.runs.listing import ListedRun

_COLUMNS: Mapping[str, Column] = {
    **dict.fromkeys(("run", "model", "data"), "text"),
    **dict.fromkeys(("params", "epochs", "validation", "test", "time"), "figure"),
    "state": "word",
}


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the run folders.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder, data set by data set, the best first.

    Shows the epochs done, the validation and test accuracy of the saved weights,
    and the state: finished, running, interrupted (can be resumed), diverged or
    broken. Runs are sorted by validation accuracy; those without validation come
    after them, by test accuracy.

    Example: cldfc runs
    """
    with errors():
        from cldfc.runs.listing import listed_runs

        found = listed_runs(folder)
        if as_json:
            show_json([_run_as_data(run) for run in found])
        elif not found:
            say(f"there are no runs in {folder}")
        elif sys.stdout.isatty():
            from cldfc.console import console, print_table

            with console() as shown:
                print_table(shown, _COLUMNS, list(map(_row_of_run, found)))
        else:
            rows = [printed(row) for row in (_COLUMNS, *map(_row_of_run, found))]
            show(*aligned(rows, [kind == "figure" for kind in _COLUMNS.values()]))
        if not as_json:
            _print_remarks(found)


def _row_of_run(run: ListedRun) -> Sequence[str]:
    from cldfc.output import short_count

    name = run.path.resolve().name
    if run.record is None:
        return (name, *[""] * (len(_COLUMNS) - 2), run.state)
    return (
        name,
        run.record.class_name,
        run.record.dataset,
        "" if run.parameters is None else short_count(run.parameters),
        f"{len(run.epochs)}/{run.record.recipe.epochs}",
        _accuracy_cell(run, "validation"),
        _accuracy_cell(run, "test"),
        _short_time(run.seconds),
        run.state,
    )


def _accuracy_cell(run: ListedRun, part: Part) -> str:
    """The accuracy of the saved weights on a part; a star where they were chosen by it, and it is the test."""
    accuracy = run.chosen.accuracy_on(part) if run.chosen else None
    star = "*" if part == "test" and _has_tested_choice(run) else ""
    return "" if accuracy is None else f"{accuracy:.2%}{star}"


def _has_tested_choice(run: ListedRun) -> bool:
    # Earlier releases chose the saved weights by their test accuracy.
    return run.record is not None and run.record.chosen_by == "test" and bool(run.epochs)


def _short_time(seconds: float) -> str:
    """`36 s`, `12 min`, `3.1 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _print_remarks(found: Sequence[ListedRun]) -> None:
    for run in found:
        if run.problem:
            state = {"broken": " is broken", "diverged": " has diverged"}.get(run.state, "")
            say(f"{run.path}{state}: {run.problem}")
    if any(map(_has_tested_choice, found)):
        say("* chosen by the test images, as earlier releases did: too good to be quoted")
    interrupted = [run for run in found if run.state == "interrupted"]
    if interrupted:
        say(f"continue an interrupted run with `cldfc train --resume {interrupted[0].path}`")


def _run_as_data(run: ListedRun) -> dict[str, object]:
    """The same as plain data; accuracies are shares, from 0 to 1, what is not known is null."""
    record, chosen, last = run.record, run.chosen, run.epochs[-1] if run.epochs else None
    return {
        "folder": str(run.path),
        "state": run.state,
        "problem": run.problem or None,
        "model": record.class_name if record else None,
        "data": record.dataset if record else None,
        "parameters": run.parameters,
        "epochs": len(run.epochs),
        "planned_epochs": record.recipe.epochs if record else None,
        "seed": record.recipe.seed if record else None,
        "stopped_early": run.stopped_early,
        "test_accuracy": last.test_accuracy if last else None,
        "validation_accuracy": last.validation_accuracy if last else None,
        "chosen_by": record.chosen_by if record else None,
        "chosen_epoch": chosen.epoch if chosen else None,
        "chosen_test_accuracy": chosen.test_accuracy if chosen else None,
        "chosen_validation_accuracy": chosen.validation_accuracy if chosen else None,
        "seconds": run.seconds,
    }
