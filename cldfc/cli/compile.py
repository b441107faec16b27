"""`cldfc compile`."""

from __future__ import annotations

from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cldfc.cli.options import (
    Classes,
    Input,
    Json,
    Lets,
    SpecPath,
    Ties,
    errors,
    one_of_words,
    refuse_both,
    switch,
)
from cldfc.compilation import Compilation, Form, read_changes, read_form
from cldfc.diagnostics import UsageError, one_of
from cldfc.files import refuse_foreign, write_generated
from cldfc.messages import print_diagnostics
from cldfc.output import say, show, show_document, show_json
from cldfc.syntax.read import read_source

if TYPE_CHECKING:
    from cldfc.algebra.fold_norms import Folded
    from cldfc.network.graph import Graph

STAGES = ("tree", "program", "graph", "code")
_PROGRAM = ("model", "inputs", "outputs", "constants", "ranges", "parameters", "ties", "templates", "constraints")
_WIDTH = 120


def compile_command(
    spec: SpecPath,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Output file; `-` for standard output.")
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="`written`, as in the spec; `simplified`, without needless work; `residual`, by Theorem 1; "
            "`auto`, the cheaper of the two.",
            autocompletion=one_of_words(*get_args(Form)),
        ),
    ] = "simplified",
    inference: Annotated[bool, switch("--inference", "Fold batch normalisations into kernels.")] = False,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained weights, to be folded and written beside the module.")
    ] = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    stage: Annotated[
        str | None,
        typer.Option(
            "--emit",
            metavar="STAGE",
            help="Stop at `tree`, `program` or `graph` (JSON) and print that; or print the `code`.",
            autocompletion=one_of_words(*STAGES),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the PyTorch module of a spec, by default to NAME.py in this folder.

    With --inference, for evaluation alone: batch norms are folded into the
    kernels before them where possible; those that stay are listed with the reason. --weights
    takes a .safetensors file of the trained network and writes NAME.safetensors.

    Example: cldfc compile preact18_Al -o network.py
    """
    with errors():
        path = None if output == "-" else Path(output or f"{spec.stem}.py")
        network = Compilation(read_source(spec), read_changes(let, tie, input, classes))
        wanted = read_form(form)
        if stage is not None:
            for option, is_given in (
                ("-o", output),
                ("--inference", inference),
                ("--weights", weights),
                ("--json", as_json),
            ):
                refuse_both("--emit", True, option, bool(is_given))
            show_document(_stage_text(network, stage, wanted))
            return
        if path is None and as_json:
            raise UsageError("`-o -` and `--json` cannot be used together", "name a file: `-o network.py --json`")
        if weights is not None:
            _check_weights(inference, path)
        if inference:
            folded = network.folded(wanted)
            graph, lines = folded.graph, _write_folded(folded, path, weights)
        else:
            from cldfc.show.summary import summary_lines

            graph = network.graph(wanted)
            _write_module(graph, network.code(wanted), path)
            lines = summary_lines(graph)
        if as_json:
            from cldfc.show.summary import summary_as_data

            show_json(summary_as_data(graph))
        elif path is None:
            say(*lines)
        else:
            show(*lines)
        print_diagnostics(network.diagnostics)


def _stage_text(network: Compilation, stage: str, form: Form) -> str:
    """What the compiler has made of a spec at a stage. Raises CldfError, and UsageError for a stage that is unknown."""
    match one_of(stage, STAGES, "stage of the compiler", "the stages are"):
        case "tree":
            network.changed.problems.stop_if_any()
            parts = [pformat(statement, width=_WIDTH) for statement in network.tree.statements]
        case "program":
            parts = [f"{name} = {pformat(getattr(network.program, name), width=_WIDTH)}" for name in _PROGRAM]
        case "graph":
            from cldfc.show.json import emit_json

            return emit_json(network.graph(form))
        case _:
            return network.code(form)
    return "\n".join(parts) + "\n"


def _check_weights(inference: bool, path: Path | None) -> None:
    if not inference:
        raise UsageError(
            "`--weights` are folded, which only `--inference` does", "add `--inference`, or leave them out"
        )
    if path is None:
        raise UsageError("folded weights cannot go to standard output", "give a file: `-o FILE`")
    if path.suffix == ".safetensors":
        raise UsageError(f"`{path}` is where the weights go", f"name the module: `-o {path.with_suffix('.py')}`")


def _write_folded(folded: Folded, path: Path | None, weights: Path | None) -> list[str]:
    """Write a module for inference, and the folded weights beside it; gives the lines to print."""
    from cldfc.show.summary import folding_lines, summary_lines
    from cldfc.trained import fold_file, folded_code

    if weights is not None and path is not None:
        from cldfc.weights.inference import save_folded

        beside = path.with_suffix(".safetensors")
        refuse_foreign(path)
        refuse_foreign(beside, is_text=False)
        save_folded(fold_file(folded, weights), beside)
        say(f"weights written to {beside}")
    _write_module(folded.graph, folded_code(folded), path)
    return [*summary_lines(folded.graph, is_trained=False), *folding_lines(folded)]


def _write_module(graph: Graph, code: str, path: Path | None) -> None:
    if path is None:
        show_document(code)
        return
    refuse_foreign(path)
    write_generated(path, code)
    say(f"{graph.program.model} written to {path}")
