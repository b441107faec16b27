"""Images for validation: which are held out, what they choose, and when a training stops for want of progress."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from finished_run import cldfc
from networks import ROOT
from PIL import Image
from safetensors.torch import load_file
from small_run import EVERY_STEP, RECIPE, SMALL, Killed, Killer, reached, resume, train
from test_processes import exit_codes

from cldfc.data.catalogue import check_validation, count_training_images, find, with_holdout
from cldfc.data.class_folders import draw_part
from cldfc.data.data_set import DataSet, told_of
from cldfc.data.images import ImageFiles, Split, load_images
from cldfc.data.loader import Resident, Stream, open_loader
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import Recipe, change_recipe
from cldfc.runs.evaluate import evaluate_run
from cldfc.runs.journal import Saving
from cldfc.runs.resume import read_interrupted, resume_network
from cldfc.runs.run_folder import RunFolder, read_record, write_record
from cldfc.runs.tensorboard import scalars
from cldfc.runs.training_run import train_network
from cldfc.training.checkpoint_folder import list_checkpoints
from cldfc.training.metrics import Silence, read_epochs
from cldfc.training.processes import Processes
from cldfc.weights.compiled import Compiled

CPU = Device("cpu", False)
HELD = change_recipe(RECIPE, {"holdout": 0.2})
SMALL_SPEC = [ROOT / "specs" / "fbresnet.cldf", *"--let J=2 --let ν=1 --let c@ℓ=4,8".split()]


# Which images


@pytest.mark.parametrize("sizes", [[10] * 10, [2, 3, 1000], [5, 4], [2, 2, 2, 2], [99, 101, 7, 33, 58]], ids=str)
@pytest.mark.parametrize("share", [0.001, 0.1, 1 / 3, 0.5, 0.95])
def test_every_class_gives_its_share(sizes: list[int], share: float) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    np.random.default_rng(1).shuffle(labels)
    names = list(map(str, range(len(sizes))))
    drawn = draw_part(labels, names, share, 3, "this")
    assert drawn == sorted(set(drawn)) and drawn == draw_part(labels, names, share, 3, "this")
    counts = Counter(labels[number] for number in drawn)
    for label, size in enumerate(sizes):
        assert 1 <= counts[label] <= size - 1
        # Within one of its share, unless the one that each part must have is more.
        assert abs(counts[label] - share * size) < 1 or counts[label] in (1, size - 1)
    if min(share, 1 - share) * min(sizes) >= 1:
        assert len(drawn) == round(share * len(labels))


def test_the_seed_decides_which() -> None:
    labels = [0, 1] * 500
    drawn = [set(draw_part(labels, ("a", "b"), 0.1, seed, "this")) for seed in range(40)]
    # In 40 draws of a tenth an image is there 4 times on average, with a variance of 3.6.
    times = Counter(number for one in drawn for number in one)
    assert sum(times.values()) == 40 * 100
    assert 3.0 < np.var([times[number] for number in range(1000)]) < 4.3


@pytest.mark.parametrize(("labels", "has"), [([0, 0, 1], "only one image"), ([0, 0], "no image")])
def test_a_class_that_cannot_be_divided(labels: list[int], has: str) -> None:
    with pytest.raises(UsageError, match=f"the class `b` of this has {has}"):
        draw_part(labels, ("a", "b"), 0.5, 0, "this")


def test_digits_held_out_are_training_digits() -> None:
    dataset, recipe = find("digits"), change_recipe(find("digits").recipe, {"holdout": 0.1})
    loader, split = open_loader(dataset, recipe, CPU, Path()), load_images(dataset, Path())
    assert isinstance(loader, Resident) and isinstance(split, Split) and loader.validation is not None
    assert loader.parts == ("validation", "test")
    held = loader.validation.pixels.flatten(1)
    left = loader.train.pixels[:, :, 1:-1, 0].flatten(1)
    found = Counter(map(bytes, torch.cat([held, left]).numpy()))
    assert found == Counter(map(bytes, split.train.pixels.flatten(1).numpy()))
    assert (len(held), len(left)) == (144, 1293) and count_training_images(dataset, recipe) == 1293
    shares = np.bincount(loader.validation.labels) / np.bincount(split.train.labels)
    assert shares.min() > 0.093 and shares.max() < 0.107
    assert torch.equal(loader.test.pixels, split.test.pixels)
    batches = [batch.labels for batch in loader.test_batches("validation")]
    assert torch.equal(torch.cat(batches), loader.validation.labels)


def test_of_the_images_that_are_used_some_are_held_out() -> None:
    dataset, recipe = find("digits"), change_recipe(find("digits").recipe, {"images": 500, "holdout": 0.2})
    loader = open_loader(dataset, recipe, CPU, Path())
    assert isinstance(loader, Resident) and loader.validation is not None
    assert (len(loader.train), len(loader.validation)) == (400, 100) and count_training_images(dataset, recipe) == 400
    told = with_holdout(told_of(dataset, recipe), recipe).split
    assert told.endswith("of each class. Of them 20 % of each class, drawn at random (seed 0), are for validation.")


def test_what_does_not_go_together() -> None:
    dataset = find("digits")
    with pytest.raises(UsageError, match="`--patience` needs validation images, and `digits` has none") as caught:
        check_validation(dataset, Recipe(epochs=1, batch=2, lr=1, patience=3))
    assert "`--holdout 0.1`" in caught.value.help
    own = dataset.model_copy(update={"has_validation": True})
    check_validation(own, Recipe(epochs=1, batch=2, lr=1, patience=3))
    with pytest.raises(UsageError, match="already has validation images"):
        check_validation(own, Recipe(epochs=1, batch=2, lr=1, holdout=0.1))
    with pytest.raises(UsageError, match="`load` gives no images for validation, and the entry says that there are"):
        load_images(own, Path())


# What they choose


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random images, of which a fifth is held out; not to be changed."""
    return train(tmp_path_factory.mktemp("held") / "run", HELD).folder


