"""`cldfc train`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.completion import complete_data
from cldfc.cli.options import Classes, DataDir, Download, Input, Json, Lets, SpecPath, Ties, errors
from cldfc.compiler import build, whole_text
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import ascii_name
from cldfc.task import read_task

if TYPE_CHECKING:
    from cldfc.train.catalogue import DataSet
    from cldfc.train.train import Result


def train(
    spec: SpecPath,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The data set, such as `digits`.",
            autocompletion=complete_data,
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="The run folder; by default a new one in runs/."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.", show_default=False)] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Pull of every parameter towards 0.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, order and augmentation.", show_default=False)
    ] = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Train a network on a data set, which sets the input's shape and the number of classes.

    With --json a line for each epoch, then one for the run; `kind` says which.

    Example: cldfc train specs/fbresnet.cldf --data digits
    """
    with errors():
        from cldfc.emit.torch_module import emit_module
        from cldfc.show.summary import facts
        from cldfc.show.svg import draw_svg
        from cldfc.train.catalogue import DATA_DIR, find
        from cldfc.train.data.files import fetch_missing, require
        from cldfc.train.recipe import change_recipe

        dataset = find(data)
        wanted = {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "seed": seed}
        recipe = change_recipe(dataset.recipe, {name: value for name, value in wanted.items() if value is not None})
        source = read_source(spec)
        task = read_task(let or (), tie or (), input, classes).on(dataset.name, dataset.shape, dataset.classes)
        graph = build(source, task)
        code = emit_module(graph)
        data_dir = data_dir or DATA_DIR
        if download:
            fetch_missing(dataset, data_dir, lambda line: print(line, file=sys.stderr))
        require(dataset, data_dir)

        from cldfc.train.progress import json_lines, show_progress
        from cldfc.train.train import train_network

        command = " ".join(["cldfc", *sys.argv[1:]])
        with json_lines(sys.stdout) if as_json else show_progress() as progress:
            result = train_network(
                whole_text(source, task),
                code,
                ascii_name(graph.program.model),
                facts(graph),
                dataset,
                recipe,
                output,
                progress,
                command,
                data_dir,
                draw_svg(graph.as_written),
            )
        if as_json:
            print(json.dumps(result_as_data(result, dataset), ensure_ascii=False))
            return
        print(f"{dataset.name}: {dataset.split}")
        final, best = result.final.test_accuracy, result.best.test_accuracy
        print(f"test accuracy {final:.2%} after the last epoch, {best:.2%} at best")
        print(f"weights  {result.folder / 'best.safetensors'}")
        print(f"source   {result.folder / 'network.py'}")
        print(f"report   {result.folder / 'report.html'}")


def result_as_data(result: Result, dataset: DataSet) -> dict[str, object]:
    """What came of a training, as plain data; accuracies are shares, from 0 to 1."""
    return {
        "kind": "run",
        "data": dataset.name,
        "split": dataset.split,
        "test_accuracy": result.final.test_accuracy,
        "best_test_accuracy": result.best.test_accuracy,
        "best_epoch": result.best.epoch,
        "folder": str(result.folder),
        "weights": str(result.folder / "best.safetensors"),
        "source": str(result.folder / "network.py"),
        "report": str(result.folder / "report.html"),
    }
