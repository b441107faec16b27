"""A state dict as groups of tensors: one group for each module that has any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from cldfc.diagnostics import UsageError

COUNTER = "num_batches_tracked"
PARTS = ("weight", "bias", "running_mean", "running_var", COUNTER)
"""What PyTorch calls the tensors of a convolution, a normalisation or a linear map."""
IGNORED = ("total_ops", "total_params")
"""What a widely used counter of operations leaves in the modules it has seen."""

Signature = tuple[tuple[str, tuple[int, ...]], ...]
"""The names and shapes of the tensors of a module, without its counter."""


@dataclass(frozen=True)
class TensorGroup:
    """The tensors of one module; a tensor of another kind, such as a scalar, is a group of its own."""

    name: str
    tensors: Mapping[str, Tensor]

    @cached_property
    def signature(self) -> Signature:
        """What it must have in common with another group to take its place."""
        # However a scalar is stored, as (1,) or (1, 1), its shape is ().
        shapes = {p: () if not p and t.numel() == 1 else tuple(t.shape) for p, t in self.tensors.items()}
        return tuple(sorted((part, shape) for part, shape in shapes.items() if part != COUNTER))

    @property
    def is_kernel(self) -> bool:
        """Whether it is a convolution without a bias, which makes zeros of zeros."""
        return [(part, len(shape) > 2) for part, shape in self.signature] == [("weight", True)]

    @property
    def parent(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        return self.name.rpartition(".")[2]

    def names(self, other: TensorGroup, aliases: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
        """The name of each tensor, under each name of the group, and that of its counterpart in another."""
        for name in (self.name, *aliases.get(self.name, ())):
            for part in [part for part in self.tensors if part in other.tensors]:
                yield ".".join(filter(None, (name, part))), ".".join(filter(None, (other.name, part)))

    def __str__(self) -> str:
        shapes = ((part, "×".join(map(str, shape)) or "a number") for part, shape in self.signature)
        return f"`{self.name}` ({', '.join(f'{part} {shape}'.strip() for part, shape in shapes)})"


def read_groups(weights: Mapping[str, Tensor]) -> list[TensorGroup]:
    """The groups of a state dict in its order; whole numbers other than counters are no weights. Raises UsageError."""
    require_mapping(weights)
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        require_tensor(weights, name, tensor)
        module, _, part = name.rpartition(".")
        if part in IGNORED or not (tensor.is_floating_point() or part == COUNTER):
            continue
        is_part = bool(module) and part in PARTS
        tensors.setdefault(module if is_part else name, {})[part if is_part else ""] = tensor
    return [TensorGroup(name, parts) for name, parts in tensors.items() if set(parts) != {COUNTER}]


def require_mapping(weights: object) -> None:
    if not isinstance(weights, Mapping):
        raise UsageError(
            f"the weights are not a state dict but of type {type(weights).__name__}", "give `….state_dict()`"
        )


def require_tensor(weights: Mapping[str, object], name: object, tensor: object) -> None:
    if isinstance(name, str) and isinstance(tensor, Tensor):
        return
    inner = next((key for key, value in weights.items() if isinstance(value, Mapping)), None)
    text = "a state dict is {name: tensor}"
    if inner is not None:
        text = f"give the state dict inside it: `weights[{inner!r}]`"
    raise UsageError(f"`{name}` of the weights is no tensor, but of type {type(tensor).__name__}", text)


def join_groups(groups: Sequence[TensorGroup]) -> tuple[list[TensorGroup], dict[str, list[str]]]:
    """Groups without those that are the same tensors under another name, and these other names by the first.

    A state dict in which `decode.conv` is `encode.conv` gives `encode.conv` alone, and {encode.conv: [decode.conv]}.
    """
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, list[str]] = {}
    for group in groups:
        key = tuple((part, storage(tensor)) for part, tensor in group.tensors.items())
        name = first.setdefault(key, group.name)
        aliases.setdefault(name, []).extend([group.name] * (name != group.name))
    return [group for group in groups if group.name in aliases], aliases


def storage(tensor: Tensor) -> tuple[object, ...]:
    """What two names of one tensor have in common; a tensor without numbers is one of its own."""
    address = 0 if tensor.is_meta else tensor.data_ptr()
    return (address or id(tensor), tuple(tensor.shape), tensor.stride())
