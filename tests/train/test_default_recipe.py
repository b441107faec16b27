"""The recipe by data set and network: those of the paper's tables, and networks that the paper does not speak of."""

from __future__ import annotations

import pytest
from networks import ROOT, some

from cldfc.compilation import Compilation
from cldfc.data.catalogue import default_recipe, find, origin_of
from cldfc.network.cost import count_convs
from cldfc.reproduce.tables import TABLES, TableRow, network_of
from cldfc.syntax.read import read_source

ROWS = [(row, dataset) for table in TABLES.values() for row in table.rows for dataset in table.datasets]
OF_THE_TABLES = {row.spec for row, _ in ROWS}
FOREIGN = ["densenet", "fbresnet", "fractalnet", "lenet5", "lm_resnet", "mgnet", "polynet", "resnext", "wide_resnet"]


@pytest.mark.parametrize(("row", "dataset"), some(ROWS, 5), ids=lambda part: getattr(part, "folder", part))
def test_rows_of_the_tables_get_the_weight_decay_of_the_paper(row: TableRow, dataset: str) -> None:
    network = network_of(row, dataset, False)
    convolutions = count_convs(Compilation(network.source, network.changes).shapes)
    recipe = default_recipe(find(dataset), convolutions)
    assert recipe.weight_decay == row.weight_decay
    assert recipe.model_copy(update={"weight_decay": 1e-4}) == find(dataset).recipe
    kind = "ResNet34 types" if row.weight_decay == 1e-3 else "as ResNet18 types"
    assert kind in origin_of("weight_decay", find(dataset), convolutions)


@pytest.mark.parametrize("name", FOREIGN)
def test_other_networks_get_that_of_the_data_set(name: str) -> None:
    convolutions = count_convs(Compilation(read_source(ROOT / "specs" / f"{name}.cldf")).shapes)
    for data in ("cifar10", "digits"):
        assert default_recipe(find(data), convolutions) == find(data).recipe


def test_a_recipe_that_is_not_of_the_paper_does_not_change() -> None:
    for name in ("digits", "fake:3x32x32:10"):
        assert default_recipe(find(name), 36) == find(name).recipe
        assert "5.1" not in origin_of("weight_decay", find(name), 36)


@pytest.mark.parametrize(
    ("data", "field", "origin"),
    [
        ("cifar10", "epochs", "section 5.1 of the paper"),
        ("cifar10", "flip", "default of cifar10"),
        ("cifar10", "seed", "default of cldfc"),
        ("digits", "epochs", "default of digits"),
        ("digits", "momentum", "default of cldfc"),
    ],
)
def test_each_value_comes_from_somewhere(data: str, field: str, origin: str) -> None:
    assert origin_of(field, find(data), 20) == origin
