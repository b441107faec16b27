"""A trained network as one for inference: its source, its weights, and what could not be folded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.collector import collector_paused
from cldfc.compiler import AS_WRITTEN, Form, Task, build
from cldfc.diagnostics import Source
from cldfc.syntax.spelling import ascii_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cldfc.algebra.fold_norms import Folded
    from cldfc.network.graph import Graph
    from cldfc.train.fold_weights import Origin


@dataclass(frozen=True)
class Inference:
    """A network as it is trained, and with its normalisations folded where that is possible."""

    trained: Graph
    folded: Folded

    @property
    def class_name(self) -> str:
        """The class of both sources."""
        return ascii_name(self.trained.program.model)

    @cached_property
    def trained_source(self) -> str:
        """The module that is trained."""
        from cldfc.emit.torch_module import emit_module

        return emit_module(self.trained)

    @cached_property
    def source(self) -> str:
        """The module for inference."""
        from cldfc.emit.torch_module import emit_module

        count = self.folded.count
        return emit_module(self.folded.graph, f"for inference: {count:,} normalisation{'s' * (count != 1)} folded")


@collector_paused()
def fold_network(source: Source, task: Task = AS_WRITTEN, form: Form = "simplified") -> Inference:
    """The network of a spec for inference. Raises CldfError."""
    from cldfc.algebra.fold_norms import fold_norms

    graph = build(source, task, form)
    return Inference(graph, fold_norms(graph))


def fold_file(inference: Inference, path: Path) -> dict[str, Tensor]:
    """The weights of the folded class from a safetensors file with those of the trained one, in the file's type.

    Raises UsageError when the file is missing, or does not fit. torch is loaded here.
    """
    from cldfc.train.fold_weights import fold_weights, read_trained

    tensors = read_trained(path, inference.trained_source, inference.class_name)
    return fold_weights(tensors, origins_of(inference))


def load_folded(inference: Inference, path: Path) -> nn.Module:
    """The folded network with weights from a file with those of the trained one; raises what `fold_file` raises."""
    from cldfc.train.network import build_network

    network = build_network(inference.source, inference.class_name)
    network.load_state_dict(fold_file(inference, path))
    return network


def origins_of(inference: Inference) -> dict[str, Origin]:
    """For each module of the folded class, where its weights come from."""
    from cldfc.emit.parameter_names import parameter_names
    from cldfc.ops import Prolongation
    from cldfc.train.fold_weights import Origin

    graph, pairs = inference.folded.graph, inference.folded.pairs
    before, after = parameter_names(inference.trained), parameter_names(graph)
    origins: dict[str, Origin] = {}
    for key, stored in graph.parameters.items():
        norm, is_transposed = pairs.get(key), isinstance(stored.operator, Prolongation)
        names = (None, None) if norm is None else (before[norm.scale], before[norm.statistics])
        origins[after[key]] = Origin(before[key], names[0], is_transposed, names[1])
    return origins
