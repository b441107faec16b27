"""`cldfc explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from cldfc.cli.options import errors


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="Such as E0302; without it, all.", show_default=False)
    ] = None,
) -> None:
    """Explain an error: what it means, with a wrong and a right example.

    Example: cldfc explain E0302
    """
    with errors():
        from cldfc.explain import explain_code

        print(explain_code(code))
