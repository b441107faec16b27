"""The table of docs/data.md is the catalogue."""

import re

from networks import ROOT

from cldfc.train.catalogue import CATALOGUE, DataSet


def figures(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.5g}" if len(values) == 1 and value < 10 else f"{value:.4g}" for value in values)


def row(dataset: DataSet) -> str:
    recipe, (train, test) = dataset.recipe, dataset.images
    cells = [
        f"`{dataset.name}`",
        " × ".join(map(str, dataset.shape)),
        f"{dataset.classes:,}",
        f"{train:,} + {test:,}",
        figures(dataset.mean),
        figures(dataset.std),
        "cut" if dataset.folders else f"{recipe.shift_rows}, {recipe.shift_columns}",
        "yes" if recipe.flip else "no",
        f"{recipe.epochs} × {recipe.batch}",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_table_is_the_catalogue():
    first = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert re.findall(r"^\| `\w.*$", first, re.MULTILINE) == [row(dataset) for dataset in CATALOGUE.values()]
