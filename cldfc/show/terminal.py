"""A network in the terminal: one row per level, one colour per shared kernel, and what sharing saves."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cldfc.algebra.linearity import operators_of, what_breaks_linearity
from cldfc.network.cost import Cost, add_up, cost_of_network, cost_of_operations, count_uses
from cldfc.network.expand import Instance
from cldfc.network.graph import Graph
from cldfc.network.levels import Level, level_of, levels_of
from cldfc.network.positions import Key, format_key
from cldfc.ops import Add, Kernel, Prolongation, ScaleBy, Total
from cldfc.show.summary import depth_text, notes, shapes_text
from cldfc.syntax import tree
from cldfc.syntax.format import format_equation, format_let, format_symbol

COLOURS = ("dodger_blue2", "dark_orange3", "green4", "purple", "deep_pink4", "dark_cyan", "gold3", "red3")
MOST_STEPS = 4


def show_network(graph: Graph, console: Console) -> None:
    """Print a network as it is written: its equations, its levels, its kernels and the totals; and what is computed."""
    written, computed = graph.as_written, cost_of_network(graph)
    uses, costs = count_uses(written), cost_of_operations(written)
    shared = [key for key in graph.parameters if key[0] in graph.program.parameters and uses[key] > 1]
    colours = {key: COLOURS[at % len(COLOURS)] for at, key in enumerate(shared)}
    console.print(Text(graph.program.model, style="bold"))
    console.print()
    print_equations(graph, console)
    console.print()
    print_facts(graph.program.spec, console)
    print_levels(written, levels_of(written, costs), colours, console)
    console.print()
    print_kernels(written, colours, console)
    print_totals(add_up(written, costs), computed, console)
    for note in notes(graph):
        console.print(note)


def print_equations(graph: Graph, console: Console) -> None:
    """The equations as the spec has them."""
    equations = [s for s in graph.program.spec.statements if isinstance(s, tree.Equation)]
    width = max(len(format_symbol(equation.left)) for equation in equations)
    for equation in equations:
        console.print(Text(f"  {format_equation(equation, width)}"))


def print_facts(spec: tree.Spec, console: Console) -> None:
    """The operators, each with what breaks its linearity, if anything; and what was proved."""
    operators = list(operators_of(spec))
    head = max((len(format_symbol(operator.symbol)) for operator in operators), default=0)
    width = max((len(format_let(operator, head)) for operator in operators), default=0)
    for operator in operators:
        broken = what_breaks_linearity(operator, spec)
        fact = f"not linear: {', '.join(broken)}" if broken else "linear"
        console.print(Text.assemble(f"  {format_let(operator, head):{width}}   ", (fact, "dim")))
    constraints = [statement for statement in spec.statements if isinstance(statement, tree.Constrain)]
    for constraint in constraints:
        console.print(Text.assemble(f"  {format_symbol(constraint.symbol)} ≥ 0   ", ("proved", "green4")))
    if operators or constraints:
        console.print()


def print_levels(graph: Graph, levels: Mapping[int | None, Level], colours: dict[Key, str], console: Console) -> None:
    """One row per level: its values from left to right, each after the kernels that lead to it."""
    rows: dict[int | None, list[Instance]] = {}
    for instance in graph.instances:
        rows.setdefault(level_of(instance), []).append(instance)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column()
    for at, level in levels.items():
        grid.add_row(Text(f" {level.name} ", "bold reverse"), shapes_text(level), row_text(rows[at], colours))
    console.print(grid)


def row_text(instances: list[Instance], colours: dict[Key, str]) -> Text:
    """The values of one level; many steps of one equation are drawn as the first and the last."""
    text = Text()
    runs: list[list[Instance]] = []
    for instance in instances:
        if runs and runs[-1][0].template is instance.template:
            runs[-1].append(instance)
        else:
            runs.append([instance])
    for run in runs:
        shown = run if len(run) <= MOST_STEPS else [run[0], run[-1]]
        for at, instance in enumerate(shown):
            if at and len(shown) < len(run):
                text.append(f"⋯ {len(run) - 2} more ⋯  ", style="dim")
            text.append_text(instance_text(instance, colours))
    return text


def instance_text(instance: Instance, colours: dict[Key, str]) -> Text:
    """`B1,1 A1 ⊕ r1,1`: the kernels of an equation in the order of use, then its value."""
    text = Text()
    for step in instance.template.steps:
        if isinstance(step.operator, Kernel) and step.use is not None:
            key = (step.use.name, tuple(position.value(instance.binding) for position in step.use.positions))
            arrow = "↑" if isinstance(step.operator, Prolongation) else "↓"
            stride = f"{arrow}{step.operator.stride}" if step.operator.stride > 1 else ""
            name = format_key(key).replace("@", "")
            style = f"bold white on {colours[key]}" if key in colours else "bold"
            text.append(f" {name} " if key in colours else name, style=style)
            text.append(f"{stride} ", style="dim")
    steps = instance.template.steps
    text.append("⊕ " if steps and isinstance(steps[-1].operator, Add | Total) else "→ ", style="dim")
    text.append(format_key(instance.value).replace("@", ""), style="gold3")
    text.append("   ")
    return text


def print_kernels(graph: Graph, colours: dict[Key, str], console: Console) -> None:
    """Kernels that are shared, one by one; the others by name; what sharing saves."""
    table = Table(box=None, header_style="bold", padding=(0, 3, 0, 0))
    for name in ("kernel", "shape"):
        table.add_column(name)
    for name in ("uses", "parameters", "saved"):
        table.add_column(name, justify="right")
    uses = count_uses(graph)
    groups: dict[object, list[Key]] = {}
    for key in sorted(graph.parameters, key=lambda key: key not in colours):
        if key[0] in graph.program.parameters:
            groups.setdefault(key if key in colours else key[0], []).append(key)
    for keys in groups.values():
        stored = sum(graph.parameters[key].count() for key in keys)
        saved = sum(graph.parameters[key].count() * (uses[key] - 1) for key in keys)
        kind = "scalar" if isinstance(graph.parameters[keys[0]].operator, ScaleBy) else "kernel"
        name = format_key(keys[0]) if len(keys) == 1 else f"{keys[0][0]}, {len(keys)} {kind}s"
        table.add_row(
            Text.assemble(("■ ", colours.get(keys[0], "dim")), name),
            widths_text(graph, keys),
            str(sum(uses[key] for key in keys)),
            f"{stored:,}",
            f"{saved:,}" if saved else "",
        )
    console.print(table)


def widths_text(graph: Graph, keys: list[Key]) -> str:
    """`3×3  64 → 128`; a range of widths for several kernels."""
    sizes = [graph.parameters[key].sizes for key in keys]
    if "init" in sizes[0]:
        return f"scalar  from {sizes[0]['init']}"
    before, after = (
        "…".join(str(n) for n in sorted({min(w), max(w)}))
        for w in zip(*((s["in"], s["out"]) for s in sizes), strict=True)
    )
    groups = f" in {sizes[0]['groups']} groups" if sizes[0].get("groups", 1) > 1 else ""
    return f"{sizes[0]['size']}×{sizes[0]['size']}  {before} → {after}{groups}"


def print_totals(cost: Cost, computed: Cost, console: Console) -> None:
    """What is stored, what would be without sharing, and what it costs to compute the network."""
    text = Text.assemble((f"{cost.parameters:,}", "bold cyan"), " parameters stored")
    if cost.unshared > cost.parameters:
        text.append_text(Text.assemble(" · ", (f"{cost.unshared:,}", "bold cyan"), " without sharing · "))
        text.append(f"{1 - cost.parameters / cost.unshared:.1%} saved", style="bold green")
    console.print()
    console.print(text)
    saved = f" ({cost.multiply_adds:,} as written)" * (cost.multiply_adds != computed.multiply_adds)
    console.print(f"{computed.multiply_adds:,} multiply-adds for an image{saved}")
    console.print(depth_text(computed, cost))
