"""What `--help` prints, and what is said of a command line that makes no sense: in the words of cldfc."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from cldfc.diagnostics import UsageError, choices, first_error, nearest
from cldfc.messages import FINE, print_usage_error
from cldfc.output import printed, say

# Where click has it depends on the release of typer.
_ClickException: type[Any] = typer.BadParameter.__mro__[2]

_BARE: Mapping[str, Mapping[str, str]] = {"train": {"--resume": "", "--compile": "on"}}
"""By command, the options that may stand without a value, and what that means."""
DATA_SETS = "{data sets}"
"""What stands in a help for the names of all data sets."""
_LARGEST = 2**31
"""Bounds beyond it are none that anybody meets."""


class Command(TyperCommand):
    """A command whose help can be read on every terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The command line, on which some options may stand without a value."""
        return super().parse_args(ctx, list(_with_values(args, _BARE.get(self.name or "", {}))))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] SPEC [OTHER]`, as the first line has it."""
        return ["[OPTIONS]", *(_name_of(each) for each in self.get_params(ctx) if not _is_option(each))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options, each with what it takes and what it does."""
        parameters = self.get_params(ctx)
        for title, found in (
            ("Arguments", [each for each in parameters if not _is_option(each)]),
            ("Options", [each for each in parameters if _is_option(each)]),
        ):
            if found:
                with formatter.section(title):
                    formatter.write_dl([(_name_of(each), _help_of(each)) for each in found])

    def get_help(self, ctx: Any) -> str:
        """The help, in letters that the terminal has."""
        return "\n".join(printed(super().get_help(ctx).split("\n")))


def _with_values(arguments: Sequence[str], bare: Mapping[str, str]) -> Iterator[str]:
    """The command line with a value for each option that stands without one."""
    for at, argument in enumerate(arguments):
        yield argument
        if argument in bare and (at + 1 == len(arguments) or arguments[at + 1].startswith("-")):
            yield bare[argument]


def _is_option(parameter: Any) -> bool:
    """Whether a parameter is an option, not an argument."""
    return parameter.param_type_name == "option"


def _name_of(parameter: Any) -> str:
    """`-o, --output FILE`; of an argument `SPEC`, `[OTHER]`, `SPEC...`."""
    if _is_option(parameter):
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        return names if parameter.is_flag else f"{names} {_value_of(parameter)}"
    name = parameter.metavar if parameter.required else f"[{parameter.metavar}]"
    return f"{name}..." if parameter.nargs == -1 else name


def _value_of(parameter: Any) -> str:
    """What an option takes; whoever says nothing of it means a whole number."""
    return parameter.metavar or "N"


def _help_of(parameter: Any) -> str:
    """What a parameter does, its default and its bounds."""
    default = parameter.default
    is_said = (
        default is not None and default is not False and not callable(default) and parameter.show_default is not False
    )
    said = [f"default: {default}"] if is_said else []
    low, high = (_bound_of(parameter, name) for name in ("min", "max"))
    if low is not None and high is not None:
        said.append(f"{low:,} to {high:,}")
    elif low is not None:
        said.append(f"at least {low:,}")
    help = text_of(parameter)
    return f"{help}  [{'; '.join(said)}]" if said else help


def text_of(parameter: Any) -> str:
    """The help of a parameter, with the names of data sets: these are only loaded for a help that needs them."""
    if DATA_SETS not in parameter.help:
        return parameter.help
    from cldfc.data.entries import ENTRIES

    return parameter.help.replace(DATA_SETS, ", ".join(f"`{dataset.name}`" for dataset in ENTRIES))


def _bound_of(parameter: Any, name: str) -> int | None:
    """The smallest or the largest value of an option; where they are depends on the release of typer."""
    found = getattr(parameter, name, getattr(getattr(parameter, "type", None), name, None))
    return found if found is not None and abs(found) < _LARGEST else None


_COMMANDS = (
    *("new", "specs", "check", "explain", "fmt", "compile", "derive", "show", "compare", "verify", "analyse"),
    *("train", "eval", "export", "predict", "runs", "reproduce", "lsp"),
)
"""Each is a file of `cldfc/cli`, and in it the function that carries it out."""
_FUNCTIONS = {"compile": "compile_command", "eval": "evaluate"}
"""The functions that are not called as the command, which is a name of Python's."""


@cache
def load_command(name: str) -> TyperCommand:
    """A command, loaded when it is first asked for: `cldfc show` need not wait for what `train` imports."""
    carry_out = getattr(import_module(f"cldfc.cli.{name}"), _FUNCTIONS.get(name, name))
    paragraph = (carry_out.__doc__ or "").split("\n\n")[0]
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=Command, short_help=" ".join(paragraph.split()))(carry_out)
    return cast(TyperCommand, typer.main.get_command(alone))


class Commands(TyperGroup):
    """The command line, which says in the words of all other errors what is wrong with it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        return load_command(cmd_name) if cmd_name in _COMMANDS else None

    def main(self, *arguments: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run a command, and leave with its exit code where that is not left to the caller."""
        try:
            code = super().main(*arguments, standalone_mode=False, **options)
        except Exception as error:
            if not isinstance(error, _ClickException):
                raise
            code = UsageError.exit_code
            if type(error).__name__ == "NoArgsIsHelpError":
                say(*str(error).splitlines())
            else:
                print_usage_error(_in_own_words(error))
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else FINE)


def _in_own_words(error: Any) -> UsageError:
    """What is wrong with a command line."""
    from pydantic import ValidationError

    message = str(error.format_message())
    context = getattr(error, "ctx", None)
    command = " ".join(["cldfc", *context.command_path.split()[1:]]) if context else "cldfc"
    help = f"`{command} --help` says what can be given"
    if context and (found := re.match(r"No such command '(.*?)'\.", message)):
        known = choices(found[1], _COMMANDS, "the commands are")
        return UsageError(f"there is no command `{found[1]}`", known)
    if context and type(error).__name__ == "NoSuchOption":
        names = [name for each in context.command.params for name in (*each.opts, *each.secondary_opts)]
        close = nearest(error.option_name, names)
        listed = f"`{command} --help` lists its options"
        message = f"`{command}` has no option `{error.option_name}`"
        return UsageError(message, f"did you mean `{close}`? {listed}" if close else listed)
    message = message.rstrip(".")
    message = message[:1].lower() + message[1:].replace("'", "`")
    if isinstance(error.__cause__, ValidationError):
        _, value, reason = first_error(error.__cause__)
        name = error.param.metavar if error.param.param_type_name == "argument" else max(error.param.opts, key=len)
        message = f"`{name}` cannot be {value!r}: {reason}"
    return UsageError(message, help)
