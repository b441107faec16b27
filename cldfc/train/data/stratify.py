"""Draws a part of some images at random, with the same share of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from cldfc.diagnostics import UsageError


def draw_part(labels: Sequence[int], names: Sequence[str], share: float, seed: int, whose: str) -> list[int]:
    """The numbers, ascending, of the images of a part: of each class as near to that share as whole images can be.

    At least one image of each class is drawn, and at least one is left. The same labels, share and seed give the same
    part everywhere. `names` are those of the classes and `whose` says in an error what they are classes of.
    Raises UsageError when a class has fewer than two images.
    """
    counts = Counter(labels)
    sizes = [counts[label] for label in range(len(names))]
    for name, size in zip(names, sizes, strict=True):
        if size < 2:
            has = "only one image" if size else "no image"
            raise UsageError(
                f"the class `{name}` of {whose} has {has}: they cannot be divided so that both parts have all classes",
                "two images or more of each class can be divided",
            )
    # Python promises these numbers for all its releases, of which torch and numpy say nothing.
    chance = Random(seed)
    draws = [chance.random() for _ in labels]
    of_class: list[list[int]] = [[] for _ in names]
    for number in sorted(range(len(labels)), key=draws.__getitem__):
        of_class[labels[number]].append(number)
    drawn = sizes_of_part(sizes, share)
    return sorted(number for numbers, size in zip(of_class, drawn, strict=True) for number in numbers[:size])


def sizes_of_part(sizes: Sequence[int], share: float) -> list[int]:
    """How many images of each class make a share of all; those of the largest remainders get one more.

    A quarter of `[10, 9, 9]` is `[3, 2, 2]`: 7 of 28, for of 2.5, 2.25 and 2.25 the first has the largest remainder.
    """
    drawn = [min(max(int(share * size), 1), size - 1) for size in sizes]
    left = round(share * sum(sizes)) - sum(drawn)
    rest = {label: share * size - drawn[label] for label, size in enumerate(sizes) if drawn[label] < size - 1}
    for label in sorted((label for label in rest if rest[label] > 0), key=lambda label: -rest[label])[: max(left, 0)]:
        drawn[label] += 1
    return drawn
