"""torch.compile is tried before a long training: by a clock that goes on when a network is computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import IMAGES, RECIPE, SMALL, kill, reached, resume, train
from test_damage import rewrite
from torch import Tensor, nn

from cldfc import device
from cldfc.data.catalogue import find
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.output import ignore
from cldfc.recipe import Recipe, change_recipe, other_fields
from cldfc.runs.journal import TrainingSetting
from cldfc.runs.run_folder import RunFolder, read_record, seal_run
from cldfc.runs.training_run import Result, prepare, train_network
from cldfc.training import trial
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.processes import Processes
from cldfc.training.step import LAUNCHED
from cldfc.training.task import Task
from cldfc.training.trial import choose_compile
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import build_network

ENDLESS = SMALL.replace(
    "x = self.norm(", "while float(x.abs().max()) > 1:\n            x = x / 2\n        x = self.norm("
)


class Clock:
    """Goes on when a network is computed, as it is or compiled; compiling takes 38 seconds."""

    def __init__(self) -> None:
        self.now, self.plain, self.compiled, self.settings = 0.0, 1.0, 1.0, list[dict[str, object]]()
        self.broken: Exception | None = None

    def pass_plain(self, *_: object) -> None:
        self.now += self.plain

    def compile(self, network: nn.Module, **settings: object) -> nn.Module:
        """Stands for torch.compile."""
        self.settings.append(settings)
        return Through(network, self)


class Through(nn.Module):
    """What the stand-in makes, whose results differ in their last bits."""

    def __init__(self, network: nn.Module, clock: Clock) -> None:
        super().__init__()
        self.network, self.clock, self.costs = network, clock, iter([38.0])

    def forward(self, pixels: Tensor) -> Tensor:
        if self.clock.broken is not None:
            raise self.clock.broken
        before = self.clock.now
        scores = self.network(pixels) * (1 + 2**-20)
        self.clock.now = before + next(self.costs, self.clock.compiled)
        return scores


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A machine where compiling is tried, on the CPU, in float32."""
    made = Clock()
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(torch, "compile", made.compile)
    monkeypatch.setattr(trial, "perf_counter", lambda: made.now)
    monkeypatch.setattr(trial, "TRIED_ON", "cpu")
    monkeypatch.setattr(trial, "ROUNDS", 2)
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, *_: made.pass_plain() if type(module).__name__ == "Small" else None
    )
    yield made
    hook.remove()


def task_of(**changes: object) -> Task:
    torch.manual_seed(0)
    recipe = change_recipe(RECIPE, {"epochs": 40, "batch": 16, "images": 32, **changes})
    return prepare(build_network(SMALL, "Small"), find(IMAGES), recipe, Path())


STEPS = 80
"""Of `task_of`."""


@pytest.mark.parametrize(
    ("plain", "compiled", "said"),
    [
        (13.1, 10.0, "1.31 times as fast, used"),
        (10.6, 10.0, "1.06 times as fast, used"),
        (10.3, 10.0, "only 1.03 times as fast, not used; it took {} s to find out"),
        (10.0, 10.0, "no faster, not used; it took {} s to find out"),
        (10.0, 30.0, "no faster, not used; it took {} s to find out"),
    ],
)
def test_the_faster_way_is_chosen_and_leaves_no_trace(clock: Clock, plain: float, compiled: float, said: str) -> None:
    clock.plain, clock.compiled = plain, compiled
    task, heard, begun = task_of(), list[str](), list[str]()
    task.network.eval()
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    places = {name: tensor.data_ptr() for name, tensor in task.network.state_dict().items()}
    drawn = torch.get_rng_state()
    chosen = choose_compile(task, None, heard.append, begun.append)
    # Compiling, then the steps until the capture and after it, one by which a round is planned, and two rounds of one.
    taken = 38 + (LAUNCHED + trial.WARM + 1 + 2) * compiled
    assert heard == [f"torch.compile: {said.format(f'{taken:.0f}')}"]
    assert begun == ["trying torch.compile, which takes half a minute"]
    assert chosen.is_compiled == said.endswith(", used") and (chosen.trained is task.network) != chosen.is_compiled
    assert chosen.network is task.network and not task.network.training
    assert torch.equal(drawn, torch.get_rng_state())
    for name, tensor in task.network.state_dict().items():
        assert torch.equal(before[name], tensor) and tensor.data_ptr() == places[name], name
    assert all(parameter.grad is None for parameter in task.network.parameters())
    assert clock.settings == [{"dynamic": False, "fullgraph": True}]


