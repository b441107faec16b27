"""Published files: where they are found, how they may be packed, and what is said of others."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_files import CHANCE, Bytes, gzipped, idx, inside, plain, put, sha256

from cldfc.data import dataset_files
from cldfc.data.catalogue import CATALOGUE, find
from cldfc.data.data_set import DataSet
from cldfc.data.dataset_files import missing
from cldfc.data.images import load_images, trust_files
from cldfc.data.loader import open_loader
from cldfc.device import Device
from cldfc.diagnostics import UsageError
from cldfc.recipe import change_recipe


@pytest.fixture(params=["mnist", "fashion_mnist"])
def mnist(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[DataSet, list[Bytes]]:
    """A small MNIST or Fashion-MNIST in a folder, and its four arrays."""
    shapes = [(5, 28, 28), (5,), (3, 28, 28), (3,)]
    arrays = [CHANCE.integers(0, 10, shape).astype(np.uint8) for shape in shapes]
    return put(tmp_path, find(request.param), [idx(array) for array in arrays]), arrays


def same(dataset: DataSet, folder: Path, arrays: list[Bytes]) -> bool:
    """Whether the images that are read are those of the arrays."""
    train, test = load_images(dataset, folder)
    found = [train.pixels.squeeze(1), train.labels, test.pixels.squeeze(1), test.labels]
    return all(np.array_equal(one.numpy(), other) for one, other in zip(found, arrays, strict=True))


def test_mnist_is_read(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    assert same(dataset, tmp_path, arrays)
    assert load_images(dataset, tmp_path).train.pixels.shape == (5, 1, 28, 28)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "svhn", "cifar10", "cifar100"])
def test_addresses_are_those_of_torchvision(name: str) -> None:
    torchvision: Any = import_module("torchvision.datasets")
    files = find(name).files
    other = getattr(torchvision, {"fashion_mnist": "FashionMNIST"}.get(name, name.upper()))
    if name.startswith("cifar"):
        assert [(file.url, file.place) for file in files] == [(other.url, other.filename)]
    elif name == "svhn":
        assert [[file.url, file.place] for file in files] == [other.split_list[part][:2] for part in ("train", "test")]
    else:
        assert [file.url for file in files] == [other.mirrors[0] + file for file, _ in other.resources]
        assert [file.place for file in files] == [f"{other.__name__}/raw/{file}" for file, _ in other.resources]


def test_class_names_are_those_of_torchvision() -> None:
    torchvision: Any = import_module("torchvision.datasets")
    for name, other in (("fashion_mnist", torchvision.FashionMNIST), ("kmnist", torchvision.KMNIST)):
        assert list(find(name).class_names) == other.classes


def test_no_two_published_files_are_one() -> None:
    files = [form for dataset in CATALOGUE.values() for file in dataset.files for form in (file, *file.forms)]
    sums = [file.sha256 for file in files] + [part.checksum for file in files for part in file.parts if part.checksum]
    assert len(set(sums)) == len(sums) and {len(one) for one in sums} == {32, 64}


def test_random_images_are_the_same_at_each_call(tmp_path: Path) -> None:
    dataset = find("fake:2x5x7:11")
    one, other = (load_images(dataset, tmp_path) for _ in range(2))
    assert one.train.pixels.shape == (1024, 2, 5, 7) and one.test.pixels.shape == (256, 2, 5, 7)
    assert bool((one.train.pixels == other.train.pixels).all()) and int(one.train.labels.max()) == 10


def test_batches_of_a_loader_are_its_images(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    recipe = change_recipe(dataset.recipe, {"batch": 2})
    loader = open_loader(dataset, recipe, Device("cpu", False), tmp_path)
    assert loader.steps == len(list(loader.train_batches(1))) == 2
    assert [len(batch) for batch in loader.test_batches()] == [2, 1]
    assert [int(label) for batch in loader.test_batches() for label in batch.labels] == arrays[3].tolist()


# The real Fashion-MNIST


def test_fashion_mnist_is_the_real_one(fashion_mnist_dir: Path) -> None:
    """60,000 and 10,000 images, as many of each class, with the mean and the deviation of the entry."""
    dataset = find("fashion_mnist")
    train, test = load_images(dataset, fashion_mnist_dir)
    assert train.labels.bincount().tolist() == [6000] * 10 and test.labels.bincount().tolist() == [1000] * 10
    values, counts = torch.arange(256.0).double(), train.pixels.flatten().bincount(minlength=256)
    mean = float(values @ counts.double() / counts.sum())
    deviation = float((values - mean).square() @ counts.double() / counts.sum()) ** 0.5
    assert abs(mean - dataset.mean[0]) < 0.02 and abs(deviation - dataset.std[0]) < 0.02


def test_torchvision_reads_the_same_images(fashion_mnist_dir: Path, tmp_path: Path) -> None:
    """As it leaves them: unpacked, in its folder; so they are found there, too."""
    dataset, raw = find("fashion_mnist"), tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    split = load_images(dataset, fashion_mnist_dir)
    for name, array in zip(
        [file.parts[0].name for file in dataset.files],
        [split.train.pixels[:, 0], split.train.labels.byte(), split.test.pixels[:, 0], split.test.labels.byte()],
        strict=True,
    ):
        (raw / name).write_bytes(plain(array.numpy()))
    torchvision: Any = import_module("torchvision.datasets")
    for part, found in zip((True, False), load_images(dataset, tmp_path), strict=True):
        other = torchvision.FashionMNIST(tmp_path, train=part)
        assert torch.equal(other.data, found.pixels[:, 0]) and torch.equal(other.targets, found.labels)
    assert missing(dataset, tmp_path) == []


def test_files_of_another_data_set_are_recognised(fashion_mnist_dir: Path, tmp_path: Path) -> None:
    """Under the same names, which all relatives of MNIST have; also packed anew, and unpacked."""
    split = load_images(find("fashion_mnist"), fashion_mnist_dir)
    labels = idx(split.test.labels.byte().numpy())
    for name, content in (("t10k-labels-idx1-ubyte.gz", labels), ("t10k-labels-idx1-ubyte", gzip.decompress(labels))):
        for dataset, folder in ((find("mnist"), "MNIST/raw"), (find("kmnist"), "KMNIST/raw")):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            path = tmp_path / folder / name
            path.write_bytes(content)
            last = dataset.model_copy(update={"files": dataset.files[3:] * 4})
            with pytest.raises(UsageError) as caught:
                load_images(last, tmp_path)
            assert caught.value.message == f"`{path}` is `t10k-labels-idx1-ubyte` of the data set `fashion_mnist`"
            assert caught.value.help.startswith("`--data fashion_mnist` trains on it")
            with pytest.raises(UsageError, match="of the data set `fashion_mnist`"):
                trust_files(last, tmp_path)
            path.unlink()


# Where they are found, and how they are packed


def moved(
    dataset: DataSet, folder: Path, place: str, change: Callable[[bytes], bytes] = bytes, ending: str = ""
) -> Path:
    """The files, changed, in another place of the folder, with names without an ending."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    for file in dataset.files:
        content = (folder / file.place).read_bytes()
        (folder / file.place).unlink()
        (folder / place / file.name.removesuffix(ending)).write_bytes(change(content))


