"""The examples in the docstrings of rewrites: a spec `Before::`, and its equations `After::` the rewrite."""

import re
from inspect import getdoc

import pytest

from cldfc.algebra.fold_norms import fold_norms
from cldfc.algebra.residual.residual_form import derive_residual
from cldfc.algebra.simplify import REWRITES
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source
from cldfc.network.graph import Graph
from cldfc.network.program import Operand, Reads, Template
from cldfc.ops import Add, Kernel, Total, Zero

EVERY = {rewrite.__name__: rewrite for rewrite in (*REWRITES, fold_norms, derive_residual)}
HEAD = "model Example\ninput f : 4×8×8\noutput h : 3\nkernel A, B : 3×3 → 4\n"
"""What the examples leave out."""


def example(function: object) -> tuple[str, list[str]]:
    """The spec of an example, completed, and the lines that the rewrite makes of its equations."""
    found = re.search(r"Before::\n\n(.*?)\n\nAfter::\n\n(.*?)(?:\n\n(?=\S)|$)", getdoc(function) or "", re.DOTALL)
    assert found is not None, f"the docstring of {function} shows no spec before and after"
    before, after = ([line.removeprefix("    ") for line in found[at].splitlines()] for at in (1, 2))
    declared = {word for line in before if line.startswith("kernel") for word in re.findall(r"[A-Z]\b", line)}
    head = "".join(f"{line}\n" for line in HEAD.splitlines() if not line.startswith("kernel"))
    head += "".join(f"kernel {name} : 3×3 → 4\n" for name in "AB" if name not in declared)
    return head + "\n".join(before) + "\n", after


def rewritten(name: str, network: Compilation) -> list[str]:
    """What a rewrite makes of a spec, after those that come before it."""
    if name == "derive_residual":
        text = network.derivation.spec.source.text
        return [line for line in text.splitlines() if "=" in line and not line.startswith(("#", "levels", "steps"))]
    graph = before(name, network)
    if name != "fold_norms":
        return equations(EVERY[name](graph))
    folded = fold_norms(graph).graph
    biased = [key[0] for key, stored in folded.parameters.items() if stored.sizes.get("bias") and key[0] in "AB"]
    return [*(f"kernel {name} : 3×3 → 4, bias" for name in biased), *equations(folded)]


def before(name: str, network: Compilation) -> Graph:
    graph = network.written
    for rewrite in REWRITES[: list(EVERY).index(name)]:
        graph = rewrite(graph)
    return graph


def equations(graph: Graph) -> list[str]:
    """Each equation of a graph once, with the indices that it holds for where others have the same left side."""
    found: dict[str, dict[str, list[str]]] = {}
    for instance in graph.instances:
        template = instance.template
        left = tagged(template.family, template.left)
        indices = ", ".join(f"{name} = {value}" for name, value in instance.binding.items())
        found.setdefault(left, {}).setdefault(written(template, template.result), []).append(indices)
    return [
        f"{left} = {right}" + f" for {' and '.join(indices)}" * (len(rights) > 1)
        for left, rights in found.items()
        for right, indices in rights.items()
    ]


def tagged(name: str, positions: tuple[object, ...]) -> str:
    return f"{name}@{','.join(map(str, positions))}" if positions else name


def written(template: Template, operand: Operand | None) -> str:
    """An operand as the language writes it, down to the values that it reads."""
    if isinstance(operand, Reads):
        return f"{tagged(operand.family, operand.positions)} for {operand.name} = {operand.lower}..{operand.upper}"
    if not isinstance(operand, int):
        return tagged(operand.family, operand.positions) if operand else ""
    step = template.steps[operand]
    parts = [written(template, inner) for inner in step.operands]
    match step.operator:
        case Zero():
            return "0"
        case Add(signs):
            terms = " ".join(f"{'+' if sign > 0 else '-'} {part}" for sign, part in zip(signs, parts, strict=True))
            return terms.removeprefix("+ ")
        case Total():
            return f"sum({parts[0]})"
        case Kernel():
            inner = f"({parts[0]})" if " + " in parts[0] or " - " in parts[0] else parts[0]
            return f"{tagged(step.use.name, step.use.positions)} * {inner}"
        case operator:
            return f"{operator.keyword or type(operator).__name__}({', '.join(parts)})"


@pytest.mark.parametrize("name", EVERY)
def test_the_example_in_the_docstring_of_a_rewrite(name):
    spec, after = example(EVERY[name])
    assert rewritten(name, Compilation(Source("example.cldf", spec))) == after


@pytest.mark.parametrize("name", EVERY)
def test_the_example_shows_what_the_rewrite_itself_does(name):
    spec, after = example(EVERY[name])
    assert after != equations(before(name, Compilation(Source("example.cldf", spec))))
