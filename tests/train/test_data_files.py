"""Files in the published formats, with checksums of their own: what is read, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_files import CHANCE, Bytes, archive, idx, pickled, put

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataSet, find
from cldfc.train.data.files import missing
from cldfc.train.data.loader import open_loader
from cldfc.train.data.reader import load_images
from cldfc.train.device import Device
from cldfc.train.images import Split
from cldfc.train.published import DataFile, Part
from cldfc.train.recipe import change_recipe


@pytest.fixture
def mnist(tmp_path: Path) -> tuple[DataSet, list[Bytes]]:
    """A small MNIST in a folder, and its four arrays."""
    shapes = [(5, 28, 28), (5,), (3, 28, 28), (3,)]
    arrays = [CHANCE.integers(0, 10, shape).astype(np.uint8) for shape in shapes]
    return put(tmp_path, find("mnist"), [idx(array) for array in arrays]), arrays


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[DataSet, list[tuple[Bytes, list[int]]]]:
    """A small CIFAR in a folder, and its batches."""
    dataset = find(request.param)
    torchvision: Any = import_module("torchvision.datasets")
    layout = getattr(torchvision, request.param.upper())
    names = [f"{layout.base_folder}/{name}" for name, _ in [*layout.train_list, *layout.test_list]]
    key = "labels" if dataset.classes == 10 else "fine_labels"
    batches = [
        (CHANCE.integers(0, 256, (4, 3072)).astype(np.uint8), CHANCE.integers(0, dataset.classes, 4).tolist())
        for _ in names
    ]
    members = {
        name: pickled({"batch_label": name, key: labels, "data": pixels, "coarse_labels": [0] * 4})
        for name, (pixels, labels) in zip(names, batches, strict=True)
    }
    return put(tmp_path, dataset, [archive(members)]), batches


def test_mnist_is_read(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    train, test = load_images(dataset, tmp_path)
    found = [train.pixels.squeeze(1), train.labels, test.pixels.squeeze(1), test.labels]
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(found, arrays, strict=True))
    assert train.pixels.shape == (5, 1, 28, 28)


def test_cifar_is_read(cifar: tuple[DataSet, list[tuple[Bytes, list[int]]]], tmp_path: Path) -> None:
    dataset, batches = cifar
    train, test = load_images(dataset, tmp_path)
    pixels, labels = zip(*batches, strict=True)
    assert np.array_equal(train.pixels.numpy(), np.concatenate(pixels[:-1]).reshape(-1, 3, 32, 32))
    assert np.array_equal(test.pixels.numpy(), pixels[-1].reshape(-1, 3, 32, 32))
    assert (
        train.labels.tolist() == [label for batch in labels[:-1] for label in batch]
        and test.labels.tolist() == labels[-1]
    )


def test_torchvision_reads_the_same_batches(
    cifar: tuple[DataSet, list[tuple[Bytes, list[int]]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = cifar
    with tarfile.open(tmp_path / dataset.files[0].name) as tar:
        tar.extractall(tmp_path, filter="data")
    torchvision: Any = import_module("torchvision.datasets")
    reader = getattr(torchvision, dataset.name.upper())
    monkeypatch.setattr(reader, "_check_integrity", lambda _self: True)
    monkeypatch.setattr(reader, "_load_meta", lambda _self: None)
    for own, part in zip((True, False), load_images(dataset, tmp_path), strict=True):
        other = reader(tmp_path, train=own)
        assert np.array_equal(other.data, part.pixels.permute(0, 2, 3, 1).numpy())
        assert other.targets == part.labels.tolist()


def test_addresses_are_those_of_torchvision() -> None:
    torchvision: Any = import_module("torchvision.datasets")
    mnist = torchvision.MNIST
    assert [file.url for file in find("mnist").files] == [mnist.mirrors[0] + name for name, _ in mnist.resources]
    for name, other in (("cifar10", torchvision.CIFAR10), ("cifar100", torchvision.CIFAR100)):
        (file,) = find(name).files
        assert (file.url, file.name) == (other.url, other.filename)


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


def test_fashion_mnist_is_the_real_one(fashion_mnist_dir: Path) -> None:
    """60,000 and 10,000 images, as many of each class, with the mean and the deviation of the entry."""
    dataset = find("fashion_mnist")
    train, test = load_images(dataset, fashion_mnist_dir)
    assert train.labels.bincount().tolist() == [6000] * 10 and test.labels.bincount().tolist() == [1000] * 10
    pixels = train.pixels.double()
    assert abs(float(pixels.mean()) - dataset.mean[0]) < 0.02 and abs(float(pixels.std()) - dataset.std[0]) < 0.02


# What is refused


def test_a_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder `.*nowhere` with the data set `mnist`") as caught:
        load_images(find("mnist"), tmp_path / "nowhere")
    address = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert f"`--download` fetches it from {address};" in caught.value.help and "`--data-dir DIR`" in caught.value.help


def test_a_file_is_missing(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, _ = mnist
    names = [file.name for file in dataset.files]
    for name in names[1:3]:
        (tmp_path / name).unlink()
    assert missing(dataset, tmp_path) == names[1:3]
    with pytest.raises(UsageError, match=r"lacks `MNIST/raw/train-labels-idx1-ubyte.gz` and 1 more of `mnist`"):
        load_images(dataset, tmp_path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-1], r"is cut off: it has [\d,]+ of [\d,]+ bytes"),
        (lambda _: b"", r"is cut off: it has 0 of"),
        (lambda data: b"x" + data[1:], r"is damaged or another file: .* the SHA-256"),
        (lambda data: data + b"x", r"is damaged or another file: .* the SHA-256"),
    ],
)
def test_a_file_is_cut_off_or_damaged(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    dataset, _ = mnist
    path = tmp_path / dataset.files[2].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=rf"t10k-images-idx3-ubyte.gz` {said}") as caught:
        load_images(dataset, tmp_path)
    assert dataset.files[2].url in caught.value.help and "`--download`" in caught.value.help


# Unpacked by torchvision


def unpack_mnist(dataset: DataSet, folder: Path) -> DataSet:
    """The same data set, of which only the unpacked files are left."""
    files: list[DataFile] = []
    for file in dataset.files:
        content = gzip.decompress((folder / file.name).read_bytes())
        (part,) = file.parts
        (folder / part.name).write_bytes(content)
        (folder / file.name).unlink()
        files.append(file.model_copy(update={"parts": (Part(name=part.name, size=len(content)),)}))
    return dataset.model_copy(update={"files": tuple(files)})


def unpack_cifar(dataset: DataSet, folder: Path) -> DataSet:
    """The same, of which only the unpacked batches are left."""
    (file,) = dataset.files
    with tarfile.open(folder / file.name) as tar:
        tar.extractall(folder, filter="data")
    (folder / file.name).unlink()
    md5 = {part.name: hashlib.md5((folder / part.name).read_bytes()).hexdigest() for part in file.parts}
    parts = tuple(Part(name=name, checksum=md5[name]) for name in md5)
    return dataset.model_copy(update={"files": (file.model_copy(update={"parts": parts}),)})


def same(one: Split, other: Split) -> bool:
    return all(
        torch.equal(a.pixels, b.pixels) and torch.equal(a.labels, b.labels) for a, b in zip(one, other, strict=True)
    )


def test_unpacked_files_are_read_like_the_archives(
    mnist: tuple[DataSet, list[Bytes]], cifar: tuple[DataSet, list[tuple[Bytes, list[int]]]], tmp_path: Path
) -> None:
    for (dataset, _), unpack in ((mnist, unpack_mnist), (cifar, unpack_cifar)):
        packed = load_images(dataset, tmp_path)
        unpacked = unpack(dataset, tmp_path)
        assert missing(unpacked, tmp_path) == []
        assert same(packed, load_images(unpacked, tmp_path))


def test_checksums_of_unpacked_batches_are_those_of_torchvision() -> None:
    torchvision: Any = import_module("torchvision.datasets")
    for name, other in (("cifar10", torchvision.CIFAR10), ("cifar100", torchvision.CIFAR100)):
        (file,) = find(name).files
        found = [(part.name, part.checksum) for part in file.parts]
        assert found == [(f"{other.base_folder}/{name}", md5) for name, md5 in [*other.train_list, *other.test_list]]


def test_an_unpacked_batch_is_damaged_or_missing(
    cifar: tuple[DataSet, list[tuple[Bytes, list[int]]]], tmp_path: Path
) -> None:
    dataset = unpack_cifar(cifar[0], tmp_path)
    path = tmp_path / dataset.files[0].parts[-1].name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UsageError, match=rf"{path.name}` is damaged or another file: .* the MD5") as caught:
        load_images(dataset, tmp_path)
    assert dataset.files[0].url in caught.value.help
    path.unlink()
    with pytest.raises(UsageError, match=f"lacks `{dataset.files[0].name}` of"):
        load_images(dataset, tmp_path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-1], "is cut off"),
        (lambda data: data + b"x", "is another file: it has"),
        (lambda data: b"\0\0\x08\x01" + data[4:], "is no IDX file with 3 axes of bytes: it begins with 00 00 08 01"),
        (lambda data: b"\0\0\x0d\x03" + data[4:], "is no IDX file with 3 axes of bytes"),
        (lambda data: data[:7] + b"\x09" + data[8:], "says that it holds 9 × 28 × 28 bytes"),
    ],
)
def test_an_unpacked_idx_file_is_another_one(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    dataset = unpack_mnist(mnist[0], tmp_path)
    path = tmp_path / dataset.files[0].parts[0].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=said):
        load_images(dataset, tmp_path)


def test_sizes_of_the_unpacked_idx_files_are_those_of_their_heads() -> None:
    """16 and 8 bytes of head, then a byte for each of the published numbers."""
    sizes = [file.parts[0].size for file in find("mnist").files]
    train, test = find("mnist").images
    assert sizes == [16 + train * 784, 8 + train, 16 + test * 784, 8 + test]


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return eval, (f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()",)

    harmless = pickled({"data": np.zeros((1, 3072), np.uint8), "fine_labels": [0]})
    members = {"cifar-100-python/train": pickle.dumps(Evil(), 2), "cifar-100-python/test": harmless}
    dataset = put(tmp_path, find("cifar100"), [archive(members)])
    with pytest.raises(UsageError, match=r"wants to run `.*eval`"):
        load_images(dataset, tmp_path)
    unpacked = unpack_cifar(dataset, tmp_path)
    with pytest.raises(UsageError, match=r"wants to run `.*eval`"):
        load_images(unpacked, tmp_path)
    assert not (tmp_path / "ran").exists()
