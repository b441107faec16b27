"""Downloads from a server of our own, which may lack a file, stop in the middle, or say nothing."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from networks import ROOT
from published_files import idx, put

from cldfc.data import download
from cldfc.data.catalogue import find
from cldfc.data.data_set import DataSet
from cldfc.data.download import byte_lines, fetch_missing
from cldfc.data.published import DataFile
from cldfc.diagnostics import UsageError

sys.path.append(str(ROOT / "tools"))
import fashion_mnist


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
    names = [file.place for file in dataset.files]
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / names[0]).write_bytes(b"already there")
    said: list[str] = []
    fetch_missing(dataset, tmp_path, said.append)
    assert said == [f"fetching {file.url}" for file in dataset.files[1:]]
    found = [(tmp_path / name).read_bytes() for name in names]
    assert found == [b"already there", *contents[1:]]


def test_what_lies_elsewhere_is_not_fetched_if_it_is_the_published_file(tmp_path: Path, server: str) -> None:
    """Files of one name have many contents: only what is in its own place is left to the reader."""
    contents = [f"file {number}".encode() for number in range(4)]
    dataset = put(tmp_path / "published", find("mnist"), contents, server)
    for file, content in zip(dataset.files, [contents[0], b"of another data set"], strict=False):
        (tmp_path / file.name).write_bytes(content)
    said: list[str] = []
    fetch_missing(dataset, tmp_path, said.append)
    assert said == [f"fetching {file.url}" for file in dataset.files[1:]]
    assert (tmp_path / dataset.files[1].name).read_bytes() == b"of another data set"


def test_another_file_is_not_kept(tmp_path: Path, server: str) -> None:
    dataset = put(tmp_path / "published", find("cifar10"), [b"the archive"], server)
    (tmp_path / "published" / dataset.files[0].name).write_bytes(b"a page that asks to log in")
    with pytest.raises(UsageError, match=r"what the server sends is a text that begins with `a page that") as caught:
        fetch_missing(dataset, tmp_path / "data", lambda _: None)
    assert f"`{tmp_path / 'data' / 'cifar-10-python.tar.gz'}`" in caught.value.help
    assert not list((tmp_path / "data").iterdir())


def one_file(url: str, size: int = 1_000_000) -> DataSet:
    """A data set of one file."""
    file = DataFile(name="x", url=url, size=size, sha256="0" * 64)
    return find("cifar10").model_copy(update={"files": (file,)})


def refusal(dataset: DataSet, folder: Path) -> UsageError:
    """Why a download fails; nothing is left of it."""
    with pytest.raises(UsageError) as caught:
        fetch_missing(dataset, folder, lambda _: None)
    assert not folder.exists() or not list(folder.iterdir())
    return caught.value


def test_a_server_that_has_not_the_file(tmp_path: Path, server: str) -> None:
    error = refusal(one_file(f"{server}x"), tmp_path / "data")
    assert error.message == f"cannot fetch {server}x: the server answers 404 File not found"
    assert error.help == f"the address may have changed, or copy the file to `{tmp_path / 'data' / 'x'}`"


@pytest.mark.parametrize(
    ("address", "reason"), [("http://127.0.0.1:9/x", "refused"), ("http://no.such.host.invalid/x", "")]
)
def test_a_server_that_is_not_there(tmp_path: Path, address: str, reason: str) -> None:
    error = refusal(one_file(address), tmp_path / "data")
    assert f"cannot fetch {address}: " in error.message and reason in error.message
    assert error.help.startswith("see whether the server can be reached")


def served(body: bytes, length: int, done: Event | None = None) -> ThreadingHTTPServer:
    """A server that promises so many bytes, sends some, and then hangs up, or waits."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            if done is not None:
                done.wait(30)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def test_a_server_that_stops_in_the_middle(tmp_path: Path) -> None:
    with served(b"x" * 400_000, 1_000_000) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        error = refusal(one_file(f"http://127.0.0.1:{http.server_port}/x"), tmp_path / "data")
        http.shutdown()
    assert error.message.endswith("/x: the server stopped after 400,000 of 1,000,000 bytes")
    assert error.help.startswith("try again")


def test_a_server_that_falls_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    done = Event()
    with served(b"x" * 300_000, 1_000_000, done) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        error = refusal(one_file(f"http://127.0.0.1:{http.server_port}/x"), tmp_path / "data")
        done.set()
        http.shutdown()
    assert "the server was silent for 0.3 seconds after" in error.message
    assert "of 1,000,000 bytes" in error.message and error.help.startswith("try again")


def test_a_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(one_file(f"http://127.0.0.1:{silent.getsockname()[1]}/x"), tmp_path / "data")
    assert "the server was silent for 0.3 seconds" in error.message


