"""Tests the network of a run folder again, and compares with what the run recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cldfc.train.catalogue import DATA_DIR
from cldfc.train.checkpoint import load_weights
from cldfc.train.files import read_text
from cldfc.train.metrics import Epoch, best_epoch, read_epochs
from cldfc.train.network import build_network, check_fit
from cldfc.train.run import RunFolder, RunRecord, read_record, recorded_dataset
from cldfc.train.score import Score, score_network
from cldfc.train.train import prepare


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The score of the best weights of a run on the test images, now and when it was trained."""

    record: RunRecord
    best: Epoch
    score: Score
    device: str

    @property
    def agrees(self) -> bool:
        """Whether the accuracy is exactly the recorded one."""
        return self.score.accuracy == self.best.test_accuracy


def evaluate_run(folder: Path, source_for: Callable[[str, RunRecord], str], data_dir: Path = DATA_DIR) -> Evaluation:
    """Test the best weights of a run in the way the run did.

    `source_for` compiles the spec in the folder for the recorded data set: the folder may come
    from somebody else, so the source stored in it is not run. The accuracy is the recorded one
    exactly on the same device. Raises UsageError when the folder is not that of a run, or the data
    set is not in `data_dir`.
    """
    run = RunFolder(folder)
    record = read_record(run)
    best = best_epoch(read_epochs(run.metrics))
    network = build_network(source_for(read_text(run.spec), record), record.class_name)
    dataset = recorded_dataset(record)
    check_fit(network, dataset)
    load_weights(network, run.weights)
    task = prepare(network, dataset, record.recipe, data_dir)
    score = score_network(task.network, task.loader.test_batches(), dataset, task.device)
    return Evaluation(record, best, score, str(task.device))
