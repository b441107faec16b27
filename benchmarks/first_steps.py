"""The survival table of docs/reproduction.md: the paper's networks in their first steps under exactly its recipe.

Every network of Tables 1 and 3 is trained from its start, with cifar10's recipe (section 5.1: rate 0.1, momentum 0.9,
batches of 128, weight decay 1e-3 for ResNet34 types and 1e-4 for the others, shifts and mirrors; no clip, no warm-up),
on Fashion-MNIST, padded by zeros from 28 × 28 to 32 × 32 and repeated in three channels. A row each: the loss and the
accuracy on the training images over the last 50 steps, or the step in which the loss was no longer a number.

    python benchmarks/first_steps.py                       # 300 steps at c = 16, 32, 64, 128
    python benchmarks/first_steps.py --full-width          # 100 steps of preact18_Al, fbresnet, preact34_Al
    python benchmarks/first_steps.py --part 1/2 & python benchmarks/first_steps.py --part 2/2

What is done is kept in a file, a line of JSON for each network, and not done again until its spec changes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import pad

from cldfc.compilation import Compilation, read_changes
from cldfc.data.batches import frame
from cldfc.data.catalogue import DATA_DIR, find
from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split, load_images, standardise
from cldfc.data.loader import Resident
from cldfc.device import choose_device
from cldfc.library import folder
from cldfc.recipe import Recipe, change_recipe
from cldfc.reproduce.tables import TABLES, TableRow, select_rows
from cldfc.syntax.read import read_source
from cldfc.training.descent import Descent
from cldfc.training.loop import train_epoch
from cldfc.training.metrics import BEGINNING, Silence
from cldfc.training.step import make_optimizer
from cldfc.training.task import Diverged, Task
from cldfc.weights.network import build_network

NARROW = "c = 16, 32, 64, 128"
FULL_WIDTH = ("preact18_Al", "fbresnet-A-sBs", "preact34_Al")
STEPS, STEPS_FULL_WIDTH = 300, 100
LAST = 50
HEADS = ("network", "scores", f"loss, last {LAST} steps", f"accuracy, last {LAST} steps")

Result = dict[str, object]


def resized(images: Images) -> Images:
    """Images of 1 × 28 × 28 as 3 × 32 × 32: two rows and columns of zeros on each side, the channel three times."""
    return Images(pad(images.pixels, (2, 2, 2, 2)).repeat(1, 3, 1, 1), images.labels)


def read_data(data_dir: Path) -> tuple[DataSet, Split]:
    """Fashion-MNIST as if it were CIFAR-10."""
    fashion, cifar = find("fashion_mnist"), find("cifar10")
    found = load_images(fashion, data_dir)
    assert isinstance(found, Split)
    changes = {"name": "fashion_mnist, 3×32×32", "mean": fashion.mean * 3, "std": fashion.std * 3}
    return cifar.model_copy(update=changes), Split(resized(found.train), resized(found.test))


def network_of(row: TableRow, width: str) -> Compilation:
    """The network of a row for CIFAR-10, with the channels that are asked for, or the paper's."""
    cifar = find("cifar10")
    task = read_changes((*row.lets, width) if width else row.lets).on(cifar.name, cifar.shape, cifar.classes)
    return Compilation(read_source(folder() / f"{row.spec}.cldf"), task)


def first_steps(row: TableRow, width: str, steps: int, seed: int, fan: str, dataset: DataSet, split: Split) -> Result:
    """What becomes of a network in its first steps."""
    recipe = change_recipe(dataset.recipe, {"weight_decay": row.weight_decay, "seed": seed})
    task = prepare(network_of(row, width), dataset, split, recipe, fan)
    result: Result = {"scores": scores_at_the_start(task), "device": str(task.device)}
    losses, hits, began = [0.0], [0], time.monotonic()
    with task.device.switches():
        try:
            optimizer = make_optimizer(task.network, recipe)
            # What is saved is read at once.
            stepped = train_epoch(Descent(task, optimizer), BEGINNING, Silence(), lambda: (0, True))
            for reached in islice(stepped, steps):
                losses.append(reached.position.loss_sum)
                hits.append(reached.position.hits)
        except Diverged as error:
            result |= {"diverged_at": len(losses), "message": error.message}
        else:
            count = min(LAST, steps)
            shown = count * recipe.batch
            result |= {
                "loss": (losses[-1] - losses[-1 - count]) / shown,
                "accuracy": (hits[-1] - hits[-1 - count]) / shown,
            }
    return result | {"seconds": round(time.monotonic() - began, 1)}


