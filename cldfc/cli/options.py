"""What commands have in common: their arguments, what a shell completes, and how they leave."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cldfc.diagnostics import CldfError, UsageError
from cldfc.messages import print_errors, print_usage_error, tell_names
from cldfc.output import say
from cldfc.syntax.parse import collector_paused
from cldfc.training.launch import MOST_WORKERS

if TYPE_CHECKING:
    from cldfc.runs.run_folder import RunRecord


def load_torch() -> None:
    """Load torch before what needs it, without looking for circles in it, which takes a sixth of the time: it stays."""
    is_new = "torch" not in sys.modules
    with collector_paused():
        import_module("cldfc.device").start_threads()
        if is_new:
            gc.freeze()


def one_of_words(*words: str) -> Callable[[str], list[str]]:
    """Completes the words that start like that."""
    return lambda incomplete: _starting_with(incomplete, words)


def _starting_with(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]


def complete_code(incomplete: str) -> list[str]:
    from cldfc.error_pages import explanations

    return _starting_with(incomplete, explanations())


def complete_spec(incomplete: str) -> list[str]:
    """Specs and folders that start like that, and the names of the specs that come with cldfc."""
    from cldfc.library import SUFFIX, spec_names

    start = Path(incomplete)
    folder = start if incomplete.endswith("/") else start.parent
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    beside = [f"{path}/" if path.is_dir() else str(path) for path in paths if path.is_dir() or path.suffix == SUFFIX]
    return _starting_with(
        incomplete, [*spec_names(), *(path for path in beside if not Path(path).name.startswith("."))]
    )


def complete_bundled(incomplete: str) -> list[str]:
    from cldfc.library import spec_names

    return _starting_with(incomplete, spec_names())


def complete_run(incomplete: str) -> list[str]:
    """The run folders that start like that; in `runs`, unless another folder is named."""
    start = Path(incomplete)
    folders = [Path("runs")] if "/" not in incomplete else [start if incomplete.endswith("/") else start.parent]
    found = [str(path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
    return [path for path in found if path.startswith(incomplete) or Path(path).name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    from cldfc.data.catalogue import FOLDER, IDX, names

    return _starting_with(incomplete, [*names(), FOLDER, IDX])


def complete_table(incomplete: str) -> list[str]:
    from cldfc.reproduce.tables import TABLES

    return _starting_with(incomplete, [*TABLES, "all"])


def complete_part(incomplete: str) -> list[str]:
    from cldfc.recipe import Part

    return _starting_with(incomplete, get_args(Part))


def _told(specs: Path | list[Path] | None) -> Path | list[Path] | None:
    tell_names(specs if isinstance(specs, list) else [specs] if specs else [])
    return specs


def switch(name: str, help: str) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help)


def spec_argument(help: str, metavar: str = "SPEC") -> Any:
    return typer.Argument(metavar=metavar, help=help, callback=_told, autocompletion=complete_spec)


SpecPath = Annotated[Path, spec_argument("A .cldf file, or a name from `cldfc specs`.")]
SpecPaths = Annotated[list[Path], spec_argument("One or more .cldf files, or names from `cldfc specs`.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", autocompletion=complete_run)]
Lets = Annotated[list[str] | None, typer.Option("--let", metavar="'x = …'", help="Override a `let` of the spec.")]
Ties = Annotated[list[str] | None, typer.Option("--tie", metavar="A@ℓ", help="Share a kernel, scalar or vector.")]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="C×H×W", help="Replace the shape of the input; f=C×H×W names one of several."),
]
Classes = Annotated[int | None, typer.Option("--classes", help="Replace the number of classes.")]

DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="`cpu`, `cuda` or `cuda:N`; by default CUDA where there is one.",
        # torch, which knows those of this machine, would take too long.
        autocompletion=one_of_words("cpu", "cuda", "cuda:0", "cuda:1"),
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        max=MOST_WORKERS,
        help="Worker processes that read image files; by default one per processor, at most 16.",
    ),
]

Json = Annotated[bool, switch("--json", "Print JSON, for programs.")]
Markdown = Annotated[bool, switch("--markdown", "Print Markdown.")]

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Folder with the files of data sets; `data` by default."),
]
TrustFiles = Annotated[bool, switch("--trust-files", "Accept files that are not the published ones, and record that.")]
Download = Annotated[bool, switch("--download", "Download missing files of the data set.")]


def refuse_both(one: str, is_one: bool, other: str, is_other: bool) -> None:
    if is_one and is_other:
        raise UsageError(f"`{one}` and `{other}` cannot be used together", "give one of them")


def warn_of_changes(run: Path) -> None:
    """Say what of a run is not what its training has written. Raises UsageError where it is not to be used."""
    from cldfc.runs.run_folder import check_seal

    for remark in check_seal(run):
        say(f"warning: {remark}")


def warn_of_data(record: RunRecord, name: str | None = None) -> None:
    from cldfc.runs.recorded_data import remarks_on

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
        wrong = error
    except OSError as error:
        # What has no name is the output.
        if error.filename is None:
            raise
        wrong = UsageError(f"`{os.fspath(error.filename)}` cannot be used: {error.strerror}", "give another path")
    except (MemoryError, RuntimeError) as error:
        from cldfc.weights.torch_errors import amount_of, lacks_memory

        if not lacks_memory(error):
            raise
        help = "make the network or the batch smaller, or use a larger machine"
        wrong = UsageError(f"there is not enough memory{amount_of(error)}", help)
    else:
        return
    print_usage_error(wrong)
    raise typer.Exit(wrong.exit_code)


@contextmanager
def stopping(again: str = "") -> Generator[None]:
    """Say how to go on when a training was asked to stop, and leave with the signal's exit code."""
    from cldfc.stop import Stopped

    try:
        yield
    except Stopped as stopped:
        if stopped.is_first:
            say(f"stopped and saved; {again or f'continue with `cldfc train --resume {stopped.folder}`'}")
        raise typer.Exit(stopped.exit_code) from None
