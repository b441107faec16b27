"""The published files of the data sets: addresses, sizes, checksums and members.

Sources: torchvision and A. Krizhevsky's page for addresses; the files themselves or TensorFlow Datasets for sizes and
SHA-256; torchvision and ankane for the checksums of the members of CIFAR's archives.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import BaseModel


class ArchiveMember(BaseModel, frozen=True, extra="forbid"):
    """A file inside a published one."""

    name: str
    """Its name, without folders."""

    checksum: str | None = None
    """Its MD5 (32 hexadecimal digits) or SHA-256 (64), if known."""

    size: int | None = None
    """Its size in bytes, if known."""


class DataFile(BaseModel, frozen=True, extra="forbid"):
    """A published file of a data set."""

    name: str
    """Its name, or its path within each of `folders`."""

    url: str
    """The address it is published at."""

    size: int
    """Its size in bytes."""

    sha256: str
    """Its SHA-256, as 64 hexadecimal digits."""

    folders: tuple[str, ...] = (".",)
    """Folders to look in, relative to the data folder or absolute; a download goes into the first."""

    parts: tuple[ArchiveMember, ...] = ()
    """The members that are read, if it is packed."""

    unpacked: tuple[str, ...] = ()
    """Folders to look in for members that have been unpacked."""

    forms: tuple[DataFile, ...] = ()
    """Other published files with the same images, which are accepted, too."""

    @property
    def place(self) -> str:
        """The path of a download within the data folder."""
        return str(PurePosixPath(self.folders[0], self.name))


_IDX_SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
"""MNIST and its relatives: a header, then one byte for each pixel or label."""


def _idx_files(
    address: str,
    folders: tuple[str, ...],
    packed: Sequence[tuple[int, str]],
    checksums: Sequence[str | None],
    unpacked: tuple[str, ...] = (),
) -> tuple[DataFile, ...]:
    """The four files of MNIST or a relative, in the order of _IDX_SIZES.

    `packed` has size and SHA-256 of each gzipped file, `checksums` those of their contents. `unpacked` are the folders
    of the unpacked files, if they are not `folders`.
    """
    return tuple(
        DataFile(
            name=f"{name}.gz",
            url=f"{address}{name}.gz",
            size=size,
            sha256=sha256,
            folders=folders,
            parts=(ArchiveMember(name=name, checksum=checksum, size=length),),
            unpacked=unpacked or folders,
        )
        for (name, length), (size, sha256), checksum in zip(_IDX_SIZES.items(), packed, checksums, strict=True)
    )


MNIST_FILES = _idx_files(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ("MNIST/raw", "raw", "MNIST", "mnist", "."),
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

# Debian has repacked the same bytes, so only the checksums of the contents agree with the published ones.
FASHION_MNIST_FILES = _idx_files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        *("FashionMNIST/raw", "raw", "FashionMNIST", "fashion-mnist", "fashion_mnist", "."),
        "/usr/share/datasets/fashion-mnist",
    ),
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

# No checksums of the contents are published: unpacked files are recognised by their folder and their size.
KMNIST_FILES = _idx_files(
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ("KMNIST/raw", "raw", "KMNIST", "kmnist", "."),
    (
        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    (None, None, None, None),
    unpacked=("KMNIST/raw", "KMNIST", "kmnist"),
)

_SVHN_ADDRESS = "http://ufldl.stanford.edu/housenumbers/"
SVHN_FILES = tuple(
    DataFile(name=name, url=f"{_SVHN_ADDRESS}{name}", size=size, sha256=sha256, folders=(".", "SVHN", "svhn"))
    for name, size, sha256 in (
        ("train_32x32.mat", 182_040_794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
        ("test_32x32.mat", 64_275_384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
    )
)


def _cifar_archive(
    name: str,
    size: int,
    sha256: str,
    inner: str,
    folders: tuple[str, ...],
    parts: dict[str, str],
    forms: tuple[DataFile, ...] = (),
) -> DataFile:
    """An archive of CIFAR with its members in the folder `inner`, which may be the data folder itself."""
    return DataFile(
        name=name,
        url=f"https://www.cs.toronto.edu/~kriz/{name}",
        size=size,
        sha256=sha256,
        folders=folders,
        parts=tuple(ArchiveMember(name=part, checksum=checksum) for part, checksum in parts.items()),
        unpacked=(*(f"{folder}/{inner}" for folder in folders), "."),
        forms=forms,
    )


_CIFAR10_FOLDERS = (".", "cifar10", "cifar-10", "CIFAR10", "CIFAR-10")
_CIFAR100_FOLDERS = (".", "cifar100", "cifar-100", "CIFAR100", "CIFAR-100")

_CIFAR10_BINARY = _cifar_archive(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-batches-bin",
    _CIFAR10_FOLDERS,
    {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
)

CIFAR10_FILES = (
    _cifar_archive(
        "cifar-10-python.tar.gz",
        170_498_071,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "cifar-10-batches-py",
        _CIFAR10_FOLDERS,
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
        forms=(_CIFAR10_BINARY,),
    ),
)

_CIFAR100_BINARY = _cifar_archive(
    "cifar-100-binary.tar.gz",
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    "cifar-100-binary",
    _CIFAR100_FOLDERS,
    {
        "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    },
)

CIFAR100_FILES = (
    _cifar_archive(
        "cifar-100-python.tar.gz",
        169_001_437,
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        "cifar-100-python",
        _CIFAR100_FOLDERS,
        {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        forms=(_CIFAR100_BINARY,),
    ),
)
