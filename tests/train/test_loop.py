"""The loop: schedule, what is reported, divergence, and that it learns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from cldfc.data.batches import epoch_batches, frame
from cldfc.data.catalogue import find
from cldfc.data.digits import load
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.training_run import Result, train_network
from cldfc.training.metrics import Epoch, Silence, TrainingPosition
from cldfc.training.step import learning_rate, make_optimizer
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import build_network

BASE = Recipe(epochs=1, batch=2, lr=0.5)


class Listener(Silence):
    """Notes what a progress hears."""

    def __init__(self) -> None:
        self.expected: list[tuple[int, int]] = []
        self.steps: list[tuple[int, int]] = []
        self.epochs: list[Epoch] = []

    def start(self, recipe: Recipe, steps: int) -> None:
        self.expected = [(e, s) for e in range(1, recipe.epochs + 1) for s in range(1, steps + 1)]

    def step(self, position: TrainingPosition) -> None:
        assert math.isfinite(position.loss_sum)
        self.steps.append((position.epoch, position.step))

    def epoch(self, measured: Epoch) -> None:
        self.epochs.append(measured)


def test_learning_rate_rises_and_falls() -> None:
    recipe = change_recipe(BASE, {"warmup": 0.25})
    rates = [learning_rate(recipe, step, 40) for step in range(40)]
    top = rates.index(max(rates))
    assert top == 9 and rates[top] == 0.5
    assert rates[:10] == pytest.approx([0.05 * step for step in range(1, 11)])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[-1] < 0.005


def test_learning_rate_falls_in_steps() -> None:
    # Section 5.1 of the paper: 0.1, divided by 10 every 30 epochs of 120; here with 7 steps in an epoch.
    recipe = find("cifar10").recipe
    rates = [learning_rate(recipe, step, 120 * 7) for step in range(120 * 7)]
    assert rates == pytest.approx([rate for rate in (0.1, 0.01, 0.001, 0.0001) for _ in range(30 * 7)])


def test_without_a_clip_the_gradient_is_used_as_it_is(tiny: str, tmp_path: Path) -> None:
    recipes = [Recipe(epochs=1, batch=64, lr=0.01, clip=clip) for clip in (None, 1e9, 1e-3)]
    losses = [
        train_network(
            Compiled("", tiny, "Tiny"),
            find("digits"),
            recipe,
            tmp_path / str(number),
            TrainingSetting(progress=Listener()),
        ).final.test_loss
        for number, recipe in enumerate(recipes)
    ]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("warmup", [0, 0.3, 0.99])
def test_learning_rate_is_positive_in_short_runs(warmup: float) -> None:
    recipe = change_recipe(BASE, {"warmup": warmup})
    for steps in range(1, 9):
        assert all(0 < learning_rate(recipe, step, steps) <= 0.5 for step in range(steps))


def test_optimizers_make_their_first_step() -> None:
    steps: dict[str, float] = {}
    for name in ("sgd", "adamw"):
        weight = nn.Linear(1, 1, bias=False)
        before = weight.weight.item()
        weight.weight.grad = torch.tensor([[4.0]])
        recipe = change_recipe(BASE, {"optimizer": name, "lr": 0.5, "weight_decay": 0})
        make_optimizer(weight, recipe).step()  # pyright: ignore[reportUnknownMemberType]
        steps[name] = before - weight.weight.item()
    assert steps == pytest.approx({"sgd": 0.5 * 4, "adamw": 0.5})


def test_a_small_network_learns_the_digits(trained: Result) -> None:
    assert trained.final.test_accuracy > 0.9
    assert trained.final.train_loss < 0.5


def test_progress_hears_every_step(tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    heard = Listener()
    short = change_recipe(recipe, {"epochs": 2})
    result = train_network(
        Compiled("", tiny, "Tiny"), find("digits"), short, tmp_path / "run", TrainingSetting(progress=heard)
    )
    assert heard.steps == heard.expected and len(heard.steps) == 2 * (1437 // recipe.batch)
    assert heard.epochs[-1] == result.final


def test_the_same_recipe_gives_the_same_weights(trained: Result, tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    again = train_network(Compiled("", tiny, "Tiny"), find("digits"), recipe, tmp_path / "run")
    stored = [result.folder / "best.safetensors" for result in (trained, again)]
    assert stored[0].read_bytes() == stored[1].read_bytes()
    assert again.final.test_loss == trained.final.test_loss


def test_the_loop_is_the_one_a_person_writes(tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    """A hand-written loop, with the formula of momentum instead of torch's optimizer, reaches the same weights."""
    precise = change_recipe(recipe, {"precise": True, "epochs": 2, "clip": None, "label_smoothing": 0.1})
    train_network(Compiled("", tiny, "Tiny"), find("digits"), precise, tmp_path / "run")
    dataset = find("digits")
    split = load(dataset, Path())
    torch.manual_seed(precise.seed)  # pyright: ignore[reportUnknownMemberType]
    network = build_network(tiny, "Tiny").to(memory_format=torch.channels_last).train()
    parameters = list(network.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    steps = 2 * (len(split.train) // precise.batch)
    images = [batch for epoch in (1, 2) for batch in epoch_batches(frame(split.train, precise), precise, epoch)]
    for step, batch in enumerate(images):
        pixels = (batch.pixels.float() - dataset.mean[0]) / dataset.std[0]
        loss = cross_entropy(network(pixels), batch.labels, label_smoothing=0.1)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity.mul_(precise.momentum).add_(gradient + precise.weight_decay * parameter)
                parameter -= learning_rate(precise, step, steps) * velocity
    reached = load_file(sorted((tmp_path / "run" / "checkpoints").glob("epoch-*"))[-1] / "tensors.safetensors")
    for name, parameter in network.named_parameters():
        assert torch.allclose(reached[f"network.{name}"], parameter, rtol=1e-4, atol=1e-4), name


def test_divergence_stops_the_training(tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    broken = tiny + "    def forward(self, x):\n        return super().forward(x) * float('nan')\n"
    with pytest.raises(UsageError, match="the loss is nan in step 1 of epoch 1") as caught:
        train_network(Compiled("", broken, "Tiny"), find("digits"), recipe, tmp_path / "run")
    assert "a lower `--lr` (now 0.05), for instance 0.0125" in caught.value.help
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_without_a_clip_the_help_after_divergence_names_one(tiny: str, recipe: Recipe, tmp_path: Path) -> None:
    broken = tiny + "    def forward(self, x):\n        return super().forward(x) * float('nan')\n"
    for clip, is_named in ((None, True), (1.0, False)):
        with pytest.raises(UsageError) as caught:
            changed = change_recipe(recipe, {"clip": clip})
            train_network(Compiled("", broken, "Tiny"), find("digits"), changed, tmp_path / f"run-{clip}")
        assert ("with `--clip 1`" in caught.value.help) == is_named
