"""The command line that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from cldfc.output import is_unicode, printable


def command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """`cldfc` with some arguments, as a shell reads it; started by torchrun where the environment says so."""
    # What stands in a record must be UTF-8.
    arguments = [argument if is_unicode(argument) else printable(argument) for argument in arguments]
    said = environment.get("WORLD_SIZE", "1")
    processes = int(said) if said.isdecimal() else 1
    if processes == 1:
        return shlex.join(["cldfc", *arguments])
    said = environment.get("LOCAL_WORLD_SIZE", "")
    local = int(said) if said.isdecimal() else processes
    machines = ["--nnodes", str(processes // local)] if processes > local else []
    return shlex.join(["torchrun", *machines, "--nproc-per-node", str(local), "-m", "cldfc", *arguments])
