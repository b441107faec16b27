"""What torchrun says to a process by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cldfc.diagnostics import UsageError

MOST_WORKERS = 256
"""Processes that may read images, beside each that trains."""

NUMBERS = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "TORCHELASTIC_RESTART_COUNT": "0", "MASTER_PORT": "0"}
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
    """The place that torchrun gives this process; raises UsageError when the environment makes no sense."""
    said = {name: environment.get(name, otherwise) for name, otherwise in NUMBERS.items()}
    if all(value.isdecimal() and len(value) < 7 for value in said.values()):
        address = environment.get("MASTER_ADDR", "localhost")
        has_agent_store = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        rank, count, device, restarts, port = map(int, said.values())
        launch = Launch(rank, count, device, restarts, port, address, has_agent_store)
        if launch.rank < launch.count:
            return launch
    shown = ", ".join(f"{name}={value}" for name, value in said.items() if name in environment)
    raise UsageError(f"the environment says {shown}", "start the processes with torchrun, or unset these variables")
