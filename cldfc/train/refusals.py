"""What torch refuses to compute, in words."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from cldfc.diagnostics import UsageError

NOT_DETERMINISTIC = re.compile(r"(\w+) does not have a deterministic implementation")


@contextmanager
def refusals() -> Generator[None]:
    """Raises UsageError where torch has no deterministic algorithm, or cannot compile."""
    try:
        yield
    except RuntimeError as error:
        refused = NOT_DETERMINISTIC.search(str(error))
        if refused:
            raise UsageError(
                f"torch has no deterministic algorithm for `{refused[1]}` on this device",
                "leave `--precise` out, or train on the CPU",
            ) from error
        if "CUBLAS_WORKSPACE_CONFIG" in str(error):
            raise UsageError(
                "torch has multiplied matrices in this process before, by algorithms that are not deterministic",
                "set CUBLAS_WORKSPACE_CONFIG=:4096:8 before the process starts, or train in a new one",
            ) from error
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise UsageError(
                f"torch.compile cannot compile the network: {reason_of(getattr(error, 'inner_exception', error))}",
                "leave `--compile` out; on a CPU it needs a C++ compiler such as g++, and Python's headers",
            ) from error
        raise


def reason_of(error: Exception) -> str:
    """What went wrong, in a line: what the C++ compiler says, if it says something."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "fatal error" in line), lines[0])
