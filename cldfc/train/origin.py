"""Where the first number comes from that is not finite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

LARGE = 1e4
"""Numbers that a network whose values are normalised does not reach."""


def find_origin(network: nn.Module, forward: Callable[[], Tensor], values: Mapping[str, Sequence[str]]) -> str:
    """The layer that first gives a number that is not finite when `forward` runs again, in words.

    Where all are finite, the value that has grown the most. `values` are those that the calls of each layer help
    to compute, in the symbols of the spec. Empty where nothing has grown: dropout draws anew.
    """
    found: list[str] = []
    calls: Counter[str] = Counter()
    sizes: dict[str, float] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def look(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            own = values.get(name, ())
            value = own[calls[name]] if calls[name] < len(own) else ""
            calls[name] += 1
            if not found and not is_finite(output):
                found.append(first_fault(name, layer, inputs) + (value and f", in `{value}`"))
            elif value and isinstance(output, Tensor):
                sizes[value] = max(sizes.get(value, 0), float(output.abs().max()))

        return look

    modules = cast(Iterable[tuple[str, nn.Module]], network.named_modules())
    layers = [(name, layer) for name, layer in modules if not any(layer.children())]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    value = max(sizes, key=lambda value: sizes[value], default="")
    has_grown = value and sizes[value] > LARGE
    return found[0] if found else f"`{value}` has grown to {sizes[value]:.1e}" if has_grown else ""


def first_fault(name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> str:
    for part, parameter in layer.named_parameters():
        if not is_finite(parameter):
            return f"`{name}.{part}` is no longer finite"
    if not all(is_finite(value) for value in inputs):
        return f"what `{name}` is given is the first value that is not finite"
    return f"the result of `{name}` is the first value that is not finite"


def is_finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(value.isfinite().all())
