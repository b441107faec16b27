"""Files in the published formats, with checksums of their own: what is read, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from cldfc.diagnostics import UsageError
from cldfc.train.catalogue import DataFile, DataSet, find
from cldfc.train.data.files import fetch_missing, missing
from cldfc.train.data.loader import load_split, open_loader
from cldfc.train.device import Device
from cldfc.train.recipe import change_recipe

Bytes = NDArray[np.uint8]
CHANCE = np.random.default_rng(3)


def put(folder: Path, dataset: DataSet, contents: list[bytes], url: str = "http://127.0.0.1:9/") -> DataSet:
    """The contents as the files of a data set, and the data set with their checksums."""
    files: list[DataFile] = []
    for file, content in zip(dataset.files, contents, strict=True):
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(content)
        files.append(DataFile(name=file.name, url=url + file.name, sha256=hashlib.sha256(content).hexdigest()))
    return dataset.model_copy(update={"files": tuple(files)})


def idx(array: Bytes) -> bytes:
    """A gzipped IDX file, as Y. LeCun describes the format."""
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


class PythonTwo(pickle._Pickler):  # pyright: ignore[reportPrivateUsage]
    """Pickles as Python 2 did, whose strings are bytes; the published batches are such."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # pyright: ignore

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)  # pyright: ignore
        self.memoize(value)  # pyright: ignore

    dispatch[str] = dispatch[bytes] = save_string


def pickled(batch: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    PythonTwo(file, 2).dump(batch)
    return file.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


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
    train, test = load_split(dataset, tmp_path)
    found = [train.pixels.squeeze(1), train.labels, test.pixels.squeeze(1), test.labels]
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(found, arrays, strict=True))
    assert train.pixels.shape == (5, 1, 28, 28)


def test_cifar_is_read(cifar: tuple[DataSet, list[tuple[Bytes, list[int]]]], tmp_path: Path) -> None:
    dataset, batches = cifar
    train, test = load_split(dataset, tmp_path)
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
    for own, part in zip((True, False), load_split(dataset, tmp_path), strict=True):
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
    one, other = (load_split(dataset, tmp_path) for _ in range(2))
    assert one.train.pixels.shape == (1024, 2, 5, 7) and one.test.pixels.shape == (256, 2, 5, 7)
    assert bool((one.train.pixels == other.train.pixels).all()) and int(one.train.labels.max()) == 10


def test_batches_of_a_loader_are_its_images(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, arrays = mnist
    recipe = change_recipe(dataset.recipe, {"batch": 2})
    loader = open_loader(dataset, recipe, Device("cpu", False), tmp_path)
    assert loader.steps == len(list(loader.train_batches(1))) == 2
    assert [len(batch) for batch in loader.test_batches()] == [2, 1]
    assert [int(label) for batch in loader.test_batches() for label in batch.labels] == arrays[3].tolist()


# What is refused


def test_a_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder `.*nowhere` with the data set `mnist`") as caught:
        load_split(find("mnist"), tmp_path / "nowhere")
    assert "`--download`" in caught.value.help and "`--data-dir DIR`" in caught.value.help


def test_a_file_is_missing(mnist: tuple[DataSet, list[Bytes]], tmp_path: Path) -> None:
    dataset, _ = mnist
    names = [file.name for file in dataset.files]
    for name in names[1:3]:
        (tmp_path / name).unlink()
    assert missing(dataset, tmp_path) == names[1:3]
    with pytest.raises(UsageError, match=r"lacks `MNIST/raw/train-labels-idx1-ubyte.gz` and 1 more of `mnist`"):
        load_split(dataset, tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda _: b""])
def test_a_file_is_cut_off_or_damaged(
    mnist: tuple[DataSet, list[Bytes]], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    dataset, _ = mnist
    path = tmp_path / dataset.files[2].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=r"t10k-images-idx3-ubyte.gz` is cut off, damaged or another file"):
        load_split(dataset, tmp_path)


def test_a_pickle_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return eval, (f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()",)

    dataset = put(tmp_path, find("cifar100"), [archive({"cifar-100-python/train": pickle.dumps(Evil(), 2)})])
    with pytest.raises(UsageError, match=r"wants to run `.*eval`"):
        load_split(dataset, tmp_path)
    assert not (tmp_path / "ran").exists()


# Download


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `published`."""
    (tmp_path / "published").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "published"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()


def test_only_missing_files_are_fetched(tmp_path: Path, server: str) -> None:
    contents = [f"file {number}".encode() for number in range(4)]
    dataset = put(tmp_path / "published", find("mnist"), contents, server)
    names = [file.name for file in dataset.files]
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / names[0]).write_bytes(b"already there")
    said: list[str] = []
    fetch_missing(dataset, tmp_path, said.append)
    assert said == [f"fetching {file.url}" for file in dataset.files[1:]]
    found = [(tmp_path / name).read_bytes() for name in names]
    assert found == [b"already there", *contents[1:]]


def test_another_file_is_not_kept(tmp_path: Path, server: str) -> None:
    dataset = put(tmp_path / "published", find("cifar10"), [b"the archive"], server)
    (tmp_path / "published" / dataset.files[0].name).write_bytes(b"a page that asks to log in")
    with pytest.raises(UsageError, match=r"cifar-10-python.tar.gz` is cut off, damaged or another file"):
        fetch_missing(dataset, tmp_path / "data", lambda _: None)
    assert not (tmp_path / "data").exists()


def test_a_server_that_has_not_the_file_or_is_not_there(tmp_path: Path, server: str) -> None:
    for address in (server, "http://127.0.0.1:9/"):
        file = DataFile(name="x", url=f"{address}x", sha256="")
        dataset = find("cifar10").model_copy(update={"files": (file,)})
        with pytest.raises(UsageError, match=r"cannot fetch http://127.0.0.1:\d+/x: .*(404|refused)") as caught:
            fetch_missing(dataset, tmp_path, lambda _: None)
        assert "`DIR/x`" in caught.value.help


def test_imagenet_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be downloaded freely") as caught:
        fetch_missing(find("imagenet"), tmp_path, lambda _: None)
    assert "`DIR/train/CLASS/*.JPEG`" in caught.value.help
