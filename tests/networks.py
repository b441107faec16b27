"""Compiled networks for tests, and how two networks are compared."""

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import nn

from cldfc.algebra.fold_norms import Folded
from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import CldfError, Source
from cldfc.emit.torch_module import emit_module
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code, origins_of
from cldfc.weights.inference import fold_weights

ROOT = Path(__file__).parents[1]
Case = TypeVar("Case")
SHOWN_SPECS = [ROOT / "specs" / f"{name}.cldf" for name in ("fbresnet", "preact18_Al")]
"""The two whose code and pictures are golden files; the others are counted (`test_specs`)."""


class Late:
    """A package that is loaded when it is first used: torchvision takes 2 s and 80 MB, and few files need it."""

    def __init__(self, name: str) -> None:
        self.package = name

    def __getattr__(self, name: str) -> Any:
        # pytest asks whatever is in a file of tests whether it is a fixture or a wrapped function.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(import_module(self.package), name)


torchvision, timm = Late("torchvision"), Late("timm")


IS_FUZZ = "CLDFC_FUZZ" in os.environ
only_in_fuzz = pytest.mark.skipif(
    not IS_FUZZ and "CLDFC_TORTURE" not in os.environ, reason="it is slow, and `make fuzz` runs it"
)
"""What takes seconds and has a quicker test beside it."""


def some(cases: Iterable[Case], share: int) -> list[Case]:
    """One case of so many, where each is slow; `make fuzz` takes them all."""
    return list(cases)[:: 1 if IS_FUZZ else share]


def in_one_test(cases: Collection[Case]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One test of all cases, where each takes a millisecond: a test of its own takes pytest ten.

    Each is one all the same with CLDFC_EACH, and for mutmut, which runs those alone that reach what it has changed.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        own, *others = signature(test).parameters.values()
        if "mutmut" in sys.modules or "CLDFC_EACH" in os.environ:
            names = [case.stem if isinstance(case, Path) else str(case) for case in cases]
            return pytest.mark.parametrize(own.name, list(cases), ids=names)(test)

        @wraps(test)
        def test_all(**fixtures: Any) -> None:
            for case in cases:
                try:
                    test(case, **fixtures)
                except BaseException as error:
                    error.add_note(f"for {case}")
                    raise

        # pytest asks for fixtures by it, and the case is none.
        test_all.__dict__["__signature__"] = signature(test).replace(parameters=others)
        return test_all

    return decorate


def printed(path: Path) -> str:
    """A file that cldfc has written, as it would be printed: without the digest of itself."""
    found = re.search(r"(?:generated|derived) by cldfc( [0-9a-f]{8})\b", text := path.read_text(encoding="utf-8"))
    assert found is not None
    return text[: found.start(1)] + text[found.end(1) :]


def compile_text(text: str) -> str:
    return Compilation(Source("test.cldf", text)).code()


def compile_spec(name: str, *changes: tuple[str, str]) -> str:
    """The generated source of a file in specs/, with parts of its text replaced."""
    return compile_text(spec_text(name, *changes))


def spec_text(name: str, *changes: tuple[str, str]) -> str:
    """The text of a file in specs/; with parts of it replaced, it no longer has the expected counts."""
    text = (ROOT / "specs" / f"{name}.cldf").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"^expect .*\n", "", text, flags=re.MULTILINE) if changes else text


def build_spec(name: str, **options) -> nn.Module:
    """An instance of the class of a file in specs/, with options of the command line: lets, ties, input, classes."""
    return build(Compilation(read_source(ROOT / "specs" / f"{name}.cldf"), read_changes(**options)).code())


def find_errors(source: Source, code: str) -> None:
    """Raise the errors of a spec, of its derivation if the code is one of the 08xx, or the remarks on it."""
    if code.startswith("E08"):
        Compilation(source).residual.check()
        return
    network = Compilation(source).check()
    if code.startswith("R") and network.diagnostics:
        raise CldfError(*network.diagnostics)


