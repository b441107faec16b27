"""`--trust-files`: files of one's own in place of published ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.train.data.bounded import read_bytes
from cldfc.train.data.files import Copy, copies, read_copy, read_unpacked_part, require
from cldfc.train.data.identify import known_as
from cldfc.train.data.reader import load_images
from cldfc.train.data_set import DataSet, trusting
from cldfc.train.images import Split


def trust_files(dataset: DataSet, folder: Path) -> DataSet:
    """The data set that trusts the files that lie in its place, where they are not the published ones.

    They are read once, by the same readers, and their images counted. Raises UsageError when they cannot be read, or
    are those of another data set.
    """
    if not dataset.files:
        raise UsageError(f"`{dataset.name}` has no published files", "leave `--trust-files` out")
    require(dataset, folder)
    own = [path for file in dataset.files for path in own_files(dataset, copies(file, folder))]
    trusted = trusting(dataset, [own_checksum(path, dataset) for path in own])
    if not trusted.trusted:
        return dataset
    found = load_images(trusted, folder)
    assert isinstance(found, Split)
    return trusted.model_copy(update={"images": (len(found.train), len(found.test))})


def own_files(dataset: DataSet, found: Sequence[Copy]) -> list[Path]:
    """The files of the first copy, or those of them that are not published; the same files may be of several forms."""
    first = found[0]
    if any(needs_no_trust(partial(read_copy, dataset, copy)) for copy in found if copy.paths == first.paths):
        return []
    if first.is_packed:
        return list(first.paths)
    pairs = zip(first.paths, first.file.parts, strict=True)
    return [
        path for path, part in pairs if not needs_no_trust(partial(read_unpacked_part, dataset, path, part, first.file))
    ]


def needs_no_trust(read: Callable[[], object]) -> bool:
    try:
        read()
    except UsageError:
        return False
    return True


def own_checksum(path: Path, dataset: DataSet) -> str:
    """The SHA-256 of a file. Raises UsageError when it is that of another data set."""
    data = read_bytes(path)
    known = known_as(data)
    if known and known[0] != dataset.name:
        raise UsageError(f"`{path}` is `{known[1]}` of the data set `{known[0]}`", f"`--data {known[0]}` trains on it")
    return hashlib.sha256(data).hexdigest()
