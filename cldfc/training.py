"""From a spec, or from the folder of an interrupted run, to a training: what `cldfc train` does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cldfc.algebra.unbounded_head import unbounded_heads
from cldfc.compiler import Task, analyse, build, whole_text
from cldfc.diagnostics import Source
from cldfc.network.positions import format_key
from cldfc.syntax.read import read_source
from cldfc.syntax.spelling import ascii_name
from cldfc.train.catalogue import DATA_DIR, DataSet, Shape, find, is_folder
from cldfc.train.compiled import Compiled, Head, Parameter
from cldfc.train.data.download import fetch_missing
from cldfc.train.data.files import require
from cldfc.train.data.holdout import check_validation
from cldfc.train.default_recipe import changed_recipe, default_recipe
from cldfc.train.job import this_job
from cldfc.train.recipe import Recipe
from cldfc.train.stop import listen

if TYPE_CHECKING:
    from cldfc.network.cost import Cost
    from cldfc.network.graph import Graph
    from cldfc.train.loop import Progress
    from cldfc.train.processes import Processes
    from cldfc.train.setting import Setting
    from cldfc.train.train import Result


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a training has to do with, but does not depend on."""

    data_dir: Path | None
    """Where the files of data sets are; None for the usual folder."""
    download: bool
    """Whether missing ones are fetched."""
    save_minutes: float
    """How long it goes on within an epoch until its state is saved."""
    say: Callable[[str], None]
    """Hears a line of what is done, or worth knowing."""
    warn: Callable[[str], None]
    """Hears a line of what is not as it should be."""
    show: Callable[[], AbstractContextManager[Progress]]
    """Shows how the training goes."""
    tensorboard: bool = False
    """Whether measurements are written for TensorBoard, too."""
    trust_files: bool = False
    """Whether files are read that are not the published ones."""
    skip_unreadable: bool = False
    """Whether images that cannot be read are left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A training before anything of it is done: the network, the images, the recipe."""

    graph: Graph
    spec_text: str
    dataset: DataSet
    recipe: Recipe
    written: Cost
    """What the network costs as it is written."""


def plan_run(spec: Path, data: str, task: Task, changes: Mapping[str, object]) -> Plan:
    """What `start_run` would train. Raises CldfError, and UsageError when spec, data set and recipe do not fit."""
    source = read_source(spec)
    dataset = find(data, input_of(source, task) if is_folder(data) else None)
    task = task.on(dataset.name, dataset.shape, dataset.classes)
    graph = build(source, task)

    from cldfc.network.cost import cost_of_network

    written = cost_of_network(graph.as_written)
    recipe = changed_recipe(default_recipe(dataset, written.convolutions), changes)
    check_validation(dataset, recipe)
    return Plan(graph, whole_text(source, task), dataset, recipe, written)


def plan_by_files(plan: Plan, around: Surroundings) -> Plan:
    """The plan with a data set that, if asked to, trusts the files that are there, or leaves out unreadable ones.

    Raises UsageError when that cannot be done.
    """
    dataset = plan.dataset
    if around.trust_files:
        from cldfc.train.data.trust import trust_files

        dataset = trust_files(dataset, around.data_dir or DATA_DIR)
    if around.skip_unreadable:
        from cldfc.train.data.folder import skip_unreadable

        dataset = skip_unreadable(dataset, around.warn)
    return replace(plan, dataset=dataset)


def unheard(line: str) -> None:
    """Say nothing: the first process does."""


def input_of(source: Source, task: Task) -> Shape:
    """The shape of the input that a task or else the spec asks for. Raises CldfError."""
    channels, height, width = task.shape or analyse(source, task).expansion.program.shape
    return channels, height, width


def start_run(
    spec: Path,
    data: str,
    task: Task,
    changes: Mapping[str, object],
    output: Path | None,
    command: str,
    around: Surroundings,
) -> Result | None:
    """Train the network of a spec on a data set, with changes to its recipe, into a new folder.

    Gives nothing in a process that is not the first. After a restart by torchrun it goes on with the run that was
    begun before. Raises CldfError, and what `train_network` and `resume_run` raise.
    """
    job = this_job()
    begun = job.begun_run()
    if begun:
        if job.launch.rank == 0:
            around.say(f"the processes were started again: they go on with `{begun}`")
        return resume_run(begun, changes, around)
    plan = plan_run(spec, data, task, changes)

    from cldfc.show.summary import notes
    from cldfc.train.train import train_network

    if "seed" not in changes:
        command = f"{command} --seed {plan.recipe.seed}"
    with entered(plan.dataset, around, command, files_of(spec, plan.graph)) as setting:
        for note in notes(plan.graph) if setting.processes.is_first else ():
            around.say(note)
        if plan.recipe.compile and setting.processes.is_first:
            around.say("torch.compile: the first step takes half a minute or more")
        plan = plan_by_files(plan, around if setting.processes.is_first else replace(around, warn=unheard))
        compiled = compiled_from(plan.graph, plan.spec_text)
        result = train_network(compiled, plan.dataset, plan.recipe, output, setting)
    return result if setting.processes.is_first else None


