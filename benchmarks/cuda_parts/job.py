"""What a part of `benchmarks/cuda.py` reports while it works, line by line: what it has said outlives it."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cldfc.compilation import Compilation, read_changes
from cldfc.data.data_set import DataSet
from cldfc.emit.torch_module import emit_module
from cldfc.network.graph import Graph
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import ascii_name
from cldfc.weights.compiled import Compiled

ROOT = Path(__file__).parents[2]
BROKEN = 3
"""The exit code of a process whose CUDA context is of no use any more: another one goes on."""
MOST = 2000
"""Letters of an error that are kept."""


@dataclass
class Job:
    """Which part this process works on, with what, until when, and what of it was done by one before it."""

    device: str
    """As torch names it: `cuda`, or `cpu` for a rehearsal."""
    is_tiny: bool
    """Whether everything is as small as can be, to see that it runs."""
    until: float
    """Of `time.monotonic`, which all processes share."""
    data_dir: Path
    channel: TextIO
    done: frozenset[str] = frozenset()
    needed: dict[str, float] = field(default_factory=dict)
    """Seconds that an item of each kind has taken at most."""

    def say(self, **words: Any) -> None:
        """Report something."""
        print(json.dumps(words), file=self.channel, flush=True)

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def to_do(self, names: Iterable[str]) -> Iterator[str]:
        """The items that no process before this one has met."""
        return (name for name in names if name not in self.done)

    @contextmanager
    def item(self, name: str) -> Generator[dict[str, Any]]:
        """What is found out about an item is put into a dictionary, and reported; so is an error, which ends there."""
        self.say(begin=name)
        found: dict[str, Any] = {}
        try:
            yield found
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}".strip()[:MOST], "at": traceback.format_exc()[-MOST:]}
            self.say(item=name, values={**found, **said})
            self.leave_if_broken()
        else:
            self.say(item=name, values=found)

    def has_time_for(self, kind: str, usual: float) -> bool:
        """Whether another item of a kind is likely to end in time; `usual` seconds are assumed of the first."""
        return self.left() > 1.2 * self.needed.get(kind, 0.0 if self.is_tiny else usual)

    @contextmanager
    def timed(self, kind: str) -> Generator[None]:
        """Note how long an item of a kind takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.needed[kind] = max(self.needed.get(kind, 0.0), time.monotonic() - start)

    def wait(self) -> None:
        """Wait until the device has done everything."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()

    def leave_if_broken(self) -> None:
        """End this process if CUDA is of no use to it any more, as after an illegal access."""
        try:
            self.wait()
        except RuntimeError:
            self.channel.flush()
            os._exit(BROKEN)


def leave_with(parent: int) -> None:
    """End this process soon after the one that started it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def graph_of(spec: str, dataset: DataSet, *lets: str) -> Graph:
    """The network of a file in specs/ for a data set."""
    task = read_changes(lets).on(dataset.name, dataset.shape, dataset.classes)
    return Compilation(read_source(ROOT / "specs" / f"{spec}.cldf"), task).simplified


def compiled_from(graph: Graph) -> Compiled:
    """What a training needs of a network; its report will have neither picture nor formulas."""
    return Compiled("", emit_module(graph), ascii_name(graph.program.model))
