"""Lists the image files in class folders, `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, without decoding any."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from random import Random
from time import time_ns
from typing import NamedTuple

from cldfc.diagnostics import UsageError
from cldfc.files import opened


def draw_part(labels: Sequence[int], names: Sequence[str], share: float, seed: int, whose: str) -> list[int]:
    """The numbers, ascending, of images drawn at random: `share` of each class, to within one image.

    At least one image of each class is drawn, and at least one is left. The same labels, share and seed give the same
    images on every machine. `names` are the class names; `whose` is what an error says they are classes of.
    Raises UsageError if a class has fewer than two images.
    """
    counts = Counter(labels)
    sizes = [counts[label] for label in range(len(names))]
    for name, size in zip(names, sizes, strict=True):
        if size < 2:
            has = "only one image" if size else "no image"
            raise UsageError(
                f"the class `{name}` of {whose} has {has}, too few to be in both parts of a split",
                "each class needs two images or more",
            )
    # Python promises the same numbers in all its releases; torch and numpy do not.
    chance = Random(seed)
    draws = [chance.random() for _ in labels]
    of_class: list[list[int]] = [[] for _ in names]
    for number in sorted(range(len(labels)), key=draws.__getitem__):
        of_class[labels[number]].append(number)
    drawn = _sizes_of_part(sizes, share)
    return sorted(number for numbers, size in zip(of_class, drawn, strict=True) for number in numbers[:size])


def _sizes_of_part(sizes: Sequence[int], share: float) -> list[int]:
    """How many images of each class to draw: its share rounded down, and one more for the largest remainders.

    A quarter of `[10, 9, 9]` is `[3, 2, 2]`: 7 of 28, and 2.5 has a larger remainder than 2.25.
    """
    drawn = [min(max(int(share * size), 1), size - 1) for size in sizes]
    left = round(share * sum(sizes)) - sum(drawn)
    rest = {label: share * size - drawn[label] for label, size in enumerate(sizes) if drawn[label] < size - 1}
    for label in sorted((label for label in rest if rest[label] > 0), key=lambda label: -rest[label])[: max(left, 0)]:
        drawn[label] += 1
    return drawn


_TRAIN, _TESTS = "train", ("test", "val")
"""The folder of training images, and those of test images, of which the first that exists is used. `val` beside
`test` is for validation."""

_TEST_SHARE, _SEED = 0.2, 0
"""Share of test images, and random seed, for class folders that come without a split."""

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")

_PASSED_OVER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}
"""Files and folders that file managers leave behind. They are skipped, as are hidden ones."""

_LOOKED_AT = 2**16
"""Bytes of a class's first file in its digest, which tell apart classes with the same file names and sizes."""

_SETTLED = 2 * 10**9
"""Nanoseconds after which another change of a folder is sure to change its modification time."""

_NAMED = 4
"""Number of files that a message names."""

_LAYOUT = (
    "`{0}/train/CLASS/*.png` and `{0}/test/CLASS/*.png`, or `val` in place of `test`; "
    "or all as `{0}/CLASS/*.png`, to be divided at random"
)


class Sample(NamedTuple):
    path: str
    label: int


