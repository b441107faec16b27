"""Normalisations in the weights of the kernels before them, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from cldfc.diagnostics import UsageError
from cldfc.weights.inference import EPSILON, WeightOrigin, fold_weights, read_trained, save_folded
from cldfc.weights.network import read_tensors, save_weights

SOURCE = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.K = nn.Conv2d(5, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.omega = nn.ParameterDict({"1": nn.Parameter(torch.tensor(0.5))})
"""
ORIGINS = {"K": WeightOrigin("K", "bn"), "omega": WeightOrigin("omega.1")}


def small(*, transposed: bool = False, groups: int = 1, bias: bool = True) -> nn.Module:
    """The class of the source, with kernels of other kinds, and numbers that are all different."""
    namespace: dict[str, type[nn.Module]] = {}
    exec(SOURCE, namespace)
    network = namespace["Small"]()
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    network.K = make(6 if groups > 1 else 5, 4, 3, groups=groups, bias=bias)
    network.bn.load_state_dict(
        {name: torch.rand(4) + 0.5 for name in ("weight", "bias", "running_mean", "running_var")}, strict=False
    )
    return network


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_formula_is_that_of_torch(transposed: bool, bias: bool) -> None:
    network = small(transposed=transposed, bias=bias).double()
    found = fold_weights(network.state_dict(), {"K": WeightOrigin("K", "bn", transposed)})
    kernel, norm = network.K, network.bn
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    weight, shift = fuse_conv_bn_weights(kernel.weight, kernel.bias, *statistics, transpose=transposed)
    assert torch.allclose(found["K.weight"], weight, rtol=1e-13, atol=0)
    assert torch.allclose(found["K.bias"], shift, rtol=1e-13, atol=1e-15)
    assert norm.eps == EPSILON


def test_a_norm_with_settings_of_its_own() -> None:
    network = small().double()
    network.bn = nn.BatchNorm2d(4, eps=1e-3, affine=False).double()
    found = fold_weights(network.state_dict(), {"K": WeightOrigin("K", "bn", eps=1e-3)})
    statistics = network.bn.running_mean, network.bn.running_var, 1e-3, None, None
    weight, shift = fuse_conv_bn_weights(network.K.weight, network.K.bias, *statistics)
    assert torch.allclose(found["K.weight"], weight, rtol=1e-13, atol=0)
    assert torch.allclose(found["K.bias"], shift, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("transposed", [False, True])
def test_groups(transposed: bool) -> None:
    network = small(transposed=transposed, groups=2).double().eval()
    found = fold_weights(network.state_dict(), {"K": WeightOrigin("K", "bn", transposed)})
    images = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    expected = network.bn(network.K(images))
    network.K.load_state_dict({name.removeprefix("K."): tensor for name, tensor in found.items()})
    assert torch.allclose(network.K(images), expected, rtol=1e-12, atol=1e-13)


def test_what_is_not_folded_is_renamed() -> None:
    tensors = small().state_dict()
    found = fold_weights(tensors, ORIGINS)
    assert list(found) == ["K.weight", "K.bias", "omega"]
    assert found["omega"] is tensors["omega.1"]


@pytest.mark.parametrize("type", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_computed_in_float64_and_kept_in_the_type_of_the_weights(type: torch.dtype) -> None:
    tensors = small().to(type).state_dict()
    exact = fold_weights({name: tensor.double() for name, tensor in tensors.items()}, ORIGINS)
    assert all(torch.equal(found, exact[name].to(type)) for name, found in fold_weights(tensors, ORIGINS).items())


def test_a_result_that_its_type_cannot_hold() -> None:
    network = small().half()
    network.bn.running_var.zero_()
    network.K.weight.data.fill_(1000)
    with pytest.raises(UsageError, match="`K` with `bn` folded into it is not finite in float16"):
        fold_weights(network.state_dict(), ORIGINS)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The weights of the small network."""
    save_weights(small(), tmp_path / "best.safetensors")
    return tmp_path / "best.safetensors"


def test_trained_weights_may_be_of_any_type(stored: Path) -> None:
    for type in (torch.float16, torch.float64):
        save_weights(small().to(type), stored)
        assert read_trained(stored, SOURCE, "Small")["K.weight"].dtype is type


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn.running_var": None}, "lacks `bn.running_var`"),
        ({"other": torch.zeros(1)}, "the network has no `other` of"),
        (
            {"K.weight": torch.zeros(5, 4, 3, 3)},
            "`K.weight` is 5 × 4 × 3 × 3 float32 in .* and 4 × 5 × 3 × 3 float32 here",
        ),
        ({"K.weight": torch.zeros(4, 5, 3, 3, dtype=torch.int8)}, "`K.weight` is .* int8 in .* float32 here"),
    ],
)
def test_file_belongs_to_another_network(stored: Path, change: dict[str, Tensor | None], message: str) -> None:
    tensors = {name: tensor for name, tensor in (read_tensors(stored) | change).items() if tensor is not None}
    save_folded(tensors, stored)
    with pytest.raises(UsageError, match=message):
        read_trained(stored, SOURCE, "Small")


def test_folded_weights_say_where_they_are_from(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_folded(fold_weights(small().state_dict(), ORIGINS), path)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"about": "generated by cldfc for inference"}
