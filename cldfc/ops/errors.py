"""Why shapes do not fit; the text of an exception says it where more is known than that."""

from __future__ import annotations


class Mismatch(Exception):
    """Two shapes or sizes that cannot be one."""


class Unfit(Mismatch):
    """An operator that does not fit its operands; its text says why."""


class Indivisible(Unfit):
    """Channels that do not make groups of one size."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(f"{channels} channels do not divide into {groups} groups")
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
        super().__init__(f"a window of {window} does not fit into a map of size {size}")
        self.size = size
        self.window = window
