"""`cldfc verify`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cldfc.cli.options import Classes, Input, Json, Lets, SpecPath, Ties, errors, load_torch, spec_argument
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import UsageError, end_text
from cldfc.messages import FINE, SPEC_IS_WRONG
from cldfc.output import show, show_json
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import NAME, ascii_name, canonical_name


def verify(
    spec: SpecPath,
    other: Annotated[
        Path | None,
        spec_argument("Another spec of the same network, or a .py file, which is executed.", "OTHER"),
    ] = None,
    map: Annotated[
        list[str] | None, typer.Option("--map", metavar="A=B", help="Map a parameter of SPEC to its name in OTHER.")
    ] = None,
    tolerance: Annotated[float, typer.Option(metavar="NUMBER", help="Accept relative differences up to this.")] = 1e-10,
    let: Lets = None,
    tie: Ties = None,
    input: Input = None,
    classes: Classes = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of weights and images.")] = 0,
    as_json: Json = False,
) -> None:
    """Compare generated code with the equations, or a spec with another network, in float64.

    Compares outputs, gradients and running statistics, in eval and in train mode. The exit code is 1 if they differ by
    more than rounding. OTHER is a spec, or a Python file with the network, such as an edited or an older generated one.
    A Python file is executed: name only files that you trust.

    Example: cldfc verify fbresnet
    """
    with errors():
        changes = read_changes(let, tie, input, classes)
        names = _read_map(map or ())
        if other is None and names:
            raise UsageError("`--map` needs a second network", "name it: `cldfc verify SPEC OTHER --map A=B`")
        if not (math.isfinite(tolerance) and tolerance > 0):
            raise UsageError(f"a tolerance of {tolerance} is not possible", "write a small number, such as 1e-10")
        source = read_source(spec)
        is_python = other is not None and other.suffix == ".py"
        other_source = None if other is None or is_python else read_source(other)
        whole = Compilation(source, changes)
        # What is wrong is said before torch is loaded, which takes two seconds.
        _ = whole.program

        load_torch()
        from cldfc.verify.equivalence import (
            report_data,
            report_lines,
            tolerance_for,
            verify_file,
            verify_forms,
            verify_specs,
        )
        from cldfc.verify.outcome import candidates_of, smaller

        network = whole if is_python else smaller(whole)
        candidates = candidates_of(network)
        second = None if other_source is None else smaller(Compilation(other_source, changes))
        tolerance = tolerance_for([network, *([second] if second else [])], tolerance)
        if other is None:
            report = verify_forms(network, candidates, tolerance, seed)
        elif second is None:
            report = verify_file(network, candidates, other, names, tolerance, seed)
        else:
            report = verify_specs(network, candidates, second, candidates_of(second), names, tolerance, seed)
        if as_json:
            show_json(report_data(report, tolerance))
        else:
            show(*_heading(network, whole, spec, other), "", *report_lines(report, tolerance))
        raise typer.Exit(FINE if report.agrees else SPEC_IS_WRONG)


def _heading(network: Compilation, whole: Compilation, spec: Path, other: Path | None) -> list[str]:
    from cldfc.verify.equivalence import tried_shapes

    with_what = "the equations" if other is None else f"`{other}`"
    tried = " and of ".join(_shapes_text(shapes) for shapes in tried_shapes(network))
    text = f"{spec}: {network.class_name} against {with_what}, at two images of {tried}"
    full = end_text(whole.program.shape)
    return [text] if network is whole or full == tried else [text, f"(cut down from {full})"]


def _shapes_text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`1 × 32 × 32`; several by their names."""
    if len(shapes) == 1:
        return end_text(*shapes.values())
    return ", ".join(f"{name}: {end_text(shape)}" for name, shape in shapes.items())


def _read_map(texts: Sequence[str]) -> dict[str, str]:
    """`A=K` as names of the generated classes. Raises UsageError."""
    names: dict[str, str] = {}
    for text in texts:
        one, sign, two = (part.strip() for part in text.partition("="))
        if not sign or not re.fullmatch(NAME, one) or not re.fullmatch(NAME, two):
            raise UsageError(f"`{text}` maps no name to another", "write two names without tags: `--map A=K`")
        names[ascii_name(canonical_name(one))] = ascii_name(canonical_name(two))
    return names
