"""Every use of a parameter while generated code runs, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Call:
    """One use of a parameter: its module, its operand and its result; None: a zero whose shape nothing says.

    `value` is the value whose equation the use stands in, where that is known: `u@2,1`.
    """

    module: str
    operand: Tensor | None
    result: Tensor | None
    value: str = ""


class CallRecorder(TorchFunctionMode):
    """Notes the calls of torch functions that are given the weight of a module, or a scalar of the network.

    Unlike hooks it also sees a kernel that is used at a second stride, by its weight. Modules of running statistics
    alone, those of a use of `bn@ℓ`, are noted too.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.modules: dict[int, str] = {}
        for name, parameter in network.named_parameters():
            if not name.endswith(".bias"):
                self.modules[id(parameter)] = name.removesuffix(".weight")
        modules = cast(Iterable[tuple[str, nn.Module]], network.named_modules())
        for name, module in modules:
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and not module.affine:
                self.modules[id(module.running_mean)] = name

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result: Any = func(*args, **(kwargs or {}))
        given = [thing for thing in (*args, *(kwargs or {}).values()) if isinstance(thing, Tensor)]
        known = [self.modules[id(tensor)] for tensor in given if id(tensor) in self.modules]
        operands = [tensor for tensor in given if id(tensor) not in self.modules]
        if operands and isinstance(result, Tensor):
            self.calls += [Call(module, operands[0].detach(), result.detach()) for module in known]
        return result