class _ClassFolders(NamedTuple):
    folder: Path
    classes: tuple[str, ...]
    split: str
    """One sentence that says which images are for training and which for testing."""
    is_drawn: bool
    train: Sequence[Sample]
    test: Sequence[Sample]
    validation: Sequence[Sample] = ()

    @property
    def parts(self) -> tuple[Sequence[Sample], ...]:
        return self.train, self.test, self.validation

    @property
    def images(self) -> tuple[int, int]:
        """Number of training images, and of test images."""
        return len(self.train), len(self.test)

    def without(self, names: Collection[str]) -> _ClassFolders:
        """The same without some files, given by their paths within the folder; `split` counts and names them.

        Raises UsageError if a class has no training or no test images left.
        """
        if not names:
            return self
        train, test, validation = (
            [sample for sample in part if self.path_within(sample) not in names] for part in self.parts
        )
        for what, part in {"training": train, "test": test}.items():
            for label in sorted({*range(len(self.classes))} - {sample.label for sample in part}):
                raise UsageError(
                    f"no {what} image of the class `{self.classes[label]}` can be read",
                    "repair the files, or move the class elsewhere",
                )
        cannot = "cannot be read and is left out" if len(names) == 1 else "cannot be read and are left out"
        split = f"{self.split} Of these, {len(names):,} {cannot}: {_first_few(sorted(names))}."
        return self._replace(split=split, train=train, test=test, validation=validation)

    def path_within(self, sample: Sample) -> str:
        return os.path.relpath(sample.path, self.folder)

    @property
    def fingerprint(self) -> str:
        """A hash that changes when a file is added, removed, renamed, or moved to another part."""
        names = [[sample.path.removeprefix(str(self.folder)) for sample in part] for part in self.parts]
        return hashlib.sha256(repr(names).encode()).hexdigest()[:16]

    @property
    def digests(self) -> tuple[str, ...]:
        """A hash of each class, independent of the name of the class and the location of the folder.

        It changes when a file is added, removed, renamed, resized, or moved to another of the folders `train`, `test`
        and `val`, or when the beginning of the first file changes; no other file is opened.
        """
        files: list[list[tuple[str, str]]] = [[] for _ in self.classes]
        for path, label in (sample for part in self.parts for sample in part):
            pieces = path.removeprefix(str(self.folder)).strip(os.sep).split(os.sep)
            # The name of the class.
            del pieces[0 if self.is_drawn else 1]
            files[label].append((os.sep.join(pieces), path))
        return tuple(map(_digest_of_images, files))


def _digest_of_images(files: list[tuple[str, str]]) -> str:
    """A hash of the files of a class, given as (name within the class, path); unreadable files count, too."""
    found = hashlib.sha256()
    for name, path in sorted(files):
        try:
            size = os.stat(path).st_size
        except OSError:
            size = -1
        found.update(b"%s\0%d\n" % (os.fsencode(name), size))
    with suppress(OSError), opened(Path(min(files)[1]), sys.maxsize) as file:
        found.update(file.read(_LOOKED_AT))
    return found.hexdigest()[:16]


@contextmanager
def reading_folders() -> Generator[None]:
    """Raises UsageError in place of any OSError within the block."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot read `{error.filename}`: {error.strerror}", "give a folder that may be read"
        ) from error


@reading_folders()
def look_at_folder(name: str) -> _ClassFolders:
    """The class folders in a folder; a relative path starts at the working directory.

    Raises UsageError if the folder does not exist or cannot be read, has fewer than two classes, has different
    classes to train and to test on, a class with no images or too few to be split, or a file with an extension that
    is not an image's.
    """
    folder = Path(os.path.expanduser(name))
    if not name or not folder.is_dir():
        where = "" if folder.is_absolute() else f"; the working directory is `{Path.cwd()}`"
        raise UsageError(f"there is no folder `{name}`{where}", f"name one with {_LAYOUT.format('PATH')}")
    train, tests = folder / _TRAIN, [folder / part for part in _TESTS if (folder / part).is_dir()]
    if not train.is_dir() and not tests and class_names(folder):
        return _drawn_from(folder)
    if not train.is_dir() or not tests:
        lacking = _TRAIN if tests or not train.is_dir() else _TESTS[0]
        raise UsageError(f"`{name}` has no folder `{lacking}`", f"lay the images out as {_LAYOUT.format(name)}")
    classes = class_names(train)
    _check_count(train, classes)
    for tested in tests:
        _check_classes(train, tested, classes)
    folders = (train, *tests)
    samples = [list_samples(path) for path in folders]
    pairs = zip(("training", "test", "validation"), folders, samples, strict=False)
    counted = ", ".join(f"{len(found):,} {part} images of `{path}`" for part, path, found in pairs)
    return _ClassFolders(folder, classes, f"Class folders: {counted}.", False, *samples)


def _drawn_from(folder: Path) -> _ClassFolders:
    """Class folders that come without a split, split at random. Raises UsageError, OSError."""
    classes = class_names(folder)
    _check_count(folder, classes)
    for name in classes:
        _check_flat(folder, name)
    samples = list_samples(folder)
    tested = set(draw_part([sample.label for sample in samples], classes, _TEST_SHARE, _SEED, f"`{folder}`"))
    train, test = ([s for n, s in enumerate(samples) if (n in tested) == is_test] for is_test in (False, True))
    split = (
        f"Class folders of `{folder}`, divided at random (seed {_SEED}) with equal shares of each class into "
        f"{len(train):,} training and {len(test):,} test images."
    )
    return _ClassFolders(folder, classes, split, True, train, test)


def _check_count(folder: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        count = f"only the class `{classes[0]}`" if classes else "no class folders"
        raise UsageError(f"`{folder}` has {count}", "make a folder for each class, at least two, with its images in it")


def _check_flat(folder: Path, name: str) -> None:
    """Raises UsageError if a folder holds only folders: it is not a class, but perhaps a misnamed `train`."""
    inside = _entries_of(folder / name)
    if inside.folders and not any(each.lower().endswith(IMAGES) for each in (*inside.folders, *inside.files)):
        raise UsageError(
            f"`{folder}` has no folder `{_TRAIN}`, and `{folder / name}` is not a class: it holds only folders",
            f"lay the images out as {_LAYOUT.format(folder)}",
        )


def _check_classes(train: Path, test: Path, classes: Sequence[str]) -> None:
    tested = class_names(test)
    for name in sorted({*classes} ^ {*tested}):
        has, lacks = (train, test) if name in classes else (test, train)
        raise UsageError(
            f"the class `{name}` is in `{has}` and not in `{lacks}`",
            f"make the folder `{lacks / name}` with images of that class, or keep `{has / name}` elsewhere",
        )


def _first_few(paths: Sequence[str]) -> str:
    return ", ".join([*(f"`{path}`" for path in paths[:_NAMED]), *(["…"] if len(paths) > _NAMED else [])])


class _Entries(NamedTuple):
    """Sorted names in a folder, without hidden ones and those that file managers leave behind."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


