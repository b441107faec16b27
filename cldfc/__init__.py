"""cldfc: a declarative graph-spec compiler to PyTorch.

A network is written as the recurrence equations of *Constrained Linear Data-feature Mapping for
Image Classification*; cldfc compiles them to a PyTorch module and trains it.
"""

__version__ = "0.1.0"
