"""A trained network as one for inference: its source and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.syntax.spelling import ascii_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cldfc.algebra.fold_norms import Folded
    from cldfc.train.fold_weights import WeightOrigin


def folded_code(folded: Folded) -> str:
    from cldfc.emit.torch_module import emit_module

    return emit_module(folded.graph, f"for inference: {folded.count:,} normalisation{'s' * (folded.count != 1)} folded")


def fold_file(folded: Folded, path: Path) -> dict[str, Tensor]:
    """The weights of the folded class from a safetensors file with those of the trained one, in the file's type.

    Raises UsageError when the file is missing, or does not fit. torch is loaded here.
    """
    from cldfc.emit.torch_module import emit_module
    from cldfc.train.fold_weights import fold_weights, read_trained

    tensors = read_trained(path, emit_module(folded.trained), ascii_name(folded.trained.program.model))
    return fold_weights(tensors, origins_of(folded))


def load_folded(folded: Folded, path: Path) -> nn.Module:
    from cldfc.train.network import build_network

    network = build_network(folded_code(folded), ascii_name(folded.graph.program.model))
    network.load_state_dict(fold_file(folded, path))
    return network


def origins_of(folded: Folded) -> dict[str, WeightOrigin]:
    from cldfc.emit.parameter_names import parameter_names
    from cldfc.ops import Prolongation
    from cldfc.train.fold_weights import WeightOrigin

    graph, pairs = folded.graph, folded.pairs
    before, after = parameter_names(folded.trained), parameter_names(graph)
    origins: dict[str, WeightOrigin] = {}
    for key, stored in graph.parameters.items():
        norm, is_transposed = pairs.get(key), isinstance(stored.operator, Prolongation)
        names = (None, None) if norm is None else (before[norm.scale], before[norm.statistics])
        origins[after[key]] = WeightOrigin(before[key], names[0], is_transposed, names[1])
    return origins
