"""The `cldfc` command, also `python -m cldfc`."""

from __future__ import annotations

import os
import signal
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
    catches = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    end_at_ctrl_c(catches)
    from cldfc.cli import app

    if catches:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app(prog_name="cldfc")
    finally:
        end_at_ctrl_c(signal.getsignal(signal.SIGINT) is signal.default_int_handler)


def end_at_ctrl_c(catches: bool) -> None:
    """Let Ctrl-C end the process without a traceback, while modules load and when all is done, if it is caught now."""
    if catches:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
