"""Statements that differ from an earlier one only in digits within names, as `x6 = relu(x5)` does from `x5 = relu(x4)`:
they have the same tree with other names, at another place.

Taking over a tree takes a fifth of the time of parsing, which is most of the time of `cldfc check`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import cast

from cldfc.diagnostics import Source, Span
from cldfc.syntax import tree
from cldfc.syntax.spelling import canonical_name
from cldfc.syntax.walk import nesting, parts_of

# A word with a digit in it, which is a name or, as `x3` in `3 x3`, only looks like one.
_NUMBERED = re.compile(r"(?<!\w)([^\W\d]\w*[0-9]\w*)")
_DIGITS = str.maketrans("123456789", "0" * 9)
_DEEPEST = 40
"""Levels of a tree that is taken over, by recursion."""

_Pattern = tuple[str | int, ...]
"""The text around the words of a statement that have a digit, these words with 0 for each digit, and which of them are
equal."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A statement as it was read first, and its words that have a digit."""

    statement: tree.Statement
    start: int
    words: tuple[str, ...]


@dataclass
class Recall:
    """The statements of a text that have been read: the first of each pattern."""

    first: dict[_Pattern, _Known] = field(default_factory=dict[_Pattern, _Known])
    fit: dict[_Pattern, bool] = field(default_factory=dict[_Pattern, bool])
    """Whether the others of a pattern can have the tree of the first one, once there is a second."""

    def statement(self, span: Span) -> tree.Statement | None:
        """The tree of the statement at a place; None where it has to be parsed."""
        pattern, words = _pattern_of(span.text)
        known = self.first.get(pattern)
        if known is None:
            return None
        if pattern not in self.fit:
            self.fit[pattern] = _is_all_names(known)
        if not self.fit[pattern]:
            return None
        names = dict(zip(known.words, words, strict=True))
        return cast(tree.Statement, _moved(known.statement, names, span.start - known.start, span.source))

    def keep(self, span: Span, statement: tree.Statement) -> None:
        """Remember a statement that is right; in LaTeX, names are more than words."""
        text = span.text
        if "\\" not in text:
            pattern, words = _pattern_of(text)
            self.first.setdefault(pattern, _Known(statement, span.start, words))


def _pattern_of(text: str) -> tuple[_Pattern, tuple[str, ...]]:
    """The pattern of a statement, and its words that have a digit, as names."""
    parts = _NUMBERED.split(text)
    words, numbers = tuple(map(canonical_name, parts[1::2])), dict[str, int]()
    equal = [numbers.setdefault(word, len(numbers)) for word in words]
    return (*parts[::2], "\n".join(parts[1::2]).translate(_DIGITS), *equal), words


def _is_all_names(known: _Known) -> bool:
    """Whether each word with a digit is a name of the tree: nothing else in the tree depends on these words then."""
    found, seen = Counter[str](), set[int]()
    waiting: list[object] = [known.statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            found[node] += 1
        elif isinstance(node, tuple):
            waiting += cast("tuple[object, ...]", node)
        elif id(node) not in seen:
            seen.add(id(node))
            waiting += [getattr(node, name) for name in parts_of(type(node)) or ()]
    words = Counter(known.words)
    return all(found[word] == count for word, count in words.items()) and nesting(known.statement) <= _DEEPEST


def _moved(node: object, names: Mapping[str, str], by: int, source: Source) -> object:
    """A tree with other names, so many characters further on."""
    if isinstance(node, str):
        return names.get(node, node)
    if isinstance(node, tuple):
        return tuple([_moved(part, names, by, source) for part in cast("tuple[object, ...]", node)])
    kind = type(node)
    fields_of = _fields_of(kind)
    if fields_of is None:
        return node
    parts = [*fields_of(node)]
    for at, part in enumerate(parts):
        if isinstance(part, Span):
            parts[at] = Span(source, part.start + by, part.end + by)
        elif part:  # most are empty
            parts[at] = _moved(part, names, by, source)
    return kind(*parts)


@cache
def _fields_of(kind: type) -> Callable[[object], tuple[object, ...]] | None:
    """What gives all fields of a tree, its places too; None for a class that is not a tree."""
    return attrgetter(*(field.name for field in fields(kind))) if is_dataclass(kind) else None
