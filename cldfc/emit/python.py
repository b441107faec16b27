"""Python as a careful person writes it: identifiers, and lines as `ruff format` lays them out."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence

from cldfc.syntax.spelling import ascii_name


class Identifiers:
    """Gives each thing one name of its own: the spec's, in ASCII, or that with a number."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.taken = set(reserved)
        self.given: dict[object, str] = {}

    def keep(self, names: Iterable[str]) -> None:
        """Reserve each of these names, unless it is taken, for the thing of that name, whatever asks first."""
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
    """The Python name of a variable or a method; attributes keep the spec's capitals, as state dicts have them."""
    return ascii_name(name).lower()


def loop_name(index: str) -> str:
    """The Python name of an index; linters refuse `l`, which is how ASCII spells ℓ."""
    return "level" if index == "ℓ" else ascii_name(index)


_WIDTH = 88
INDENT = "    "


def fits(line: str, depth: int) -> bool:
    """Whether a line is short enough at an indentation."""
    return len(INDENT) * depth + len(line) <= _WIDTH


def call(start: str, arguments: Sequence[str], end: str, depth: int) -> list[str]:
    """`start(arguments)end` on one line, with its arguments on the next, or on one line each."""
    joined = ", ".join(arguments)
    if fits(f"{start}({joined}){end}", depth) or not arguments:
        return [f"{start}({joined}){end}"]
    if fits(joined, depth + 1):
        return [f"{start}(", INDENT + joined, f"){end}"]
    return [f"{start}(", *(f"{INDENT}{argument}," for argument in arguments), f"){end}"]


def count(first: str, stop: str, step: int = 1) -> str:
    """`range(first, stop, step)`, without what Python takes for granted."""
    by = "" if step == 1 else f", {step}"
    return f"range({stop})" if first == "0" and not by else f"range({first}, {stop}{by})"


def loop(variable: str, turns: str, body: Sequence[str]) -> list[str]:
    """A loop over its body."""
    return [f"for {counter(variable, body)} in {turns}:", *indent(body)]


def counter(variable: str, body: Sequence[str]) -> str:
    """The name of a loop variable: `_` where the body does not read it."""
    code = (line for line in body if not line.lstrip().startswith("#"))
    return variable if any(re.search(rf"\b{variable}\b", line) for line in code) else "_"


def breakable(line: str, depth: int) -> list[str]:
    """A line that stays too long because of long names: broken inside its last brackets, if at all."""
    if fits(line, depth) or line[-1] not in ")]" or (opening := _last_opening(line)) < 0:
        return [line]
    inner = line[opening + 1 : -1]
    arguments = _arguments_in(inner)
    if fits(inner, depth + 1) or len(arguments) == 1:
        return [line[: opening + 1], INDENT + inner, line[-1]]
    broken = (breakable(argument, depth + 1) for argument in arguments)
    return [line[: opening + 1], *(INDENT + part for some in broken for part in [*some[:-1], f"{some[-1]},"]), line[-1]]


def _last_opening(text: str) -> int:
    """Where the bracket opens that closes at the end of the text; -1 if none does."""
    open_at = list[int]()
    last = -1
    for match in re.finditer(r'"[^"]*"|[()\[\]{}]', text):
        if match[0] in "([{":
            open_at.append(match.start())
        elif match[0] in ")]}":
            last = open_at.pop() if open_at else -1
    return last


def _arguments_in(text: str) -> list[str]:
    """What stands between commas outside of all brackets and strings."""
    found, depth, start = list[str](), 0, 0
    for match in re.finditer(r'"[^"]*"|[()\[\]{}]|, ', text):
        depth += (match[0] in "([{") - (match[0] in ")]}")
        if match[0] == ", " and not depth:
            found.append(text[start : match.start()])
            start = match.end()
    return [*found, text[start:]]


def table(name: str, entries: Sequence[str], depth: int) -> list[str]:
    """`name = {entries}` on one line, or an entry a line."""
    line = f"{name} = {{{', '.join(entries)}}}"
    if fits(line, depth):
        return [line]
    return [f"{name} = {{", *(f"{INDENT}{entry}," for entry in entries), "}"]


def indent(lines: Sequence[str], depth: int = 1) -> list[str]:
    """Lines moved to the right; empty ones stay empty."""
    return [INDENT * depth + line if line else line for line in lines]
