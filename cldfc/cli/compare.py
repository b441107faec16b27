"""`cldfc compare`: networks side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.cli.options import Classes, Input, Json, Lets, Markdown, SpecPaths, Ties, errors, refuse_both
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, Diagnostic, error_of
from cldfc.network.resolve import Changes
from cldfc.output import show_document, show_json
from cldfc.syntax.read import read_source

if TYPE_CHECKING:
    from cldfc.network.graph import Graph
    from cldfc.show.comparison import Comparison


def compare_specs(paths: Sequence[Path], changes: Changes) -> Comparison:
    """The networks of some specs side by side, as they are written.

    Raises CldfError, with what is wrong in any of them, and UsageError.
    """
    from cldfc.show.comparison import compare_networks

    graphs: list[Graph] = []
    wrong: dict[Diagnostic, None] = {}
    for path in paths:
        try:
            graphs.append(Compilation(read_source(path), changes).written)
        except CldfError as error:
            wrong |= dict.fromkeys(error.diagnostics)
    if wrong:
        raise error_of([*wrong])
    return compare_networks([str(path) for path in paths], graphs)


def compare(
    specs: SpecPaths,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Json = False,
    as_markdown: Markdown = False,
) -> None:
    """Compare networks: parameters, multiply-adds, convolutions, depth, and what training keeps in memory.

    Of two specs, also the statements that differ, and what each shares. Options apply to every spec.

    Keys of --json: `networks`, each with spec, model, parameters,
    parameters_without_sharing, saved, multiply_adds, convolutions, depth,
    kept_bytes_per_image, kept_bytes_per_batch; and `differences`, of each
    network from the first, with from, to, statements (before, after, symbols)
    and sharing (of each family of parameters: before, after).

    Example: cldfc compare preact18 preact18_Al
    """
    with errors():
        refuse_both("--json", as_json, "--markdown", as_markdown)
        comparison = compare_specs(specs, read_changes(let, tie, input, classes))
        if as_json:
            from cldfc.show.comparison import comparison_as_data

            show_json(comparison_as_data(comparison))
        elif as_markdown:
            from cldfc.show.comparison import comparison_markdown

            show_document(comparison_markdown(comparison.rows, comparison.differences))
        else:
            from cldfc.console import console
            from cldfc.show.comparison import show_comparison

            with console() as shown:
                show_comparison(comparison.rows, comparison.differences, shown)
