"""What `cldfc train` does: a spec, or the folder of an interrupted run, becomes a training, or is only planned."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.algebra.remarks import unbounded_heads
from cldfc.compilation import Compilation
from cldfc.data.catalogue import (
    DATA_DIR,
    changed_recipe,
    check_validation,
    count_training_images,
    default_recipe,
    find,
    is_folder,
    origin_of,
    with_holdout,
)
from cldfc.data.data_set import DataSet, Shape, check_used, told_of
from cldfc.data.dataset_files import how_to_get, missing, require
from cldfc.data.download import fetch_missing
from cldfc.diagnostics import CldfError, Source, UsageError, end_text, shape_text
from cldfc.library import spec_path
from cldfc.network.cost import cost_of_network
from cldfc.network.positions import format_key
from cldfc.network.resolve import Changes
from cldfc.ops.convolution import Convolution
from cldfc.output import ignore, printable, short_count
from cldfc.processors import bf16_of_cpu, device_text, may_have_cuda
from cldfc.recipe import Recipe, as_toml, steps_per_epoch
from cldfc.runs.run_folder import RunRecord, free_folder, refuse_taken
from cldfc.stop import listen
from cldfc.syntax import tree
from cldfc.training.launch import this_job
from cldfc.weights.compiled import Compiled, Head, Parameter

if TYPE_CHECKING:
    from cldfc.network.graph import Graph
    from cldfc.runs.journal import TrainingSetting
    from cldfc.runs.training_run import Result
    from cldfc.training.metrics import Progress

_LARGE, _MANY = 128, 3
"""Rows or columns of a large image; so many convolutions on all its pixels are more than a stem has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a training has to do with, but does not depend on."""

    data_dir: Path | None
    """Where the files of data sets are; None for the usual folder."""
    download: bool
    save_minutes: float
    """How long it goes on within an epoch until its state is saved."""
    say: Callable[[str], None]
    """Hears a line of what is done, or worth knowing."""
    warn: Callable[[str], None]
    """Hears a line of what is not as it should be."""
    show: Callable[[], AbstractContextManager[Progress]]
    load_torch: Callable[[], None] = lambda: None
    """Loads it, at a time when all that does without it has been done."""
    tensorboard: bool = False
    trust_files: bool = False
    skip_unreadable: bool = False
    device: str | None = None
    """What is computed on, where that is wished for: `cpu`, `cuda`, `cuda:1`."""
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    network: Compilation
    dataset: DataSet
    recipe: Recipe


def plan_run(source: Source, data: str, changes: Changes, fields: Mapping[str, object]) -> _Plan:
    """What `start_run` would train. Raises CldfError, and UsageError when spec, data set and recipe do not fit."""
    network = Compilation(source, changes)
    _refuse_untrainable(network)
    dataset = find(data, _input_of(network) if is_folder(data) else None)
    changes = changes.on(dataset.name, dataset.shape, dataset.classes)
    network = network.sized(changes.shape, changes.classes)
    _refuse_unfit(network, dataset)
    recipe = changed_recipe(default_recipe(dataset, network.cost.convolutions), fields)
    check_validation(dataset, recipe)
    return _Plan(network, dataset, recipe)


def _refuse_untrainable(network: Compilation) -> None:
    """Raises UsageError for a network of another kind than images → scores of classes."""
    inputs = [statement for statement in network.tree.statements if isinstance(statement, tree.InputStatement)]
    outputs = [statement for statement in network.tree.statements if isinstance(statement, tree.Output)]
    what = ""
    if other := next((output for output in outputs if not output.is_scores), None):
        kind = "a map" if len(other.shape) > 1 else "of numbers, no scores of classes"
        what = f"the output `{other.name}` is {kind}"
    elif len(outputs) > 1:
        what = "there are several outputs"
    elif len(inputs) > 1 or any(statement.symbol.tag for statement in inputs):
        what = "there are several inputs"
    elif inputs and len(inputs[0].shape) != 3:
        what = f"the input `{inputs[0].name}` is {end_text(network.program.shape)}, not an image"
    if what:
        message = f"{what}: training on it comes with a later edition"
        help = (
            "`check`, `compile`, `verify`, `show` and `derive` know it; train the compiled module in a loop of your own"
        )
        raise UsageError(message, help)


def _refuse_unfit(network: Compilation, dataset: DataSet) -> None:
    """Raises UsageError for images on which the network is wrong, if on those that it is written for it is right."""
    try:
        network.check()
    except CldfError as error:
        with suppress(CldfError):
            written = network.sized(None, None).check().program
            sizes, own = (shape_text(size) for size in (dataset.shape, written.shape))
            raise UsageError(
                f"`{written.model}` does not fit the images of `{dataset.name}`, {sizes}: "
                f"{error.diagnostics[0].message}",
                f"it is written for {own}: give it images of about that size, or let `--let` change it",
            ) from None
        raise


def plan_by_files(plan: _Plan, around: Surroundings) -> _Plan:
    """The plan with a data set that, if asked to, trusts the files that are there, or leaves out unreadable ones.

    Raises UsageError when that cannot be done.
    """
    dataset = plan.dataset
    if around.trust_files:
        from cldfc.data.images import trust_files

        dataset = trust_files(dataset, around.data_dir or DATA_DIR)
    if around.skip_unreadable:
        from cldfc.data.folder import skip_unreadable

        dataset = skip_unreadable(dataset, around.warn)
    return replace(plan, dataset=dataset)


def stem_remarks(plan: _Plan) -> list[str]:
    """That a network for large images works at their full size, as those for CIFAR do; a line, or none."""
    graph, (_, height, width) = plan.network.written, plan.dataset.shape
    kernels = [node for node in graph.nodes() if isinstance(node.operator, Convolution)]
    at_full_size = [node for node in kernels if node.shape[1:] == (height, width)]
    first = kernels[0] if kernels else None
    if min(height, width) < _LARGE or len(at_full_size) < _MANY or first is None or first is not at_full_size[0]:
        return []
    assert first.parameter is not None
    if graph.parameters[first.parameter].sizes["size"] != 3:
        return []
    name = f"imagenet/{Path(plan.network.source.name).stem}"
    like = f"`{name}`" if spec_path(name) else "`imagenet/resnet18`"
    return [
        f"remark: `{graph.program.model}` begins as networks for CIFAR do, with a 3×3 kernel at stride 1: "
        f"{len(at_full_size)} convolutions work on all {height} × {width} pixels, and an image takes "
        f"{short_count(plan.network.cost.multiply_adds)} multiply-adds; `specs/imagenet/` has networks that begin with "
        f"7×7 at stride 2 and a pooling, such as {like}"
    ]


def _input_of(network: Compilation) -> Shape:
    shape = network.changes.shape or network.program.shape
    if network.changes.shape is None and (open := network.program.open_sizes):
        help = "state the size that the images are to have: `--input 3x64x64`"
        raise UsageError(f"the spec leaves {' and '.join(open)} open", help)
    channels, height, width = (size for size in shape if isinstance(size, int))
    return channels, height, width


def start_run(
    source: Source,
    data: str,
    changes: Changes,
    fields: Mapping[str, object],
    output: Path | None,
    command: str,
    around: Surroundings,
) -> Result | None:
    """Train the network of a spec on a data set, with changes to its recipe, into a new folder.

    Gives nothing in a process that is not the first. After a restart by torchrun it goes on with the run that was
    begun before. Raises CldfError, and what `train_network` and `resume_run` raise.
    """
    job = this_job()
    if begun := job.begun_run():
        if job.launch.rank == 0:
            around.say(f"the processes were started again: they continue with `{begun}`")
        return resume_run(begun, fields, around)
    refuse_taken(output)
    plan = plan_run(source, data, changes, fields)
    compiled = compiled_from(plan.network)
    around.load_torch()

    from cldfc.runs.training_run import train_network
    from cldfc.show.summary import notes

    if command and "seed" not in fields:
        command = f"{command} --seed {plan.recipe.seed}"
    # The spec, then those that it extends; what the command line changes is in no file.
    sources = [source, *(statement.span.source for statement in plan.network.tree.statements)]
    spec_files = [path for path in dict.fromkeys(Path(each.name) for each in sources) if path.is_file()]
    with _entered(plan.dataset, around, command, spec_files) as setting:
        heard = around if setting.processes.is_first else replace(around, say=ignore, warn=ignore)
        for note in (*notes(plan.network.simplified), *stem_remarks(plan)):
            heard.say(note)
        if plan.recipe.compile == "on":
            heard.say("torch.compile takes half a minute or more")
        plan = plan_by_files(plan, heard)
        result = train_network(compiled, plan.dataset, plan.recipe, output, setting)
    return result if setting.processes.is_first else None


def resume_run(
    folder: Path, fields: Mapping[str, object], around: Surroundings, from_start: bool = False
) -> Result | None:
    """Train the run in a folder from its newest checkpoint, or from the start, to its end.

    `fields` are those of its recipe, and `dataset`, that the command line gives. Gives nothing in a process that is
    not the first.
    Raises CldfError, and what `read_interrupted` and `resume_network` raise.
    """
    around.load_torch()

    from cldfc.runs.resume import read_interrupted, resume_network

    run = read_interrupted(folder, fields)
    compiled = compiled_from(compilation_of_run(run.spec_text, run.record))
    with _entered(run.dataset, around, run.record.command) as setting:

        def warn(line: str) -> None:
            if setting.processes.is_first:
                around.warn(f"warning: {line}")

        # What torchrun starts again goes on with what it has begun.
        anew = from_start and not this_job().launch.restarts
        result = resume_network(run, compiled, warn, setting, anew)
    return result if setting.processes.is_first else None


def compilation_of_run(text: str, record: RunRecord) -> Compilation:
    network = Compilation(Source("spec.cldf", text), Changes(record.input_shape, record.classes))
    _refuse_untrainable(network)
    return network


def compiled_from(network: Compilation) -> Compiled:
    """What a training needs of a network, and its report shows of it. Raises CldfError."""
    from cldfc.show.html import equations_as_mathml
    from cldfc.show.legend import parameter_rows
    from cldfc.show.summary import facts
    from cldfc.show.svg import draw_for_page

    graph = network.simplified
    heads = [Head(head.value, head.help) for head in unbounded_heads(network.shapes)]
    return Compiled(
        spec_text=network.text,
        source=network.code(),
        class_name=network.class_name,
        facts=facts(graph),
        picture=draw_for_page(graph.as_written),
        equations=equations_as_mathml(graph.program.spec),
        parameters=[Parameter(r.name, r.shape, r.uses, r.parameters, r.saved, r.colour) for r in parameter_rows(graph)],
        values=_values_of_modules(graph),
        head=heads[0] if heads else None,
    )


def _values_of_modules(graph: Graph) -> dict[str, list[str]]:
    """For each module of a generated class the values that its calls help to compute."""
    from cldfc.emit.naming import parameter_names

    names = parameter_names(graph)
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for node in graph.nodes():
        if node.parameter is not None:
            found[names[node.parameter]].append(format_key(graph.instances[node.instance].value))
    return found


@contextmanager
def _entered(
    dataset: DataSet, around: Surroundings, command: str, spec_files: Sequence[Path] = ()
) -> Generator[TrainingSetting]:
    """What a training has around it, until it ends. Raises UsageError when the data set is not at hand."""
    from cldfc.runs.journal import Saving, TrainingSetting
    from cldfc.runs.progress import silent
    from cldfc.training.processes import together

    with together(around.device) as processes:
        # Nobody listens to Ctrl-C yet: it ends a download at once.
        data_dir = around.data_dir or DATA_DIR
        if around.download and processes.is_first:
            fetch_missing(dataset, data_dir, around.say)
        processes.gather(None)
        require(dataset, data_dir)
        shown = around.show() if processes.is_first else silent()
        with listen(processes.count == 1) as request, shown as progress:
            if around.workers is not None and not dataset.from_files and processes.is_first:
                around.say(f"remark: `--workers` changes nothing: the images of `{dataset.name}` lie in memory")
            if dataset.files or dataset.folders or is_folder(dataset.name):
                progress.status(f"reading {dataset.name}")
            saving = Saving(around.save_minutes, request)
            yield TrainingSetting(
                progress=progress,
                data_dir=data_dir,
                saving=saving,
                processes=processes,
                command=command,
                spec_files=spec_files,
                device=around.device,
                workers=around.workers,
                tensorboard=around.tensorboard,
                say=around.say,
            )


_WIDTH = 80
_MARGIN = 10


def _origins_of_fields(plan: _Plan, given: Mapping[str, str]) -> dict[str, str]:
    """For each field of the recipe where its value comes from; `given` says it of those that somebody has set."""
    fields = plan.recipe.model_dump()
    origins = {
        name: given.get(name) or origin_of(name, plan.dataset, plan.network.cost.convolutions) for name in fields
    }
    if "drop_every" not in given and plan.recipe.drop_every != plan.dataset.recipe.drop_every:
        origins["drop_every"] = "in proportion to the epochs"
    return origins


def plan_as_data(plan: _Plan, given: Mapping[str, str], output: Path | None, around: Surroundings) -> dict[str, object]:
    """A training as plain data; `folder` is the run folder that it would make."""
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
        "device": _device_text(plan.recipe.precise, around.device),
        "folder": str(output or free_folder(model, plan.dataset.name)),
        "recipe": plan.recipe.model_dump(),
        "origins": _origins_of_fields(plan, given),
    }


def _device_text(is_precise: bool, wished: str | None) -> str:
    """What a training would run on; only a CUDA device needs torch, which takes seconds to load, to be known."""
    bf16 = bf16_of_cpu()
    if bf16 is None or wished not in (None, "cpu") or (wished is None and may_have_cuda()):
        from cldfc.device import choose_device

        return str(choose_device(is_precise, wished))
    return device_text("cpu", bf16 and not is_precise, is_precise)


def plan_as_text(plan: _Plan, given: Mapping[str, str], output: Path | None, around: Surroundings) -> str:
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
            _WIDTH,
            initial_indent=f"# {name:<{_MARGIN - 2}}",
            subsequent_indent="#".ljust(_MARGIN),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )
    recipe = as_toml(plan.recipe, _origins_of_fields(plan, given))
    return f"# nothing has been trained or written\n{head}\n\n{recipe}"
