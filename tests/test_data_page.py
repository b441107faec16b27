"""The catalogue of data sets: every entry is listed, can be read, and is what docs/data.md says."""

from importlib import import_module
from pathlib import Path

import pytest
from networks import ROOT

from cldfc.data import entries
from cldfc.data.catalogue import CATALOGUE
from cldfc.data.data_set import DataSet
from cldfc.data.images import load_images

HEAD = "|---|---|---:|---|---|---|---|---|---|\n"
WITHOUT_FILES = [dataset.name for dataset in CATALOGUE.values() if not dataset.files and not dataset.folders]


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


def test_the_table_is_the_catalogue(golden):
    page = ROOT / "docs" / "data.md"
    before, _, after = page.read_text(encoding="utf-8").partition(HEAD)
    rows = [f"{row(dataset)}\n" for dataset in CATALOGUE.values()]
    golden(page, "".join([before, HEAD, *rows, "\n", after.partition("\n\n")[2]]))


def test_every_data_set_is_listed():
    for name, found in vars(entries).items():
        if isinstance(found, DataSet):
            assert found in entries.ENTRIES, f"`{name}` is not in ENTRIES of cldfc/data/entries.py"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_data_set_has_a_reader(name):
    reader = CATALOGUE[name].reader
    path = ROOT / f"{reader.replace('.', '/')}.py"
    assert path.is_file(), f"the reader of `{name}` is to be in {path.relative_to(ROOT)}, and there is no such file"
    assert callable(getattr(import_module(reader), "load", None)), f"{path.relative_to(ROOT)} has no function `load`"


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_what_an_entry_says_of_its_images(name):
    """Of data sets that need no files; `load_images` compares numbers, shapes and labels."""
    dataset = CATALOGUE[name]
    images = load_images(dataset, Path("nowhere")).train.pixels.double()
    for figure, measured in (("mean", images.mean((0, 2, 3))), ("std", images.std((0, 2, 3), unbiased=False))):
        stated = getattr(dataset, figure)
        is_right = measured.tolist() == pytest.approx(stated, rel=1e-3)
        assert is_right, f"`{figure}` of `{name}` is {stated}, and its images have {measured.tolist()}"
