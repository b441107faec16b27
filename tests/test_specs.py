"""The networks of the paper and of its relatives: their counts, against the generated classes and other libraries."""

import re

import pytest
import torch
import torchvision
from networks import ROOT, build

from cldfc.compiler import compile_source
from cldfc.syntax.read import read_source
from cldfc.task import read_task

SPECS = sorted((ROOT / "specs").rglob("*.cldf"))


def count(name: str, **changes) -> int:
    """Parameters of the generated class; on the meta device, for nothing is computed."""
    with torch.device("meta"):
        network = build(compile_source(read_source(ROOT / "specs" / f"{name}.cldf"), read_task(**changes)))
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.relative_to(ROOT / "specs").as_posix())
def test_expected_counts_are_those_of_the_class(spec):
    expected = re.search(r"^expect params = ([\d_]+)$", spec.read_text(encoding="utf-8"), re.MULTILINE)
    if expected is not None:
        name = spec.relative_to(ROOT / "specs").with_suffix("").as_posix()
        assert count(name) == int(expected[1])


# With 10 and with 100 classes; the printed forms are a reconstruction of Table 3's counts.
COUNTS = {
    "resnet18": (11_173_962, 11_220_132),
    "resnet34": (21_282_122, 21_328_292),
    "resnet18_Al": (8_040_522, 8_086_692),
    "resnet34_Al": (13_098_314, 13_144_484),
    "resnet18_Bl_printed": (None, 9_671_844),
    "resnet34_Bl_printed": (None, 14_766_500),
    "resnet18_Al_Bl_printed": (None, 6_575_268),
    "resnet34_Al_Bl_printed": (None, 6_656_420),
    "mgnet": (8_278_794, 8_301_924),
    "mgnet_Bli": (10_638_090, 10_661_220),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_paper(name):
    ten, hundred = COUNTS[name]
    assert ten is None or count(name) == ten
    assert count(name, classes=100) == hundred


# Table 3 as printed, in millions: 18 and 34 layers, 100 classes.
TABLE_3 = {"": ("11", "21"), "_Al": ("8.1", "13"), "_Bl_printed": ("9.7", "15"), "_Al_Bl_printed": ("6.6", "6.7")}


@pytest.mark.parametrize("sharing", TABLE_3)
@pytest.mark.parametrize("family", ["resnet", "preact"])
def test_table_3(family, sharing):
    for depth, printed in zip(("18", "34"), TABLE_3[sharing], strict=True):
        millions = count(f"{family}{depth}{sharing}", classes=100) / 1e6
        assert f"{millions:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.parametrize("depth", [18, 34])
def test_imagenet_counts_are_those_of_torchvision(depth):
    with torch.device("meta"):
        other = getattr(torchvision.models, f"resnet{depth}")()
    assert count(f"imagenet/resnet{depth}") == sum(parameter.numel() for parameter in other.parameters())


# Table 2 (MNIST) and Table 4 (ImageNet), in millions.
OTHER_TABLES = {
    "resnet18": ("1x28x28", "11"),
    "resnet18_Al": ("1x28x28", "8.0"),
    "preact18": ("1x28x28", "11"),
    "preact18_Al": ("1x28x28", "8.0"),
    "imagenet/resnet18": (None, "11.7"),
    "imagenet/resnet18_Al": (None, "8.6"),
    "imagenet/preact18": (None, "11.7"),
    "imagenet/preact18_Al": (None, "8.6"),
}


@pytest.mark.parametrize("name", OTHER_TABLES)
def test_tables_2_and_4(name):
    shape, printed = OTHER_TABLES[name]
    assert f"{count(name, input=shape) / 1e6:.{len(printed.partition('.')[2])}f}" == printed
