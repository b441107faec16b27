"""The training on a CUDA device: `pytest -m cuda`, one of the parts of `make cuda`.

With CLDFC_CUDA_REHEARSAL=1 the CPU stands for the device, so that a mistake of a test shows before there is one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import ROOT
from PIL import Image
from safetensors.torch import load_file
from small_run import IMAGES, RECIPE, SMALL, STEPS, kill, reached, resume, train

from cldfc.compilation import Compilation, read_changes
from cldfc.data.batches import epoch_batches, frame
from cldfc.data.catalogue import CATALOGUE, find
from cldfc.data.data_set import DataSet
from cldfc.data.images import Images, Split
from cldfc.data.loader import Stream, open_loader
from cldfc.device import Device, choose_device
from cldfc.diagnostics import Source, UsageError
from cldfc.recipe import change_recipe
from cldfc.runs.environment import read_environment
from cldfc.runs.evaluate import evaluate_fast, evaluate_run
from cldfc.runs.prediction import predict_files
from cldfc.runs.resume import read_interrupted, resume_network
from cldfc.runs.run_folder import RunFolder, read_record
from cldfc.runs.training_run import prepare, train_network
from cldfc.syntax.read import read_source
from cldfc.trained import Format, export_run, folded_network, trained_code
from cldfc.training import trial
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.descent import Descent
from cldfc.training.loop import train_epoch
from cldfc.training.metrics import BEGINNING, Silence
from cldfc.training.state import generators, restore_generators
from cldfc.training.step import LAUNCHED, WAITS, Captured, make_optimizer
from cldfc.training.task import Diverged, Task
from cldfc.training.trial import choose_compile, compile_task
from cldfc.weights.compiled import Compiled
from cldfc.weights.network import build_network

REHEARSAL = os.environ.get("CLDFC_CUDA_REHEARSAL") == "1"
HAS_CUDA = torch.cuda.is_available()
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not (HAS_CUDA or REHEARSAL), reason="torch finds no CUDA device"),
]
cuda_alone = pytest.mark.skipif(not HAS_CUDA, reason="only a CUDA device can show it")

SPEC = """
model Net
input f : 1 × 8 × 8
output h : 10
kernel K : 3×3 → 16
kernel A : 3×3 → 16
a = relu ∘ bn ∘ K * f
b = a + relu ∘ bn ∘ A * a
h = linear ∘ flatten(b)
"""
PRECISE = change_recipe(RECIPE, {"precise": True})
WITHOUT_DROPOUT = SMALL.replace("nn.Dropout(0.1)", "nn.Identity()")
SPOILED = SMALL.replace("self.second(x)", "(self.second(x) / (self.norm.num_batches_tracked < 5))")
BARS = find(IMAGES).model_copy(update={"name": "bars", "reader": __name__, "images": (1_024, 256)})
FEW = 0.02
"""Share of images whose class may change with the last bits."""


def load(dataset: DataSet, folder: Path) -> Split:
    """Noise with a bright row: the class is its number, or with a bright column; the reader of `bars`."""
    draw = torch.Generator().manual_seed(0)
    return Split(*(bars(count, draw) for count in dataset.images))


def bars(count: int, draw: torch.Generator) -> Images:
    labels = torch.randint(0, 10, (count,), generator=draw)
    pixels = torch.randint(0, 128, (count, 1, 8, 8), generator=draw)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        (image[0, label] if label < 5 else image[0, :, label - 5])[:] = 255
    return Images(pixels.to(torch.uint8), labels)


def learn(folder: Path, **changes: object) -> Path:
    """A run of the spec on images that can be learnt."""
    recipe = change_recipe(RECIPE, {"flip": False, "shift_rows": 0, "lr": 0.05, **changes})
    source = Compilation(Source("net.cldf", SPEC), read_changes()).code()
    return train_network(Compiled(SPEC, source, "Net"), BARS, recipe, folder).folder


@pytest.fixture(autouse=True)
def has_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, "bars", BARS)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    return learn(tmp_path_factory.mktemp("runs") / "bars")


@pytest.fixture
def cpu_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A switch: with `hide` there is no CUDA device."""
    with monkeypatch.context() as context:
        yield context


