"""Order and augmentation: pure functions of seed, epoch and place, checked image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cldfc.data.batches import Draw, Share, cut_images, draw_epoch, epoch_batches, frame
from cldfc.data.images import Images
from cldfc.recipe import Recipe, change_recipe, steps_per_epoch

RECIPE = Recipe(epochs=9, batch=8, lr=0.1, shift_rows=1, shift_columns=2, flip=True)


def numbered(count: int) -> Images:
    """Images without symmetry, labelled by their number."""
    pixels = torch.arange(1, 21, dtype=torch.uint8).view(1, 1, 4, 5).repeat(count, 1, 1, 1)
    return Images(pixels, torch.arange(count))


def drawn(recipe: Recipe, epoch: int, count: int = 35) -> torch.Tensor:
    """The pixels of all batches of an epoch."""
    return torch.cat([batch.pixels for batch in epoch_batches(frame(numbered(count), recipe), recipe, epoch)])


def order(recipe: Recipe, epoch: int, count: int = 35) -> tuple[int, ...]:
    """The numbers of the images in all batches of an epoch."""
    batches = epoch_batches(frame(numbered(count), recipe), recipe, epoch)
    return tuple(int(label) for batch in batches for label in batch.labels)


def test_an_epoch_can_be_repeated() -> None:
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    first = drawn(RECIPE, 3)
    torch.manual_seed(2)  # pyright: ignore[reportUnknownMemberType]
    assert torch.equal(first, drawn(RECIPE, 3))
    assert order(RECIPE, 3) == order(RECIPE, 3)


@pytest.mark.parametrize("first", [1, 3, 4])
def test_an_epoch_can_be_entered_in_its_middle(first: int) -> None:
    whole, rest = (list(epoch_batches(frame(numbered(35), RECIPE), RECIPE, 2, step)) for step in (0, first))
    assert len(rest) == 4 - first
    for one, other in zip(whole[first:], rest, strict=True):
        assert torch.equal(one.pixels, other.pixels) and torch.equal(one.labels, other.labels)


def test_epochs_and_seeds_differ() -> None:
    recipes = [change_recipe(RECIPE, {"seed": seed}) for seed in (0, 1, 4096, 65535)]
    orders = {order(recipe, epoch) for recipe in recipes for epoch in (1, 2)}
    assert len(orders) == 8


@pytest.mark.parametrize(("count", "steps"), [(35, 4), (33, 4), (32, 4), (8, 1), (5, 1)])
def test_batches_are_whole(count: int, steps: int) -> None:
    batches = list(epoch_batches(frame(numbered(count), RECIPE), RECIPE, 1))
    assert len(batches) == steps_per_epoch(count, RECIPE) == steps
    assert {len(batch) for batch in batches} == {min(count, 8)}
    shown = order(RECIPE, 1, count)
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_see_the_batches_of_one_together(count: int) -> None:
    images = frame(numbered(35), RECIPE)
    shares = [epoch_batches(images, RECIPE, 2, share=Share(rank, count)) for rank in range(count)]
    for whole, *parts in zip(epoch_batches(images, RECIPE, 2), *shares, strict=True):
        for rank, part in enumerate(parts):
            assert torch.equal(part.labels, whole.labels[rank::count])
            assert torch.equal(part.pixels, whole.pixels[rank::count])


def test_a_batch_that_is_too_small_to_share_evenly_loses_some() -> None:
    (batch,) = epoch_batches(frame(numbered(5), RECIPE), RECIPE, 1, share=Share(1, 2))
    assert len(batch) == 2


def test_the_left_over_images_change() -> None:
    left = [set(range(35)) - set(order(RECIPE, epoch)) for epoch in (1, 2)]
    assert left[0] != left[1]


def test_images_are_cut_out_of_a_margin_of_zeros_then_mirrored() -> None:
    """By numpy, image by image."""
    pixels = torch.randint(1, 99, (60, 3, 4, 5), dtype=torch.uint8)
    draw = Draw(*(torch.randint(0, most, (60,)) for most in (60, 3, 5)), torch.rand(60) < 0.5)
    shown = draw.order[:33]
    framed = np.pad(pixels.numpy(), ((0, 0), (0, 0), (1, 1), (2, 2)))
    moved = cut_images(frame(Images(pixels, torch.arange(60)), RECIPE), shown, draw)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    for image, number in zip(moved.numpy(), shown.tolist(), strict=True):
        row, column = int(draw.top[number]), int(draw.left[number])
        wanted = framed[number, :, row : row + 4, column : column + 5]
        assert np.array_equal(image, wanted[:, :, ::-1] if draw.mirrored[number] else wanted)


def test_the_size_of_a_batch_changes_no_image() -> None:
    """What is drawn belongs to the image and the epoch, not to the batch."""
    one, other = (draw_epoch(35, change_recipe(RECIPE, {"batch": batch}), 2) for batch in (8, 3))
    assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in Draw._fields)


def test_every_shift_and_flip_occurs() -> None:
    recipe = change_recipe(RECIPE, {"batch": 500})
    assert len(np.unique(drawn(recipe, 1, 500).numpy(), axis=0)) == 3 * 5 * 2


def test_without_augmentation_images_stay_as_they_are() -> None:
    pixels = drawn(change_recipe(RECIPE, {"shift_rows": 0, "shift_columns": 0, "flip": False}), 1)
    assert torch.equal(pixels, numbered(len(pixels)).pixels)
