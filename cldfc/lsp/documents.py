"""The open documents, each with the last text of it that was right, which answers while it is broken."""

from __future__ import annotations

from dataclasses import dataclass, field

from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.network.names import Names


@dataclass
class Document:
    """An open document: what becomes of its text, and of the last one without errors."""

    current: Compilation
    good: Compilation | None = None

    @property
    def known(self) -> Compilation:
        return self.good or self.current

    def names(self, name: str) -> Names:
        """What names stand for, by the text that knows this one, if any does."""
        knows = name in self.current.names.declared or self.current.names.arities(name)
        return self.current.names if knows else self.known.names


@dataclass
class Documents:
    open: dict[str, Document] = field(default_factory=dict[str, Document])

    def read(self, uri: str, source: Source, is_stale: bool = False) -> Document:
        """The document with this text; compiled anew when that has changed, or what it extends (`is_stale`)."""
        before = self.open.get(uri)
        if before is not None and before.current.source == source and not is_stale:
            return before
        current = Compilation(source)
        self.open[uri] = Document(current, current if current.is_right else before and before.good)
        return self.open[uri]
