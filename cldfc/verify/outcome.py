"""What a network does with given weights at a given input: by its equations, and by generated code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cldfc.compilation import Compilation
from cldfc.diagnostics import CldfError, UsageError, end_text
from cldfc.reference.interpreter import evaluate_spec
from cldfc.reference.session import tensor_of
from cldfc.reference.solutions import NotSolved
from cldfc.syntax import tree
from cldfc.syntax.read import LARGEST_FILE


@dataclass(frozen=True)
class RecordedCall:
    """One use of a parameter: its module, operand and result. None is a zero of unknown shape.

    `value` is the value whose equation has the use, where known: `u@2,1`.
    """

    module: str
    operand: Tensor | None
    result: Tensor | None
    value: str = ""


class CallRecorder(TorchFunctionMode):
    """Records the calls of torch functions that take the weight of a module, or a scalar of the network.

    Unlike hooks, it also sees a kernel that is used through its weight, at a second stride. Modules that hold running
    statistics alone, those of a use of `bn@ℓ`, are recorded too. Of the calls in a fixed-point iteration only the last
    one is recorded, the one with a gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.calls: list[RecordedCall] = []
        self.modules: dict[int, str] = {}
        self.made: list[Tensor] = []
        """Kept alive: `modules` knows them by their ids."""
        for name, parameter in network.named_parameters():
            if not name.endswith(".bias"):
                self.modules[id(parameter)] = name.removesuffix(".weight")
        for name, buffer in network.named_buffers():
            if name.endswith(".weight"):
                self.modules[id(buffer)] = name.removesuffix(".weight")
        modules = cast(Iterable[tuple[str, nn.Module]], network.named_modules())
        for name, module in modules:
            if isinstance(module, _BATCH_NORMS) and module.running_mean is not None and not module.affine:
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
        if known and not operands and isinstance(result, Tensor) and given[0].dim() > 1:
            # The weight that the rules of a kernel make stands for the kernel.
            self.modules[id(result)] = known[0]
            self.made.append(result)
        if operands and isinstance(result, Tensor) and torch.is_grad_enabled():
            self.calls += [RecordedCall(module, operands[0].detach(), result.detach()) for module in known]
        return result


