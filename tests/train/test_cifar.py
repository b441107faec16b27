"""CIFAR in every layout that people have, and archives of their own."""

from __future__ import annotations

import bz2
import gzip
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from networks import ROOT
from published_files import CHANCE, Bytes, archive, gzipped, members, pickled, put, sha256
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import missing
from cldfc.data.images import Split, load_images, trust_files
from cldfc.data.published import ArchiveMember
from cldfc.diagnostics import UsageError


class Small(NamedTuple):
    """A small CIFAR: the data set with its checksums, the archive by the name of each form, and its batches."""

    dataset: DataSet
    python: bytes
    binary: bytes
    batches: list[tuple[Bytes, list[int]]]


def python_batches(dataset: DataSet, batches: list[tuple[Bytes, list[int]]]) -> dict[str, bytes]:
    """The batches in the form for Python."""
    key = "labels" if dataset.classes == 10 else "fine_labels"
    names = [part.name for part in dataset.files[0].parts]
    return {
        name: pickled({"batch_label": name, key: labels, "data": pixels, "coarse_labels": [0] * len(labels)})
        for name, (pixels, labels) in zip(names, batches, strict=True)
    }


def binary_batches(dataset: DataSet, batches: list[tuple[Bytes, list[int]]]) -> dict[str, bytes]:
    """The batches in the binary form, as A. Krizhevsky's page describes it: a label, or a coarse and a fine one."""
    names = [part.name for part in dataset.files[0].forms[0].parts]
    coarse = b"" if dataset.classes == 10 else b"\x07"
    return {
        name: b"".join(coarse + bytes([label]) + image.tobytes() for image, label in zip(pixels, labels, strict=True))
        for name, (pixels, labels) in zip(names, batches, strict=True)
    }


def within(folder: str, batches: dict[str, bytes]) -> bytes:
    """An archive of the batches in a folder."""
    return archive({f"{folder}/{name}": content for name, content in batches.items()})


