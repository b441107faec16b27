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
    write_run_file(path, as_bytes(network))


def as_bytes(network: nn.Module) -> bytes:
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights in a file into a network, which keeps its device and layout. Raises UsageError."""
    tensors = read_tensors(path)
    compare_tensors(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; raises UsageError when it is missing or no safetensors file."""
    read_header(path)
    data = read_file(path, largest=LARGEST_TENSORS)
    try:
        return load(data)
    except SafetensorError as error:
        raise UsageError(f"`{path}` is not a safetensors file: {error}", HELP) from error


def compare_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Raises UsageError unless both hold the same names with the same shapes and types."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise UsageError(f"`{path}` lacks `{missing[0]}`{and_more(missing)}", HELP)
    if extra:
        raise UsageError(f"the network has no `{extra[0]}`{and_more(extra)} of `{path}`", HELP)
    for name, tensor in wanted.items():
        if shape_and_type(found[name]) != shape_and_type(tensor):
            raise UsageError(
                f"`{name}` is {shape_and_type(found[name])} in `{path}` and {shape_and_type(tensor)} here", HELP
            )


def and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def shape_and_type(tensor: Tensor) -> str:
    shape = shape_text(tensor.shape) or "one number"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}"
