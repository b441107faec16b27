"""`cldfc check` as typer reads it: its help, and what is wrong with a command; `cldfc.__main__` reads the rest."""

from __future__ import annotations

import typer

from cldfc.cli.options import Classes, Input, Json, Lets, SpecPaths, Ties, errors
from cldfc.compilation import read_changes
from cldfc.messages import check_specs


def check(
    specs: SpecPaths,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Json = False,
) -> None:
    """Check specs for errors.

    Example: cldfc check specs/*.cldf
    """
    with errors():
        raise typer.Exit(check_specs(specs, as_json, read_changes(let, tie, input, classes)))
