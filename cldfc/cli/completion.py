"""What the shell may complete beside commands, options and files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args


def starting_with(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]


def complete_code(incomplete: str) -> list[str]:
    from cldfc.explain import explanations

    return starting_with(incomplete, explanations())


def complete_spec(incomplete: str) -> list[str]:
    """Specs and folders that start like that, and the names of the specs that come with cldfc."""
    from cldfc.library import SUFFIX, names

    start = Path(incomplete)
    folder = start if incomplete.endswith("/") else start.parent
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    beside = [f"{path}/" if path.is_dir() else str(path) for path in paths if path.is_dir() or path.suffix == SUFFIX]
    return starting_with(incomplete, [*names(), *(path for path in beside if not Path(path).name.startswith("."))])


def complete_bundled(incomplete: str) -> list[str]:
    from cldfc.library import names

    return starting_with(incomplete, names())


def complete_run(incomplete: str) -> list[str]:
    """The run folders that start like that; in `runs`, unless another folder is named."""
    start = Path(incomplete)
    folders = [Path("runs")] if "/" not in incomplete else [start if incomplete.endswith("/") else start.parent]
    found = [str(path) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
    return [path for path in found if path.startswith(incomplete) or Path(path).name.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    from cldfc.train.catalogue import FOLDER, IDX, names

    return starting_with(incomplete, [*names(), FOLDER, IDX])


def complete_table(incomplete: str) -> list[str]:
    from cldfc.reproduce.tables import TABLES

    return starting_with(incomplete, [*TABLES, "all"])


def complete_device(incomplete: str) -> list[str]:
    # torch, which knows those of this machine, would take too long.
    return starting_with(incomplete, ["cpu", "cuda", "cuda:0", "cuda:1"])


def complete_part(incomplete: str) -> list[str]:
    from cldfc.train.recipe import Part

    return starting_with(incomplete, get_args(Part))


def complete_form(incomplete: str) -> list[str]:
    from cldfc.compilation import Form

    return starting_with(incomplete, get_args(Form))
