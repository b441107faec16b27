"""Python names for what a spec names."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from cldfc.syntax.spelling import ascii_name


class Identifiers:
    """Gives each thing one name of its own: the spec's, in ASCII, or that with a number."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.taken = set(reserved)
        self.given: dict[object, str] = {}

    def keep(self, names: Iterable[str]) -> None:
        """Give each of these names to what is called so, unless it is taken, whatever asks first."""
        free = {name: ascii_name(name) for name in names}
        self.given.update((n, own) for n, own in free.items() if own not in self.taken and not keyword.iskeyword(own))
        self.taken.update(self.given[name] for name in free if name in self.given)

    def name(self, thing: object, wanted: str) -> str:
        """The name of a thing; the same each time it is asked for."""
        if thing not in self.given:
            self.given[thing] = self.free(ascii_name(wanted))
        return self.given[thing]

    def free(self, wanted: str) -> str:
        """A name that is not taken, nor a word of Python."""
        number, name = 1, wanted
        while name in self.taken or keyword.iskeyword(name):
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def snake_case(name: str) -> str:
    """The Python name of a variable or a method; attributes keep the spec's capitals, for state dicts are loaded."""
    return ascii_name(name).lower()


def loop_name(index: str) -> str:
    """The Python name of an index; linters refuse `l`, which is how ASCII spells ℓ."""
    return "level" if index == "ℓ" else ascii_name(index)
