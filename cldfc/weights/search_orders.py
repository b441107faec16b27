"""All ways to pair the modules of a state dict with ours, along the data flow of our network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cldfc.weights.groups import ModuleUse, TensorGroup

_MOST_STATES = 50_000
"""The search gives up after this many states. It takes about one for each group where no two branches look alike."""

Pairing = tuple[int, ...]
"""For each of their groups, the number of ours; -1 for none yet."""


class TooManyOrdersError(Exception):
    """The search has given up."""


@dataclass(frozen=True)
class Slot:
    """A place in the state dict, and the group of theirs that it names; a shared group has several places."""

    group: int
    number: int
    block: str


@dataclass(frozen=True)
class Stretch:
    """Consecutive places: those that are used in this order, and those in any order."""

    ordered: tuple[Slot, ...]
    free: tuple[Slot, ...] = ()


def read_blocks(places: Sequence[Slot], theirs: Sequence[TensorGroup], any_order: bool = False) -> list[Stretch]:
    """Blocks of consecutive places with one parent; with `any_order`, kernels that are not just numbered are `free`."""
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
    """How far the search has come: the block, the place in it, and as bits which groups of either side are matched.

    `open` are the pairs on which rules for unmatched groups depend.
    """

    block: int = 0
    at: int = 0
    matched: int = 0
    taken: int = 0
    open: tuple[tuple[int, int], ...] = ()


_Step = tuple[int, int, _State]
"""The pair that is matched next, their group and ours, or -1 twice; and the state that this leads to."""


@dataclass
class Search:
    """The pairings of their groups, in the order of their blocks, with ours, in a possible order of use.

    `pairs` is known from the start, -1 for nothing. `likely` gives the candidates for one of their groups; `allowed`
    says whether a pair is compatible with those made before, of which only the groups in `partners` matter. A group
    that may wait has a later place, too: in the first, their code may apply the kernel to a zero, which ours leaves
    out. `reached`, `stuck` and `ready` tell how far the search came at best, and what was next on either side.
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
        """Pairings, until every possible choice has occurred in one. Raises TooManyOrdersError.

        A state that is reached a second time is not searched again.
        """
        known: dict[_State, Pairing] = {}
        ends: dict[_State, Pairing] = {}
        start = _State(
            matched=sum(1 << their for their, our in enumerate(self.pairs) if our >= 0),
            taken=sum(1 << our for our in self.pairs if our >= 0),
        )
        # The steps taken, each with those still to be tried after it.
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
        """Whether one of our groups is unmatched, and everything that it depends on is matched."""
        return not state.taken >> our & 1 and not self.needs[our] & ~state.taken

    def reach(self, state: _State, stuck: int | None) -> None:
        """Note how far the search has come, if it is further than before."""
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
        """The candidates for the group of a place, each with the state that it leads to."""
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
