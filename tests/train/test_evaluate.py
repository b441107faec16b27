"""`cldfc eval`: the folded network against the module run by hand, other data sets, torch.compile."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_run import cldfc, digits, scores_by_hand, train_small
from networks import only_in_fuzz, some
from torch import nn
from torch.nn.functional import cross_entropy

from cldfc.data.catalogue import find
from cldfc.data.fake import load as load_fake
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.runs.evaluate import evaluate_fast
from cldfc.runs.run_folder import RunFolder, RunRecord
from cldfc.trained import folded_network
from cldfc.training.metrics import as_csv, read_epochs
from cldfc.weights.inference import freeze

CPU = Device("cpu", False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cldfc.device.cpu_has_bf16", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("in_float32")
def test_the_folded_network_scores_as_the_module_by_hand(run: Path) -> None:
    images = digits()
    scores = scores_by_hand(run, images.pixels)
    found = evaluate_fast(run, folded_network)
    assert found.score.images == 360 and found.seconds > 0
    assert found.score.accuracy == float((scores.argmax(1) == images.labels).double().mean())
    assert found.score.loss == pytest.approx(float(cross_entropy(scores, images.labels)), rel=1e-5)
    assert found.device == "cpu, float32, channels-last, folded"


def test_as_trained_the_accuracy_is_the_recorded_one(run: Path) -> None:
    found = json.loads(cldfc("eval", run, "--as-trained", "--json").stdout)
    last = read_epochs(run / "metrics.csv")[-1]
    assert found["agrees"] and found["test_accuracy"] == last.test_accuracy and found["test_loss"] == last.test_loss
    assert "folded" not in found["device"]
    assert f"{last.test_accuracy:.2%}, as recorded in epoch {last.epoch}" in cldfc("eval", run, "--as-trained").stdout


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize(
    ("more", "words"), [(2, "2 of 360 images fewer are right"), (-1, "1 of 360 images more is right")]
)
def test_what_differs_from_the_record_is_said(run: Path, tmp_path: Path, more: int, words: str) -> None:
    copied = shutil.copytree(run, tmp_path / "copied")
    now = evaluate_fast(run, folded_network).score.accuracy
    (epoch, *_) = read_epochs(copied / "metrics.csv")
    recorded = epoch.model_copy(update={"test_accuracy": now + more / 360})
    (copied / "metrics.csv").write_text(as_csv([recorded]))
    lines = cldfc("eval", copied).stdout.splitlines()
    assert lines[1] == f"test accuracy {now:.2%}, recorded was {now + more / 360:.2%} in epoch 1: {words}"
    assert lines[2] == f"folded {now:.2%}: {words}"
    assert lines[3].endswith(" images/s")


def test_where_folding_changes_a_class_the_recorded_accuracy_is_found_all_the_same(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if folding had turned the last layer around."""

    def upside_down(folder: RunFolder, record: RunRecord) -> nn.Module:
        network = folded_network(folder, record)
        with torch.no_grad():
            for parameter in list(network.parameters())[-2:]:
                parameter.neg_()
        return network

    monkeypatch.setattr("cldfc.trained.folded_network", upside_down)
    last = read_epochs(run / "metrics.csv")[-1]
    lines = cldfc("eval", run).stdout.splitlines()
    assert lines[1] == f"test accuracy {last.test_accuracy:.2%}, as recorded in epoch {last.epoch}"
    assert lines[2].startswith("folded ") and lines[2].endswith(" images fewer are right")
    found = json.loads(cldfc("eval", run, "--json").stdout)
    assert found["agrees"] and found["test_accuracy"] == last.test_accuracy > found["folded_test_accuracy"]


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize("way", [[], ["--as-trained"]])
def test_another_data_set_is_standardised_as_the_runs_own(run: Path, way: list[str]) -> None:
    name = "fake:1x8x8:10"
    images = load_fake(find(name), Path()).test
    # Full brightness is 255 there, and 16 in the digits.
    scores = scores_by_hand(run, images.pixels * (16 / 255))
    found = json.loads(cldfc("eval", run, "--data", name, *way, "--json").stdout)
    assert (found["data"], found["trained_on"], found["images"]) == (name, "digits", 256)
    assert found["test_loss"] == pytest.approx(float(cross_entropy(scores, images.labels)), rel=1e-5)
    assert found["test_accuracy"] == float((scores.argmax(1) == images.labels).double().mean())
    assert found["recorded_test_accuracy"] is found["agrees"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--data", "mnist"],
            "has images of 1 × 28 × 28 in 10 classes, and the run was trained on images of 1 × 8 × 8",
        ),
        (["--data", "fake:1x8x8:11"], "images of 1 × 8 × 8 in 11 classes"),
        (["--data", "mnits"], "there is no data set `mnits`"),
        (["--as-trained", "--compile"], "cannot be used together"),
    ],
)
def test_what_cannot_be_tested(run: Path, options: list[str], message: str) -> None:
    result = cldfc("eval", run, *options)
    assert result.exit_code == 2 and message in result.stderr and not result.stdout


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()


@only_in_fuzz
def test_a_compiled_network_says_the_same_of_full_and_of_smaller_batches() -> None:
    network = small_network()
    frozen = freeze(CPU.place(network), CPU, 8, (3, 4, 4))
    counters: Any = import_module("torch._dynamo.utils").counters
    compiled = counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        images = torch.randn(8, 3, 4, 4)
        for count in (8, 3):
            torch.testing.assert_close(CPU.scores(frozen, images[:count]), network(images[:count]))
    assert counters["stats"]["unique_graphs"] == compiled


@pytest.fixture
def broken_compiler(tmp_path: Path) -> str:
    """A compiler that lacks Python's headers."""
    script = tmp_path / "broken-compiler"
    fails = "echo 'x.cpp:1:10: fatal error: Python.h: No such file or directory' >&2; exit 1"
    script.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo g++ 12;; *) {fails};; esac\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("is_there", "reason"), some([(True, "fatal error: Python.h"), (False, "No working C.. compiler")], 2)
)
def test_without_a_compiler_that_works_there_is_a_kind_error(broken_compiler: str, is_there: bool, reason: str) -> None:
    config: Any = import_module("torch._inductor.config")
    search: Any = import_module("torch._inductor.cpp_builder").cpp_compiler_search
    compiler = broken_compiler if is_there else "no-such-compiler"
    with config.patch({"cpp.cxx": (compiler,), "force_disable_caches": True}):
        search.cache_clear()
        with pytest.raises(UsageError, match=rf"torch\.compile cannot compile the network: .*{reason}") as caught:
            freeze(CPU.place(small_network()), CPU, 8, (3, 4, 4))
    search.cache_clear()
    assert "`--compile`" in str(caught.value)
