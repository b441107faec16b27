"""`cldfc reproduce`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.options import (
    DeviceName,
    Download,
    Json,
    Markdown,
    Workers,
    complete_data,
    complete_table,
    errors,
    refuse_both,
    stopping,
    switch,
)
from cldfc.diagnostics import UsageError
from cldfc.output import say, show_document, show_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cldfc.reproduce.sweep import TableRun, Wanted


def reproduce(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="table1, …, table4 or all.", autocompletion=complete_table)
    ],
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Train each row with the seeds 0, 1, …, N − 1.")] = 1,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs instead of the paper's; the learning rate drops in proportion.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Train on this data set instead of the table's.",
            autocompletion=complete_data,
        ),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option("--rows", metavar="PATTERN", help="Only the rows whose spec matches, such as 'resnet18*'."),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Clip the gradient to this norm; the paper does not clip.")
    ] = None,
    miniature: Annotated[
        bool, switch("--miniature", "Narrow networks and few epochs, on `digits` unless --data says otherwise.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="Train N networks at a time; each gets its share of the cores.")
    ] = 1,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder with the run folders.")
    ] = Path("reproduction"),
    device: DeviceName = None,
    workers: Workers = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", metavar="DIR", help="Folder with the files of data sets; train on those that are there."
        ),
    ] = None,
    download: Download = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Rebuild a table of the paper: parameters and accuracies beside the printed ones.

    Rows are trained only with --data, --data-dir, --download or --miniature. An
    interrupted run is resumed, a finished one is never trained again. Ctrl-C and
    SIGTERM save the state. Under torchrun the processes share the runs. If data,
    and so accuracies, are missing, the exit code is 2.

    Example: cldfc reproduce table1 --miniature --seeds 5
    """
    with errors(), stopping("run the same command to continue"):
        from cldfc.data.catalogue import DATA_DIR
        from cldfc.reproduce.sweep import Wanted, is_finished, list_runs, prepare_datasets, train_runs
        from cldfc.reproduce.tables import find_tables, select_rows
        from cldfc.runs.environment import command_line
        from cldfc.training.launch import read_launch

        refuse_both("--json", as_json, "--markdown", as_markdown)
        changes = {name: value for name, value in (("epochs", epochs), ("clip", clip)) if value is not None}
        tables = select_rows(find_tables(table), rows or ())
        wanted, launch = Wanted(tables, seeds, changes, miniature, output, data), read_launch()
        datasets = prepare_datasets(wanted, data_dir, download, launch, say)
        wished = list_runs(wanted)
        runs = [run for run in wished if run.dataset in datasets]
        command = command_line(sys.argv[1:], os.environ)
        train_runs(runs, launch, data_dir or DATA_DIR, command, say, jobs, device, workers)
        left = sum(not is_finished(run) for run in runs)
        if left:
            say(f"process {launch.rank} is done; {left} runs are left to others, the last of which prints the tables")
        else:
            _print_tables(wanted, as_markdown, as_json)
            if data or data_dir or download or miniature:
                _refuse_gaps([run for run in wished if run.dataset not in datasets])


def _refuse_gaps(missing: Sequence[TableRun]) -> None:
    if missing:
        names = dict.fromkeys(f"{run.folder.parent.name} {run.row.folder} on {run.dataset}" for run in missing)
        raise UsageError(
            f"these rows have no accuracy, because their data are missing: {', '.join(names)}",
            "get the data as said above, or name other tables or rows",
        )


def _print_tables(wanted: Wanted, markdown: bool, as_json: bool) -> None:
    from cldfc.reproduce.results import as_data, as_markdown, as_shown, as_text, collect

    results = [(table, collect(wanted, table)) for table in wanted.tables]
    if as_json:
        show_json([as_data(wanted, table, found) for table, found in results])
        return
    write = as_markdown if markdown else as_text
    show_document("\n\n".join(as_shown(wanted, table, found, write) for table, found in results) + "\n")
