"""Weights of another implementation, put into a generated network by order of use and shape."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cldfc.diagnostics import UsageError
from cldfc.train.dataflow import first_uses
from cldfc.train.groups import Group, join_groups, read_groups
from cldfc.train.match import Match, match_order, match_tables

MOST_SHOWN = 3
"""An error names so many of the modules that might come next."""


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
    refuse_empty([name for name, own in names.items() if weights[name].is_meta and not state[own].is_meta])
    with torch.no_grad():
        for name, own in names.items():
            state[own].copy_(weights[name].reshape(state[own].shape))
    return names


def in_order_of_use(network: nn.Module, theirs: list[Group], ours: dict[str, Group]) -> list[tuple[Group, Group]]:
    """Their modules and ours along the flow of our data. Raises UsageError when they do not fit."""
    uses = first_uses(network, list(ours))
    wanted, signatures = [group.signature for group in theirs], [ours[use.group].signature for use in uses]
    match = found = match_order(wanted, signatures, uses)
    if not match.fits:
        # Our code applies no kernel to a zero, where theirs may use one first.
        place = {use.group: at for at, use in enumerate(uses)}
        found = match_order(wanted, signatures, uses, [place[name] for name, group in ours.items() if group.is_kernel])
    if not found.fits:
        raise misfit(theirs, [ours[use.group] for use in uses], match)
    return [(their, ours[uses[at].group]) for their, at in zip(theirs, found.taken, strict=True)]


def misfit(theirs: list[Group], ours: list[Group], match: Match) -> UsageError:
    """The error for the first group of the state dict that fits nowhere."""
    place, wanted = match.reached, list_some([ours[at] for at in match.ready])
    if not theirs:
        return UsageError("there are no weights", f"the network would first take {wanted}")
    if place == len(theirs):
        return UsageError(f"the weights end after {theirs[-1]}", f"the network would take {wanted} next")
    message = f"{theirs[place]} of the weights fits nowhere in the network"
    if not wanted:
        return UsageError(message, f"all {len(ours)} modules of the network have found theirs before it: leave it out")
    taken = f"after {place} of its {len(ours)} modules" if place else "at first"
    return UsageError(message, f"{taken} it would take {wanted}{sorted_hint([group.name for group in theirs])}")


def list_some(groups: list[Group]) -> str:
    """A few groups with their shapes, and how many others there are."""
    more = len(groups) - MOST_SHOWN
    return " or ".join([*map(str, groups[:MOST_SHOWN]), *[f"{more} others"] * (more > 0)])


def sorted_hint(names: list[str]) -> str:
    """What to do about names in alphabetical order, which is how some files keep them."""
    if len(names) < 3 or names != sorted(names):
        return ""
    return "; the names are in alphabetical order: load them into the network that they are of, and give its state dict"


def refuse_empty(names: list[str]) -> None:
    """Raises UsageError for tensors without numbers, which cannot be copied."""
    if names:
        message = f"`{names[0]}` has a shape, but no numbers (it is on the meta device)"
        raise UsageError(message, "load the weights first")
