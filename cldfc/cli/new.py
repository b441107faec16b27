"""`cldfc new NAME`: a spec to start from, with a comment for each statement."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.options import complete_spec, errors
from cldfc.compilation import Compilation
from cldfc.diagnostics import Problems, Source, UsageError
from cldfc.files import write_file
from cldfc.library import SUFFIX
from cldfc.output import say
from cldfc.syntax import tree
from cldfc.syntax.keywords import STATEMENTS
from cldfc.syntax.parse import parse_spec
from cldfc.syntax.read import read_source

NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")


def _write_new(name: str, origin: Path | None = None) -> Path:
    """Write NAME.cldf, a commented spec or another one's text, whose model has that name, and give its path.

    `name` may lead into a folder and have the suffix. Raises UsageError when it is no name for a model, or the file
    is there: nothing is ever overwritten; and CldfError when the other spec is wrong.
    """
    path = Path(name if name.endswith(SUFFIX) else f"{name}{SUFFIX}")
    if not NAME.fullmatch(path.stem) or path.stem in STATEMENTS:
        raise UsageError(f"`{path.stem}` cannot be the name of a model", "write letters, digits and _, such as MyNet")
    if path.exists() or path.is_symlink():
        raise UsageError(f"`{path}` is there already", "give another name, or remove the file")
    if origin is None:
        template = files("cldfc").joinpath("template.cldf").read_text(encoding="utf-8")
        write_file(path, template.replace("NAME", path.stem))
    else:
        write_file(path, _text_of(origin, path.stem))
    return path


def _text_of(spec: Path, model: str) -> str:
    """A spec that stands for itself, to be changed: under another name, and without what it expects."""
    source = Source(str(spec), Compilation(read_source(spec)).check().text)
    text = source.text
    for statement in reversed(parse_spec(source, Problems()).statements):
        span = statement.span
        if isinstance(statement, tree.Model):
            text = text[: span.start] + model + text[span.end :]
        elif isinstance(statement, tree.Expect):
            text = text[: span.start] + text[span.end :].removeprefix("\n")
    return text.rstrip("\n") + "\n"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the network.")],
    origin: Annotated[
        Path | None,
        typer.Option("--from", metavar="SPEC", help="Start from this spec instead.", autocompletion=complete_spec),
    ] = None,
) -> None:
    """Write NAME.cldf, a commented spec to start from; never overwrites a file.

    Example: cldfc new MyNet --from preact18_Al
    """
    with errors():
        from cldfc.library import remark_on

        path = _write_new(name, origin)
        if remark := remark_on(path.with_suffix("")):
            say(f"remark: {remark}")
        say(f"written to {path}; next: cldfc show {path}")