def hide(context: pytest.MonkeyPatch) -> None:
    context.setattr(torch.cuda, "is_available", lambda: False)


# The loop


@cuda_alone
def test_the_device_is_chosen() -> None:
    device = choose_device()
    assert device.kind == "cuda" and choose_device(precise=True) == Device("cuda", False, True)
    assert device.bf16 == (torch.cuda.get_device_capability() >= (8, 0))


def test_the_loop_learns(learnt: Path) -> None:
    (session,) = read_environment(learnt / "environment.json").sessions
    assert evaluate_run(learnt, trained_code).score.accuracy > 0.9
    assert session.device == str(choose_device()) and (learnt / "report.html").is_file()
    if HAS_CUDA:
        assert session.processor == torch.cuda.get_device_name()


def test_it_learns_in_float32(tmp_path: Path) -> None:
    assert evaluate_run(learn(tmp_path / "run", precise=True), trained_code).score.accuracy > 0.9


@cuda_alone
def test_a_step_does_not_wait_for_the_device() -> None:
    """Neither kernel by kernel nor as a graph: a wait leaves the device idle while the next step is put together."""
    dataset, recipe = find("fake:3x16x16:10"), change_recipe(RECIPE, {"clip": 1.0, "label_smoothing": 0.1})
    source = SMALL.replace("nn.Conv2d(1, 4", "nn.Conv2d(3, 4").replace("128, 10", "512, 10")
    task = prepare(build_network(source, "Small"), dataset, recipe, Path())
    taken = Descent(task, make_optimizer(task.network, recipe))
    taken.begin(1, 0)
    taken.launch(0, False)
    for _ in range(LAUNCHED + 1):
        assert waits_of(lambda: taken.launch(0, False)) == []


def waits_of(work: Callable[[], object]) -> list[str]:
    """Where something waits for the device."""
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [f"{wait.filename}:{wait.lineno}" for wait in waits if WAITS in str(wait.message)]


