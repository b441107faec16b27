"""What torchrun says to a process, and what a job knows of its earlier attempts."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cldfc.diagnostics import UsageError
from cldfc.stop import Stopped

MOST_WORKERS = 256
"""Processes that may read images, beside each that trains."""

_NUMBERS = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "TORCHELASTIC_RESTART_COUNT": "0", "MASTER_PORT": "0"}
"""The variables that are read as numbers, and what they are without torchrun."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The place of a process among those that torchrun has started; without torchrun it is alone."""

    rank: int = 0
    """Its number, from 0."""
    count: int = 1
    """How many processes there are."""
    device: int = 0
    """Its number among the processes of its machine, from 0."""
    restarts: int = 0
    """How often torchrun has started all processes again."""
    port: int = 0
    """Of the store in which the processes meet."""
    address: str = "localhost"
    """Where that store is."""
    has_agent_store: bool = False
    """Whether torchrun itself holds that store, through all restarts."""


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """The place that torchrun gives this process. Raises UsageError if the environment makes no sense."""
    said = {name: environment.get(name, otherwise) for name, otherwise in _NUMBERS.items()}
    if all(value.isdecimal() and len(value) < 7 for value in said.values()):
        address = environment.get("MASTER_ADDR", "localhost")
        has_agent_store = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        rank, count, device, restarts, port = map(int, said.values())
        launch = Launch(rank, count, device, restarts, port, address, has_agent_store)
        if launch.rank < launch.count:
            return launch
    shown = ", ".join(f"{name}={value}" for name, value in said.items() if name in environment)
    raise UsageError(f"the environment says {shown}", "start the processes with torchrun, or unset these variables")


PATIENCE = timedelta(minutes=1)
"""How long torchrun's store may take to answer."""
_RUN, _END = "run", "end"


@dataclass(frozen=True, slots=True)
class Job:
    """All attempts of torchrun at one training; without torchrun there is one, and nothing to know.

    The store is torchrun's own: it outlives the processes and ends with the job, so no other job sees its content.
    """

    launch: Launch = Launch()
    store: Any = None

    def note_run(self, folder: Path | None) -> None:
        """Let the next attempt know which folder this one is about to make; None when it could not."""
        if self.store is not None:
            self.store.set(_RUN, str(folder or ""))

    def begun_run(self) -> Path | None:
        """The folder of the run that an earlier attempt has begun, if there was one. Raises what ended that attempt."""
        self.raise_end()
        if self.store is None and self.launch.restarts:
            raise UsageError(
                "torchrun has started the processes again, but keeps no store that says which run is theirs",
                "unset TORCH_DISABLE_SHARE_RDZV_TCP_STORE, or continue with `cldfc train --resume RUN`",
            )
        noted = self.noted(_RUN)
        return Path(noted) if noted and Path(noted).exists() else None

    @contextmanager
    def noting_end(self) -> Generator[None]:
        """Let the next attempt know if this one ends for a reason that a restart cannot mend."""
        try:
            yield
        except Stopped as stopped:
            self.note_end({"folder": str(stopped.folder), "number": stopped.number})
            raise
        except UsageError as error:
            self.note_end({"message": error.message, "help": error.help, "details": [*error.details]})
            raise

    def note_end(self, end: dict[str, object]) -> None:
        """Write down how this attempt ended; of several processes the first one says it."""
        if self.store is not None:
            # Where torchrun is gone, there is no next attempt.
            with suppress(RuntimeError):
                self.store.compare_set(_END, "", json.dumps({**end, "restarts": self.launch.restarts}, allow_nan=False))

    def raise_end(self) -> None:
        """Raise what ended an earlier attempt, if it was an error or a signal that was heard, not a death."""
        end = json.loads(self.noted(_END) or "{}")
        if end.get("restarts", self.launch.restarts) < self.launch.restarts:
            if "number" in end:
                raise Stopped(Path(end["folder"]), end["number"], self.launch.rank == 0)
            raise UsageError(end["message"], end["help"], end["details"])

    def noted(self, key: str) -> str:
        return self.store.get(key).decode() if self.store is not None and self.store.check([key]) else ""


def this_job(launch: Launch | None = None) -> Job:
    """The job that this process belongs to. Raises UsageError when the environment makes no sense."""
    launch = launch or read_launch()
    if not launch.has_agent_store:
        return Job(launch)
    import torch.distributed as dist

    # torch.distributed has the stores, but does not say so to type checkers.
    stores: Any = dist
    try:
        store = stores.TCPStore(launch.address, launch.port, None, False, PATIENCE)
    except RuntimeError as error:
        where = f"{launch.address}:{launch.port}"
        raise UsageError(
            f"torchrun's store at {where} cannot be reached", "start the processes with torchrun"
        ) from error
    return Job(launch, stores.PrefixStore("cldfc", store))