@pytest.fixture(params=["cifar10", "cifar100"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Small:
    """A small CIFAR, of which nothing lies in the folder."""
    dataset = find(request.param)
    (file,) = dataset.files
    batches = [
        (CHANCE.integers(0, 256, (4, 3072)).astype(np.uint8), CHANCE.integers(0, dataset.classes, 4).tolist())
        for _ in file.parts
    ]
    python = within(file.unpacked[0][2:], python_batches(dataset, batches))
    binary = within(file.forms[0].unpacked[0][2:], binary_batches(dataset, batches))
    dataset = put(tmp_path, dataset, [python])
    (tmp_path / file.name).unlink()
    (form,) = file.forms
    parts = [ArchiveMember(name=name, checksum=sha256(content)) for name, content in members(binary)]
    form = form.model_copy(update={"size": len(binary), "sha256": sha256(binary), "parts": tuple(parts)})
    files = (dataset.files[0].model_copy(update={"forms": (form,)}),)
    return Small(dataset.model_copy(update={"files": files}), python, binary, batches)


def same(split: Split, batches: list[tuple[Bytes, list[int]]]) -> bool:
    """Whether the images are those of the batches, the last of which is the one to test on."""
    *train, test = batches
    return all(
        np.array_equal(images.pixels.numpy(), np.concatenate([pixels for pixels, _ in part]).reshape(-1, 3, 32, 32))
        and images.labels.tolist() == [label for _, labels in part for label in labels]
        for images, part in zip(split, (train, [test]), strict=True)
    )


Make = Callable[[Small, Path], Path]
LAYOUTS: list[tuple[str, Make]] = []


def layout(name: str) -> Callable[[Make], Make]:
    def note(make: Make) -> Make:
        LAYOUTS.append((name, make))
        return make

    return note


@layout("torchvision's archive")
def python_archive(small: Small, folder: Path) -> Path:
    (folder / small.dataset.files[0].name).write_bytes(small.python)
    return folder


@layout("the binary archive")
def binary_archive(small: Small, folder: Path) -> Path:
    (folder / small.dataset.files[0].forms[0].name).write_bytes(small.binary)
    return folder


@layout("an archive in a folder of the data set's name")
def in_its_folder(small: Small, folder: Path) -> Path:
    (folder / small.dataset.name).mkdir()
    return python_archive(small, folder / small.dataset.name).parent


def extract(data: bytes, folder: Path) -> Path:
    (folder / "x.tar.gz").write_bytes(data)
    with tarfile.open(folder / "x.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    (folder / "x.tar.gz").unlink()
    return folder


@layout("unpacked batches")
def python_unpacked(small: Small, folder: Path) -> Path:
    return extract(small.python, folder)


@layout("unpacked binary batches")
def binary_unpacked(small: Small, folder: Path) -> Path:
    return extract(small.binary, folder)


@layout("the folder of the batches itself")
def inner_folder(small: Small, folder: Path) -> Path:
    return folder / extract(small.binary, folder).joinpath(small.dataset.files[0].forms[0].unpacked[0])


@layout("the archive itself")
def archive_itself(small: Small, folder: Path) -> Path:
    (folder / "mine.tgz").write_bytes(small.python)
    return folder / "mine.tgz"


@layout("an archive that was packed anew")
def packed_anew(small: Small, folder: Path) -> Path:
    data = bz2.compress(gzip.decompress(small.python))
    (folder / small.dataset.files[0].name).write_bytes(data)
    return folder


@layout("an archive that was unzipped")
def unzipped(small: Small, folder: Path) -> Path:
    (folder / "mine.tar").write_bytes(gzip.decompress(small.binary))
    return folder / "mine.tar"


@layout("an archive of the bare batches")
def bare(small: Small, folder: Path) -> Path:
    (folder / "mine.tar.gz").write_bytes(archive({"readme": b"", **dict(members(small.python))}))
    return folder / "mine.tar.gz"


@pytest.mark.parametrize("make", [make for _, make in LAYOUTS], ids=[name for name, _ in LAYOUTS])
def test_every_layout_is_read(small: Small, tmp_path: Path, make: Callable[[Small, Path], Path]) -> None:
    folder = make(small, tmp_path)
    assert missing(small.dataset, folder) == []
    assert same(load_images(small.dataset, folder), small.batches)
    assert trust_files(small.dataset, folder) is small.dataset


def test_torchvision_reads_the_same_batches(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision: Any = import_module("torchvision.datasets")
    reader = getattr(torchvision, small.dataset.name.upper())
    monkeypatch.setattr(reader, "_check_integrity", lambda _self: True)
    monkeypatch.setattr(reader, "_load_meta", lambda _self: None)
    folder = python_unpacked(small, tmp_path)
    for own, part in zip((True, False), load_images(small.dataset, folder), strict=True):
        other = reader(folder, train=own)
        assert np.array_equal(other.data, part.pixels.permute(0, 2, 3, 1).numpy())
        assert other.targets == part.labels.tolist()


def test_checksums_of_unpacked_batches_are_those_of_torchvision() -> None:
    torchvision: Any = import_module("torchvision.datasets")
    for name, other in (("cifar10", torchvision.CIFAR10), ("cifar100", torchvision.CIFAR100)):
        (file,) = find(name).files
        assert [(part.name, part.checksum) for part in file.parts] == [
            tuple(one) for one in [*other.train_list, *other.test_list]
        ]
        assert file.unpacked[0] == f"./{other.base_folder}"


def test_an_unpacked_batch_is_damaged_or_missing(small: Small, tmp_path: Path) -> None:
    folder = python_unpacked(small, tmp_path)
    (file,) = small.dataset.files
    path = folder / file.unpacked[0] / file.parts[-1].name
    content = path.read_bytes()
    path.write_bytes(content[:50] + b"x" + content[51:])
    with pytest.raises(UsageError, match=rf"{path.name}` is damaged or another file: .* the SHA-256") as caught:
        load_images(small.dataset, folder)
    assert file.url in caught.value.help
    path.unlink()
    with pytest.raises(UsageError, match=f"lacks `{file.name}` of"):
        load_images(small.dataset, folder)


# Archives of one's own


@pytest.fixture
def own(small: Small, tmp_path: Path) -> tuple[Small, Path]:
    """An archive of other images, and of more of them."""
    batches = [
        (CHANCE.integers(0, 256, (6, 3072)).astype(np.uint8), CHANCE.integers(0, small.dataset.classes, 6).tolist())
        for _ in small.batches
    ]
    made = {"python": python_batches, "binary": binary_batches}
    python, binary = (within("mine", make(small.dataset, batches)) for make in made.values())
    (tmp_path / "mine.tar.gz").write_bytes(python if small.dataset.classes == 10 else binary)
    return small._replace(batches=batches, python=python, binary=binary), tmp_path / "mine.tar.gz"


def test_an_archive_of_ones_own_is_read_if_it_is_trusted(own: tuple[Small, Path]) -> None:
    small, path = own
    with pytest.raises(UsageError, match=r"mine.tar.gz` (holds batches that are not|is an archive of)") as caught:
        load_images(small.dataset, path)
    assert "`--data" in caught.value.help or "`--trust-files`" in caught.value.help
    trusted = trust_files(small.dataset, path)
    assert same(load_images(trusted, path), small.batches)
    assert trusted.trusted == (sha256(path.read_bytes()),) and trusted.images == (6 * (len(small.batches) - 1), 6)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [list, np.array])
def test_batches_that_python_3_has_pickled(tmp_path: Path, protocol: int, kind: Callable[[list[int]], object]) -> None:
    batches = [(CHANCE.integers(0, 256, (3, 3072)).astype(np.uint8), [7, 0, 99])] * 2
    names = [part.name for part in find("cifar100").files[0].parts]
    made = {
        name: pickle.dumps({"data": pixels, "fine_labels": kind(labels)}, protocol)
        for name, (pixels, labels) in zip(names, batches, strict=True)
    }
    (tmp_path / "mine.tar").write_bytes(archive(made))
    assert same(load_images(trust_files(find("cifar100"), tmp_path / "mine.tar"), tmp_path / "mine.tar"), batches)


def test_unpacked_batches_of_ones_own(own: tuple[Small, Path]) -> None:
    small, path = own
    folder = extract(path.read_bytes(), path.parent) / "mine"
    trusted = trust_files(small.dataset, folder)
    assert same(load_images(trusted, folder), small.batches) and len(trusted.trusted) == len(small.batches)


SMALL = ["--let", "J = 2", "--let", "ν@ℓ = 1, 1", "--let", "c@ℓ = 4, 8", "--epochs", "1", "--batch", "6"]


def test_a_run_records_what_was_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = find("cifar10")
    batches = [(CHANCE.integers(0, 256, (6, 3072)).astype(np.uint8), [0, 1, 2, 3, 4, 5])] * 6
    content = within("mine", binary_batches(dataset, batches))
    Path("mine.tar.gz").write_bytes(content)
    train = ["train", str(ROOT / "specs" / "fbresnet.cldf"), *SMALL, "--data", "cifar10", "--data-dir", "mine.tar.gz"]
    refused = CliRunner().invoke(app, [*train, "-o", "run"])
    assert refused.exit_code == 2 and "mine.tar.gz" in refused.output and not Path("run").exists()
    planned = CliRunner().invoke(app, [*train, "--trust-files", "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.output)["steps_per_epoch"] == 5
    trained = CliRunner().invoke(app, [*train, "--trust-files", "-o", "run"])
    assert trained.exit_code == 0, trained.output
    record = json.loads(Path("run", "recipe.json").read_text())
    assert record["trusted_files"] == [sha256(content)] and "were trusted: SHA-256" in record["split"]
    evaluate = ["eval", "run", "--data-dir", "mine.tar.gz"]
    tested = CliRunner().invoke(app, evaluate)
    assert tested.exit_code == 0 and "as recorded" in tested.output and "were trusted" in tested.output, tested.output
    resumed = CliRunner().invoke(app, ["train", "--resume", "run", "--epochs", "2", "--data-dir", "mine.tar.gz"])
    assert resumed.exit_code == 0 and "the images are others" not in resumed.output, resumed.output
    both = CliRunner().invoke(app, ["train", "--resume", "run", "--trust-files"])
    assert both.exit_code == 2 and "--trust-files cannot be used with `--resume`" in both.output
    # The run trusts that archive and no other.
    other = within("mine", binary_batches(dataset, [*batches[:5], (batches[0][0], [5, 4, 3, 2, 1, 0])]))
    Path("mine.tar.gz").write_bytes(other)
    assert CliRunner().invoke(app, evaluate).exit_code == 2
    tested = CliRunner().invoke(app, [*evaluate, "--trust-files"])
    assert tested.exit_code == 0 and sha256(other)[:12] in tested.output, tested.output


class Evil:
    """A pickle that would run code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",)


FINE = pickled({"data": np.zeros((1, 3072), np.uint8), "fine_labels": [0]})
HOSTILE = [
    (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [100]}, 2), "has labels from 100 to 100"),
    (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, 2), "holds no batch of 3,072 bytes"),
    (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}, 2), "holds no batch of 3,072 bytes"),
    (pickle.dumps({"data": np.zeros((0, 3072), np.uint8), "labels": []}, 2), "holds no images"),
    (pickle.dumps({"data": [[None] * 3072], "labels": [0]}, 2), "holds no batch of 3,072 bytes"),
    (b"", "cannot be read as a batch"),
    (pickle.dumps([1, 2]), "holds no batch of images and labels"),
    (pickle.dumps({"labels": [0]}), "holds no batch of images and labels"),
    (FINE[:-9], "cannot be read as a batch"),
    (b"not a pickle", "cannot be read as a batch"),
    # A memo of two thousand million places.
    (b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b".", "refers to more values than it can hold"),
]


@pytest.mark.parametrize(("content", "said"), HOSTILE)
def test_a_trusted_batch_must_be_one(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.tar"
    path.write_bytes(archive({"train": content, "test": FINE}))
    with pytest.raises(UsageError, match=said):
        trust_files(find("cifar100"), path)


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    evil = pickle.dumps(Evil(tmp_path / "ran"), 2)
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(archive({"train": evil, "test": FINE}))
    with pytest.raises(UsageError, match="`--trust-files`"):
        load_images(find("cifar100"), path)
    with pytest.raises(UsageError, match=r"`train` of `.*mine.tar.gz` wants to run `.*eval`"):
        trust_files(find("cifar100"), path)
    with pytest.raises(UsageError, match=r"wants to run `.*eval`"):
        trust_files(find("cifar100"), extract(path.read_bytes(), tmp_path))
    assert not (tmp_path / "ran").exists()


def bomb() -> bytes:
    """An archive with a member of 10^12 bytes."""
    head = tarfile.TarInfo("train")
    head.size = 10**12
    return gzipped(head.tobuf(tarfile.GNU_FORMAT) + bytes(10**6))


def long_name() -> bytes:
    """An archive whose first member has a name of 10^11 bytes."""
    head = tarfile.TarInfo("././@LongLink")
    head.size, head.type = 10**11, tarfile.GNUTYPE_LONGNAME
    return gzipped(head.tobuf(tarfile.GNU_FORMAT) + bytes(10**6))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive({"a.txt": b"", "b.txt": b""}), "is an archive of `a.txt`, `b.txt`, without `train`"),
        (archive({"x/train": FINE, "y/train": FINE, "test": FINE}), "holds `train` twice"),
        (bomb(), "is an archive that holds too much"),
        (long_name(), "is truncated|cannot be unpacked|holds too much"),
        (gzipped(b"abc"), "cannot be unpacked"),
        (archive({"train": FINE, "test": FINE})[:-30], "is truncated"),
        (b"PK\x03\x04", "is a zip archive|cannot be unpacked"),
    ],
)
def test_an_archive_that_is_none_of_cifar(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "cifar-100-python.tar.gz"
    path.write_bytes(content)
    for read in (load_images, trust_files):
        with pytest.raises(UsageError) as caught:
            read(find("cifar100"), tmp_path)
        assert "delete" not in caught.value.help
    with pytest.raises(UsageError, match=said):
        trust_files(find("cifar100"), tmp_path)


def test_a_binary_batch_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_bytes(archive({"train.bin": bytes(3074 * 2 - 1), "test.bin": bytes(3074)}))
    with pytest.raises(UsageError, match=r"`train.bin` of .* has 6,147 bytes, which is not a multiple of 3,074"):
        trust_files(find("cifar100"), path)


def test_images_of_both_forms_are_equal(small: Small, tmp_path: Path) -> None:
    one, other = (tmp_path / name for name in ("one", "other"))
    for folder, make in ((one, python_archive), (other, binary_archive)):
        folder.mkdir()
        make(small, folder)
    first, second = load_images(small.dataset, one), load_images(small.dataset, other)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