@pytest.mark.parametrize("place", [".", "raw", "of-the-data-set"])
@pytest.mark.parametrize("is_packed", [True, False])
def test_other_places(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, place: str, is_packed: bool) -> None:
    dataset, arrays = mnist
    if place == "of-the-data-set":
        place = dataset.files[0].folders[-2]
    if is_packed:
        moved(dataset, tmp_path, place)
    else:
        moved(dataset, tmp_path, place, gzip.decompress, ".gz")
    assert missing(dataset, tmp_path) == [] and same(dataset, tmp_path, arrays)


@pytest.mark.parametrize("change", [lambda data: gzipped(gzip.decompress(data), 1), gzip.decompress])
def test_what_is_packed_anew_is_as_good(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    """As by Debian; or unpacked by a browser, which leaves the name."""
    dataset, arrays = mnist
    for file in dataset.files:
        data = change((tmp_path / file.place).read_bytes())
        assert sha256(data) != file.sha256
        (tmp_path / file.place).write_bytes(data)
    assert same(dataset, tmp_path, arrays) and trust_files(dataset, tmp_path) is dataset


def test_a_file_outside_of_the_data_folder_is_the_last(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    system = tmp_path / "system"
    moved(dataset, tmp_path, "system")
    files = tuple(file.model_copy(update={"folders": (*file.folders, str(system))}) for file in dataset.files)
    dataset = dataset.model_copy(update={"files": files})
    assert same(dataset, tmp_path / "nowhere", arrays)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / files[1].name).write_bytes(idx(arrays[3]))
    assert same(dataset, tmp_path / "data", arrays)


# What is refused


def test_a_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder `.*nowhere` with the data set `mnist`") as caught:
        load_images(find("mnist"), tmp_path / "nowhere")
    address = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert f"`--download` fetches it from {address};" in caught.value.help and "`--data-dir DIR`" in caught.value.help


def test_a_package_of_debian_is_named(tmp_path: Path) -> None:
    dataset = find("fashion_mnist")
    files = tuple(file.model_copy(update={"folders": inside(file.folders)}) for file in dataset.files)
    with pytest.raises(UsageError) as caught:
        load_images(dataset.model_copy(update={"files": files}), tmp_path)
    assert "`apt install dataset-fashion-mnist` on Debian" in caught.value.help


def test_a_file_is_missing(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, _ = mnist
    names = [file.place for file in dataset.files]
    for name in names[1:3]:
        (tmp_path / name).unlink()
    assert missing(dataset, tmp_path) == names[1:3]
    with pytest.raises(UsageError, match=rf"lacks `{names[1]}` and 1 more of `{dataset.name}`"):
        load_images(dataset, tmp_path)


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("t10k-images-idx3-ubyte", data)
    return file.getvalue()


PAGE = b"\n<!DOCTYPE html>\n<title>Log in</title>"
SAID = [
    (lambda data: data[:-1], r"is truncated: it has [\d,]+ of [\d,]+ bytes", "another `--data-dir`"),
    (lambda _: b"", r"is truncated: it has 0 of [\d,]+ bytes", "another `--data-dir`"),
    (lambda data: b"x" + data[1:], r"is damaged or another file: its [\d,]+ bytes have the SHA-256", "--trust-files"),
    (lambda data: data + b"x", r"is damaged or another file: .* the SHA-256", "`--trust-files`"),
    (lambda _: PAGE, "is an HTML page, such as a server sends", "`--data folder:PATH`"),
    (lambda _: b"<?xml version='1.0'?>\n<Error>", "is an XML document", "`--data folder:PATH`"),
    (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer", "`--data folder:PATH`"),
    (lambda _: b"t-shirt,0,0\n", "is a text that begins with `t-shirt,0,0`", "`--data folder:PATH`"),
    (zipped, "is a zip archive", "`--data idx:PATH`"),
    (lambda _: b"\x89PNG\r\n\x1a\n", "is a PNG image", "`--data folder:PATH`"),
    (lambda _: gzipped(b"abc"), "is gzipped, but holds no IDX file", "`--data folder:PATH`"),
    (lambda _: idx(np.zeros((2, 28, 28), np.uint8)), "holds an IDX file of 1,584 bytes that is not", "--trust-files"),
    (lambda _: gzipped(bytes(10**7)), "is gzipped, but holds no IDX file", "`--data folder:PATH`"),
]


@pytest.mark.parametrize(("change", "said", "help"), SAID)
def test_it_is_said_what_a_file_is(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, change: Callable[[bytes], bytes], said: str, help: str
) -> None:
    dataset, _ = mnist
    path = tmp_path / dataset.files[2].place
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UsageError, match=rf"t10k-images-idx3-ubyte.gz` {said}") as caught:
        load_images(dataset, tmp_path)
    assert dataset.files[2].url in caught.value.help and help in caught.value.help
    assert path.exists() and "delete" not in caught.value.help


@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkfifo, "a FIFO"), (os.mkdir, "a folder"), (lambda path: os.symlink("nowhere", path), "a broken link")],
)
def test_what_is_no_file(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    dataset, _ = mnist
    path = tmp_path / dataset.files[0].place
    path.unlink()
    make(path)
    with pytest.raises(UsageError, match=rf"`{path}` is {kind}, not the file of `{dataset.name}`"):
        load_images(dataset, tmp_path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-1], r"is truncated: it has [\d,]+ of 3,936 bytes"),
        (lambda data: data + b"x", "is another file: it has 3,937 bytes, not 3,936"),
        (lambda data: b"\0\0\x08\x01" + data[4:], "is damaged or another file: its 3,936 bytes have the SHA-256"),
    ],
)
def test_an_unpacked_idx_file_is_another_one(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    dataset, _ = mnist
    moved(dataset, tmp_path, dataset.files[0].unpacked[0], gzip.decompress, ".gz")
    path = tmp_path / dataset.files[0].unpacked[0] / dataset.files[0].parts[0].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=rf"{path.name}` {said}"):
        load_images(dataset, tmp_path)


