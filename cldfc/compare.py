"""`cldfc compare`: networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.compilation import Changes, Compilation
from cldfc.diagnostics import CldfError, Diagnostic, error_of
from cldfc.syntax.read import read_source

if TYPE_CHECKING:
    from cldfc.network.graph import Graph
    from cldfc.show.comparison import Comparison


def compare_specs(paths: Sequence[Path], changes: Changes) -> Comparison:
    """The networks of some specs side by side, as they are written.

    Raises CldfError, with what is wrong in any of them, and UsageError.
    """
    from cldfc.show.comparison import compare_networks

    graphs: list[Graph] = []
    wrong: dict[Diagnostic, None] = {}
    for path in paths:
        try:
            graphs.append(Compilation(read_source(path), changes).written)
        except CldfError as error:
            wrong |= dict.fromkeys(error.diagnostics)
    if wrong:
        raise error_of([*wrong])
    return compare_networks([str(path) for path in paths], graphs)
