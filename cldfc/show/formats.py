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
from cldfc.files import refuse_foreign
from cldfc.network.graph import Graph
from cldfc.show.picture import FORMATS, DrawingOptions, draw
from cldfc.show.width import Width

WRITERS: dict[str, Callable[[Graph], str | bytes]] = {
    ".dot": emit_dot,
    ".json": emit_json,
    ".mmd": emit_mermaid,
    ".tex": emit_latex,
}
"""What writes a network, as the spec has it, to a file with this suffix."""
BINARY = (".png", ".pdf")
"""Formats that nobody edits as a text."""
SIZED = (".svg", ".png", ".pdf")
"""Pictures that have a width."""


def check_place(path: Path) -> None:
    """Raises UsageError unless a network may be written there: over nothing, or over what cldfc wrote."""
    refuse_foreign(path, name=f"network{path.suffix}", is_text=path.suffix.lower() not in BINARY)


def writer_for(
    path: Path,
    is_full: bool = False,
    before: Graph | None = None,
    width: Width | None = None,
    say: Callable[[str], object] = str,
) -> Callable[[Graph], str | bytes]:
    """What writes the file: text, or a picture, in which what differs from the network `before` is marked.

    `say` hears of type that is too small at that `width`. Raises UsageError for a suffix that there is none for, and
    for two networks or a width where they have no meaning.
    """
    suffix, known = path.suffix.lower(), (*FORMATS, *WRITERS)
    if suffix not in known:
        help = f"end its name in one of {', '.join(f'`{format}`' for format in known)}"
        raise UsageError(f"`{path}` names no format that a network can be written in", help)
    if width is not None and suffix not in SIZED:
        reason = "a page, as wide as its window" if suffix in FORMATS else "no picture"
        raise UsageError(f"`{path}` is {reason}", f"a width is for {', '.join(SIZED)}")
    if suffix in FORMATS:
        return partial(draw, format=suffix, wish=DrawingOptions(is_full, before, width, say))
    if before is not None:
        raise UsageError(f"`{suffix}` has no place for two networks", f"name a picture: {', '.join(FORMATS)}")
    return WRITERS[suffix]
