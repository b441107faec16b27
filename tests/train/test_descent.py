"""The steps of a training: the bits of a loop without tensors that stay, and what is read some steps late."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_run import EVERY_STEP, IMAGES, NEVER, RECIPE, SMALL, STEPS, kill, reached, resume, train
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.functional import cross_entropy

from cldfc.data.batches import frame
from cldfc.data.catalogue import find
from cldfc.data.images import Images, of_channels, standardise
from cldfc.data.loader import Resident
from cldfc.device import Device
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.journal import Saving
from cldfc.runs.training_run import prepare
from cldfc.stop import Request, Stopped
from cldfc.training import descent, loop
from cldfc.training.checkpoint_folder import list_checkpoints, read_checkpoint
from cldfc.training.descent import Descent
from cldfc.training.loop import train_epoch
from cldfc.training.metrics import Epoch, Silence, TrainingPosition
from cldfc.training.step import learning_rate, make_optimizer
from cldfc.training.task import Diverged, Task
from cldfc.weights.network import build_network

LAG = 3


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is read some steps late, as on CUDA."""
    monkeypatch.setattr(descent, "LAG", {"cpu": LAG})


def task_of(recipe: Recipe, source: str = SMALL) -> Task:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    return prepare(build_network(source, "Small"), find(IMAGES), recipe, Path("data"))


def by_hand(task: Task, epochs: int) -> tuple[list[float], list[int]]:
    """A plain loop with batches, rates and losses as they are, and torch's fused optimizer; the losses and the hits."""
    recipe, optimizer = task.recipe, make_optimizer(task.network, task.recipe)
    losses, hits, step = list[float](), list[int](), 0
    task.network.train()
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    for epoch in range(1, epochs + 1):
        for batch in task.loader.train_batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, recipe.epochs * STEPS)
            scores = task.device.scores(task.network, standardise(batch.pixels, task.dataset))
            loss = cross_entropy(scores, batch.labels, label_smoothing=recipe.label_smoothing)
            task.network.zero_grad()
            loss.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(task.network.parameters(), recipe.clip)
            optimizer.step()
            losses.append(loss.item())
            hits.append(int((scores.argmax(1) == batch.labels).sum()))
            step += 1
    return losses, hits


def start_of(epoch: int) -> TrainingPosition:
    """The beginning of an epoch; of those before it nothing is known."""
    none = dict.fromkeys(("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"), 0.0)
    return TrainingPosition(epoch=epoch, epochs=tuple(Epoch(epoch=number, **none) for number in range(1, epoch)))


class Steps(Silence):
    """Notes every step."""

    def __init__(self) -> None:
        self.heard: list[TrainingPosition] = []

    def step(self, position: TrainingPosition) -> None:
        self.heard.append(position)


@pytest.mark.parametrize("lag", [0, LAG])
@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adamw", "clip": None, "warmup": 0.3}, {"momentum": 0.0, "label_smoothing": 0.1}],
    ids=str,
)
def test_the_bits_are_those_of_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, object], lag: int
) -> None:
    monkeypatch.setattr(descent, "LAG", {"cpu": lag})
    recipe = change_recipe(RECIPE, {"epochs": 2, "shift_columns": 2, **changes})
    plain, task = task_of(recipe), task_of(recipe)
    losses, hits = by_hand(plain, 2)
    steps, taken = Steps(), Descent(task, make_optimizer(task.network, recipe))
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    for epoch in (1, 2):
        for _ in train_epoch(taken, start_of(epoch), steps, lambda: (0, False)):
            pass
    for name, tensor in plain.network.state_dict().items():
        assert torch.equal(task.network.state_dict()[name], tensor), name
    sums = [position.loss_sum for position in steps.heard]
    wanted = [accumulate(recipe.batch * loss for loss in part) for part in (losses[:STEPS], losses[STEPS:])]
    assert sums == [*wanted[0], *wanted[1]]
    assert [position.hits for position in steps.heard][STEPS - 1 :: STEPS] == [sum(hits[:STEPS]), sum(hits[STEPS:])]


def test_what_is_read_late_is_what_is_read_at_once(late: None, whole: Path, tmp_path: Path) -> None:
    train(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(whole)


@pytest.mark.parametrize(("epoch", "step", "minutes"), [(2, 5, EVERY_STEP), (3, 2, EVERY_STEP), (2, 5, NEVER)])
def test_a_late_run_is_resumed_bit_for_bit(
    late: None, whole: Path, tmp_path: Path, epoch: int, step: int, minutes: float
) -> None:
    """A state that is saved is that of the step it says, not of the last one begun."""
    kill(tmp_path / "run", epoch, step, minutes)
    last = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1]).saved.position
    assert (last.epoch, last.step) == ((epoch, step - 1) if minutes == EVERY_STEP else (epoch, 0))
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(whole)


