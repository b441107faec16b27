"""`%load_ext cldfc`: cells that start with `%%cldf` are specs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cldfc.diagnostics import UsageError
from cldfc.spec import Spec, read_text


class Shell(Protocol):
    """What is needed of IPython's shell."""

    def register_magic_function(self, func: Callable[[str, str], Spec], magic_kind: str, magic_name: str) -> None:
        """Give a name to a cell magic."""

    def push(self, variables: dict[str, Spec]) -> None:
        """Set variables."""


def load_ipython_extension(shell: Shell) -> None:
    """Add the cell magic `%%cldf` to IPython; `%load_ext cldfc` calls this."""

    def cldf(line: str, cell: str) -> Spec:
        """Show the network that the cell states; `%%cldf NAME` also keeps it, a `cldfc.Spec`, in a variable."""
        return run_cell(shell, line, cell)

    shell.register_magic_function(cldf, "cell", "cldf")


def run_cell(shell: Shell, line: str, cell: str) -> Spec:
    """The spec in a cell. Raises CldfError when it is wrong, UsageError when the line is no name."""
    variable = line.strip()
    if variable and not variable.isidentifier():
        raise UsageError(f"`{variable}` is no name for a variable", "write one name, as in `%%cldf network`, or none")
    spec = read_text(cell, "<cell>").check()
    if variable:
        shell.push({variable: spec})
    return spec
