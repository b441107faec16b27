"""Full-width trainings on Fashion-MNIST with the recipe of the data set, the paper's for MNIST: accuracy and time.

Two epochs of each network say how many fit into the time that is left: the first takes longer, for cuDNN tries its
algorithms. The drops of the learning rate keep their places in proportion. All networks get as many epochs as one
another, and none more than the recipe has.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cuda_parts.clock import Clock
from benchmarks.cuda_parts.job import Job, compiled_from, graph_of
from cldfc.data.catalogue import default_recipe, find
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import require
from cldfc.network.cost import cost_of_network
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.training_run import train_network
from cldfc.training.metrics import Epoch

NETWORKS = ("preact18_Al", "preact18")
PUBLISHED = {"ResNet18": 0.949, "DenseNet-BC": 0.954, "WRN-28-10": 0.959, "WRN-40-4": 0.967}
"""Accuracies on the data set's own list."""
PACE = 2
"""Epochs that say how long one takes."""
SPARE = 0.9
"""What of the time that is left is planned for."""


def work(job: Job) -> None:
    """Train all networks."""
    dataset = find("fake:1x8x8:10" if job.is_tiny else "fashion_mnist")
    require(dataset, job.data_dir)
    names = list(job.to_do(NETWORKS))
    pace: dict[str, float] = {}
    for name in names:
        with job.item(f"{name}, {PACE} epochs") as found:
            found.update(train(job, name, dataset, PACE, f"{name}, {PACE} epochs"))
            pace[name] = found["epoch"]
    recipe = recipe_of("preact18_Al", dataset)
    epochs = epochs_that_fit(recipe, SPARE * job.left(), sum(pace.values()))
    for name in pace:
        with job.item(name) as found:
            if epochs == 0:
                found["skipped"] = f"{drops(recipe)} epochs of all do not fit into the {job.left():.0f} s that are left"
            else:
                found.update(train(job, name, dataset, 3 if job.is_tiny else epochs, name))


def recipe_of(name: str, dataset: DataSet) -> Recipe:
    """The recipe that `cldfc train` would use."""
    return default_recipe(dataset, cost_of_network(graph_of(name, dataset).as_written).convolutions)


def drops(recipe: Recipe) -> int:
    """Into how many parts the drops of the learning rate cut a training."""
    return -(-recipe.epochs // recipe.drop_every)


def epochs_that_fit(recipe: Recipe, seconds: float, of_one: float) -> int:
    """The most epochs that fit into a time, so many that the drops can keep their places; 0 where none do."""
    parts = drops(recipe)
    fit = int(seconds / of_one) if of_one else 0
    return min(recipe.epochs, fit // parts * parts)


def train(job: Job, name: str, dataset: DataSet, epochs: int, title: str) -> dict[str, Any]:
    """Train a network for some epochs, and tell of each under a title."""
    lets = ["c@ℓ = 4, 4, 8, 8"] if job.is_tiny else []
    recipe = recipe_of(name, dataset)
    drop_every = max(1, recipe.drop_every * epochs // recipe.epochs)
    changed = change_recipe(recipe, {"epochs": epochs, "drop_every": drop_every})
    compiled = compiled_from(graph_of(name, dataset, *lets))
    about = {"network": compiled.class_name, "planned": epochs, "drop_every": drop_every, "lr": recipe.lr}

    def tell(measured: Epoch) -> None:
        job.say(update=title, values={**about, "epochs": measured.epoch, "test_accuracy": measured.test_accuracy})

    clock, start = Clock(tell), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        setting = TrainingSetting(progress=clock, data_dir=job.data_dir)
        result = train_network(compiled, dataset, changed, Path(folder, "run"), setting)
    found = {**about, "epochs": result.final.epoch, "test_accuracy": result.final.test_accuracy}
    return {**found, "seconds": time.monotonic() - start, **clock.outside()}
