"""`cldfc new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.completion import complete_spec
from cldfc.cli.options import errors
from cldfc.output import say


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the network.")],
    origin: Annotated[
        Path | None,
        typer.Option("--from", metavar="SPEC", help="Start from this spec instead.", autocompletion=complete_spec),
    ] = None,
) -> None:
    """Write NAME.cldf, a commented spec to start from; never overwrites a file.

    Example: cldfc new MyNet --from preact18_Al
    """
    with errors():
        from cldfc.library import remark_on
        from cldfc.new import write_new

        path = write_new(name, origin)
        if remark := remark_on(path.with_suffix("")):
            say(f"remark: {remark}")
        say(f"written to {path}; next: cldfc show {path}")
