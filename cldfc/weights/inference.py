"""A network for inference: normalisations folded, weights frozen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import pad

from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.files import write_file
from cldfc.weights.import_weights import import_weights
from cldfc.weights.network import build_network, compare_tensors, read_tensors
from cldfc.weights.torch_errors import refusals


class Frozen(nn.Module):
    """A compiled network. Smaller batches are padded: each batch size would be compiled anew."""

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        self.compiled: Any = torch.compile(network, dynamic=False)
        self.batch = batch

    def forward(self, pixels: Tensor) -> Tensor:
        """The scores of at most `batch` images, n × channels × height × width."""
        images = len(pixels)
        if images < self.batch:
            filled = pad(pixels, (0, 0, 0, 0, 0, 0, 0, self.batch - images))
            pixels = filled.contiguous(memory_format=torch.channels_last)
        scores: Tensor = self.compiled(pixels)
        return scores[:images]


@torch.inference_mode()
def freeze(network: nn.Module, device: Device, batch: int, shape: tuple[int, int, int]) -> nn.Module:
    """The network, compiled here and now for batches of one shape. Raises UsageError without a C++ compiler."""
    # torch._inductor has no types, and takes a second to load.
    config: Any = import_module("torch._inductor.config")
    frozen = Frozen(network.eval(), batch)
    # It warns about missing CUDA on machines that have none.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # `torch.compile(options={"freezing": True})` would do nothing, and with other switches it would compile anew.
    with config.patch(freezing=True), refusals(), device.switches():
        device.scores(frozen, torch.zeros(batch, *shape, device=device.torch))
    return frozen


EPSILON = 1e-5
"""What a generated class adds to variances unless its spec says otherwise: torch's default."""

_PARTS = ("", ".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")
"""How the names of a module's tensors end in a state dict; empty for a scalar, which has no module."""


@dataclass(frozen=True, slots=True)
class WeightOrigin:
    """The modules of the trained network, by name, that give a module of the folded network its weights.

    `norm` is the normalisation after a kernel `source` that is folded into it, `is_transposed` says how a
    kernel's weight is laid out, `statistics` is the module of the normalisation's statistics where that is another,
    `eps` is what it adds to the variance.
    """

    source: str
    norm: str | None = None
    is_transposed: bool = False
    statistics: str | None = None
    eps: float = EPSILON


def fold_weights(tensors: Mapping[str, Tensor], origins: Mapping[str, WeightOrigin]) -> dict[str, Tensor]:
    """The tensors of a folded network with the modules `origins`, made from those of the trained network.

    Modules without a folded normalisation keep their tensors. Raises UsageError when a result overflows its type.
    """
    folded: dict[str, Tensor] = {}
    for name, origin in origins.items():
        if origin.norm is None:
            parts = (part for part in _PARTS if origin.source + part in tensors)
            folded |= {name + part: tensors[origin.source + part] for part in parts}
        else:
            folded[f"{name}.weight"], folded[f"{name}.bias"] = fold_norm(
                tensors, origin.source, origin.norm, origin.statistics or origin.norm, origin.is_transposed, origin.eps
            )
    return folded


def fold_norm(
    tensors: Mapping[str, Tensor], kernel: str, norm: str, statistics: str, is_transposed: bool, eps: float
) -> tuple[Tensor, Tensor]:
    """W' = W · γ/√(σ² + ε) and b' = β + (b - μ) · γ/√(σ² + ε) by output channel, computed in float64.

    W is out × in/groups × k × k, or in × out/groups × k × k if it is transposed. Without `affine`, γ = 1 and β = 0.
    """
    weight = tensors[f"{kernel}.weight"]
    mean, variance = (tensors[f"{statistics}.{part}"].double() for part in ("running_mean", "running_var"))
    gamma = tensors.get(f"{norm}.weight", torch.ones_like(mean)).double()
    beta = tensors.get(f"{norm}.bias", torch.zeros_like(mean)).double()
    bias = tensors.get(f"{kernel}.bias", torch.zeros_like(beta)).double()
    scale = gamma / (variance + eps).sqrt()
    scaled = _scale_channels(weight.double(), scale, is_transposed)
    results = scaled.to(weight.dtype), (beta + (bias - mean) * scale).to(weight.dtype)
    if not all(bool(result.isfinite().all()) for result in results):
        raise UsageError(
            f"`{kernel}` with `{norm}` folded into it is not finite in {str(weight.dtype).removeprefix('torch.')}",
            "give weights without inf and nan, in a larger type such as float32",
        )
    return results


def save_folded(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors of a folded network, with cldfc's mark in the header. Raises UsageError if that fails."""
    ready = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_file(path, save(ready, {"about": "generated by cldfc for inference"}))


def _scale_channels(weight: Tensor, scale: Tensor, is_transposed: bool) -> Tensor:
    if not is_transposed:
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    groups = len(scale) // weight.shape[1]
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return (grouped * scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))).reshape(weight.shape)


def read_trained(path: Path, source: str, class_name: str) -> dict[str, Tensor]:
    """The weights in a file, under the names of a generated class and in their own floating-point type.

    Under other names, such as those of another form of the network, they are imported. Raises UsageError when the
    file is missing or no safetensors file, or when its weights do not fit.
    """
    tensors = read_tensors(path)
    with torch.device("meta"):
        wanted: dict[str, Tensor] = build_network(source, class_name).state_dict()
    if wanted.keys() != tensors.keys():
        tensors = _import_foreign(tensors, build_network(source, class_name))
    for name in wanted.keys() & tensors.keys():
        if tensors[name].is_floating_point() and wanted[name].is_floating_point():
            wanted[name] = wanted[name].to(tensors[name].dtype)
    compare_tensors(tensors, wanted, path)
    return tensors


def _import_foreign(tensors: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Tensors under the names of a network; as they are, if they have some of its names but are not its own.

    Raises UsageError when they are those of something else.
    """
    state: dict[str, Tensor] = network.state_dict()
    try:
        names = import_weights(network, tensors)
    except UsageError:
        if state.keys() & tensors.keys():
            return tensors
        raise
    return {**state, **{own: tensors[name] for name, own in names.items()}}
