"""Odd values for every option and argument: refused in words that name the place, never by a traceback."""

import itertools
import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from command_line_page import is_option
from PIL import Image
from pydantic import ValidationError
from typer.main import get_command
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.cli.help import load_command
from cldfc.data.data_set import DataSet
from cldfc.data.entries import DIGITS
from cldfc.diagnostics import UsageError, first_error
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.environment import command_line
from cldfc.training.state import restore_tensors, training_tensors
from cldfc.training.step import learning_rate, make_optimizer
from cldfc.weights.torch_errors import refusals, within_memory

SPEC = """\
model Small
input  f : 1 × 8 × 8
output h : 10
kernel A : 3×3 → 4
h = linear ∘ avgpool ∘ relu ∘ bn ∘ A * f
"""
NUMBERS = ["0", "-1", "nan", "inf", "1e400", "5e-324", "", "many", "9" * 30, "1.5", "\x1b[31m1"]
TEXTS = ["", "-", ".", "missing", "binary", "fifo", "a\nb", "n" * 300, "[red]", "\x1b[31m", "\u202ex", "caf\udce9"]
NEEDED = {
    "check": ["spec.cldf"],
    "fmt": ["spec.cldf", "--check"],
    "compile": ["spec.cldf", "-o", "-"],
    "derive": ["spec.cldf", "--residual"],
    "show": ["spec.cldf"],
    "compare": ["spec.cldf"],
    "verify": ["spec.cldf"],
    "train": ["spec.cldf", "--data", "digits", "--dry-run"],
    "eval": ["no_run"],
    "export": ["no_run", "--onnx"],
    "predict": ["no_run", "image.png"],
    "reproduce": ["table1", "--rows", "no_row"],
}
SELDOM = {"verify", "show", "train"}
"""Commands that take long where a value is fine: a few values do."""
ENDLESS = {"lsp"}
COMMAND = get_command(app)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("spec.cldf").write_text(SPEC, encoding="utf-8")
    Path("binary").write_bytes(bytes(range(256)))
    os.mkfifo("fifo")
    return tmp_path


class Waits(BaseException):
    """A command waits for something. A TimeoutError would be an OSError, which is taken for an unreadable file."""


def run(*arguments):
    def late(*_):
        raise Waits(arguments)

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    try:
        return CliRunner().invoke(app, list(arguments))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def assert_told(result, arguments):
    """No traceback, and where there is an error, its exit code, its reason and what to do."""
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exc_info)
    assert result.exit_code in (0, 1, 2), arguments
    if result.exit_code:
        assert "error" in result.stderr and "= help: " in result.stderr, arguments
    shown = result.stdout + result.stderr
    assert all(c.isprintable() or c == "\n" for c in shown), (arguments, shown)


def values_of(command):
    """Each option and argument of a command that takes a value, with odd ones."""
    for parameter in load_command(command).params:
        if getattr(parameter, "is_flag", False):
            continue
        kind = parameter.type_descriptor.annotation
        is_number = kind in (int, float)
        for value in NUMBERS if is_number else TEXTS:
            yield parameter, value


@pytest.mark.parametrize("command", sorted({*COMMAND.list_commands(None)} - ENDLESS))
def test_odd_values(command, folder):
    needed = NEEDED.get(command, [])
    for at, (parameter, value) in enumerate(values_of(command)):
        if value == "fifo" and "--output" in parameter.opts:
            # It waits for a reader, as is right.
            continue
        if command in SELDOM and at % 3:
            continue
        arguments = [command, *needed]
        if is_option(parameter):
            arguments += [f"{max(parameter.opts, key=len)}={value}"]
        elif needed:
            arguments = (
                [command, "--", value, *needed[1:]]
                if "--" not in " ".join(needed)
                else [command, *needed[1:], "--", value]
            )
        else:
            arguments = [command, "--", value]
        assert_told(run(*arguments), arguments)
    left = {path.name for path in folder.iterdir()}
    assert {"spec.cldf", "binary", "fifo"} <= left
    assert Path("binary").read_bytes() == bytes(range(256))
    assert Path("spec.cldf").read_text(encoding="utf-8") == SPEC


# What no option holds


def failed(*arguments):
    """What is said of a training that cannot be done, which leaves nothing behind."""
    result = run("train", *arguments, "-o", "run")
    assert_told(result, arguments)
    assert result.exit_code == 2 and not Path("run").exists()
    return result.stderr


def test_a_network_without_parameters(folder):
    Path("none.cldf").write_text("model None_\ninput f : 10 × 8 × 8\noutput h : 10\nh = avgpool(f)\n", encoding="utf-8")
    assert "`None_` has no parameters" in failed("none.cldf", "--data", "fake:10x8x8:10")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr = 5e-324", "`lr` cannot be 5e-324: it must be at least 1e-37"),
        ("lr = nan", "`lr` cannot be nan: it must be finite"),
        ("classes = -1", "a recipe has no field `classes`"),
        ("epochs = 1.5", "`epochs` cannot be 1.5: it must be a whole number"),
        ('schedule = "steps"', "`schedule` cannot be 'steps': it must be 'cosine' or 'step'"),
        ('drop_by = 1e308\ndrop_every = 1\nepochs = 3\nschedule = "step"', "after 2 drops by 1e+308"),
    ],
)
def test_a_recipe(line, words, folder):
    Path("recipe.toml").write_text(line, encoding="utf-8")
    said = failed("spec.cldf", "--data", "digits", "--recipe", "recipe.toml")
    assert words in said and "pydantic" not in said


