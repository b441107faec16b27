"""Why shapes do not fit; an operator that refuses its operands says why, and what to write instead."""

from __future__ import annotations


class Mismatch(Exception):
    """Two shapes or sizes that cannot be one."""


class Unfit(Mismatch):
    """An operator that does not fit its operands: why, and what to write instead."""

    def __init__(self, reason: str, help: str) -> None:
        super().__init__(reason)
        self.help = help


class Indivisible(Unfit):
    """Channels that do not make groups of one size."""

    def __init__(self, channels: int, groups: int) -> None:
        reason = f"{channels} channels do not divide into {groups} groups"
        super().__init__(reason, "write a number of groups that divides the channels")
        self.channels = channels
        self.groups = groups


class TooLarge(Mismatch):
    """A size that no tensor has."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class TooSmall(Unfit):
    """A map that is smaller than the window on it, padding included."""

    def __init__(self, size: int, window: int) -> None:
        reason = f"a window of {window} does not fit into a map of size {size}"
        super().__init__(reason, "pool fewer times, or with a smaller window")
        self.size = size
        self.window = window
