"""The files of the data sets as they are published: addresses, lengths, checksums, and what they hold.

Source: addresses and MD5 are those of torchvision; lengths and SHA-256 are those of the files themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A file that a published one holds, as it lies on a disk once that has been unpacked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Its place in the data folder."""

    places: tuple[str, ...] = ()
    """Where else it is looked for: in the data folder, or by an absolute path."""

    checksum: str | None = None
    """The MD5 of its bytes as 32 hexadecimal digits, or their SHA-256 as 64, where one is known."""

    size: int | None = None
    """Its length in bytes, where it is known."""


class DataFile(BaseModel):
    """A file of a data set, as it is published."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Its place in the data folder."""

    url: str
    """Where it is published."""

    size: int
    """Its length in bytes."""

    sha256: str
    """The SHA-256 of its bytes, as 64 hexadecimal digits."""

    places: tuple[str, ...] = ()
    """Where else it is looked for: in the data folder, or by an absolute path."""

    parts: tuple[Part, ...] = ()
    """What is read in its place where it was unpacked and is no longer there."""


IDX_SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
"""MNIST and its relatives: a head, then a byte for each pixel or label."""


def idx_files(
    address: str,
    folders: Sequence[str],
    packed: Sequence[tuple[int, str]],
    unpacked: Sequence[str | None],
) -> tuple[DataFile, ...]:
    """The four files of a relative of MNIST, looked for in some folders, of which torchvision's is the first.

    `packed` has their lengths and SHA-256, `unpacked` the checksums of what they hold, where they are known.
    """
    files: list[DataFile] = []
    for (name, length), (size, sha256), checksum in zip(IDX_SIZES.items(), packed, unpacked, strict=True):
        first, *others = (str(PurePosixPath(folder, name)) for folder in folders)
        part = Part(name=first, places=tuple(others), checksum=checksum, size=length)
        zipped = tuple(f"{other}.gz" for other in others)
        files.append(
            DataFile(
                name=f"{first}.gz", url=f"{address}{name}.gz", size=size, sha256=sha256, places=zipped, parts=(part,)
            )
        )
    return tuple(files)


MNIST_FILES = idx_files(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ("MNIST/raw", "mnist", "."),
    (
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)

# Debian has packed the same bytes anew, so that only the checksums of what is in its files are the published ones.
FASHION_MNIST_FILES = idx_files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ("FashionMNIST/raw", "fashion-mnist", ".", "/usr/share/datasets/fashion-mnist"),
    (
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

CIFAR10_BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


CIFAR10_FILES = (
    DataFile(
        name="cifar-10-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        size=170_498_071,
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        parts=tuple(Part(name=f"cifar-10-batches-py/{name}", checksum=md5) for name, md5 in CIFAR10_BATCHES.items()),
    ),
)

CIFAR100_FILES = (
    DataFile(
        name="cifar-100-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        size=169_001_437,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        parts=(
            Part(name="cifar-100-python/train", checksum="16019d7e3df5f24257cddd939b257f8d"),
            Part(name="cifar-100-python/test", checksum="f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),
    ),
)
