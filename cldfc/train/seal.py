"""The seal of a run: `SHA256SUMS` of its spec, source, recipe, weights and metrics, by which a change is found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.train.files import LARGEST_TENSORS, opened, read_text, write_run_file

SEAL = "SHA256SUMS"
SEALED = ("spec.cldf", "network.py", "recipe.json", "best.safetensors", "metrics.csv")
DECISIVE = ("spec.cldf", "recipe.json", "best.safetensors")
"""Without them as they were, a run is another one."""


def write_sealed(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files of a run, by name, and seal them. Raises UsageError.

    The seal holds at every moment: while a file is written, it knows the old and the new one.
    """
    known = read_seal(folder) or {}
    new = {name: (hashlib.sha256(content).hexdigest(),) for name, content in contents.items()}
    write_seal(folder, {**known, **{name: (*known.get(name, ()), *new[name]) for name in new}})
    for name, content in contents.items():
        write_run_file(folder / name, content)
    write_seal(folder, {**known, **new})


def seal_run(folder: Path) -> None:
    """Seal the files of a run as they are, such as one of an earlier release. Raises UsageError."""
    write_seal(folder, {name: (digest_of_file(folder / name),) for name in SEALED if (folder / name).exists()})


def write_seal(folder: Path, sums: Mapping[str, Iterable[str]]) -> None:
    """Write the sums of files, as `sha256sum` writes them."""
    ordered = sorted(sums, key=lambda name: SEALED.index(name) if name in SEALED else len(SEALED))
    lines = dict.fromkeys(f"{digest}  {name}\n" for name in ordered for digest in sums[name])
    write_run_file(folder / SEAL, "".join(lines))


def read_seal(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """The sums of the files of a run, by name; None where it has no seal. Raises UsageError when that holds no sums."""
    path = folder / SEAL
    if not path.exists():
        return None
    sums: dict[str, tuple[str, ...]] = {}
    for line in read_text(path).splitlines():
        digest, _, name = line.partition(" ")
        name = name[1:]
        if len(digest) != 64 or name not in SEALED:
            raise UsageError(f"`{path}` does not hold the sums of a run's files", seal_anew(folder))
        sums[name] = (*sums.get(name, ()), digest)
    return sums


def changed_files(folder: Path, names: Iterable[str] = SEALED) -> list[str] | None:
    """Which of the files of a run are not what was written; None where it has no seal. Raises UsageError.

    A file that is missing is found to be so by whoever reads it.
    """
    sums = read_seal(folder)
    if sums is None:
        return None
    there = [name for name in names if (folder / name).exists()]
    return [name for name in there if digest_of_file(folder / name) not in sums.get(name, ())]


def digest_of_file(path: Path) -> str:
    try:
        with opened(path, LARGEST_TENSORS) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        help = "let it be read, or put back what the training wrote"
        raise UsageError(f"cannot read `{path}`: {error.strerror}", help) from error


def check_seal(folder: Path, decisive: Iterable[str] = DECISIVE, names: Iterable[str] = SEALED) -> list[str]:
    """Remarks on the files of a run before it is used. Raises UsageError when a decisive one was changed."""
    changed = changed_files(folder, names)
    if changed is None:
        return [f"`{folder}` has no `{SEAL}`; it is from an earlier release, so changes to its files go unnoticed"]
    refused = [name for name in changed if name in decisive]
    if refused:
        names = " and ".join(f"`{folder / name}`" for name in refused)
        raise UsageError(
            f"{names} {'is' if len(refused) == 1 else 'are'} not what the training wrote", seal_anew(folder)
        )
    return [f"`{folder / name}` is not what the training wrote" for name in changed]


def seal_anew(folder: Path) -> str:
    names = " ".join(name for name in SEALED if (folder / name).exists())
    return f"put back what was there; if the change is intended: `cd {folder} && sha256sum {names} > {SEAL}`"
