"""`cldfc fmt`: rewrites specs in one layout and one spelling."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.options import SpecPaths, errors, switch
from cldfc.diagnostics import CldfError, UsageError
from cldfc.files import write_file
from cldfc.library import find_spec, spec_path
from cldfc.messages import COMMAND_IS_WRONG, FINE, SPEC_IS_WRONG, print_errors, print_usage_error
from cldfc.output import show
from cldfc.syntax.arrange import format_source
from cldfc.syntax.format import Spelling
from cldfc.syntax.read import STANDARD_INPUT, read_source, standard_input


def choose_spelling(unicode: bool, ascii: bool, latex: bool) -> Spelling:
    options: dict[Spelling, bool] = {"unicode": unicode, "ascii": ascii, "latex": latex}
    wanted: list[Spelling] = [spelling for spelling, is_given in options.items() if is_given]
    if len(wanted) > 1:
        given = " and ".join(f"`--{spelling}`" for spelling in wanted)
        raise UsageError(f"{given} cannot be used together", f"give one of them; `--{wanted[0]}`, for instance")
    return wanted[0] if wanted else "unicode"


def _format_specs(paths: Sequence[Path], spelling: Spelling, check_only: bool) -> int:
    code = FINE
    for path in paths:
        try:
            format_one = _format_stream if path == STANDARD_INPUT else _format_file
            changed = format_one(path, spelling, check_only)
        except CldfError as error:
            print_errors(error)
            code = max(code, SPEC_IS_WRONG)
        except UsageError as error:
            print_usage_error(error)
            return COMMAND_IS_WRONG
        else:
            code = max(code, SPEC_IS_WRONG if check_only and changed else FINE)
    return code


def _format_file(path: Path, spelling: Spelling, check_only: bool) -> bool:
    """Format one file; give whether it was, or would be, changed."""
    name, path = path, find_spec(path)
    if path != name and path == spec_path(name.as_posix()):
        raise UsageError(f"`{name}` comes with cldfc, and stays as it is", "name a file of your own")
    text = format_source(read_source(path), spelling)
    # Bytes are compared, because a byte order mark and CRLF are not in the text that was read.
    changed = path.read_bytes() != text.encode()
    if changed and not check_only:
        write_file(path, text)
    if changed:
        show(f"would format {path}" if check_only else f"formatted {path}")
    return changed


def _format_stream(_: Path, spelling: Spelling, check_only: bool) -> bool:
    """Format standard input to standard output; give whether it was, or would be, changed."""
    data = standard_input()
    text = format_source(read_source(STANDARD_INPUT), spelling).encode()
    if not check_only:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    elif text != data:
        show("would format <stdin>")
    return text != data


def fmt(
    specs: SpecPaths,
    unicode: Annotated[bool, switch("--unicode", "Write `σ ∘ A@ℓ`; the default.")] = False,
    ascii: Annotated[bool, switch("--ascii", "Write `sigma . A@l`.")] = False,
    latex: Annotated[bool, switch("--latex", r"Write `\sigma \circ A^{\ell}`.")] = False,
    check_only: Annotated[bool, switch("--check", "Write nothing; exit with 1 if a spec would change.")] = False,
) -> None:
    """Format specs in place, in one of three spellings; `-` formats standard input.

    Example: cldfc fmt specs/*.cldf
    """
    with errors():
        raise typer.Exit(_format_specs(specs, choose_spelling(unicode, ascii, latex), check_only))
