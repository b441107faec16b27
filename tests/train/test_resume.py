"""A run that is interrupted and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from networks import some
from safetensors.torch import load_file
from small_run import EVERY_STEP, IMAGES, RECIPE, SMALL, STEPS, Killed, Killer, kill, reached, resume, train

from cldfc.data.catalogue import find
from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.training_run import prepare
from cldfc.training.checkpoint_folder import list_checkpoints, read_checkpoint
from cldfc.training.metrics import read_epochs
from cldfc.training.state import restore_tensors
from cldfc.training.step import make_optimizer
from cldfc.weights.network import build_network


@pytest.mark.parametrize(("epoch", "step"), some([(1, 1), (1, 2), (2, 1), (2, 5), (3, STEPS), (4, STEPS)], 2))
@pytest.mark.parametrize("minutes", [EVERY_STEP, 10])
def test_a_resumed_run_is_the_whole_run(whole: Path, tmp_path: Path, epoch: int, step: int, minutes: float) -> None:
    folder = kill(tmp_path / "run", epoch, step, minutes)
    torch.manual_seed(99)  # pyright: ignore[reportUnknownMemberType]
    result = resume(folder)
    assert reached(folder) == reached(whole)
    assert result.final.test_loss == read_epochs(whole / "metrics.csv")[-1].test_loss
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("changes", [{"optimizer": "adamw"}, {"momentum": 0.0}, {"schedule": "step"}], ids=str)
def test_every_optimizer_goes_on(tmp_path: Path, changes: dict[str, object]) -> None:
    recipe = change_recipe(RECIPE, {"epochs": 2, "lr": 0.01, **changes})
    train(tmp_path / "whole", recipe)
    resume(kill(tmp_path / "run", 2, 4, recipe=recipe))
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


def test_three_and_three_epochs_are_six(tmp_path: Path) -> None:
    recipe = find(IMAGES).recipe
    three, six = (change_recipe(recipe, {"epochs": epochs, "lr": 0.01, "drop_every": 2}) for epochs in (3, 6))
    train(tmp_path / "six", six)
    train(tmp_path / "run", three)
    resume(tmp_path / "run", epochs=6)
    assert reached(tmp_path / "run") == reached(tmp_path / "six")
    records = [(tmp_path / name / "recipe.json").read_bytes() for name in ("run", "six")]
    assert records[0] == records[1]


def test_what_contradicts_the_record_is_refused(whole: Path) -> None:
    before = reached(whole)
    for changes, message in (
        ({"epochs": 6}, "cannot become one of 6: its learning rate depends"),
        ({"epochs": 3}, "has 4 epochs, not 3"),
        ({"batch": 64}, "was started with batch 128, not 64"),
        ({"dataset": "digits"}, "was started with dataset fake:1x8x8:10, not digits"),
    ):
        with pytest.raises(UsageError, match=message):
            resume(whole, **changes)
    assert reached(whole) == before


def test_what_agrees_with_the_record_is_not(whole: Path, tmp_path: Path) -> None:
    resume(kill(tmp_path / "run", 2, 2), epochs=4, batch=128, lr=0.02, seed=0, dataset=IMAGES)
    assert reached(tmp_path / "run") == reached(whole)


def test_a_finished_run_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / "report.html").unlink()
    result = resume(folder)
    assert reached(folder) == reached(whole) and result.final == read_epochs(whole / "metrics.csv")[-1]
    first, second = (re.sub("as of .* UTC", "", (run / "report.html").read_text()) for run in (folder, whole))
    assert first == second


def test_the_last_two_checkpoints_are_kept(whole: Path) -> None:
    names = [path.name for path in list_checkpoints(whole / "checkpoints")]
    assert names == [f"epoch-{epoch + 1:05}-step-0000000" for epoch in (3, 4)]


def test_lost_weights_come_back(tmp_path: Path) -> None:
    folder = kill(tmp_path / "run", 4, 3)
    best = folder / "best.safetensors"
    before = best.read_bytes()
    for content in (None, b"", before[:-1]):
        best.unlink() if content is None else best.write_bytes(content)
        with pytest.raises(Killed):
            resume(folder, progress=Killer(4, 3))
        assert best.read_bytes() == before


def test_a_resumed_run_can_be_evaluated(tmp_path: Path) -> None:
    folder = kill(tmp_path / "run", 3, 4)
    resume(folder)
    assert evaluate_run(folder, lambda _spec, _record: SMALL).agrees


def test_the_optimizer_lies_in_memory_as_it_did(whole: Path) -> None:
    """The fused optimizers walk through memory: strides of another order would mix the numbers up."""
    checkpoint = read_checkpoint(list_checkpoints(whole / "checkpoints")[-1])
    task = prepare(build_network(SMALL, "Small"), find(IMAGES), RECIPE, Path("data"))
    optimizer = make_optimizer(task.network, RECIPE)
    restore_tensors(task.network, optimizer, checkpoint.tensors, checkpoint.path)
    parameters = dict(task.network.named_parameters())
    kept = {n: optimizer.state[p]["momentum_buffer"] for n, p in parameters.items() if p in optimizer.state}
    assert set(parameters) - set(kept) == {"idle.weight", "idle.bias"}
    assert not parameters["second.weight"].is_contiguous()
    for name, momentum in kept.items():
        assert momentum.stride() == parameters[name].stride()
        assert torch.equal(momentum, checkpoint.tensors[f"optimizer.{name}.momentum_buffer"])


def test_a_checkpoint_of_another_network_is_refused(whole: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(list_checkpoints(whole / "checkpoints")[-1])
    network = build_network(SMALL, "Small")
    network.extra = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"lacks `extra\.bias` and 1 more"):
        restore_tensors(network, make_optimizer(network, RECIPE), checkpoint.tensors, checkpoint.path)


def test_another_number_of_threads_is_said(tmp_path: Path) -> None:
    folder, heard = kill(tmp_path / "run", 2, 2), list[str]()
    torch.set_num_threads(2)
    try:
        resume(folder, heard.append)
    finally:
        torch.set_num_threads(1)
    assert heard == ["the number of threads was 1 and is 2 now: the weights may differ in their last bits"]


def test_the_checkpoint_holds_the_weights_and_nothing_else(whole: Path) -> None:
    tensors = load_file(list_checkpoints(whole / "checkpoints")[-1] / "tensors.safetensors")
    weights = build_network(SMALL, "Small").state_dict()
    assert {name.removeprefix("network.") for name in tensors if name.startswith("network.")} == set(weights)
    assert {name.partition(".")[0] for name in tensors} == {"network", "optimizer"}
