"""What every command prints when something is wrong, and its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cldfc.diagnostics import CldfError, Diagnostic, UsageError
from cldfc.render import plain_text, render

FINE, SPEC_IS_WRONG, COMMAND_IS_WRONG, RESULT_DIFFERS = 0, CldfError.exit_code, UsageError.exit_code, 3


def say(line: str) -> None:
    """Print a line that is no result, at once."""
    print(line, file=sys.stderr, flush=True)


def print_usage_error(error: UsageError) -> None:
    """What is wrong with the command line, a file or a folder."""
    print(error, file=sys.stderr)


def print_errors(error: CldfError, is_last: bool = True) -> None:
    """Errors to standard error, in colour on a terminal."""
    print_diagnostics(error.diagnostics, is_last)


def print_diagnostics(diagnostics: Sequence[Diagnostic], is_last: bool = True) -> None:
    """Errors or remarks to standard error, in colour on a terminal; nothing where there are none."""
    lines = list(render(diagnostics, is_last)) if diagnostics else []
    if not sys.stderr.isatty():
        sys.stderr.write(plain_text(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)
