"""How wide text is in a picture, a little more rather than less, for every reader has other fonts."""

from __future__ import annotations

from cldfc.show.labels import Label

SIZE, SMALL = 13.0, 9.5
"""Of names, and of tags, marks and shapes, in pixels."""
NARROW, WIDE = frozenset("ijlftrI.,:;|!'()[]1 ·"), frozenset("mwMW@%∘⊕→")


def text_width(text: str, size: float) -> float:
    """The width of a text in DejaVu Sans, the widest of the usual fonts without serifs, in pixels."""
    return size * sum(0.45 if c in NARROW else 1.0 if c in WIDE else 0.68 for c in text)


def label_width(label: Label) -> float:
    """The width of a name with its raised tag and its mark."""
    return text_width(label.name, SIZE) + text_width(label.tag + label.mark, SMALL) + 2 * bool(label.mark)
