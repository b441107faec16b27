"""The command line: one file for each command, loaded when the command is called."""

from __future__ import annotations

from typing import Annotated

import typer

from cldfc import __version__, output
from cldfc.cli.help import Commands

app = typer.Typer(
    cls=Commands,
    help="Compile networks that are written as recurrence equations to PyTorch, and train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    """Print the versions and leave."""
    if wanted:
        # Not `show` itself: a file of this package has that name.
        output.show(f"cldfc {__version__} (torch {_torch_version()})")
        raise typer.Exit


def _torch_version() -> str:
    """The release of torch that is installed; torch itself is not loaded for that."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        return "is not installed"


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the versions of cldfc and torch."),
    ] = False,
) -> None:
    """Compile networks that are written as recurrence equations to PyTorch, and train them."""
