"""The house stays as it is meant to be: `tools/house.py` counts, and import-linter holds the layers."""

import ast
import re
import sys

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
    """But for commands, operators of the reference, which their names find, and what is named in texts that are run."""
    named = {"read_published", "shared_norm", "tables_text", "all_operators", *INTERFACES}
    found = [door.rpartition(".") for door in house.unused_doors()]
    tables = ("cldfc.reference.operators", "cldfc.cli.")
    assert not [door for door in found if door[2] not in named and not door[0].startswith(tables)]


@pytest.mark.parametrize(("command", "allowed"), house.COMMANDS.items())
def test_a_spec_is_parsed_once(command, allowed):
    assert house.parses(command) == allowed


PARTIAL = r"^from networks import (?:\([^)]*|.*)\b(?:some|only_in_fuzz)\b|CLDFC_FUZZ|IS_FUZZ"


def test_make_fuzz_has_every_sweep_of_which_make_test_runs_a_part():
    sweeps = (ROOT / "Makefile").read_text(encoding="utf-8").split("SWEEPS := ")[1].split("))")[0]
    tests = ROOT / "tests"
    partial = {
        path.relative_to(tests).with_suffix("").as_posix()
        for path in tests.rglob("test_*.py")
        if re.search(PARTIAL, path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert partial - {"test_house"} == {word for word in sweeps.split() if "test_" in word}