def best_by_hand(folder: Path) -> dict[str, str]:
    """The row of metrics.csv with the highest validation accuracy, then the lowest loss."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return max(rows, key=lambda row: (float(row["validation_accuracy"]), -float(row["validation_loss"])))


def test_the_saved_weights_are_those_that_validation_chose(held: Path) -> None:
    row = best_by_hand(held)
    (path,) = [
        p for p in list_checkpoints(held / "checkpoints") if p.name.startswith(f"epoch-{int(row['epoch']) + 1:05}")
    ]
    kept = {f"network.{name}": tensor for name, tensor in load_file(held / "best.safetensors").items()}
    there = load_file(path / "tensors.safetensors")
    assert all(torch.equal(kept[name], there[name]) for name in kept)
    for part in ("test", "validation"):
        found = evaluate_run(held, lambda _spec, _record: SMALL, part=part)
        assert found.agrees and found.recorded_accuracy == float(row[f"{part}_accuracy"])
        assert found.score.loss == float(row[f"{part}_loss"])
    assert evaluate_run(held, lambda _spec, _record: SMALL, part="validation").score.images == round(0.2 * 1024)


def test_without_validation_they_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    """With a rate so high that the test accuracy goes up and down."""
    folder = train(tmp_path / "run", change_recipe(RECIPE, {"lr": 0.2, "epochs": 3})).folder
    kept, there = (load_file(path) for path in (folder / "best.safetensors", last_tensors(folder)))
    assert all(torch.equal(kept[name], there[f"network.{name}"]) for name in kept)


def last_tensors(folder: Path) -> Path:
    return list_checkpoints(folder / "checkpoints")[-1] / "tensors.safetensors"


@pytest.mark.parametrize(("epoch", "step"), [(1, 2), (3, 1)])
def test_a_resumed_run_holds_the_same_images_out(held: Path, tmp_path: Path, epoch: int, step: int) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", HELD, Killer(epoch, step), Saving(EVERY_STEP))
    resume(tmp_path / "run", holdout=0.2)
    assert reached(tmp_path / "run") == reached(held)
    for changes in ({"holdout": 0.3}, {"patience": 2}):
        with pytest.raises(UsageError, match="was started with"):
            resume(tmp_path / "run", **changes)


def test_two_processes_hold_the_same_images_out(held: Path, tmp_path: Path) -> None:
    """Both see their share of the images for validation, and agree on when to stop."""
    recipe = change_recipe(HELD, {"patience": 1, "epochs": 8})

    def work(processes: Processes) -> None:
        train(tmp_path / "run", recipe, Silence(), Saving(EVERY_STEP), SMALL, processes)

    assert exit_codes(2, work) == [0, 0]
    epochs = read_epochs(tmp_path / "run" / "metrics.csv")
    assert ends_of([float(e.validation_accuracy or 0) for e in epochs], 1, 8) == len(epochs)
    found = evaluate_run(tmp_path / "run", lambda _spec, _record: SMALL, part="validation")
    assert found.agrees and found.score.images == 205


def test_fewer_images_than_processes(tmp_path: Path) -> None:
    """A class of 2 and one of 2 give two images for validation, of which three processes see none, one and one."""
    images(tmp_path / "few", {"a": 4, "b": 4}, (8, 8))
    dataset = find(f"folder:{tmp_path / 'few'}", (1, 8, 8))
    recipe = change_recipe(RECIPE, {"epochs": 1, "batch": 3, "holdout": 0.1})
    source = SMALL.replace("nn.Linear(128, 10)", "nn.Linear(128, 2)")

    def work(processes: Processes) -> None:
        from cldfc.runs.journal import TrainingSetting

        train_network(
            Compiled("", source, "Small"), dataset, recipe, tmp_path / "run", TrainingSetting(processes=processes)
        )

    assert exit_codes(3, work) == [0, 0, 0]
    (epoch,) = read_epochs(tmp_path / "run" / "metrics.csv")
    assert epoch.validation_accuracy in (0, 0.5, 1) and epoch.test_accuracy in (0, 0.5, 1)


# Stopping early


def ends_of(accuracies: list[float], patience: int, planned: int) -> int:
    """After which epoch a training ends, counted by hand."""
    best, waited = -1.0, 0
    for number, accuracy in enumerate(accuracies, 1):
        best, waited = (accuracy, 0) if accuracy > best else (best, waited + 1)
        if waited == patience:
            return number
    return planned


def test_it_stops_early_and_says_so(tmp_path: Path) -> None:
    options = ["--data", "fake:1x8x8:10", "--epochs", 30, "--holdout", 0.1, "--batch", 128]
    made = cldfc("train", *SMALL_SPEC, *options, "--patience", 1, "-o", tmp_path / "run")
    assert made.exit_code == 0, made.output
    epochs = read_epochs(tmp_path / "run" / "metrics.csv")
    ended = ends_of([float(e.validation_accuracy or 0) for e in epochs], 1, 30)
    assert ended == len(epochs) < 30
    said = "no better validation accuracy in 1 epoch"
    assert f"stopped early, after epoch {ended} of 30: {said}\n" in made.stdout
    row = best_by_hand(tmp_path / "run")
    test, validation = (f"{part} accuracy {float(row[f'{part}_accuracy']):.2%}" for part in ("test", "validation"))
    assert f"{test}, {validation} after epoch {row['epoch']}, chosen by validation\n" in made.stdout
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"finished early: {ended} of 30 epochs done" in report and said in report and 'class="validation"' in report
    (listed,) = json.loads(cldfc("runs", tmp_path, "--json").stdout)
    assert (listed["state"], listed["stopped_early"], listed["epochs"]) == ("finished", True, ended)
    assert (listed["chosen_by"], listed["chosen_epoch"]) == ("validation", int(row["epoch"]))
    tags = scalars(epochs[0])
    assert (tags["loss/validation"], tags["accuracy/validation"]) == (
        epochs[0].validation_loss,
        epochs[0].validation_accuracy,
    )
    for part in ("test", "validation"):
        evaluated = cldfc("eval", tmp_path / "run", "--on", part, "--as-trained").stdout
        accuracy = float(row[f"{part}_accuracy"])
        assert (
            f"\n{part} accuracy {accuracy:.2%}, as recorded in epoch {row['epoch']}, chosen by validation\n"
            in evaluated
        )
    # It has ended: there is nothing to go on with.
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    again = cldfc("train", "--resume", tmp_path / "run")
    assert again.exit_code == 0 and "stopped early" in again.stdout
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before


def test_a_resumed_run_stops_where_the_whole_one_does(tmp_path: Path) -> None:
    recipe = change_recipe(HELD, {"patience": 1, "epochs": 12})
    whole = train(tmp_path / "whole", recipe)
    assert whole.stopped_early
    with pytest.raises(Killed):
        train(tmp_path / "run", recipe, Killer(whole.final.epoch, 2))
    assert resume(tmp_path / "run").stopped_early
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


# Earlier releases


def as_earlier(folder: Path, epochs: int) -> str:
    """Make of a run what an earlier release left behind, chosen by the test after its first epoch."""
    record = json.loads((folder / "recipe.json").read_text())
    for name in ("chosen_by", "fingerprint"):
        del record[name]
    for name in ("holdout", "patience"):
        del record["recipe"][name]
    (folder / "recipe.json").write_text(json.dumps(record))
    (folder / "SHA256SUMS").unlink()
    lines = (folder / "metrics.csv").read_text().splitlines()[: epochs + 1]
    rows = [line.split(",")[:-2] for line in lines]
    accuracy = rows[0].index("test_accuracy")
    rows[1][accuracy] = "0.75"
    (folder / "metrics.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    return rows[-1][accuracy]


def test_a_run_of_an_earlier_release(tmp_path: Path) -> None:
    """Its weights are those of the epoch that its test chose: `eval` compares with that, and says so."""
    folder = train(tmp_path / "run", change_recipe(RECIPE, {"epochs": 2})).folder
    last = as_earlier(folder, 2)
    found = evaluate_run(folder, lambda _spec, _record: SMALL)
    assert found.recorded is not None and found.recorded.epoch == 1 and found.record.chosen_by == "test"
    listed = cldfc("runs", tmp_path)
    assert "75.00%*" in listed.stdout and "* chosen by the test images" in listed.stderr
    (data,) = json.loads(cldfc("runs", tmp_path, "--json").stdout)
    assert (data["chosen_by"], data["chosen_epoch"], data["test_accuracy"]) == ("test", 1, float(last))


def test_a_run_of_an_earlier_release_goes_on_without_looking_at_the_test(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path / "run", RECIPE, Killer(3, 2))
    as_earlier(tmp_path / "run", 2)
    heard: list[str] = []
    resume(tmp_path / "run", heard.append)
    assert "has no `SHA256SUMS`" in heard[0] and "from now on they are those of the last epoch" in heard[1]
    assert read_record(RunFolder(tmp_path / "run")).chosen_by == "last"
    train(tmp_path / "whole")
    assert reached(tmp_path / "run") == reached(tmp_path / "whole")


# Class folders


def images(folder: Path, counts: dict[str, int], size: tuple[int, int]) -> None:
    """Random images, so many for each class."""
    chance = np.random.default_rng(5)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = chance.integers(0, 256, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 8 and 6 images to train on, 3 and 2 for validation, 2 and 2 to test on."""
    monkeypatch.chdir(tmp_path)
    for part, (first, second) in {"train": (8, 6), "val": (3, 2), "test": (2, 2)}.items():
        images(tmp_path / "shop" / part, {"cup": first, "jug": second}, (8, 8))
    return tmp_path / "shop"


