"""What the evaluation of a network knows so far: its values, its parameters, and what was done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from cldfc.reference.declarations import Declarations, Key
from cldfc.reference.numbers import ReferenceNumbers
from cldfc.reference.parameters import Parameters
from cldfc.reference.places import Places
from cldfc.reference.zeros import Unshaped, Value


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
    places: Mapping[int, Places]
    parameters: Parameters
    classes: int
    training: bool
    disturb: Callable[[Tensor], Tensor] | None = None
    """What is done to each result, to see what rounding could make of the network."""
    values: dict[Key, Value] = field(default_factory=dict[Key, Value])
    statistics: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    uses: list[ReferenceUse] = field(default_factory=list[ReferenceUse])

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
