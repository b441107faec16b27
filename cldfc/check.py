"""`cldfc check`: says what is wrong with specs, and remarks on what may go wrong. An editor runs it at every save."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cldfc.compilation import AS_WRITTEN, Changes, Compilation
from cldfc.diagnostics import CldfError, Diagnostic, UsageError
from cldfc.library import path_of, specs_in
from cldfc.messages import FINE, print_diagnostics, print_errors, print_usage_error
from cldfc.network.expect import count_params
from cldfc.output import show, show_json
from cldfc.syntax.read import read_source


def check_specs(paths: Sequence[Path], as_json: bool = False, changes: Changes = AS_WRITTEN) -> int:
    """Check specs, print a line for each that is fine and a report on the others; give the exit code.

    Remarks change no exit code.
    """
    found: list[CldfError] = []
    remarks: list[Diagnostic] = []
    try:
        for path in all_specs(paths):
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


def all_specs(paths: Sequence[Path]) -> list[Path]:
    """The specs that are meant, in folders all. Raises UsageError for a folder without any."""
    specs: list[Path] = []
    for path in paths:
        if not os.path.isdir(path) or path_of(path.as_posix()):
            specs.append(path)
        elif found := list(specs_in(path)):
            specs += found
        else:
            raise UsageError(f"there are no specs in `{path}`", "name a .cldf file, or a folder with such files")
    return specs