def of_folder(name: str) -> DataSet:
    return find(f"folder:{name}", (3, 8, 8))


def test_val_beside_test_is_for_validation(shop: Path) -> None:
    dataset = of_folder("shop")
    assert dataset.has_validation and dataset.images == (14, 4)
    assert dataset.split == (
        "Class folders: 14 training images of `shop/train`, 4 test images of `shop/test`, "
        "5 validation images of `shop/val`."
    )
    resident = open_loader(dataset, dataset.recipe, CPU, Path())
    assert isinstance(resident, Resident) and resident.validation is not None
    assert resident.validation.labels.tolist() == [0, 0, 0, 1, 1]
    Image.new("RGB", (20, 12)).save(shop / "val" / "jug" / "9.png")
    stream = open_loader(of_folder("shop"), dataset.recipe, CPU, Path())
    assert isinstance(stream, Stream) and stream.parts == ("validation", "test")
    (batch,) = stream.test_batches("validation")
    assert batch.labels.tolist() == [0, 0, 0, 1, 1, 1]
    shutil.rmtree(shop / "val" / "jug")
    with pytest.raises(UsageError, match="the class `jug` is in `shop/train` and not in `shop/val`"):
        of_folder("shop")


def test_val_alone_is_tested_on(shop: Path) -> None:
    shutil.rmtree(shop / "test")
    dataset = of_folder("shop")
    assert not dataset.has_validation and dataset.images == (14, 5) and "5 test images of `shop/val`" in dataset.split


