"""Where values live while the network runs: in a plain variable, or in one for each level.

The cheapest place that works is found by playing the computation through: a read must find the
value that it means, not a later one that was put in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from cldfc.network.expand import Instance
from cldfc.network.positions import Key

Family = tuple[str, int]
Slots = dict[Family, tuple[int, ...]]
"""For each family, the places of its tag that tell its variables apart; none: one variable."""


def choose_slots(instances: Sequence[Instance]) -> Slots:
    """The fewest indices for each family with which every read finds its value."""
    events = access_order(instances)
    return {family: fewest_indices(family[1], accesses) for family, accesses in events.items()}


def access_order(instances: Sequence[Instance]) -> dict[Family, list[tuple[bool, tuple[int, ...]]]]:
    """Reads (False) and writes (True) of each family, in the order in which they happen."""
    events: dict[Family, list[tuple[bool, tuple[int, ...]]]] = {}
    for instance in instances:
        for family, indices in reads(instance):
            events.setdefault((family, len(indices)), []).append((False, indices))
        name, indices = instance.value
        events.setdefault((name, len(indices)), []).append((True, indices))
    return events


def reads(instance: Instance) -> list[Key]:
    """The values that an instance reads."""
    return [key for read in instance.template.reads() for key in read.keys(instance.binding)]


def fewest_indices(arity: int, accesses: list[tuple[bool, tuple[int, ...]]]) -> tuple[int, ...]:
    """The first choice of indices, from none to all, that works."""
    choices = (choice for size in range(arity) for choice in combinations(range(arity), size))
    return next((choice for choice in choices if works(choice, accesses)), tuple(range(arity)))


def works(choice: tuple[int, ...], accesses: Iterable[tuple[bool, tuple[int, ...]]]) -> bool:
    """Whether no read meets a value that another has replaced."""
    held: dict[tuple[int, ...], tuple[int, ...]] = {}
    for is_write, indices in accesses:
        slot = tuple(indices[place] for place in choice)
        if is_write:
            held[slot] = indices
        elif held.get(slot, indices) != indices:
            return False
    return True


def input_is_done(instances: Sequence[Instance], input: str) -> bool:
    """Whether nothing reads the input once a value of the family of its name is there."""
    written = False
    for instance in instances:
        if written and (input, ()) in reads(instance):
            return False
        written = written or instance.value[0] == input
    return True
