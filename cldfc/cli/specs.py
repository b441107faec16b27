"""`cldfc specs`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from cldfc.cli.options import Json, complete_bundled, errors
from cldfc.output import printed, show, show_document, show_json


def specs(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this bundled spec.", autocompletion=complete_bundled)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the bundled specs with their parameter counts; every command that takes a SPEC accepts these names.

    Example: cldfc specs preact18_Al
    """
    with errors():
        from cldfc.spec import bundled
        from cldfc.spec import specs as all_specs

        if name is not None:
            one, text = bundled(name)
            if as_json:
                show_json(asdict(one))
            else:
                show_document(text)
            return
        listed = all_specs()
        if as_json:
            show_json([asdict(one) for one in listed])
            return
        from cldfc.console import Console

        rows = [("name", "parameters", "what it is"), *((one.name, f"{one.params:,}", one.about) for one in listed)]
        names, counts, whats = zip(*rows, strict=True)
        widths = max(map(len, names)), max(map(len, counts))
        room = max(Console(sys.stdout).width - sum(widths) - 4, 1) if sys.stdout.isatty() else sys.maxsize
        abouts, (end,) = printed(whats), printed("…")
        for name, count, about in zip(names, counts, abouts, strict=True):
            clipped = about if len(about) <= room else about[: max(room - len(end), 0)] + end
            show(f"{name:{widths[0]}}  {count:>{widths[1]}}  {clipped}")