def test_files_are_held_out_like_images_in_memory(shop: Path) -> None:
    shutil.rmtree(shop / "val")
    dataset, recipe = of_folder("shop"), change_recipe(of_folder("shop").recipe, {"holdout": 0.25})
    resident = open_loader(dataset, recipe, CPU, Path())
    Image.new("RGB", (20, 12)).save(shop / "test" / "jug" / "9.png")
    stream = open_loader(of_folder("shop"), recipe, CPU, Path())
    assert isinstance(resident, Resident) and isinstance(stream, Stream)
    assert isinstance(stream.files, ImageFiles) and stream.files.validation is not None
    assert resident.validation is not None and len(resident.validation) == 4 == len(stream.files.validation)
    for sample, pixels in zip(stream.files.validation, resident.validation.pixels, strict=True):
        assert np.array_equal(np.array(Image.open(sample.path)), pixels.permute(1, 2, 0).numpy())
    assert not set(stream.files.validation) & set(stream.files.train) and len(stream.files.train) == 10


def test_class_folders_that_are_not_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "shop", {"cup": 20, "jug": 12}, (8, 8))
    dataset = of_folder("shop")
    assert dataset.split == (
        "Class folders of `shop`, divided at random (seed 0) with equal shares of each class into 26 training "
        "and 6 test images."
    )
    split = load_images(dataset, Path())
    assert isinstance(split, Split) and split.validation is None
    assert [Counter(part.labels.tolist()) for part in split] == [{0: 16, 1: 10}, {0: 4, 1: 2}]
    pixels = [bytes(image.numpy()) for part in split for image in part.pixels]
    assert len(set(pixels)) == 32
    again = load_images(of_folder("shop"), Path())
    assert isinstance(again, Split) and torch.equal(again.test.pixels, split.test.pixels)
    trained = cldfc("train", *SMALL_SPEC, "--input", "3x8x8", "--data", "folder:shop", "--epochs", 1, "-o", "run")
    assert trained.exit_code == 0 and f"folder:shop: {dataset.split}\n" in trained.stdout
    assert "as recorded" in cldfc("eval", "run").stdout
    # Another image would have them divided otherwise.
    shutil.copy("shop/cup/1.png", "shop/cup/99.png")
    for command in (["eval", "run"], ["train", "--resume", "run"]):
        refused = cldfc(*command)
        assert refused.exit_code == 2 and "holds other images now than when the run was trained" in refused.stderr


