"""The tables of the paper: rows, counts, runs that are kept, shared among processes and set beside the print."""

import json
import math
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace

import pytest
from networks import ROOT
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.diagnostics import UsageError
from cldfc.reproduce import networks
from cldfc.reproduce.networks import network_of, specs_folder
from cldfc.reproduce.results import Accuracy, as_cells, as_text, collect
from cldfc.reproduce.runs import Wanted, accuracy_of, is_finished, list_runs, share_of
from cldfc.reproduce.tables import TABLES, Row, Table
from cldfc.reproduce.training import in_time, train_runs
from cldfc.train.catalogue import find
from cldfc.train.keep import keep_epoch
from cldfc.train.launch import Launch, read_launch

FAKE = "fake:1x8x8:3"
NARROW = ("c = 2, 3, 4, 5",)
SMALL = Table(
    "small",
    "two narrow networks",
    (FAKE,),
    tuple(Row(f"{n}", n, (50.0,), "1M", NARROW) for n in ("preact18", "preact18_Al")),
)


@pytest.fixture
def wanted(tmp_path):
    return Wanted((SMALL,), 2, {}, False, tmp_path / "reproduction")


def train(wanted):
    said = []
    train_runs(list_runs(wanted), Launch(), wanted.output, "cldfc reproduce small", said.append)
    return said


def reproduce(*arguments):
    return CliRunner().invoke(app, ["reproduce", *arguments])


# The tables


def test_table_1_is_the_paper_s():
    """What the paper says of it: the doubly linear scheme is last, the one that Theorem 1 speaks of first."""
    rows = sorted(TABLES["table1"].rows, key=lambda row: row.accuracies)
    assert rows[0].name == "𝒜 = A@ℓ *, ℬ = B@ℓ,i *" and rows[0].accuracies == (70.96,)
    assert rows[-1].name == "𝒜 = A@ℓ *, ℬ = σ ∘ B@ℓ,i * σ" and rows[-1].accuracies == (93.49,)
    assert len({row.lets for row in rows}) == len({row.folder for row in rows}) == 16


def test_schemes_have_the_norms_that_are_written():
    channels = (64, 128, 256, 512)
    # A norm has two numbers for each channel; ℬ is used in two steps on each level.
    in_b = 2 * 2 * sum(channels)
    # 𝒜 in the same steps, once more where a level is left and where one is entered.
    in_a = 2 * (2 * sum(channels) + sum(channels[:-1]) + sum(channels[1:]))
    kernels = 12_503_882
    for row in TABLES["table1"].rows:
        a, b = (let.partition("=")[2].count("σ") for let in row.lets)
        assert network_of(row, "cifar10", False).count() == kernels + a * in_a + b * in_b


@pytest.mark.parametrize("name", ["table2", "table3", "table4"])
def test_counts_agree_with_the_print_but_for_the_text_s_sharing_of_b(name, tmp_path):
    results = collect(Wanted((TABLES[name],), 1, {}, False, tmp_path), TABLES[name])
    assert [result.agrees for result in results] == [result.row.reading != "text" for result in results]


def test_weight_decay_is_the_paper_s(tmp_path):
    for run in list_runs(Wanted((TABLES["table3"],), 1, {}, False, tmp_path)):
        assert run.recipe.weight_decay == (1e-3 if "ResNet34" in run.row.name else 1e-4)
        assert run.recipe.epochs == 120


def test_folders_of_runs_are_distinct(tmp_path):
    for is_miniature in (False, True):
        runs = list_runs(Wanted(tuple(TABLES.values()), 3, {}, is_miniature, tmp_path))
        assert len({run.folder for run in runs}) == len(runs)


# Runs


def test_runs_are_trained_once_and_their_accuracies_collected(wanted):
    said = train(wanted)
    assert len(said) == 4 and "(4 of 4, about 0 s left)" in said[-1]
    assert train(wanted) == []
    (one, other) = collect(wanted, SMALL)
    for result, spec in ((one, "preact18"), (other, "preact18_Al")):
        folders = [wanted.output / "small" / f"{spec}-{FAKE}-{seed}" for seed in range(2)]
        last = [float((f / "metrics.csv").read_text().splitlines()[-1].split(",")[4]) * 100 for f in folders]
        assert result.accuracies[FAKE].values == pytest.approx(last)
        shown = as_text(as_cells(SMALL, [result], False))
        assert f"{statistics.mean(last):.2f} ± {statistics.stdev(last):.2f}  50.00" in shown
    record = json.loads((folders[1] / "recipe.json").read_text())
    assert record["recipe"]["seed"] == 1 and record["recipe"]["schedule"] == "step"
    assert "cldfc reproduce small" in (folders[1] / "report.html").read_text()


