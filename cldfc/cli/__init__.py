"""The command line: one file for each command, with its arguments and what it prints, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

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
from cldfc.cli.show import show as show_command
from cldfc.cli.specs import specs
from cldfc.cli.train import train
from cldfc.cli.verify import verify
from cldfc.diagnostics import UsageError
from cldfc.messages import FINE, print_usage_error
from cldfc.output import printed, say, show
from cldfc.validation import first_error

# Where click has it depends on the release of typer.
ClickException: type[Any] = typer.BadParameter.__mro__[2]


class Command(TyperCommand):
    """A command whose help can be read on every terminal."""

    def get_help(self, ctx: Any) -> str:
        """The help, in letters that the terminal has."""
        return "\n".join(printed(super().get_help(ctx).split("\n")))


class Commands(TyperGroup):
    """The command line, which says in the words of all other errors what is wrong with it."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run a command, and leave with its exit code where that is not left to the caller."""
        try:
            code = super().main(*arguments, standalone_mode=False, **options)
        except Exception as error:
            if not isinstance(error, ClickException):
                raise
            code = UsageError.exit_code
            if type(error).__name__ == "NoArgsIsHelpError":
                say(*str(error).splitlines())
            else:
                print_usage_error(in_own_words(error))
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else FINE)


def in_own_words(error: Any) -> UsageError:
    """What is wrong with a command line."""
    from pydantic import ValidationError

    message = str(error.format_message()).rstrip(".")
    message = message[:1].lower() + message[1:].replace("'", "`")
    if isinstance(error.__cause__, ValidationError):
        _, value, reason = first_error(error.__cause__)
        name = error.param.metavar if error.param.param_type_name == "argument" else max(error.param.opts, key=len)
        message = f"`{name}` cannot be {value!r}: {reason}"
    context = getattr(error, "ctx", None)
    command = " ".join(["cldfc", *context.command_path.split()[1:]]) if context else "cldfc"
    return UsageError(message, f"`{command} --help` says what can be given")


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
