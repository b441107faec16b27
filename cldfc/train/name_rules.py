"""What the names in a state dict say of the order in which its modules are used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cldfc.train.dataflow import ModuleUse
from cldfc.train.groups import TensorGroup

SHORTCUT = re.compile("downsample|shortcut|skip|bypass")
"""What a module is called that stands beside the kernels of its block."""
NUMBERED = re.compile(r"(.*\D)(\d+)")
NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Rule:
    """What two names of theirs say: `second` follows `first`, stands beside it, or has a later tag."""

    first: int
    second: int
    says: Literal["follows", "beside", "later tag"]

    def holds(self, uses: Sequence[ModuleUse], first: int, second: int) -> bool:
        """Whether two of ours are like that; a later tag is also one of a later use."""
        one, other = uses[first], uses[second]
        if self.says == "follows":
            return one.group in other.after
        if self.says == "beside":
            return one.group not in other.after and other.group not in one.after
        (table, tag), (other_table, other_tag) = read_tag(one.group), read_tag(other.group)
        return table != other_table or (first < second and tag < other_tag)


def read_tag(name: str) -> tuple[str, tuple[int, ...]]:
    table, _, tag = name.partition(".")
    return table, tuple(map(int, NUMBER.findall(tag)))


def read_rules(groups: Mapping[int, TensorGroup]) -> list[Rule]:
    # Where names differ in one number, as `encode1` and `encode2`, the larger number has the later tag.
    tags = [Rule(first, second, "later tag") for first, second in numbered_pairs(groups)]
    return [*numbered_rules(groups), *shortcut_rules(groups), *tags]


def numbered_rules(groups: Mapping[int, TensorGroup]) -> Iterator[Rule]:
    """Of three or more modules of a block whose names differ by a number, `conv1` to `conv3`, each follows the last."""
    chains: dict[tuple[object, ...], dict[int, int]] = {}
    for at, group in groups.items():
        if found := NUMBERED.fullmatch(group.leaf):
            chains.setdefault((group.parent, found[1], group.is_kernel), {})[int(found[2])] = at
    for chain in chains.values():
        if len(chain) > 2:
            yield from (Rule(chain[a], chain[b], "follows") for a, b in pairwise(sorted(chain)))


def shortcut_rules(groups: Mapping[int, TensorGroup]) -> Iterator[Rule]:
    """Kernels under `downsample` or `shortcut` do not follow the other kernels of their block, nor those them."""
    blocks: dict[str, list[int]] = {}
    for at, group in groups.items():
        words = group.name.split(".")
        is_under = [bool(SHORTCUT.search(word.casefold())) for word in words]
        while words and not is_under[len(words) - 1]:
            words.pop()
        while words and is_under[len(words) - 1]:
            words.pop()
        if words and group.is_kernel:
            blocks.setdefault(".".join(words), []).append(at)
    for block, shortcuts in blocks.items():
        beside = [at for at, g in groups.items() if g.is_kernel and g.name.startswith(f"{block}.")]
        yield from (Rule(s, at, "beside") for s in shortcuts for at in beside if at not in shortcuts)


def numbered_pairs(groups: Mapping[int, TensorGroup]) -> Iterator[tuple[int, int]]:
    """Pairs of groups whose names differ in one number, the smaller first."""
    series: dict[tuple[str, str], dict[int, int]] = {}
    for at, group in groups.items():
        for found in NUMBER.finditer(group.name):
            key = group.name[: found.start()], group.name[found.end() :]
            series.setdefault(key, {})[int(found[0])] = at
    for one in series.values():
        yield from ((one[a], one[b]) for a, b in pairwise(sorted(one)))
