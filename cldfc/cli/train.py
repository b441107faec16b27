"""`cldfc train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cldfc.cli.help import DATA_SETS
from cldfc.cli.options import (
    Classes,
    DataDir,
    DeviceName,
    Download,
    Input,
    Json,
    Lets,
    Ties,
    TrustFiles,
    Workers,
    complete_data,
    complete_run,
    errors,
    load_torch,
    one_of_words,
    refuse_both,
    spec_argument,
    stopping,
    switch,
)
from cldfc.compilation import read_changes
from cldfc.diagnostics import UsageError
from cldfc.output import ignore, say, show, show_document, show_json
from cldfc.processors import Busy, busy_now, remark_on_others
from cldfc.syntax.read import read_source
from cldfc.training.launch import read_launch

if TYPE_CHECKING:
    from cldfc.runs.training_run import Result
    from cldfc.training.metrics import Epoch, Progress

_Given = Mapping[str, object]
"""The options that stand on the command line, by name."""


def train(
    spec: Annotated[Path | None, spec_argument("A .cldf file, or a name from `cldfc specs`.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{DATA_SETS}; or `folder:PATH` with images in class folders, `idx:PATH` with IDX files, "
            "`fake:C×H×W:CLASSES` with random images. "
            "With --resume: where images of your own are now.",
            autocompletion=complete_data,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="The run folder; by default a new one in runs/."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the run folder inside runs/.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="[RUN]",
            help="Resume an interrupted run, in place of a SPEC; RUN defaults to the newest in runs/.",
            autocompletion=complete_run,
        ),
    ] = None,
    from_start: Annotated[
        bool, switch("--from-start", "With --resume: restart from epoch 1; existing results are moved aside.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Batch size.")] = None,
    lr: Annotated[float | None, typer.Option(metavar="NUMBER", help="Peak learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(metavar="NUMBER", help="Weight decay.")] = None,
    clip: Annotated[float | None, typer.Option(metavar="NUMBER", help="Clip the gradient to this norm.")] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Hold out this share of the training images, such as 0.1, for validation, which chooses the epoch.",
        ),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after N epochs without improvement in validation accuracy.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed for weights, hold-out, shuffling and augmentation.")
    ] = None,
    sync_bn: Annotated[
        bool, switch("--sync-bn", "Under torchrun: synchronise batch-norm statistics across processes.")
    ] = False,
    precise: Annotated[bool, switch("--precise", "Use float32 and deterministic algorithms (slower).")] = False,
    compile: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Use torch.compile: `on`, `off`, or `auto`, the default: on CUDA, if measurements say that it pays.",
            autocompletion=one_of_words("auto", "on", "off"),
        ),
    ] = None,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE", help="A TOML file that overrides fields of the recipe.")
    ] = None,
    dry_run: Annotated[
        bool, switch("--dry-run", "Print the network, the data and the full recipe, as TOML, and exit.")
    ] = False,
    device: DeviceName = None,
    workers: Workers = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    data_dir: DataDir = None,
    download: Download = False,
    trust_files: TrustFiles = False,
    skip_unreadable: Annotated[bool, switch("--skip-unreadable", "Skip image files that cannot be read.")] = False,
    save_minutes: Annotated[
        float, typer.Option(metavar="NUMBER", min=0, help="Save a checkpoint every so many minutes within an epoch.")
    ] = 10,
    tensorboard: Annotated[
        bool, switch("--tensorboard", "Also log metrics to TensorBoard, in RUN/tensorboard.")
    ] = False,
    quiet: Annotated[bool, switch("--quiet", "Print only warnings, errors and, at the end, the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on a data set, which sets the input's shape and the number of classes.

    The recipe is the data set's, changed by --recipe, then by the other options.

    With --json, prints a line for each epoch, then one for the run; `kind` says which.

    Example: cldfc train fbresnet --data digits
    """
    fields = {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "clip": clip}
    fields |= {"holdout": holdout, "patience": patience, "seed": seed}
    fields |= {"sync_bn": sync_bn or None, "precise": precise or None, "compile": compile}
    options = {name: value for name, value in fields.items() if value is not None}
    made_with: dict[str, object] = {"SPEC": spec, "--output": output, "--name": name, "--let": let, "--tie": tie}
    made_with |= {"--input": input, "--classes": classes}
    before = busy_now()
    with errors(), stopping():
        refuse_both("--quiet", quiet, "--json", as_json)
        _check_compile(compile)
        from cldfc.plan import Surroundings, plan_by_files, plan_run, resume_run, start_run, stem_remarks
        from cldfc.runs.environment import command_line
        from cldfc.runs.run_folder import asked_folder
        from cldfc.runs.tensorboard import require_tensorboard

        if tensorboard:
            require_tensorboard()
        heard = ignore if quiet else say
        around = Surroundings(
            data_dir=data_dir,
            download=download,
            save_minutes=save_minutes,
            say=heard,
            warn=say,
            show=_shown(quiet, as_json),
            tensorboard=tensorboard,
            trust_files=trust_files,
            skip_unreadable=skip_unreadable,
            device=device,
            workers=workers,
            load_torch=lambda: _load_torch(before, heard),
        )
        recipe, given = _merged(recipe_file, options)
        if resume is not None:
            made_with |= {"--dry-run": dry_run, "--trust-files": trust_files, "--skip-unreadable": skip_unreadable}
            if wrong := next((name for name, value in made_with.items() if value), None):
                help = "leave it out: the run folder holds spec and recipe"
                raise UsageError(f"{wrong} cannot be used with `--resume`", help)
            changes = recipe if data is None else {**recipe, "dataset": data}
            result = resume_run(Path(resume) if resume else _newest(), changes, around, from_start)
        else:
            if from_start:
                raise UsageError("`--from-start` needs `--resume`", "leave it out: a new run starts there")
            if spec is None or data is None:
                missing = " and ".join(
                    name for name, value in {"SPEC": spec, "`--data`": data}.items() if value is None
                )
                raise UsageError(
                    f"{missing} {'are' if spec is data else 'is'} missing",
                    "write `cldfc train SPEC --data NAME`, or `cldfc train --resume RUN`",
                )
            source, changes = read_source(spec), read_changes(let, tie, input, classes)
            folder = asked_folder(output, name)
            if dry_run:
                from cldfc.plan import plan_as_data, plan_as_text

                plan = plan_run(source, data, changes, recipe)
                for remark in stem_remarks(plan):
                    heard(remark)
                plan = plan_by_files(plan, around)
                if as_json:
                    show_json(plan_as_data(plan, given, folder, around))
                else:
                    show_document(plan_as_text(plan, given, folder, around))
                return
            result = start_run(source, data, changes, recipe, folder, command_line(sys.argv[1:], os.environ), around)
        if result is not None and quiet:
            show(str(result.folder))
        elif result is not None:
            show_json(_result_as_data(result), indent=None) if as_json else _report(result)
        from cldfc.training.processes import end_process

        end_process()