def test_a_hold_out_of_class_folders_stays_what_it_was(shop: Path) -> None:
    shutil.rmtree(shop / "val")
    options = ["--input", "3x8x8", "--data", "folder:shop", "--epochs", 1, "--holdout", 0.25]
    planned = json.loads(cldfc("train", *SMALL_SPEC, *options, "--batch", 2, "--dry-run", "--json").stdout)
    assert planned["steps_per_epoch"] == 5 and "25 % of each class" in planned["split"]
    trained = cldfc("train", *SMALL_SPEC, *options, "-o", "run")
    assert trained.exit_code == 0, trained.output
    assert "as recorded" in cldfc("eval", "run", "--on", "validation").stdout
    (shop / "train" / "cup" / "1.png").rename(shop / "train" / "cup" / "other.png")
    refused = cldfc("eval", "run", "--on", "validation")
    assert refused.exit_code == 2 and "holds other images now" in refused.stderr


def single(folder: Path) -> None:
    images(folder, {"cup": 20, "jug": 1}, (8, 8))


def parts_of_other_names(folder: Path) -> None:
    images(folder / "training", {"cup": 2, "jug": 2}, (8, 8))
    images(folder / "testing", {"cup": 2, "jug": 2}, (8, 8))


def one_class(folder: Path) -> None:
    images(folder, {"cup": 20}, (8, 8))


