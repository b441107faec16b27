"""`cldfc show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.options import Classes, Input, Lets, SpecPath, Ties, errors
from cldfc.compiler import build
from cldfc.syntax.read import read_source
from cldfc.task import read_task


def show(
    spec: SpecPath,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="A picture: .svg, .png, .pdf or .html.", show_default=False
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Draw every step, however many there are.")] = False,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
) -> None:
    """Draw a network: levels, steps, skip connections, shared kernels, what sharing saves.

    In the terminal, or into a file; an .html page can be zoomed, pointed at and folded.

    Example: cldfc show specs/fbresnet.cldf -o fbresnet.html
    """
    with errors():
        task = read_task(let or (), tie or (), input, classes)
        if output is None:
            from rich.console import Console

            from cldfc.show.terminal import show_network

            show_network(build(read_source(spec), task), Console(highlight=False), full)
        else:
            from cldfc.show.picture import choose_format, write_picture

            choose_format(output)
            write_picture(build(read_source(spec), task), output, full)
