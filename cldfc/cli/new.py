"""`cldfc new`."""

from __future__ import annotations

from typing import Annotated

import typer

from cldfc.cli.options import errors
from cldfc.output import say


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the network.", show_default=False)],
) -> None:
    """Write NAME.cldf, a commented spec to start from; never overwrites a file.

    Example: cldfc new MyNet
    """
    with errors():
        from cldfc.new import write_new

        path = write_new(name)
        say(f"written to {path}; next: cldfc show {path}")
