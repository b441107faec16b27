"""`cldfc show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.compile import refuse_foreign
from cldfc.cli.options import Classes, Input, Json, Lets, SpecPath, Ties, errors
from cldfc.compiler import build
from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.syntax.read import read_source
from cldfc.task import read_task


def show(
    spec: SpecPath,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write .dot, .mmd, .json or .tex.", show_default=False),
    ] = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Json = False,
) -> None:
    """Draw a network: levels, shared kernels, what sharing saves; or write it as Graphviz, Mermaid, JSON or LaTeX.

    Example: cldfc show specs/fbresnet.cldf -o fbresnet.tex
    """
    with errors():
        if output is not None and as_json:
            raise UsageError("`-o` and `--json` contradict each other", "write `-o network.json`")
        task = read_task(let or (), tie or (), input, classes)
        if output is not None:
            from cldfc.show.formats import writer_for

            write = writer_for(output)
            refuse_foreign(output, name=f"network{output.suffix}")
            write_file(output, write(build(read_source(spec), task)))
            print(f"written to {output}", file=sys.stderr)
        elif as_json:
            from cldfc.emit.json import emit_json

            sys.stdout.write(emit_json(build(read_source(spec), task)))
        else:
            from rich.console import Console

            from cldfc.show.terminal import show_network

            show_network(build(read_source(spec), task), Console(highlight=False))
