"""The `cldfc` command, also `python -m cldfc`."""

from __future__ import annotations

import os
import signal
import sys


def _leave(*_: object) -> None:
    """End the process at once, as Ctrl-C does."""
    os._exit(INTERRUPTED)


INTERRUPTED = 128 + signal.SIGINT
catches_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""Whether Ctrl-C would raise an exception; a shell lets what runs in the background ignore it."""
# Ctrl-C shows no traceback while modules load, so this comes before they do.
if catches_ctrl_c:
    signal.signal(signal.SIGINT, _leave)

import errno  # noqa: E402
import gc  # noqa: E402
from collections.abc import Generator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from threading import Thread  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from cldfc.network.resolve import Changes


def main() -> None:
    """Run the command line; `cldfc check` without typer, which takes as long as all the rest of it."""
    # pydantic looks through every installed package for plugins, 15 ms at each start; cldfc has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    command, *arguments = sys.argv[1:] or [""]
    try:
        with _output_told():
            _run_command(command, arguments)
    finally:
        # Python would look for circles in all that is loaded when it ends: a tenth of `check`, 0.4 s of torch.
        gc.freeze()


def _run_command(command: str, arguments: list[str]) -> None:
    read = _read_check(arguments) if command == "check" else None
    if read is not None:
        from cldfc.messages import check_specs, tell_names

        specs, as_json, changes = read
        tell_names(specs)
        sys.exit(check_specs(specs, as_json, changes))
    from cldfc.processors import load_libraries, prepare_threads

    prepare_threads(on_cores=command in _WITH_CORES)
    if command in _WITHOUT_COLLECTOR:
        gc.disable()
    if command in _WITH_TORCH and not {"--help", "--dry-run"} & {*arguments}:
        Thread(target=load_libraries).start()
    _run_app()


_WITH_TORCH = ("train", "eval", "predict", "export", "verify", "analyse", "reproduce")
"""The commands that load torch, if nothing is wrong."""
_WITH_CORES = ("train", "eval", "reproduce")
"""The commands that compute for long, and say when: `on_own_core`."""
_WITHOUT_COLLECTOR = ("compile", "show")
"""The commands in which Python looks for no circles: they make one network, which is needed to the end."""


def _read_check(arguments: list[str]) -> tuple[list[Path], bool, Changes] | None:
    """The specs of `cldfc check`, whether it prints JSON, and what is changed; None for typer to read, or to refuse."""
    from cldfc.compilation import read_changes
    from cldfc.diagnostics import UsageError

    specs: list[Path] = []
    given: dict[str, list[str]] = {"--let": [], "--tie": [], "--input": [], "--classes": [], "--json": []}
    waiting = iter(arguments)
    for argument in waiting:
        name, sign, value = argument.partition("=")
        if not argument.startswith("-"):
            specs.append(Path(argument))
        elif name not in given or (sign and name == "--json"):
            return None
        else:
            said = value if sign or name == "--json" else next(waiting, None)
            if said is None or (not sign and said.startswith("-")):
                return None
            given[name].append(said)
    inputs, classes = given["--input"], given["--classes"]
    if not specs or any(not (number.isascii() and number.isdecimal() and len(number) < 10) for number in classes):
        return None
    try:
        number = int(classes[-1]) if classes else None
        changes = read_changes(given["--let"], given["--tie"], inputs[-1] if inputs else None, number)
    except UsageError:
        return None
    return specs, bool(given["--json"]), changes


def _run_app() -> None:
    """Run the command line. Ctrl-C ends it by an exception, for files to be tidied up, but shows no traceback."""
    from cldfc.cli import app

    pressed: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    if catches_ctrl_c:
        signal.signal(signal.SIGINT, interrupt)
    try:
        app(prog_name="cldfc")
    except (Exception, KeyboardInterrupt):
        # A module that is interrupted while it loads may say something else.
        if not pressed:
            raise
        sys.exit(INTERRUPTED)
    finally:
        if catches_ctrl_c:
            signal.signal(signal.SIGINT, _leave)


@contextmanager
def _output_told() -> Generator[None]:
    """Leave with an error when the output cannot be written, as on a full disk; quietly when nobody reads it."""
    _open_what_is_closed()
    from cldfc.output import say, spell_what_is_lacking

    spell_what_is_lacking()
    try:
        try:
            yield
        finally:
            # The language server closes it at its end.
            if not sys.stdout.closed:
                sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        # Python tries again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            sys.exit(1)
        say(f"error: the output cannot be written: {error.strerror}", "  = help: make room, or write it elsewhere")
        sys.exit(2)


def _open_what_is_closed() -> None:
    """Let output that the shell has closed go nowhere, and no file that is opened later be taken for it."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w"))


if __name__ == "__main__":
    main()