def train_alone(folder: Path) -> None:
    images(folder / "train", {"cup": 2, "jug": 2}, (8, 8))


@pytest.mark.parametrize(
    ("make", "message", "help"),
    [
        (single, "the class `jug` of `shop` has only one image", "two images or more"),
        (parts_of_other_names, "`shop` has no folder `train`, and `shop/testing` is not a class", "`shop/train/CLASS/"),
        (one_class, "`shop` has only the class `cup`", "at least two"),
        (train_alone, "`shop` has no folder `test`", "or all as `shop/CLASS/*.png`"),
        (Path.mkdir, "`shop` has no folder `train`", "`shop/train/CLASS/*.png`"),
    ],
)
def test_folders_that_cannot_be_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], message: str, help: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "shop")
    with pytest.raises(UsageError) as caught:
        of_folder("shop")
    assert message in caught.value.message and help in caught.value.help


# The command line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--patience", 3], "`--patience` needs validation images"),
        (["--holdout", 1], "`holdout` cannot be 1.0"),
        (["--holdout", -0.1], "`holdout` cannot be -0.1"),
        (["--holdout", 0.1, "--patience", -1], "`patience` cannot be -1"),
    ],
)
def test_what_is_refused(options: list[object], message: str) -> None:
    for more in ([], ["--dry-run"]):
        result = cldfc("train", *SMALL_SPEC, "--data", "digits", *options, *more)
        assert result.exit_code == 2 and message in result.stderr and not result.stdout


def test_the_part_of_a_test_must_be_there(tmp_path: Path) -> None:
    made = cldfc("train", *SMALL_SPEC, "--data", "digits", "--epochs", 1, "-o", tmp_path / "run")
    assert made.exit_code == 0, made.output
    last = re.findall(r"^test accuracy ([\d.]+%) after the last epoch$", made.stdout, re.MULTILINE)
    assert f"\ntest accuracy {last[0]}, as recorded in epoch 1\n" in cldfc("eval", tmp_path / "run").stdout
    refused = cldfc("eval", tmp_path / "run", "--on", "validation")
    assert refused.exit_code == 2 and "there are no images for validation in `digits`" in refused.stderr
    assert cldfc("eval", tmp_path / "run", "--on", "training").exit_code == 2


def test_runs_with_validation_come_first(held: Path, tmp_path: Path) -> None:
    """However good the test of a run without it is."""
    shutil.copytree(held, tmp_path / "a-held")
    shutil.copytree(held, tmp_path / "b-better")
    record = read_record(RunFolder(held))
    rows = (held / "metrics.csv").read_text().splitlines()
    better = [",".join([*row.split(",")[:-1], "0.9"]) for row in rows[1:]]
    (tmp_path / "b-better" / "metrics.csv").write_text("\n".join([rows[0], *better]))
    shutil.copytree(held, tmp_path / "c-without")
    write_record(RunFolder(tmp_path / "c-without"), record.model_copy(update={"chosen_by": "last"}))
    cells = [row.split(",") for row in rows]
    for row in cells[1:]:
        row[4], row[-2:] = "1.0", ["", ""]
    (tmp_path / "c-without" / "metrics.csv").write_text("\n".join(map(",".join, cells)))
    lines = cldfc("runs", tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["b-better", "a-held", "c-without"]
    assert "  90.00%  " in lines[1] and "100.00%" in lines[3]


def test_images_for_validation_that_come_or_go_are_noticed(shop: Path) -> None:
    made = cldfc("train", *SMALL_SPEC, "--input", "3x8x8", "--data", "folder:shop", "--epochs", 1, "-o", "run")
    assert made.exit_code == 0 and "chosen by validation" in made.stdout
    shutil.rmtree(shop / "val")
    refused = cldfc("train", "--resume", "run", "--epochs", 2)
    assert refused.exit_code == 2 and "with images for validation, and `folder:shop` has none now" in refused.stderr


def test_a_read_run_knows_its_data(held: Path) -> None:
    run = read_interrupted(held, {})
    assert run.record.recipe.holdout == 0.2 and "Of the training images 20 % of each class" in run.record.split
    assert resume_network(run, Compiled("", SMALL, "Small"), lambda line: None).record == run.record
