"""The house stays as it is meant to be: `tools/house.py` counts, and import-linter holds the layers."""

import ast
import re
import sys
from collections import Counter

import pytest
from networks import ROOT

sys.path.append(str(ROOT / "tools"))
import house

INTERFACES = {"load", "read", "write", "reader", "main"}
"""What readers of data sets and formats of exports have in common, and what is run as a program."""
COMMANDS = {"show", "specs"}


def test_a_class_and_a_file_are_found_by_their_names():
    assert not house.twice(house.definitions(ast.ClassDef))
    assert not house.twice(house.stems())


def test_a_function_that_others_use_has_one_meaning():
    assert set(house.twice(house.definitions(ast.FunctionDef))) <= INTERFACES | COMMANDS


def test_no_circle_among_files():
    assert not house.circles()


def test_what_only_its_file_uses_has_an_underscore():
    """A public function is used by another file, also by a test, a benchmark or a page."""
    words = Counter()
    folders = ("cldfc", "tests", "tools", "benchmarks", "docs", "examples")
    paths = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md", ".html")]
    for path in [*paths, ROOT / "README.md", ROOT / "pyproject.toml"]:
        if path not in house.GENERATED and "golden" not in path.parts:
            words.update(set(re.findall(r"\w+", path.read_text(encoding="utf-8"))))
    alone = {name: places for name, places in house.definitions(ast.FunctionDef).items() if words[name] < 2}
    assert not alone, f"rename them to `_{next(iter(alone))}` and so on"


@pytest.mark.parametrize(("command", "allowed"), house.COMMANDS.items())
def test_a_spec_is_parsed_once(command, allowed):
    assert house.parses(command) == allowed
