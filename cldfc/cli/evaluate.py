"""`cldfc eval`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cldfc.cli.options import DataDir, Json, RunPath, errors
from cldfc.compiler import Task, compile_source
from cldfc.diagnostics import Source

if TYPE_CHECKING:
    from cldfc.train.evaluate import Evaluation
    from cldfc.train.run import RunRecord


def evaluate(run: RunPath, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Test the best weights of a run again, from its folder alone.

    Example: cldfc eval runs/FBResNet-digits-1
    """
    with errors():
        from cldfc.train.catalogue import DATA_DIR
        from cldfc.train.evaluate import evaluate_run

        found = evaluate_run(run, recompile, data_dir or DATA_DIR)
        if as_json:
            print(json.dumps(evaluation_as_data(found), ensure_ascii=False, indent=2))
            return
        print(f"{found.record.class_name} on {found.record.dataset} ({found.device}): {found.record.split}")
        recorded = "as recorded" if found.agrees else f"recorded was {found.best.test_accuracy:.2%}"
        print(f"test accuracy {found.score.accuracy:.2%}, {recorded} in epoch {found.best.epoch}")


def evaluation_as_data(found: Evaluation) -> dict[str, object]:
    """The same as plain data; accuracies are shares, from 0 to 1."""
    return {
        "model": found.record.class_name,
        "data": found.record.dataset,
        "split": found.record.split,
        "device": found.device,
        "test_accuracy": found.score.accuracy,
        "test_loss": found.score.loss,
        "recorded_test_accuracy": found.best.test_accuracy,
        "recorded_epoch": found.best.epoch,
        "agrees": found.agrees,
    }


def recompile(text: str, record: RunRecord) -> str:
    """The source of a run's network, from the spec in its folder."""
    return compile_source(Source("spec.cldf", text), Task(record.input_shape, record.classes))
