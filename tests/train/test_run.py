"""The run folder: what is in it, that it is never overwritten, and testing it again."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from cldfc.data.catalogue import find
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.run_folder import RunFolder, RunRecord, create_run, read_record
from cldfc.runs.training_run import Result, train_network
from cldfc.training.metrics import Epoch, as_csv, chosen_epoch, read_epochs, stopped_early
from cldfc.training.step import learning_rate
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import build_network, check_fit


@pytest.fixture
def copied(trained: Result, tmp_path: Path) -> RunFolder:
    """A finished run that may be changed."""
    shutil.copytree(trained.folder, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")


def measured(epoch: int, accuracy: float, loss: float) -> Epoch:
    """An epoch with these test results."""
    return Epoch(
        epoch=epoch,
        train_loss=1 / 3,
        train_accuracy=0.1,
        test_loss=loss,
        test_accuracy=accuracy,
        seconds=1e-9,
    )


def test_files(trained: Result, tiny: str) -> None:
    names = {path.name for path in trained.folder.iterdir()}
    assert names == {
        "spec.cldf",
        "network.py",
        "recipe.json",
        "SHA256SUMS",
        "environment.json",
        "metrics.csv",
        "best.safetensors",
        "report.html",
        "checkpoints",
    }
    assert (trained.folder / "spec.cldf").read_text() == "model Tiny  # 1 < 2 & 3\n"
    assert (trained.folder / "network.py").read_text() == tiny


def test_record(trained: Result, recipe: Recipe) -> None:
    record = json.loads((trained.folder / "recipe.json").read_text())
    assert record["recipe"] == recipe.model_dump()
    assert record["input_shape"] == [1, 8, 8] and record["classes"] == 10
    assert (record["class_name"], record["dataset"]) == ("Tiny", "digits")


def test_metrics(trained: Result, recipe: Recipe) -> None:
    epochs = read_epochs(trained.folder / "metrics.csv")
    assert [epoch.epoch for epoch in epochs] == list(range(1, recipe.epochs + 1))
    assert epochs[-1] == trained.final == trained.chosen


VALIDATED = [(0.8, 1), (0.9, 3), (0.9, 2), (0.9, 2), (0.7, 1)]
"""Accuracies and losses of epochs."""


def validated(results: Sequence[tuple[float, float]]) -> list[Epoch]:
    """Epochs with these results in validation; the tests would say the opposite."""
    return [
        measured(number, 1 - accuracy, 1).model_copy(
            update={"validation_accuracy": accuracy, "validation_loss": float(loss)}
        )
        for number, (accuracy, loss) in enumerate(results, 1)
    ]


def test_the_chosen_epoch() -> None:
    """The highest accuracy, then the lowest loss, then the first; of earlier releases by the test."""
    assert chosen_epoch(validated(VALIDATED), "validation").epoch == 3
    assert chosen_epoch(validated(VALIDATED), "last").epoch == 5
    epochs = [measured(number, accuracy, loss) for number, (accuracy, loss) in enumerate(VALIDATED, 1)]
    assert chosen_epoch(epochs, "test").epoch == 3
    assert chosen_epoch(epochs, "last").epoch == 5


@pytest.mark.parametrize(
    ("patience", "accuracies", "ends"),
    [
        (2, [0.5, 0.6, 0.6, 0.6], [4]),
        (1, [0.5, 0.6, 0.6], [3]),
        (3, [0.5, 0.4, 0.3, 0.6, 0.5, 0.6, 0.6], [7]),
        (3, [0.5, 0.4, 0.3, 0.5001, 0.4, 0.3], []),
        (0, [0.5] * 9, []),
        # The last epoch of all does not come early.
        (2, [0.5] * 10, [3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_when_a_training_stops_early(patience: int, accuracies: list[float], ends: list[int]) -> None:
    recipe = Recipe(epochs=10, batch=2, lr=1, holdout=0.1, patience=patience)
    epochs = validated([(accuracy, 1) for accuracy in accuracies])
    assert [n for n in range(len(epochs) + 1) if stopped_early(epochs[:n], recipe)] == ends


def test_metrics_are_read_back_exactly(tmp_path: Path) -> None:
    epochs = [measured(n, n / 360, 1 / n) for n in range(1, 360)]
    (tmp_path / "metrics.csv").write_text(as_csv(epochs))
    assert read_epochs(tmp_path / "metrics.csv") == epochs


def test_metrics_of_an_older_release(tmp_path: Path) -> None:
    names = "epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds"
    (tmp_path / "metrics.csv").write_text(f"{names}\n1,{1 / 3},0.1,1,0.5,1e-9\n")
    assert read_epochs(tmp_path / "metrics.csv") == [measured(1, 0.5, 1)]


def test_the_rate_and_the_speed_of_every_epoch(trained: Result, recipe: Recipe) -> None:
    epochs, steps = read_epochs(trained.folder / "metrics.csv"), 1437 // recipe.batch
    last = [learning_rate(recipe, steps * epoch - 1, steps * recipe.epochs) for epoch in range(1, recipe.epochs + 1)]
    assert [epoch.lr for epoch in epochs] == last
    for epoch in epochs:
        # The test is part of an epoch's seconds, but not of its training.
        assert epoch.images_per_second and epoch.images_per_second > steps * recipe.batch / epoch.seconds


def test_a_run_without_an_epoch_has_no_measurements(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_epochs(tmp_path / "metrics.csv")
    assert "finished at least one epoch" in caught.value.help
    with pytest.raises(UsageError) as caught:
        read_record(RunFolder(tmp_path))
    assert "epoch" not in caught.value.help


def test_a_given_folder_is_not_overwritten(trained: Result, tiny: str, recipe: Recipe) -> None:
    before = {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="exists already"):
        train_network(Compiled("", tiny, "Tiny"), find("digits"), recipe, trained.folder)
    assert {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()} == before


def test_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: str, recipe: Recipe) -> None:
    monkeypatch.chdir(tmp_path)
    short = change_recipe(recipe, {"epochs": 1})
    results = [train_network(Compiled("", tiny, "Tiny"), find("digits"), short, None) for _ in range(2)]
    assert [str(r.folder) for r in results] == ["runs/Tiny-digits-1", "runs/Tiny-digits-2"]


def test_somebody_else_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Result) -> None:
    """Between the look at the folder and its name another training may take it."""
    monkeypatch.chdir(tmp_path)
    record, heard = read_record(RunFolder(trained.folder)), list[Path | None]()

    def note(folder: Path | None) -> None:
        heard.append(folder)
        if len(heard) == 1 and folder is not None:
            folder.mkdir(parents=True)
            (folder / "recipe.json").touch()

    assert create_run(None, record, Compiled("model M\n", "", "M"), note).path == Path("runs/Tiny-digits-2")
    assert heard == [Path("runs/Tiny-digits-1"), None, Path("runs/Tiny-digits-2")]
    heard.clear()
    with pytest.raises(UsageError, match="`run` exists already"):
        create_run(Path("run"), record, Compiled("model M\n", "", "M"), note)
    assert heard == [Path("run"), None]
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["Tiny-digits-1", "Tiny-digits-2", "recipe.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, trained: Result) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot make the folder `.*/file/run`: Not a directory"):
        create_run(tmp_path / "file" / "run", read_record(RunFolder(trained.folder)), Compiled("", "", "M"))


def test_a_folder_that_cannot_be_written_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Result
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UsageError, match=r"cannot make the folder `.*/run`: .*No space left") as caught:
        create_run(tmp_path / "run", read_record(RunFolder(trained.folder)), Compiled("", "", "M"))
    assert caught.value.help == "make room" and not list(tmp_path.iterdir())


def test_evaluation_gives_the_recorded_accuracy(trained: Result, tiny: str) -> None:
    asked: list[tuple[str, RunRecord]] = []

    def source_for(spec_text: str, record: RunRecord) -> str:
        asked.append((spec_text, record))
        return tiny

    evaluation = evaluate_run(trained.folder, source_for)
    assert evaluation.agrees and evaluation.recorded == trained.chosen
    assert evaluation.score.accuracy == trained.chosen.test_accuracy
    assert evaluation.score.loss == trained.chosen.test_loss
    assert asked == [("model Tiny  # 1 < 2 & 3\n", read_record(RunFolder(trained.folder)))]


def test_evaluation_does_not_run_the_stored_source(copied: RunFolder, tiny: str) -> None:
    copied.source.write_text("raise SystemExit('the stored source ran')\n")
    assert evaluate_run(copied.path, lambda _spec, _record: tiny).agrees


def test_evaluation_notices_other_results(copied: RunFolder, tiny: str) -> None:
    copied.metrics.write_text(as_csv([measured(1, 0.5, 1)]))
    assert not evaluate_run(copied.path, lambda _spec, _record: tiny).agrees


@pytest.mark.parametrize("name", ["spec.cldf", "recipe.json", "metrics.csv", "best.safetensors"])
def test_a_file_is_missing(copied: RunFolder, tiny: str, name: str) -> None:
    (copied.path / name).unlink()
    with pytest.raises(UsageError, match=f"cannot read .*{name}"):
        evaluate_run(copied.path, lambda _spec, _record: tiny)


@pytest.mark.parametrize("content", ["", "epoch\n", "a,b\n1,2\n", "epoch\nx\n"])
def test_metrics_are_something_else(copied: RunFolder, content: str) -> None:
    copied.metrics.write_text(content)
    with pytest.raises(UsageError, match=r"metrics\.csv` (does not hold|holds no)"):
        read_epochs(copied.metrics)


def test_record_with_an_unknown_key(copied: RunFolder) -> None:
    record = json.loads(copied.record.read_text())
    copied.record.write_text(json.dumps({**record, "epoch": 3}))
    with pytest.raises(UsageError, match="is not the record of a run: `epoch`: there is no such field"):
        read_record(copied)


def test_record_of_an_older_and_of_a_later_release(copied: RunFolder) -> None:
    record = read_record(copied)
    fields = json.loads(copied.record.read_text())
    copied.record.write_text(json.dumps({name: value for name, value in fields.items() if name != "format"}))
    assert read_record(copied).recipe == record.recipe
    copied.record.write_text(json.dumps({**fields, "format": 99, "new": 1}))
    with pytest.raises(UsageError, match="has format 99, of a later release of cldfc; this one reads formats up to"):
        read_record(copied)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_record_is_something_else(copied: RunFolder, content: bytes) -> None:
    copied.record.write_bytes(content)
    with pytest.raises(UsageError, match=r"recipe\.json"):
        read_record(copied)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class Tiny(", "SyntaxError"),
        ("import torch", "has no attribute 'Tiny'"),
        ("class Tiny: pass", "not a torch module"),
        ("class Tiny:\n    def __init__(self): raise ValueError('no')", "ValueError: no"),
        ("Tiny = 3", "it is not a class"),
    ],
)
def test_source_without_a_network(source: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        build_network(source, "Tiny")


def test_sources_do_not_share_names(tiny: str) -> None:
    build_network(tiny + "LEFT_BEHIND = 1\n", "Tiny")
    with pytest.raises(UsageError, match="LEFT_BEHIND"):
        build_network("Tiny = LEFT_BEHIND", "Tiny")


@pytest.mark.parametrize(("old", "new"), [("Conv2d(1", "Conv2d(3"), ("512, 10", "512, 9")])
def test_network_for_other_images(tiny: str, old: str, new: str) -> None:
    network = build_network(tiny.replace(old, new), "Tiny")
    with pytest.raises(UsageError, match="does not fit the data set `digits`") as caught:
        check_fit(network, find("digits"))
    assert caught.value.help == "its input must be 1 × 8 × 8 and its output 10"
