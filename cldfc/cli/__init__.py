"""The command line: one file for each command, with its arguments and what it prints, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from cldfc import __version__
from cldfc.cli.check import check
from cldfc.cli.compare import compare
from cldfc.cli.compile import compile_command
from cldfc.cli.derive import derive
from cldfc.cli.evaluate import evaluate
from cldfc.cli.explain import explain
from cldfc.cli.export import export
from cldfc.cli.fmt import fmt
from cldfc.cli.help import Command, Commands
from cldfc.cli.lsp import lsp
from cldfc.cli.new import new
from cldfc.cli.predict import predict
from cldfc.cli.reproduce import reproduce
from cldfc.cli.runs import runs
from cldfc.cli.show import show as show_command
from cldfc.cli.specs import specs
from cldfc.cli.train import train
from cldfc.cli.verify import verify
from cldfc.output import show

app = typer.Typer(
    cls=Commands,
    help="Compile networks that are written as recurrence equations to PyTorch, and train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def show_version(wanted: bool) -> None:
    """Print the versions and leave."""
    if wanted:
        show(f"cldfc {__version__} (torch {torch_version()})")
        raise typer.Exit


def torch_version() -> str:
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
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the versions of cldfc and torch."),
    ] = False,
) -> None:
    """Compile networks that are written as recurrence equations to PyTorch, and train them."""


COMMANDS: dict[str, Callable[..., None]] = {
    "new": new,
    "specs": specs,
    "check": check,
    "explain": explain,
    "fmt": fmt,
    "compile": compile_command,
    "derive": derive,
    "show": show_command,
    "compare": compare,
    "verify": verify,
    "train": train,
    "eval": evaluate,
    "export": export,
    "predict": predict,
    "runs": runs,
    "reproduce": reproduce,
    "lsp": lsp,
}
for name, command in COMMANDS.items():
    paragraph = (command.__doc__ or "").split("\n\n")[0]
    app.command(name, cls=Command, short_help=" ".join(paragraph.split()))(command)
