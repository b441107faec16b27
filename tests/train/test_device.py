"""Device and precision, on processors that are only pretended."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cldfc.train.device import Device, choose_device, cpu_has_bf16


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx2": True}, False),
        ({}, False),
    ],
)
def test_bf16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert cpu_has_bf16() is has


def test_a_torch_that_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert cpu_has_bf16() is False


@pytest.mark.parametrize(
    ("cuda", "bf16", "words"),
    [
        (True, True, "cuda, bfloat16 autocast, channels-last"),
        (True, False, "cuda, float32, channels-last"),
        (False, False, "cpu, float32, channels-last"),
    ],
)
def test_choice_in_words(monkeypatch: pytest.MonkeyPatch, cuda: bool, bf16: bool, words: str) -> None:
    def is_bf16_supported(including_emulation: bool) -> bool:
        return bf16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert str(choose_device()) == words


def test_precise_is_float32_and_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert choose_device().bf16 and not choose_device(precise=True).bf16
    assert str(Device("cpu", False, True)) == "cpu, float32, deterministic, channels-last"


@pytest.mark.parametrize("precise", [True, False])
def test_switches_are_set_and_set_back(precise: bool) -> None:
    def state() -> tuple[bool, bool, bool]:
        cudnn = torch.backends.cudnn
        return torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.allow_tf32

    before = state()
    with pytest.raises(KeyError), Device("cpu", False, precise).switches():
        assert state() == (precise, not precise, not precise)
        raise KeyError
    assert state() == before


def test_scores_are_float32_in_either_precision() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
    pixels = torch.randn(4, 3, 8, 8)
    exact, rounded = (
        device.scores(device.place(network), pixels) for device in (Device("cpu", False), Device("cpu", True))
    )
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.05)