def test_a_server_that_never_ends_fills_no_disk(tmp_path: Path) -> None:
    with served(b"x" * 3_000_000, 3_000_000) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        error = refusal(one_file(f"http://127.0.0.1:{http.server_port}/x", 1000), tmp_path / "data")
        http.shutdown()
    assert "its 263,144 bytes have the SHA-256" in error.message


def test_a_folder_that_cannot_be_made(tmp_path: Path, server: str) -> None:
    dataset = put(tmp_path / "published", find("cifar10"), [b"the archive"], server)
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be written: (File exists|Not a directory)") as caught:
        fetch_missing(dataset, tmp_path / "data", lambda _: None)
    assert "`--data-dir DIR`" in caught.value.help


def test_a_full_disk(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = put(tmp_path / "published", find("cifar10"), [b"the archive"], server)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "cannot be written: No space left on device" in refusal(dataset, tmp_path / "data").message


def test_what_takes_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(download, "monotonic", lambda: now)
    said: list[str] = []
    lines = byte_lines(170_000_000, said.append)
    for second in range(1, 31):
        now = float(second)
        lines(second * 5_000_000)
    assert said == [
        "10.0 of 170.0 MB, 5.0 MB/s, 32 s left",
        "60.0 of 170.0 MB, 5.0 MB/s, 22 s left",
        "110.0 of 170.0 MB, 5.0 MB/s, 12 s left",
    ]


def test_imagenet_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be downloaded freely") as caught:
        fetch_missing(find("imagenet"), tmp_path, lambda _: None)
    assert "`DIR/train/CLASS/*.JPEG`" in caught.value.help


# `make data`


@pytest.fixture
def small(tmp_path: Path, server: str) -> DataSet:
    """A small Fashion-MNIST, which the folder `published` and its server have."""
    contents = [idx(np.zeros(shape, np.uint8)) for shape in ((3, 28, 28), (3,), (2, 28, 28), (2,))]
    return put(tmp_path / "published", find("fashion_mnist"), contents, server)


def places(dataset: DataSet, folder: Path) -> list[bool]:
    """Which files lie where a download puts them, as they were published."""
    published = folder.parent / "published"
    return [
        (folder / file.place).is_file() and (folder / file.place).read_bytes() == (published / file.place).read_bytes()
        for file in dataset.files
    ]


def elsewhere(dataset: DataSet, folder: Path) -> DataSet:
    """The data set, whose files are looked for in another folder of the machine, too."""
    files = [file.model_copy(update={"folders": (*file.folders, str(folder))}) for file in dataset.files]
    return dataset.model_copy(update={"files": tuple(files)})


def test_data_are_copied_from_a_package(small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "published" / "FashionMNIST" / "raw"
    dataset = elsewhere(small, raw)
    monkeypatch.setattr(fashion_mnist, "fetch_missing", lambda *_: None)
    said: list[str] = []
    for _ in range(2):
        fashion_mnist.obtain(dataset, tmp_path / "data", said.append)
        assert all(places(dataset, tmp_path / "data"))
    assert said == [f"`fashion_mnist` is in `{tmp_path / 'data'}`"] * 2


@pytest.mark.parametrize("fails", [False, True])
def test_root_installs_the_package(
    small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Where that fails, the files are fetched."""
    system = tmp_path / "system"
    dataset = elsewhere(small, system)
    commands: list[list[str]] = []

    def install(command: list[str], **_: object) -> None:
        commands.append(command)
        if fails:
            raise OSError(2, "no such program")
        shutil.copytree(tmp_path / "published" / "FashionMNIST" / "raw", system)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(fashion_mnist.subprocess, "run", install)
    said: list[str] = []
    fashion_mnist.obtain(dataset, tmp_path / "data", said.append)
    assert commands == [["apt-get", "install", "--yes", "--no-install-recommends", "dataset-fashion-mnist"]]
    assert all(places(dataset, tmp_path / "data"))
    assert any(line.startswith("fetching ") for line in said) == fails


def test_others_fetch_without_asking(small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(fashion_mnist.subprocess, "run", lambda *_, **__: pytest.fail("nobody is asked for a password"))
    fashion_mnist.obtain(small, tmp_path / "data", lambda _: None)
    assert all(places(small, tmp_path / "data"))


def test_data_that_cannot_be_had(
    small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [file.model_copy(update={"url": "http://127.0.0.1:9/x"}) for file in small.files]
    monkeypatch.setattr(fashion_mnist, "find", lambda _: small.model_copy(update={"files": tuple(files)}))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.chdir(tmp_path)
    assert fashion_mnist.main() == 1
    assert "error: cannot fetch http://127.0.0.1:9/x" in capsys.readouterr().err
