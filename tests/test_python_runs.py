"""Runs from Python: `Spec.train`, `cldfc.load_run`, and the page about training scripts of one's own."""

import re
import shutil
import subprocess
import sys
import types
import warnings
from importlib import import_module
from importlib.util import find_spec
from threading import Thread

import numpy as np
import pytest
import torch
from networks import ROOT, build, only_in_fuzz
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import cldfc
from cldfc.cli import app
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe
from cldfc.runs.evaluate import evaluate_fast, evaluate_run
from cldfc.spec import Row, load, load_run
from cldfc.trained import folded_network, trained_code
from cldfc.training.metrics import Epoch, read_epochs

SPEC = "examples/01_one_iteration.cldf"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return load(ROOT / SPEC).train("digits", epochs=2, lr=0.1, seed=3, output=folder, quiet=True)


@pytest.fixture
def copied(run, tmp_path):
    """The same, to be changed."""
    return load_run(shutil.copytree(run.path, tmp_path / "copied"))


@pytest.fixture(scope="module")
def digits():
    """All digits in the units of scikit-learn: n × 1 × 8 × 8."""
    return import_module("sklearn.datasets").load_digits().images.astype(np.uint8)[:, None]


def test_it_is_the_training_of_the_command_line(run, tmp_path):
    options = ["--data", "digits", "--epochs", "2", "--lr", "0.1", "--seed", "3", "-o", str(tmp_path / "run")]
    assert CliRunner().invoke(app, ["train", SPEC, *options]).exit_code == 0
    for name in ("spec.cldf", "network.py", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (run.path / name).read_bytes()
    assert load_run(tmp_path / "run").recipe == run.recipe


def test_changes_a_recipe_and_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load(ROOT / SPEC).tie("B@i")
    run = spec.train("fake:1x8x8:10", name="tied", recipe={"epochs": 3, "lr": 0.02}, epochs=1, quiet=True)
    assert str(run.path) == "runs/tied" and (run.recipe.epochs, run.recipe.lr) == (1, 0.02)
    assert run.spec.cost == spec.input(1, 8, 8).cost
    with pytest.raises(UsageError, match="exists already"):
        spec.train("fake:1x8x8:10", name="tied", quiet=True)


def test_generators_stay_as_they_are(run, digits):
    state = torch.random.get_rng_state()
    run.network(), run.predict(digits[:2]), run.evaluate()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_trains_in_a_thread(tmp_path):
    """Where no signals are heard."""
    given = {"output": tmp_path / "run", "epochs": 1, "quiet": True}
    thread = Thread(target=load(SPEC).train, args=("fake:1x8x8:10",), kwargs=given)
    thread.start()
    thread.join()
    assert load_run(tmp_path / "run").state == "finished"


@only_in_fuzz
def test_an_interrupted_run_goes_on(run, tmp_path, monkeypatch):
    def stop(*_):
        raise cldfc.Stopped(tmp_path / "run", 2)

    given = {"epochs": 2, "lr": 0.1, "seed": 3, "output": tmp_path / "run", "quiet": True}
    with monkeypatch.context() as patch, pytest.raises(cldfc.Stopped, match=r"cldfc train --resume .*run` goes on"):
        patch.setattr("cldfc.runs.journal.keep_epoch", stop)
        load(SPEC).train("digits", **given)
    begun = load_run(tmp_path / "run")
    assert begun.state == "interrupted" and begun.metrics == ()
    assert begun.resume(quiet=True).state == "finished"
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == (run.path / "best.safetensors").read_bytes()


def test_what_was_measured(run):
    epochs = read_epochs(run.path / "metrics.csv")
    assert list(Row._fields) == list(Epoch.model_fields)
    assert [row._asdict() for row in run.metrics] == [epoch.model_dump() for epoch in epochs]
    assert run.chosen == run.metrics[-1] and isinstance(run.recipe, Recipe) and run.recipe.seed == 3
    assert f"OneIteration on digits, 2 of 2 epochs, test accuracy {epochs[-1].test_accuracy:.2%}" in repr(run)


def test_the_network_and_its_predictions(run, digits, tmp_path):
    """Against the module in the folder, run by hand; in arrays, tensors, files and images."""
    network = build((run.path / "network.py").read_text(encoding="utf-8"))
    network.load_state_dict(load_file(run.path / "best.safetensors"))
    with torch.no_grad():
        scores = network.eval()((torch.tensor(digits[:90]).float() - 4.8861) / 6.0179)
        again = run.network()((torch.tensor(digits[:90]).float() - 4.8861) / 6.0179)
    assert not run.network().training and torch.equal(scores, again)
    found = run.predict(digits[:90])
    assert torch.allclose(found.probabilities, scores.softmax(1), atol=1e-5) and len(found) == 90
    assert torch.equal(found.classes, scores.argmax(1)) and found.names == [str(int(n)) for n in scores.argmax(1)]
    for same in (
        torch.tensor(digits[:90]),
        digits[:90].astype(">i4"),
        digits[89::-1][::-1],
        digits[:90].astype(np.uint16),
    ):
        assert torch.equal(run.predict(same).probabilities, found.probabilities)
    large = np.round(digits[:3, 0] * (255 / 16)).astype(np.uint8)
    for number, pixels in enumerate(large):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for same in (paths, list(map(str, paths)), list(map(Image.open, paths)), (p for p in paths)):
        assert torch.allclose(run.predict(same).probabilities, found.probabilities[:3], atol=1e-6)
    assert run.predict(paths[0]).names == found.names[:1]
    assert run.predict(digits[:0]).classes.shape == (0,) and run.predict([]).names == []
    result = CliRunner().invoke(app, ["predict", str(run.path), *map(str, paths)])
    assert [line.split()[1] for line in result.stdout.splitlines()] == found.names[:3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images / 16, "float64 are not pixels in the units of `digits`"),
        (lambda images: torch.tensor(images).float(), "float32 are not pixels"),
        (lambda images: images > 3, "bool are not pixels"),
        (lambda images: images * 15, "values from 0 to 2.. are not in the units"),
        (lambda images: images.astype(int) - 1, "values from -1 to 15"),
        (lambda images: images[:, 0], "images of 4 × 8 × 8 are not n × 1 × 8 × 8"),
        (lambda images: images[0], "images of 1 × 8 × 8 are not"),
        (lambda images: images.transpose(0, 2, 3, 1), "images of 4 × 8 × 8 × 1 are not"),
        (lambda images: np.array(["a", "b"]), "<U1 are not pixels"),
        (lambda images: 7, "int is not an image"),
        (lambda images: None, "NoneType is not an image"),
        (lambda images: [images[0]], "ndarray is not an image"),
        (lambda images: "no_such.png", "cannot read the image `no_such.png`: No such file"),
        (lambda images: Image.new("F", (8, 8)), "`image 0`: it has more than 8 bits"),
    ],
)
def test_what_are_no_images_of_the_data_set(run, digits, change, message):
    with pytest.raises(UsageError, match=message):
        run.predict(change(digits[:4]))


