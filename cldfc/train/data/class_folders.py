"""Image files in class folders, `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`: which there are; none is opened.

The order of classes and files is that of torchvision's `ImageFolder`.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from cldfc.diagnostics import UsageError
from cldfc.train.data.stratify import draw_part
from cldfc.train.files import opened

TRAIN, TESTS = "train", ("test", "val")
"""The folders with training images, and with test images: the first of them that is there. `val` beside `test` is
for validation."""

TEST_SHARE, SEED = 0.2, 0
"""Of class folders that are not divided, the share of the images to test on, and the seed that they are drawn by."""

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")

PASSED_OVER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}
"""Files and folders that file managers leave behind; hidden ones are passed over, too."""

LOOKED_AT = 2**16
"""Bytes of the first file of a class, which tell it from others with files of the same names and sizes."""

SETTLED = 2 * 10**9
"""Nanoseconds from one change of a folder to another that surely has another time."""

NAMED = 4
"""Of more files the others are not named."""

LAYOUT = (
    "`{0}/train/CLASS/*.png` and `{0}/test/CLASS/*.png`, or `val` in place of `test`; "
    "or all as `{0}/CLASS/*.png`, to be divided at random"
)


class Sample(NamedTuple):
    path: str
    label: int


class ClassFolders(NamedTuple):
    folder: Path
    classes: tuple[str, ...]
    split: str
    """Which images are trained on and which are tested on, in one sentence."""
    train_samples: Sequence[Sample]
    test_samples: Sequence[Sample]
    validation_samples: Sequence[Sample] | None = None
    is_drawn: bool = False

    @property
    def parts(self) -> tuple[Sequence[Sample], ...]:
        return self.train_samples, self.test_samples, self.validation_samples or ()

    @property
    def images(self) -> tuple[int, int]:
        """Number of training images, and of test images."""
        return len(self.train_samples), len(self.test_samples)

    def without(self, names: Collection[str]) -> ClassFolders:
        """The same but for some files, by their paths within the folder; the sentence counts and names them.

        Raises UsageError when nothing is left of a class.
        """
        if not names:
            return self
        train, test, kept = (
            part if part is None else [sample for sample in part if self.path_within(sample) not in names]
            for part in (self.train_samples, self.test_samples, self.validation_samples)
        )
        assert train is not None and test is not None
        for what, part in {"to train on": train, "to test on": test}.items():
            for label in sorted({*range(len(self.classes))} - {sample.label for sample in part}):
                raise UsageError(
                    f"no image of the class `{self.classes[label]}` that is {what} can be read",
                    "mend the files, or keep the class elsewhere",
                )
        cannot = "cannot be read and is left out" if len(names) == 1 else "cannot be read and are left out"
        split = f"{self.split} Of these, {len(names):,} {cannot}: {first_few(sorted(names))}."
        return self._replace(split=split, train_samples=train, test_samples=test, validation_samples=kept)

    def path_within(self, sample: Sample) -> str:
        return os.path.relpath(sample.path, self.folder)

    @property
    def fingerprint(self) -> str:
        """Another one when a file has come, gone, or changed its name or its part."""
        names = [[sample.path.removeprefix(str(self.folder)) for sample in part] for part in self.parts]
        return hashlib.sha256(repr(names).encode()).hexdigest()[:16]

    @property
    def digests(self) -> tuple[str, ...]:
        """One for each class, which depends neither on its name nor on where the folder lies.

        It is another one when a file has come, gone, or changed its name, its size or its part, or the first one its
        content: no other file is opened.
        """
        files: list[list[tuple[str, str]]] = [[] for _ in self.classes]
        for path, label in (sample for part in self.parts for sample in part):
            pieces = path.removeprefix(str(self.folder)).strip(os.sep).split(os.sep)
            # The name of the class.
            del pieces[0 if self.is_drawn else 1]
            files[label].append((os.sep.join(pieces), path))
        return tuple(map(digest_of_images, files))


def digest_of_images(files: list[tuple[str, str]]) -> str:
    """A digest of the files of a class, given by their names within it and their paths; unreadable ones count, too."""
    found = hashlib.sha256()
    for name, path in sorted(files):
        try:
            size = os.stat(path).st_size
        except OSError:
            size = -1
        found.update(b"%s\0%d\n" % (os.fsencode(name), size))
    with suppress(OSError), opened(Path(min(files)[1]), sys.maxsize) as file:
        found.update(file.read(LOOKED_AT))
    return found.hexdigest()[:16]


@contextmanager
def reading_folders() -> Generator[None]:
    """Raises UsageError where a folder cannot be read."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot read `{error.filename}`: {error.strerror}", "give a folder that may be read"
        ) from error


@reading_folders()
def look_at_folder(name: str) -> ClassFolders:
    """The class folders in a folder; a relative one lies in the working directory.

    Raises UsageError when it is not there or cannot be read, or holds no classes, only one, other ones to
    test on than to train on, a class without images or with too few to be divided, or a file that is not an image.
    """
    folder = Path(os.path.expanduser(name))
    if not name or not folder.is_dir():
        where = "" if folder.is_absolute() else f"; the working directory is `{Path.cwd()}`"
        raise UsageError(f"there is no folder `{name}`{where}", f"name one with {LAYOUT.format('PATH')}")
    train, tests = folder / TRAIN, [folder / part for part in TESTS if (folder / part).is_dir()]
    if not train.is_dir() and not tests and class_names(folder):
        return drawn_from(folder)
    if not train.is_dir() or not tests:
        lacking = TRAIN if tests or not train.is_dir() else TESTS[0]
        raise UsageError(f"`{name}` has no folder `{lacking}`", f"lay the images out as {LAYOUT.format(name)}")
    classes = class_names(train)
    check_count(train, classes)
    for tested in tests:
        check_classes(train, tested, classes)
    folders = dict(zip(("training", "test", "validation"), (train, *tests), strict=False))
    samples = {part: list_samples(path) for part, path in folders.items()}
    counted = ", ".join(f"{len(samples[part]):,} {part} images of `{path}`" for part, path in folders.items())
    split = f"Class folders: {counted}."
    return ClassFolders(folder, classes, split, samples["training"], samples["test"], samples.get("validation"))


