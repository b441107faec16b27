"""`cldfc eval`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldfc.cli.options import DataDir, RunPath, errors
from cldfc.compiler import Task, compile_source
from cldfc.diagnostics import Source

if TYPE_CHECKING:
    from cldfc.train.run import RunRecord


def evaluate(run: RunPath, data_dir: DataDir = None) -> None:
    """Test the best weights of a run again, from its folder alone.

    Example: cldfc eval runs/FBResNet-digits-1
    """
    with errors():
        from cldfc.train.catalogue import DATA_DIR
        from cldfc.train.evaluate import evaluate_run

        found = evaluate_run(run, recompile, data_dir or DATA_DIR)
        print(f"{found.record.class_name} on {found.record.dataset} ({found.device}): {found.record.split}")
        recorded = "as recorded" if found.agrees else f"recorded was {found.best.test_accuracy:.2%}"
        print(f"test accuracy {found.score.accuracy:.2%}, {recorded} in epoch {found.best.epoch}")


def recompile(text: str, record: RunRecord) -> str:
    """The source of a run's network, from the spec in its folder."""
    return compile_source(Source("spec.cldf", text), Task(record.input_shape, record.classes))
