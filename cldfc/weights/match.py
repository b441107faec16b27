"""Which module of a state dict is which of ours, and what says so: shapes, order of use, names, aliases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cldfc.diagnostics import UsageError
from cldfc.weights.groups import ModuleUse, Signature, TensorGroup
from cldfc.weights.search_orders import Pairing, Search, Slot, Stretch, TooManyOrdersError, read_blocks

_SHORTCUT = re.compile("downsample|shortcut|skip|bypass")
"""Names of modules in parallel to the other kernels of their block."""
_NUMBERED = re.compile(r"(.*\D)(\d+)")
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class _Rule:
    """What the names of two of their groups say: `second` follows `first`, is parallel to it, or has a later tag."""

    first: int
    second: int
    says: Literal["follows", "beside", "later tag"]

    def holds(self, uses: Sequence[ModuleUse], first: int, second: int) -> bool:
        """Whether two of our groups obey it; a later tag also means a later first use."""
        one, other = uses[first], uses[second]
        if self.says == "follows":
            return one.group in other.after
        if self.says == "beside":
            return one.group not in other.after and other.group not in one.after
        (table, tag), (other_table, other_tag) = _read_tag(one.group), _read_tag(other.group)
        return table != other_table or (first < second and tag < other_tag)


def _read_tag(name: str) -> tuple[str, tuple[int, ...]]:
    table, _, tag = name.partition(".")
    return table, tuple(map(int, _NUMBER.findall(tag)))


def _read_rules(groups: Mapping[int, TensorGroup]) -> list[_Rule]:
    # Where names differ in one number, as `encode1` and `encode2`, the larger number has the later tag.
    tags = [_Rule(first, second, "later tag") for first, second in _numbered_pairs(groups)]
    return [*_numbered_rules(groups), *_shortcut_rules(groups), *tags]


def _numbered_rules(groups: Mapping[int, TensorGroup]) -> Iterator[_Rule]:
    """Three or more modules of a block that are numbered, `conv1` to `conv3`, follow one another."""
    chains: dict[tuple[object, ...], dict[int, int]] = {}
    for at, group in groups.items():
        if found := _NUMBERED.fullmatch(group.leaf):
            chains.setdefault((group.parent, found[1], group.is_kernel), {})[int(found[2])] = at
    for chain in chains.values():
        if len(chain) > 2:
            yield from (_Rule(chain[a], chain[b], "follows") for a, b in pairwise(sorted(chain)))


def _shortcut_rules(groups: Mapping[int, TensorGroup]) -> Iterator[_Rule]:
    """Kernels under `downsample` or `shortcut` are parallel to the other kernels of their block."""
    blocks: dict[str, list[int]] = {}
    for at, group in groups.items():
        words = group.name.split(".")
        is_under = [bool(_SHORTCUT.search(word.casefold())) for word in words]
        while words and not is_under[len(words) - 1]:
            words.pop()
        while words and is_under[len(words) - 1]:
            words.pop()
        if words and group.is_kernel:
            blocks.setdefault(".".join(words), []).append(at)
    for block, shortcuts in blocks.items():
        beside = [at for at, g in groups.items() if g.is_kernel and g.name.startswith(f"{block}.")]
        yield from (_Rule(s, at, "beside") for s in shortcuts for at in beside if at not in shortcuts)


def _numbered_pairs(groups: Mapping[int, TensorGroup]) -> Iterator[tuple[int, int]]:
    """Pairs of groups whose names differ in one number, the smaller number first."""
    series: dict[tuple[str, str], dict[int, int]] = {}
    for at, group in groups.items():
        for found in _NUMBER.finditer(group.name):
            key = group.name[: found.start()], group.name[found.end() :]
            series.setdefault(key, {})[int(found[0])] = at
    for one in series.values():
        yield from ((one[a], one[b]) for a, b in pairwise(sorted(one)))


BY_SHAPE, BY_ORDER, _BY_ALIAS, BY_NAME = "by shape", "by order of use", "by alias", "by name"

_MOST_SHOWN = 3
"""How many candidates for the next module an error names at most."""
_CALL = "`import_weights(network, module, example=images)`"
_GIVE_MODULE = f"give the module instead: {_CALL} runs both and finds out"

_Options = list[frozenset[int]]
"""For each of their groups, the numbers of ours that it may be."""


@dataclass(frozen=True)
class Pair:
    """One of their groups, the group of ours that it matches, and how that was decided."""

    their: TensorGroup
    our: TensorGroup
    how: str


class Evidence:
    """Both sides: our groups in the order of use, theirs with all their names and places in the state dict."""

    def __init__(
        self,
        theirs: Sequence[TensorGroup],
        aliases: Mapping[str, Sequence[str]],
        ours: Sequence[TensorGroup],
        uses: Sequence[ModuleUse],
        places: Sequence[Slot],
    ) -> None:
        self.theirs, self.ours, self.uses, self.places = theirs, ours, uses, places
        self.last_places = {place.group: place.number for place in places}
        self.is_shared = [bool(aliases.get(group.name)) for group in theirs]
        alike: dict[Signature, list[int]] = {}
        for at, our in enumerate(ours):
            alike.setdefault(our.signature, []).append(at)
        self.alike = [alike.get(group.signature, []) for group in theirs]
        alone = {at: group for at, group in enumerate(theirs) if not self.is_shared[at]}
        self.rules = _read_rules(alone)
        shared = Counter(group.signature for at, group in enumerate(theirs) if self.is_shared[at])
        used_often = Counter(our.signature for our, use in zip(ours, uses, strict=True) if use.count > 1)
        self.told_by_sharing = {signature for signature, count in shared.items() if used_often[signature] == count}
        self.counts = Counter(group.signature for group in theirs)

    def may_wait(self, place: Slot) -> bool:
        """Whether the first use may be at a later place: a kernel that is shared may be applied to a zero here."""
        return self.theirs[place.group].is_kernel and place.number < self.last_places[place.group]

    def by_shape(self, their: int) -> list[int]:
        return self.alike[their]

    def by_alias(self, their: int) -> list[int]:
        """Our groups of its shape. Shared groups match those used several times, if there are equally many of both."""
        alike = self.alike[their]
        if self.theirs[their].signature not in self.told_by_sharing:
            return alike
        return [at for at in alike if (self.uses[at].count > 1) == self.is_shared[their]]

    def by_name(self, their: int) -> list[int]:
        """Of these, the ones of the same name, ignoring case, if there are any."""
        words = [word for word in self.theirs[their].name.casefold().split(".") if not word.isdigit()]
        likely = self.by_alias(their)
        named = [at for at in likely if words and self.ours[at].name.casefold().split(".")[0] == words[-1]]
        return named or likely


def match_order(evidence: Evidence) -> list[Pair]:
    """The only pairing for which their modules stand in a possible order of use of ours.

        theirs  ours, by use           pairs
        stem    A.1    3×3, 1 to 64    stem is A.1, by shape
        conv1   B.1_1  3×3, 64 to 64   conv1 is B.1_1, by order of use: B.1_2 needs what B.1_1 gives
        conv2   B.1_2  3×3, 64 to 64   conv2 is B.1_2, by order of use

    If no order fits, modules whose shape occurs once may stand anywhere; if still none fits, kernels may stand anywhere
    within their blocks. Several pairings are told apart by what is shared, then by names. Raises UsageError when no
    pairing fits, when several do, and when names contradict the only one.
    """
    _refuse_disorder(evidence.theirs)
    strict = _Limits(read_blocks(evidence.places, evidence.theirs))
    alone = {
        at
        for at, alike in enumerate(evidence.alike)
        if len(alike) == 1 == evidence.counts[evidence.theirs[at].signature]
    }
    placed = [place for place in evidence.places if place.group not in alone]
    limits = [
        strict,
        _Limits(read_blocks(placed, evidence.theirs), alone),
        _Limits(read_blocks(placed, evidence.theirs, any_order=True), alone, is_strict=False),
    ]
    if _is_alphabetical(evidence.theirs):
        limits = limits[: 1 if placed else 2]
    fitting = Counter(g.signature for g in evidence.theirs) == Counter(g.signature for g in evidence.ours)
    for limit in limits if fitting else ():
        if options := find_options(_search(evidence, limit, evidence.by_shape)):
            return _decide(evidence, limit, options)
    failed = _search(evidence, strict, evidence.by_shape)
    find_options(failed)
    raise _fits_nowhere(evidence, failed)


@dataclass(frozen=True)
class _Limits:
    """The orders of use that a search allows: blocks of their modules, and modules that may be used at any time."""

    blocks: Sequence[Stretch]
    anywhere: Set[int] = frozenset()
    is_strict: bool = True


def _decide(evidence: Evidence, limits: _Limits, options: _Options) -> list[Pair]:
    """The only pairing among `options`, those that the order leaves open. Raises UsageError."""
    rules = [rule for rule in evidence.rules if limits.is_strict or rule.says != "follows"]
    how = [BY_ORDER if len(option) == 1 else "" for option in options]
    for name, likely, among in ((_BY_ALIAS, evidence.by_alias, []), (BY_NAME, evidence.by_name, rules)):
        if all(how):
            break
        found = find_options(_search(evidence, limits, likely, among))
        options = found or options
        how = [
            known or (name if found and len(option) == 1 else "") for known, option in zip(how, options, strict=True)
        ]
    if not all(how):
        raise _ambiguous(evidence, options)
    pairing = tuple(next(iter(option)) for option in options)
    _refuse_contradiction(evidence, rules, pairing)
    return [
        Pair(group, evidence.ours[at], BY_SHAPE if len(evidence.alike[number]) == 1 else how[number])
        for number, (group, at) in enumerate(zip(evidence.theirs, pairing, strict=True))
    ]


def _search(
    evidence: Evidence, limits: _Limits, likely: Callable[[int], list[int]], rules: Sequence[_Rule] = ()
) -> Search:
    """A search for pairings within limits that also satisfy `likely` and `rules`."""
    by_group: dict[int, list[_Rule]] = {}
    for rule in rules:
        by_group.setdefault(rule.first, []).append(rule)
        by_group.setdefault(rule.second, []).append(rule)
    partners = [
        frozenset({at for rule in by_group.get(number, ()) for at in (rule.first, rule.second)} - {number})
        for number in range(len(evidence.theirs))
    ]

    def allowed(their: int, our: int, pairs: Sequence[int]) -> bool:
        for rule in by_group.get(their, ()):
            first, second = (our if at == their else pairs[at] for at in (rule.first, rule.second))
            if first >= 0 and second >= 0 and not rule.holds(evidence.uses, first, second):
                return False
        return True

    known = {at: evidence.alike[at][0] for at in limits.anywhere}
    pairs = [known.get(at, -1) for at in range(len(evidence.theirs))]
    return Search(limits.blocks, evidence.uses, pairs, likely, evidence.may_wait, allowed, partners if rules else ())


def find_options(search: Search) -> _Options:
    """For each of their groups, its partners in any pairing; empty where there is no pairing. Raises UsageError."""
    options: list[set[int]] = []
    try:
        for pairing in search.pairings():
            options = options or [set() for _ in pairing]
            for option, at in zip(options, pairing, strict=True):
                option.add(at)
    except TooManyOrdersError:
        raise UsageError("the weights fit the network in too many orders to try", _GIVE_MODULE) from None
    return [frozenset(option) for option in options]


def _refuse_contradiction(evidence: Evidence, rules: Sequence[_Rule], pairing: Pairing) -> None:
    """Raises UsageError where the order contradicts a name or an alias that the shapes allow."""
    for number, at in enumerate(pairing):
        for likely, what in ((evidence.by_alias, "how often it is used"), (evidence.by_name, "its name")):
            if at not in likely(number):
                raise _name_against_order(evidence, number, at, likely(number), what)
    for rule in rules:
        if rule.says == "later tag" or rule.holds(evidence.uses, pairing[rule.first], pairing[rule.second]):
            continue
        for number, at in ((n, pairing[n]) for n in (rule.first, rule.second)):
            for other, group in enumerate(evidence.theirs):
                in_block = group.name.startswith(f"{evidence.theirs[number].parent}.")
                if not in_block or other == number or pairing[other] not in evidence.alike[number]:
                    continue
                swapped = {number: pairing[other], other: at}
                first, second = (swapped.get(n, pairing[n]) for n in (rule.first, rule.second))
                if rule.holds(evidence.uses, first, second):
                    raise _name_against_order(evidence, number, at, [pairing[other]], "its name")


# What does not fit


def _name_against_order(evidence: Evidence, number: int, at: int, others: Sequence[int], what: str) -> UsageError:
    wanted = " or ".join(f"`{evidence.ours[other].name}`" for other in others[:_MOST_SHOWN])
    return UsageError(
        f"`{evidence.theirs[number].name}` of the weights is `{evidence.ours[at].name}` by the order of the weights, "
        f"but {wanted} by {what}",
        _GIVE_MODULE,
    )


def _ambiguous(evidence: Evidence, options: _Options) -> UsageError:
    open_ones = [(evidence.theirs[n].name, option) for n, option in enumerate(options) if len(option) > 1]
    lines = [
        f"`{name}` may be {' or '.join(f'`{evidence.ours[at].name}`' for at in sorted(option))}"
        for name, option in open_ones[:_MOST_SHOWN]
    ]
    more = [f"{len(open_ones) - _MOST_SHOWN} others are open, too"] * (len(open_ones) > _MOST_SHOWN)
    message = f"the weights fit the network in several ways: {'; '.join([*lines, *more])}"
    return UsageError(message, _order_hint(evidence.theirs))


def _fits_nowhere(evidence: Evidence, search: Search) -> UsageError:
    """The error for the first group of the state dict that fits nowhere."""
    theirs, ours = evidence.theirs, evidence.ours
    wanted = _list_some([ours[at] for at in search.ready])
    if not theirs:
        first = [our for our, use in zip(ours, evidence.uses, strict=True) if not use.after]
        return UsageError("there are no weights", f"the network would first take {_list_some(first)}")
    if search.stuck is None:
        return UsageError(f"the weights end after {theirs[-1]}", f"the network would take {wanted} next")
    message = f"{theirs[search.stuck]} of the weights fits nowhere in the network"
    if not wanted:
        return UsageError(message, f"all {len(ours)} modules of the network are already matched: leave it out")
    taken = f"after {search.reached} of its {len(ours)} modules" if search.reached else "at first"
    return UsageError(message, f"{taken} it would take {wanted}; {_order_hint(theirs)}")


def _list_some(groups: list[TensorGroup]) -> str:
    more = len(groups) - _MOST_SHOWN
    return " or ".join([*map(str, groups[:_MOST_SHOWN]), *[f"{more} others"] * (more > 0)])


def _refuse_disorder(theirs: Sequence[TensorGroup]) -> None:
    """Raises UsageError where modules of one shape are not in the order of the numbers in their names."""
    for first, second in _numbered_pairs(dict(enumerate(theirs))):
        if second < first and theirs[first].signature == theirs[second].signature:
            message = f"`{theirs[second].name}` of the weights stands before `{theirs[first].name}`"
            message += ": the order of the numbers is not that of the weights"
            raise UsageError(message, _order_hint(theirs))


def _order_hint(theirs: Sequence[TensorGroup]) -> str:
    if not _is_alphabetical(theirs):
        return _GIVE_MODULE
    return f"the names are in alphabetical order: load them into the module that they are of, and give that: {_CALL}"


def _is_alphabetical(theirs: Sequence[TensorGroup]) -> bool:
    """Whether names are sorted, as some files keep them: as text, with 10 before 2, or as numbers."""
    names = [group.name for group in theirs]
    natural = [[part.zfill(9) if part.isdigit() else part for part in re.split(r"([0-9]+)", name)] for name in names]
    return len(names) > 2 and (names == sorted(names) or natural == sorted(natural))
