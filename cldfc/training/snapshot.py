"""Tensors as they were at one moment, copied to memory that has the bytes of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_TYPES: Mapping[torch.dtype, str] = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Their names in the file, in the order of the tensors there, so that each lies at a multiple of its size."""
_ALIGNED = 8


class Snapshot:
    """The memory of a file, which is reused for each snapshot; for tensors on CUDA it is pinned.

    The bytes are those of `safetensors.torch.save`, but hashing and writing them holds up no other thread, and nothing
    waits for the copies from the device.
    """

    def __init__(self) -> None:
        self.header = b""
        self.memory = torch.empty(0, dtype=torch.uint8)
        self.is_here: Any = None
        """The event after which the copies have arrived; None where they are here already."""

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the tensors as they are now, after all that the device has yet to do; what was here before is lost."""
        order = list(_TYPES)
        names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name.encode()))
        described: dict[str, object] = {}
        end = 0
        for name in names:
            start, end = end, end + tensors[name].nbytes
            shape = list(tensors[name].shape)
            described[name] = {"dtype": _TYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
        header = json.dumps(described, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        header += b" " * (-len(header) % _ALIGNED)
        is_cuda = any(tensor.is_cuda for tensor in tensors.values())
        if header != self.header or is_cuda != self.memory.is_pinned():
            self.header = header
            lead = len(header).to_bytes(_ALIGNED, "little") + header
            self.memory = torch.empty(len(lead) + end, dtype=torch.uint8, pin_memory=is_cuda)
            self.memory[: len(lead)] = torch.frombuffer(bytearray(lead), dtype=torch.uint8)
        at = _ALIGNED + len(header)
        for name in names:
            tensor = tensors[name].detach()
            self.memory[at : at + tensor.nbytes].view(tensor.dtype).view(tensor.shape).copy_(tensor, non_blocking=True)
            at += tensor.nbytes
        if is_cuda:
            self.is_here = torch.cuda.Event()
            self.is_here.record()

    def content(self) -> memoryview:
        """The bytes of the file, until the next ones are taken; waits for the copies."""
        if self.is_here is not None:
            self.is_here.synchronize()
        array: Any = self.memory.numpy()
        return memoryview(array)
