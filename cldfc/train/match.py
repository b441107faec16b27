"""Which group of another state dict is which of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cldfc.train.dataflow import Use
from cldfc.train.groups import Group, Signature

MOST_TRIES = 200_000
"""After so many the search gives up; a network that fits takes about one for each group."""
TAG = re.compile(r"[0-9]+(?:_[0-9]+)*")


@dataclass
class Match:
    """An order of our groups, by number, in which they are theirs one after the other.

    When there is none, `reached` is how many of theirs found a place at best, and `ready` which of
    ours could have come next.
    """

    taken: list[int] = field(default_factory=list[int])
    fits: bool = False
    reached: int = -1
    ready: list[int] = field(default_factory=list[int])


class Flow:
    """Our groups as they are taken: which are ready, for all that they need has been taken.

    `early` are those that may also be taken before, in the order in which they are tried.
    """

    def __init__(self, uses: Sequence[Use], early: Sequence[int] = ()) -> None:
        self.early = early
        self.taken: set[int] = set()
        number = {use.group: at for at, use in enumerate(uses)}
        self.followers: list[list[int]] = [[] for _ in uses]
        self.missing = [len(use.after) for use in uses]
        for at, use in enumerate(uses):
            for group in use.after:
                self.followers[number[group]].append(at)
        self.ready = {at for at, count in enumerate(self.missing) if not count}

    def take(self, at: int) -> None:
        """Take a group."""
        self.ready.discard(at)
        self.taken.add(at)
        for follower in self.followers[at]:
            self.missing[follower] -= 1
            if not self.missing[follower] and follower not in self.taken:
                self.ready.add(follower)

    def put_back(self, at: int) -> None:
        """Undo the last `take`."""
        for follower in self.followers[at]:
            if not self.missing[follower]:
                self.ready.discard(follower)
            self.missing[follower] += 1
        self.taken.remove(at)
        if not self.missing[at]:
            self.ready.add(at)

    def candidates(self) -> list[int]:
        """What may be taken next, what is ready first."""
        return [*sorted(self.ready), *(at for at in self.early if at not in self.taken | self.ready)]


def match_order(
    theirs: Sequence[Signature], ours: Sequence[Signature], uses: Sequence[Use], early: Sequence[int] = ()
) -> Match:
    """A topological order of our groups that has their signatures, in the order of theirs.

    Of several groups that are ready and alike it takes the one that is used first; where that leads
    nowhere, it goes back and takes the next, and then those of `early` that are not ready.
    """
    flow, match = Flow(uses, early), Match()
    choices = [open_choice(theirs, ours, flow, match)]
    for _ in range(MOST_TRIES):
        at = next(choices[-1], None)
        if at is not None:
            flow.take(at)
            match.taken.append(at)
            choices.append(open_choice(theirs, ours, flow, match))
        elif len(match.taken) == len(theirs) == len(ours):
            match.fits = True
            break
        elif match.taken:
            choices.pop()
            flow.put_back(match.taken.pop())
        else:
            break
    return match


def open_choice(theirs: Sequence[Signature], ours: Sequence[Signature], flow: Flow, match: Match) -> Iterator[int]:
    """Which of our groups may stand for the next of theirs; notes how far the search has come."""
    place = len(match.taken)
    if place > match.reached:
        match.reached, match.ready = place, sorted(flow.ready)
    wanted = theirs[place] if place < len(theirs) else None
    return iter([at for at in flow.candidates() if ours[at] == wanted])


def match_tables(theirs: Sequence[Group], ours: Sequence[Group]) -> list[tuple[Group, Group]] | None:
    """Pairs by the tags of generated names, `B.2_1`; None unless every table of theirs is one of ours.

    A table is what has one name: B for all its tags. Two tables are the same if their tags and
    shapes are; of several that are, the one of the same name, or the only one that is left.
    """
    tables, own_tables = read_tables(theirs), read_tables(ours)
    if tables is None or own_tables is None or len(tables) != len(own_tables):
        return None
    chosen = {name: name for name in tables if alike(tables[name], own_tables.get(name))}
    for name in [name for name in tables if name not in chosen]:
        left = [n for n in own_tables if n not in chosen.values() and alike(tables[name], own_tables[n])]
        if len(left) != 1:
            return None
        chosen[name] = left[0]
    return [(group, own_tables[chosen[name]][tag]) for name in tables for tag, group in tables[name].items()]


def read_tables(groups: Sequence[Group]) -> dict[str, dict[str, Group]] | None:
    """Groups by the last word and the tag of their names; None if that is no name for one of them alone."""
    tables: dict[str, dict[str, Group]] = {}
    for group in groups:
        *_, name, last = ("", "", *group.name.split("."))
        name, tag = (name, last) if name and TAG.fullmatch(last) else (last, "")
        if tag in tables.setdefault(name, {}):
            return None
        tables[name][tag] = group
    return tables


def alike(one: dict[str, Group], other: dict[str, Group] | None) -> bool:
    """Whether two tables have the same tags, and the same shapes under each."""
    return other is not None and {t: g.signature for t, g in one.items()} == {t: g.signature for t, g in other.items()}
