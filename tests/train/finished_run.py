"""A small ResNet, trained for a moment on digits, and what its module says when it is run by hand."""

from __future__ import annotations

from pathlib import Path

import torch
from networks import ROOT, build
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner, Result

from cldfc.cli import app
from cldfc.data.catalogue import find
from cldfc.data.digits import load
from cldfc.data.images import Images


def cldfc(*arguments: object) -> Result:
    """The result of a command."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def train_small(folder: Path) -> Path:
    """A run of two epochs, with every normalisation in a place where it can be folded."""
    spec = ROOT / "specs" / "resnet18.cldf"
    trained = cldfc("train", spec, "--data", "digits", "--let", "c@ℓ = 8, 8, 16, 16", "--epochs", 2, "-o", folder)
    assert trained.exit_code == 0, trained.output
    return folder


def digits() -> Images:
    """The test images."""
    return load(find("digits"), Path()).test


@torch.no_grad()
def scores_by_hand(folder: Path, pixels: Tensor) -> Tensor:
    """What the module in a run folder says of digits in the units of scikit-learn, in float32."""
    network = build((folder / "network.py").read_text(encoding="utf-8"))
    network.load_state_dict(load_file(folder / "best.safetensors"))
    return network.eval()((pixels - 4.8861) / 6.0179)