class NotDrawn(TorchFunctionMode):
    """Leaves parameters uninitialised while a network is made; its weights are loaded next."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        return next(iter((*args, *given.values()))) if func in _DRAWS else func(*args, **given)


_DRAWS = (nn.init.kaiming_uniform_, nn.init.uniform_, Tensor.normal_, Tensor.uniform_)
_LARGEST_MAPS = {1: 1024, 2: 64, 3: 16}
"""For the number of axes, the longest side of an input in pixels; larger ones are reduced to it."""
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Candidate:
    """Generated code that should compute what a spec defines.

    A literal candidate uses each parameter as often as the equations do; a rewritten one may need it less often.
    `class_name` is None where the class has the name of the spec.
    """

    name: str
    code: str
    is_literal: bool = True
    class_name: str | None = None


def candidates_of(network: Compilation) -> tuple[Candidate, ...]:
    """The forms in which the compiler can write a network. Raises CldfError."""
    candidates = (
        Candidate("written", network.code("written")),
        Candidate("simplified", network.code(), is_literal=False),
    )
    try:
        residual = network.residual
        return *candidates, Candidate("residual", residual.code(), is_literal=False, class_name=residual.class_name)
    except CldfError:
        return candidates


def smaller(network: Compilation) -> Compilation:
    """The same network on smaller maps, if its own are large and smaller ones fit. Raises CldfError."""
    first, *others = network.program.inputs
    if others or network.program.open_sizes or first.kind or not first.is_map:
        return network
    channels, *sides = network.shapes.shapes[0]
    largest = _LARGEST_MAPS[len(sides)]
    if max(sides) <= largest:
        return network
    small = network.sized((channels, *(min(side, largest) for side in sides)), network.changes.classes)
    return small if small.is_right else network


_INPUT = "the input"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Differs(Exception):
    """Equations and code cannot be compared: their parameters differ, or the code does not run."""


@dataclass(frozen=True)
class Trial:
    """One comparison, in float64: the weights by their names in the state dict, the inputs by name, and the mode.

    `kinds` says how each input is passed: as a tensor, a list of tensors, or a sequence in one tensor.
    """

    weights: Mapping[str, Tensor]
    images: Mapping[str, Tensor]
    kinds: Mapping[str, str]
    mode: Literal["eval", "train"]
    seed: int

    @property
    def sizes(self) -> str:
        """The shapes of the inputs: `1 × 32 × 32`, `f@1: 1 × 32 × 32, f@2: 1 × 16 × 16`."""
        texts = {name: end_text(tensor.shape[1:]) for name, tensor in self.images.items()}
        return ", ".join(texts.values() if len(texts) == 1 else (f"{name}: {text}" for name, text in texts.items()))

    def arguments(self, images: Mapping[str, Tensor]) -> list[Tensor | list[Tensor]]:
        """The inputs as `forward` takes them."""
        found: list[Tensor | list[Tensor]] = []
        for name, kind in self.kinds.items():
            members = [tensor for member, tensor in images.items() if member.partition("@")[0] == name]
            # A number for each image is passed as a vector of one.
            members = [tensor if tensor.ndim > 1 else tensor[:, None] for tensor in members]
            found.append(members if kind == "levels" else torch.stack(members, 1) if kind else members[0])
        return found


@dataclass(frozen=True)
class Outcome:
    """The outputs, the gradients of their weighted sum by parameter and input, the statistics afterwards, the calls."""

    outputs: tuple[Tensor, ...]
    gradients: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]
    calls: tuple[RecordedCall, ...]


def is_statistic(name: str) -> bool:
    return name.endswith(_STATISTICS)


def outcome_of_equations(
    spec: tree.Tree, trial: Trial, classes: int | None = None, disturb: Callable[[Tensor], Tensor] | None = None
) -> Outcome:
    """The outcome of the equations. Raises Differs unless they have exactly these weights."""
    given = {name: tensor.detach() for name, tensor in trial.weights.items()}
    for name, tensor in given.items():
        tensor.requires_grad_(not is_statistic(name))
    images = _leaves(trial.images)
    torch.manual_seed(trial.seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        found = evaluate_spec(spec, given, images, trial.mode == "train", classes, disturb)
    except NotSolved as error:
        raise Differs(str(error)) from error
    except (KeyError, ValueError) as error:
        raise Differs(f"the generated code has other parameters than the equations: {error.args[0]}") from error
    unread = [name for name in given if name not in found.read and not is_statistic(name)]
    if unread:
        raise Differs(f"the generated code has a parameter that the equations do not have: `{unread[0]}`")
    outputs = tuple(found.outputs.values())
    gradients = _gradients_of(outputs, {**_named(images), **given})
    statistics = {name: tensor for name, tensor in given.items() if is_statistic(name)} | dict(found.statistics)
    calls: list[RecordedCall] = []
    for use in found.uses:
        tensors = (tensor_of(value) for value in (use.operand, use.result))
        operand, result = (None if tensor is None else tensor.detach() for tensor in tensors)
        calls.append(RecordedCall(use.module, operand, result, use.value))
    return Outcome(tuple(output.detach() for output in outputs), gradients, statistics, tuple(calls))


def outcome_of_network(network: nn.Module, trial: Trial) -> Outcome:
    """The outcome of generated code. Raises Differs when it does not run."""
    network.load_state_dict(trial.weights)
    network.train(trial.mode == "train")
    images = _leaves(trial.images)
    arguments = trial.arguments(images)
    torch.manual_seed(trial.seed)  # pyright: ignore[reportUnknownMemberType]
    try:
        with CallRecorder(network) as recorder:
            output: object = network(*arguments)
    except Exception as error:
        raise Differs(f"the generated code stops in {trial.mode} mode: {error}") from error
    _check_rest(network)
    kind = type(output).__name__
    members = cast("tuple[object, ...]", output) if isinstance(output, tuple) else (output,)
    outputs = tuple(member for member in members if isinstance(member, Tensor))
    if len(outputs) < len(members):
        raise Differs(f"the generated code gives no tensor, but {kind}")
    gradients = _gradients_of(outputs, {**_named(images), **dict(network.named_parameters())})
    statistics = {name: tensor.clone() for name, tensor in network.state_dict().items() if is_statistic(name)}
    return Outcome(tuple(output.detach() for output in outputs), gradients, statistics, tuple(recorder.calls))


_AT_REST = 1e-3
"""An iteration whose last step changes its value by more, relative to it, has not converged."""


def _check_rest(network: nn.Module) -> None:
    """Raises Differs where an iteration of generated code ended before it converged."""
    found: object = getattr(network, "fixed_points", None)
    known = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    for name, how in known.items():
        # A user's file may have something else under this name.
        if isinstance(how, tuple) and len(pair := cast("tuple[Any, ...]", how)) == 2 and not pair[1] <= _AT_REST:
            what = f"the iteration for `{name}` is not at rest after step {pair[0]:,}"
            raise Differs(f"{what}, which still changes its value by {pair[1]:.1g}, relative to it")


def _leaves(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone().requires_grad_() for name, tensor in images.items()}


def _named(images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs as leaves beside the parameters: `the input`, or `the input g@1`."""
    return {f"{_INPUT} {name}" if len(images) > 1 else _INPUT: tensor for name, tensor in images.items()}


def _gradients_of(outputs: Sequence[Tensor], leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of 1 · output₁ + 2 · output₂ + …, which would notice exchanged outputs; zero where unused."""
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    output = torch.cat([output.flatten() for output in outputs])
    weights = torch.arange(1, output.numel() + 1, dtype=output.dtype).reshape(output.shape)
    total = (output * weights).sum()
    if not total.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in wanted.items()}
    found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(wanted, found, strict=True))


def network_of_file(path: Path, class_name: str) -> nn.Module:
    """The network that a file defines, in float64. Runs the file; what it prints goes to standard error.

    It is the class of that name, or the only module that the file defines. Raises UsageError when there is no such file
    or no such class, Differs when the file does not run.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    data = _read_code(path)
    with redirect_stdout(sys.stderr):
        try:
            exec(compile(data, str(path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            raise Differs(f"`{path}` does not run: {type(error).__name__}: {error}") from error
        found = _class_of(module, class_name, path)
        try:
            return found().double()
        except (Exception, SystemExit) as error:
            raise Differs(f"`{path}` gives no `{found.__name__}()`: {type(error).__name__}: {error}") from error


def _read_code(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"there is no file `{path}`", "name a .cldf file, or a .py file with the network")
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}", "name a file that can be read") from None
    if len(data) > LARGEST_FILE:
        raise UsageError(f"`{path}` is larger than {LARGEST_FILE:,} bytes", "name the file with the network alone")
    return data


def _class_of(module: ModuleType, class_name: str, path: Path) -> type[nn.Module]:
    known = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, nn.Module) and thing.__module__ == module.__name__
    ]
    named = [found for found in known if found.__name__ == class_name]
    if len(named or known) != 1:
        what = ", ".join(f"`{found.__name__}`" for found in known) or "no torch module"
        message = f"`{path}` defines {what}, and none is called `{class_name}`, as the spec is"
        raise UsageError(message, f"give one the name `{class_name}`")
    return (named or known)[0]
