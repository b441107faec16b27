"""`cldfc derive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cldfc.changes import read_changes
from cldfc.cli.options import Lets, SpecPath, Ties, errors
from cldfc.compilation import Compilation
from cldfc.files import refuse_foreign, write_generated
from cldfc.output import say, show_document
from cldfc.syntax.read import read_source


def derive(
    spec: SpecPath,
    residual: Annotated[
        bool, typer.Option("--residual", help="The residual form, by Theorem 1; the default.", show_default=False)
    ] = True,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Output file; standard output by default.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Print the derivation, step by step.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Explain as Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Explain as LaTeX.")] = False,
    let: Lets = None,
    tie: Ties = None,
) -> None:
    """Rewrite a spec in residual form: residuals instead of features.

    Example: cldfc derive fbresnet -o fbresnet_residual.cldf
    """
    with errors():
        from cldfc.algebra.residual.write_spec import DERIVED
        from cldfc.derive import EXPLAIN, choose_format, remarks_on_derivation

        format = choose_format(explain, markdown, latex)
        network = Compilation(read_source(spec), read_changes(let, tie))
        text, remarks = network.residual.source.text, list(remarks_on_derivation(network))
        if output is not None and output != "-":
            refuse_foreign(Path(output), DERIVED, f"{spec.stem}_residual.cldf")
            write_generated(Path(output), text, DERIVED)
        elif format is None:
            show_document(text)
        if format is None:
            remarks.append("`--explain` proves it line by line")
        else:
            show_document(EXPLAIN[format](network.derivation))
        say(*remarks)
