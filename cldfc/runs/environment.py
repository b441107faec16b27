"""What a run was trained with, for each time that it was started: command, commit, releases, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cldfc.diagnostics import UsageError
from cldfc.files import read_text
from cldfc.output import is_unicode, printable
from cldfc.processors import usable_processors
from cldfc.training.metrics import TrainingPosition


def command_line(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """`cldfc` with some arguments, as a shell reads it; started by torchrun where the environment says so."""
    # What stands in a record must be UTF-8.
    arguments = [argument if is_unicode(argument) else printable(argument) for argument in arguments]
    said = environment.get("WORLD_SIZE", "1")
    processes = int(said) if said.isdecimal() else 1
    if processes == 1:
        return shlex.join(["cldfc", *arguments])
    said = environment.get("LOCAL_WORLD_SIZE", "")
    local = int(said) if said.isdecimal() else processes
    machines = ["--nnodes", str(processes // local)] if processes > local else []
    return shlex.join(["torchrun", *machines, "--nproc-per-node", str(local), "-m", "cldfc", *arguments])


LIMIT = 2.0
"""Seconds that git may take for an answer."""

# Nothing is written, fetched or asked, and no program that a repository names is started.
_SAFELY = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}


class Commit(BaseModel, frozen=True, extra="forbid"):
    """Where the files of a spec stand in the history of their folder."""

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
    commit = _ask_git(files[0].resolve().parent, "HEAD")
    return Commit(commit=commit, is_changed=any(map(_is_changed, files))) if commit else None


def _is_changed(file: Path) -> bool:
    """Whether a file is not what the commit of its folder holds; line ends make no difference."""
    file = file.resolve()
    name = _ask_git(file.parent, f"HEAD:./{file.name}")
    try:
        data = file.read_bytes()
    except OSError:
        return True
    return name not in {_blob_name(text, len(name or "")) for text in (data, data.replace(b"\r\n", b"\n"))}


def _blob_name(data: bytes, digits: int) -> str:
    """The name that git gives a content, by SHA-1 or, where names have 64 digits, by SHA-256."""
    algorithm = hashlib.sha256 if digits == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(data) + data).hexdigest()


def _ask_git(folder: Path, what: str) -> str | None:
    """The name of a commit or a content in the repository around a folder; None without an answer."""
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", "rev-parse", "--verify", "--quiet", what]
    # A hook of git that starts a training would let all questions be about its own repository.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, env=outside | _SAFELY, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip()


_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "safetensors", "pydantic")
"""What the images, the weights and the arithmetic come from, as they are installed."""


class Session(BaseModel, frozen=True, extra="forbid"):
    """One start of a training, or of the rest of it."""

    started: datetime
    """In UTC."""
    epoch: int
    """The epoch that it began in, from 1."""
    step: int
    """Steps of that epoch that had been done before."""
    device: str
    """Processor, precision and memory layout, in words."""
    processor: str
    """The name of the processor, or of the CUDA device."""
    platform: str
    processors: int
    """Processors that the process may use."""
    threads: int
    """Threads that torch uses; sums in float32 depend on them."""
    processes: int
    """Processes that train together."""
    python: str
    cuda: str | None
    """The release of CUDA that torch was built for."""
    packages: dict[str, str]
    commit: Commit | None = None
    """The git commit of the spec; a run that goes on takes its spec from its folder."""


class Environment(BaseModel, frozen=True, extra="forbid"):
    """All sessions of a run, in their order."""

    sessions: tuple[Session, ...] = ()
    """The first is the start of the run; each other one went on from a checkpoint."""


def session_now(
    position: TrainingPosition, device: str, kind: str, processes: int, commit: Commit | None = None
) -> Session:
    """The session that begins now, on a device of a kind as torch names it, `cpu` or `cuda`."""
    import torch

    return Session(
        started=datetime.now(UTC).replace(microsecond=0),
        epoch=position.epoch,
        step=position.step,
        device=device,
        processor=torch.cuda.get_device_name() if kind == "cuda" else _processor_name(),
        platform=platform.platform(),
        processors=usable_processors(),
        threads=torch.get_num_threads(),
        processes=processes,
        python=platform.python_version(),
        cuda=torch.version.cuda,
        packages=_releases(),
        commit=commit,
    )


def read_environment(path: Path) -> Environment:
    """The sessions in a file, none where it is missing. Raises UsageError when it holds anything else."""
    if not path.exists():
        return Environment()
    try:
        return Environment.model_validate_json(read_text(path))
    except ValidationError as error:
        raise UsageError(
            f"`{path}` does not hold the environment of a run",
            "move it away: the run goes on without it, and begins another one",
        ) from error


def _releases() -> dict[str, str]:
    """The releases of cldfc, which need not be installed, and of what it computes with."""
    # The names that the package offers lead to all of it; its release alone is wanted.
    found: dict[str, str] = {"cldfc": import_module("cldfc").__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor_name() -> str:
    """The name of the CPU, as Linux has it; else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
