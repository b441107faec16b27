"""Weights as a safetensors file: every parameter and buffer once, by its name."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cldfc.diagnostics import UsageError, shape_text
from cldfc.train.files import LARGEST_TENSORS, read_file, read_header, write_run_file

HELP = "weights belong to the spec, and to the release of cldfc, that they were trained with"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the parameters and buffers of a network; raises UsageError if that fails."""
    write_run_file(path, as_bytes(network))


def as_bytes(network: nn.Module) -> bytes:
    """The parameters and buffers of a network as a safetensors file."""
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights in a file into a network, which keeps its device and layout.

    Raises UsageError when the file is missing or no safetensors file, or when its names, shapes
    or types are not those of the network.
    """
    tensors = read_tensors(path)
    compare(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; raises UsageError when it is missing or no safetensors file."""
    read_header(path)
    data = read_file(path, largest=LARGEST_TENSORS)
    try:
        return load(data)
    except SafetensorError as error:
        raise UsageError(f"`{path}` is not a safetensors file: {error}", HELP) from error


def compare(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Raises UsageError unless both hold the same names with the same shapes and types."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise UsageError(f"`{path}` lacks `{missing[0]}`{others(missing)}", HELP)
    if extra:
        raise UsageError(f"the network has no `{extra[0]}`{others(extra)} of `{path}`", HELP)
    for name, tensor in wanted.items():
        if describe(found[name]) != describe(tensor):
            raise UsageError(f"`{name}` is {describe(found[name])} in `{path}` and {describe(tensor)} here", HELP)


def others(names: list[str]) -> str:
    """How many more names there are, in words."""
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def describe(tensor: Tensor) -> str:
    """The shape and type of a tensor: `64 × 3 × 3 × 3 float32`."""
    shape = shape_text(tensor.shape) or "one number"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}"
