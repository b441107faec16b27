"""A network that a Python file defines, such as an edited or an older generated one."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

from torch import nn

from cldfc.diagnostics import UsageError
from cldfc.syntax.read import LARGEST_FILE
from cldfc.verify.outcome import Differs


def network_of_file(path: Path, class_name: str) -> nn.Module:
    """The network of a file, in float64; runs the file, with what it prints on standard error.

    It is the class of that name, or the only module that the file defines. Raises UsageError when there is no such file
    or no such class, Differs when the file does not run.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    data = read_code(path)
    with redirect_stdout(sys.stderr):
        try:
            exec(compile(data, str(path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            raise Differs(f"`{path}` does not run: {type(error).__name__}: {error}") from error
        found = class_of(module, class_name, path)
        try:
            return found().double()
        except (Exception, SystemExit) as error:
            raise Differs(f"`{path}` gives no `{found.__name__}()`: {type(error).__name__}: {error}") from error


def read_code(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"there is no file `{path}`", "name a .cldf file, or a .py file with the network")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", "name a file that can be read") from None
    if len(data) > LARGEST_FILE:
        raise UsageError(f"`{path}` is larger than {LARGEST_FILE:,} bytes", "name the file with the network alone")
    return data


def class_of(module: ModuleType, class_name: str, path: Path) -> type[nn.Module]:
    known = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, nn.Module) and thing.__module__ == module.__name__
    ]
    named = [found for found in known if found.__name__ == class_name]
    if len(named or known) != 1:
        what = ", ".join(f"`{found.__name__}`" for found in known) or "no torch module"
        message = f"`{path}` defines {what}, and none is called `{class_name}`, as the spec is"
        raise UsageError(message, f"give one the name `{class_name}`")
    return (named or known)[0]
