"""`cldfc analyse`: norms of given operators, and how fast linear iterations converge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.algebra.symbols import linear_fact, norm_bound
from cldfc.cli.options import Classes, Input, Json, Lets, SpecPath, Ties, errors, load_torch
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import end_text, shape_text
from cldfc.output import printable, say, show_json
from cldfc.syntax import tree
from cldfc.syntax.format import format_symbol
from cldfc.syntax.read import read_source

if TYPE_CHECKING:
    from cldfc.analysis import AnalysedIteration, Convergence
    from cldfc.console import Column, Console


def analyse(
    spec: SpecPath,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Json = False,
) -> None:
    """Analyse linear operators and iterations with given kernels: norms, convergence factors, level by level.

    ρ is the spectral radius of the map that takes the error before a step to the error after it. If an iteration
    applies an operator that uses itself at the next level, such as a V-cycle, each level is analysed, too, as it is and
    with the next level solved exactly. Open sizes are the smallest of at least 15 that fit, unless --input states them.

    Keys of --json: `operators`, each with name and norm_bound; `iterations`, each with name, index, first, last, shape,
    factor, is_stationary, reason; `cycles`, each with name, shape, factor, two_grids.

    Example: cldfc analyse multigrid/poisson_v --let J=4
    """
    with errors():
        changes = read_changes(let, tie, input, classes)
        network = Compilation(read_source(spec), changes).check()
        operators = [o for o in operators_of(network.tree) if not what_breaks_linearity(o, network.tree)]
        say("computing convergence factors")
        load_torch()
        from cldfc.analysis import analyse_convergence, small_sizes

        if sizes := small_sizes(network):
            network = Compilation(network.source, replace(changes, shape=None, inputs=sizes)).check()
        found = analyse_convergence(network)
        if as_json:
            show_json(_as_data(network, operators, found))
        else:
            from cldfc.console import console

            with console() as shown:
                _show(network, operators, found, shown)


def _as_data(network: Compilation, operators: list[tree.Let], found: Convergence) -> dict[str, object]:
    from dataclasses import asdict

    bounds = {format_symbol(o.symbol): norm_bound(o, network.program) for o in operators}
    return {
        "operators": [{"name": name, "norm_bound": bound} for name, bound in bounds.items()],
        "iterations": [asdict(iteration) for iteration in found.iterations],
        "cycles": [asdict(cycle) for cycle in found.cycles],
    }


def _show(network: Compilation, operators: list[tree.Let], found: Convergence, shown: Console) -> None:
    from cldfc.console import Text, print_table

    def spelled(text: str) -> str:
        return printable(text, shown.encoding)

    shown.print(Text(f"{network.program.model}, {spelled(end_text(network.program.shape))}", style="bold"))
    if operators:
        shown.print()
        rows = [[spelled(format_symbol(o.symbol)), spelled(linear_fact(o, network.program))] for o in operators]
        print_table(shown, {"operator": "text", "": "text"}, rows, gap=3)
    shown.print()
    if not found.iterations:
        shown.print("no equation computes a value from earlier ones of its family, so there is no iteration to analyse")
        return
    rows = [[spelled(cell) for cell in _row(iteration)] for iteration in found.iterations]
    heads: dict[str, Column] = {"iteration": "text", "map": "word", spelled("ρ"): "figure", " ": "text"}
    print_table(shown, heads, rows, gap=3)
    if found.cycles:
        shown.print()
        cycles = [
            [spelled(c.name), spelled(shape_text(c.shape)), f"{c.factor:.4f}", _digits(c.two_grids)]
            for c in found.cycles
        ]
        print_table(
            shown, {"cycle": "text", "map": "word", spelled("ρ"): "figure", "two grids": "figure"}, cycles, gap=3
        )


def _row(iteration: AnalysedIteration) -> list[str]:
    name, shape = iteration.name, shape_text(iteration.shape)
    if iteration.factor is None:
        return [name, shape, "", f"not analysed: {iteration.reason}"]
    steps = f"{iteration.index} = {iteration.first}..{iteration.last}"
    return [name, shape, f"{iteration.factor:.4f}", steps if iteration.is_stationary else f"mean of the steps {steps}"]


def _digits(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.4f}"
