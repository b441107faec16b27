"""The parameters of a network, given by the names that its generated module's state dictionary has."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from itertools import count

from torch import Tensor

from cldfc.reference.declarations import Declarations, Key
from cldfc.syntax import reserved, tree
from cldfc.syntax.spelling import ascii_name
from cldfc.syntax.walk import own_indices


class Parameters:
    """Finds the tensors of a parameter such as B@2,1: `B.2_1.weight`, or `B.weight` where B is one module.

    A name that torch or Python has for itself gets a number, the first that no other parameter has: `forward_2`.
    """

    def __init__(self, given: Mapping[str, Tensor], reserved: set[str], names: Iterable[str]) -> None:
        self.given = given
        self.reserved = reserved
        self.names = {ascii_name(name) for name in names}
        self.used: set[str] = set()

    def attribute(self, name: str) -> str:
        wanted = ascii_name(name)
        if wanted not in self.reserved and not keyword.iskeyword(wanted):
            return wanted
        numbered = (f"{wanted}_{number}" for number in count(2))
        return next(other for other in numbered if other not in self.reserved | self.names)

    def module(self, key: Key) -> str:
        """The name of a parameter's module. Raises KeyError when there is none."""
        attribute, indices = self.attribute(key[0]), "_".join(map(str, key[1]))
        for module in (f"{attribute}.{indices}", attribute):
            if any(name in self.given for name in (module, f"{module}.weight", f"{module}.running_mean")):
                return module
        raise KeyError(f"there is no `{attribute}.{indices}`" if indices else f"there is no `{attribute}`")

    def tensor(self, name: str) -> Tensor:
        self.used.add(name)
        return self.given[name]


def reserved_names(spec: tree.Tree, known: Declarations) -> set[str]:
    """Attributes that a generated class cannot give to a parameter: torch's own, and its loop variables."""
    equations = [statement for statement in spec.statements if isinstance(statement, tree.Equation)]
    loops = set(known.ranges).union(*map(own_indices, equations))
    return set(reserved.ATTRIBUTES) | {"level" if name == "ℓ" else ascii_name(name) for name in loops}
