"""From the source text of a module to a network, and its weights as a safetensors file."""

from __future__ import annotations

import linecache
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import cast
from weakref import WeakValueDictionary, finalize

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cldfc.data.data_set import DataSet
from cldfc.diagnostics import UsageError, shape_text
from cldfc.files import LARGEST_TENSORS, read_file, read_header, write_run_file
from cldfc.weights.compiled import Compiled
from cldfc.weights.torch_errors import within_memory

HELP = "weights belong to the spec, and to the release of cldfc, that they were trained with"


def save_weights(network: nn.Module, path: Path) -> None:
    write_run_file(path, _as_bytes(network))


def _as_bytes(network: nn.Module) -> bytes:
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights in a file into a network, which keeps its device and layout. Raises UsageError."""
    tensors = read_tensors(path)
    compare_tensors(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file; raises UsageError when it is missing or no safetensors file."""
    read_header(path)
    data = read_file(path, largest=LARGEST_TENSORS)
    try:
        return load(data)
    except SafetensorError as error:
        raise UsageError(f"`{path}` is not a safetensors file: {error}", HELP) from error


def compare_tensors(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    """Raises UsageError unless both hold the same names with the same shapes and types."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise UsageError(f"`{path}` lacks `{missing[0]}`{_and_more(missing)}", HELP)
    if extra:
        raise UsageError(f"the network has no `{extra[0]}`{_and_more(extra)} of `{path}`", HELP)
    for name, tensor in wanted.items():
        if _shape_and_type(found[name]) != _shape_and_type(tensor):
            raise UsageError(
                f"`{name}` is {_shape_and_type(found[name])} in `{path}` and {_shape_and_type(tensor)} here", HELP
            )


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _shape_and_type(tensor: Tensor) -> str:
    shape = shape_text(tensor.shape) or "one number"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}"


def build_network(source: str, class_name: str) -> nn.Module:
    """An instance of a class that the source defines; runs the source, so it must be trusted.

    It can be copied and pickled, and `inspect.getsource` shows the source. Raises UsageError when the source cannot be
    run or has no such class.
    """
    try:
        with within_memory("the network"):
            network: object = _network_class(source, class_name)()
    except UsageError:
        raise
    except Exception as error:
        raise _no_network(class_name, f"{type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise _no_network(class_name, "it is not a torch module")
    return network


_CLASSES: WeakValueDictionary[tuple[str, str], type[object]] = WeakValueDictionary()


def _network_class(source: str, class_name: str) -> type[object]:
    """The class that a source defines, made once for each source; it is pickled as its source."""
    key = source, class_name
    if (known := _CLASSES.get(key)) is not None:
        return known
    name = f"cldfc_{class_name}_{sha256(source.encode()).hexdigest()[:12]}"
    file = f"<{name}.py>"
    scope: dict[str, object] = {"__name__": name, "__file__": file}
    exec(compile(source, file, "exec"), scope)
    found = scope.get(class_name)
    if found is None:
        raise AttributeError(f"it has no attribute {class_name!r}")
    if not isinstance(found, type):
        raise TypeError("it is not a class")

    def reduced(network: object) -> tuple[object, ...]:
        return _bare_network, (source, class_name), network.__dict__

    type.__setattr__(found, "__reduce__", reduced)
    # `inspect` looks for a module, which must not keep the class alive.
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__file__ = file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    finalize(found, _forget, name, file)
    _CLASSES[key] = found
    return found


def _forget(name: str, file: str) -> None:
    sys.modules.pop(name, None)
    linecache.cache.pop(file, None)


def _bare_network(source: str, class_name: str) -> object:
    found = _network_class(source, class_name)
    return object.__new__(found)


def _no_network(class_name: str, reason: str) -> UsageError:
    return UsageError(
        f"the source does not give a network `{class_name}`: {reason}",
        "the compiler wrote this source: please report the spec",
    )


def build_fitting(compiled: Compiled, dataset: DataSet) -> nn.Module:
    network = build_network(compiled.source, compiled.class_name)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(
            f"`{compiled.class_name}` has no parameters: there is nothing to train",
            "use a kernel, a `bn` or `linear` in its equations",
        )
    check_fit(network, dataset)
    return network


def load_network(source: str, class_name: str, dataset: DataSet, weights: Path) -> nn.Module:
    """A trained network. Raises UsageError when it does not fit the data set, or the weights in the file do not fit."""
    network = build_network(source, class_name)
    check_fit(network, dataset)
    load_weights(network, weights)
    return network


def apply_rule(network: nn.Module, path: str, rule: str, has_groups: bool) -> None:
    """Store the weight of each kernel with a rule as the rule makes it, by the function in the network's source."""
    kernel, functions = cast(nn.Conv2d, network.get_submodule(path)), type(network).forward.__globals__
    groups = [kernel.groups] * (rule == "symmetric" and has_groups and kernel.groups > 1)
    with torch.no_grad():
        kernel.weight.copy_(functions[rule](kernel.weight, *groups))


def check_fit(network: nn.Module, dataset: DataSet) -> None:
    """Raises UsageError unless the network maps images of the data set to one score a class."""
    wanted = (2, dataset.classes)
    try:
        with torch.no_grad(), within_memory(f"the network for two images of `{dataset.name}`"):
            scores: Tensor = network.eval()(torch.zeros(2, *dataset.shape))
        found = f"it gives {tuple(scores.shape)} for two images, not {wanted}"
    except UsageError:
        raise
    except Exception as error:
        raise _does_not_fit(dataset, str(error)) from error
    if tuple(scores.shape) != wanted:
        raise _does_not_fit(dataset, found)


def count_parameters(network: nn.Module) -> int:
    """The number of trained parameters of a module; shared ones count once."""
    return sum(parameter.numel() for parameter in network.parameters())


def _does_not_fit(dataset: DataSet, reason: str) -> UsageError:
    shape = shape_text(dataset.shape)
    return UsageError(
        f"the network does not fit the data set `{dataset.name}`: {reason}",
        f"its input must be {shape} and its output {dataset.classes}",
    )
