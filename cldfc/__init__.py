"""cldfc: a declarative graph-spec compiler to PyTorch.

A network is written as the recurrence equations of *Constrained Linear Data-feature Mapping for
Image Classification*; cldfc compiles them to a PyTorch module and trains it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cldfc.diagnostics import CldfError, UsageError
    from cldfc.notebook import load_ipython_extension as load_ipython_extension
    from cldfc.spec import Run, Spec, load, load_run, specs
    from cldfc.stop import Stopped
    from cldfc.weights.import_weights import import_weights

__all__ = [
    "CldfError",
    "Run",
    "Spec",
    "Stopped",
    "UsageError",
    "__version__",
    "import_weights",
    "load",
    "load_run",
    "specs",
]

__version__ = "0.1.0"

HOMES = {
    "CldfError": "cldfc.diagnostics",
    "Run": "cldfc.spec",
    "Spec": "cldfc.spec",
    "Stopped": "cldfc.stop",
    "UsageError": "cldfc.diagnostics",
    "import_weights": "cldfc.weights.import_weights",
    "load": "cldfc.spec",
    "load_ipython_extension": "cldfc.notebook",
    "load_run": "cldfc.spec",
    "specs": "cldfc.spec",
}
"""Where the public names are defined, and what IPython looks for."""


def __getattr__(name: str) -> object:
    """A public name, loaded when it is first asked for: `import cldfc` loads neither torch nor the compiler."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
