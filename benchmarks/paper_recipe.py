"""The figures of docs/reproduction.md on the paper's recipe: scores at the start, and which miniatures diverge."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from cldfc.compiler import build
from cldfc.emit.torch_module import emit_module
from cldfc.reproduce.networks import network_of
from cldfc.reproduce.runs import MINIATURE, Run
from cldfc.reproduce.tables import TABLES, Row
from cldfc.reproduce.training import in_words, train_run
from cldfc.syntax.spelling import ascii_name
from cldfc.train.catalogue import DATA_DIR, PAPER
from cldfc.train.network import build_network
from cldfc.train.recipe import change_recipe

FOUR = ("fbresnet-A-B", "fbresnet-A-sBs", "fbresnet-As-B", "fbresnet-sAs-sBs")
CHANGES = ({"lr": 0.1}, {"lr": 0.01}, {"lr": 0.1, "clip": 1.0})


def spread_at_the_start(row: Row) -> float:
    """Standard deviation of the scores of eight images of normal noise, at full width, before any training."""
    network = network_of(row, "cifar10", False)
    graph = build(network.source, network.task)
    torch.manual_seed(0)
    module = build_network(emit_module(graph), ascii_name(graph.program.model)).train()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float(module(images).std())


def main() -> None:
    """Print a line for each network, and for each miniature."""
    plain = [row for row in TABLES["table3"].rows if row.spec in ("resnet18", "preact18", "preact18_Al")]
    for row in (*TABLES["table1"].rows, *plain):
        print(f"{row.title}: scores of {spread_at_the_start(row):.3g} at the start", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, changes in enumerate(CHANGES):
            for row in (row for row in TABLES["table1"].rows if row.folder in FOUR):
                for seed in (0, 1):
                    recipe = change_recipe(PAPER, {**changes, "epochs": 3, "batch": 64, "seed": seed})
                    run = Run(row, MINIATURE, recipe, True, Path(folder, str(number), f"{row.folder}-{seed}"))
                    train_run(run, DATA_DIR, "")
                    print(f"{row.title}, {changes}, seed {seed}: {in_words(run)}", flush=True)


if __name__ == "__main__":
    main()
