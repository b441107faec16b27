"""The git commit that a spec comes from."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

LIMIT = 2.0
"""Seconds that git may take for an answer."""

# Nothing is written, fetched or asked, and no program that a repository names is started.
SAFELY = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}


class Commit(BaseModel):
    """Where the files of a spec stand in the history of their folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    commit: str
    """The commit that is checked out, in hexadecimal digits."""
    is_changed: bool
    """Whether a file of the spec differs from that commit, or is not part of it."""

    def in_words(self) -> str:
        """`0123abcd…`, and whether the spec is another one."""
        return self.commit + ", but the spec is not as it is there" * self.is_changed


def find_commit(files: Sequence[Path]) -> Commit | None:
    """The commit of the folder of the first file, and whether any of the files differs from it.

    None where there is no file, no git, no repository, or no answer in time. Contents are compared here, not by git,
    which could start filters that a repository brings along.
    """
    if not files:
        return None
    commit = ask_git(files[0].resolve().parent, "HEAD")
    return Commit(commit=commit, is_changed=any(map(is_changed, files))) if commit else None


def is_changed(file: Path) -> bool:
    """Whether a file is not what the commit of its folder holds; line ends make no difference."""
    file = file.resolve()
    name = ask_git(file.parent, f"HEAD:./{file.name}")
    try:
        data = file.read_bytes()
    except OSError:
        return True
    return name not in {blob_name(text, len(name or "")) for text in (data, data.replace(b"\r\n", b"\n"))}


def blob_name(data: bytes, digits: int) -> str:
    """The name that git gives a content, by SHA-1 or, where names have 64 digits, by SHA-256."""
    algorithm = hashlib.sha256 if digits == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest()


def ask_git(folder: Path, what: str) -> str | None:
    """The name of a commit or a content in the repository around a folder; None without an answer."""
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "rev-parse", "--verify", "--quiet", what]
    # A hook of git that starts a training would let all questions be about its own repository.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, env=outside | SAFELY, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip()
