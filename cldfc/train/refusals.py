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
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise UsageError(
                f"torch.compile cannot compile the network: {first_line(getattr(error, 'inner_exception', error))}",
                "leave `--compile` out; on a CPU it needs a C++ compiler",
            ) from error
        raise


def first_line(error: Exception) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
