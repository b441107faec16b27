"""The files that a network can be written to, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cldfc.diagnostics import UsageError, did_you_mean
from cldfc.emit.dot import emit_dot
from cldfc.emit.json import emit_json
from cldfc.emit.latex import emit_latex
from cldfc.emit.mermaid import emit_mermaid
from cldfc.network.graph import Graph

WRITERS: dict[str, Callable[[Graph], str | bytes]] = {
    ".dot": emit_dot,
    ".json": emit_json,
    ".mmd": emit_mermaid,
    ".tex": emit_latex,
}
"""What writes a network, as the spec has it, to a file with this suffix."""


def writer_for(path: Path) -> Callable[[Graph], str | bytes]:
    """What writes the file. Raises UsageError for a suffix that there is none for."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        help = did_you_mean(suffix, WRITERS, f"the suffix says what is written: {', '.join(WRITERS)}")
        raise UsageError(f"`{path}` names no format that a network can be written in", help)
    return WRITERS[suffix]
