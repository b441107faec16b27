"""`cldfc explain`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cldfc.cli.completion import complete_code
from cldfc.cli.options import Json, errors


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE", help="Such as E0302; without it, all.", autocompletion=complete_code, show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain an error: what it means, with a wrong and a right example.

    Example: cldfc explain E0302
    """
    with errors():
        from cldfc.explain import explain_code, explanations_as_data

        if as_json:
            print(json.dumps(explanations_as_data(code), ensure_ascii=False, indent=2))
        else:
            print(explain_code(code))
