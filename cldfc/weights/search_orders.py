"""All ways in which the modules of a state dict can be ours, along the flow of our data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cldfc.weights.groups import ModuleUse, TensorGroup

_MOST_STATES = 50_000
"""After so many the search gives up; a network without branches that look alike takes about one for each group."""

Pairing = tuple[int, ...]
"""The number of our group for each of theirs; -1: none yet."""


class TooManyOrdersError(Exception):
    """The search was given up."""


@dataclass(frozen=True)
class Slot:
    """Where a group of theirs stands in the state dict; a shared one stands in several places."""

    group: int
    number: int
    block: str


@dataclass(frozen=True)
class Stretch:
    """Places side by side: those that are used in their order, and those in any."""

    ordered: tuple[Slot, ...]
    free: tuple[Slot, ...] = ()


def read_blocks(places: Sequence[Slot], theirs: Sequence[TensorGroup], any_order: bool = False) -> list[Stretch]:
    """Blocks of places that have one parent; with `any_order`, kernels with names of their own are free in theirs."""
    blocks: list[list[Slot]] = []
    for place in places:
        if not blocks or blocks[-1][0].block != place.block:
            blocks.append([])
        blocks[-1].append(place)
    free = {at for at, group in enumerate(theirs) if any_order and group.is_kernel and not group.leaf.isdigit()}
    return [
        Stretch(tuple(p for p in block if p.group not in free), tuple(p for p in block if p.group in free))
        for block in blocks
    ]


@dataclass(frozen=True)
class _State:
    """How far the search has come: the block, the place in it, which of theirs and ours are matched, as bits.

    `open` are pairs on which rules for what is not yet matched depend.
    """

    block: int = 0
    at: int = 0
    matched: int = 0
    taken: int = 0
    open: tuple[tuple[int, int], ...] = ()


_Step = tuple[int, int, _State]
"""Their group and ours that are matched next, or -1 twice, and what is reached."""


@dataclass
class Search:
    """The pairings of their groups, in the order of their blocks, with ours, in an order of our flow.

    `pairs` is what is known from the start, -1 for nothing; `likely` says which of ours may be one of theirs,
    `allowed` whether it may be beside what is matched already, for which `partners` names the groups that matter. A
    group that may wait stands in a later place, too: a kernel, which in the first may be applied to a zero, as our
    code does not.
    `reached`, `stuck` and `ready` say how far it came at best, which of theirs was next, and which of ours.
    """

    blocks: Sequence[Stretch]
    uses: Sequence[ModuleUse]
    pairs: list[int]
    likely: Callable[[int], Sequence[int]]
    may_wait: Callable[[Slot], bool]
    allowed: Callable[[int, int, Sequence[int]], bool] | None = None
    partners: Sequence[frozenset[int]] = ()
    reached: int = -1
    stuck: int | None = None
    ready: Sequence[int] = ()

    def __post_init__(self) -> None:
        self.count = len(self.pairs)
        number = {use.group: at for at, use in enumerate(self.uses)}
        self.needs = [sum(1 << number[group] for group in use.after) for use in self.uses]

    def pairings(self) -> Iterator[Pairing]:
        """Pairings until every choice that leads to one has been in one. Raises TooManyOrdersError.

        What is reached a second time by other pairs is not searched again: what follows is known.
        """
        known: dict[_State, Pairing] = {}
        ends: dict[_State, Pairing] = {}
        start = _State(
            matched=sum(1 << their for their, our in enumerate(self.pairs) if our >= 0),
            taken=sum(1 << our for our in self.pairs if our >= 0),
        )
        # Each step that was taken, and those that are still to be tried after it.
        stack: list[tuple[_Step, Iterator[_Step]]] = [((-1, -1, start), iter(self.steps(start)))]
        while stack:
            step = next(stack[-1][1], None)
            if step is None:
                (their, _, _), _ = stack.pop()
                self.pair(their, -1)
                continue
            their, our, after = step
            self.pair(their, our)
            pairs = tuple(self.pairs)
            if self.is_end(after):
                ends[after] = pairs
            if after in ends:
                found = tuple(end if own < 0 else own for own, end in zip(pairs, ends[after], strict=True))
                for (_, _, below), _ in stack:
                    ends.setdefault(below, found)
                if known.setdefault(after, pairs) != pairs or self.is_end(after):
                    yield found
            if after in known or after in ends:
                self.pair(their, -1)
                continue
            if len(known) > _MOST_STATES:
                raise TooManyOrdersError
            known[after] = pairs
            stack.append((step, iter(self.steps(after))))

    def is_end(self, state: _State) -> bool:
        return state.taken.bit_count() == len(self.uses) and state.matched.bit_count() == self.count

    def pair(self, their: int, our: int) -> None:
        if their >= 0:
            self.pairs[their] = our

    def is_ready(self, our: int, state: _State) -> bool:
        """Whether one of ours is not taken, and all that it needs is."""
        return not state.taken >> our & 1 and not self.needs[our] & ~state.taken

    def reach(self, state: _State, stuck: int | None) -> None:
        """Note how far the search has come, if that is further than before."""
        if state.matched.bit_count() > self.reached:
            self.reached, self.stuck = state.matched.bit_count(), stuck
            self.ready = [our for our in range(len(self.uses)) if self.is_ready(our, state)]

    def steps(self, state: _State) -> list[_Step]:
        if state.matched.bit_count() == self.count:
            self.reach(state, None)
        if state.block == len(self.blocks):
            return []
        block = self.blocks[state.block]
        left = [place for place in block.free if not state.matched >> place.group & 1]
        found: list[_Step] = []
        if state.at < len(block.ordered):
            place, after = block.ordered[state.at], replace(state, at=state.at + 1)
            if state.matched >> place.group & 1:
                return [(-1, -1, after)]
            found += self.matches(place, after)
            found += [(-1, -1, after)] * self.may_wait(place)
        elif all(map(self.may_wait, left)):
            found.append((-1, -1, replace(state, block=state.block + 1, at=0)))
        return [*found, *(step for place in left for step in self.matches(place, state))]

    def matches(self, place: Slot, after: _State) -> list[_Step]:
        """Each of ours that may stand for the group of a place, and what is reached then."""
        their = place.group
        self.reach(after, their)
        found: list[_Step] = []
        for our in self.likely(their):
            if self.is_ready(our, after) and (self.allowed is None or self.allowed(their, our, self.pairs)):
                matched = after.matched | 1 << their
                pairs = (*after.open, (their, our)) if self.partners else ()
                kept = tuple(p for p in pairs if any(not matched >> other & 1 for other in self.partners[p[0]]))
                reached = replace(after, matched=matched, taken=after.taken | 1 << our, open=kept)
                found.append((their, our, reached))
        return found
