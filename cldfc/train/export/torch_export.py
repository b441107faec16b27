"""A network as a program of `torch.export`, which torch alone runs, without the class: a .pt2 file."""

from __future__ import annotations

from io import BytesIO

import torch
from torch.export import Dim, ExportedProgram

from cldfc.train.export.about import KEY, About
from cldfc.train.export.classifier import Classifier
from cldfc.train.export.difference import Scores
from cldfc.train.export.failure import exporting

ABOUT_FILE = f"{KEY}.json"
"""The name of the metadata among the file's `extra_files`."""


def write(classifier: Classifier, about: About) -> bytes:
    """The file, for any number of images. Raises UsageError when torch cannot export the network."""
    with exporting("torch.export", about.model):
        program = trace(classifier, about)
        data = BytesIO()
        torch.export.save(program, data, extra_files={ABOUT_FILE: about.model_dump_json()})
    return data.getvalue()


def trace(classifier: Classifier, about: About) -> ExportedProgram:
    """The program of a network; it does not say where on this machine it was made."""
    images = torch.zeros(2, *about.shape, dtype=torch.uint8)
    program = torch.export.export(classifier, (images,), dynamic_shapes={"pixels": {0: Dim("n")}})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def read(data: bytes, classifier: Classifier) -> Scores:
    """What a file computes."""
    return torch.export.load(BytesIO(data)).module()


def reader() -> str:
    """The program that reads a file back, with its release."""
    return f"torch {torch.__version__}"
