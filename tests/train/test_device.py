"""Device and precision, on processors that are only pretended."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from test_export import EVERYTHING
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from cldfc.compilation import Compilation
from cldfc.data.batches import epoch_batches, frame
from cldfc.data.catalogue import find
from cldfc.data.images import Images, of_channels, standardise
from cldfc.data.loader import Resident
from cldfc.device import Device, choose_device, cpu_has_bf16, settled
from cldfc.diagnostics import Source, UsageError
from cldfc.recipe import change_recipe
from cldfc.training.processes import require_device
from cldfc.training.step import LAUNCHED, WAITS, Captured, score_network
from cldfc.weights.inference import freeze
from cldfc.weights.network import build_network
from cldfc.weights.torch_errors import refusals


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


@pytest.mark.parametrize(
    ("device", "inside"),
    [
        (Device("cpu", bf16=True), (False, True, True, "medium")),
        (Device("cpu", bf16=False), (False, True, False, "highest")),
        (Device("cpu", bf16=False, precise=True), (True, False, False, "highest")),
    ],
    ids=str,
)
def test_switches_are_set_and_set_back(device: Device, inside: tuple[object, ...]) -> None:
    """Also where somebody has asked for coarser products before: float32 is float32."""

    def state() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        precision = torch.get_float32_matmul_precision()
        assert not cudnn.deterministic
        return torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.allow_tf32, precision

    was = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        before = state()
        with pytest.raises(KeyError), device.switches():
            assert state() == inside
            with settled():
                assert not torch.backends.cudnn.benchmark and torch.backends.cudnn.deterministic
            assert state() == inside
            raise KeyError
        assert state() == before
    finally:
        torch.set_float32_matmul_precision(was)


def test_scores_are_float32_in_either_precision() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
    pixels = torch.randn(4, 3, 8, 8)
    exact, rounded = (
        device.scores(device.place(network), pixels) for device in (Device("cpu", False), Device("cpu", True))
    )
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.05)


@pytest.mark.parametrize("channels", [2, 4, 8, 15, 16, 24])
def test_the_gradient_of_a_narrow_kernel_at_a_stride(channels: int) -> None:
    """oneDNN writes past its memory for it where maps lie channels-last; float64 is computed without oneDNN."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(channels, 8, 1, stride=2, bias=False), nn.Flatten(1))
    pixels = torch.randn(32, channels, 32, 32)
    exact = copy.deepcopy(network).double()
    exact(pixels.double()).square().mean().backward()
    device = Device("cpu", False)
    placed = device.place(network)
    for _ in range(3):
        placed.zero_grad()
        device.scores(placed, pixels).square().mean().backward()
        torch.testing.assert_close(placed[0].weight.grad.double(), exact[0].weight.grad, rtol=1e-4, atol=1e-6)
    assert device.layout(placed) is (torch.contiguous_format if channels < 16 else torch.channels_last)


def test_everything_lies_on_one_device() -> None:
    """On a CUDA device that torch pretends: tensors have shapes and places, and no numbers.

    Every operator, and what is done to images on the way to the loss; torch refuses what would mix devices.
    """
    dataset = find("fake:2x8x8:5")
    recipe = change_recipe(dataset.recipe, {"batch": 16})
    source = Compilation(Source("everything.cldf", EVERYTHING)).code()
    of_channels.cache_clear()
    with FakeTensorMode(), torch.device("cuda"):
        network, device = build_network(source, "Everything"), Device("cuda", bf16=False)
        images = Images(torch.zeros(35, 2, 8, 8, dtype=torch.uint8), torch.zeros(35, dtype=torch.int64))
        for batch in epoch_batches(frame(images, recipe), recipe, 1):
            scores = device.scores(network, standardise(batch.pixels, dataset))
            loss = nn.functional.cross_entropy(scores, batch.labels, label_smoothing=0.1)
            assert (scores.device.type, loss.device.type, batch.pixels.device.type) == ("cuda",) * 3
    of_channels.cache_clear()


@pytest.mark.parametrize(("batch", "sizes"), [(128, [2000, 2000, 500]), (16, [256] * 17 + [148]), (4096, [4096, 404])])
def test_a_test_takes_many_images_at_once_on_cuda(batch: int, sizes: list[int]) -> None:
    """Up to 2,000, and up to 16 times as many as in training; on the CPU as many as in training."""
    recipe = change_recipe(find("fake:1x2x2:4").recipe, {"batch": batch})
    for device in ("cuda", "cpu"):
        with FakeTensorMode(), torch.device(device):
            images = Images(torch.zeros(4500, 1, 2, 2, dtype=torch.uint8), torch.zeros(4500, dtype=torch.int64))
            resident = Resident(frame(images, recipe), images, recipe)
            found = [len(part) for part in resident.test_batches()]
        assert sum(found) == 4500
        assert found == sizes if device == "cuda" else set(found[:-1]) == {batch}


