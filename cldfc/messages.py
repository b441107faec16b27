"""What every command prints when something is wrong, and its exit codes; `check_specs`, which prints nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cldfc.compilation import AS_WRITTEN, Compilation
from cldfc.diagnostics import CldfError, Diagnostic, UsageError, plain_text, render
from cldfc.library import remark_on, spec_path, specs_in
from cldfc.network.cost import count_params
from cldfc.network.resolve import Changes
from cldfc.output import encoding_of, say, show, show_json
from cldfc.syntax.read import read_source

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


def check_specs(paths: Sequence[Path], as_json: bool = False, changes: Changes = AS_WRITTEN) -> int:
    """Check specs, print a line for each that is fine and a report on the others; give the exit code.

    Remarks change no exit code.
    """
    found: list[CldfError] = []
    remarks: list[Diagnostic] = []
    try:
        for path in _all_specs(paths):
            try:
                network = Compilation(read_source(path), changes)
                inferred = network.shapes
            except CldfError as error:
                found.append(error)
                continue
            if not as_json:
                show(f"{path}: {inferred.expansion.program.model}, {count_params(inferred):,} parameters")
            remarks += network.diagnostics
    except UsageError as error:
        print_usage_error(error)
        return error.exit_code
    if as_json:
        errors = [diagnostic for error in found for diagnostic in error.diagnostics]
        show_json([diagnostic.as_data() for diagnostic in (*errors, *remarks)])
    else:
        print_diagnostics(remarks, is_last=not found)
        for error in found:
            print_errors(error, is_last=error is found[-1])
    return max((error.exit_code for error in found), default=FINE)


def _all_specs(paths: Sequence[Path]) -> list[Path]:
    """The specs that are meant, in folders all. Raises UsageError for a folder without any."""
    specs: list[Path] = []
    for path in paths:
        if not os.path.isdir(path) or spec_path(path.as_posix()):
            specs.append(path)
        elif found := list(specs_in(path)):
            specs += found
        else:
            raise UsageError(f"there are no specs in `{path}`", "name a .cldf file, or a folder with such files")
    return specs
