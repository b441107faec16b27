"""What a network does with given weights at a given input: by its equations, and by generated code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from cldfc.reference.evaluate import evaluate_spec
from cldfc.reference.zeros import tensor_of
from cldfc.syntax import tree
from cldfc.verify.calls import Call, CallRecorder

INPUT = "the input"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Differs(Exception):
    """Equations and generated code have different parameters, or the code does not run: nothing can be compared."""


@dataclass(frozen=True)
class Trial:
    """The weights, by their names in the state dictionary, the images and the mode of one comparison; all float64."""

    weights: Mapping[str, Tensor]
    images: Tensor
    mode: Literal["eval", "train"]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The output, the gradients of its weighted sum by parameter and of the input, statistics afterwards, calls."""

    output: Tensor
    gradients: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]
    calls: tuple[Call, ...]


def is_statistic(name: str) -> bool:
    return name.endswith(STATISTICS)


def outcome_of_equations(
    spec: tree.Tree, trial: Trial, classes: int | None = None, disturb: Callable[[Tensor], Tensor] | None = None
) -> Outcome:
    """What the equations say. Raises Differs unless they have exactly these weights."""
    given = {name: tensor.detach().clone() for name, tensor in trial.weights.items()}
    for name, tensor in given.items():
        tensor.requires_grad_(not is_statistic(name))
    images = trial.images.clone().requires_grad_()
    torch.manual_seed(trial.seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        found = evaluate_spec(spec, given, images, trial.mode == "train", classes, disturb)
    except (KeyError, ValueError) as error:
        raise Differs(f"the generated code has other parameters than the equations: {error.args[0]}") from error
    unread = [name for name in given if name not in found.read and not is_statistic(name)]
    if unread:
        raise Differs(f"the generated code has a parameter that the equations do not have: `{unread[0]}`")
    gradients = gradients_of(found.output, {INPUT: images, **given})
    statistics = {name: tensor for name, tensor in given.items() if is_statistic(name)} | dict(found.statistics)
    calls: list[Call] = []
    for use in found.uses:
        tensors = (tensor_of(value) for value in (use.operand, use.result))
        operand, result = (None if tensor is None else tensor.detach() for tensor in tensors)
        calls.append(Call(use.module, operand, result, use.value))
    return Outcome(found.output.detach(), gradients, statistics, tuple(calls))


def outcome_of_network(network: nn.Module, trial: Trial) -> Outcome:
    """What generated code does. Raises Differs when it does not run."""
    network.load_state_dict({name: tensor.clone() for name, tensor in trial.weights.items()})
    network.train(trial.mode == "train")
    images = trial.images.clone().requires_grad_()
    torch.manual_seed(trial.seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        with CallRecorder(network) as recorder:
            output: object = network(images)
    except Exception as error:
        raise Differs(f"the generated code stops in {trial.mode} mode: {error}") from error
    if not isinstance(output, Tensor):
        raise Differs(f"the generated code gives no tensor, but {type(output).__name__}")
    gradients = gradients_of(output, {INPUT: images, **dict(network.named_parameters())})
    statistics = {name: tensor.clone() for name, tensor in network.state_dict().items() if is_statistic(name)}
    return Outcome(output.detach(), gradients, statistics, tuple(recorder.calls))


def gradients_of(output: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of 1 · output₁ + 2 · output₂ + …, in which no two outputs can be exchanged; zero where unused."""
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    weights = torch.arange(1, output.numel() + 1, dtype=output.dtype).reshape(output.shape)
    total = (output * weights).sum()
    if not total.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in wanted.items()}
    found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(wanted, found, strict=True))
