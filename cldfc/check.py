"""`cldfc check`: says what is wrong with specs. The command that an editor runs at every save."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cldfc.compiler import analyse
from cldfc.diagnostics import CldfError, UsageError
from cldfc.render import plain_text, render
from cldfc.syntax.read import read_source

FINE, SPEC_IS_WRONG, COMMAND_IS_WRONG = 0, 1, 2


def check_specs(paths: Sequence[Path], as_json: bool = False) -> int:
    """Check specs, print a line for each that is fine and a report on the others; give the exit code."""
    found: list[CldfError] = []
    try:
        for path in paths:
            try:
                inferred = analyse(read_source(path))
            except CldfError as error:
                found.append(error)
                continue
            if not as_json:
                stored = sum(parameter.count() for parameter in inferred.parameters.values())
                print(f"{path}: {inferred.expansion.program.model}, {stored:,} parameters")
    except UsageError as error:
        print_usage_error(error)
        return COMMAND_IS_WRONG
    if as_json:
        print_json(found)
    else:
        for error in found:
            print_errors(error)
    return SPEC_IS_WRONG if found else FINE


def print_json(found: Sequence[CldfError]) -> None:
    """All diagnostics as a JSON list."""
    import json

    print(json.dumps([d.as_data() for error in found for d in error.diagnostics], ensure_ascii=False, indent=2))


def print_usage_error(error: UsageError) -> None:
    """What is wrong with the command line, a file or a folder."""
    print(f"error: {error.message}\n  = help: {error.help}", file=sys.stderr)


def print_errors(error: CldfError) -> None:
    """Diagnostics to standard error, in colour on a terminal."""
    lines = list(render(error.diagnostics))
    if not sys.stderr.isatty():
        sys.stderr.write(plain_text(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)