def test_a_test_says_what_the_command_says(run):
    found = run.evaluate(as_trained=True)
    assert found.agrees and found.accuracy == found.recorded_accuracy == run.chosen.test_accuracy
    assert found.loss == run.chosen.test_loss and run.evaluate(device="cpu").accuracy == pytest.approx(
        found.accuracy, 1e-2
    )
    with pytest.raises(UsageError, match="`tests` is not a valid part"):
        run.evaluate(on="tests")


@pytest.mark.parametrize("name", ["spec.cldf", "recipe.json", "best.safetensors"])
def test_a_run_that_was_changed_is_refused_everywhere(copied, digits, name):
    """Also where it is opened before."""
    path = copied.path / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content) if name == "best.safetensors" else path.read_bytes() + b"\n")
    for use in (
        lambda: load_run(copied.path),
        copied.network,
        copied.evaluate,
        lambda: copied.predict(digits[:1]),
        lambda: evaluate_run(copied.path, trained_code),
        lambda: evaluate_fast(copied.path, folded_network),
        lambda: folded_network(copied.files, copied.record),
    ):
        with pytest.raises(UsageError, match=f"{name}` is not what the training wrote"):
            use()


def test_what_decides_nothing_is_a_warning(copied):
    (copied.path / "network.py").write_text("changed")
    with pytest.warns(UserWarning, match=r"network.py` is not what the training wrote"):
        load_run(copied.path)
    assert any("network.py" in remark for remark in copied.evaluate().remarks)
    (copied.path / "SHA256SUMS").unlink()
    with pytest.warns(UserWarning, match="has no `SHA256SUMS`"):
        load_run(copied.path)


def test_a_run_is_loaded_without_torch(run):
    code = (
        f"import sys, cldfc; r = cldfc.load_run({str(run.path)!r})\n"
        "r.metrics, r.recipe, r.spec.cost, r.state, repr(r)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "ImageNette"}, "folder:PATH"),
        ({"epochs": 0}, "`epochs` cannot be 0"),
        ({"compile": "fast"}, "`compile` cannot be 'fast': it must be 'auto', 'on' or 'off'"),
        ({"recipe": {"epoch": 1}}, "did you mean `epochs`"),
        ({"recipe": "no_such.toml"}, "cannot read `no_such.toml`"),
        ({"name": "a", "output": "b"}, "both say where the run goes"),
        ({"name": ".."}, "cannot be the name of a run"),
        ({"device": "tpu"}, "this machine has `cpu`"),
        ({"workers": -1}, "-1 workers are not possible"),
        ({"save_minutes": -1}, "cannot be saved every -1 minutes"),
    ],
)
def test_what_cannot_be_trained(given, message, tmp_path, monkeypatch):
    spec = load(SPEC)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        spec.train(**{"data": "digits", "quiet": True, **given})
    assert not list(tmp_path.iterdir())


def test_several_processes_are_told_to_use_the_command_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun -m cldfc train"):
        load(SPEC).train("digits", quiet=True)


# The page about training scripts

PAGE = (ROOT / "docs" / "training_script.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]*)$(?:(?!^##).)*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
LIBRARIES = {"A plain loop": "torch", "Lightning": "lightning", "timm": "timm", "Hugging Face Trainer": "transformers"}


def test_every_block_of_the_page_is_run():
    assert set(BLOCKS) == set(LIBRARIES) and PAGE.count("```python") == len(BLOCKS)


@pytest.mark.parametrize("heading", LIBRARIES)
def test_a_block_of_the_page(heading, tmp_path, monkeypatch):
    library = LIBRARIES[heading]
    if not find_spec(library):
        pytest.skip(f"{library} is not installed: it is no dependency of cldfc")
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("training_script")
    monkeypatch.setitem(sys.modules, "training_script", module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(BLOCKS[heading], "training_script.md", "exec"), module.__dict__)
    if heading == "A plain loop":
        assert module.accuracy > 0.6 and (tmp_path / "digits.pt").is_file()
    if heading == "timm":
        assert module.model(torch.zeros(2, 3, 32, 32)).shape == (2, 100)
        assert module.timm.is_model("preact18_al")
