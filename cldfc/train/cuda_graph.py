"""The forward and backward pass of a training step as a CUDA graph.

A step of a residual network launches several hundred kernels one by one, and a fast device has run each of them before
the CPU has launched the next. A graph of all of them is launched at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from cldfc.train.images import Images

LAUNCHED = 3
"""Steps taken kernel by kernel at first, in which cuDNN tries its algorithms and torch.compile compiles."""

WAITS = "called a synchronizing CUDA operation"


class Captured:
    """A function of batches that are all of one size, captured on a CUDA device and then replayed for each batch.

    What it sets, such as gradients, and what it gives are the same tensors at each replay, with new contents.
    Where it waits for the device, or there is not enough memory for a graph, it runs as it is.
    """

    def __init__(self, function: Callable[[Images], Tensor]) -> None:
        self.function = function
        self.calls = 0
        self.waits: list[str] = []
        self.replay: Callable[[Images], Tensor] | None = None

    def __call__(self, batch: Images) -> Tensor:
        self.calls += 1
        if self.replay:
            return self.replay(batch)
        if self.calls == LAUNCHED:
            # A capture that meets a wait fails, and leaves torch's generator of no use.
            with waiting(self.waits):
                return self.function(batch)
        if self.calls == LAUNCHED + 1 and not self.waits:
            self.replay = self.capture(batch)
        return self.replay(batch) if self.replay else self.function(batch)

    def capture(self, batch: Images) -> Callable[[Images], Tensor] | None:
        """Record the kernels of a call, of which none runs; None where there is not enough memory."""
        held = Images(torch.empty_like(batch.pixels), torch.empty_like(batch.labels))
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may copy images to the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                result = self.function(held)
        except torch.OutOfMemoryError:
            return None

        def replay(batch: Images) -> Tensor:
            held.pixels.copy_(batch.pixels)
            held.labels.copy_(batch.labels)
            graph.replay()
            return result

        return replay


@contextmanager
def waiting(found: list[str]) -> Generator[None]:
    """Note where torch says that something waits for the device; other warnings are passed on."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        # That the mode is a prototype it says itself.
        heard.clear()
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in heard:
        if WAITS in str(warning.message):
            found.append(f"{warning.filename}:{warning.lineno}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
