"""The command line: one file for each command, with its arguments and what it prints, nothing else."""

from __future__ import annotations

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
from cldfc.cli.lsp import lsp
from cldfc.cli.new import new
from cldfc.cli.predict import predict
from cldfc.cli.reproduce import reproduce
from cldfc.cli.runs import runs
from cldfc.cli.show import show
from cldfc.cli.specs import specs
from cldfc.cli.train import train
from cldfc.cli.verify import verify

app = typer.Typer(
    help="Compile networks that are written as recurrence equations to PyTorch, and train them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the versions and leave."""
    if wanted:
        print(f"cldfc {__version__} (torch {torch_version()})")
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


app.command()(new)
app.command()(specs)
app.command()(check)
app.command()(explain)
app.command()(fmt)
app.command("compile")(compile_command)
app.command()(derive)
app.command()(show)
app.command()(compare)
app.command()(verify)
app.command()(train)
app.command("eval")(evaluate)
app.command()(export)
app.command()(predict)
app.command()(runs)
app.command()(reproduce)
app.command()(lsp)
