"""The state of a training to tensors and JSON, and back."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from cldfc.diagnostics import UsageError
from cldfc.training.metrics import TrainingPosition
from cldfc.weights.network import HELP, compare_tensors

_NETWORK, _OPTIMIZER = "network.", "optimizer."
_KEPT: Mapping[type[Optimizer], set[str]] = {SGD: {"momentum_buffer"}, AdamW: {"step", "exp_avg", "exp_avg_sq"}}
"""What optimizers keep for each parameter."""
FORMAT = 2
"""Of a checkpoint: of its state, and of the names of its tensors."""


class Saved(BaseModel, frozen=True, extra="forbid"):
    """What a checkpoint holds beside the tensors."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Of this file and of the names of the tensors."""
    position: TrainingPosition
    """Where the training stood."""
    generators: list[dict[str, str]]
    """For each process the states of torch's generators, as hexadecimal digits, by the kind of the device."""
    threads: int = Field(ge=1)
    """Threads that torch used; sums in float32 depend on them."""
    spec: str = ""
    """The SHA-256 of the spec; earlier releases do not say it."""
    recipe: dict[str, Any] = {}
    """The recipe, by field; earlier releases do not say it."""


def training_tensors(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Every tensor of a training: `network.NAME`, and `optimizer.NAME.KEY` for what is kept for a parameter.

    They are the tensors themselves, not copies.
    """
    tensors = {f"{_NETWORK}{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{name}.{key}"] = value
    return tensors


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds a number that is not finite, if there is one."""
    floats = {name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point()}
    # A sum takes a fraction of the time; where it is finite, so is each of its terms.
    sums = [tensor.sum() for tensor in floats.values()]
    if not sums or bool(torch.stack(sums).isfinite().all()):
        return None
    return next((name for name, tensor in floats.items() if not bool(tensor.isfinite().all())), None)


def restore_tensors(network: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put the tensors of a training back. Raises UsageError when they are those of another network."""
    weights = weights_of(tensors)
    compare_tensors(weights, network.state_dict(), where)
    network.load_state_dict(weights)
    parameters = dict(network.named_parameters())
    kind = next(kind for kind in _KEPT if isinstance(optimizer, kind))
    optimizer.state.clear()
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            owner, _, key = name.removeprefix(_OPTIMIZER).rpartition(".")
            if key not in _KEPT[kind]:
                raise UsageError(
                    f"`{where}` holds `{key}`, the state of another optimizer than {kind.__name__}",
                    "make `optimizer` in `recipe.json` what it was, or start another run",
                )
            if owner not in parameters or value.shape not in (parameters[owner].shape, ()):
                raise UsageError(f"the network has no parameter for `{name}` of `{where}`", HELP)
            optimizer.state[parameters[owner]][key] = _laid_out(value, parameters[owner])


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A tensor of the optimizer, on the device of its parameter; of the same shape, it lies in memory as that does."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def weights_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters and buffers among the tensors of a training, by their own names."""
    return {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}


def generators() -> dict[str, str]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {kind: bytes(state.numpy()).hex() for kind, state in states.items()}


def restore_generators(states: Mapping[str, str]) -> None:
    """Let the generators continue from these states. Raises ValueError if they are not states of a generator."""
    try:
        for kind, state in states.items():
            tensor = torch.frombuffer(bytearray.fromhex(state), dtype=torch.uint8)
            if kind == "cpu":
                torch.set_rng_state(tensor)
            elif torch.cuda.is_available():
                torch.cuda.set_rng_state(tensor)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"no state of a generator: {error}") from error


@contextmanager
def generators_kept() -> Generator[None]:
    """Restore the generators when the block ends: a caller's random numbers do not depend on what happens in it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):  # pyright: ignore[reportUnknownMemberType]
        yield


def spec_digest(spec: str) -> str:
    return sha256(spec.encode()).hexdigest()
