"""What torch refuses becomes a message; what is another fault stays what it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d, max_unpool2d

from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.weights.torch_errors import refusals


def test_an_operation_without_a_deterministic_algorithm() -> None:
    pooled, places = max_pool2d(torch.randn(1, 3, 8, 8), 2, return_indices=True)
    precise = Device("cpu", False, precise=True)
    with pytest.raises(UsageError, match="algorithm for `max_unpooling2d") as caught, precise.switches(), refusals():
        max_unpool2d(pooled, places, 2)
    assert "leave `--precise` out" in caught.value.help


def test_a_network_that_cannot_be_compiled() -> None:
    def broken(*_: object) -> Any:
        raise OSError("there is no C++ compiler")

    compile: Any = torch.compile
    with pytest.raises(UsageError, match=r"torch\.compile cannot compile the network: .*C\+\+") as caught, refusals():
        compile(nn.Linear(2, 2), backend=broken)(torch.zeros(1, 2))
    assert "leave `--compile` out" in caught.value.help


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), refusals():
        nn.Linear(2, 2)(torch.zeros(1, 3))
