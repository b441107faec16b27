"""Where the first number comes from that is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn


def find_origin(network: nn.Module, forward: Callable[[], Tensor]) -> str:
    """The layer that first gives a number that is not finite when `forward` runs again, in words.

    Empty where none does: the loss itself may overflow, and dropout draws anew.
    """
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def look(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and not is_finite(output):
                found.append(describe(name, layer, inputs))

        return look

    modules = cast(Iterable[tuple[str, nn.Module]], network.named_modules())
    layers = [(name, layer) for name, layer in modules if not any(layer.children())]
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    return found[0] if found else ""


def describe(name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> str:
    """What is wrong at the first layer whose result is not finite."""
    for part, parameter in layer.named_parameters():
        if not is_finite(parameter):
            return f"`{name}.{part}` is no longer finite"
    if not all(is_finite(value) for value in inputs):
        return f"what `{name}` is given is the first value that is not finite"
    return f"the result of `{name}` is the first value that is not finite"


def is_finite(value: object) -> bool:
    """Whether a value is no tensor, or one of finite numbers."""
    return not isinstance(value, Tensor) or bool(value.isfinite().all())
