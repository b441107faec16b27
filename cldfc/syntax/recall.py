"""Statements that differ from an earlier one only in digits within names, as `x6 = relu(x5)` does from `x5 = relu(x4)`:
they have the same tree with other names, at another place.

Taking over a tree takes a tenth of the time of parsing, which is most of the time of `cldfc check`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, cast

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


Copier = Callable[[Sequence[object], Source, int], Any]
"""What makes copies of an object, with other parts, in a source, so many characters further on."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A statement as it was read first, and its words that have a digit."""

    statement: tree.Statement
    span: Span
    words: tuple[str, ...]


@dataclass
class Recall:
    """The statements of a text that have been read: the first of each pattern."""

    first: dict[_Pattern, _Known] = field(default_factory=dict[_Pattern, _Known])
    copiers: dict[_Pattern, Copier | None] = field(default_factory=dict[_Pattern, "Copier | None"])
    """What makes the others of a pattern, once there is a second; None if these do not have the tree of the first."""

    def statement(self, span: Span) -> tree.Likeness | None:
        """The statement at a place, if it is like an earlier one; None where it has to be parsed."""
        pattern, words = _pattern_of(span.text)
        known = self.first.get(pattern)
        if known is None:
            return None
        if pattern not in self.copiers:
            is_fit = _is_all_names(known)
            self.copiers[pattern] = copier(known.statement, known.words, known.span, is_dataclass) if is_fit else None
        copy = self.copiers[pattern]
        if copy is None:
            return None
        by = span.start - known.span.start
        statement = copy(words, span.source, by)
        return tree.Likeness(statement, known.statement, known.span, known.words, words, by)

    def keep(self, span: Span, statement: tree.Statement) -> None:
        """Remember a statement that is right; in LaTeX, names are more than words."""
        text = span.text
        if "\\" not in text:
            pattern, words = _pattern_of(text)
            self.first.setdefault(pattern, _Known(statement, span, words))


def _pattern_of(text: str) -> tuple[_Pattern, tuple[str, ...]]:
    """The pattern of a statement, and its words that have a digit, as names."""
    parts = _NUMBERED.split(text)
    words, numbers = tuple([_canonical(word) for word in parts[1::2]]), dict[str, int]()
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


def _canonical(word: str) -> str:
    """The canonical name of a word; digits at its end change nothing before them, but make `l` a name like others."""
    stem = word.rstrip("0123456789")
    return (stem if stem == "l" else canonical_name(stem)) + word[len(stem) :]


def copier(original: object, words: Sequence[object], place: Span, is_part: Callable[[type], bool]) -> Copier:
    """What makes copies of an object with others in place of `words`, and of objects; only spans within `place` move.

    `is_part` tells the classes of what is copied from those of what is shared. What is equal only to itself stays one
    object where it stands several times.

    A span that stands in a word, which is a statement then, is taken from there: `w[0].left.span`.

    It is a Python expression, because it is computed for each statement: for `x5` at 0..2
    `Symbol(w[0], k0, Span(s, 0 + b, 2 + b), k0)`, where w are the words, s is the source, b how far it moves, and k0 an
    object that does not change.
    """
    at = {word if isinstance(word, str) else id(word): number for number, word in enumerate(words)}
    spans = dict(found for number, word in enumerate(words) for found in _spans_in(word, f"w[{number}]"))
    known: dict[str, object] = {"Span": Span}
    constants: dict[int, str] = {}
    copied: dict[int, str] = {}

    def constant(node: object) -> str:
        name = constants.setdefault(id(node), f"k{len(constants)}")
        known[name] = node
        return name

    def written(node: object) -> str:
        found = at.get(node if isinstance(node, str) else id(node))
        if found is not None:
            return f"w[{found}]"
        if (
            isinstance(node, Span)
            and node.source is place.source
            and place.start <= node.start <= node.end <= place.end
        ):
            return spans.get((node.start, node.end)) or f"Span(s, {node.start} + b, {node.end} + b)"
        if isinstance(node, tuple):
            members = cast("tuple[object, ...]", node)
            parts = [written(part) for part in members]
            return constant(members) if all(part in known for part in parts) else f"({', '.join(parts)},)"
        if id(node) in copied:
            return copied[id(node)]
        kind = type(node)
        is_shared = isinstance(node, Span) or not is_part(kind)
        parts = [] if is_shared else [written(getattr(node, name)) for name in _arguments_of(kind)]
        if all(part in known for part in parts):
            return constant(node)
        known[kind.__name__] = kind
        made = f"{kind.__name__}({', '.join(parts)})"
        if kind.__eq__ is object.__eq__:
            copied[id(node)] = f"v{len(copied)}"
            return f"({copied[id(node)]} := {made})"
        return made

    return eval(f"lambda w, s, b: {written(original)}", known)


def _spans_in(node: object, path: str) -> Iterator[tuple[tuple[int, int], str]]:
    """The spans in a statement, each with the expression that finds it there."""
    if isinstance(node, Span):
        yield (node.start, node.end), path
    elif isinstance(node, tuple):
        for at, part in enumerate(cast("tuple[object, ...]", node)):
            yield from _spans_in(part, f"{path}[{at}]")
    elif is_dataclass(node):
        for name in _arguments_of(type(node)):
            yield from _spans_in(getattr(node, name), f"{path}.{name}")


@cache
def _arguments_of(kind: type) -> tuple[str, ...]:
    """The fields that an object is made of, its place too."""
    return tuple(field.name for field in fields(kind) if field.init)
