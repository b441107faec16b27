"""`cldfc specs`."""

from __future__ import annotations

import json
from dataclasses import asdict

from cldfc.cli.options import Json, errors


def specs(as_json: Json = False) -> None:
    """List the specs that come with cldfc, with their parameters; every command that takes a SPEC knows their names.

    Example: cldfc specs
    """
    with errors():
        from cldfc.spec import specs as all_specs

        listed = all_specs()
        if as_json:
            print(json.dumps([asdict(one) for one in listed], ensure_ascii=False, indent=2))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, min_width=max(len(one.name) for one in listed))
        table.add_column(no_wrap=True, min_width=max(len(f"{one.params:,}") for one in listed), justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis")
        for one in listed:
            table.add_row(one.name, f"{one.params:,}", one.about)
        Console(highlight=False).print(table)
