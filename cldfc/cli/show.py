"""`cldfc show`."""

from __future__ import annotations

from cldfc.cli.options import Classes, Input, Lets, SpecPath, Ties, errors
from cldfc.compiler import build
from cldfc.syntax.read import read_source
from cldfc.task import read_task


def show(spec: SpecPath, let: Lets = None, tie: Ties = None, input: Input = None, classes: Classes = None) -> None:
    """Draw a network in the terminal: levels, shared kernels, what sharing saves.

    Example: cldfc show specs/fbresnet.cldf
    """
    with errors():
        from rich.console import Console

        from cldfc.show.terminal import show_network

        task = read_task(let or (), tie or (), input, classes)
        show_network(build(read_source(spec), task), Console(highlight=False))
