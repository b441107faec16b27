"""From a run folder to its trained network: what `cldfc eval`, `predict`, `export` and `cldfc.Run` have in common.

The spec in the folder is compiled again, for the module beside it is code and may come from somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldfc.compiler import Task, compile_source
from cldfc.diagnostics import Source
from cldfc.inference import Inference, fold_network, load_folded
from cldfc.train.catalogue import DATA_DIR
from cldfc.train.files import read_text
from cldfc.train.seal import check_seal

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cldfc.train.evaluate import Evaluation
    from cldfc.train.metrics import Part
    from cldfc.train.run import RunFolder, RunRecord


def recompile(text: str, record: RunRecord) -> str:
    """The source of a run's network as it was trained, from the spec in its folder. Raises CldfError."""
    return compile_source(Source("spec.cldf", text), Task(record.input_shape, record.classes))


def folded_network(run: RunFolder, record: RunRecord) -> nn.Module:
    """The network of a run with its weights, normalisations folded where that is possible.

    Raises CldfError, and UsageError when the weights are missing or do not fit. torch is loaded here.
    """
    return load_folded(read_inference(run, record), run.weights)


def read_inference(run: RunFolder, record: RunRecord) -> Inference:
    """The network of a run for inference, without weights. Raises CldfError, and UsageError when its seal is broken."""
    check_seal(run.path)
    return fold_network(Source("spec.cldf", read_text(run.spec)), Task(record.input_shape, record.classes))


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
) -> tuple[Evaluation | None, Evaluation | None]:
    """The test of the module of the training, and that of the folded network, which is faster.

    The first one is left out where the second has the recorded accuracy, or there is none; the second is left out with
    `as_trained`. Raises CldfError, and what `evaluate_run` raises. torch is loaded here.
    """
    from cldfc.train.evaluate import evaluate_fast, evaluate_run

    images = data_dir or DATA_DIR
    fast = None
    if not as_trained:
        fast = evaluate_fast(folder, folded_network, images, data, is_compiled, part, is_trusting, device, workers)
        if fast.recorded_accuracy is None or fast.agrees:
            return None, fast
    return evaluate_run(folder, recompile, images, data, part, is_trusting, device, workers), fast
