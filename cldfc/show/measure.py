"""How wide text is in a picture: the same on every machine, whatever fonts it has."""

from __future__ import annotations

from pathlib import Path

from cldfc.show.labels import BoxLabel

SIZE, SMALL = 13.0, 10.0
"""Of names, and of tags, marks and sizes, in pixels."""
FONTS = {
    style: Path(__file__).parent / "fonts" / f"{name}.ttf"
    for style, name in {"normal": "DejaVuSans", "italic": "DejaVuSans-Oblique"}.items()
}
"""The fonts that pictures are measured with, and drawn with where cldfc draws the letters itself."""
ADVANCES = {
    28: "'ijl", 30: "IJ", 32: " ,.·‘’", 34: "/:;\\|ι", 36: "f", 38: "-", 40: "()[]t⌈⌉⌊⌋", 42: "!r²³₁₂ℓ", 46: "\"",
    48: "ℐ", 50: "*_`§–∥", 52: "“”", 54: "?sz", 56: "LcΓεζνξ", 58: "Fkυ", 60: "vxyγκλχ•",
    62: "PTYaeoδθπτℰ─━│┃┌┐└┘├┤┬┴┼╭╮╯╰╴╶╸╺", 64: "$0123456789ESbdghnpqu{}ΞΣβημρσ∘√", 66: "Kαφψ", 70: "ABCRVXZΔΛ",
    74: "Uℒ𝒞", 76: "HNΠ𝒢", 78: "&DGΩ𝒮", 80: "OQΘΦΨℛℬℱ𝒪", 82: "w𝒥𝒵", 84: "#+<=>^~±×ω←↑→↓↔−∞≠≤≥⊕⊗⊙𝒬", 86: "𝒫",
    88: "M", 94: "𝒟", 96: "%■𝒦𝒳", 98: "m𝒱", 100: "@W—…ℋ⋮⋯𝒰𝒴", 104: "\ufffd𝒯", 108: "ℳ𝒜", 112: "𝒩", 126: "𝒲",
}  # fmt: skip
"""Letters by their width in these fonts, in hundredths of the size, rounded up to an even number."""
WIDTHS = {letter: width / 100 for width, letters in ADVANCES.items() for letter in letters}


def text_width(text: str, size: float) -> float:
    """The width of a text in pixels."""
    return size * sum(WIDTHS.get(letter, 1.0) for letter in text)


def label_width(label: BoxLabel) -> float:
    return text_width(label.name, SIZE) + text_width(label.tag + label.mark, SMALL) + 2 * bool(label.mark)