@cuda_alone
def test_a_late_divergence_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a graph, too: the loss of the fifth step is not finite, and some steps have begun since."""
    task = prepare(build_network(SPOILED, "Small"), find(IMAGES), PRECISE, Path())
    taken, states = Descent(task, make_optimizer(task.network, PRECISE)), list[dict[str, torch.Tensor]]()

    def note() -> tuple[int, bool]:
        states.append({name: tensor.clone() for name, tensor in task.network.state_dict().items()})
        return 0, False

    monkeypatch.setattr("cldfc.training.loop.find_origin", lambda *_: note() and "")
    steps = train_epoch(taken, BEGINNING, Silence(), note)
    with pytest.raises(Diverged, match="the loss is nan in step 5 of epoch 1"):
        for _ in steps:
            pass
    for name, tensor in states[4].items():
        assert torch.equal(states[-1][name], tensor), name


def test_the_first_number_that_is_not_finite_is_named(tmp_path: Path) -> None:
    with pytest.raises(Diverged) as caught:
        train(tmp_path / "run", change_recipe(RECIPE, {"lr": 1e30, "clip": None}))
    assert any(f"`{layer}" in caught.value.message for layer in ("first", "norm", "second", "last"))
    assert (tmp_path / "run" / "diverged.txt").is_file()


@cuda_alone
def test_what_cannot_be_precise_is_refused_in_words(tmp_path: Path) -> None:
    pooled = SMALL.replace("self.norm(self.first(x)).relu()", "nn.functional.adaptive_max_pool2d(self.first(x), 8)")
    with pytest.raises(UsageError, match="no deterministic algorithm for `adaptive_max_pool2d"):
        train(tmp_path / "run", PRECISE, source=pooled)
    train(tmp_path / "fast", change_recipe(RECIPE, {"epochs": 1}), source=pooled)


@pytest.fixture
def remarks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said of steps that cannot be captured."""
    said: list[str] = []
    monkeypatch.setattr(Silence, "remark", lambda _, what: said.append(what))
    return said


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each step that was to be captured could be."""
    capture, found = Captured.capture, list[bool]()

    def heard(captured: Captured, function: Callable[[], None]) -> object:
        graph = capture(captured, function)
        found.append(graph is not None)
        return graph

    monkeypatch.setattr(Captured, "capture", heard)
    return found


@cuda_alone
@pytest.mark.parametrize("changes", [{}, {"clip": None, "optimizer": "adamw"}])
def test_a_captured_step_is_the_step_itself(
    tmp_path: Path, captures: list[bool], monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    """To the bit, statistics, draws of dropout, rates and measurements included."""
    recipe = change_recipe(PRECISE, {"warmup": 0.3, **changes})
    train(tmp_path / "captured", recipe)
    assert captures == [True]
    monkeypatch.setattr("cldfc.training.step.LAUNCHED", 10**9)
    train(tmp_path / "launched", recipe)
    assert captures == [True]
    assert reached(tmp_path / "captured") == reached(tmp_path / "launched")


@cuda_alone
@pytest.mark.parametrize("name", ["resnet18", "preact18_Al", "fbresnet"])
def test_networks_of_specs_are_captured(
    tmp_path: Path, captures: list[bool], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And give the same bits as kernel by kernel, at their full width."""
    dataset = find("fake:3x32x32:10")
    changes = read_changes().on(dataset.name, dataset.shape, dataset.classes)
    compilation = Compilation(read_source(ROOT / "specs" / f"{name}.cldf"), changes)
    compiled = Compiled("", compilation.code(), compilation.class_name)
    recipe = change_recipe(PRECISE, {"epochs": 1, "batch": 64, "images": 640, "lr": 0.01, "flip": True})
    for folder, launched in (("captured", 3), ("launched", 10**9)):
        monkeypatch.setattr("cldfc.training.step.LAUNCHED", launched)
        train_network(compiled, dataset, recipe, tmp_path / folder)
    assert captures == [True]
    assert reached(tmp_path / "captured") == reached(tmp_path / "launched")


@cuda_alone
def test_a_step_that_cannot_be_captured_is_taken_as_it_is(
    tmp_path: Path, captures: list[bool], remarks: list[str]
) -> None:
    """Here the network waits for the device."""
    waiting = SMALL.replace(
        "x = self.norm(self.first(x)).relu()",
        "x = self.norm(self.first(x)).relu()\n        x = x / (1 + float(x.detach().mean()))",
    )
    train(tmp_path / "run", PRECISE, source=waiting)
    assert captures == [] and len(remarks) == 1 and "it waits for the device at" in remarks[0]
    same = waiting.replace("float(x.detach().mean())", "x.detach().mean()")
    train(tmp_path / "same", PRECISE, source=same)
    assert captures == [True] and len(remarks) == 1
    one, other = (load_file(newest(tmp_path / name) / "tensors.safetensors") for name in ("run", "same"))
    for name, tensor in other.items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-3, atol=1e-3)


# Images


def test_augmentation_is_that_of_the_cpu() -> None:
    dataset = find("fake:3x9x7:10")
    recipe = change_recipe(RECIPE, {"shift_rows": 2, "shift_columns": 3, "batch": 100})
    here, cpu = (open_loader(dataset, recipe, device, Path()) for device in (choose_device(), Device("cpu", False)))
    for epoch in (1, 2):
        pairs = list(zip(here.train_batches(epoch), cpu.train_batches(epoch), strict=True))
        assert len(pairs) == here.steps == cpu.steps
        for one, other in pairs:
            assert one.pixels.device.type == choose_device().kind and one.pixels.dtype == torch.uint8
            assert torch.equal(one.pixels.cpu(), other.pixels) and torch.equal(one.labels.cpu(), other.labels)
            assert one.pixels.stride() == other.pixels.stride()


