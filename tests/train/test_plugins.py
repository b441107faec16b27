"""Data sets of other distributions: real ones, installed into a folder on the path, the page's example among them."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from networks import ROOT
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data.catalogue import CATALOGUE, find, names, plugin_names
from cldfc.data.data_set import DataSet
from cldfc.data.images import Split, load_images
from cldfc.diagnostics import UsageError

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
ENTRY = """
from cldfc.data.catalogue import find
OWN = find("fake:1x8x8:2").model_copy(update={"name": "own", "reader": "own_data"})
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with installed distributions."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for name in ("own_data", "shapes"):
        sys.modules.pop(name, None)


def install(site: Path, name: str, points: dict[str, str], modules: dict[str, str]) -> None:
    """Put a distribution into the folder, as pip does."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[cldfc.data_sets]\n{lines}")
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)


def block(language: str) -> str:
    """The one block of a language in the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def test_the_example_of_the_page(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    project = tomllib.loads(block("toml"))["project"]
    install(site, project["name"], project["entry-points"]["cldfc.data_sets"], {"shapes": block("python")})
    monkeypatch.chdir(tmp_path)
    dataset = find("shapes")
    split = load_images(dataset, Path())
    assert isinstance(split, Split) and tuple(map(len, split)) == dataset.images
    pixels = split.train.pixels.double()
    assert pixels.mean().item() == pytest.approx(dataset.mean[0])
    assert pixels.std().item() == pytest.approx(dataset.std[0], abs=0.01)
    options = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8", "--data", "shapes", "-o", "run"]
    trained = CliRunner().invoke(app, ["train", str(ROOT / "specs" / "fbresnet.cldf"), *options])
    assert trained.exit_code == 0, trained.output
    assert "test accuracy 100.00% after the last epoch" in trained.output
    assert "as recorded" in CliRunner().invoke(app, ["eval", "run"]).output


def test_names_are_listed_without_loading(site: Path) -> None:
    install(site, "broken-data", {"own": "own_data:OWN", "digits": "own_data:OWN"}, {"own_data": "raise SystemExit"})
    assert "own" in plugin_names() and "own_data" not in sys.modules
    assert names().count("digits") == 1
    with pytest.raises(UsageError) as caught:
        find("ownn")
    assert caught.value.help.startswith("did you mean `own`? the data sets are `digits`")
    with pytest.raises(UsageError) as caught:
        find("xyz")
    assert all(f"`{name}`" in caught.value.help for name in [*CATALOGUE, "own", "folder:PATH"])


def test_a_name_of_cldfc_cannot_be_taken(site: Path) -> None:
    points = dict.fromkeys(("digits", "fake:1x8x8:2"), "own_data:OWN")
    install(site, "greedy", points, {"own_data": "raise SystemExit"})
    assert find("digits") is CATALOGUE["digits"] and find("fake:1x8x8:2").reader == "cldfc.data.fake"


@pytest.mark.parametrize(
    ("target", "module", "reason"),
    [
        ("no_such_module:OWN", "", "`no_such_module:OWN` cannot be loaded: ModuleNotFoundError: No module named"),
        (
            "own_data:OWN",
            "",
            "`own_data:OWN` cannot be loaded: AttributeError: module 'own_data' has no attribute 'OWN'",
        ),
        ("own_data:OWN", "OWN = (", "`own_data:OWN` cannot be loaded: SyntaxError"),
        ("own_data:OWN", "raise SystemExit(3)", "`own_data:OWN` cannot be loaded: SystemExit: 3"),
        ("own_data:OWN", "OWN = 3", "`own_data:OWN` is not a cldfc.data.catalogue.DataSet"),
        ("own_data:OWN", ENTRY.replace('"own"', '"other"'), "the data set calls itself `other`"),
        (
            "own_data:OWN",
            "from cldfc.data.catalogue import DataSet\nOWN = DataSet(name='own')",
            "`own_data:OWN`: `reader`: it is missing",
        ),
    ],
)
def test_an_entry_point_that_is_broken(site: Path, target: str, module: str, reason: str) -> None:
    install(site, "own-data", {"own": target}, {"own_data": module})
    result = CliRunner().invoke(app, ["train", str(ROOT / "specs" / "fbresnet.cldf"), "--data", "own"])
    assert result.exit_code == 2
    assert f"the data set `own` of the distribution `own-data` cannot be used: {reason}" in result.output
    assert "`pip uninstall own-data`" in result.output


def test_two_distributions_with_one_name(site: Path) -> None:
    install(site, "own-data", {"own": "own_data:OWN"}, {"own_data": ENTRY})
    assert isinstance(find("own"), DataSet)
    shutil.copytree(site / "own_data-1.0.dist-info", site / "other_data-1.0.dist-info")
    (site / "other_data-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other-data\nVersion: 1\n")
    with pytest.raises(UsageError, match="several data sets are called `own`: they come with `other-data` and `own-da"):
        find("own")


READERS = [
    ("", "AttributeError: module 'own_data' has no attribute 'load'"),
    ("def load(dataset, folder): return 3", "`load` gives a int, neither a Split nor ImageFiles"),
    (
        "from cldfc.data.images import ImageFiles\ndef load(dataset, folder): return ImageFiles([], [])",
        "`load` gives ImageFiles, and the entry lacks `from_files=True`",
    ),
    ("def load(dataset, folder): raise KeyError('x')", "KeyError: 'x'"),
    ("def load(dataset, folder): return made(float)", "pixels and labels are torch.float32 and torch.int64"),
    ("def load(dataset, folder): return made(rows=9)", r"the shapes \(4, 1, 9, 8\) and \(4,\)"),
    ("def load(dataset, folder): return made(label=2)", "labels go from 0 to 2, of 2 classes"),
    ("def load(dataset, folder): return made(count=0)", "there are no images"),
]
MADE = """
import torch
from cldfc.data.images import Images, Split
def made(kind=None, rows=8, label=1, count=4):
    pixels = torch.zeros(count, 1, rows, 8, dtype=torch.float32 if kind else torch.uint8)
    images = Images(pixels, torch.tensor([0, 1, 0, label][:count], dtype=torch.int64))
    return Split(images, images)
"""


@pytest.mark.parametrize(("reader", "reason"), READERS)
def test_a_reader_that_is_broken(site: Path, reader: str, reason: str) -> None:
    install(site, "own-data", {"own": "own_data:OWN"}, {"own_data": f"{ENTRY}\n{MADE}\n{reader}\n"})
    with pytest.raises(UsageError, match=f"`own_data` cannot read the data set `own`: .*{reason}"):
        load_images(find("own"), Path())


def test_a_reader_that_is_missing() -> None:
    dataset = find("digits").model_copy(update={"reader": "no_such_module"})
    with pytest.raises(UsageError, match="`no_such_module` cannot read the data set `digits`: ModuleNotFoundError"):
        load_images(dataset, Path())
