"""Weights of another implementation, put into a generated network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import cast

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.weights.groups import Signature, TensorGroup, first_uses, join_groups, read_groups
from cldfc.weights.match import BY_NAME, BY_SHAPE, Evidence, Pair, match_order
from cldfc.weights.match_values import Match, compare_outputs, match_values, percentage
from cldfc.weights.search_orders import Slot

_TAG = re.compile(r"[0-9]+(?:_[0-9]+)*")

_Tables = dict[str, dict[str, TensorGroup]]
"""For the last word of a name: the groups of that name, by the tag that follows it."""


def _match_tables(theirs: Sequence[TensorGroup], ours: Sequence[TensorGroup]) -> list[Pair] | None:
    """Pairs by the tags of generated names; None unless every table of theirs is one of ours.

        theirs B.1_1, B.1_2, A.1 and ours A.1, K.1_1, K.1_2    give B.1_1 is K.1_1, B.1_2 is K.1_2, A.1 is A.1

    A table is what has one name: B for all its tags. Two tables are the same if their tags and
    shapes are; of several that are, the one of the same name, or the only one that is left. Names without any tag
    are those of a generated class only if all are ours.
    """
    tables, own_tables = _read_tables(theirs), _read_tables(ours)
    if tables is None or own_tables is None or len(tables) != len(own_tables):
        return None
    similar = {name: [own for own in own_tables if _alike(tables[name], own_tables[own])] for name in tables}
    if not any(tag for table in tables.values() for tag in table) and tables.keys() != own_tables.keys():
        similar = {name: similar[name] if len(similar[name]) == 1 else [] for name in similar}
    chosen = {name: name for name in tables if name in similar[name]}
    for name in [name for name in tables if name not in chosen]:
        left = [own for own in similar[name] if own not in chosen.values()]
        if len(left) != 1:
            return None
        chosen[name] = left[0]
    return [
        Pair(group, own_tables[chosen[name]][tag], BY_SHAPE if len(similar[name]) == 1 else BY_NAME)
        for name in tables
        for tag, group in tables[name].items()
    ]


def _read_tables(groups: Sequence[TensorGroup]) -> _Tables | None:
    """The tables of a state dict; None if two groups have the same name and tag."""
    tables: _Tables = {}
    for group in groups:
        *_, name, last = ("", "", *group.name.split("."))
        name, tag = (name, last) if name and _TAG.fullmatch(last) else (last, "")
        if tag in tables.setdefault(name, {}):
            return None
        tables[name][tag] = group
    return tables


def _alike(one: dict[str, TensorGroup], other: dict[str, TensorGroup]) -> bool:
    return {t: g.signature for t, g in one.items()} == {t: g.signature for t, g in other.items()}


_CHANGED_NOTHING = "nothing is loaded; compare strides, padding and ε there, and what comes before"


class Imported(dict[str, str]):
    """{name of their tensor: our name}. `how` says how each pair was found; `str` lists the modules.

    `difference` is the largest difference of the two outputs, relative to the largest value; None if neither was run.
    """

    def __init__(
        self, pairs: Sequence[Pair], aliases: Mapping[str, Sequence[str]], difference: float | None = None
    ) -> None:
        names = [(name, own, pair.how) for pair in pairs for name, own in pair.their.names(pair.our, aliases)]
        super().__init__((name, own) for name, own, _ in names)
        self.how = {name: how for name, _, how in names}
        self.pairs, self.difference = tuple(pairs), difference

    def __str__(self) -> str:
        width = max((len(pair.their.name) for pair in self.pairs), default=0)
        own_width = max((len(pair.our.name) for pair in self.pairs), default=0)
        lines = [f"{p.their.name:{width}}  {p.our.name:{own_width}}  {p.how}" for p in self.pairs]
        if self.difference is not None:
            lines.append(f"outputs differ by {self.difference:.1e} of the largest")
        return "\n".join(lines)


def import_weights(
    network: nn.Module, weights: Mapping[str, Tensor] | nn.Module, *, example: object = None
) -> Imported:
    """Copy the weights of another implementation into a generated network; return {its name: our name}.

    `weights` is its state dict, or the module itself with an `example` of its input, a tensor or a tuple of them. A
    module is run beside ours: each of its modules is the one of ours that is given the same values, and the outputs
    must be equal. A state dict shows less: the tensors of one module belong together, and modules stand in an order in
    which they may be used. Where that leaves several pairings, shared modules and names decide. The state dict of a
    generated class, whose order is another, is matched by the tags in its names.

    Other number types and devices are converted, prefixes make no difference, counters may be
    missing. Raises UsageError, and changes nothing, unless every tensor of both sides has one place.
    """
    found = _match_module(network, weights, example) if isinstance(weights, nn.Module) else None
    if found is None and example is not None:
        raise UsageError("an example goes with a module, not with a state dict", "give the module itself")
    tensors: Mapping[str, Tensor] = weights.state_dict() if isinstance(weights, nn.Module) else weights
    if found is None:
        theirs, aliases = join_groups(read_groups(tensors))
        found = Imported(_match_names(network, tensors, theirs, aliases), aliases)
    state: dict[str, Tensor] = network.state_dict()
    _refuse_empty([name for name, own in found.items() if tensors[name].is_meta and not state[own].is_meta])
    with torch.no_grad():
        for name, own in found.items():
            state[own].copy_(tensors[name].reshape(state[own].shape))
    return found


def _match_names(
    network: nn.Module, tensors: Mapping[str, Tensor], theirs: list[TensorGroup], aliases: Mapping[str, Sequence[str]]
) -> list[Pair]:
    ours = {group.name: group for group in read_groups(network.state_dict())}
    if pairs := _match_tables(theirs, list(ours.values())):
        return pairs
    uses = first_uses(network, list(ours))
    numbers = {name: at for at, group in enumerate(theirs) for name in (group.name, *aliases[group.name])}
    places = [Slot(numbers[group.name], at, group.parent) for at, group in enumerate(read_groups(tensors))]
    return match_order(Evidence(theirs, aliases, [ours[use.group] for use in uses], uses, places))


def _match_module(network: nn.Module, module: nn.Module, example: object) -> Imported:
    """Pairs for which their module and our network compute the same function. Raises UsageError."""
    if example is None:
        raise UsageError(
            f"the weights are not a state dict but of type {type(module).__name__}",
            "give `….state_dict()`, or an example of the input, too: `import_weights(network, module, example=images)`",
        )
    arguments = cast("tuple[object, ...]", example) if isinstance(example, tuple) else (example,)
    tensors = module.state_dict()
    theirs, aliases = join_groups(read_groups(tensors))
    ours = read_groups(network.state_dict())
    _refuse_empty([name for name, tensor in tensors.items() if tensor.is_meta])
    _refuse_counts(theirs, ours)
    match = match_values(network, module, arguments)
    try:
        pairs = match.pairs or _match_names(network, tensors, theirs, aliases)
    except UsageError:
        message = f"no pairing of the modules makes the outputs equal: {match.both.apart}"
        raise UsageError(message, _CHANGED_NOTHING) from None
    originals = {group.name: group for group in theirs}, {group.name: group for group in ours}
    pairs = [Pair(originals[0][pair.their.name], originals[1][pair.our.name], pair.how) for pair in pairs]
    difference = compare_outputs(network, module, arguments, match.both.way, pairs)
    _refuse_disagreement(difference, match, pairs)
    return Imported(sorted(pairs, key=lambda pair: list(originals[0]).index(pair.their.name)), aliases, difference)


def _refuse_disagreement(difference: float, match: Match, pairs: Sequence[Pair]) -> None:
    """Raises UsageError unless the outputs are equal: on the example, and with random weights."""
    tolerance = match.both.way.tolerance
    is_equal = match.pairs is not None or match.difference(pairs) < tolerance
    if difference < tolerance and is_equal:
        return
    if isnan(difference):
        raise UsageError(
            "the outputs on the example are not finite", "give an example, and weights, without inf and nan"
        )
    if difference == inf:
        message = "the outputs of the two networks have different shapes"
    elif difference < tolerance:
        message = f"with other weights the outputs differ by {percentage(match.difference(pairs))} of the largest"
    else:
        message = f"the outputs of the two networks differ by {percentage(difference)} of the largest"
    raise UsageError(f"{message}; {match.both.apart}" if not is_equal else message, _CHANGED_NOTHING)


def _refuse_counts(theirs: Sequence[TensorGroup], ours: Sequence[TensorGroup]) -> None:
    counts = Counter[Signature](group.signature for group in theirs), Counter[Signature](g.signature for g in ours)
    for groups, here, there, words in (
        (theirs, *counts, "the module has {} like {}, the network {}"),
        (ours, *reversed(counts), "the network has {} like {}, the module {}"),
    ):
        for group in groups:
            if here[group.signature] > there[group.signature]:
                message = words.format(here[group.signature], group, there[group.signature])
                raise UsageError(message, "the networks are not the same, or the one shares what the other does not")


def _refuse_empty(names: list[str]) -> None:
    if names:
        message = f"`{names[0]}` has a shape, but no numbers (it is on the meta device)"
        raise UsageError(message, "load the weights first")
