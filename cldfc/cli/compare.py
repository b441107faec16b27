"""`cldfc compare`."""

from __future__ import annotations

from cldfc.changes import read_changes
from cldfc.cli.options import Classes, Input, Json, Lets, Markdown, SpecPaths, Ties, errors, refuse_both
from cldfc.compare import compare_specs
from cldfc.output import show_document, show_json


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
            from cldfc.show.comparison_markdown import comparison_markdown

            show_document(comparison_markdown(comparison.rows, comparison.differences))
        else:
            from cldfc.console import console
            from cldfc.show.comparison_terminal import show_comparison

            with console() as shown:
                show_comparison(comparison.rows, comparison.differences, shown)
