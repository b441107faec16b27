"""The command line: arguments and printing, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cldfc import __version__
from cldfc.check import check_specs
from cldfc.compiler import Task, build, compile_source, whole_text
from cldfc.diagnostics import CldfError, Source, UsageError
from cldfc.files import write_file
from cldfc.messages import COMMAND_IS_WRONG, exit_code, print_errors, print_usage_error
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import ascii_name
from cldfc.task import read_task

if TYPE_CHECKING:
    from cldfc.train.run import RunRecord

app = typer.Typer(
    help="Compile networks that are written as recurrence equations to PyTorch, and train them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A .cldf file.", show_default=False)]
Lets = Annotated[
    list[str] | None, typer.Option("--let", metavar="'x = …'", help="Replace a `let` of the spec.", show_default=False)
]
Ties = Annotated[
    list[str] | None, typer.Option("--tie", metavar="A@ℓ", help="Share a kernel or scalar.", show_default=False)
]
Input = Annotated[
    str | None, typer.Option("--input", metavar="C×H×W", help="Replace the shape of the input.", show_default=False)
]
Classes = Annotated[int | None, typer.Option("--classes", help="Replace the number of classes.", show_default=False)]
SpecPaths = Annotated[list[Path], typer.Argument(metavar="SPEC…", help="One or more .cldf files.", show_default=False)]


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"cldfc {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile networks that are written as recurrence equations to PyTorch, and train them."""


@contextmanager
def errors() -> Generator[None]:
    """Print what is wrong and leave with its exit code."""
    try:
        yield
    except CldfError as error:
        print_errors(error)
        raise typer.Exit(exit_code(error)) from None
    except UsageError as error:
        print_usage_error(error)
        raise typer.Exit(COMMAND_IS_WRONG) from None


@app.command()
def check(
    specs: SpecPaths,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is wrong as JSON.")] = False,
) -> None:
    """Say what is wrong with specs, if anything.

    Example: cldfc check specs/*.cldf
    """
    with errors():
        raise typer.Exit(check_specs(specs, as_json, read_task(let or (), tie or (), input, classes)))


@app.command()
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="Such as E0302; without it, all.", show_default=False)
    ] = None,
) -> None:
    """Explain an error: what it means, with a wrong and a right example.

    Example: cldfc explain E0302
    """
    with errors():
        from cldfc.explain import explain_code

        print(explain_code(code))


@app.command()
def fmt(
    specs: SpecPaths,
    unicode: Annotated[bool, typer.Option("--unicode", help="Write `σ ∘ A@ℓ`; the default.")] = False,
    ascii: Annotated[bool, typer.Option("--ascii", help="Write `sigma . A@l`.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help=r"Write `\sigma \circ A^{\ell}`.")] = False,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a spec would change.")
    ] = False,
) -> None:
    """Format specs in place, in one of three spellings; `-` formats standard input.

    Example: cldfc fmt specs/*.cldf
    """
    with errors():
        from cldfc.fmt import choose_spelling, format_specs

        raise typer.Exit(format_specs(specs, choose_spelling(unicode, ascii, latex), check_only))


@app.command("compile")
def compile_command(
    spec: SpecPath,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; `-` for standard output.")
    ] = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
) -> None:
    """Write the PyTorch module of a spec, by default to NAME.py in this folder.

    Example: cldfc compile specs/preact18_Al.cldf -o network.py
    """
    with errors():
        from cldfc.emit.torch_module import emit_module
        from cldfc.show.summary import summary_lines

        graph = build(read_source(spec), read_task(let or (), tie or (), input, classes))
        code = emit_module(graph)
        if output == "-":
            sys.stdout.write(code)
        else:
            path = Path(output or f"{spec.stem}.py")
            refuse_foreign(path)
            write_file(path, code)
            print(f"{graph.program.model} written to {path}", file=sys.stderr)
        print("\n".join(summary_lines(graph)), file=sys.stderr if output == "-" else sys.stdout)


def refuse_foreign(path: Path) -> None:
    """A file that cldfc has not written is not overwritten. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"`{path}` is a folder", f"name a file in it: `-o {path / 'network.py'}`")
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            start = file.read(500)
        if b"generated by cldfc" not in start:
            raise UsageError(f"`{path}` is there, and cldfc has not written it", "give another name with `-o FILE`")


@app.command()
def show(spec: SpecPath, let: Lets = None, tie: Ties = None, input: Input = None, classes: Classes = None) -> None:
    """Draw a network in the terminal: levels, shared kernels, what sharing saves.

    Example: cldfc show specs/fbresnet.cldf
    """
    with errors():
        from rich.console import Console

        from cldfc.show.terminal import show_network

        task = read_task(let or (), tie or (), input, classes)
        show_network(build(read_source(spec), task), Console(highlight=False))


@app.command()
def train(
    spec: SpecPath,
    data: Annotated[str, typer.Option(metavar="NAME", help="The data set, such as `digits`.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="The run folder; by default a new one in runs/."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.", show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights, order and augmentation.", show_default=False)
    ] = None,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
) -> None:
    """Train a network on a data set, which sets the input's shape and the number of classes.

    Example: cldfc train specs/fbresnet.cldf --data digits
    """
    with errors():
        from cldfc.emit.torch_module import emit_module
        from cldfc.show.summary import facts
        from cldfc.train.catalogue import find
        from cldfc.train.recipe import change_recipe

        dataset = find(data)
        wanted = {"epochs": epochs, "batch": batch, "lr": lr, "seed": seed}
        recipe = change_recipe(dataset.recipe, {name: value for name, value in wanted.items() if value is not None})
        source = read_source(spec)
        task = read_task(let or (), tie or (), input, classes).on(dataset.name, dataset.shape, dataset.classes)
        graph = build(source, task)
        code = emit_module(graph)

        from cldfc.train.progress import show_progress
        from cldfc.train.train import train_network

        command = " ".join(["cldfc", *sys.argv[1:]])
        with show_progress() as progress:
            result = train_network(
                whole_text(source, task),
                code,
                ascii_name(graph.program.model),
                facts(graph),
                dataset,
                recipe,
                output,
                progress,
                command,
            )
        print(f"{dataset.name}: {dataset.split}")
        final, best = result.final.test_accuracy, result.best.test_accuracy
        print(f"test accuracy {final:.2%} after the last epoch, {best:.2%} at best")
        print(f"weights  {result.folder / 'best.safetensors'}")
        print(f"source   {result.folder / 'network.py'}")
        print(f"report   {result.folder / 'report.html'}")


@app.command("eval")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
) -> None:
    """Test the best weights of a run again, from its folder alone.

    Example: cldfc eval runs/FBResNet-digits-1
    """
    with errors():
        from cldfc.train.evaluate import evaluate_run

        found = evaluate_run(run, recompile)
        print(f"{found.record.class_name} on {found.record.dataset} ({found.device}): {found.record.split}")
        recorded = "as recorded" if found.agrees else f"recorded was {found.best.test_accuracy:.2%}"
        print(f"test accuracy {found.score.accuracy:.2%}, {recorded} in epoch {found.best.epoch}")


def recompile(text: str, record: RunRecord) -> str:
    """The source of a run's network, from the spec in its folder."""
    return compile_source(Source("spec.cldf", text), Task(record.input_shape, record.classes))