def test_a_share_of_the_images_is_that_of_the_cpu() -> None:
    """What is cut does not depend on where it is cut, nor where the draws are made."""
    images = Images(torch.arange(60 * 20, dtype=torch.uint8).view(60, 1, 4, 5), torch.arange(60))
    there = images.to(choose_device().torch)
    for one, other in zip(*(epoch_batches(frame(i, RECIPE), RECIPE, 3) for i in (images, there)), strict=True):
        assert torch.equal(one.pixels, other.pixels.cpu()) and torch.equal(one.labels, other.labels.cpu())


def test_images_from_files_reach_the_device(tmp_path: Path) -> None:
    """Processes that read them are forked from one that uses CUDA."""
    chance = np.random.default_rng(7)
    for part, count in {"train": 12, "test": 4}.items():
        for name in ("rose", "aster"):
            (tmp_path / "flowers" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(0, 256, (12, 10, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "flowers" / part / name / f"{number}.png")
    dataset = find(f"folder:{tmp_path / 'flowers'}", (3, 8, 8))
    recipe = change_recipe(RECIPE, {"batch": 8, "epochs": 2})
    torch.zeros(1, device=choose_device().torch)
    assert isinstance(open_loader(dataset, recipe, choose_device(), Path()), Stream)
    source = SMALL.replace("nn.Conv2d(1, 4", "nn.Conv2d(3, 4").replace("128, 10", "128, 2")
    result = train_network(Compiled("", source, "Small"), dataset, recipe, tmp_path / "run")
    assert result.final.epoch == 2


# Interruptions


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (2, 5), (3, STEPS)])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_precise_run_is_resumed_bit_for_bit(tmp_path: Path, epoch: int, step: int, optimizer: str) -> None:
    """With dropout, which draws from the generator of the device."""
    recipe = change_recipe(PRECISE, {"optimizer": optimizer})
    train(tmp_path / "whole", recipe)
    kill(tmp_path / "run", epoch, step, recipe=recipe)
    torch.manual_seed(99)  # pyright: ignore[reportUnknownMemberType]
    resume(tmp_path / "run")
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


def test_a_precise_run_can_be_repeated(tmp_path: Path) -> None:
    one, other = (learn(tmp_path / name, precise=True) for name in ("one", "other"))
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()


def more_epochs(folder: Path, epochs: int) -> list[str]:
    """Resume a run without dropout, whose draws differ from device to device; gives the warnings."""
    said: list[str] = []
    resume_network(read_interrupted(folder, {"epochs": epochs}), Compiled("", WITHOUT_DROPOUT, "Small"), said.append)
    return said


def test_a_run_goes_to_the_cpu_and_back(tmp_path: Path) -> None:
    folder, kind = tmp_path / "run", choose_device().kind
    two, four = (change_recipe(PRECISE, {"epochs": epochs, "schedule": "step", "warmup": 0}) for epochs in (2, 4))
    train(tmp_path / "whole", four, source=WITHOUT_DROPOUT)
    train(folder, two, source=WITHOUT_DROPOUT)
    with pytest.MonkeyPatch.context() as context:
        hide(context)
        moved = more_epochs(folder, 3)
    assert any("the device was cuda" in line for line in moved) == (kind == "cuda")
    assert not any("the device" in line for line in more_epochs(folder, 4)), "it is where it began"
    sessions = read_environment(folder / "environment.json").sessions
    assert [session.device.split(",")[0] for session in sessions] == [kind, "cpu", kind]
    one, other = (load_file(newest(run) / "tensors.safetensors") for run in (folder, tmp_path / "whole"))
    assert newest(folder).name == newest(tmp_path / "whole").name and one.keys() == other.keys()
    for name, tensor in other.items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-3, atol=1e-3)


