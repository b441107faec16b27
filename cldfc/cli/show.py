"""`cldfc show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.options import Classes, Input, Json, Lets, Ties, errors, spec_argument, switch
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import UsageError
from cldfc.files import write_generated
from cldfc.output import say, show_json_text
from cldfc.show.formats import HELP, check_place, writer_for
from cldfc.syntax.read import read_source


def show(
    specs: Annotated[list[Path], spec_argument("A .cldf file, or a name from `cldfc specs`; or two.", "SPEC [SPEC]")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help=HELP),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            "--width",
            metavar="WIDTH",
            help="Width of the picture, in cm, mm, in, pt or px; lines are broken so that no text is below 6 pt.",
        ),
    ] = None,
    full: Annotated[bool, switch("--full", "Draw every step; fold and leave out nothing.")] = False,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Json = False,
) -> None:
    """Draw a network: levels, steps, skip connections, shared kernels, what sharing saves.

    Draws in the terminal, or to a file: a picture, as wide as a column of a paper if you like, or an .html page to zoom
    and fold.

    Given two specs, draws the second and marks what differs from the first.

    Example: cldfc show fbresnet -o fbresnet.pdf --width 17cm
    """
    with errors():
        if output is not None and as_json:
            raise UsageError("`-o` and `--json` cannot be used together", "write `-o network.json`")
        if output is None and width is not None:
            raise UsageError("`--width` is for a picture in a file", f"write `-o network.pdf --width {width}`")
        if len(specs) > 2 or (len(specs) == 2 and output is None):
            raise UsageError(
                f"{len(specs)} specs cannot be drawn together here",
                "give one, or two with `-o FILE`; `cldfc compare` puts many side by side",
            )
        changes = read_changes(let, tie, input, classes)
        if output is not None:
            from cldfc.show.drawing import read_width

            wide = None if width is None else read_width(width)
            writer_for(output, width=wide)
            check_place(output)
            *others, graph = [Compilation(read_source(spec), changes).simplified for spec in specs]
            write = writer_for(output, full, others[0] if others else None, wide, say)
            write_generated(output, write(graph))
            say(f"written to {output}")
        elif as_json:
            from cldfc.show.json import emit_json

            show_json_text(emit_json(Compilation(read_source(specs[0]), changes).simplified))
        else:
            from cldfc.console import console
            from cldfc.show.terminal import show_network

            graph = Compilation(read_source(specs[0]), changes).simplified
            with console() as shown:
                show_network(graph, shown, full)