def test_standardising_is_the_formula_in_and_after_inference() -> None:
    dataset = find("fake:2x8x8:5")
    pixels = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)
    wanted = (pixels.double() - 127.5) / (255 / 12**0.5)
    of_channels.cache_clear()
    with torch.inference_mode():
        first = standardise(pixels, dataset)
    weights = torch.ones(2, 1, 1, requires_grad=True)
    second = standardise(pixels, dataset) * weights
    second.sum().backward()  # pyright: ignore[reportUnknownMemberType]
    assert torch.allclose(first.double(), wanted, atol=1e-6) and torch.equal(first, second.detach())
    assert weights.grad is not None


def test_a_test_tries_no_algorithms() -> None:
    """Or the accuracy of a run could be another one each time that it is measured."""
    seen: list[tuple[bool, bool]] = []

    class Watch(nn.Flatten):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append((torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic))
            return super().forward(input)

    dataset, device = find("fake:1x2x2:4"), Device("cpu", bf16=False)
    images = Images(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    with device.switches():
        score_network(Watch(), [images], dataset, device)
        assert torch.backends.cudnn.benchmark and not torch.backends.cudnn.deterministic
    assert seen == [(False, True)]


@pytest.mark.parametrize("precise", [True, False])
def test_a_frozen_network_is_compiled_once(monkeypatch: pytest.MonkeyPatch, precise: bool) -> None:
    """With the switches that it will meet, or its weights would be constants no more."""
    graphs: list[object] = []

    def note(graph: Callable[..., object], _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=note))
    device = Device("cpu", False, precise)
    network = device.place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    frozen = freeze(network, device, 4, (3, 8, 8))
    with device.switches(), settled(), torch.inference_mode():
        assert device.scores(frozen, torch.zeros(2, 3, 8, 8)).shape == (2, 144)
    assert len(graphs) == 1


def test_cublas_that_was_used_too_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "this operation is not deterministic: set CUBLAS_WORKSPACE_CONFIG=:4096:8 (torch's own words, shortened)"
    with pytest.raises(UsageError, match="multiplied matrices in this process before") as caught, refusals():
        raise RuntimeError(said)
    assert "CUBLAS_WORKSPACE_CONFIG=:4096:8" in str(caught.value.help)


@pytest.mark.parametrize(("devices", "words"), [(1, "there is 1"), (2, "there are 2")])
def test_as_many_processes_as_devices(monkeypatch: pytest.MonkeyPatch, devices: int, words: str) -> None:
    require_device(7)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    require_device(devices - 1)
    with pytest.raises(UsageError, match=f"process {devices + 1} of this machine has no CUDA device.*{words}"):
        require_device(devices)


# A step as a CUDA graph


class PretendedGraph:
    """Replays nothing, and counts it."""

    replays = 0

    def replay(self) -> None:
        PretendedGraph.replays += 1


@pytest.fixture
def pretended_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA graphs, and a debug mode that says of itself that it is a prototype, as torch's does at its first use."""

    @contextmanager
    def graph(_: PretendedGraph, capture_error_mode: str) -> Generator[None]:
        yield

    def set_mode(mode: object) -> None:
        if mode == "warn":
            warnings.warn("a prototype feature and does not yet detect all synchronizing operations", stacklevel=1)

    monkeypatch.setattr(PretendedGraph, "replays", 0)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", PretendedGraph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)


@pytest.mark.parametrize(("warning", "replays"), [("", 4), (WAITS, 0), ("an operator is slow", 4)])
def test_a_step_is_captured_unless_it_waits(pretended_graphs: None, warning: str, replays: int) -> None:
    calls, said = list[None](), list[str]()

    def step() -> None:
        calls.append(None)
        if warning:
            warnings.warn(warning, stacklevel=1)

    captured = Captured(said.append)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for _ in range(LAUNCHED + 4):
            captured(step)
    assert PretendedGraph.replays == replays
    assert len(calls) == (LAUNCHED + 1 if replays else LAUNCHED + 4)
    assert {str(each.message) for each in heard} == {warning} - {""}
    assert [
        bool(re.search(r"not as a CUDA graph: it waits for the device at .*test_device.py:\d+", s)) for s in said
    ] == ([True] if warning == WAITS else [])


def test_what_does_not_fit_as_a_graph_runs_as_it_is(pretended_graphs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def graph(_: PretendedGraph, capture_error_mode: str) -> Generator[None]:
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    monkeypatch.setattr(torch.cuda, "graph", graph)
    calls, said = list[None](), list[str]()
    captured = Captured(said.append)
    for _ in range(LAUNCHED + 2):
        captured(lambda: calls.append(None))
    assert len(calls) == LAUNCHED + 2 and len(said) == 1 and said[0].endswith("there is not enough memory for one")
