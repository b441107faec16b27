"""A spec made ready to be compared: its tree, and the code that is generated for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cldfc.compiler import Task, analyse, build, compile_source
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.emit.torch_module import emit_module
from cldfc.network.program import Program
from cldfc.syntax import tree
from cldfc.syntax.extend import change_spec, read_spec
from cldfc.syntax.spelling import ascii_name

LARGEST_MAP = 64
"""Pixels on a side; larger inputs are cut down to this, to keep the work small."""


@dataclass(frozen=True)
class Subject:
    """A spec without errors, what its class is called, the shape of one image, and the number of classes.

    `full_shape` is that of the spec itself, which may be larger.
    """

    spec: tree.Spec
    program: Program
    class_name: str
    shape: tuple[int, ...]
    classes: int
    full_shape: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """Generated code that should compute what a spec says, and what it calls the spec's parameters.

    `names` leads from names of the spec, in ASCII, with or without their tags, to other ones. A literal form uses
    each parameter as often as the equations do; a rewritten one may need it less often. `class_name` is None where
    the class is called as the spec.
    """

    name: str
    source: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    is_literal: bool = True
    class_name: str | None = None


def prepare(source: Source, task: Task, is_small: bool = True) -> tuple[Subject, tuple[Form, ...]]:
    """A spec and its forms, on small maps unless that is not wanted. Raises CldfError."""
    program = analyse(source, task).expansion.program
    small = smaller(source, task, program.shape) if is_small else task
    spec = change_spec(read_spec(source, Problems()), task.changes, Problems())
    shape = small.shape or program.shape
    subject = Subject(spec, program, ascii_name(program.model), shape, program.classes, program.shape)
    return subject, forms_of(source, small)


def forms_of(source: Source, task: Task) -> tuple[Form, ...]:
    """The forms in which the compiler can write a network. Raises CldfError."""
    forms = (
        Form("written", compile_source(source, task, "written")),
        Form("simplified", compile_source(source, task), is_literal=False),
    )
    try:
        return *forms, residual_form(source, task)
    except CldfError:
        return forms


def residual_form(source: Source, task: Task) -> Form:
    """The residual form of a network. Raises CldfError."""
    graph = build(source, task, "residual")
    return Form("residual", emit_module(graph), is_literal=False, class_name=ascii_name(graph.program.model))


def smaller(source: Source, task: Task, shape: tuple[int, ...]) -> Task:
    """The same task on smaller maps, where the network's own are large and it can do with less."""
    if len(shape) != 3 or max(shape[1:]) <= LARGEST_MAP:
        return task
    channels, height, width = shape
    small = replace(task, shape=(channels, min(height, LARGEST_MAP), min(width, LARGEST_MAP)))
    try:
        analyse(source, small)
    except CldfError:
        return task
    return small
