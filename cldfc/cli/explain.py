"""`cldfc explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from cldfc.cli.options import Json, complete_code, errors
from cldfc.output import show_document, show_json


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE", help="An error code, such as E0302; lists all if omitted.", autocompletion=complete_code
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain an error: what it means, with a wrong and a right example.

    Example: cldfc explain E0302
    """
    with errors():
        from cldfc.error_pages import explain_code, explanations_as_data

        if as_json:
            show_json(explanations_as_data(code))
        else:
            show_document(explain_code(code) + "\n")