def drawn_from(folder: Path) -> ClassFolders:
    """The images of class folders that are not divided, divided at random. Raises UsageError, OSError."""
    classes = class_names(folder)
    check_count(folder, classes)
    for name in classes:
        check_flat(folder, name)
    samples = list_samples(folder)
    tested = set(draw_part([sample.label for sample in samples], classes, TEST_SHARE, SEED, f"`{folder}`"))
    train, test = ([s for n, s in enumerate(samples) if (n in tested) == is_test] for is_test in (False, True))
    split = (
        f"Class folders of `{folder}`, divided at random (seed {SEED}) with equal shares of each class into "
        f"{len(train):,} training and {len(test):,} test images."
    )
    return ClassFolders(folder, classes, split, train, test, is_drawn=True)


def check_count(folder: Path, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        count = f"only the class `{classes[0]}`" if classes else "no class folders"
        raise UsageError(f"`{folder}` has {count}", "make a folder for each class, at least two, with its images in it")


def check_flat(folder: Path, name: str) -> None:
    """Raises UsageError when a folder holds folders and no image: it is no class, but perhaps called `training`."""
    inside = entries_of(folder / name)
    if inside.folders and not any(each.lower().endswith(IMAGES) for each in (*inside.folders, *inside.files)):
        raise UsageError(
            f"`{folder}` has no folder `{TRAIN}`, and `{folder / name}` is no class: it holds folders alone",
            f"lay the images out as {LAYOUT.format(folder)}",
        )


def check_classes(train: Path, test: Path, classes: Sequence[str]) -> None:
    tested = class_names(test)
    for name in sorted({*classes} ^ {*tested}):
        has, lacks = (train, test) if name in classes else (test, train)
        raise UsageError(
            f"the class `{name}` is in `{has}` and not in `{lacks}`",
            f"make the folder `{lacks / name}` with images of that class, or keep `{has / name}` elsewhere",
        )


def first_few(paths: Sequence[str]) -> str:
    return ", ".join([*(f"`{path}`" for path in paths[:NAMED]), *(["…"] if len(paths) > NAMED else [])])


class Entries(NamedTuple):
    """What lies in a folder, by name and in order, but for what is hidden or left behind by a file manager."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


def entries_of(folder: str | Path) -> Entries:
    """What lies in a folder, which is read again only when it has changed. Raises OSError.

    `cldfc eval` looks at a data set five times, and each time checks it as a whole.
    """
    found = os.stat(folder)
    is_settled = time_ns() - found.st_mtime_ns > SETTLED
    # A folder that has just been changed may be changed again without having another time.
    read = read_entries if is_settled else read_entries.__wrapped__
    return read(str(folder), (found.st_dev, found.st_ino, found.st_mtime_ns))


@lru_cache(maxsize=4096)
def read_entries(folder: str, _age: tuple[int, ...]) -> Entries:
    with os.scandir(folder) as found:
        seen = [each for each in found if not each.name.startswith(".") and each.name.lower() not in PASSED_OVER]
    # A link may lead nowhere, or in a circle.
    folders = {each.name for each in seen if (os.path.isdir(each) if each.is_symlink() else each.is_dir())}
    return Entries(tuple(sorted(folders)), tuple(sorted(each.name for each in seen if each.name not in folders)))


def class_names(folder: Path) -> tuple[str, ...]:
    return entries_of(folder).folders


def list_samples(folder: Path) -> list[Sample]:
    """All images of a folder with class folders.

    Raises UsageError when a class has none, or a file is not an image; OSError when a folder cannot be read.
    """
    samples: list[Sample] = []
    strange: list[str] = []
    empty: list[Path] = []
    for label, name in enumerate(class_names(folder)):
        files = files_of_class(folder / name)
        images = [path for path in files if path.lower().endswith(IMAGES)]
        strange += [path for path in files if not path.lower().endswith(IMAGES)]
        empty += [] if images else [folder / name]
        samples += [Sample(path, label) for path in images]
    if strange:
        others = f", nor are {len(strange) - 1:,} more: {first_few(strange[1:])}" if len(strange) > 1 else ""
        raise UsageError(
            f"`{strange[0]}` is not an image file{others}", f"keep it elsewhere; images end in {', '.join(IMAGES)}"
        )
    if empty:
        raise UsageError(f"`{empty[0]}` holds no images", f"put files into it that end in one of {', '.join(IMAGES)}")
    return samples


def files_of_class(folder: Path) -> list[str]:
    """The files of a class, also those in folders within it. Raises UsageError where a link leads back, OSError."""
    found: list[tuple[str, tuple[str, ...]]] = []
    left = [str(folder)]
    while left:
        root = left.pop()
        folders, files = entries_of(root)
        for path in (os.path.join(root, name) for name in folders):
            if os.path.islink(path) and Path(root).resolve().is_relative_to(Path(path).resolve()):
                raise UsageError(f"`{path}` is a link to a folder that it lies in", "remove the link")
            left.append(path)
        found.append((root, files))
    return [os.path.join(root, name) for root, names in sorted(found) for name in names]
