"""`cldfc eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.options import (
    DataDir,
    DeviceName,
    Json,
    RunPath,
    TrustFiles,
    Workers,
    complete_data,
    complete_part,
    errors,
    load_torch,
    refuse_both,
    switch,
    warn_of_changes,
    warn_of_data,
)
from cldfc.messages import RESULT_DIFFERS
from cldfc.output import say, show, show_json

if TYPE_CHECKING:
    from cldfc.runs.evaluate import Evaluation


def evaluate(
    run: RunPath,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Test on another data set of the same shape and classes, or say where the images of the run are now.",
            autocompletion=complete_data,
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="PART",
            help="`test`, or `validation`: the images that the epoch was chosen by.",
            autocompletion=complete_part,
        ),
    ] = "test",
    as_trained: Annotated[
        bool, switch("--as-trained", "Evaluate the module as trained, for exactly the recorded accuracy.")
    ] = False,
    compiled: Annotated[bool, switch("--compile", "Use torch.compile (half a minute to start).")] = False,
    device: DeviceName = None,
    workers: Workers = None,
    data_dir: DataDir = None,
    trust_files: TrustFiles = False,
    as_json: Json = False,
) -> None:
    """Evaluate a trained run; only its folder is needed.

    Normalisations are folded into kernels where possible, for speed; this changes
    the last bits, and now and then the class of an image. If the accuracy is not
    the recorded one, the module as trained is evaluated, too; if that does not
    give the recorded accuracy either, the exit code is 3.

    Example: cldfc eval runs/FBResNet-digits-1
    """
    with errors():
        refuse_both("--as-trained", as_trained, "--compile", compiled)
        from cldfc.runs.run_folder import RunFolder, read_record
        from cldfc.trained import evaluate_again
        from cldfc.training.metrics import parse_part

        part, record = parse_part(on), read_record(RunFolder(run))
        warn_of_changes(run)
        if compiled:
            say("torch.compile takes about half a minute")
        load_torch()
        found, fast = evaluate_again(run, data_dir, data, part, as_trained, compiled, trust_files, device, workers)
        warn_of_data(record, data)
        if as_json:
            show_json(_evaluation_as_data(found, fast))
        else:
            show(*_evaluation_lines(found, fast))
        if found.recorded_accuracy is not None and not found.agrees:
            raise typer.Exit(RESULT_DIFFERS)


def _evaluation_lines(found: Evaluation, fast: Evaluation | None) -> list[str]:
    name, tested = found.record.class_name, found.dataset.name
    if tested != found.record.dataset:
        name += f", trained on {found.record.dataset},"
    lines = [
        f"{name} on {tested} ({found.device}): {found.dataset.split}",
        f"{found.part} accuracy {found.score.accuracy:.2%}{_as_recorded(found)}",
    ]
    if fast and fast is not found:
        lines.append(f"folded {fast.score.accuracy:.2%}: {_recount(fast)}")
    return [*lines, f"{_tested_per_second(fast or found):,.0f} images/s"]


def _as_recorded(found: Evaluation) -> str:
    if found.recorded is None or found.recorded_accuracy is None:
        return ""
    by = {"validation": ", chosen by validation", "test": ", chosen by the test images", "last": ""}
    epoch = f"in epoch {found.recorded.epoch}{by[found.record.chosen_by]}"
    if found.agrees:
        return f", as recorded {epoch}"
    return f", recorded was {found.recorded_accuracy:.2%} {epoch}: {_recount(found)}"


def _recount(found: Evaluation) -> str:
    """`2 of 360 images fewer are right` than were recorded."""
    count = abs(found.gained)
    images = f"{count:,} of {found.score.images:,} images {'more' if found.gained > 0 else 'fewer'}"
    return f"{images} {'is' if count == 1 else 'are'} right"


def _tested_per_second(found: Evaluation) -> float:
    return found.score.images / found.seconds


def _evaluation_as_data(found: Evaluation, fast: Evaluation | None) -> dict[str, object]:
    """The same as plain data; accuracies are shares, from 0 to 1."""
    part, recorded = found.part, found.recorded
    return {
        "model": found.record.class_name,
        "trained_on": found.record.dataset,
        "data": found.dataset.name,
        "split": found.dataset.split,
        "device": found.device,
        "images": found.score.images,
        "images_per_second": _tested_per_second(fast or found),
        "part": part,
        f"{part}_accuracy": found.score.accuracy,
        f"{part}_loss": found.score.loss,
        f"folded_{part}_accuracy": fast.score.accuracy if fast else None,
        f"recorded_{part}_accuracy": found.recorded_accuracy,
        "recorded_epoch": recorded.epoch if recorded else None,
        "chosen_by": found.record.chosen_by,
        "agrees": None if found.recorded_accuracy is None else found.agrees,
    }
