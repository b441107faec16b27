"""From a run folder to its trained network: what `cldfc eval`, `predict` and `export` have in common.

The spec in the folder is compiled again, for the module beside it is code and may come from somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldfc.compilation import Compilation, Task
from cldfc.diagnostics import Source
from cldfc.inference import load_folded
from cldfc.train.files import read_text

if TYPE_CHECKING:
    from torch import nn

    from cldfc.train.run import RunFolder, RunRecord


def recompile(text: str, record: RunRecord) -> Compilation:
    """A run's network, from the spec in its folder."""
    return Compilation(Source("spec.cldf", text), Task(record.input_shape, record.classes))


def trained_code(text: str, record: RunRecord) -> str:
    """The source of a run's network as it was trained, from the spec in its folder. Raises CldfError."""
    return recompile(text, record).code()


def folded_network(run: RunFolder, record: RunRecord) -> nn.Module:
    """The network of a run with its weights, normalisations folded where that is possible.

    Raises CldfError, and UsageError when the weights are missing or do not fit. torch is loaded here.
    """
    return load_folded(recompile(read_text(run.spec), record).folded(), run.weights)
