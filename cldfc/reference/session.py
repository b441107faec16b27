"""What an evaluation knows so far: values, parameters, and zeros whose shape is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cldfc.reference.indices import Declarations, Key, ReferenceNumbers
from cldfc.reference.parameters import Parameters, PlaceKey, Places

Shape = tuple[int, ...]
"""With the batch in front."""


class Unshaped:
    """A result that follows from zeros alone: it is computed as soon as its shape is known.

    `compute` gives it from its operands; `before` gives an operand's shape from its own. Without operands it
    is the zero itself.
    """

    def __init__(
        self,
        operands: Sequence[Value] = (),
        compute: Callable[[list[Tensor]], Tensor] | None = None,
        before: Callable[[Shape], Shape] = lambda shape: shape,
        beside: Tensor | None = None,
        is_alike: bool = False,
    ) -> None:
        self.operands = operands
        self.compute = compute
        self.before = before
        self.beside = beside
        """A map that has the same shape but for its channels."""
        self.is_alike = is_alike
        """Whether all operands have its shape."""
        self.tensor: Tensor | None = None
        self.channels = 0
        """How many it has, where a kernel says so."""

    @property
    def is_zero(self) -> bool:
        return self.compute is None

    def known(self) -> Tensor | None:
        """The tensor, if the shape has become known by now."""
        if self.tensor is None and self.compute is not None:
            operands = [tensor_of(operand) for operand in self.operands]
            known = [operand for operand in operands if operand is not None]
            if len(known) == len(operands):
                self.tensor = self.compute(known)
            elif self.is_alike and (shapes := [tuple(tensor.shape) for tensor in known if _has_batch(tensor)]):
                self.shaped(shapes[0])
        return self.tensor

    def shaped(self, shape: Shape) -> Tensor:
        if self.tensor is None and (self.is_alike or self.known() is None):
            operands = [_with_shape(operand, self.before(shape)) for operand in self.operands]
            self.tensor = self.compute(operands) if self.compute else torch.zeros(shape, dtype=torch.float64)
        assert self.tensor is not None
        return self.tensor


class Undecided(Unshaped):
    """What an adjoint gives where several shapes are possible: its shape is that which other values ask for."""

    def __init__(
        self,
        operand: Value,
        compute: Callable[[Tensor, Shape], Tensor],
        usual: Callable[[Shape], Shape],
        before: Callable[[Shape], Shape],
    ) -> None:
        super().__init__((operand,), lambda given: given[0], before)
        self.compute_at = compute
        self.usual = usual
        """The shape where nothing asks for one, by that of the operand."""

    def known(self) -> Tensor | None:
        return self.tensor

    def shaped(self, shape: Shape) -> Tensor:
        if self.tensor is None:
            self.tensor = self.compute_at(_with_shape(self.operands[0], self.before(shape)), shape)
        return self.tensor

    def is_open(self) -> bool:
        """Whether its shape could be decided, and is not."""
        return self.tensor is None and tensor_of(self.operands[0]) is not None

    def decide(self) -> None:
        operand = tensor_of(self.operands[0])
        assert operand is not None
        self.shaped(self.usual(tuple(operand.shape)))


Value = Tensor | Unshaped


def _with_shape(value: Value, shape: Shape) -> Tensor:
    """A value as a tensor; of one that has a shape the other is not asked."""
    return value if isinstance(value, Tensor) else value.shaped(shape)


_OF_PARAMETERS = 7
"""Axes of a vector of parameters: more than a map has, by which it is known. Its numbers lie along the fourth."""


def as_vector(parameters: Tensor) -> Tensor:
    """A vector of parameters as a value, which has no batch."""
    return parameters.reshape(1, 1, 1, -1, 1, 1, 1)


def spread_vector(vector: Tensor, over: Tensor) -> Tensor:
    """A vector of parameters with a number for each channel of a map; other tensors as they are."""
    if vector.ndim < _OF_PARAMETERS or over.ndim in (0, _OF_PARAMETERS):
        return vector
    return vector.reshape(len(vector), -1, *[1] * (over.ndim - 2))


def _has_batch(tensor: Tensor) -> bool:
    """Whether it is a number, a vector or a map for each image, not a scalar or a vector of parameters."""
    return 0 < tensor.ndim < _OF_PARAMETERS


def _aligned(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Numbers and vectors with the axes that they have beside maps."""
    whole = max(tensors, key=lambda tensor: tensor.ndim if 1 < tensor.ndim < _OF_PARAMETERS else tensor.ndim - 100)
    found: list[Tensor] = []
    for tensor in tensors:
        if tensor.ndim == 1 or (tensor.ndim == 2 and whole.ndim > 2):
            tensor = tensor.reshape(*tensor.shape, *[1] * (whole.ndim - tensor.ndim))
        found.append(spread_vector(tensor, whole))
    return found


def tensor_of(value: Value) -> Tensor | None:
    """A value as a tensor; None while its shape is not known."""
    return value.known() if isinstance(value, Unshaped) else value


def _known(value: Value) -> Value:
    """A value as a tensor, if that is possible by now."""
    found = tensor_of(value)
    return value if found is None else found


def map_value(
    value: Value, compute: Callable[[Tensor], Tensor], before: Callable[[Shape], Shape] = lambda shape: shape
) -> Value:
    value = _known(value)
    if isinstance(value, Tensor):
        return compute(value)
    return Unshaped((value,), lambda given: compute(given[0]), before)


