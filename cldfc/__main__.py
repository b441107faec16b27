"""The `cldfc` command, also `python -m cldfc`."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line; a plain `cldfc check SPEC…` without typer, which takes as long as all the rest of it."""
    # pydantic looks through every installed package for plugins, 15 ms at each start; cldfc has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    command, *arguments = sys.argv[1:] or [""]
    if command == "check" and arguments and not any(argument.startswith("-") for argument in arguments):
        from cldfc.check import check_specs

        sys.exit(check_specs([Path(argument) for argument in arguments]))
    from cldfc.cli import app

    app(prog_name="cldfc")


if __name__ == "__main__":
    main()
