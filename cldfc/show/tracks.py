"""Tracks: edges that run along the same gap or channel beside each other do so on lines of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cldfc.show.grid import Box, Grid
from cldfc.show.routes import Way

Place = tuple[int, Box, bool]
"""A gap or channel, the box whose edges run there, and whether they only enter a box to its right."""
Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The line on which a box's edges run, for each gap or channel, and how many lines there are."""

    lines: Mapping[Place, int]
    counts: Mapping[int, int]


def gap_tracks(ways: Iterable[Way]) -> Tracks:
    """Lines in the gaps: those that leave boxes on the left, then those that enter boxes on the right."""
    return assign(spread(gap_stretches(ways)))


def channel_tracks(grid: Grid, ways: Iterable[Way]) -> Tracks:
    return assign(spread(channel_stretches(grid, ways)))


def gap_stretches(ways: Iterable[Way]) -> Iterable[tuple[Place, Stretch]]:
    """Where edges run in gaps, from slot to slot."""
    for way in ways:
        for at, gap in enumerate(way.down):
            ends = way.across[at], way.across[at + 1]
            yield (gap, way.source, at > 0), (min(ends), max(ends))


def channel_stretches(grid: Grid, ways: Iterable[Way]) -> Iterable[tuple[Place, Stretch]]:
    """Where edges run in channels, from gap to gap, or to the column of a port."""
    for way in ways:
        after = [*way.down, 2 * grid.cells[way.target][0] + 1]
        for at, slot in enumerate(way.across):
            if at > 0 and is_channel(grid, slot):
                yield (slot, way.source, False), (min(after[at - 1 : at + 1]), max(after[at - 1 : at + 1]))


def is_channel(grid: Grid, slot: int) -> bool:
    row = next(row for row in grid.rows if row.top <= slot <= row.bottom)
    return (slot - row.top) % 2 == 0


def spread(stretches: Iterable[tuple[Place, Stretch]]) -> dict[Place, Stretch]:
    """Each place once, with all that its box's edges take there."""
    found: dict[Place, Stretch] = {}
    for place, (low, high) in stretches:
        known = found.get(place, (low, high))
        found[place] = min(low, known[0]), max(high, known[1])
    return found


def assign(stretches: Mapping[Place, Stretch]) -> Tracks:
    """The first free line for each stretch: the shortest first, and what enters boxes after what leaves them."""
    taken: dict[int, list[list[Stretch]]] = {}
    lines: dict[Place, int] = {}
    firsts: dict[int, int] = {}
    order = sorted(stretches, key=lambda place: (place[2], stretches[place][1] - stretches[place][0]))
    for place in order:
        gap, _, enters = place
        tracks = taken.setdefault(gap, [])
        if enters:
            firsts.setdefault(gap, len(tracks))
        start = firsts[gap] if enters else 0
        line = next((n for n in range(start, len(tracks)) if is_free(tracks[n], stretches[place])), len(tracks))
        if line == len(tracks):
            tracks.append([])
        tracks[line].append(stretches[place])
        lines[place] = line
    return Tracks(lines, {gap: len(tracks) for gap, tracks in taken.items()})


def is_free(taken: Sequence[Stretch], stretch: Stretch) -> bool:
    return all(stretch[1] < low or high < stretch[0] for low, high in taken)
