"""`make data`: Fashion-MNIST, copied from Debian's package, which root installs where there is one, else fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cldfc.data.bounded import read_bytes
from cldfc.data.catalogue import DATA_DIR, find
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import copies, missing, read_copy
from cldfc.data.download import fetch_missing
from cldfc.data.published import DataFile
from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.output import say

ANSWER_WITHIN = 300
"""Seconds that an installation may take."""


def obtain(dataset: DataSet, folder: Path, heard: Callable[[str], None]) -> None:
    """Let the files of a data set lie in the folder; what lies there stays as it is.

    Raises UsageError when they are neither on this machine, nor in a package that may be installed, nor published
    where they can be fetched from.
    """
    if missing(dataset, folder) and dataset.package:
        install(dataset.package, heard)
    for file in dataset.files:
        copy_here(dataset, file, folder)
    fetch_missing(dataset, folder, heard)
    heard(f"`{dataset.name}` is in `{folder}`")


def install(package: str, heard: Callable[[str], None]) -> None:
    """Install a package of Debian, if that needs no password; nothing is said where it fails."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    heard(f"apt-get install {package}")
    command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_WITHIN)
    except (OSError, subprocess.TimeoutExpired) as error:
        heard(f"cannot install {package}: {error}")


def copy_here(dataset: DataSet, file: DataFile, folder: Path) -> None:
    """Copy a file that this machine has outside of the folder, unless one is in its place. Raises UsageError."""
    if os.path.lexists(folder / file.place):
        return
    for copy in copies(file, folder):
        if not copy.is_far(folder):
            return
        if copy.is_packed:
            read_copy(dataset, copy)
            (folder / file.place).parent.mkdir(parents=True, exist_ok=True)
            write_file(folder / file.place, read_bytes(copy.paths[0]))
            return


def main() -> int:
    try:
        obtain(find("fashion_mnist"), DATA_DIR, say)
    except UsageError as error:
        say(*error.lines)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