def trained_and_folded(network: Folded) -> tuple[nn.Module, nn.Module]:
    """The trained network with its normalisations moved, and the folded one with its weights, in float64."""
    torch.manual_seed(3)
    trained, folded = (build(code).double().eval() for code in (emit_module(network.trained), folded_code(network)))
    randomise(trained)
    folded.load_state_dict(fold_weights(trained.state_dict(), origins_of(network)))
    return trained, folded


def build(source: str) -> nn.Module:
    """An instance of the one class that a generated module defines."""
    namespace: dict[str, object] = {}
    exec(compile(source, "generated", "exec"), namespace)
    classes = [thing for thing in namespace.values() if isinstance(thing, type) and issubclass(thing, nn.Module)]
    assert len(classes) == 1
    return classes[0]()


def copy_weights(source: nn.Module, target: nn.Module, rename: Callable[[str], str]) -> None:
    """Copy every tensor to the one that `rename` names; nothing may be left over.

    A module that the source shares has several names in its `state_dict`, and one here. Shapes may differ by axes of 1.
    """
    tensors = [*source.named_parameters(), *source.named_buffers()]
    own = target.state_dict()
    state = {rename(name): tensor.detach().clone().reshape(own[rename(name)].shape) for name, tensor in tensors}
    assert len(state) == len(tensors)
    target.load_state_dict(state)


def randomise(network: nn.Module) -> None:
    """Move normalisations and scalars away from where they all start, which would hide that two were swapped."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in network.state_dict().items():
        if tensor.dtype.is_floating_point and tensor.dim() < 2:
            scale = 0.5 + torch.rand(tensor.shape, generator=generator)
            tensor.copy_(scale if "var" in name or "weight" in name else scale - 1)


def relative_difference(a: torch.Tensor, b: torch.Tensor, least: float = 1e-30) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(least))


def gradient(parameter: nn.Parameter) -> torch.Tensor:
    """The gradient; zeros for a parameter that a rewrite leaves unused."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def compare(
    one: nn.Module,
    other: nn.Module,
    rename: Callable[[str], str],
    images: torch.Tensor,
    modes: Sequence[bool] = (False, True),
) -> float:
    """The largest relative difference of two networks with the same weights in float64.

    Outputs in eval and train mode, gradients of every parameter and of the input, and all running
    statistics after the train-mode pass, with the same draws; `rename` leads from the names of `other` to
    those of `one`.
    """
    one, other, images = one.double(), other.double(), images.double()
    randomise(other)
    copy_weights(other, one, rename)
    worst = 0.0
    for mode in modes:
        results = []
        for network in (one, other):
            network.train(mode).zero_grad()
            given = images.clone().requires_grad_()
            torch.manual_seed(1)
            output = network(given)
            (output * torch.arange(1, output.numel() + 1, dtype=torch.float64).reshape(output.shape)).sum().backward()
            results.append((output.detach(), given.grad))
        worst = max(worst, *(relative_difference(a, b) for a, b in zip(*results, strict=True)))
        gradients = {name: gradient(parameter) for name, parameter in one.named_parameters()}
        # Where a gradient cancels to zero, only rounding is left of it: it is small beside the others.
        least = max(float(found.abs().max()) for found in gradients.values()) / 100
        for name, parameter in other.named_parameters():
            found = gradient(parameter)
            worst = max(worst, relative_difference(gradients[rename(name)].reshape(found.shape), found, least))
    state = one.state_dict()
    for name, tensor in other.state_dict().items():
        worst = max(worst, relative_difference(state[rename(name)].reshape(tensor.shape).double(), tensor.double()))
    return worst


def count_calls(work: Callable[[], object]) -> int:
    """The calls of functions that some work takes: a measure of time that does not depend on the machine."""
    return _count_events("call", work)


def count_lines(work: Callable[[], object]) -> int:
    """The lines that some work runs, also where it calls no function."""
    return _count_events("line", work)


def _count_events(wanted: str, work: Callable[[], object]) -> int:
    events = 0

    def count(_frame: object, event: str, _argument: object) -> Any:
        nonlocal events
        events += event == wanted
        return count if wanted == "line" else None

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return events
