"""`cldfc export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import BadZipFile, ZipFile, is_zipfile

import typer

from cldfc.cli.options import Json, RunPath, errors, load_torch, switch, warn_of_changes, warn_of_data
from cldfc.diagnostics import UsageError
from cldfc.files import refuse_foreign, writing
from cldfc.output import say, show, show_json

if TYPE_CHECKING:
    from cldfc.trained import Exported, Format


def export(
    run: RunPath,
    onnx: Annotated[bool, switch("--onnx", "Write a .onnx file, for onnxruntime and many others.")] = False,
    torch_export: Annotated[
        bool, switch("--torch-export", "Write a .pt2 file, which torch loads without the class and without cldfc.")
    ] = False,
    safetensors: Annotated[
        bool, switch("--safetensors", "Write a .safetensors file: the weights alone, by name.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Output file; by default NAME.* in the run folder."),
    ] = None,
    as_trained: Annotated[
        bool | None,
        typer.Option(
            "--as-trained/--fold",
            help="Keep normalisations as trained, or fold them into kernels where possible. "
            "By default folded; in --safetensors as trained, so that names are those of the class.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the network of a run, with its weights, for other programs.

    The file is read back and checked against the network before it gets its name.
    With --onnx and --torch-export it takes batches of any size of uint8 pixels, as
    the data set stores them, and standardises them itself. --safetensors holds
    weights for images that are standardised already; mean and std are in the
    file's metadata.

    Example: cldfc export runs/FBResNet-digits-1 --onnx
    """
    with errors():
        format = _choose_export(onnx, torch_export, safetensors)
        is_folded = format != "safetensors" if as_trained is None else not as_trained

        from cldfc.runs.run_folder import RunFolder, read_record
        from cldfc.trained import export_run

        record = read_record(RunFolder(run))
        warn_of_changes(run)
        warn_of_data(record)
        load_torch()
        exported = export_run(run, format, is_folded, output, partial(_refuse_place, format), say)
        if as_json:
            show_json(_exported_as_data(exported, format))
        else:
            show(*_exported_lines(exported))


def _choose_export(onnx: bool, torch_export: bool, safetensors: bool) -> Format:
    if onnx + torch_export + safetensors != 1:
        wrong = "formats cannot be used together" if onnx or torch_export else "no format is given"
        raise UsageError(wrong, "give one of `--onnx`, `--torch-export` and `--safetensors`")
    return "onnx" if onnx else "torch_export" if torch_export else "safetensors"


def _refuse_place(format: Format, path: Path) -> None:
    """What is there stays, unless it is an earlier export. Raises UsageError."""
    from cldfc.trained import SUFFIXES

    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UsageError(f"`{path}` is not a file", "the network is read back from it: name a file with `-o FILE`")
        if not _is_exported_program(path):
            refuse_foreign(path, name=f"network{SUFFIXES[format]}", is_text=False)


def _is_exported_program(path: Path) -> bool:
    if not path.is_file() or not is_zipfile(path):
        return False
    try:
        with ZipFile(path) as archive:
            return any(name.endswith("/cldfc.json") for name in archive.namelist())
    except BadZipFile:
        return False


def _exported_lines(exported: Exported) -> list[str]:
    from cldfc.show.summary import folding_lines

    about, difference = exported.about, exported.difference
    lines = [
        f"{about.model} written to {exported.path}: {exported.parameters:,} parameters",
        f"takes {about.takes}",
        f"gives n × {about.classes} scores; largest difference {difference.largest:.2g}, "
        f"of scores up to {difference.largest_score:.2g}",
    ]
    return [*lines, *folding_lines(exported.folded)] if exported.folded else lines


def _exported_as_data(exported: Exported, format: Format) -> dict[str, object]:
    return {
        "file": str(exported.path),
        "format": format.replace("_", "-"),
        **exported.about.model_dump(),
        "parameters": exported.parameters,
        "difference": exported.difference.largest,
        "largest_score": exported.difference.largest_score,
        "compared_by": exported.reader,
    }
