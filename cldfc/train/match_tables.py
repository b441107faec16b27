"""Which table of a generated class is which of ours: by the tags of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cldfc.train.groups import TensorGroup
from cldfc.train.match import BY_NAME, BY_SHAPE, Pair

TAG = re.compile(r"[0-9]+(?:_[0-9]+)*")

Tables = dict[str, dict[str, TensorGroup]]
"""Groups by the last word of their names, and by the tag that follows it."""


def match_tables(theirs: Sequence[TensorGroup], ours: Sequence[TensorGroup]) -> list[Pair] | None:
    """Pairs by the tags of generated names; None unless every table of theirs is one of ours.

        theirs B.1_1, B.1_2, A.1 and ours A.1, K.1_1, K.1_2    give B.1_1 is K.1_1, B.1_2 is K.1_2, A.1 is A.1

    A table is what has one name: B for all its tags. Two tables are the same if their tags and
    shapes are; of several that are, the one of the same name, or the only one that is left. Names without any tag
    are those of a generated class only if all are ours.
    """
    tables, own_tables = read_tables(theirs), read_tables(ours)
    if tables is None or own_tables is None or len(tables) != len(own_tables):
        return None
    similar = {name: [own for own in own_tables if alike(tables[name], own_tables[own])] for name in tables}
    if not any(tag for table in tables.values() for tag in table) and tables.keys() != own_tables.keys():
        similar = {name: similar[name] if len(similar[name]) == 1 else [] for name in similar}
    chosen = {name: name for name in tables if name in similar[name]}
    for name in [name for name in tables if name not in chosen]:
        left = [own for own in similar[name] if own not in chosen.values()]
        if len(left) != 1:
            return None
        chosen[name] = left[0]
    return [
        Pair(group, own_tables[chosen[name]][tag], BY_SHAPE if len(similar[name]) == 1 else BY_NAME)
        for name in tables
        for tag, group in tables[name].items()
    ]


def read_tables(groups: Sequence[TensorGroup]) -> Tables | None:
    """Tables of a state dict; None if a name and a tag are not one group's alone."""
    tables: Tables = {}
    for group in groups:
        *_, name, last = ("", "", *group.name.split("."))
        name, tag = (name, last) if name and TAG.fullmatch(last) else (last, "")
        if tag in tables.setdefault(name, {}):
            return None
        tables[name][tag] = group
    return tables


def alike(one: dict[str, TensorGroup], other: dict[str, TensorGroup]) -> bool:
    return {t: g.signature for t, g in one.items()} == {t: g.signature for t, g in other.items()}
