"""What the shell may complete beside commands, options and files."""

from __future__ import annotations

from collections.abc import Iterable


def starting_with(start: str, words: Iterable[str]) -> list[str]:
    """The words that start like that."""
    return [word for word in words if word.startswith(start)]


def complete_code(incomplete: str) -> list[str]:
    """The codes of errors."""
    from cldfc.explain import explanations

    return starting_with(incomplete, explanations())


def complete_data(incomplete: str) -> list[str]:
    """The names of data sets, and how those begin that end in a path."""
    from cldfc.train.catalogue import FOLDER, IDX, names

    return starting_with(incomplete, [*names(), FOLDER, IDX])


def complete_table(incomplete: str) -> list[str]:
    """The tables of the paper."""
    from cldfc.reproduce.tables import TABLES

    return starting_with(incomplete, [*TABLES, "all"])