def resume_run(
    folder: Path, changes: Mapping[str, object], around: Surroundings, from_start: bool = False
) -> Result | None:
    """Train the run in a folder from its newest checkpoint, or from the start, to its end.

    `changes` are what the command line says of it. Gives nothing in a process that is not the first.
    Raises CldfError, and what `read_interrupted` and `resume_network` raise.
    """
    from cldfc.train.resume import read_interrupted, resume_network

    run = read_interrupted(folder, changes)
    graph = build(Source("spec.cldf", run.spec_text), Task(run.record.input_shape, run.record.classes))
    with entered(run.dataset, around, run.record.command) as setting:

        def warn(line: str) -> None:
            if setting.processes.is_first:
                around.warn(f"warning: {line}")

        # What torchrun starts again goes on with what it has begun.
        anew = from_start and not this_job().launch.restarts
        result = resume_network(run, compiled_from(graph, run.spec_text), warn, setting, anew)
    return result if setting.processes.is_first else None


def compiled_from(graph: Graph, text: str) -> Compiled:
    """What a training needs of a network, and its report shows of it."""
    from cldfc.emit.torch_module import emit_module
    from cldfc.show.kernels import parameter_rows
    from cldfc.show.mathml import equations_as_mathml
    from cldfc.show.summary import facts
    from cldfc.show.svg import draw_for_page

    return Compiled(
        text,
        emit_module(graph),
        ascii_name(graph.program.model),
        facts(graph),
        draw_for_page(graph.as_written),
        equations_as_mathml(graph.program.spec),
        [Parameter(r.name, r.shape, r.uses, r.parameters, r.saved, r.colour) for r in parameter_rows(graph)],
        values_of_modules(graph),
        unbounded_head(text),
    )


def values_of_modules(graph: Graph) -> dict[str, list[str]]:
    """For each module of a generated class the values that its calls help to compute."""
    from cldfc.emit.parameter_names import parameter_names

    names = parameter_names(graph)
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for node in graph.nodes():
        if node.parameter is not None:
            found[names[node.parameter]].append(format_key(graph.instances[node.instance].value))
    return found


def unbounded_head(text: str) -> Head | None:
    """The output head of a spec that stands for itself, if no normalisation bounds it."""
    heads = unbounded_heads(analyse(Source("spec.cldf", text)))
    return next((Head(head.value, head.help) for head in heads), None)


def files_of(spec: Path, graph: Graph) -> list[Path]:
    """The file of a spec, then those that it extends; what the command line changes is in none."""
    names = [statement.span.source.name for statement in graph.program.spec.statements]
    return [path for path in dict.fromkeys([spec, *map(Path, names)]) if path.is_file()]


@contextmanager
def entered(
    dataset: DataSet, around: Surroundings, command: str, spec_files: Sequence[Path] = ()
) -> Generator[Setting]:
    """What a training has around it, until it ends. Raises UsageError when the data set is not at hand."""
    from cldfc.train.keep import Saving
    from cldfc.train.processes import together
    from cldfc.train.setting import Setting

    with together() as processes:
        # Ctrl-C ends a download at once.
        data_dir = at_hand(dataset, around, processes)
        with listen(processes.count == 1) as request, shown(around, processes) as progress:
            if dataset.files or dataset.folders or is_folder(dataset.name):
                progress.status(f"reading {dataset.name}")
            saving = Saving(around.save_minutes, request)
            yield Setting(progress, data_dir, saving, processes, command, spec_files, around.tensorboard)


def shown(around: Surroundings, processes: Processes) -> AbstractContextManager[Progress]:
    """Progress that the first process shows."""
    from cldfc.train.progress import Silence

    return around.show() if processes.is_first else nullcontext(Silence())


def at_hand(dataset: DataSet, around: Surroundings, processes: Processes) -> Path:
    """The folder with the files of a data set; raises UsageError when one is missing there."""
    data_dir = around.data_dir or DATA_DIR
    if around.download and processes.is_first:
        fetch_missing(dataset, data_dir, around.say)
    processes.gather(None)
    require(dataset, data_dir)
    return data_dir
