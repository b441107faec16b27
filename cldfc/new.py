"""`cldfc new NAME`: a spec to start from, with a comment for each statement."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.syntax.keywords import STATEMENTS

NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
SUFFIX = ".cldf"


def write_new(name: str) -> Path:
    """Write NAME.cldf, a commented spec whose model has that name, and give its path.

    `name` may lead into a folder and have the suffix. Raises UsageError when it is no name for a model, or the file
    is there: nothing is ever overwritten.
    """
    path = Path(name if name.endswith(SUFFIX) else f"{name}{SUFFIX}")
    if not NAME.fullmatch(path.stem) or path.stem in STATEMENTS:
        raise UsageError(f"`{path.stem}` cannot be the name of a model", "write letters, digits and _, such as MyNet")
    if path.exists() or path.is_symlink():
        raise UsageError(f"`{path}` is there already", "give another name, or remove the file")
    write_file(path, template().replace("NAME", path.stem))
    return path


def template() -> str:
    """The spec, whose model is called NAME."""
    return files("cldfc").joinpath("template.cldf").read_text(encoding="utf-8")
