"""`cldfc train --dry-run`: what would be trained, as a recipe file; nothing is written."""

import json
import re

import pytest
from networks import ROOT, build_spec
from typer.testing import CliRunner

from cldfc.cli import app

SPEC = str(ROOT / "specs" / "preact34.cldf")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return CliRunner().invoke(app, ["train", *arguments])


def plan(*arguments):
    result = run(*arguments, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_the_text(tmp_path):
    (tmp_path / "my.toml").write_text("# mine\nepochs = 9\nlr = 0.2\n")
    result = run(SPEC, "--data", "cifar10", "--recipe", "my.toml", "--lr", "0.05", "--dry-run")
    assert result.exit_code == 0 and not result.stderr
    assert all(len(line) <= 80 for line in result.output.splitlines())
    text = re.sub(r"\n#\s+", " ", result.output.replace("\n# nothing", ""))
    assert "PreActResNet34: 21,280,458 parameters, 1,159,402,496 multiply-adds, 36 convolutions" in text
    assert "`data` lacks `cifar-10-python.tar.gz`: `--download` fetches it from https://www.cs" in text
    # 50,000 images in batches of 128, nine times.
    assert "390 in an epoch, 3,510 in all" in text
    for line in (
        "epochs = 9             # my.toml, line 2",
        "batch = 128            # section 5.1 of the paper",
        "lr = 0.05              # command line",
        "weight_decay = 0.001   # section 5.1, ResNet34 types: 36 convolutions",
        "clip = inf             # default of cifar10",
        "seed = 0               # default of cldfc",
    ):
        assert f"\n{line}\n" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["my.toml"]


def test_what_it_prints_is_a_recipe_that_it_reads(tmp_path):
    options = [SPEC, "--data", "cifar10", "--epochs", "3", "--seed", "5", "--weight-decay", "0.25", "--sync-bn"]
    first = plan(*options)
    text = run(*options, "--dry-run").output
    (tmp_path / "again.toml").write_text(text)
    again = plan(SPEC, "--data", "digits", "--recipe", "again.toml")
    assert again["recipe"] == first["recipe"]
    assert first["recipe"]["weight_decay"] == 0.25 and first["recipe"]["sync_bn"] is True
    lines = {line.split(" =")[0]: number for number, line in enumerate(text.splitlines(), 1)}
    assert again["origins"] == {name: f"again.toml, line {lines[name]}" for name in first["recipe"]}


def test_the_data():
    found = plan(SPEC, "--data", "digits", "--batch", "32")
    network = build_spec("preact34", input="1x8x8")
    assert found["kind"] == "dry_run" and found["model"] == "PreActResNet34"
    assert found["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert (found["steps_per_epoch"], found["steps"]) == (44, 12 * 44)
    assert found["missing"] == [] and found["folder"] == "runs/PreActResNet34-digits-1"
    assert set(found["recipe"]) == set(found["origins"])


def test_the_files_are_looked_for_where_they_are_said_to_be(tmp_path):
    for part in ("train", "val"):
        (tmp_path / "images" / part).mkdir(parents=True)
    spec = str(ROOT / "specs" / "imagenet" / "resnet18.cldf")
    assert plan(spec, "--data", "imagenet")["missing"] == ["train", "val"]
    assert plan(spec, "--data", "imagenet", "--data-dir", "images")["missing"] == []


def test_the_folder_is_the_next_one(tmp_path):
    (tmp_path / "runs" / "PreActResNet34-fake-3x32x32-10-1").mkdir(parents=True)
    found = plan(SPEC, "--data", "fake:3x32x32:10")
    assert found["folder"] == "runs/PreActResNet34-fake-3x32x32-10-2"
    assert not (tmp_path / found["folder"]).exists()
    assert "exists already" in run(SPEC, "--data", "digits", "-o", "runs", "--dry-run").output


@pytest.mark.parametrize(
    ("words", "value"),
    [([], "auto"), (["--compile"], "on"), *((["--compile", word], word) for word in ("auto", "on", "off"))],
)
def test_compile_is_a_word_or_stands_alone(tmp_path, words, value):
    found = plan(SPEC, "--data", "digits", *words)
    assert found["recipe"]["compile"] == plan(SPEC, *words, "--data", "digits")["recipe"]["compile"] == value
    assert found["origins"]["compile"] == ("command line" if words else "default of cldfc")
    (tmp_path / "old.toml").write_text("compile = true\n")
    assert plan(SPEC, "--data", "digits", "--recipe", "old.toml")["recipe"]["compile"] == "on"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--compile", SPEC, "--data", "digits"],
            f"`--compile` is followed by `{SPEC}`, not by auto, on or off\n  = help: write `--compile on`",
        ),
        (["--resume", "run", "--dry-run"], "--dry-run cannot be used with `--resume`"),
        ([SPEC, "--dry-run"], "`--data` is missing"),
        ([SPEC, "--data", "digits", "--recipe", "nowhere.toml"], "cannot read `nowhere.toml`"),
        ([SPEC, "--data", "digits", "--epochs", "0", "--dry-run"], "`epochs` cannot be 0"),
        (
            ["vgg11", "--data", "digits"],
            "`VGG11` does not fit the images of `digits`, 1 × 8 × 8: a window of 2 does not fit into a map of size "
            "1, in `x@5,0`\n  = help: it is written for 3 × 32 × 32: ",
        ),
    ],
)
def test_what_is_refused(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2 and message in result.stderr and not result.stdout


def test_a_run_is_made_by_its_file_and_resumed_with_it(tmp_path):
    (tmp_path / "my.toml").write_text('epochs = 1\nclip = inf\nschedule = "step"\nwarmup = 0\n')
    small = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8", "--data", "digits", "-o", "run"]
    made = run(str(ROOT / "specs" / "fbresnet.cldf"), *small, "--recipe", "my.toml")
    assert made.exit_code == 0, made.output
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]
    assert (recipe["epochs"], recipe["clip"], recipe["warmup"], recipe["lr"]) == (1, None, 0, 0.05)
    assert run("--resume", "run", "--recipe", "my.toml").exit_code == 0
    (tmp_path / "my.toml").write_text("lr = 0.1\n")
    other = run("--resume", "run", "--recipe", "my.toml")
    assert other.exit_code == 2 and "was started with lr 0.05, not 0.1" in other.stderr
