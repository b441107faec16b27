"""What commands have in common: their arguments, and how they leave when something is wrong."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cldfc.cli.completion import complete_device, complete_run, complete_spec
from cldfc.diagnostics import CldfError, UsageError
from cldfc.messages import print_errors, print_usage_error, tell_names
from cldfc.output import say
from cldfc.train.launch import MOST_WORKERS

if TYPE_CHECKING:
    from cldfc.train.run import RunRecord


def told(specs: Path | list[Path] | None) -> Path | list[Path] | None:
    """The specs of an argument, after what is to be said of their names."""
    tell_names(specs if isinstance(specs, list) else [specs] if specs else [])
    return specs


def spec_argument(help: str, metavar: str = "SPEC") -> Any:
    """An argument for specs; the shell completes paths and names."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, callback=told, autocompletion=complete_spec)


SpecPath = Annotated[Path, spec_argument("A .cldf file, or a name from `cldfc specs`.")]
SpecPaths = Annotated[list[Path], spec_argument("One or more .cldf files, or names from `cldfc specs`.")]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False, autocompletion=complete_run)
]
Lets = Annotated[
    list[str] | None, typer.Option("--let", metavar="'x = …'", help="Override a `let` of the spec.", show_default=False)
]
Ties = Annotated[
    list[str] | None, typer.Option("--tie", metavar="A@ℓ", help="Share a kernel or scalar.", show_default=False)
]
Input = Annotated[
    str | None, typer.Option("--input", metavar="C×H×W", help="Replace the shape of the input.", show_default=False)
]
Classes = Annotated[int | None, typer.Option("--classes", help="Replace the number of classes.", show_default=False)]

DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="`cpu`, `cuda` or `cuda:N`; by default CUDA where there is one.",
        autocompletion=complete_device,
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        max=MOST_WORKERS,
        help="Worker processes that read image files; by default one per processor, at most 16.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.", show_default=False)]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown.", show_default=False)]

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Folder with the files of data sets; `data` by default.", show_default=False
    ),
]
TrustFiles = Annotated[
    bool, typer.Option("--trust-files", help="Accept files that are not the published ones, and record that.")
]
Download = Annotated[bool, typer.Option("--download", help="Download missing files of the data set.")]


def refuse_both(as_json: bool, as_markdown: bool) -> None:
    """Raises UsageError when two forms are asked for."""
    if as_json and as_markdown:
        raise UsageError("`--json` and `--markdown` cannot be used together", "give one of them")


def warn_of_changes(run: Path) -> None:
    """Say what of a run is not what its training has written. Raises UsageError where it is not to be used."""
    from cldfc.train.seal import check_seal

    for remark in check_seal(run):
        say(f"warning: {remark}")


def warn_of_data(record: RunRecord, name: str | None = None) -> None:
    """Say that the images of a run, or of another data set like it, are not those that it was trained on."""
    from cldfc.train.recorded_data import remarks_on

    for remark in remarks_on(record, name):
        say(f"warning: {remark}")


@contextmanager
def errors() -> Generator[None]:
    """Print what is wrong and leave with its exit code."""
    try:
        yield
    except CldfError as error:
        print_errors(error)
        raise typer.Exit(error.exit_code) from None
    except UsageError as error:
        print_usage_error(error)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        # What has no name is the output.
        if error.filename is None:
            raise
        message = f"`{os.fspath(error.filename)}` cannot be used: {error.strerror}"
        print_usage_error(UsageError(message, "give another path"))
        raise typer.Exit(UsageError.exit_code) from None
    except (MemoryError, RuntimeError) as error:
        from cldfc.train.refusals import amount_of, lacks_memory

        if not lacks_memory(error):
            raise
        message = f"there is not enough memory{amount_of(error)}"
        print_usage_error(UsageError(message, "make the network or the batch smaller, or use a larger machine"))
        raise typer.Exit(UsageError.exit_code) from None


@contextmanager
def stopping(again: str = "") -> Generator[None]:
    """Say how to go on when a training was asked to stop, and leave with the signal's exit code."""
    from cldfc.train.stop import Stopped

    try:
        yield
    except Stopped as stopped:
        if stopped.is_first:
            say(f"stopped and saved; {again or f'continue with `cldfc train --resume {stopped.folder}`'}")
        raise typer.Exit(stopped.exit_code) from None