def prepare(network: Compilation, dataset: DataSet, split: Split, recipe: Recipe, fan: str) -> Task:
    """The network with its start, as `cldfc train` would make it, and the images."""
    device = choose_device()
    torch.manual_seed(recipe.seed)
    module = device.place(build_network(network.code(), network.class_name))
    for layer in module.modules() if fan == "input" else ():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    there = split.to(device.torch)
    return Task(module, Resident(frame(there.train, recipe), there.test, recipe), dataset, recipe, device, module)


@torch.no_grad()
def scores_at_the_start(task: Task) -> float:
    """Standard deviation of the scores of the first batch before the first step; the statistics of norms stay."""
    kept = {name: value.clone() for name, value in task.network.state_dict().items()}
    batch = next(task.loader.train_batches(1))
    scores = task.device.scores(task.network.train(), standardise(batch.pixels, task.dataset))
    task.network.load_state_dict(kept)
    return float(scores.std())


def as_line(key: Result, result: Result) -> str:
    """The row of a network in Markdown."""
    if "diverged_at" in result:
        end = [f"diverged at step {result['diverged_at']}", ""]
    else:
        end = [f"{result['loss']:.2f}", f"{result['accuracy']:.1%}".replace("%", " %")]
    cells = [f"`{key['network']}`", f"{result['scores']:.3g}", *end]
    return f"| {' | '.join(cells)} |"


def read_done(path: Path) -> list[Result]:
    """What earlier calls have written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help=f"by default {STEPS}, at full width {STEPS_FULL_WIDTH}")
    parser.add_argument("--rows", action="append", metavar="PATTERN", help="as `cldfc reproduce --rows`")
    parser.add_argument("--full-width", action="store_true", help="the paper's channels")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th network from the K-th on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fan", choices=["output", "input"], default="output", help="of He's initialisation")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument(
        "--file", type=Path, default=Path("first_steps.jsonl"), help="what is done, and to be done no more"
    )
    arguments = parser.parse_args()
    arguments.steps = arguments.steps or (STEPS_FULL_WIDTH if arguments.full_width else STEPS)
    most = find("fashion_mnist").images[0] // find("cifar10").recipe.batch
    if not 1 <= arguments.steps <= most:
        parser.error(f"--steps goes from 1 to {most}, an epoch")
    try:
        arguments.part = tuple(map(int, arguments.part.split("/")))
        number, count = arguments.part
    except ValueError:
        parser.error("--part is two numbers: 1/2")
    if not 1 <= number <= count:
        parser.error(f"--part goes from 1/{count} to {count}/{count}")
    return arguments


def rows_wanted(arguments: argparse.Namespace) -> Sequence[TableRow]:
    tables = (TABLES["table1"], TABLES["table3"])
    patterns = arguments.rows or (FULL_WIDTH if arguments.full_width else ())
    rows = [row for table in select_rows(tables, patterns) for row in table.rows]
    number, count = arguments.part
    return rows[number - 1 :: count]


def main() -> None:
    """Print a row for each network, done now or before."""
    arguments = parse()
    width = "" if arguments.full_width else NARROW
    print(f"| {' | '.join(HEADS)} |\n| --- | ---: | ---: | ---: |", flush=True)
    data: tuple[DataSet, Split] | None = None
    for row in rows_wanted(arguments):
        key: Result = {
            **{"network": row.title, "spec": row.spec, "let": [*row.lets, *filter(None, [width])]},
            **{"steps": arguments.steps, "seed": arguments.seed, "fan": arguments.fan},
            "sha256": sha256(network_of(row, width).text.encode()).hexdigest(),
        }
        result = next((done for done in read_done(arguments.file) if key.items() <= done.items()), None)
        if result is None:
            data = data or read_data(arguments.data_dir)
            result = first_steps(row, width, arguments.steps, arguments.seed, arguments.fan, *data)
            with arguments.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**key, **result}, ensure_ascii=False) + "\n")
            print(f"{row.title}: {result['seconds']} s on {result['device']}", file=sys.stderr)
        print(as_line(key, result), flush=True)


if __name__ == "__main__":
    main()
