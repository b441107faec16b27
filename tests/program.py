"""`cldfc` as a user runs it: in a process of its own.

To load torch takes seconds, so the process is a copy of one that has loaded everything; what a process loads, and how
it starts and ends, is not to be tested here.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
LOADED = ["torch", "sklearn.datasets", "PIL.Image", "rich.progress", "safetensors.torch"]


def cldfc(
    *arguments: object, cwd: Path = ROOT, given: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; never a traceback."""
    words = [str(argument) for argument in arguments]
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_bytes(given)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        process = program()
        assert process.stdin is not None and process.stdout is not None
        order = {"words": words, "cwd": str(cwd), "environment": environment, "files": [str(file) for file in files]}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        printed, said = (file.read_bytes().decode() for file in files[1:])
    assert "Traceback" not in said
    return subprocess.CompletedProcess(words, code, printed, said)


@cache
def program() -> subprocess.Popen[str]:
    """The process that is copied; it ends when the tests do."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, __file__], text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)


def serve() -> None:
    """Run one command line after another, each in a copy of this process."""
    package = import_module("cldfc")
    for module in pkgutil.walk_packages(package.__path__, "cldfc."):
        if module.name != "cldfc.__main__":
            LOADED.append(module.name)
    for name in LOADED:
        import_module(name)
    gc.freeze()
    for line in sys.stdin:
        copy = os.fork()
        if copy == 0:
            become(**json.loads(line))
            run()
        print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]), flush=True)


def become(words: list[str], cwd: str, environment: dict[str, str], files: list[str]) -> None:
    """Have what a new process has."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cldfc", *words]
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if number == 0 else "w") for number in range(3))


def run() -> None:
    """Run the command line. To take everything apart again would be most of the time."""
    code = 0
    try:
        import_module("cldfc.__main__").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