def newest(folder: Path) -> Path:
    """The last checkpoint of a run."""
    return list_checkpoints(folder / "checkpoints")[-1]


def test_generators_go_on() -> None:
    device = choose_device().torch
    states = generators()
    first = torch.rand(5, device=device)
    restore_generators(states)
    assert torch.equal(first, torch.rand(5, device=device)) and device.type in states


# Trained networks


def test_eval_as_trained_gives_the_recorded_accuracy(learnt: Path, tmp_path: Path) -> None:
    assert evaluate_run(learnt, trained_code).agrees
    assert evaluate_run(learn(tmp_path / "run", precise=True, epochs=2), trained_code).agrees


def test_eval_at_full_speed(learnt: Path) -> None:
    found = evaluate_fast(learnt, folded_network)
    assert found.device.startswith(choose_device().kind) and abs(found.gained) <= FEW * found.score.images


def test_a_run_is_evaluated_on_the_cpu(learnt: Path, cpu_alone: pytest.MonkeyPatch) -> None:
    hide(cpu_alone)
    found = evaluate_run(learnt, trained_code)
    assert found.device.startswith("cpu") and abs(found.gained) <= FEW * found.score.images


def test_predict_says_what_the_cpu_says(learnt: Path, tmp_path: Path, cpu_alone: pytest.MonkeyPatch) -> None:
    images = load(BARS, Path()).test
    paths = [tmp_path / f"{number:03}.png" for number in range(70)]
    for path, pixels in zip(paths, images.pixels, strict=False):
        Image.fromarray(pixels[0].numpy()).save(path)
    run, record = RunFolder(learnt), read_record(RunFolder(learnt))
    here, unreadable = predict_files(folded_network(run, record), BARS, paths, 10)
    hide(cpu_alone)
    there, _ = predict_files(folded_network(run, record), BARS, paths, 10)
    assert not unreadable and [each.path for each in here] == paths
    for one, other in zip(here, there, strict=True):
        shares = [{guess.number: guess.probability for guess in each.guesses} for each in (one, other)]
        assert shares[0] == pytest.approx(shares[1], abs=1e-5)
    right = [each.guesses[0].number == int(label) for each, label in zip(here, images.labels, strict=False)]
    assert sum(right) > 0.9 * len(paths)


@pytest.mark.parametrize("format", ["torch_export", "safetensors"])
def test_a_run_is_exported(learnt: Path, tmp_path: Path, format: Format) -> None:
    """What is written is compared with the network on the way; others load it without CUDA."""
    made = export_run(learnt, format, False, tmp_path / "net", lambda path: None, lambda line: None)
    assert made.difference.largest <= 1e-4 * made.difference.largest_score
    pixels = load(BARS, Path()).test.pixels
    run, record = RunFolder(learnt), read_record(RunFolder(learnt))
    network = build_network(trained_code(run.spec.read_text(encoding="utf-8"), record), "Net").eval()
    if format == "safetensors":
        assert all(tensor.device.type == "cpu" for tensor in load_file(made.path).values())
        network.load_state_dict(load_file(made.path))
    else:
        network.load_state_dict(load_file(run.weights))
    with torch.no_grad():
        wanted = network((pixels - BARS.mean[0]) / BARS.std[0])
        if format == "torch_export":
            torch.testing.assert_close(torch.export.load(made.path).module()(pixels), wanted)
    right = (wanted.argmax(1) == load(BARS, Path()).test.labels).float().mean()
    assert right > 0.9


def test_weights_lie_in_files_without_a_device(learnt: Path) -> None:
    held = load_file(learnt / "best.safetensors")
    task = prepare(build_network((learnt / "network.py").read_text(), "Net"), BARS, RECIPE, Path())
    assert {t.device.type for t in task.network.state_dict().values()} == {choose_device().kind}
    assert {t.device.type for t in held.values()} == {"cpu"}


