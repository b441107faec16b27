"""When torch cannot write a network in another form, and what it says on the way."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from cldfc.diagnostics import UsageError


@contextmanager
def exporting(what: str, model: str) -> Generator[None]:
    """Keep torch's warnings to itself; raises UsageError for whatever it raises."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{what} cannot write {model}: {type(error).__name__}: {reason}",
            "try another format, and please report the spec",
        ) from error
    finally:
        logging.disable(logging.NOTSET)