def test_an_interrupted_run_goes_on_from_its_checkpoint(wanted, tmp_path, monkeypatch):
    """The bits of the run that was not interrupted, from its middle on."""
    wanted = replace(wanted, seeds=1, changes={"epochs": 3})
    train(wanted)
    whole, other = list_runs(wanted)[0], replace(wanted, output=tmp_path / "other")
    kept, epochs = keep_epoch, []

    def keep(task, run, position):
        kept(task, run, position)
        epochs.append(position.epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("cldfc.train.keep.keep_epoch", keep)
    with pytest.raises(KeyboardInterrupt):
        train(other)
    assert len(train(other)) == 2
    assert epochs[:3] == [2, 3, 3]
    for name in ("best.safetensors", "recipe.json"):
        assert (list_runs(other)[0].folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_what_is_left_of_another_run_is_not_gone_on_with(wanted):
    train(replace(wanted, seeds=1))
    first = list_runs(wanted)[0]
    before = (first.folder / "best.safetensors").read_bytes()
    for change in ("spec.cldf", "recipe.json"):
        first.folder.rename(first.aside)
        (first.aside / change).write_text("")
        assert len(train(replace(wanted, seeds=1))) == 1
        assert not first.aside.exists() and is_finished(first)
        assert (first.folder / "best.safetensors").read_bytes() == before


def test_a_run_with_another_recipe_or_network_is_not_mixed_in(wanted):
    train(replace(wanted, seeds=1))
    with pytest.raises(UsageError, match="was trained with another recipe"):
        collect(replace(wanted, changes={"clip": 2.0}), SMALL)
    changed = replace(SMALL, rows=tuple(replace(row, lets=("c = 2, 3, 4, 6",)) for row in SMALL.rows))
    with pytest.raises(UsageError, match="was trained with another network"):
        collect(wanted, changed)


def test_divergence_is_a_result(wanted, monkeypatch):
    monkeypatch.setattr(
        "cldfc.reproduce.runs.change_recipe", lambda recipe, changes: recipe.model_copy(update={**changes, "lr": 1e30})
    )
    assert all("diverged" in line for line in train(wanted))
    assert train(wanted) == []
    assert all(accuracy_of(run) is None for run in list_runs(wanted))
    assert str(collect(wanted, SMALL)[0].accuracies[FAKE]) == "2 diverged"


def test_accuracies_in_words():
    values = (97.5, 98.25, 99.0)
    mean = sum(values) / 3
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert str(Accuracy(values)) == f"{mean:.2f} ± {spread:.2f}"
    assert str(Accuracy(values[:1], 2)) == "97.50 2 diverged"
    assert str(Accuracy(())) == "–"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (9000, "2.5 h")]
)
def test_time_in_words(seconds, words):
    assert in_time(seconds) == words


# Several processes


def test_every_run_has_one_process():
    runs = list(range(17))
    shares = [share_of(Launch(rank, 5), runs) for rank in range(5)]
    assert sorted([run for share in shares for run in share]) == runs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_environment_of_torchrun():
    assert read_launch({}) == Launch()
    assert read_launch({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Launch(5, 8, 1)
    for wrong in ({"RANK": "2"}, {"RANK": "x", "WORLD_SIZE": "3"}, {"WORLD_SIZE": "-1"}, {"WORLD_SIZE": "0"}):
        with pytest.raises(UsageError, match=r"the environment says (RANK|WORLD_SIZE)="):
            read_launch(wrong)


def test_the_last_process_prints_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "MINIATURE_WIDTHS", "c = 2, 2, 2, 2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    arguments = ("table2", "--miniature", "--epochs", "1", "-o", str(tmp_path))
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        result = reproduce(*arguments)
        assert result.exit_code == 0
        assert len(list((tmp_path / "table2").iterdir())) == 2 * (int(rank) + 1)
        assert ("process 0 is done; 2 runs are left to others" in result.stderr) == (rank == "0")
        assert ("pre-act ResNet18-A^ℓ-B^ℓ,i" in result.stdout) == (rank == "1")
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("RANK", "0")
    (table,) = json.loads(reproduce(*arguments, "--json").stdout)
    assert [len(row["accuracies"]["digits"]["values"]) for row in table["rows"]] == [1, 1, 1, 1]


# The command


def test_without_data_rows_are_built_and_torch_is_not_loaded(tmp_path):
    code = "import sys; from cldfc.cli import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    command = [sys.executable, "-c", code, "reproduce", "all"]
    result = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    for name in ("cifar10 (table1, table3)", "mnist (table2)", "cifar100 (table3)", "imagenet (table4)"):
        assert f"not trained on {name} without `" in result.stderr
    assert "torch" not in result.stdout.splitlines()[-1].split()
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_folder_is_named(tmp_path):
    first, second = (tmp_path / file.place for file in find("mnist").files[:2])
    first.parent.mkdir(parents=True)
    first.touch()
    result = reproduce("table2", "--data-dir", str(tmp_path))
    assert result.exit_code == 0
    assert f"not trained on mnist (table2) without `{second.relative_to(tmp_path)}`: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel1"], "did you mean `table1`?"),
        (["table5"], "did you mean"),
        (["everything"], "write one of table1, table2, table3, table4, all"),
        (["table1", "--json", "--markdown"], "contradict each other"),
        (["table1", "--epochs", "0"], "`epochs` cannot be 0"),
        (["table1", "--clip", "-1"], "`clip` cannot be -1"),
    ],
)
def test_a_wrong_command_line(arguments, message):
    result = reproduce(*arguments)
    assert result.exit_code == 2 and message in result.stderr and not result.stdout


def test_several_processes_do_not_download(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = reproduce("table2", "--download")
    assert result.exit_code == 2 and "without torchrun" in result.stderr


def test_specs_beside_the_package_or_in_it(tmp_path, monkeypatch):
    assert specs_folder() == ROOT / "specs"
    shutil.copytree(ROOT / "specs", tmp_path / "cldfc" / "specs")
    monkeypatch.setattr(networks, "__file__", str(tmp_path / "cldfc" / "reproduce" / "networks.py"))
    assert specs_folder() == tmp_path / "cldfc" / "specs"


# The document

DOCUMENT = ROOT / "docs" / "reproduction.md"


def test_the_counts_of_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ cldfc reproduce (table[234] --markdown)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        table = reproduce(*command.split()).stdout.split("\n\n")[1]
        assert table.strip() in text
