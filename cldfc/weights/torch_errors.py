"""Errors of torch in plain words; torch itself is not loaded for them."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from cldfc.diagnostics import UsageError

_NOT_DETERMINISTIC = re.compile(r"(\w+) does not have a deterministic implementation")
_NO_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "calculation overflowed",
    "multiplication overflow",
)
"""How torch reports that memory is short, on any device, or that an amount is impossible."""
_AMOUNT = re.compile(r"allocate ([\d.]+ ?[kKMGTP]?i?B(?:ytes)?|\d+ bytes)", re.IGNORECASE)


def lacks_memory(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    )


def _is_of_compiling(error: BaseException) -> bool:
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))


_DEPENDS = re.compile(r"data[- ]dependent|Tensor\.item", re.IGNORECASE)
"""How torch reports a branch or a loop that needs a number from the device."""


def why_not_compiled(error: BaseException) -> str:
    """Why torch.compile failed, to follow `cannot compile the network: `."""
    if lacks_memory(error):
        return f"needs more memory than there is{amount_of(error)}"
    inner: BaseException = getattr(error, "inner_exception", error)
    if _is_of_compiling(error) and _DEPENDS.search(str(inner)):
        return "cannot compile the network: how long it iterates depends on the data, as in `solve` and `fix`"
    lines = str(inner).strip().splitlines() or [type(inner).__name__]
    # The message of the C++ compiler, if there is one.
    return f"cannot compile the network: {next((line for line in lines if 'fatal error' in line), lines[0])}"


@contextmanager
def within_memory(what: str, help: str = "make the network smaller, for instance by `--let`") -> Generator[None]:
    """Raises UsageError, which names what did not fit, where memory is short."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise UsageError(f"{what} does not fit into memory{amount_of(error)}", help) from error


def amount_of(error: BaseException) -> str:
    """How much memory was asked for, if that is known."""
    found = _AMOUNT.search(str(error))
    if found is None:
        return ""
    number, _, unit = found[1].partition(" ")
    asked = f"{int(number) / 1e9:,.1f} GB" if unit == "bytes" else found[1]
    return f": {asked} were asked for at once"


@contextmanager
def refusals(what: str = "the network") -> Generator[None]:
    """Raises UsageError where torch lacks a deterministic algorithm, cannot compile, or memory is short."""
    try:
        with within_memory(what, "give a smaller `--batch`, or make the network smaller"):
            yield
    except RuntimeError as error:
        refused = _NOT_DETERMINISTIC.search(str(error))
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
        if _is_of_compiling(error):
            raise UsageError(
                f"torch.compile {why_not_compiled(error)}",
                "leave `--compile` out; on a CPU it needs a C++ compiler such as g++, and Python's headers",
            ) from error
        raise
