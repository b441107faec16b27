"""What all tests share: golden files, and one thread."""

import ctypes
import difflib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.testing

# Tests run side by side, and sums in float32 depend on the number of threads. torch reads it when it is loaded; the
# process that hands out the tests never loads it.
os.environ["OMP_NUM_THREADS"] = "1"

sys.path.insert(0, str(Path(__file__).parent))

# What is compiled once is kept, whatever the environment says: tests start a hundred processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's job in the background ignores Ctrl-C, and what it starts does so too: tests press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# cuBLAS reads it when it is first used, and tests of `--precise` come after others.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


FIRST = ["test_derive", "test_cli", "test_torchrun", "test_reproduce", "test_verify", "test_format"]
"""Files that take long. The third and fourth start processes that load torch: beside files that need little memory."""


def pytest_collection_modifyitems(items):
    """What takes most time and memory comes early, while there is enough of both; mutmut has an order of its own."""
    if "mutmut" in sys.modules:
        return
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(FIRST)))


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


GROWTH = 100 * 2**20
"""Bytes by which a process may grow until it gives back what large networks leave."""
smallest = [0]
"""Bytes that it had left the last time."""


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """Networks lie in cycles, and the C library keeps what they had: 800 MB in each process in the end."""
    yield
    if sys.platform == "linux" and resident() > smallest[0] + GROWTH:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        smallest[0] = resident()


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True, scope="session")
def _command_line() -> None:
    """Make the commands of the app once: that takes longer than most of them run."""
    typer.testing._get_command = cache(typer.testing._get_command)  # pyright: ignore[reportPrivateImportUsage]


@pytest.fixture
def golden(request) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, or write it with --update-golden."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_bytes(text.encode())
        expected = path.read_bytes().decode() if path.exists() else ""
        if text != expected:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), str(path), "now", lineterm="")
            pytest.fail("\n".join([f"`make golden` writes {path.name} anew, if this is what you want:", *lines]))

    return compare


def pytest_collection_finish():
    """What has been collected stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
