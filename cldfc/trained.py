"""From a run folder to its trained network: what `cldfc eval`, `predict`, `export` and `cldfc.Run` have in common.

The spec in the folder is compiled again, for the module beside it is code and may come from somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldfc.compilation import Compilation
from cldfc.inference import load_folded
from cldfc.train.catalogue import DATA_DIR
from cldfc.train.files import read_text
from cldfc.train.seal import check_seal
from cldfc.training import compilation_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cldfc.train.evaluate import Evaluation
    from cldfc.train.recipe import Part
    from cldfc.train.run import RunFolder, RunRecord


def recompile(run: RunFolder, record: RunRecord) -> Compilation:
    """A run's network, from the spec in its folder. Raises UsageError when that is not the one that was trained."""
    check_seal(run.path)
    return compilation_of_run(read_text(run.spec), record)


def trained_code(text: str, record: RunRecord) -> str:
    return compilation_of_run(text, record).code()


def folded_network(run: RunFolder, record: RunRecord) -> nn.Module:
    """The network of a run with its weights, normalisations folded where that is possible.

    Raises CldfError, and UsageError when the weights are missing or do not fit. torch is loaded here.
    """
    return load_folded(recompile(run, record).folded(), run.weights)


def evaluate_again(
    folder: Path,
    data_dir: Path | None = None,
    data: str | None = None,
    part: Part = "test",
    as_trained: bool = False,
    is_compiled: bool = False,
    is_trusting: bool = False,
    device: str | None = None,
    workers: int | None = None,
) -> tuple[Evaluation, Evaluation | None]:
    """The test of a run that counts, and that of its folded network, which is faster and left out with `as_trained`.

    The folded one counts where it has the recorded accuracy, or none is recorded; else the module of the training is
    tested, too. Raises CldfError, and what `evaluate_run` raises. torch is loaded here.
    """
    from cldfc.train.evaluate import evaluate_fast, evaluate_run

    images = data_dir or DATA_DIR
    fast = None
    if not as_trained:
        fast = evaluate_fast(folder, folded_network, images, data, is_compiled, part, is_trusting, device, workers)
        if fast.recorded_accuracy is None or fast.agrees:
            return fast, fast
    return evaluate_run(folder, trained_code, images, data, part, is_trusting, device, workers), fast
