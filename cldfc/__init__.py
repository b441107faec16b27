"""cldfc: a declarative graph-spec compiler to PyTorch.

A network is written as the recurrence equations of *Constrained Linear Data-feature Mapping for
Image Classification*; cldfc compiles them to a PyTorch module and trains it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cldfc.train.import_weights import import_weights

__all__ = ["__version__", "import_weights"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`import_weights`, loaded when it is first asked for: it imports torch, `import cldfc` does not."""
    if name != "import_weights":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cldfc.train.import_weights import import_weights

    return import_weights
