"""Small files in the formats of the published ones, with checksums of their own."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cldfc.data.data_set import DataSet
from cldfc.data.published import ArchiveMember, DataFile

Bytes = NDArray[np.uint8]
CHANCE = np.random.default_rng(3)


def put(folder: Path, dataset: DataSet, contents: list[bytes], url: str = "http://127.0.0.1:9/") -> DataSet:
    """The contents as the files of a data set, and the data set with their checksums."""
    files: list[DataFile] = []
    for file, content in zip(dataset.files, contents, strict=True):
        (folder / file.place).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.place).write_bytes(content)
        sums = {"size": len(content), "sha256": sha256(content), "parts": parts_of(file, content)}
        files.append(file.model_copy(update={"url": url + file.place, "folders": inside(file.folders), **sums}))
    return dataset.model_copy(update={"files": tuple(files)})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def inside(folders: tuple[str, ...]) -> tuple[str, ...]:
    """The folders in the data folder: what the machine has elsewhere is not to be found."""
    return tuple(folder for folder in folders if not folder.startswith("/"))


def parts_of(file: DataFile, content: bytes) -> tuple[ArchiveMember, ...]:
    """The parts of a file, with the checksums of what it holds."""
    found = dict(members(content)) if ".tar" in file.name else {}
    if file.name.endswith("ubyte.gz") and content[:2] == b"\x1f\x8b":
        found = {file.parts[0].name: gzip.decompress(content)}
    return tuple(
        ArchiveMember(name=part.name, checksum=sha256(found[part.name]), size=len(found[part.name]))
        if part.name in found
        else part
        for part in file.parts
    )


def members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in an archive, by their names without folders."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for info in tar:
                file = tar.extractfile(info)
                if file:
                    yield Path(info.name).name, file.read()
    except tarfile.TarError:
        return


def idx(array: Bytes) -> bytes:
    """A gzipped IDX file."""
    return gzipped(plain(array))


def gzipped(data: bytes, level: int = 9) -> bytes:
    """What `gzip` makes of data, the same bytes whenever it runs."""
    return gzip.compress(data, level, mtime=0)


def plain(array: Bytes) -> bytes:
    """An IDX file, as Y. LeCun describes the format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


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
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzipped(file.getvalue())