@pytest.mark.parametrize(("seconds", "is_tried"), [(trial.LONG - 1, False), (trial.LONG + 1, True)])
def test_a_short_training_is_not_compiled(clock: Clock, seconds: float, is_tried: bool) -> None:
    clock.plain = seconds / STEPS
    clock.compiled = clock.plain / 2
    task, heard = task_of(), list[str]()
    assert task.loader.steps * task.recipe.epochs == STEPS
    assert choose_compile(task, None, heard.append, ignore).is_compiled == is_tried == bool(heard)


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [({}, None), ({"compile": "off"}, True), ({"precise": True}, True), ({}, False), ({"compile": "off"}, None)],
    ids=str,
)
def test_where_nothing_is_tried(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], recorded: bool | None
) -> None:
    """With `auto` not on a CPU, and not where several processes share the gradient."""
    task, before = task_of(**changes), clock.now
    if not changes and recorded is None:
        assert choose_compile(replace(task, processes=Processes(0, 2)), True, ignore, ignore).trained is task.network
        monkeypatch.setattr(trial, "TRIED_ON", "cuda")
    assert choose_compile(task, recorded, pytest.fail, pytest.fail) is task
    assert clock.now == before and not clock.settings


def test_it_is_tried_on_cuda_alone() -> None:
    assert trial.TRIED_ON == "cuda" != Device("cpu", False).kind


BROKEN: list[tuple[Exception, str]] = [
    (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), "needs more memory than there is: 2.00 GiB"),
    (OSError("gcc is gone\nand more"), "cannot compile the network: gcc is gone"),
    (KeyError(), "cannot compile the network: KeyError"),
]