# Through torch.compile, which takes a while, and on a CPU longer


@cuda_alone
def test_a_training_is_compiled(tmp_path: Path) -> None:
    try:
        run = learn(tmp_path / "run", compile=True)
    except UsageError as error:
        pytest.skip(f"torch.compile has no compiler here: {error.message}")
    assert evaluate_run(run, trained_code).score.accuracy > 0.9


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a rehearsal torch traces a network, and computes it as it is: compiling for the CPU takes too long."""
    if not HAS_CUDA:
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


def steps_of(task: Task, count: int) -> dict[str, torch.Tensor]:
    """What a network has come to after some steps, captured if that can be."""
    taken = Descent(task, make_optimizer(task.network, task.recipe))
    with task.device.switches():
        taken.begin(1, 0)
        for _ in range(count):
            taken.launch(0, False)
        losses = [taken.read().loss for _ in range(count)]
    return {"loss": torch.tensor(losses), **task.network.state_dict()}


@pytest.mark.usefixtures("compiles")
def test_a_compiled_step_in_a_graph_is_the_step_itself(captures: list[bool]) -> None:
    """Up to rounding: in float32, with a norm, and by a graph from the fourth step on."""
    tasks: list[Task] = []
    for _ in range(2):
        torch.manual_seed(0)
        tasks.append(prepare(build_network(WITHOUT_DROPOUT, "Small"), find(IMAGES), PRECISE, Path()))
    plain, through = steps_of(tasks[0], STEPS), steps_of(compile_task(tasks[1]), STEPS)
    assert captures == [True, True] * HAS_CUDA
    for name, tensor in plain.items():
        torch.testing.assert_close(through[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.usefixtures("compiles")
def test_what_compiling_gains_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a training, which it leaves no trace in; and a resumed one takes the same way."""
    monkeypatch.setattr(trial, "LONG", 0.0)
    monkeypatch.setattr(trial, "TRIED_ON", choose_device().kind)
    task, heard = prepare(build_network(SMALL, "Small"), find(IMAGES), RECIPE, Path()), list[str]()
    before, states = {name: t.clone() for name, t in task.network.state_dict().items()}, generators()
    choose_compile(task, None, heard.append, lambda what: None)
    assert re.fullmatch(r"torch\.compile: (.* times as fast, used|.* not used; it took .* s to find out)", *heard)
    assert states == generators()
    for name, tensor in task.network.state_dict().items():
        assert torch.equal(before[name], tensor), name
    monkeypatch.setattr(trial, "GAIN", 0.0)
    made = learn(tmp_path / "run")
    assert read_record(RunFolder(made)).torch_compile
    assert evaluate_run(made, trained_code).score.accuracy > 0.9


@cuda_alone
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="it needs two CUDA devices")
def test_two_devices_with_norms_of_torch_train_as_one(tmp_path: Path) -> None:
    """`--sync-bn` under torchrun, in float32, with norms of all kinds."""
    (tmp_path / "net.cldf").write_text(SPEC.replace("relu ∘ bn ∘ A", "relu ∘ bn@1 ∘ A"), encoding="utf-8")
    words = ["cldfc", "train", "net.cldf", "--data", IMAGES, "--epochs", "1", "--lr", "0.01", "--precise", "--quiet"]
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "-m"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, before in (("one", []), ("two", torchrun)):
        command = [sys.executable, "-m", *before, *words, "--sync-bn", "-o", name]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(newest(tmp_path / name) / "tensors.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name in (name for name in one if name.startswith("network.")):
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-3, msg=name)


@cuda_alone
def test_an_evaluation_is_compiled(learnt: Path) -> None:
    try:
        found = evaluate_fast(learnt, folded_network, is_compiled=True)
    except UsageError as error:
        pytest.skip(f"torch.compile has no compiler here: {error.message}")
    assert abs(found.gained) <= FEW * found.score.images
