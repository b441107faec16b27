"""Where a network runs and in which precision, decided once and said in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Device:
    """A processor, and whether it multiplies in bfloat16; tensors lie channels-last."""

    kind: str
    bf16: bool

    def __str__(self) -> str:
        precision = "bfloat16 autocast" if self.bf16 else "float32"
        return f"{self.kind}, {precision}, channels-last"

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


def choose_device() -> Device:
    """CUDA where there is one, else the CPU; bfloat16 where the processor really has it."""
    if torch.cuda.is_available():
        return Device("cuda", torch.cuda.is_bf16_supported(including_emulation=False))
    return Device("cpu", cpu_has_bf16())


def use_device(number: int) -> None:
    """Let this process use one of the machine's CUDA devices, counted from 0 and around; without any, the CPU."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies in bfloat16; False where torch cannot tell."""
    # Older releases of torch lack the function.
    capabilities = cast(dict[str, object], getattr(torch.cpu, "get_capabilities", dict)())
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