@pytest.mark.parametrize(("error", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_what_cannot_be_compiled_is_taken_as_it_is(clock: Clock, error: Exception, said: str) -> None:
    clock.plain, clock.broken = 10.0, error
    for recorded in (None, True):
        heard, task = list[str](), task_of()
        assert choose_compile(task, recorded, heard.append, ignore) is task
        (line,) = heard
        assert line.startswith(f"torch.compile: not used; {said}") and "\n" not in line


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What torch has traced, and computes as it is, without a C++ compiler; a training of any length is tried."""
    found: list[object] = []

    def note(graph: Any, _: object) -> Any:
        found.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=note))
    monkeypatch.setattr(trial, "TRIED_ON", "cpu")
    monkeypatch.setattr(trial, "LONG", 0.0)
    monkeypatch.setattr(trial, "MOST_STEPS", 1)
    return found


def learn(folder: Path, compile: str, source: str, heard: list[str]) -> Result:
    recipe = change_recipe(RECIPE, {"epochs": 1, "compile": compile})
    setting = TrainingSetting(say=heard.append)
    return train_network(Compiled("", source, "Small"), find(IMAGES), recipe, folder, setting)


def test_a_loop_that_depends_on_the_data(graphs: list[object], tmp_path: Path) -> None:
    """As an iteration has it that goes on until its value stands still."""
    heard: list[str] = []
    reason = "cannot compile the network: how long it iterates depends on the data"
    with pytest.raises(UsageError, match=rf"torch\.compile {reason}") as caught:
        learn(tmp_path / "on", "on", ENDLESS, heard)
    assert "leave `--compile` out" in caught.value.help and not list(tmp_path.iterdir())
    made = learn(tmp_path / "auto", "auto", ENDLESS, heard)
    assert not made.record.torch_compile
    assert not graphs and heard[0].startswith(f"torch.compile: not used; {reason}")


def test_what_is_tried_is_what_is_trained(
    graphs: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compiled once, and the bits are those of steps as they are: nothing else differs."""
    monkeypatch.setattr(trial, "GAIN", 0.0)
    made = {name: learn(tmp_path / name, name, SMALL, []) for name in ("auto", "on", "off")}
    assert 1 <= len(graphs) <= 2, "at most once for each network"
    assert {name: run.record.torch_compile for name, run in made.items()} == {"auto": True, "on": True, "off": False}
    assert reached(tmp_path / "auto")[2] == reached(tmp_path / "on")[2] == reached(tmp_path / "off")[2]


def test_a_resumed_run_takes_the_same_way(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = change_recipe(RECIPE, {"epochs": 2})
    clock.plain, clock.compiled = 20.0, 10.0
    train(tmp_path / "whole", recipe)
    folder = kill(tmp_path / "run", 2, 3, recipe=recipe)
    assert read_record(RunFolder(folder)).torch_compile and read_record(RunFolder(folder)).recipe.compile == "auto"
    # Another measurement would choose otherwise.
    clock.plain, clock.compiled = 20.0, 40.0
    warned: list[str] = []
    resume(folder, warned.append)
    assert reached(folder) == reached(tmp_path / "whole") and not warned
    train(tmp_path / "plain", recipe)
    assert not read_record(RunFolder(tmp_path / "plain")).torch_compile
    assert reached(tmp_path / "plain")[0] != reached(folder)[0], "the way is seen in the bits"
    clock.plain, clock.compiled = 40.0, 20.0
    resume(kill(tmp_path / "other", 2, 3, recipe=change_recipe(recipe, {"compile": "off"})))
    assert reached(tmp_path / "other")[0] == reached(tmp_path / "plain")[0]


def test_a_run_goes_on_where_it_can_no_longer_be_compiled(clock: Clock, tmp_path: Path) -> None:
    clock.plain, clock.compiled = 20.0, 10.0
    folder, warned = kill(tmp_path / "run", 2, 3, recipe=change_recipe(RECIPE, {"epochs": 2})), list[str]()
    clock.broken = OSError("gcc is gone")
    resume(folder, warned.append)
    assert warned == [
        "the step was compiled and is not compiled now: the weights may differ in their last bits",
    ]
    assert read_record(RunFolder(folder)).torch_compile


@pytest.mark.parametrize("was_on", [True, False])
def test_a_run_of_an_earlier_release(clock: Clock, tmp_path: Path, was_on: bool) -> None:
    """Its recipe says true or false, and its checkpoints, too; with `on` it was compiled in pieces."""
    recipe, word = change_recipe(RECIPE, {"epochs": 2, "compile": was_on}), "on" if was_on else "off"
    train(tmp_path / "whole", recipe)
    folder = kill(tmp_path / "run", 2, 3, recipe=recipe)
    for path in list_checkpoints(folder / "checkpoints"):
        state = json.loads((path / "state.json").read_text())
        state["recipe"]["compile"] = was_on
        rewrite(path, "state.json", json.dumps(state).encode())
    record = json.loads((folder / "recipe.json").read_text())
    record["recipe"]["compile"] = was_on
    del record["torch_compile"]
    (folder / "recipe.json").write_text(json.dumps(record))
    seal_run(folder)
    clock.settings.clear()
    warned: list[str] = []
    resume(folder, warned.append)
    assert not warned and clock.settings == [{"dynamic": False, "fullgraph": False}] * was_on
    assert reached(folder) == reached(tmp_path / "whole")
    assert read_record(RunFolder(folder)).recipe.compile == word


def test_several_processes_compile_in_pieces(clock: Clock) -> None:
    """Which of them fails, the others would wait for."""
    task = replace(task_of(compile="on"), processes=Processes(0, 2))
    before = clock.now
    assert choose_compile(task, None, pytest.fail, pytest.fail).is_compiled
    assert clock.now == before and clock.settings == [{"dynamic": False, "fullgraph": False}]


@pytest.mark.parametrize(("was", "now"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_a_switch_is_a_word(was: object, now: str) -> None:
    recipe = Recipe.model_validate_json(RECIPE.model_copy(update={"compile": was}).model_dump_json(warnings=False))
    assert recipe.compile == now and other_fields({"compile": was}, recipe) == []
    assert other_fields({"compile": was}, change_recipe(recipe, {"compile": "off" if now == "on" else "on"}))
