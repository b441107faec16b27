"""`%load_ext cldfc`: cells that start with `%%cldf` are specs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cldfc.diagnostics import UsageError
from cldfc.spec import Spec, spec_from_text


class _Shell(Protocol):
    def register_magic_function(self, func: Callable[[str, str], Spec], magic_kind: str, magic_name: str) -> None: ...

    def push(self, variables: dict[str, Spec]) -> None: ...


def load_ipython_extension(shell: _Shell) -> None:
    """Add the cell magic `%%cldf` to IPython; `%load_ext cldfc` calls this."""

    def cldf(line: str, cell: str) -> Spec:
        """Show the network that the cell states; `%%cldf NAME` also keeps it, a `cldfc.Spec`, in a variable."""
        variable = line.strip()
        if variable and not variable.isidentifier():
            help = "write one name, as in `%%cldf network`, or none"
            raise UsageError(f"`{variable}` is not a valid name for a variable", help)
        spec = spec_from_text(cell, "<cell>").check()
        if variable:
            shell.push({variable: spec})
        return spec

    shell.register_magic_function(cldf, "cell", "cldf")
