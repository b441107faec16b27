"""The files that a network can be written to, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.emit.dot import emit_dot
from cldfc.emit.json import emit_json
from cldfc.emit.latex import emit_latex
from cldfc.emit.mermaid import emit_mermaid
from cldfc.network.graph import Graph
from cldfc.show.picture import FORMATS, draw

WRITERS: dict[str, Callable[[Graph], str | bytes]] = {
    ".dot": emit_dot,
    ".json": emit_json,
    ".mmd": emit_mermaid,
    ".tex": emit_latex,
}
"""What writes a network, as the spec has it, to a file with this suffix."""


def writer_for(path: Path, is_full: bool = False, before: Graph | None = None) -> Callable[[Graph], str | bytes]:
    """What writes the file: text, or a picture, in which what differs from the network `before` is marked.

    Raises UsageError for a suffix that there is none for, and for two networks in what is no picture.
    """
    suffix, known = path.suffix.lower(), (*FORMATS, *WRITERS)
    if suffix not in known:
        help = f"end its name in one of {', '.join(f'`{format}`' for format in known)}"
        raise UsageError(f"`{path}` names no format that a network can be written in", help)
    if suffix in FORMATS:
        return partial(draw, format=suffix, is_full=is_full, before=before)
    if before is not None:
        raise UsageError(f"`{suffix}` has no place for two networks", f"name a picture: {', '.join(FORMATS)}")
    return WRITERS[suffix]
