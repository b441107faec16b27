"""Where a network runs and in which precision, decided once and said in words."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError, choices
from cldfc.processors import ALLOWED, ON_CORES, device_text

# torch.backends carries few types.
_cudnn: Any = torch.backends.cudnn

_CUDA = re.compile(r"cuda(?::(0|[1-9][0-9]{0,3}))?")


@dataclass(frozen=True, slots=True)
class Device:
    """A processor, and whether it multiplies in bfloat16 or computes precisely; tensors lie channels-last."""

    kind: str
    bf16: bool
    precise: bool = False
    number: int | None = None
    """Of a CUDA device that was asked for by its number; None for the current one."""

    def __str__(self) -> str:
        return device_text(str(self.torch), self.bf16, self.precise)

    @property
    def torch(self) -> torch.device:
        return torch.device(self.kind) if self.number is None else torch.device(self.kind, self.number)

    def place(self, network: nn.Module) -> nn.Module:
        return network.to(self.torch).to(memory_format=self.layout(network))

    def scores(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """What the network says of images n × channels × height × width: n × classes, as float32."""
        if self.layout(network) is torch.channels_last:
            laid = pixels.contiguous(memory_format=torch.channels_last)
        else:  # A copy: images of one channel lie both ways, and torch may take them for channels-last.
            laid = pixels.clone(memory_format=torch.contiguous_format)
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
            scores: Tensor = network(laid)
        return scores.float()

    def layout(self, network: nn.Module) -> torch.memory_format:
        """How the maps of a network lie: channels-last, but on the CPU not if it has a narrow 1×1 kernel.

        For the gradient of such a kernel at a stride, oneDNN writes past its memory where maps lie channels-last:
        wrong numbers, a crash, or a loop without end, https://github.com/uxlfoundation/oneDNN/issues/6035.
        """
        is_narrow = self.kind == "cpu" and any(map(_is_narrow, network.modules()))
        return torch.contiguous_format if is_narrow else torch.channels_last

    @contextmanager
    def switches(self) -> Generator[None]:
        """Set torch's switches as this device needs them; afterwards they are what they were.

        Precise is: no algorithm that adds up in an order of its own. Products in TensorFloat-32 go with bfloat16:
        float32 is float32.
        """
        deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
        before = deterministic, _cudnn.benchmark, _cudnn.allow_tf32, precision
        try:
            _switch(self.precise, not self.precise, self.bf16, precision if self.bf16 else "highest")
            yield
        finally:
            _switch(*before)


_VECTOR = 16
"""The most float32 numbers that a register of a CPU holds; so many channels make a block of oneDNN's."""


def _is_narrow(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1):
        return False
    return module.in_channels // module.groups < _VECTOR


def _switch(deterministic: bool, tries: bool, tf32: bool, products: str) -> None:
    """Set whether algorithms are deterministic, whether cuDNN tries which is fastest, and where TF32 may be used."""
    # This loads torch.compile, which takes two seconds.
    if deterministic or torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)
    _cudnn.benchmark = tries
    _cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision(products)


@contextmanager
def settled() -> Generator[None]:
    """Let cuDNN choose algorithms without trying them: the same ones in every process, and so the same bits.

    What a training has tried it remembers, but not for algorithms that have to be deterministic.
    """
    before = _cudnn.benchmark, _cudnn.deterministic
    try:
        _cudnn.benchmark, _cudnn.deterministic = False, True
        yield
    finally:
        _cudnn.benchmark, _cudnn.deterministic = before


def choose_device(precise: bool = False, wished: str | None = None) -> Device:
    """The device that is wished for: `cpu`, `cuda`, `cuda:1`; else CUDA where there is one, else the CPU.

    bfloat16 where the processor really has it, unless that is too coarse. Raises UsageError when there is no such one.
    """
    if precise:
        # cuBLAS reads it when it is first used: by several processes, before the training.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    number = number_of(wished)
    if wished == "cpu" or not torch.cuda.is_available():
        return Device("cpu", not precise and cpu_has_bf16(), precise)
    with on_device(wished):
        bf16 = not precise and torch.cuda.is_bf16_supported(including_emulation=False)
    return Device("cuda", bf16, precise, number)


def number_of(wished: str | None) -> int | None:
    """The number of the CUDA device that is wished for, if any. Raises UsageError when there is no such device."""
    found = _CUDA.fullmatch(wished or "cpu")
    if wished == "cpu" or wished is None:
        return None
    there = [f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    known = choices(wished, ["cpu", *["cuda"] * bool(there), *there], "this machine has")
    if found is None:
        raise UsageError(f"`{wished}` is not a device that cldfc computes on", known)
    if not there or (found[1] and wished not in there):
        reason = "" if there else ": torch finds no CUDA device"
        raise UsageError(f"there is no device `{wished}` here{reason}", known)
    return int(found[1]) if found[1] else None


@contextmanager
def on_device(wished: str | None) -> Generator[None]:
    """Make a CUDA device wished for by its number the current one, whose generator is saved. Raises UsageError."""
    number = number_of(wished)
    with nullcontext() if number is None else torch.cuda.device(number):
        yield


def use_device(number: int) -> None:
    """Let this process use one of the machine's CUDA devices, counted from 0 and around; without any, the CPU."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies in bfloat16; False where torch cannot tell."""
    # Older releases of torch lack the function.
    capabilities = cast(dict[str, object], getattr(torch.cpu, "get_capabilities", dict)())
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's `mallopt`."""

_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, if its C library is glibc.

    By default glibc gives every large block back to the kernel, which hands it out again page by page, each
    filled with zeros: a training step frees and takes hundreds of megabytes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _LARGEST)
        mallopt(_MMAP_THRESHOLD, _LARGEST)


_own_core: set[int] = set()
"""The processors of the core that OpenMP has given the main thread; empty where threads are not kept on cores."""


def start_threads() -> None:
    """Start the threads of torch, on cores if `prepare_threads` has asked for that, and let the main one go again.

    Whatever it starts, processes too, would be kept on its core: `on_own_core` says when it is there.
    """
    if not os.environ.items() >= ON_CORES.items():
        return
    # So many numbers are shared among threads, which start here.
    torch.zeros(2**20).add_(1)
    _own_core.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, ALLOWED)
    for name in ON_CORES:
        del os.environ[name]


@contextmanager
def on_own_core() -> Generator[None]:
    """Keep the main thread on its core, as the others are on theirs, while it computes with them."""
    before = os.sched_getaffinity(0) if _own_core else set[int]()
    # Somebody may have moved the process to other processors since.
    if not _own_core or not _own_core <= before:
        yield
        return
    with suppress(OSError):
        os.sched_setaffinity(0, _own_core)
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
