"""What two specs say differently: statements matched by what they define, and compared as trees."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from cldfc.syntax import tree
from cldfc.syntax.format import format_statement
from cldfc.syntax.read import head_of
from cldfc.syntax.spelling import BRACED, INDEX, PLAIN_NAME

_SYMBOL = re.compile(
    rf"{PLAIN_NAME}(?:@(?:{BRACED}|{INDEX}(?:,{INDEX})*))?|[*][_^][0-9]+|[0-9][0-9_]*(?:[.][0-9]+)?(?:e[+-]?[0-9]+)?|\S"
)
_ALIKE = 0.5
"""Of statements that have less than this in common, no symbols are named."""
_MOST_SYMBOLS = 500
"""Nor of longer ones, which take a time that grows faster than they do."""

Piece = tuple[str, bool]
"""A part of a statement's text, and whether the other statement has another one there."""


@dataclass(frozen=True, slots=True)
class Change:
    """A statement as each of two specs has it; None where one of them has none."""

    before: tree.Statement | None
    after: tree.Statement | None

    def texts(self) -> tuple[str | None, str | None]:
        before, after = (None if s is None else format_statement(s) for s in (self.before, self.after))
        return before, after

    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Both in pieces, with what differs marked; of a statement that stands alone, nothing is."""
        before, after = (text or "" for text in self.texts())
        found = _replacements(before, after)
        old, new = [one for one, _ in found], [other for _, other in found]
        return list(_marked_pieces(before, old)), list(_marked_pieces(after, new))

    def symbols(self) -> list[tuple[str, str]]:
        """What stands for what, each pair once: `A@ℓ,i` and `A@ℓ`. One side is empty where something was left out.

        Parentheses alone are no symbol.
        """
        before, after = (text or "" for text in self.texts())
        pairs = [(_balanced(before[old]), _balanced(after[new])) for old, new in _replacements(before, after)]
        return list(dict.fromkeys(pair for pair in pairs if any(pair)))


def compare_trees(before: tree.Tree, after: tree.Tree) -> list[Change]:
    """The statements that two specs do not share, in the order of the first; those that only the second has come last.

    Order, spelling, layout, `cldf`, the model's name and `expect` make no difference.
    """
    old, new = _unshared(before, after), _unshared(after, before)
    partners: dict[int, int] = {}
    for same in (head_of, _left_of):
        _match_statements(old, new, same, partners)
    taken = set(partners.values())
    changes = [Change(s, new[partners[at]] if at in partners else None) for at, s in enumerate(old)]
    return changes + [Change(None, s) for at, s in enumerate(new) if at not in taken]


def _unshared(spec: tree.Tree, other: tree.Tree) -> list[tree.Statement]:
    known = Counter(other.statements)
    known.subtract(spec.statements)
    left = Counter({statement: -count for statement, count in known.items() if count < 0})
    statements: list[tree.Statement] = []
    for statement in spec.statements:
        if left[statement] > 0 and not isinstance(statement, tree.Version | tree.Model | tree.Expect):
            left[statement] -= 1
            statements.append(statement)
    return statements


def _left_of(statement: tree.Statement) -> Hashable:
    """What two statements define, whatever their range."""
    return statement.left if isinstance(statement, tree.Equation) else head_of(statement)[:2]


def _match_statements(
    old: Sequence[tree.Statement],
    new: Sequence[tree.Statement],
    same: Callable[[tree.Statement], Hashable],
    partners: dict[int, int],
) -> None:
    """Enter, for statements without a partner, the first of the others that is the same in this respect."""
    taken = set(partners.values())
    waiting: dict[Hashable, list[int]] = {}
    for at, statement in enumerate(new):
        if at not in taken:
            waiting.setdefault(same(statement), []).append(at)
    for at, statement in enumerate(old):
        if at not in partners and (places := waiting.get(same(statement))):
            partners[at] = places.pop(0)


def _replacements(before: str, after: str) -> list[tuple[slice, slice]]:
    """Where two texts differ, symbol by symbol; nothing when they have little in common."""
    old, new = list(_SYMBOL.finditer(before)), list(_SYMBOL.finditer(after))
    if not old or not new or max(len(old), len(new)) > _MOST_SYMBOLS:
        return []
    matcher = SequenceMatcher(None, [m.group() for m in old], [m.group() for m in new], autojunk=False)
    if matcher.ratio() < _ALIKE:
        return []
    codes = (code for code in matcher.get_opcodes() if code[0] != "equal")
    return [(_stretch(old[i:j]), _stretch(new[k:m])) for _, i, j, k, m in codes]


def _stretch(matches: Sequence[re.Match[str]]) -> slice:
    """The part of a text that some neighbouring symbols take."""
    return slice(matches[0].start(), matches[-1].end()) if matches else slice(0, 0)


def _balanced(text: str) -> str:
    """A part of an expression without a parenthesis at its end that is closed, or opened, outside of it."""
    return text if text.count("(") == text.count(")") else text.rstrip("(").lstrip(")")


def _marked_pieces(text: str, marked: Iterable[slice]) -> Iterator[Piece]:
    """A text in pieces, in turn as it is and marked."""
    at = 0
    for part in marked:
        if part.stop > part.start:
            if at < part.start:
                yield text[at : part.start], False
            yield text[part], True
            at = part.stop
    if at < len(text):
        yield text[at:], False
