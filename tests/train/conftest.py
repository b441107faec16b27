"""A network small enough to learn the digits in a second, and a run of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import kill, train

from cldfc.data.catalogue import DATA_DIR, find
from cldfc.data.dataset_files import how_to_get, missing
from cldfc.recipe import Recipe
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.training_run import Result, train_network
from cldfc.weights.compiled import Compiled

SOURCE = """
from torch import nn


class Tiny(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(512, 10),
        )
"""


@pytest.fixture(scope="session")
def tiny() -> str:
    """The source of the small network; its class is `Tiny`."""
    return SOURCE


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe that suits the small network."""
    return Recipe(epochs=6, batch=64, lr=0.05, shift_columns=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: str, recipe: Recipe) -> Result:
    """A finished run; not to be changed."""
    compiled = Compiled("model Tiny  # 1 < 2 & 3\n", tiny, "Tiny", {"weights": "<few>"})
    setting = TrainingSetting(command="cldfc train tiny.cldf")
    return train_network(compiled, find("digits"), recipe, tmp_path_factory.mktemp("runs") / "tiny", setting)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the smallest network that was never interrupted; not to be changed."""
    return train(tmp_path_factory.mktemp("whole") / "run").folder


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the smallest network that was killed in its third epoch; not to be changed."""
    return kill(tmp_path_factory.mktemp("interrupted") / "run", 3, 3)


@pytest.fixture(scope="session")
def fashion_mnist_dir() -> Path:
    """A data folder with which `fashion_mnist` is at hand; the test is skipped where it is not."""
    folder = Path(__file__).parents[2] / DATA_DIR
    if missing(find("fashion_mnist"), folder):
        pytest.skip(f"Fashion-MNIST is not at hand: `make data` gets it ({how_to_get(find('fashion_mnist'))})")
    return folder
