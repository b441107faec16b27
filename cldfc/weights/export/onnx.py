"""A network as an ONNX file, which onnxruntime and many other programs run."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from cldfc.diagnostics import UsageError
from cldfc.weights.export.classifier import KEY, About, Classifier, Scores, exporting


def write(classifier: Classifier, about: About) -> bytes:
    """The file, for any number of images: input `pixels`, output `scores`. Raises UsageError when that fails.

    torch's optimisation is not used: it folds normalisations on its own account, and makes one
    tensor of two that are equal by chance. Here every initializer is a tensor of the network.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise UsageError(f"`--onnx` needs {' and '.join(missing)}", "pip install 'cldfc[onnx]'")
    with exporting("torch.onnx", about.model):
        program = onnx_program(classifier, about)
        _simplify_onnx(program.model)
        _describe_onnx(program.model, about)
        return program.model_proto.SerializeToString()


def onnx_program(classifier: Classifier, about: About) -> Any:
    return torch.onnx.export(  # pyright: ignore[reportUnknownMemberType]
        classifier,
        (torch.zeros(2, *about.shape, dtype=torch.uint8),),
        input_names=["pixels"],
        output_names=["scores"],
        dynamic_shapes={"pixels": {0: Dim("n")}},
        dynamo=True,
        optimize=False,
        verbose=False,
    )


def _simplify_onnx(model: Any) -> None:
    """Compute what does not depend on the images, such as shapes, and leave out the zeros added where no bias is."""
    from onnxscript import optimizer

    weights = set(model.graph.initializers)
    optimizer.fold_constants(model)  # pyright: ignore[reportUnknownMemberType]
    for node in model.graph:
        is_convolution = node.op_type in ("Conv", "ConvTranspose")
        if is_convolution and len(node.inputs) == 3 and node.inputs[2].name not in weights:
            node.resize_inputs(2)
    optimizer.remove_unused_nodes(model)


def _describe_onnx(model: Any, about: About) -> None:
    """Say what the model is, and not how torch made it: that is longer than a small network."""
    graph = model.graph
    for part in (graph, *graph, *graph.initializers.values(), *graph.inputs, *graph.outputs):
        part.metadata_props.clear()
    model.doc_string = f"{about.about}: {about.model}, trained on {about.data}; takes {about.takes}"
    model.metadata_props[KEY] = about.model_dump_json()


def read(data: bytes, classifier: Classifier) -> Scores:
    """What a file computes: by onnxruntime, or without it by onnx's own evaluator, which is slow."""
    if _has_runtime():
        from onnxruntime import InferenceSession  # pyright: ignore[reportMissingTypeStubs]

        session: Any = InferenceSession(data, providers=["CPUExecutionProvider"])
    else:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(onnx.load_model_from_string(data))

    def scores(pixels: Tensor) -> Tensor:
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        return torch.from_numpy(found)  # pyright: ignore[reportUnknownMemberType]

    return scores


def _has_runtime() -> bool:
    return find_spec("onnxruntime") is not None


def reader() -> str:
    name = "onnxruntime" if _has_runtime() else "onnx"
    return f"{name} {version(name)}"
