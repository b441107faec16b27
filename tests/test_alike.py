"""Statements that are read and resolved as copies of earlier ones mean what they mean when each is read by itself."""

import re
from dataclasses import replace
from typing import Any

import pytest

from cldfc.algebra.infer import infer_network
from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, Problems, Source, Span
from cldfc.emit.statements import Outlines
from cldfc.network.program import Program
from cldfc.network.resolve import Changes, resolve_spec
from cldfc.syntax import tree
from cldfc.syntax.read import read_spec

# Kernels with and without bias, operators that speak of names of the equation, norms whose names are taken, values with
# an index, reductions, and numbers of images beside values: some of the lines are copies, and others must not be.
SPEC = """model Alike
input f : 3 × 8 × 8
output h : 10
kernel θ : 3×3 → 8
kernel A1 : 3×3 → 8
kernel A2 : 3×3 → 8
kernel A3 : 3×3 → 8
kernel A4 : 1×1 → 8
kernel A5 : 3×3 → 8 bias circular
kernel θ1 : 3×3 → 8
scalar ω1 = 0.5
let σ = relu ∘ bn
let M(u, g) = u + θ1 * σ(g - A1 * u)
let N(u) = u + x3
steps i = 1..2
x0 = θ * f
x1 = x0 + A1 * σ(x0)
x2 = x1 + A2 * σ(x1)
x3 = x2 + A3 * σ ∘ bn(bn(x2))
x4 = x3 + A4 * σ ∘ bn(bn(x3))
x5 = x4 + A5 * σ ∘ bn(bn(x4))
x6 = M(x5, x4)
x7 = M(x6, x5)
x8 = N(x3)
x9 = N(x8)
y1@0 = x9 + x7
y1@i = y1@i-1 + relu ∘ bn(y1@i-1)
y2@0 = y1@2
y2@i = y2@i-1 + relu ∘ bn(y2@i-1)
z1 = sum(j = 0..2 : relu(y1@j))
z2 = sum(j = 0..2 : relu(y2@j))
bn_w1 = relu(z1)
w1 = bn(z1) + bn_w1
bn_w2 = relu(z2)
w2 = bn(z2) + bn_w2
n1 = ⟨w1, w2⟩
v1 = n1 * w1
v2 = ω1 * w2
h = linear ∘ avgpool(v1 + v2)
"""


def read(text: str) -> tuple[tree.Tree, tree.Tree]:
    """A spec, and the same without what is known of statements that are alike."""
    spec = read_spec(Source("alike.cldf", text), Problems())
    return spec, replace(spec, likenesses={})


def resolve(spec: tree.Tree) -> Program:
    problems = Problems()
    program = resolve_spec(spec, Changes(), problems)
    problems.stop_if_any()
    return program


def places(program: Program) -> list[tuple[int, int]]:
    """From where to where each part of the equations stands."""
    spans: list[Span] = []
    for template in program.templates:
        spans += [template.statement.span, *(read.span for read in template.reads)]
        for step in template.steps:
            spans += [step.span, *step.terms, *(use.span for use in step.uses())]
            spans += [call.span for call in step.call.chain()] if step.call else []
    return [(span.start, span.end) for span in spans]


def test_a_copy_of_an_equation_is_the_equation():
    copied, alone = map(resolve, read(SPEC))
    assert repr(copied.templates) == repr(alone.templates)
    assert places(copied) == places(alone)
    steps = {template.family: template.steps for template in copied.templates}
    # Copies share operators: x2 is x1 with other names, but x5 has a kernel of another kind than x4.
    assert steps["x2"][0].operator is steps["x1"][0].operator
    assert steps["x5"][-2].operator is not steps["x4"][-2].operator
    assert steps["x2"][0].call is not steps["x1"][0].call


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x4 = x3 + A4 *", "x4 = x3 + A6 *"),
        ("x2 = x1 + A2 *", "x2 = x1 + y1 *"),
        ("kernel A2 : 3×3 → 8", "kernel A2 : 3×3 → 9"),
        ("kernel A2 : 3×3 → 8", "kernel A2 : 2×2 → 8"),
        ("y2@0 = y1@2", "y2@0 = y1@3"),
        ("x6 = M(x5, x4)", "x6 = M(x7, x4)"),
        ("let N(u) = u + x3", "let N(u) = u + x9"),
    ],
)
def test_what_is_wrong_with_a_copy_is_found_at_its_place(old: str, new: str):
    assert old in SPEC
    found: list[str] = []
    for spec in read(SPEC.replace(old, new)):
        problems = Problems()
        with pytest.raises(CldfError) as error:
            infer_network(spec, Changes(), problems)
            problems.stop_if_any()
        found.append(str(error.value))
    assert found[0] == found[1]


def test_a_copy_does_not_outlive_a_change_of_its_first_statement():
    spec, _ = read(SPEC)
    changed = tuple(replace(s, right=tree.Number(0, s.span)) if is_first(s) else s for s in spec.statements)
    program = resolve(replace(spec, statements=changed))
    steps = {template.family: template.steps for template in program.templates}
    assert len(steps["x1"]) == 1
    assert len(steps["x2"]) == 4


def is_first(statement: tree.Statement) -> bool:
    return isinstance(statement, tree.Equation) and statement.left.name == "x1"


@pytest.mark.parametrize("name", ["x", "a_name_so_long_that_some_of_the_lines_with_it_do_not_fit_"])
def test_code_of_alike_equations_is_that_of_each_by_itself(name: str, monkeypatch: pytest.MonkeyPatch):
    source = Source("alike.cldf", re.sub(r"\bx(?=[0-9])", name, SPEC))
    lines, filled = Outlines.lines, list[bool]()

    def counted(*given: Any) -> list[str] | None:
        found = lines(*given)
        filled.append(found is not None)
        return found

    monkeypatch.setattr(Outlines, "lines", counted)
    code = Compilation(source).code()
    assert sum(filled) > 5
    assert all(filled) == (name == "x")
    monkeypatch.setattr(Outlines, "lines", lambda *_: None)
    monkeypatch.setattr(tree.Tree, "likeness", lambda *_: None)
    assert Compilation(source).code() == code
