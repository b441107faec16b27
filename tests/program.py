"""`cldfc` as a user runs it: in a process of its own.

To load torch takes seconds, so the process is a copy of one that has loaded everything, and that all processes with
tests have in common; what a process loads, and how it starts and ends, is not to be tested here.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

ROOT = Path(__file__).parents[1]
LOADED = ["torch", "torch.distributed.run", "sklearn.datasets", "PIL.Image", "rich.progress", "safetensors.torch"]
# What a training loads late: optimizers torch._dynamo, reports the others.
LOADED += ["torch._dynamo", "jinja2", "latex2mathml.converter"]
PATIENCE = 300


def cldfc(
    *arguments: object, cwd: Path = ROOT, given: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; never a traceback."""
    ended = Program(*arguments, script=None, cwd=cwd, given=given, is_group=False, **environment).end()
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


class Program:
    """A command line of cldfc, or of a script in its place, that runs; in a group of its own, if asked."""

    def __init__(
        self,
        *arguments: object,
        script: Path | None = None,
        cwd: Path = ROOT,
        given: bytes = b"",
        is_group: bool = False,
        **environment: str,
    ) -> None:
        self.words = [str(argument) for argument in arguments]
        self.folder = TemporaryDirectory()
        self.files = [Path(self.folder.name, name) for name in ("stdin", "stdout", "stderr")]
        self.files[0].write_bytes(given)
        order = {
            "words": self.words,
            "script": str(script) if script else "",
            "cwd": str(cwd),
            "environment": {**os.environ, "PYTHONPATH": str(ROOT), **environment},
            "files": [str(file) for file in self.files],
            "is_group": is_group,
        }
        stay()
        self.connection = connect().makefile("rw")
        self.connection.write(json.dumps(order) + "\n")
        self.connection.flush()
        self.pid = int(self.connection.readline())

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        code = int(self.connection.readline())
        printed, said = (file.read_bytes().decode() for file in self.files[1:])
        self.connection.close()
        self.folder.cleanup()
        return subprocess.CompletedProcess(self.words, code, printed, said)

    def kill(self) -> None:
        """Leave nothing of it behind."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# The process that is copied


def place() -> Path:
    """Where it listens: one for all processes that pytest has started."""
    return Path(gettempdir(), f"cldfc-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}")


def connect() -> socket.socket:
    """A connection to it; it is started where there is none."""
    process, end = None, time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(place()))
            return connection
        except OSError:
            connection.close()
            # Of two that are started at once one gets the place, and the other one ends.
            if process is None:
                process = subprocess.Popen([sys.executable, __file__, str(place())], cwd=ROOT, start_new_session=True)
            assert time.monotonic() < end
            time.sleep(0.02)


@cache
def stay() -> socket.socket:
    """It ends when nobody has a connection to it any more."""
    return connect()


def serve(path: str) -> None:
    """Run one command line after another, each in a copy of this process."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
    except OSError:
        return
    listener.listen(64)
    package = import_module("cldfc")
    for name in (*LOADED, *(module.name for module in pkgutil.walk_packages(package.__path__, "cldfc."))):
        if name != "cldfc.__main__":
            import_module(name)
    # Tables of the parser are read, and patterns compiled.
    package.load("preact18_Al").source()
    gc.collect()
    gc.freeze()
    listener.settimeout(1)
    is_needed = True
    while is_needed:
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(connection)
                os._exit(0)
            connection.close()
        is_needed = has_children()
    os.unlink(path)


def has_children() -> bool:
    """Whether copies are there; those that have ended are let go."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def answer(connection: socket.socket) -> None:
    """Do what is ordered through a connection, if anything is: the number of a process, then its exit code."""
    with connection, connection.makefile("rw") as channel:
        ordered = channel.readline()
        if not ordered:
            return
        copy = os.fork()
        if copy == 0:
            connection.detach()
            order = json.loads(ordered)
            script, words = order.pop("script"), order.pop("words")
            become(**order)
            run(script, words)
        print(copy, file=channel, flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        with suppress(BrokenPipeError):
            print(code, file=channel, flush=True)


def become(cwd: str, environment: dict[str, str], files: list[str], is_group: bool) -> None:
    """Have what a new process has."""
    if is_group:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if number == 0 else "w") for number in range(3))


def run(script: str, words: list[str]) -> None:
    """Run a script, or cldfc. To take everything apart again would be most of the time."""
    sys.argv = [script or "cldfc", *words]
    code = 0
    try:
        if script:
            runpy.run_path(script, run_name="__main__")
        else:
            import_module("cldfc.__main__").main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
