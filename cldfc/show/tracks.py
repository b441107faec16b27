"""Tracks: edges that run along the same gap or channel beside each other do so on lines of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
            if at > 0 and grid.is_channel(slot):
                yield (slot, way.source, False), (min(after[at - 1 : at + 1]), max(after[at - 1 : at + 1]))


def assign_tracks(stretches: Iterable[tuple[Place, Stretch]]) -> Tracks:
    """The first free line for all that a box's edges take at a place, the shortest first.

    In a gap the edges that leave boxes on its left come first, then those that only enter boxes on its right.
    """
    whole: dict[Place, Stretch] = {}
    for place, (low, high) in stretches:
        known = whole.get(place, (low, high))
        whole[place] = min(low, known[0]), max(high, known[1])
    taken: dict[int, list[list[Stretch]]] = {}
    lines: dict[Place, int] = {}
    firsts: dict[int, int] = {}
    for place in sorted(whole, key=lambda place: (place[2], whole[place][1] - whole[place][0])):
        (gap, _, enters), (low, high) = place, whole[place]
        tracks = taken.setdefault(gap, [])
        start = firsts.setdefault(gap, len(tracks)) if enters else 0
        free = (n for n in range(start, len(tracks)) if all(high < a or b < low for a, b in tracks[n]))
        lines[place] = next(free, len(tracks))
        if lines[place] == len(tracks):
            tracks.append([])
        tracks[lines[place]].append((low, high))
    return Tracks(lines, {gap: len(tracks) for gap, tracks in taken.items()})
