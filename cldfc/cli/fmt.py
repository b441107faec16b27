"""`cldfc fmt`."""

from __future__ import annotations

from typing import Annotated

import typer

from cldfc.cli.options import SpecPaths, errors


def fmt(
    specs: SpecPaths,
    unicode: Annotated[bool, typer.Option("--unicode", help="Write `σ ∘ A@ℓ`; the default.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="Write `sigma . A@l`.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help=r"Write `\sigma \circ A^{\ell}`.")] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a spec would change.")
    ] = False,
) -> None:
    """Format specs in place, in one of three spellings; `-` formats standard input.

    Example: cldfc fmt specs/*.cldf
    """
    with errors():
        from cldfc.fmt import choose_spelling, format_specs

        raise typer.Exit(format_specs(specs, choose_spelling(unicode, ascii, latex), check_only))
