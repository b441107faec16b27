"""`cldfc compile --inference` and `--form`: the files that are written, what is printed, what is refused."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from networks import ROOT, build, randomise, relative_difference
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from cldfc.cli import app
from cldfc.compilation import Compilation, read_changes
from cldfc.syntax.read import read_source
from cldfc.trained import folded_code
from cldfc.weights.network import save_weights

SPEC = ROOT / "specs" / "resnet18_Bl.cldf"
NARROW = ["--let", "c = 4", "--input", "3x8x8"]
CHANGES = read_changes(["c = 4"], (), "3x8x8")


def compile_spec(*options: str | Path) -> Result:
    return CliRunner().invoke(app, ["compile", str(SPEC), *NARROW, *map(str, options)])


@pytest.fixture
def weights(tmp_path) -> Path:
    """Weights of the trained network, in a folder of their own."""
    network = build(Compilation(read_source(SPEC), CHANGES).code()).double()
    randomise(network)
    (tmp_path / "run").mkdir()
    save_weights(network, tmp_path / "run" / "best.safetensors")
    return tmp_path / "run" / "best.safetensors"


@torch.no_grad()
def test_module_and_weights_are_written(weights, tmp_path):
    result = compile_spec("--inference", "--weights", weights, "-o", tmp_path / "net.py")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"run", "net.py", "net.safetensors"}
    assert result.stdout.splitlines()[-2:] == [
        "18 of 20 normalisations folded into kernels",
        "B@1 keeps its bn: the kernel is shared by 2 uses with a bn each",
    ]
    assert "activations" not in result.stdout
    folded = build((tmp_path / "net.py").read_text(encoding="utf-8")).double().eval()
    folded.load_state_dict(load_file(tmp_path / "net.safetensors"))
    trained = build(Compilation(read_source(SPEC), CHANGES).code()).double().eval()
    trained.load_state_dict(load_file(weights))
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    assert relative_difference(folded(images), trained(images)) < 1e-12


def test_writing_again_overwrites_its_own_alone(weights, tmp_path):
    options = "--inference", "--weights", weights, "-o", tmp_path / "net.py"
    assert [compile_spec(*options).exit_code for _ in range(2)] == [0, 0]
    mine = tmp_path / "net.safetensors"
    save_file({"mine": torch.zeros(3)}, mine)
    before = mine.read_bytes()
    (tmp_path / "net.py").unlink()
    result = compile_spec(*options)
    assert (result.exit_code, mine.read_bytes()) == (2, before)
    assert f"`{mine}` exists, and was not written by cldfc" in result.stderr
    assert not (tmp_path / "net.py").exists()


def test_trained_weights_are_not_overwritten(weights):
    before = weights.read_bytes()
    result = compile_spec("--inference", "--weights", weights, "-o", weights.with_suffix(".py"))
    assert (result.exit_code, weights.read_bytes()) == (2, before)


@pytest.mark.parametrize("content", [b"", b"weights", None])
def test_a_wrong_file_of_weights(content, weights, tmp_path):
    if content is None:
        save_file({"A.weight": torch.zeros(3)}, weights)
    else:
        weights.write_bytes(content)
    result = compile_spec("--inference", "--weights", weights, "-o", tmp_path / "net.py")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and "help: " in result.stderr
    assert not result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_of_weights_that_is_not_there(tmp_path):
    result = compile_spec("--inference", "--weights", tmp_path / "no.safetensors", "-o", tmp_path / "net.py")
    assert result.exit_code == 2
    assert "cannot read" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "best.safetensors"], "`--weights` are folded, which only `--inference` does"),
        (["--inference", "--weights", "best.safetensors", "-o", "-"], "folded weights cannot go to standard output"),
        (["--inference", "--weights", "x", "-o", "net.safetensors"], "name the module: `-o net.py`"),
        (["--form", "simplifed"], "did you mean `simplified`?"),
        (["--form", "x"], "the forms are `written`, `simplified`, `residual`, `auto`"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    result = compile_spec(*options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout


def test_the_page(tmp_path, monkeypatch):
    """docs/inference.md: the command prints what stands there, and the Python below it loads the weights."""
    page = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8")
    command, printed = re.findall(r"^\$ cldfc (.*)\n((?:[^`].*\n)*)", page, re.MULTILINE)[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    save_weights(build(Compilation(read_source(ROOT / "specs" / "mgnet.cldf")).code()), tmp_path / "best.safetensors")
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.stderr + result.stdout == printed
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    exec(code, {})
    del sys.modules["net"]


@pytest.mark.parametrize("form", ["written", "simplified"])
def test_forms(form):
    source = read_source(ROOT / "specs" / "fbresnet.cldf")
    expected = Compilation(source).code(form)
    arguments = ["compile", source.name, "--form", form, "-o", "-"]
    assert CliRunner().invoke(app, arguments).stdout == expected
    assert CliRunner().invoke(app, [*arguments, "--inference"]).stdout == folded_code(Compilation(source).folded(form))
    assert (expected == Compilation(source).code()) == (form == "simplified")


@torch.no_grad()
def test_weights_of_another_form_are_imported(tmp_path):
    """The residual form calls its normalisations after residuals: bn_r for bn_f."""
    source, changes = read_source(ROOT / "specs" / "fbresnet.cldf"), read_changes(["c = 4"])
    trained = build(Compilation(source, changes).code()).double()
    randomise(trained)
    save_weights(trained, tmp_path / "best.safetensors")
    options = ["--form", "residual", "--inference", "--weights", str(tmp_path / "best.safetensors")]
    arguments = ["compile", source.name, "--let", "c = 4", *options, "-o", str(tmp_path / "net.py")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    folded = build((tmp_path / "net.py").read_text(encoding="utf-8")).double().eval()
    folded.load_state_dict(load_file(tmp_path / "net.safetensors"))
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    assert relative_difference(folded(images), trained.eval()(images)) < 1e-12