def test_drops_that_leave_something():
    recipe = Recipe(epochs=120, batch=2, lr=0.1, schedule="step", drop_by=10, drop_every=1)
    assert 0 < learning_rate(recipe, 119, 120) < 1e-100


def test_names_that_are_not_utf8(folder):
    bad = os.fsdecode(b"caf\xe9")
    for images in ("images", bad):
        for part, label in itertools.product(("train", "test"), ("a", bad if images == "images" else "b")):
            Path(images, part, label).mkdir(parents=True)
            Image.new("L", (8, 8)).save(Path(images, part, label, "1.png"))
    assert r"the class folder `caf\xe9` is not UTF-8" in failed("spec.cldf", "--data", "folder:images")
    assert r"the folder `caf\xe9` is not UTF-8" in failed("spec.cldf", "--data", f"folder:{bad}")
    Path("spec.cldf").rename(f"{bad}.cldf")
    assert command_line([f"{bad}.cldf"], {}) == r"cldfc 'caf\xe9.cldf'"
    trained = run("train", f"{bad}.cldf", "--data", "digits", "--epochs", "1", "-o", f"run {bad}")
    assert trained.exit_code == 0 and r"run caf\xe9/best.safetensors" in trained.stdout
    for words in (["check", f"{bad}.cldf"], ["compile", f"{bad}.cldf", "-o", f"{bad}.py"], ["eval", f"run {bad}"]):
        assert_told(run(*words), words)
    assert Path(f"{bad}.py").exists()


def test_a_record_with_odd_figures(trained_folder):
    for change, words in (
        ({"mean": [1.0, 2.0]}, "`mean` holds 2 numbers, not 1"),
        ({"std": [0.0]}, "`std` holds a number that is not above 0"),
        ({"std": []}, "`std` holds 0 numbers"),
        ({"classes": -1}, "`classes`: it must be at least 1"),
        ({"class_names": ["a"]}, "1 names of classes"),
        ({"input_shape": [1, 0, 8]}, "1 × 0 × 8 have no pixels"),
    ):
        path = trained_folder / "recipe.json"
        before = path.read_text(encoding="utf-8")
        path.write_text(json.dumps(json.loads(before) | change), encoding="utf-8")
        (trained_folder / "SHA256SUMS").unlink(missing_ok=True)
        for words_of in (["eval"], ["predict", "x.png"], ["export", "--onnx"]):
            result = run(words_of[0], str(trained_folder), *words_of[1:])
            assert result.exit_code == 2 and words in result.stderr, result.stderr
        path.write_text(before, encoding="utf-8")


@pytest.fixture
def trained_folder(folder):
    assert run("train", "spec.cldf", "--data", "digits", "--epochs", "1", "-o", "small").exit_code == 0
    return folder / "small"


def test_a_checkpoint_of_another_optimizer():
    """One that does not say of which, as of an earlier release."""
    network, recipe = torch.nn.Linear(2, 2), Recipe(epochs=1, batch=2, lr=0.1)
    others = {"sgd": "adamw", "adamw": "sgd"}
    for name, other in others.items():
        optimizer = make_optimizer(network, change_recipe(recipe, {"optimizer": name}))
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        tensors = training_tensors(network, optimizer)
        restore_tensors(network, optimizer, tensors, Path("here"))
        another = make_optimizer(network, change_recipe(recipe, {"optimizer": other}))
        with pytest.raises(UsageError, match=r"`here` holds .* the state of another optimizer than") as caught:
            restore_tensors(network, another, tensors, Path("here"))
        assert "`optimizer` in `recipe.json`" in caught.value.help


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (
            MemoryError("Unable to allocate 29.8 GiB for an array with shape (8, 8)"),
            ": 29.8 GiB were asked for at once",
        ),
        (RuntimeError("can't allocate memory: you tried to allocate 32000000000 bytes."), ": 32.0 GB were asked for"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 29.80 GiB. GPU 0 has 79 GiB"),
            ": 29.80 GiB were",
        ),
        (RuntimeError("Storage size calculation overflowed with sizes=[9223372036854775807]"), ""),
        (MemoryError(), ""),
    ],
)
def test_lack_of_memory(error, amount):
    what = "a step with a batch of 9 images"
    with pytest.raises(UsageError) as caught, refusals(what):
        raise error
    assert f"{what} does not fit into memory{amount}" in caught.value.message
    with pytest.raises(RuntimeError, match="mat1"), refusals():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_memory_that_no_machine_has(folder):
    with (
        pytest.raises(UsageError, match=r"the table does not fit into memory: .* GB were asked"),
        within_memory("the table"),
    ):
        torch.empty(2**50)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": -1}, "it must be at least 1"),
        ({"mean": (1.0, 2.0)}, "`mean` holds 2 numbers"),
        ({"std": (math.nan,)}, "`std` holds a number that is not finite"),
        ({"class_names": ("a",)}, "1 names of classes"),
    ],
)
def test_a_plugin_with_odd_figures(change, words):
    with pytest.raises(ValidationError) as caught:
        DataSet.model_validate(DIGITS.model_dump() | change)
    assert words in first_error(caught.value)[2]