def _check_compile(word: str | None) -> None:
    """Raises UsageError where something else follows `--compile`, such as the spec."""
    from cldfc.recipe import Compile

    if word is not None and word not in get_args(Compile):
        raise UsageError(f"`--compile` is followed by `{word}`, not by auto, on or off", "write `--compile on`")


def _load_torch(before: Busy | None, say: Callable[[str], None]) -> None:
    """Load torch, and say it where others have kept so busy what this training needs that it takes longer."""
    load_torch()
    import_module("cldfc.training.processes")
    if (remark := remark_on_others(before, busy_now())) and read_launch().rank == 0:
        say(f"remark: {remark}")


def _merged(file: Path | None, options: _Given) -> tuple[dict[str, object], dict[str, str]]:
    """The fields of the recipe that a file or the command line sets, and where each comes from. Raises UsageError."""
    from cldfc.recipe import read_recipe

    found = read_recipe(file) if file else None
    changes = {**(found.changes if found else {}), **options}
    return changes, {**(found.places if found else {}), **dict.fromkeys(options, "command line")}


def _newest() -> Path:
    from cldfc.runs.listing import newest_interrupted
    from cldfc.runs.run_folder import RUNS

    if read_launch().count > 1:
        raise UsageError("several processes cannot look for a run", "name it: `--resume RUN`")
    found = newest_interrupted(Path(RUNS))
    say(f"going on with {found}")
    return found


def _shown(quiet: bool, as_json: bool) -> Callable[[], AbstractContextManager[Progress]]:
    """How progress is shown."""
    from cldfc.runs.progress import JsonLines, show_progress, silent

    if quiet:
        return silent
    return (lambda: nullcontext(JsonLines(sys.stdout))) if as_json else show_progress


def _report(result: Result) -> None:
    show(f"{result.dataset.name}: {result.dataset.split}")
    final, chosen, recipe = result.final, result.chosen, result.record.recipe
    if result.stopped_early:
        show(
            f"stopped early, after epoch {final.epoch} of {recipe.epochs}: "
            f"no better validation accuracy in {recipe.patience} epoch{'s' * (recipe.patience > 1)}"
        )
    show(f"{_accuracies_of(final)} after the last epoch")
    by = {"validation": "validation", "test": "the test images, in an earlier release", "last": ""}
    if how := by[result.record.chosen_by]:
        show(f"{_accuracies_of(chosen)} after epoch {chosen.epoch}, chosen by {how}")
    of_last = "" if how else " (last epoch)"
    show(f"weights  {result.folder / 'best.safetensors'}{of_last}")
    show(f"source   {result.folder / 'network.py'}")
    show(f"report   {result.folder / 'report.html'}")
    show(f"next     cldfc predict {result.folder} IMAGE")


def _accuracies_of(epoch: Epoch) -> str:
    """`test accuracy 98.89%, validation accuracy 99.30%`."""
    test, validation = f"test accuracy {epoch.test_accuracy:.2%}", epoch.validation_accuracy
    return test if validation is None else f"{test}, validation accuracy {validation:.2%}"


def _result_as_data(result: Result) -> dict[str, object]:
    return {
        "kind": "run",
        "data": result.dataset.name,
        "split": result.dataset.split,
        "test_accuracy": result.final.test_accuracy,
        "validation_accuracy": result.final.validation_accuracy,
        "epochs": result.final.epoch,
        "stopped_early": result.stopped_early,
        "chosen_by": result.record.chosen_by,
        "chosen_epoch": result.chosen.epoch,
        "chosen_test_accuracy": result.chosen.test_accuracy,
        "chosen_validation_accuracy": result.chosen.validation_accuracy,
        "folder": str(result.folder),
        "weights": str(result.folder / "best.safetensors"),
        "source": str(result.folder / "network.py"),
        "report": str(result.folder / "report.html"),
    }
