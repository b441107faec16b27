"""What `cldfc eval` does against the plain forward pass, and against good ones.

ResNet18 on images of 3 × 32 × 32, batches of 128. Plain is the module as it is trained, float32, under
`torch.no_grad`; good is channels-last, in bfloat16 where the processor has it; good, compiled is that through
torch.compile with frozen weights, so that torch folds the normalisations. The others are what `cldfc eval` and
`cldfc eval --compile` run. The promise is 7 times the plain pass with `--compile`, on AMX.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchmarks.measuring import ROOT, Benchmark, Work, main, multiplies
from benchmarks.scripts import COMPILED, GOOD, PLAIN, inference, mode_in_words
from cldfc.compilation import Compilation
from cldfc.data.catalogue import find
from cldfc.data.images import standardise
from cldfc.recipe import change_recipe
from cldfc.runs.training_run import prepare
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code, origins_of
from cldfc.weights.inference import fold_weights, freeze
from cldfc.weights.network import build_network

SPEC = read_source(ROOT / "specs" / "resnet18.cldf")
BATCH, TINY = 128, 4
DATA = find("fake:3x32x32:10")
EVAL, EVAL_COMPILED = "cldfc eval", "cldfc eval --compile"


def networks() -> tuple[nn.Module, nn.Module]:
    """ResNet18 as it is trained, and folded with the same weights."""
    torch.manual_seed(0)
    network = Compilation(SPEC)
    trained = build_network(network.code(), network.class_name).eval()
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    folded = build_network(folded_code(network.folded()), network.class_name).eval()
    folded.load_state_dict(fold_weights(trained.state_dict(), origins_of(network.folded())))
    return trained, folded


def side(name: str, is_quick: bool) -> Work:
    """A pass as others write it, or as `cldfc eval` makes it, and the classes that it finds."""
    batch = TINY if is_quick else BATCH
    trained, folded = networks()
    pixels = torch.randint(0, 256, (batch, *DATA.shape), dtype=torch.uint8)
    if not name.startswith("cldfc"):
        run = inference(trained, standardise(pixels, DATA), name)
    else:
        task = prepare(folded, DATA, change_recipe(DATA.recipe, {"batch": batch}), Path(), wished="cpu")
        network = freeze(task.network, task.device, batch, DATA.shape) if name == EVAL_COMPILED else task.network
        images = torch.inference_mode()(standardise)(pixels, DATA)
        run = torch.inference_mode()(lambda: task.device.scores(network, images))
    return lambda: run().argmax(1).tolist()


def measure(benchmark: Benchmark) -> None:
    names = (PLAIN, GOOD, EVAL) if benchmark.is_quick else (PLAIN, GOOD, COMPILED, EVAL, EVAL_COMPILED)
    batch = TINY if benchmark.is_quick else BATCH
    found = benchmark.compare("a pass", names, 0.7)
    rows: list[list[str | float]] = []
    for name in names:
        words = name if name.startswith("cldfc") else f"{name}: {mode_in_words(name)}"
        ratios = [found.ratio(peer, name) for peer in names[: names.index(EVAL)]]
        differ = sum(one != plain for one, plain in zip(found.said[name], found.said[PLAIN], strict=True))
        rows.append([words, batch / found.median(name), *ratios, differ, found.megabytes[name]])
    columns = {"": "{}", "speed": "{:,.0f} images/s"}
    columns |= {f"against {peer}": "{:.2f} × as fast" for peer in names[: names.index(EVAL)]}
    columns |= {f"classes that differ, of {batch}": "{}", "memory": "{:,.0f} MB"}
    about = "ResNet-18, 3 × 32², random weights, whose classes are close to one another. Compiling is not counted."
    benchmark.table("How fast is a trained network?", about, columns, rows)
    if EVAL_COMPILED in names and multiplies() == "AMX":
        benchmark.promise(f"{EVAL_COMPILED}: times as fast as plain", found.ratio(PLAIN, EVAL_COMPILED), least=7)


if __name__ == "__main__":
    main(measure, 4, side)
