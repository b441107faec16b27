"""The specs that come with cldfc, and how a spec is found by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cldfc.diagnostics import nearest

SUFFIX = ".cldf"


def folder() -> Path:
    # In the installed package, or beside it in a checkout.
    package = Path(__file__).parent
    installed = package / "specs"
    return installed if installed.is_dir() else package.parent / "specs"


@cache
def spec_names() -> tuple[str, ...]:
    """Their names: `preact18_Al`, `imagenet/resnet34`; those in folders last."""
    paths = [path.relative_to(folder()).with_suffix("") for path in folder().rglob(f"*{SUFFIX}")]
    return tuple(path.as_posix() for path in sorted(paths, key=lambda path: (len(path.parts), path.parts)))


def spec_path(name: str) -> Path | None:
    """The file of a spec that comes with cldfc; relative where it lies in the working folder."""
    if name not in spec_names():
        return None
    path = folder() / f"{name}{SUFFIX}"
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def find_spec(path: Path) -> Path:
    """The file that a path or a name means: a file of one's own, with or without suffix, before one of cldfc's.

    A path that leads nowhere is given back.
    """
    if _is_no_folder(path):
        return path
    own = path.with_name(f"{path.name}{SUFFIX}") if path.name and not path.suffix else path
    return own if _is_no_folder(own) else spec_path(path.as_posix()) or path


def remark_on(path: Path) -> str | None:
    """The remark that a file of the user's is meant, not the spec of that name that comes with cldfc."""
    found, theirs = find_spec(path), spec_path(path.as_posix())
    if theirs is None or not _is_no_folder(found) or found.resolve() == theirs.resolve():
        return None
    return f"`{path}` is the file `{found}`, not the spec of that name that comes with cldfc"


def like(path: Path) -> str | None:
    """What may be meant by a path that leads nowhere: a spec beside it, or one that comes with cldfc."""
    by_name = {other.stem: str(other) for other in specs_beside(path)}
    if close := nearest(path.name.removesuffix(SUFFIX), by_name):
        return by_name[close]
    stem = path.with_suffix("") if path.suffix == SUFFIX else path
    if len(stem.name) > 2 and (begun := [name for name in spec_names() if name.startswith(stem.as_posix())]):
        return min(begun, key=lambda name: (len(name), name))
    return nearest(stem.as_posix(), spec_names()) or nearest(stem.name, spec_names())


def specs_beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"*{SUFFIX}")) if os.path.isdir(path.parent) else []


def specs_in(path: Path) -> Iterator[Path]:
    """All specs in a folder and those in it, but for hidden ones and Python environments; links are not followed."""
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if "pyvenv.cfg" in files:
            folders.clear()
        yield from (Path(parent) / name for name in sorted(files) if name.endswith(SUFFIX) and name[0] != ".")


def _is_no_folder(path: Path) -> bool:
    # A pipe may hold a spec, too.
    return os.path.exists(path) and not os.path.isdir(path)
