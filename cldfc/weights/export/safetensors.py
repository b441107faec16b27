"""The weights of a network as one safetensors file: one tensor for each parameter and buffer, by its name."""

from __future__ import annotations

from copy import deepcopy

import torch
from safetensors.torch import load, save
from torch import Tensor

from cldfc.weights.export.classifier import KEY, About, Classifier, Scores, differs


def write(classifier: Classifier, about: About) -> bytes:
    """The file; what the network takes is standardised outside of it, with mean and std of the metadata."""
    # One key: the order of several is random.
    return save(_stored_tensors(classifier), {KEY: about.model_dump_json()})


def read(data: bytes, classifier: Classifier) -> Scores:
    """A classifier with the weights in a file. Raises UsageError unless they are those of `classifier` bit for bit."""
    tensors, expected = load(data), _stored_tensors(classifier)
    if tensors.keys() != expected.keys():
        raise differs("other tensors than the network has")
    for name, tensor in expected.items():
        if not _same_bits(tensors[name], tensor):
            raise differs(f"another `{name}`")
    copied = deepcopy(classifier)
    copied.network.load_state_dict(tensors)
    return copied


def _stored_tensors(classifier: Classifier) -> dict[str, Tensor]:
    state: dict[str, Tensor] = classifier.network.state_dict()
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same bits in the same shape; a NaN is equal to itself."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return torch.equal(*(tensor.reshape(-1).view(torch.uint8) for tensor in (one, other)))


def reader() -> str:
    return f"torch {torch.__version__}"