def with_channels(value: Value, channels: int) -> Value:
    """A value that must have this many channels, which may be all that is missing of its shape."""
    value = _known(value)
    if isinstance(value, Tensor) or value.beside is None:
        return value
    beside = value.beside
    return value.shaped((len(beside), channels, *beside.shape[2:]))


def concatenate(values: Sequence[Value]) -> Value:
    """The channels of all values one after another; zeros among them have those that are missing.

    Beside maps each number of a vector, or of each image, is a channel that is the same in all pixels.
    """
    values = [_known(value) for value in values]
    axes = max((value.ndim for value in values if isinstance(value, Tensor)), default=0)
    sides = next((value.shape[2:] for value in values if isinstance(value, Tensor) and value.ndim == axes), ())
    values = [_over_pixels(value, sides) if isinstance(value, Tensor) else value for value in values]
    known_ones = [value for value in values if isinstance(value, Tensor)]
    return torch.cat(known_ones, 1) if len(known_ones) == len(values) else _Concatenated(values, known_ones)


def _over_pixels(tensor: Tensor, sides: Shape) -> Tensor:
    """A number or vector of each image as channels of a map that has these sides; a map as it is."""
    if tensor.ndim > 2:
        return tensor
    return tensor.reshape(len(tensor), -1, *[1] * len(sides)).repeat(1, 1, *sides)


class _Concatenated(Unshaped):
    """The channels of several values, of which some do not tell how many they have."""

    def __init__(self, values: Sequence[Value], known_ones: Sequence[Tensor]) -> None:
        super().__init__(values, lambda given: torch.cat(given, 1), beside=known_ones[0] if known_ones else None)

    def shaped(self, shape: Shape) -> Tensor:
        if self.tensor is None and self.known() is None:
            told = [v.shape[1] if isinstance(v, Tensor) else v.channels for v in map(_known, self.operands)]
            share, rest = divmod(shape[1] - sum(told), told.count(0)) if 0 in told else (0, 0)
            if rest or share < 0:
                raise ValueError("nothing says how many channels each of the zeros in a `concat` has")
            parts = zip(self.operands, told, strict=True)
            self.tensor = torch.cat([_with_shape(v, (shape[0], own or share, *shape[2:])) for v, own in parts], 1)
        assert self.tensor is not None
        return self.tensor


def combine_alike(values: Sequence[Value], compute: Callable[[list[Tensor]], Tensor]) -> Value:
    """A function of values of one shape, of scalars, and of what is spread over maps; zeros have the shape of the rest.

    Beside maps a vector has one number for each channel, and a map of one channel one for each pixel. A number of each
    image is spread over maps and vectors. Scalars and vectors of parameters have no batch, and tell no shape.
    """
    values = [_known(value) for value in values]
    tensors = [value for value in values if isinstance(value, Tensor)]
    shapes = [tuple(tensor.shape) for tensor in (_aligned(tensors) if tensors else ()) if _has_batch(tensor)]
    shape = tuple(map(max, zip(*shapes, strict=True))) if any(map(_has_batch, tensors)) else None

    def combine(given: Sequence[Tensor]) -> Tensor:
        return compute(_aligned(given))

    if shape is None and len(tensors) < len(values):
        return values[0] if all(is_zero(value) for value in values) else Unshaped(values, combine, is_alike=True)
    return combine([_with_shape(value, shape or ()) for value in values])


def is_zero(value: Value) -> bool:
    return isinstance(value, Unshaped) and value.is_zero


@dataclass(frozen=True)
class ReferenceUse:
    """One use of a parameter: its module's name, the value whose equation it stands in, its operand and its result."""

    module: str
    value: str
    operand: Value
    result: Value


@dataclass
class EvaluationSession:
    known: Declarations
    numbers: ReferenceNumbers
    places: Mapping[PlaceKey, Places]
    parameters: Parameters
    lengths: set[int]
    """How many numbers `linear` may give by itself."""
    training: bool
    disturb: Callable[[Tensor], Tensor] | None = None
    """What is done to each result, to see what rounding could make of the network."""
    values: dict[Key, Value] = field(default_factory=dict[Key, Value])
    statistics: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    uses: list[ReferenceUse] = field(default_factory=list[ReferenceUse])
    undecided: list[Undecided] = field(default_factory=list[Undecided])
    """In the order of computation."""

    def decide(self, output: Key) -> None:
        """Give adjoints the shape that they have where nothing asks for one, until the output is known."""
        while tensor_of(self.values[output]) is None:
            left = [value for value in self.undecided if value.is_open()]
            if not left:
                return
            left[0].decide()

    def record(self, module: str, value: Key, operand: Value, result: Value) -> Value:
        result = self.disturbed(result)
        self.uses.append(ReferenceUse(module, format_value(value), operand, result))
        return result

    def disturbed(self, value: Value) -> Value:
        """A result as it is, or as it could be with other rounding."""
        return value if self.disturb is None or isinstance(value, Unshaped) else self.disturb(value)


def format_value(key: Key) -> str:
    """`u@2,1`."""
    return f"{key[0]}@{','.join(map(str, key[1]))}" if key[1] else key[0]
