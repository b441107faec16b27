"""What a run was trained with: releases, machine and commit, for each time that it was started."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from cldfc.diagnostics import UsageError
from cldfc.train.commit import Commit
from cldfc.train.files import read_text
from cldfc.train.position import TrainingPosition

PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "safetensors", "pydantic")
"""What the images, the weights and the arithmetic come from, as they are installed."""


class Session(BaseModel):
    """One start of a training, or of the rest of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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


class Environment(BaseModel):
    """All sessions of a run, in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sessions: tuple[Session, ...] = ()
    """The first is the start of the run; each other one went on from a checkpoint."""


def session_now(
    position: TrainingPosition, device: str, kind: str, processes: int, commit: Commit | None = None
) -> Session:
    """The session that begins now, on a device of a kind as torch names it, `cpu` or `cuda`."""
    return Session(
        started=datetime.now(UTC).replace(microsecond=0),
        epoch=position.epoch,
        step=position.step,
        device=device,
        processor=torch.cuda.get_device_name() if kind == "cuda" else processor_name(),
        platform=platform.platform(),
        processors=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        processes=processes,
        python=platform.python_version(),
        cuda=torch.version.cuda,
        packages=releases(),
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


def releases() -> dict[str, str]:
    """The releases of cldfc, which need not be installed, and of what it computes with."""
    # The names that the package offers lead to all of it; its release alone is wanted.
    found: dict[str, str] = {"cldfc": import_module("cldfc").__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor_name() -> str:
    """The name of the CPU, as Linux has it; else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
