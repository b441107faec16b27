"""The files of the data sets as they are published: addresses, lengths, checksums, and what they hold.

Source: addresses and MD5 are those of torchvision; lengths and SHA-256 are those of the files themselves.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A file that a published one holds, as it lies on a disk once that has been unpacked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Its place in the data folder."""

    md5: str | None = None
    """The MD5 of its bytes, where one is published."""

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

    parts: tuple[Part, ...] = ()
    """What is read in its place where it was unpacked and is no longer there."""


MNIST_ARCHIVES = {
    "train-images-idx3-ubyte": (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte": (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte": (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte": (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
# A head, then a byte for each pixel or label.
MNIST_UNPACKED = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}


MNIST_FILES = tuple(
    DataFile(
        name=f"MNIST/raw/{name}.gz",
        url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz",
        size=size,
        sha256=sha256,
        parts=(Part(name=f"MNIST/raw/{name}", size=MNIST_UNPACKED[name]),),
    )
    for name, (size, sha256) in MNIST_ARCHIVES.items()
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
        parts=tuple(Part(name=f"cifar-10-batches-py/{name}", md5=md5) for name, md5 in CIFAR10_BATCHES.items()),
    ),
)

CIFAR100_FILES = (
    DataFile(
        name="cifar-100-python.tar.gz",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        size=169_001_437,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        parts=(
            Part(name="cifar-100-python/train", md5="16019d7e3df5f24257cddd939b257f8d"),
            Part(name="cifar-100-python/test", md5="f0ef6b0ae62326f3e7ffdfab6717acfc"),
        ),
    ),
)
