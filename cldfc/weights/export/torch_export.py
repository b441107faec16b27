"""A network as a program of `torch.export`, which torch alone runs, without the class: a .pt2 file."""

from __future__ import annotations

from io import BytesIO

import torch
from torch.export import Dim

from cldfc.weights.export.classifier import KEY, About, Classifier, Scores, exporting

ABOUT_FILE = f"{KEY}.json"


def write(classifier: Classifier, about: About) -> bytes:
    """The file, for any number of images. Raises UsageError when torch cannot export the network."""
    with exporting("torch.export", about.model):
        images = torch.zeros(2, *about.shape, dtype=torch.uint8)
        program = torch.export.export(classifier, (images,), dynamic_shapes={"pixels": {0: Dim("n")}})
        # Which would say where on this machine the program was made.
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)
        data = BytesIO()
        torch.export.save(program, data, extra_files={ABOUT_FILE: about.model_dump_json()})
    return data.getvalue()


def read(data: bytes, classifier: Classifier) -> Scores:
    return torch.export.load(BytesIO(data)).module()


def reader() -> str:
    return f"torch {torch.__version__}"
