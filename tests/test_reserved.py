"""Names that a generated module needs for itself: one list, and every entry of it as a name of a spec."""

import builtins
import keyword
import symtable

import pytest
import torch
from networks import ROOT, build, compile_text, some
from torch import nn

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Source
from cldfc.emit.constructor import conv_lines, drop_path_lines, prolong_lines, shared_norm_lines
from cldfc.ops import BUILTINS
from cldfc.syntax import keywords
from cldfc.syntax.keywords import STATEMENTS, WORDS_INSIDE
from cldfc.syntax.read import read_source

PYTHON = {name for name in [*dir(builtins), *keyword.kwlist] if not name.startswith("_")}
NAMES = sorted(keywords.ATTRIBUTES | PYTHON | {"x", "y", "z", "x1", "f", "level", "i", "j", "k"})
FREE = [name for name in NAMES if name not in {*BUILTINS, *STATEMENTS, *WORDS_INSIDE}]
"""All but those that have a meaning in the language."""


def test_what_torch_keeps_for_itself():
    assert {name for name in dir(nn.Module()) if not name.startswith("_")} <= keywords.ATTRIBUTES


def names_of_module(source: str) -> set[str]:
    """What the functions of a module read that is not theirs: imports, functions, Python's own."""
    found: set[str] = set()
    tables = [symtable.symtable(source, "generated", "exec")]
    for table in tables:
        tables += table.get_children()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return found


def test_what_generated_code_reads():
    """The golden sources contain every operator."""
    everything = {"stride", "groups", "dilation", "bias"}
    helpers = "\n".join([*conv_lines(everything), *prolong_lines(everything), *shared_norm_lines(), *drop_path_lines()])
    folders = ("tests/golden/compile", "tests/golden/ends", "examples")
    paths = sorted(path for folder in folders for path in (ROOT / folder).glob("*.cldf"))
    found = set().union(*map(names_of_module, [helpers, *(Compilation(read_source(path)).code() for path in paths)]))
    # The class of several outputs has a name that no spec can have.
    named = {name for name in found if name.endswith("Outputs")}
    needed, listed = found - named, keywords.MODULE_NAMES | keywords.BUILTIN_NAMES
    for name in sorted(needed ^ listed):
        if name in needed:
            pytest.fail(f"generated code reads `{name}`, which is not in cldfc/syntax/keywords.py")
        pytest.fail(f"cldfc/syntax/keywords.py has `{name}`, which no generated code reads")


ROLES = ("constant", "kernel", "scalar", "operator", "family")
AT_ONCE = 12


def spec_of(names: dict[str, list[str]]) -> str:
    """A spec in which every name plays its role, in code that has a table, a dictionary or a variable for it."""
    lines = ["model M", "levels ℓ = 1..2", "steps n = 1..2", "input g : 2 × 4 × 4", "output h : 3"]
    members = [dict(zip(names, row, strict=True)) for row in zip(*names.values(), strict=True)]
    for at, own in enumerate(members):
        constant, kernel, scalar, operator, family = (own[role] for role in ROLES)
        lines += [
            f"let {constant}@ℓ = 2, {at + 3}",
            f"kernel {kernel}@ℓ : 3×3 → 2",
            f"scalar {scalar}@ℓ = 0.5",
            f"let {operator} = {'tanh' if at % 2 else 'relu'}",
            f"{family}@1,0 = g",
            f"{family}@ℓ,n = {family}@ℓ,n-1"
            f" + {scalar}@ℓ * {kernel}@ℓ * {operator} ∘ bn(1/{constant}@ℓ * {family}@ℓ,n-1)",
            f"{family}@ℓ+1,0 = {family}@ℓ,2 - {family}@ℓ,1",
        ]
    total = " + ".join(f"{own['family']}@2,2" for own in members)
    return "\n".join([*lines, f"h = linear ∘ avgpool({total})"])


@pytest.mark.parametrize("turn", some(range(len(ROLES)), 5))
@pytest.mark.parametrize("start", range(0, len(FREE), AT_ONCE * len(ROLES)))
def test_every_name_in_every_role(start, turn):
    """It computes what the same spec with other names does, under names that say which is which."""
    chosen = FREE[start : start + AT_ONCE * len(ROLES)]
    chosen += [f"extra{number}" for number in range(-len(chosen) % len(ROLES))]
    count = len(chosen) // len(ROLES)
    names = {role: chosen[at * count : (at + 1) * count] for at, role in enumerate((*ROLES[turn:], *ROLES[:turn]))}
    names = {role: names[role] for role in ROLES}
    plain = {role: [f"{role}{number}" for number in range(count)] for role in ROLES}
    torch.manual_seed(1)
    ours, theirs = (build(compile_text(spec_of(each))).double() for each in (names, plain))
    translation = {}
    for own, other in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        translation[other[0].split(".")[0]] = own[0].split(".")[0]
        other[1].data.copy_(own[1].data)
    images = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    assert torch.equal(ours(images), theirs(images))
    for role in ("kernel", "scalar"):
        for name, neutral in zip(names[role], plain[role], strict=True):
            assert translation[neutral].removesuffix("_2") == name
    assert not {name for name in ours.state_dict() if name.split(".")[0] in keywords.ATTRIBUTES}


def test_the_name_inside_a_sum_is_nothing_else():
    """v is computed in the loop over i, so its sum is over another letter: not j, which is what it adds up."""
    lines = ["model M", "steps i = 1..3", "steps n = 1..3", "input f : 2 × 4 × 4", "output h : 3"]
    lines += ["kernel K@i : 3×3 → 2", "v@0 = f", "j@i = K@i * v@i-1", "v@n = relu(sum(i = 1..n : j@i))"]
    source = compile_text("\n".join([*lines, "h = linear ∘ avgpool(v@3)"]))
    assert "j[k] for k in range" in source
    network, images = build(source), torch.randn(2, 2, 4, 4)
    values, v = [], images
    for i in (1, 2, 3):
        values.append(network.K[f"{i}"](v))
        v = sum(values).relu()
    assert torch.allclose(network(images), network.linear(v.mean((2, 3))), atol=1e-5)


@pytest.mark.parametrize(("word", "place"), [("model {}", "class"), ("steps {} = 1..2", "loop")])
def test_names_that_no_class_and_no_loop_can_have(word, place):
    """Refused exactly where Python or the module has the name; as they are read, else."""
    for name in [name for name in FREE if name in keywords.ATTRIBUTES or len(name) < 4]:
        head = ["model M", "steps q = 1..2"]
        head[place == "loop"] = word.format(name)
        index = name if place == "loop" else "q"
        text = "\n".join([*head, "input g : 2 × 4 × 4", "output h : 3", "u@0 = g", f"u@{index} = relu(u@{index}-1)"])
        text += "\nh = linear ∘ avgpool(u@2)"
        try:
            Compilation(Source("test.cldf", text)).check()
            assert not keywords.is_reserved(name)
            if name not in ("h", "u"):
                build(compile_text(text))(torch.randn(1, 2, 4, 4))
        except CldfError as error:
            assert [found.code for found in error.diagnostics] == ["E0204"]
            assert keywords.is_reserved(name), name
