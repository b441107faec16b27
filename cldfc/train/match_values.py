"""Which module of another network is which of ours: the one that is given the same values when both are run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.train.match import BY_ORDER, BY_SHAPE, Pair
from cldfc.train.run_both import (
    CPU,
    Arguments,
    Print,
    RunMode,
    Running,
    default_dtype,
    distance,
    draw_example,
    largest_difference,
    place_example,
    randomise,
    run_network,
    set_weights,
    ways_to_run,
)

MOST_RUNS = 300
"""After so many runs of ours the search gives up; without branches that look alike it takes one."""

DRAWS = 3
"""Equal outputs are asked for with so many draws of random weights."""

Pairs = dict[int, int]
"""The number of their group for each of ours."""


class DeadEndError(Exception):
    """What has been chosen so far cannot be right."""


@dataclass
class Apart:
    """The place up to which the networks agree: our group, and the one of theirs that is given the nearest value."""

    decided: int = -1
    ours: str = ""
    theirs: str = ""
    difference: float = float("inf")

    def __str__(self) -> str:
        if not self.ours:
            return "all modules are given the same values, so they part after the last"
        if not self.theirs:
            return f"nothing like `{self.ours}` is used there"
        near = (
            "of another shape" if self.difference == float("inf") else f"which differs by {percentage(self.difference)}"
        )
        return f"they part where `{self.ours}` is used: the nearest value is given to `{self.theirs}`, {near}"


def percentage(share: float) -> str:
    return f"{100 * share:.2g} %"


@dataclass
class Both:
    """Our network and theirs, run with random weights on random numbers."""

    ours: Running
    theirs: Running
    example: Arguments
    way: RunMode
    given: list[list[Print]] = field(init=False)
    outputs: list[Tensor] = field(init=False)
    here: Arguments = field(init=False)
    rank: dict[int, int] = field(default_factory=dict[int, int])
    apart: Apart = field(default_factory=Apart)

    def __post_init__(self) -> None:
        self.given = [[] for _ in self.theirs.groups]
        self.outputs = run_network(self.theirs, self.example, self.note)
        self.here = place_example(self.example, self.way.dtype, CPU)

    def note(self, groups: list[int], values: list[Print]) -> None:
        for group in groups:
            self.given[group] += values
            self.rank.setdefault(group, len(self.rank))

    def search(self) -> Pairs | None:
        """Pairs with which ours gives what theirs gives; None if there are none, or none was found."""
        for is_strict in (True, False):
            choices: list[int] | None = []
            for _ in range(MOST_RUNS):
                attempt = Attempt(self, choices, is_strict)
                try:
                    attempt.finish(run_network(self.ours, self.here, attempt.use))
                    return attempt.pairs
                except DeadEndError:
                    choices = attempt.next_choices()
                    if choices is None:
                        break
        return None

    def differences(self, pairs: Pairs) -> list[float]:
        """How far apart the outputs are with several draws of random weights; those that are all zero say nothing."""
        found: list[float] = []
        for seed in range(DRAWS):
            randomise(self.theirs, seed)
            for number, their in pairs.items():
                set_weights(self.theirs.groups[their], self.ours.groups[number])
            wanted = run_network(self.theirs, self.example)
            if any(bool(tensor.any()) for tensor in wanted):
                found.append(largest_difference(run_network(self.ours, self.here), wanted))
        randomise(self.theirs, 0)
        return found

    def is_proved(self, pairs: Pairs) -> bool:
        """Whether the outputs are equal with several draws; in one alone, a branch may be zero by chance."""
        found = self.differences(pairs)
        return bool(found) and all(difference < self.way.tolerance for difference in found)


class Attempt:
    """One run of ours, in which each group is given the weights of one of theirs when it is first used."""

    def __init__(self, both: Both, choices: Sequence[int], is_strict: bool) -> None:
        self.both, self.choices, self.is_strict = both, choices, is_strict
        self.pairs: Pairs = {}
        self.is_guess = False
        self.made: list[tuple[int, int]] = []

    def use(self, groups: list[int], values: list[Print]) -> None:
        """A use of our groups. Raises DeadEndError."""
        for number in groups:
            ours = self.both.ours.groups[number]
            if ours.is_kernel and not any(float(value[1][0]) for value in values):
                continue  # a kernel applied to a zero says nothing
            if number not in self.pairs:
                self.choose(number, self.candidates(number, values))
            elif self.is_strict and not self.is_near(self.pairs[number], values):
                self.note_apart(number, [self.pairs[number]], values)
                raise DeadEndError

    def candidates(self, number: int, values: list[Print]) -> list[int]:
        """Theirs of its shape that are given one of the values; if there are none, what may be given another.

        That is a kernel, which another form of the same iteration applies to increments, or what no function is seen
        to be given.
        """
        both, signature = self.both, self.both.ours.groups[number].signature
        left = [
            their
            for their, group in enumerate(both.theirs.groups)
            if group.signature == signature and their not in self.pairs.values()
        ]
        left.sort(key=lambda their: both.rank.get(their, len(both.rank)))
        found = [their for their in left if self.is_near(their, values)]
        was_guess, self.is_guess = self.is_guess, not found
        if not found and self.is_strict:
            self.note_apart(number, left, values)
        if not found and not self.is_strict:
            is_free = both.ours.groups[number].is_kernel and not was_guess
            found = [their for their in left if is_free or not both.given[their]]
        return found

    def is_near(self, their: int, values: list[Print]) -> bool:
        return self.nearest(their, values) < self.both.way.tolerance

    def nearest(self, their: int, values: list[Print]) -> float:
        """How near the values that their group is given come to these."""
        return min((distance(a, b) for a in values for b in self.both.given[their]), default=float("inf"))

    def note_apart(self, number: int, theirs: list[int], values: list[Print]) -> None:
        if len(self.pairs) > self.both.apart.decided:
            near, their = min(((self.nearest(their, values), their) for their in theirs), default=(float("inf"), None))
            name = "" if their is None else self.both.theirs.groups[their].name
            self.both.apart = Apart(len(self.pairs), self.both.ours.groups[number].name, name, near)

    def choose(self, number: int, candidates: list[int]) -> None:
        """Give a group of ours the weights of one of theirs. Raises DeadEndError."""
        if not candidates:
            raise DeadEndError
        place = len(self.made)
        choice = self.choices[place] if place < len(self.choices) else 0
        self.made.append((choice, len(candidates)))
        self.pairs[number] = candidates[choice]
        set_weights(self.both.theirs.groups[candidates[choice]], self.both.ours.groups[number])

    def next_choices(self) -> list[int] | None:
        """The choices of the next run: the last that has an alternative is changed; None if there is no other."""
        made = self.made
        while made and made[-1][0] + 1 == made[-1][1]:
            made.pop()
        return [*(choice for choice, _ in made[:-1]), made[-1][0] + 1] if made else None

    def finish(self, outputs: list[Tensor]) -> None:
        """Match what has no part in the outputs, and compare them. Raises DeadEndError."""
        if not largest_difference(outputs, self.both.outputs) < self.both.way.tolerance:
            if len(self.pairs) > self.both.apart.decided:
                self.both.apart = Apart(len(self.pairs))
            raise DeadEndError
        for number, ours in enumerate(self.both.ours.groups):
            if number not in self.pairs:
                theirs = self.both.theirs.groups
                left = (at for at, group in enumerate(theirs) if group.signature == ours.signature)
                self.pairs[number] = next(at for at in left if at not in self.pairs.values())
        if not self.both.is_proved(self.pairs):
            raise DeadEndError


@dataclass(frozen=True)
class Match:
    """Pairs, or None if none were found; where the networks part then; and both networks."""

    pairs: list[Pair] | None
    both: Both

    def difference(self, pairs: Sequence[Pair]) -> float:
        """How far apart the outputs are with random weights, if their groups are ours in these pairs."""
        theirs = {group.name: number for number, group in enumerate(self.both.theirs.groups)}
        ours = {group.name: number for number, group in enumerate(self.both.ours.groups)}
        with default_dtype(self.both.way.dtype):
            found = self.both.differences({ours[p.our.name]: theirs[p.their.name] for p in pairs})
        return float(torch.tensor(found or [float("inf")]).max())


def match_values(network: nn.Module, module: nn.Module, example: Arguments) -> Match:
    """Pairs that make both networks the same function.

    Copies of both are run with random weights, which no two modules have in common, so that equal outputs prove it.
    The numbers of groups of each shape must be equal. Raises UsageError when either cannot be run.
    """
    both = start(network, module, example)
    ours, theirs = both.ours.groups, both.theirs.groups
    with default_dtype(both.way.dtype):
        try:
            pairs = both.search()
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"the network cannot be run on the example: {error}", "give what it takes") from error
    if pairs is None:
        return Match(None, both)
    counts = Counter(group.signature for group in ours)
    how = {number: BY_SHAPE if counts[ours[number].signature] == 1 else BY_ORDER for number in pairs}
    return Match([Pair(theirs[their], ours[number], how[number]) for number, their in pairs.items()], both)


def start(network: nn.Module, module: nn.Module, example: Arguments) -> Both:
    """Both networks, theirs with random weights. Raises UsageError."""
    failure: Exception | None = None
    for way in ways_to_run(module):
        try:
            theirs, ours = Running(module, way.dtype, way.device), Running(network, way.dtype, CPU)
            randomise(theirs, 0)
            with default_dtype(way.dtype):
                return Both(ours, theirs, place_example(draw_example(example), way.dtype, way.device), way)
        except UsageError:
            raise
        except Exception as error:
            failure = failure or error
    raise UsageError(
        f"the module cannot be copied and run on the example: {failure}", "give what its `forward` takes"
    ) from failure


def compare_outputs(
    network: nn.Module, module: nn.Module, example: Arguments, way: RunMode, pairs: Sequence[Pair]
) -> float:
    """How far apart the outputs are on the example, once our groups have the weights of theirs; neither is changed."""
    theirs, ours = Running(module, way.dtype, way.device), Running(network, way.dtype, CPU)
    by_name = {group.name: group for group in theirs.groups}, {group.name: group for group in ours.groups}
    for pair in pairs:
        set_weights(by_name[0][pair.their.name], by_name[1][pair.our.name])
    with default_dtype(way.dtype):
        wanted = run_network(theirs, place_example(example, way.dtype, way.device))
        return largest_difference(run_network(ours, place_example(example, way.dtype, CPU)), wanted)