def test_a_stop_stands_where_the_weights_are(late: None, whole: Path, tmp_path: Path) -> None:
    request = Request()

    class Asking(Silence):
        def step(self, position: TrainingPosition) -> None:
            if (position.epoch, position.step) == (2, 2):
                request.number = 2

    with pytest.raises(Stopped):
        train(tmp_path / "run", progress=Asking(), saving=Saving(NEVER, request))
    last = read_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1]).saved.position
    assert (last.epoch, last.step) == (2, 2 + LAG + 1)
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(whole)


SPOILED = SMALL.replace("self.second(x)", "(self.second(x) / (self.norm.num_batches_tracked < 13))")


def test_a_late_divergence_is_named_by_its_step(late: None, tmp_path: Path) -> None:
    message = r"the loss is nan in step 5 of epoch 2: .*what `drop` is given is the first value that is not finite"
    steps = Steps()
    with pytest.raises(Diverged, match=message):
        train(tmp_path / "run", source=SPOILED, progress=steps)
    assert (steps.heard[-1].epoch, steps.heard[-1].step) == (2, 4)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_after_a_loss_that_is_not_finite_nothing_changes(
    late: None, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Neither in its step nor in those that have begun since; whoever names the layer finds the network as it was."""
    recipe = change_recipe(RECIPE, {"optimizer": optimizer, "clip": None})
    task, plain = task_of(recipe, SPOILED), task_of(recipe)
    made = make_optimizer(task.network, recipe)
    taken, found = Descent(task, made), dict[str, Tensor]()
    monkeypatch.setattr(loop, "find_origin", lambda *_: found.update(state_of(task.network, made)) or "")
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(Diverged, match="the loss is nan in step 5 of epoch 2"):
        for epoch in (1, 2):
            for _ in train_epoch(taken, start_of(epoch), Silence(), lambda: (0, False)):
                pass
    assert int(taken.place) == 4 + LAG + 1 and float(taken.has_failed) == 1
    wanted = state_after(plain, 12)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_step_on_cuda_lies_on_the_device_and_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, waits: bool
) -> None:
    """On a device that torch pretends: it refuses what would mix devices, and what would wait for a number.

    Gradients and the optimizer's step, for which it has no pretence, are left out.
    """
    recipe = change_recipe(RECIPE, {"optimizer": optimizer, "batch": 16, "clip": 1.0, "label_smoothing": 0.1})
    source = SMALL.replace("return self", "x = x * float(x.detach().mean())\n        return self") if waits else SMALL
    of_channels.cache_clear()
    with FakeTensorMode(), torch.device("cuda"):
        network = build_network(source, "Small").train()
        images = Images(torch.zeros(35, 1, 8, 8, dtype=torch.uint8), torch.zeros(35, dtype=torch.int64))
        resident = Resident(frame(images, recipe), images, recipe)
        task = Task(network, resident, find(IMAGES), recipe, Device("cuda", bf16=False), network)
        taken = Descent(task, make_optimizer(network, recipe))

        def backward(_: Tensor) -> None:
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)

        monkeypatch.setattr(Tensor, "backward", backward)
        monkeypatch.setattr(taken.optimizer, "step", lambda: None)
        with pytest.raises(DataDependentOutputException) if waits else nullcontext():
            taken.step()
    of_channels.cache_clear()
    assert (
        taken.rate.dtype == torch.float32 and taken.rate.is_cuda and taken.record.is_cuda and taken.has_failed.is_cuda
    )


def test_nothing_of_a_descent_stays_when_nobody_needs_it() -> None:
    """A graph holds memory of the device, and what brings the images holds processes."""
    task = task_of(RECIPE)
    taken = Descent(task, make_optimizer(task.network, RECIPE))
    taken.begin(1, 0)
    taken.launch(0, False)
    held = weakref.ref(taken)
    gc.disable()
    try:
        del taken
        assert held() is None
    finally:
        gc.enable()


def state_of(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    parameters: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    kept = {
        f"optimizer.{parameters[parameter]}.{key}": value.clone()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    return {**{name: tensor.clone() for name, tensor in network.state_dict().items()}, **kept}


def state_after(task: Task, steps: int) -> dict[str, Tensor]:
    """The state after so many steps of a plain descent."""
    optimizer = make_optimizer(task.network, task.recipe)
    taken = Descent(task, optimizer)
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    for epoch in (1, 2):
        taken.begin(epoch, 0)
        for _ in range(min(STEPS, steps - (epoch - 1) * STEPS)):
            taken.launch(0, False)
    return state_of(task.network, optimizer)


def test_weights_are_those_before_the_step_that_diverged(late: None, tmp_path: Path) -> None:
    """An infinite gradient beside a finite loss is another matter: the next loss tells of it."""
    hook = (
        "        self.last.weight.register_hook(lambda gradient: gradient / (self.norm.num_batches_tracked < 13))\n\n"
    )
    source = SMALL.replace("    def forward", f"{hook}    def forward")
    with pytest.raises(Diverged, match=r"the loss is nan in step 6 of epoch 2: .*`last.weight` is no longer finite"):
        train(tmp_path / "run", change_recipe(RECIPE, {"clip": None}), source=source)
    tensors = load_file(list_checkpoints(tmp_path / "run" / "checkpoints")[-1] / "tensors.safetensors")
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())
