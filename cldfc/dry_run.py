"""What a training would do, without doing it: `cldfc train --dry-run`.

As text it is a recipe file: `--recipe` reads it again.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from cldfc.network.cost import cost_of_network
from cldfc.output import printable
from cldfc.train.catalogue import DATA_DIR
from cldfc.train.data.files import how_to_get, missing
from cldfc.train.data.holdout import count_training_images, with_holdout
from cldfc.train.default_recipe import origin_of
from cldfc.train.recipe_file import as_toml
from cldfc.train.run import free_folder
from cldfc.training import Plan, Surroundings

WIDTH = 80
MARGIN = 10


def origins_of_fields(plan: Plan, given: Mapping[str, str]) -> dict[str, str]:
    """For each field of the recipe where its value comes from; `given` says it of those that somebody has set."""
    fields = plan.recipe.model_dump()
    origins = {
        name: given.get(name) or origin_of(name, plan.dataset, plan.network.cost.convolutions) for name in fields
    }
    if "drop_every" not in given and plan.recipe.drop_every != plan.dataset.recipe.drop_every:
        origins["drop_every"] = "in proportion to the epochs"
    return origins


def plan_as_data(plan: Plan, given: Mapping[str, str], output: Path | None, around: Surroundings) -> dict[str, object]:
    """A training as plain data; `folder` is the run folder that it would make. torch is loaded here."""
    from cldfc.train.batches import steps_per_epoch
    from cldfc.train.data.subset import check_used, told_of
    from cldfc.train.device import choose_device

    there, used = plan.dataset.images[0], plan.recipe.images
    if used is not None and there:
        check_used(used, there, plan.dataset)
    steps = steps_per_epoch(count_training_images(plan.dataset, plan.recipe), plan.recipe)
    written, cost = plan.network.cost, cost_of_network(plan.network.simplified)
    model = plan.network.class_name
    return {
        "kind": "dry_run",
        "model": model,
        "parameters": written.parameters,
        "multiply_adds": cost.multiply_adds,
        "convolutions": plan.network.cost.convolutions,
        "depth": cost.depth,
        "data": plan.dataset.name,
        "split": with_holdout(told_of(plan.dataset, plan.recipe), plan.recipe).split,
        "missing": missing(plan.dataset, around.data_dir or DATA_DIR),
        "steps_per_epoch": steps,
        "steps": steps * plan.recipe.epochs,
        "device": str(choose_device(plan.recipe.precise, around.device)),
        "folder": str(output or free_folder(model, plan.dataset.name)),
        "recipe": plan.recipe.model_dump(),
        "origins": origins_of_fields(plan, given),
    }


def plan_as_text(plan: Plan, given: Mapping[str, str], output: Path | None, around: Surroundings) -> str:
    data = plan_as_data(plan, given, output, around)
    data_dir = around.data_dir or DATA_DIR
    lacks = ", ".join(f"`{name}`" for name in missing(plan.dataset, data_dir))
    lacking = f" `{data_dir}` lacks {lacks}: {how_to_get(plan.dataset)}." if lacks else ""
    there = " (exists already: give another one)" if output and os.path.lexists(output) else ""
    network = (
        f"{data['model']}: {data['parameters']:,} parameters, {data['multiply_adds']:,} multiply-adds, "
        f"{data['convolutions']:,} convolutions as written, depth {data['depth']:,}"
    )
    lines = {
        "network": network,
        "data": f"{plan.dataset.name}: {data['split']}{lacking}",
        "steps": f"{data['steps_per_epoch']:,} in an epoch, {data['steps']:,} in all",
        "device": data["device"],
        "folder": f"{data['folder']}{there}",
    }
    head = "\n".join(
        textwrap.fill(
            printable(str(text)),
            WIDTH,
            initial_indent=f"# {name:<{MARGIN - 2}}",
            subsequent_indent="#".ljust(MARGIN),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )
    recipe = as_toml(plan.recipe, origins_of_fields(plan, given))
    return f"# nothing has been trained or written\n{head}\n\n{recipe}"
