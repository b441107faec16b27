"""Weights there and back, and files that do not fit."""

from __future__ import annotations

import stat
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load
from torch import nn

from cldfc.diagnostics import UsageError
from cldfc.weights.network import load_weights, save_weights


def network(width: int = 4, **more: nn.Module) -> nn.Module:
    """A network with a buffer of each type."""
    layers = {"conv": nn.Conv2d(3, width, 3), "bn": nn.BatchNorm2d(width), **more}
    return nn.Sequential(OrderedDict(layers)).to(memory_format=torch.channels_last)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The weights of a network."""
    save_weights(network(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_there_and_back(stored: Path) -> None:
    torch.manual_seed(5)  # pyright: ignore[reportUnknownMemberType]
    first, second = network(), network()
    first(torch.randn(2, 3, 5, 5))
    save_weights(first, stored)
    load_weights(second, stored)
    wanted, found = first.state_dict(), second.state_dict()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert all(wanted[name].stride() == found[name].stride() for name in wanted)


def test_file_holds_every_tensor_once(stored: Path) -> None:
    arrays = load(stored.read_bytes())
    assert {name: array.shape for name, array in arrays.items()} == {
        name: tuple(tensor.shape) for name, tensor in network().state_dict().items()
    }


def test_file_is_readable_and_alone(stored: Path) -> None:
    assert stat.S_IMODE(stored.stat().st_mode) == 0o644
    assert list(stored.parent.iterdir()) == [stored]


def test_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: No such file"):
        save_weights(network(), tmp_path / "missing" / "weights.safetensors")


def test_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        load_weights(network(), tmp_path / "weights.safetensors")


@pytest.mark.parametrize("content", [b"", b"weights", b"\xff" * 64])
def test_file_is_something_else(stored: Path, content: bytes) -> None:
    stored.write_bytes(content)
    with pytest.raises(UsageError, match="is not a safetensors file"):
        load_weights(network(), stored)


def test_file_is_cut_off(stored: Path) -> None:
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(UsageError, match="is not a safetensors file"):
        load_weights(network(), stored)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network(more=nn.Linear(2, 2)), "lacks `more.bias` and 1 more"),
        (network(bn=nn.Identity()), "the network has no `bn.bias` and 4 more of"),
        (network(width=5), "`conv.weight` is 4 × 3 × 3 × 3 float32 in .* and 5 × 3 × 3 × 3"),
        (network().double(), "`conv.weight` is .* float32 in .* float64 here"),
    ],
)
def test_file_belongs_to_another_network(stored: Path, other: nn.Module, message: str) -> None:
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        load_weights(other, stored)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
