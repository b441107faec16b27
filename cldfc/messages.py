"""What every command prints when something is wrong, and its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cldfc.diagnostics import CldfError, Diagnostic, UsageError
from cldfc.library import remark_on
from cldfc.output import encoding_of, say
from cldfc.render import plain_text, render

FINE, SPEC_IS_WRONG, COMMAND_IS_WRONG, RESULT_DIFFERS = 0, CldfError.exit_code, UsageError.exit_code, 3


def tell_names(specs: Iterable[Path]) -> None:
    for path in specs:
        if remark := remark_on(path):
            say(f"remark: {remark}")


def print_usage_error(error: UsageError) -> None:
    say(*error.lines)


def print_errors(error: CldfError, is_last: bool = True) -> None:
    print_diagnostics(error.diagnostics, is_last)


def print_diagnostics(diagnostics: Sequence[Diagnostic], is_last: bool = True) -> None:
    """Errors or remarks to standard error, in colour on a terminal; nothing where there are none."""
    lines = list(render(diagnostics, is_last, encoding_of(sys.stderr))) if diagnostics else []
    if not sys.stderr.isatty():
        say(*plain_text(lines).splitlines())
        return
    from rich.text import Text

    from cldfc.console import Console

    console = Console(sys.stderr)
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)
