"""What is said of a training that diverges: the value, the head, and what to write instead."""

from pathlib import Path

import torch
from torch import nn
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.training.step import LARGE, find_origin

SPEC = """
model Net
steps i = 1..3
input f : 1 × 8 × 8
output h : 10
kernel θ : 3×3 → 8
kernel A : 3×3 → 8
let σ = relu ∘ bn
r@0 = θ * f
r@i = r@i-1 + A * r@i-1
h = linear ∘ avgpool(r@3)
"""


def train(folder: Path, text: str, *options: str) -> str:
    (folder / "net.cldf").write_text(text, encoding="utf-8")
    arguments = ["train", str(folder / "net.cldf"), "--data", "digits", "--epochs", "1", "-o", str(folder / "run")]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 2, result.output
    return result.stderr


def test_a_head_without_normalisation_is_named(tmp_path: Path):
    said = train(tmp_path, SPEC, "--lr", "1e6")
    assert "in step " in said and "training has diverged" in said
    assert "no normalisation stands between `r@3` and `linear`" in said
    assert "write `h = linear ∘ avgpool ∘ σ(r@3)`, or start another run with a lower `--lr` (now 1e+06)" in said


def test_with_a_normalisation_nothing_is_said_of_the_head(tmp_path: Path):
    text = SPEC.replace("avgpool(r@3)", "avgpool ∘ σ(r@3)")
    said = train(tmp_path, text, "--lr", "1e30", "--clip", "1e30")
    assert "training has diverged" in said and "stands between" not in said
    assert "write `h" not in said and "start another run with a lower `--lr`" in said


def test_the_value_that_has_grown_is_named():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    nn.init.constant_(network[0].weight, LARGE)
    nn.init.ones_(network[1].weight)
    values = {"0": ["r@1"], "1": ["r@2"]}
    assert find_origin(network, lambda: network(torch.ones(1, 2)), values).startswith("`r@2` has grown to ")
    nn.init.zeros_(network[1].weight)
    assert find_origin(network, lambda: network(torch.ones(1, 2)), values) == "`r@1` has grown to 2.0e+04"
    nn.init.ones_(network[0].weight)
    assert find_origin(network, lambda: network(torch.ones(1, 2)), values) == ""


def test_a_shared_layer_is_named_by_the_value_of_its_call():
    layer = nn.Linear(1, 1, bias=False)
    network = nn.ModuleDict({"A": layer})
    nn.init.constant_(layer.weight, 1e30)
    origin = find_origin(network, lambda: layer(layer(torch.ones(1, 1))), {"A": ["r@1", "r@2"]})
    assert origin == "the result of `A` is the first value that is not finite, in `r@2`"
