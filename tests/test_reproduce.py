"""The tables of the paper: rows, counts, runs that are kept, shared among processes and set beside the print."""

import json
import math
import os
import pickle
import re
import shutil
import signal
import statistics
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from multiprocessing import Event, get_context

import pytest
from networks import ROOT, only_in_fuzz
from program import Program, wait_for
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data.catalogue import find
from cldfc.diagnostics import UsageError
from cldfc.reproduce import results as comparisons
from cldfc.reproduce import tables as recipes
from cldfc.reproduce.results import (
    Accuracy,
    PairedDifference,
    as_cells,
    as_text,
    collect,
    compare_rows,
    comparison_cells,
)
from cldfc.reproduce.sweep import Wanted, accuracy_of, in_time, list_runs, share_of, train_runs
from cldfc.reproduce.tables import TABLES, Question, Table, TableRow, network_of, select_rows
from cldfc.runs.journal import keep_epoch
from cldfc.runs.lock import locked
from cldfc.runs.run_folder import RunFolder
from cldfc.training.launch import Launch, read_launch

FAKE = "fake:1x8x8:3"
NARROW = ("c = 2, 3, 4, 5",)
SMALL = Table(
    "small",
    "two narrow networks",
    (FAKE,),
    tuple(TableRow(f"{n}", n, (50.0,), "1M", NARROW) for n in ("preact18", "preact18_Al")),
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
    # Kernels, and the norm before the average.
    others = 12_503_882 + 2 * 512
    for row in TABLES["table1"].rows:
        a, b = (let.partition("=")[2].count("σ") for let in row.lets)
        assert network_of(row, "cifar10", False).cost.parameters == others + a * in_a + b * in_b


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


def test_rows_are_chosen_by_pattern():
    tables = (TABLES["table1"], TABLES["table3"])
    (table,) = select_rows(tables, ["resnet18*", "preact18*"])
    assert table.name == "table3" and len(table.rows) == 12
    assert all("ResNet18" in row.name for row in table.rows)
    both = select_rows(tables, ["resnet18", "fbresnet-A-*B"])
    assert [row.folder for table in both for row in table.rows] == ["fbresnet-A-B", "fbresnet-A-sB", "resnet18"]
    (imagenet,) = select_rows((TABLES["table4"],), ["imagenet/*_Al"])
    assert [row.spec for row in imagenet.rows] == ["imagenet/resnet18_Al", "imagenet/preact18_Al"]
    assert select_rows(tables, []) == tables


# Another data set, and miniatures of it


def recipe_of(table, spec, data, is_miniature, **changes):
    table = select_rows((TABLES[table],), [spec])[0]
    (run,) = list_runs(Wanted((table,), 1, changes, is_miniature, ROOT, data))
    return run.recipe


def test_another_data_set_is_trained_by_the_paper_s_recipe():
    recipe = recipe_of("table3", "preact34_Al", "fashion_mnist", False)
    assert (recipe.epochs, recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (60, 128, 0.1, 0.9, 1e-3)
    assert (recipe.schedule, recipe.drop_every, recipe.drop_by, recipe.warmup) == ("step", 30, 10, 0)
    assert recipe.clip is None and recipe.images is None
    assert recipe_of("table1", "fbresnet-A-B", "fashion_mnist", False).weight_decay == 1e-4


@pytest.mark.parametrize("data", ["fashion_mnist", "cifar10"])
def test_the_miniature_keeps_the_recipe_but_for_its_length(data):
    full, small = (recipe_of("table3", "resnet34", data, is_miniature) for is_miniature in (False, True))
    assert small.drop_every / small.epochs == full.drop_every / full.epochs and small.epochs < full.epochs
    assert 0 < small.images < find(data).images[0]
    kept = {"epochs": full.epochs, "drop_every": full.drop_every, "images": None}
    assert small.model_copy(update=kept) == full


def test_drops_are_in_proportion_to_other_epochs():
    drops = [
        recipe_of("table3", "resnet18", "cifar10", False, epochs=epochs).drop_every for epochs in (1, 60, 120, 240)
    ]
    assert drops == [1, 15, 30, 60]


def test_the_miniature_on_digits_is_what_it_was():
    recipe = recipe_of("table3", "resnet34", None, True)
    assert recipe == find("digits").recipe.model_copy(update={"epochs": 8})
    assert recipe == recipe_of("table3", "resnet34", "digits", True)


def test_a_small_data_set_is_used_whole():
    assert recipe_of("table3", "resnet18", FAKE, True).images is None


@only_in_fuzz
def test_the_tables_on_another_data_set(tmp_path, monkeypatch):
    """Columns, recipe and comparison, in all three forms; a network that was not trained has no part in it."""
    monkeypatch.setattr(recipes, "WIDTHS", "c = 2, 2, 2, 2")
    monkeypatch.setattr(recipes, "IMAGES", 256)
    arguments = ("table3", "--data", FAKE, "--miniature", "--epochs", "1", "--rows", "preact18", "-o", str(tmp_path))
    arguments += ("--seeds", "2", "--rows", "preact18_Al")
    result = reproduce(*arguments)
    assert result.exit_code == 0
    text = result.stdout
    assert re.search(rf"network +parameters +{FAKE} +paper, cifar10 +paper, cifar100\n", text)
    said = "channels c = 2, 2, 2, 2; 1 epoch, learning rate 0.1; batches of 128, weight decay 0.0001; no warm-up"
    in_one_line = " ".join(text.split())
    assert f"{FAKE}: {said}" in in_one_line and "256 of 1,024 training images" in in_one_line
    (table,) = json.loads(reproduce(*arguments, "--json").stdout)
    accuracies = [row["accuracies"][FAKE]["values"] for row in table["rows"]]
    both = [value["comparison"] for value in table["comparisons"]]
    assert both == ["A^ℓ − A^ℓ,i", "A^ℓ − A^ℓ,i, pre-act ResNet18, B^ℓ,i"]
    expected = import_module("scipy.stats").ttest_rel(accuracies[1], accuracies[0]).confidence_interval(0.95)
    for found in table["comparisons"]:
        assert found["interval"] == pytest.approx([expected.low, expected.high])
        assert found["values"] == pytest.approx([one - other for one, other in zip(*reversed(accuracies), strict=True)])
    shown = reproduce(*arguments, "--markdown").stdout
    assert "| comparison | data | difference | 95 % interval | pairs |\n| --- | ---: | ---: | ---: | ---: |" in shown
    record = json.loads((tmp_path / "table3" / f"preact18-{FAKE}-1" / "recipe.json").read_text())
    assert record["recipe"]["images"] == 256 and "256 are used" in record["split"]


def test_a_path_is_a_data_set(tmp_path):
    from PIL import Image

    for part in ("train", "test"):
        for label in ("dark", "light"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            Image.new("RGB", (9, 7)).save(folder / "one.png")
    wanted = Wanted((TABLES["table2"],), 1, {}, False, tmp_path, f"folder:{tmp_path}/images")
    folders = {run.folder for run in list_runs(wanted)}
    assert len(folders) == 4 and {folder.parent for folder in folders} == {tmp_path / "table2"}
    # One channel more than MNIST has makes 2 · 9 · 64 weights more, eight classes less 8 · 513 fewer.
    assert collect(wanted, TABLES["table2"])[0].parameters == 11_172_810 + 2 * 9 * 64 - 8 * 513


# Comparisons


def with_accuracies(monkeypatch, found):
    """As if runs were finished: accuracies by the name of a row and a seed; None of one that diverged."""
    monkeypatch.setattr(comparisons, "is_finished", lambda run: (run.row.folder, run.recipe.seed) in found)
    monkeypatch.setattr(comparisons, "accuracy_of", lambda run: found[run.row.folder, run.recipe.seed])


def test_the_interval_is_that_of_the_paired_t_test(wanted, monkeypatch):
    one, other = (50.25, 51.5, 49.75), (49.5, 51.75, 47.0)
    found = {(name, seed): v for name, values in (("a", one), ("b", other)) for seed, v in enumerate(values)}
    with_accuracies(monkeypatch, found)
    rows = tuple(replace(row, key=key) for row, key in zip(SMALL.rows, "ab", strict=True))
    table = replace(SMALL, rows=rows, comparisons=(Question("a − b", (("a", "b"),)),))
    (difference,) = compare_rows(replace(wanted, seeds=3), table)
    expected = import_module("scipy.stats").ttest_rel(one, other).confidence_interval(0.95)
    assert difference.interval == pytest.approx((expected.low, expected.high))
    assert difference.mean == pytest.approx((0.75 - 0.25 + 2.75) / 3)
    # Of degrees of freedom there are 2, for which tables give 4.303; the deviation is √(7/3).
    reach = 4.303 * math.sqrt(7 / 3) / math.sqrt(3)
    assert comparison_cells([difference])[1][2:] == ["+1.08", f"−{reach - 13 / 12:.2f} to +{reach + 13 / 12:.2f}", "3"]


def test_diverged_runs_are_left_out_and_counted_and_unfinished_ones_are_none(wanted, monkeypatch):
    found = {
        ("a", 0): 50.0,
        ("b", 0): 49.0,
        ("a", 1): None,
        ("b", 1): 49.0,
        ("a", 2): None,
        ("b", 2): None,
        ("a", 3): 1.0,
    }
    with_accuracies(monkeypatch, found)
    rows = tuple(replace(row, key=key) for row, key in zip(SMALL.rows, "ab", strict=True))
    questions = Question("a − b", (("a", "b"),)), Question("a − c", (("a", "c"),))
    (difference,) = compare_rows(replace(wanted, seeds=4), replace(SMALL, rows=rows, comparisons=questions))
    assert difference == PairedDifference("a − b", FAKE, (1.0,), 2)
    assert comparison_cells([difference])[1] == ["a − b", FAKE, "+1.00", "–", "1, 2 diverged"]
    assert comparison_cells([PairedDifference("a − b", FAKE, (), 1)])[1][2:] == ["–", "–", "0, 1 diverged"]


@pytest.mark.parametrize("name", ["table2", "table3", "table4"])
def test_pairs_differ_in_one_sharing_only(name):
    """By the printed names: the one has A^ℓ or B^ℓ where the other has A^ℓ,i or B^ℓ,i."""
    rows = TABLES[name].rows
    for comparison in TABLES[name].comparisons:
        kernel, _, asked = comparison.title.partition("^ℓ")
        family = re.search(r"A\^ℓ,i, (.*), B\^ℓ,i$", comparison.title)
        expected = {
            (one.folder, other.folder)
            for one in rows
            for other in rows
            if re.search(rf"-{kernel}\^ℓ(-|$)", one.name)
            and re.sub(rf"-{kernel}\^ℓ(?=-|$)", f"-{kernel}^ℓ,i", one.name) == other.name
            and (one.reading == other.reading if kernel == "A" else one.reading == asked.split()[0])
            and (not family or other.name == f"{family[1]}-A^ℓ,i-B^ℓ,i")
        }
        assert expected and sorted(comparison.pairs) == sorted(expected)


def test_the_schemes_that_are_compared():
    """A linear 𝒜 against each nonlinear one, with each nonlinear ℬ: by the printed names."""
    rows = {row.folder: row.name for row in TABLES["table1"].rows}
    for comparison in TABLES["table1"].comparisons:
        form = re.fullmatch(r"𝒜 = A@ℓ \* − (.*), ℬ nonlinear", comparison.title)[1]
        assert "σ" in form and len(comparison.pairs) == 3
        for one, other in comparison.pairs:
            a, b = rows[one].split(", ", 1)
            assert a == "𝒜 = A@ℓ *" and "σ" in b
            assert rows[other] == f"𝒜 = {form}, {b}"
    assert len({comparison.title for comparison in TABLES["table1"].comparisons}) == 3


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


@only_in_fuzz
def test_an_interrupted_run_goes_on_from_its_checkpoint(wanted, tmp_path, monkeypatch):
    """The bits of the run that was not interrupted, from its middle on."""
    wanted = replace(wanted, seeds=1, changes={"epochs": 3})
    train(wanted)
    whole, other = list_runs(wanted)[0], replace(wanted, output=tmp_path / "other")
    kept, epochs = keep_epoch, []

    def keep(task, run, position, memory):
        write = kept(task, run, position, memory)

        def work():
            write()
            epochs.append(position.epoch)
            if len(epochs) == 2:
                raise KeyboardInterrupt

        return work

    monkeypatch.setattr("cldfc.runs.journal.keep_epoch", keep)
    with pytest.raises(KeyboardInterrupt):
        train(other)
    assert len(train(other)) == 2
    # The checkpoint is written before the measurements: no epoch is trained twice.
    assert epochs[:3] == [2, 3, 4]
    for name in ("best.safetensors", "recipe.json"):
        assert (list_runs(other)[0].folder / name).read_bytes() == (whole.folder / name).read_bytes()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_left_of_another_run_is_refused_and_kept(wanted, monkeypatch):
    monkeypatch.setattr("cldfc.runs.journal.keep_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(wanted)
    monkeypatch.undo()
    aside = list_runs(wanted)[0].aside
    before = contents(aside)
    narrower = replace(SMALL, rows=tuple(replace(row, lets=("c = 2, 3, 4, 6",)) for row in SMALL.rows))
    on_other_data = aside.with_name(aside.name.replace("x8x8", "x9x9"))
    shutil.copytree(aside, on_other_data)
    for other, what in (
        (replace(wanted, changes={"epochs": 3}), "epochs 1, not 3; drop every 30, not 90"),
        (replace(wanted, changes={"clip": 2.0}), "clip None, not 2.0"),
        (replace(wanted, tables=(narrower,)), "another network: `let c@ℓ = 2, 3, 4, 5`, not `let c@ℓ = 2, 3, 4, 6`"),
        (replace(wanted, data="fake:1x9x9:3"), f"data `{FAKE}`, not `fake:1x9x9:3`"),
    ):
        with pytest.raises(UsageError) as caught:
            train(other)
        assert f"was begun with {what}" in caught.value.message and "another folder with `-o`" in caught.value.help
        assert contents(aside) == before
    for path in aside.iterdir():
        path.rename(path.with_suffix(".mine")) if path.is_file() else shutil.rmtree(path)
    with pytest.raises(UsageError, match="exists, and is not a run folder"):
        train(wanted)
    assert (aside / "spec.mine").exists()


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_run_in_use_is_refused(wanted, monkeypatch):
    """Before anything else is trained."""
    monkeypatch.setattr("cldfc.runs.journal.keep_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(replace(wanted, seeds=1))
    monkeypatch.undo()
    second = list_runs(wanted)[3]
    aside = list_runs(wanted)[0].aside.rename(second.aside)
    held, go = Event(), Event()
    process = get_context("fork").Process(target=hold_lock, args=(aside, held, go))
    process.start()
    assert held.wait(30)
    before = contents(second.aside)
    with pytest.raises(UsageError, match=f"`{second.aside}` is in use: process {process.pid} trains there"):
        train(wanted)
    go.set()
    process.join()
    assert contents(second.aside) == before and not list_runs(wanted)[1].aside.exists()


def hold_lock(aside, held, go):
    with locked(RunFolder(aside)):
        held.set()
        go.wait(30)


def test_a_run_with_another_recipe_or_network_is_not_mixed_in(wanted):
    train(replace(wanted, seeds=1))
    with pytest.raises(UsageError, match=r"was trained with clip None, not 2\.0"):
        collect(replace(wanted, changes={"clip": 2.0}), SMALL)
    changed = replace(SMALL, rows=tuple(replace(row, lets=("c = 2, 3, 4, 6",)) for row in SMALL.rows))
    with pytest.raises(UsageError, match="was trained with another network: `let c"):
        collect(wanted, changed)


def test_figures_that_were_changed_are_not_believed(wanted):
    """All of them are named, and nothing is trained; what the figures do not depend on is said."""
    wanted = replace(wanted, seeds=1)
    train(wanted)
    runs = list_runs(wanted)
    for run, name in zip(runs, ("metrics.csv", "recipe.json"), strict=True):
        path = run.folder / name
        path.write_text(path.read_text() + "\n")
    for ask in (train, lambda wanted: collect(wanted, SMALL)):
        with pytest.raises(UsageError, match=r"metrics\.csv` is not what the training wrote") as caught:
            ask(wanted)
    with pytest.raises(UsageError) as caught:
        train(wanted)
    details = caught.value.details
    assert all(str(run.folder) in detail for run, detail in zip(runs, details, strict=True))
    for run, name in zip(runs, ("metrics.csv", "recipe.json"), strict=True):
        path = run.folder / name
        path.write_text(path.read_text()[:-1])
    (runs[0].folder / "network.py").write_text("")
    (runs[1].folder / "SHA256SUMS").unlink()
    said = train(wanted)
    assert len(said) == 2 and "network.py` is not what" in said[0] and "has no `SHA256SUMS`" in said[1]
    (runs[0].folder / "metrics.csv").unlink()
    with pytest.raises(UsageError, match="has not finished all its epochs"):
        collect(wanted, SMALL)


def test_divergence_is_a_result(wanted, monkeypatch):
    monkeypatch.setattr(
        "cldfc.reproduce.tables.changed_recipe",
        lambda recipe, changes: recipe.model_copy(update={**changes, "lr": 1e30}),
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


@only_in_fuzz
def test_several_at_a_time(wanted):
    said, wanted = [], replace(wanted, seeds=1)
    train_runs(list_runs(wanted), Launch(), wanted.output, "cldfc reproduce small", said.append, 2)
    assert sorted(line.partition(": ")[0] for line in said) == sorted(str(run.folder) for run in list_runs(wanted))
    assert "(2 of 2, about 0 s left)" in said[-1] and train(wanted) == []
    assert all(result.accuracies[FAKE].mean is not None for result in collect(wanted, SMALL))
    assert not list(wanted.output.rglob("checkpoints"))


NARROW_WIDTHS, FEW_IMAGES = "c = 2, 3, 4, 5", 256
PROGRAM = f"""
import sys
import cldfc.reproduce.tables as recipes
from cldfc.cli import app
recipes.WIDTHS, recipes.IMAGES = "{NARROW_WIDTHS}", {FEW_IMAGES}
if __name__ == "__main__":
    app(sys.argv[1:])
"""
OPTIONS = ["table2", "--rows", "preact18", "--rows", "preact18_Al", "--miniature", "--data", FAKE, "--epochs", "3"]


@pytest.mark.parametrize(
    ("number", "code", "jobs", "is_group"), [(signal.SIGINT, 130, 1, False), (signal.SIGTERM, 143, 2, True)]
)
def test_a_signal_saves_what_is_trained(tmp_path, monkeypatch, number, code, jobs, is_group):
    """The same command goes on, to the bits of what was never stopped."""
    script, folder = tmp_path / "program.py", tmp_path / "stopped" / "table2"
    script.write_text(PROGRAM, encoding="utf-8")
    command = ["reproduce", *OPTIONS, "--jobs", jobs, "-o", tmp_path / "stopped"]
    process = Program(*command, script=script, is_group=is_group, OMP_NUM_THREADS="1")
    wait_for(lambda: process.is_over or list(folder.glob("*.part/checkpoints/lock")), seconds=120)
    assert not process.is_over
    (os.killpg if is_group else os.kill)(process.pid, number)
    ended = process.end()
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert ended.stderr.endswith("\nstopped and saved; run the same command to continue\n")
    assert "Traceback" not in ended.stderr
    assert list(folder.glob("*.part/checkpoints/epoch-*"))
    monkeypatch.setattr(recipes, "WIDTHS", NARROW_WIDTHS)
    monkeypatch.setattr(recipes, "IMAGES", FEW_IMAGES)
    for name in ("stopped", "whole"):
        result = reproduce(*OPTIONS, "-o", str(tmp_path / name))
        assert result.exit_code == 0 and "warning" not in result.stderr
    weights = [sorted((tmp_path / name).rglob("best.safetensors")) for name in ("stopped", "whole")]
    assert [len(paths) for paths in weights] == [2, 2]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(*weights, strict=True))


def test_a_process_that_dies_is_told_of_its_run(wanted, monkeypatch):
    # A function that fails at once, whatever it is given.
    monkeypatch.setattr("cldfc.reproduce.sweep.help_training", math.sqrt)
    with pytest.raises(UsageError, match=r"that was training `.*preact18.*` has died") as caught:
        train_runs(list_runs(wanted), Launch(), wanted.output, "cldfc reproduce small", print, 2)
    assert "fewer `--jobs`" in caught.value.help


def test_an_error_comes_whole_from_another_process():
    error = pickle.loads(pickle.dumps(UsageError("it is wrong", "mend it")))
    assert (error.message, error.help) == ("it is wrong", "mend it")


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
    monkeypatch.setattr(recipes, "DIGITS_WIDTHS", "c = 2, 2, 2, 2")
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
    """And so are the rows that have no accuracy for that; what can be printed is."""
    first, second = (tmp_path / file.place for file in find("mnist").files[:2])
    first.parent.mkdir(parents=True)
    first.touch()
    result = reproduce("table2", "--data-dir", str(tmp_path), "--rows", "preact18*")
    assert result.exit_code == 2 and "11,171,146" in result.stdout
    assert f"not trained on mnist (table2) without `{second.relative_to(tmp_path)}`: " in result.stderr
    assert "no accuracy, because their data are missing: table2 preact18 on mnist, table2 preact18_Al on mnist\n" in (
        result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel1"], "did you mean `table1`?"),
        (["table5"], "= help: the tables are `table1`, `table2`, `table3`, `table4`, `all`"),
        (["everything"], "the tables are `table1`, `table2`, `table3`, `table4`, `all`"),
        (["table1", "--json", "--markdown"], "cannot be used together"),
        (["table1", "--epochs", "0"], "`epochs` cannot be 0"),
        (["table1", "--clip", "-1"], "`clip` cannot be -1"),
        (["table3", "--rows", "resnet_18"], "did you mean `resnet18`?"),
        (["table2", "--rows", "x*"], "the rows are `resnet18`, `resnet18_Al`, `preact18`, `preact18_Al`"),
        (["table1", "--data", "fashion-mnist"], "did you mean `fashion_mnist`?"),
        (["table1", "--data", "folder:nowhere"], "there is no folder `nowhere`"),
        (["table1", "--data-dir", "nowhere"], "there is no folder `nowhere`"),
    ],
)
def test_a_wrong_command_line(arguments, message):
    result = reproduce(*arguments)
    assert result.exit_code == 2 and message in result.stderr and not result.stdout


def test_several_processes_do_not_download(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = reproduce("table2", "--download")
    assert result.exit_code == 2 and "without torchrun" in result.stderr


# The document

DOCUMENT = ROOT / "docs" / "reproduction.md"


def test_the_counts_of_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ cldfc reproduce (table[234] --markdown)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        table = reproduce(*command.split()).stdout.split("\n\n")[1]
        assert table.strip() in text