def test_sizes_of_the_unpacked_idx_files_are_those_of_their_heads() -> None:
    """16 and 8 bytes of head, then a byte for each of the published numbers."""
    train, test = find("mnist").images
    for name in ("mnist", "fashion_mnist", "kmnist"):
        sizes = [file.parts[0].size for file in find(name).files]
        assert sizes == [16 + train * 784, 8 + train, 16 + test * 784, 8 + test]


# Files of one's own


def test_files_of_ones_own_are_read_if_they_are_trusted(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    for place, array in ((0, CHANCE.integers(0, 256, (7, 28, 28))), (1, CHANCE.integers(0, 10, 7))):
        arrays[place] = array.astype(np.uint8)
        (tmp_path / dataset.files[place].place).write_bytes(idx(arrays[place]))
    with pytest.raises(UsageError, match="`--trust-files`"):
        load_images(dataset, tmp_path)
    trusted = trust_files(dataset, tmp_path)
    assert trusted.images == (7, 3) and same(trusted, tmp_path, arrays)
    sums = tuple(sha256(idx(array)) for array in arrays[:2])
    assert trusted.trusted == sums and all(one[:12] in trusted.split for one in sums)
    # They are trusted as they were.
    (tmp_path / dataset.files[0].place).write_bytes(idx(arrays[0] // 2))
    with pytest.raises(UsageError, match="holds an IDX file of 5,504 bytes that is not the published one"):
        load_images(trusted, tmp_path)


def test_trusted_files_must_be_images(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, _ = mnist
    path = tmp_path / dataset.files[0].place
    for content, said in (
        (PAGE, "is an HTML page"),
        (b"\x89PNG\r\n\x1a\n", "is not an IDX file with 3 axes of bytes: it begins with 89 50"),
        (idx(np.zeros(5, np.uint8)), "is not an IDX file with 3 axes of bytes: it begins with 00 00 08 01"),
        (gzipped(b"\0\0\x0d\x03" + bytes(12)), "holds float32"),
        (gzipped(b"\0\0\x08\x03\0\0\0\x09" + bytes(8)), "says that it holds 9 × 0 × 0 bytes"),
        (gzipped(idx(np.zeros((2, 2, 2), np.uint8))), "is not an IDX file"),
        (idx(np.zeros((2, 28, 28), np.uint8))[:-9], "is truncated: its gzipped data do not end"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=said):
            trust_files(dataset, tmp_path)


def test_what_has_no_files_cannot_be_trusted(tmp_path: Path) -> None:
    for name in ("digits", "fake:1x8x8:2"):
        with pytest.raises(UsageError, match=f"`{name}` has no published files"):
            trust_files(find(name), tmp_path)


# SVHN


def house_numbers(count: int, **changes: object) -> bytes:
    """A file of SVHN, by scipy."""
    matlab: Any = import_module("scipy.io")
    file = io.BytesIO()
    arrays = {
        "X": CHANCE.integers(0, 256, (32, 32, 3, count)).astype(np.uint8),
        "y": (np.arange(count)[:, None] % 10 + 1).astype(np.uint8),
    }
    matlab.savemat(file, {**arrays, **changes}, do_compression=True)
    return file.getvalue()


def test_svhn_is_read_as_torchvision_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = put(tmp_path, find("svhn"), [house_numbers(13), house_numbers(11)])
    torchvision: Any = import_module("torchvision.datasets")
    monkeypatch.setattr(torchvision.SVHN, "_check_integrity", lambda _self: True)
    for part, found in zip(("train", "test"), load_images(dataset, tmp_path), strict=True):
        other = torchvision.SVHN(tmp_path, split=part)
        assert np.array_equal(other.data, found.pixels.numpy()) and other.labels.tolist() == found.labels.tolist()
    assert 0 in found.labels and 10 not in found.labels


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (house_numbers(3, X=np.zeros((32, 32, 3, 3))), "holds no bytes with labels"),
        (house_numbers(3, X=np.zeros((32, 30, 3, 3), np.uint8)), "holds no images of 32 × 32 × 3 bytes"),
        (house_numbers(3, y=np.zeros((2, 1), np.uint8)), "holds no images of 32 × 32 × 3 bytes with their labels"),
        (house_numbers(3, y=np.full((3, 1), 11, np.uint8)), "holds no bytes with labels from 1 to 10"),
        (house_numbers(3)[:-40], "cannot be read as images of SVHN"),
    ],
)
def test_trusted_files_of_matlab_must_be_images(tmp_path: Path, content: bytes, said: str) -> None:
    dataset = put(tmp_path, find("svhn"), [house_numbers(3), house_numbers(3)])
    (tmp_path / "train_32x32.mat").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        trust_files(dataset, tmp_path)


def test_a_file_of_matlab_is_cut_off(tmp_path: Path) -> None:
    dataset = put(tmp_path, find("svhn"), [house_numbers(3), house_numbers(3)])
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UsageError, match=r"test_32x32.mat` is truncated: it has 300 of [\d,]+ bytes"):
        load_images(dataset, tmp_path)


def test_all_published_files_can_be_recognised() -> None:
    assert dataset_files.checksums()[find("svhn").files[0].sha256] == ("svhn", "train_32x32.mat")
    assert dataset_files.checksums()["cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"] == (
        "cifar10",
        "data_batch_1.bin",
    )