def _entries_of(folder: str | Path) -> _Entries:
    """The entries of a folder, cached until the folder changes. Raises OSError.

    A command lists and checks all folders of a data set several times.
    """
    found = os.stat(folder)
    is_settled = time_ns() - found.st_mtime_ns > _SETTLED
    # Two changes in quick succession may have the same modification time.
    read = _read_entries if is_settled else _read_entries.__wrapped__
    return read(str(folder), (found.st_dev, found.st_ino, found.st_mtime_ns))


@lru_cache(maxsize=4096)
def _read_entries(folder: str, _age: tuple[int, ...]) -> _Entries:
    with os.scandir(folder) as found:
        seen = [each for each in found if not each.name.startswith(".") and each.name.lower() not in _PASSED_OVER]
    # A link may be broken or circular.
    folders = {each.name for each in seen if (os.path.isdir(each) if each.is_symlink() else each.is_dir())}
    return _Entries(tuple(sorted(folders)), tuple(sorted(each.name for each in seen if each.name not in folders)))


def class_names(folder: Path) -> tuple[str, ...]:
    return _entries_of(folder).folders


def list_samples(folder: Path) -> list[Sample]:
    """All images in the class folders of a folder, labelled in the order of the class names.

    Raises UsageError if a class has none, or a file does not have an image's extension; OSError if a folder cannot be
    read.
    """
    samples: list[Sample] = []
    strange: list[str] = []
    empty: list[Path] = []
    for label, name in enumerate(class_names(folder)):
        files = _files_of_class(folder / name)
        images = [path for path in files if path.lower().endswith(IMAGES)]
        strange += [path for path in files if not path.lower().endswith(IMAGES)]
        empty += [] if images else [folder / name]
        samples += [Sample(path, label) for path in images]
    if strange:
        others = f", nor are {len(strange) - 1:,} more: {_first_few(strange[1:])}" if len(strange) > 1 else ""
        raise UsageError(
            f"`{strange[0]}` is not an image file{others}", f"keep it elsewhere; images end in {', '.join(IMAGES)}"
        )
    if empty:
        raise UsageError(f"`{empty[0]}` holds no images", f"put files into it that end in one of {', '.join(IMAGES)}")
    return samples


def _files_of_class(folder: Path) -> list[str]:
    """The files of a class, including those in subfolders. Raises UsageError for a circular link, and OSError."""
    found: list[tuple[str, tuple[str, ...]]] = []
    left = [str(folder)]
    while left:
        root = left.pop()
        folders, files = _entries_of(root)
        for path in (os.path.join(root, name) for name in folders):
            if os.path.islink(path) and Path(root).resolve().is_relative_to(Path(path).resolve()):
                raise UsageError(f"`{path}` is a link to a folder that it lies in", "remove the link")
            left.append(path)
        found.append((root, files))
    return [os.path.join(root, name) for root, names in sorted(found) for name in names]
