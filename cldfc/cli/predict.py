"""`cldfc predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc.cli.options import Json, RunPath, errors, warn_of_changes, warn_of_data
from cldfc.diagnostics import UsageError

if TYPE_CHECKING:
    from cldfc.train.predict import Prediction


def predict(
    run: RunPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="One or more image files.", show_default=False)],
    top: Annotated[int, typer.Option(min=1, metavar="K", help="The K most probable classes of each image.")] = 1,
    as_json: Json = False,
) -> None:
    """Say what a trained network takes images for: the class and its probability.

    An image is put into grey or colours, scaled to the size of the network's
    input and standardised, as the data set of the run is; for ImageNet and class
    folders it is prepared exactly as in testing. `digits` and
    `mnist` are light ink on a dark ground.

    Example: cldfc predict runs/FBResNet-digits-1 seven.png
    """
    with errors():
        from cldfc.train.predict import predict_files
        from cldfc.train.recorded_data import described_dataset
        from cldfc.train.run import RunFolder, read_record
        from cldfc.trained import folded_network

        folder = RunFolder(run)
        record = read_record(folder)
        warn_of_changes(run)
        warn_of_data(record)
        found, unreadable = predict_files(folded_network(folder, record), described_dataset(record), images, top)
        if as_json:
            print(json.dumps([prediction_as_data(each) for each in found], ensure_ascii=False, indent=2))
        elif found:
            print("\n".join(prediction_lines(found)))
        if unreadable:
            reasons = "".join(f"\n  {path}: {reason}" for path, reason in unreadable.items())
            count = f"{len(unreadable)} of {len(images)} images"
            raise UsageError(f"{count} cannot be read:{reasons}", "give image files, such as .png or .jpg")


def prediction_lines(found: list[Prediction]) -> list[str]:
    """A line for each image, in columns: its file, then classes and their probabilities."""
    width = max(len(str(each.path)) for each in found)
    longest = max(len(guess.name) for each in found for guess in each.guesses)
    return [
        "  ".join(
            [f"{each.path!s:{width}}", *(f"{guess.name:{longest}}  {guess.probability:7.2%}" for guess in each.guesses)]
        )
        for each in found
    ]


def prediction_as_data(each: Prediction) -> dict[str, object]:
    """The same as plain data; probabilities are from 0 to 1."""
    classes = [{"class": g.number, "name": g.name, "probability": g.probability} for g in each.guesses]
    return {"file": str(each.path), "classes": classes}
