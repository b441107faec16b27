"""`cldfc predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.options import DeviceName, Json, RunPath, errors, load_torch, warn_of_changes, warn_of_data
from cldfc.diagnostics import UsageError
from cldfc.output import aligned, printed, show, show_json

if TYPE_CHECKING:
    from cldfc.runs.prediction import Prediction


def predict(
    run: RunPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="One or more image files.")],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="Print the K most probable classes of each image.")] = 1,
    device: DeviceName = None,
    as_json: Json = False,
) -> None:
    """Classify images with a trained network: classes and their probabilities.

    Each image is converted to greyscale or colour, scaled to the network's input
    size and standardised like the run's data set; for ImageNet and class folders
    it is prepared exactly as in testing. `digits` and `mnist` expect light ink on
    a dark background.

    Example: cldfc predict runs/FBResNet-digits-1 seven.png
    """
    with errors():
        load_torch()
        from cldfc.runs.prediction import predict_files
        from cldfc.runs.recorded_data import described_dataset
        from cldfc.runs.run_folder import RunFolder, read_record
        from cldfc.trained import folded_network

        folder = RunFolder(run)
        record = read_record(folder)
        warn_of_changes(run)
        warn_of_data(record)
        network, dataset = folded_network(folder, record), described_dataset(record)
        found, unreadable = predict_files(network, dataset, images, top, device)
        if as_json:
            show_json(_predictions_as_data(found))
        elif found:
            show(*_prediction_lines(found))
        if unreadable:
            reasons = [f"{path}: {reason}" for path, reason in unreadable.items()]
            count = f"{len(unreadable)} of {len(images)} images"
            raise UsageError(f"{count} cannot be read:", "give image files, such as .png or .jpg", reasons)


def _prediction_lines(found: list[Prediction]) -> list[str]:
    names = [printed(guess.name for guess in each.guesses) for each in found]
    longest = max(len(name) for row in names for name in row)
    rows = [
        [
            *printed([str(each.path)]),
            *(f"{n:{longest}}  {g.probability:7.2%}" for n, g in zip(row, each.guesses, strict=True)),
        ]
        for each, row in zip(found, names, strict=True)
    ]
    return aligned(rows, [False] * len(rows[0]))


def _predictions_as_data(found: list[Prediction]) -> list[dict[str, object]]:
    """The same as plain data; probabilities are from 0 to 1."""
    return [
        {
            "file": str(each.path),
            "classes": [{"class": g.number, "name": g.name, "probability": g.probability} for g in each.guesses],
        }
        for each in found
    ]
