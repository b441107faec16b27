"""Weights of another implementation, put into a generated network by order of use and shape."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.train.dataflow import first_uses
from cldfc.train.groups import Group, join_groups, read_groups
from cldfc.train.match import Match, match_order, match_tables


def import_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Copy a state dict of another implementation into a generated network; return {its name: our name}.

    Names are not compared. The tensors of one module of the state dict are taken together, and its
    modules are taken to stand in an order in which they may be used: they are matched with ours, one
    after the other, along the flow of our data, by the shapes of their tensors. The state dict of a
    generated class, whose order is another, is matched by the tags in its names.

    Other number types and devices are converted, prefixes make no difference, counters may be
    missing. Raises UsageError, and changes nothing, unless every tensor of both sides finds its place.
    """
    theirs, aliases = join_groups(read_groups(weights))
    state: dict[str, Tensor] = network.state_dict()
    ours = {group.name: group for group in read_groups(state)}
    pairs = match_tables(theirs, list(ours.values())) or in_order_of_use(network, theirs, ours)
    names = {name: own for their, our in pairs for name, own in their.names(our, aliases)}
    refuse_empty(weights, names)
    with torch.no_grad():
        for name, own in names.items():
            state[own].copy_(weights[name].reshape(state[own].shape))
    return names


def in_order_of_use(network: nn.Module, theirs: list[Group], ours: dict[str, Group]) -> list[tuple[Group, Group]]:
    """Their modules and ours along the flow of our data. Raises UsageError when they do not fit."""
    uses = first_uses(network, list(ours))
    match = match_order([g.signature for g in theirs], [ours[use.group].signature for use in uses], uses)
    if not match.fits:
        raise misfit(theirs, [ours[use.group] for use in uses], match)
    return [(their, ours[uses[at].group]) for their, at in zip(theirs, match.taken, strict=True)]


def misfit(theirs: list[Group], ours: list[Group], match: Match) -> UsageError:
    """The error for the first group of the state dict that fits nowhere."""
    place, ready = match.reached, [ours[at] for at in match.ready]
    wanted = " or ".join(map(str, ready[:3])) + (f" or {len(ready) - 3} others" if len(ready) > 3 else "")
    if place == len(theirs):
        message = (
            f"the weights end after {theirs[-1]}, and the network needs more" if theirs else "there are no weights"
        )
        return UsageError(message, f"it would take {wanted} next")
    message = f"{theirs[place]} of the weights fits nowhere in the network"
    if not ready:
        return UsageError(message, f"all {len(ours)} modules of the network have found theirs before it: leave it out")
    after = f"after {place} of its {len(ours)} modules it would take" if place else "it would first take"
    names = [group.name for group in theirs]
    hint = "; the names are in alphabetical order: load them into the network that they were saved from, and give its state dict"
    return UsageError(message, f"{after} {wanted}{hint if len(names) > 2 and names == sorted(names) else ''}")


def refuse_empty(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Raises UsageError for a tensor without numbers, which cannot be copied."""
    empty = [name for name in names if weights[name].is_meta]
    if empty:
        raise UsageError(
            f"`{empty[0]}` has a shape, but no numbers (it is on the meta device)", "load the weights first"
        )
