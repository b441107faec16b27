"""Where a network runs and in which precision, decided once and said in words."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

# torch.backends carries few types.
cudnn: Any = torch.backends.cudnn


@dataclass(frozen=True, slots=True)
class Device:
    """A processor, and whether it multiplies in bfloat16 or computes precisely; tensors lie channels-last."""

    kind: str
    bf16: bool
    precise: bool = False

    def __str__(self) -> str:
        precision = "bfloat16 autocast" if self.bf16 else "float32"
        return f"{self.kind}, {precision}{', deterministic' * self.precise}, channels-last"

    @property
    def torch(self) -> torch.device:
        """The same as torch knows it."""
        return torch.device(self.kind)

    def place(self, network: nn.Module) -> nn.Module:
        """The network, moved here."""
        return network.to(self.torch).to(memory_format=torch.channels_last)

    def scores(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """What the network says of images, as float32.

        Shapes: `pixels` n × channels × height × width, result n × classes.
        """
        with torch.autocast(self.kind, torch.bfloat16, enabled=self.bf16):
            scores: Tensor = network(pixels.contiguous(memory_format=torch.channels_last))
        return scores.float()

    @contextmanager
    def switches(self) -> Generator[None]:
        """Set torch's switches as this device needs them; afterwards they are what they were.

        Precise is: no algorithm that adds up in an order of its own. Products in TensorFloat-32 go with bfloat16:
        float32 is float32.
        """
        deterministic, precision = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
        before = deterministic, cudnn.benchmark, cudnn.allow_tf32, precision
        try:
            switch(self.precise, not self.precise, self.bf16, precision if self.bf16 else "highest")
            yield
        finally:
            switch(*before)


def switch(deterministic: bool, tries: bool, tf32: bool, products: str) -> None:
    """Set whether algorithms are deterministic, whether cuDNN tries which is fastest, and where TF32 may be used."""
    torch.use_deterministic_algorithms(deterministic)
    cudnn.benchmark = tries
    cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision(products)


@contextmanager
def settled() -> Generator[None]:
    """Let cuDNN choose algorithms without trying them: the same ones in every process, and so the same bits.

    What a training has tried it remembers, but not for algorithms that have to be deterministic.
    """
    before = cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.benchmark, cudnn.deterministic = False, True
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def choose_device(precise: bool = False) -> Device:
    """CUDA where there is one, else the CPU; bfloat16 where the processor really has it, unless that is too coarse."""
    if precise:
        # cuBLAS reads it when it is first used: by several processes, before the training.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if torch.cuda.is_available():
        return Device("cuda", not precise and torch.cuda.is_bf16_supported(including_emulation=False), precise)
    return Device("cpu", not precise and cpu_has_bf16(), precise)


def use_device(number: int) -> None:
    """Let this process use one of the machine's CUDA devices, counted from 0 and around; without any, the CPU."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies in bfloat16; False where torch cannot tell."""
    # Older releases of torch lack the function.
    capabilities = cast(dict[str, object], getattr(torch.cpu, "get_capabilities", dict)())
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
