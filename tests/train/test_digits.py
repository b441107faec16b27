"""The digits against scikit-learn's own arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from cldfc.data import digits
from cldfc.data.catalogue import DATA_DIR, find
from cldfc.data.images import Images, Split, load_images, standardise

DIGITS = find("digits")


@pytest.fixture(scope="module")
def split() -> Split:
    return load_images(DIGITS, DATA_DIR)


def published() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels and label of each image, by scikit-learn."""
    found: Any = import_module("sklearn.datasets").load_digits()
    return np.column_stack([found.data, found.target]).astype(np.uint8)


def rows(images: Images) -> list[bytes]:
    """Every image with its label, as bytes that can be compared."""
    labelled = torch.cat([images.pixels.flatten(1), images.labels.unsqueeze(1).byte()], 1)
    return [bytes(row) for row in labelled.numpy()]


def test_sizes(split: Split) -> None:
    assert split.train.pixels.shape == (1437, *DIGITS.shape)
    assert split.test.pixels.shape == (360, *DIGITS.shape)
    assert split.train.pixels.dtype == torch.uint8
    assert DIGITS.images == (len(split.train), len(split.test))


def test_every_digit_stands_in_exactly_one_part(split: Split) -> None:
    labelled = published()
    assert sorted(rows(split.train) + rows(split.test)) == sorted(bytes(row) for row in labelled)


def test_classes_have_equal_shares(split: Split) -> None:
    train, test = (np.bincount(part.labels.numpy(), minlength=10) for part in split)
    exact = (train + test) * 360 / 1797
    assert np.abs(test - exact).max() < 1


def test_split_is_the_announced_one(split: Split) -> None:
    """In its order, too: it decides which images a step shows."""
    labelled = published()
    select: Any = import_module("sklearn.model_selection").train_test_split
    parts = select(labelled, test_size=360, stratify=labelled[:, -1], random_state=0)
    assert [rows(part) for part in split] == [[bytes(row) for row in part] for part in parts]


def test_they_are_found_where_scikit_learn_keeps_them_elsewhere(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    assert [rows(part) for part in digits.load(DIGITS, DATA_DIR)] == [rows(part) for part in split]


def test_mean_and_deviation(split: Split) -> None:
    pixels = split.train.pixels.numpy().astype(np.float64)
    assert DIGITS.mean == pytest.approx([pixels.mean()], abs=1e-4)
    assert DIGITS.std == pytest.approx([pixels.std()], abs=1e-4)
    scaled = standardise(split.train.pixels, DIGITS).numpy()
    assert (scaled.mean(), scaled.std()) == pytest.approx((0, 1), abs=1e-4)
