"""The data set that a run was trained on: as it was then, and whether its images are still the same."""

from __future__ import annotations

from collections.abc import Sequence

from cldfc.data.catalogue import find, is_folder, is_own, measured_idx, path_of, reader_of, skipping, with_holdout
from cldfc.data.class_folders import look_at_folder
from cldfc.data.data_set import UNKNOWN, DataSet, trusting
from cldfc.diagnostics import UsageError
from cldfc.runs.run_folder import RunRecord


def digests_of(name: str) -> tuple[str, ...]:
    """Digests of the user's own images, wherever they lie; none for other data sets. Raises UsageError."""
    if is_folder(name):
        return look_at_folder(path_of(name)).digests
    if is_own(name):
        return (measured_idx(name).digest,)
    return ()


def may_have_moved(record: RunRecord, name: str) -> bool:
    """Whether a name may mean the images of a run in another place: both are the user's own, and of one kind."""
    return is_own(name) and is_own(record.dataset) and reader_of(name) == reader_of(record.dataset)


def changes_since(record: RunRecord, dataset: DataSet) -> tuple[Sequence[str], str]:
    """How images of one's own, in the place that was recorded or in another, differ from those that were trained on.

    First which classes were exchanged, `rose` holds what `aster` held; then that, and which hold other files, in
    words. Of a run of an earlier release that is not known. Raises UsageError when they cannot be read.
    """
    exchanged: list[str] = []
    others: list[str] = []
    before, now = record.digests, digests_of(dataset.name) if record.digests else ()
    if before and not is_folder(dataset.name):
        others = [] if now == before else [f"`{path_of(dataset.name)}`"]
    elif before:
        known = dict(zip(record.class_names, before, strict=True))
        names = {digest: name for name, digest in known.items()}
        for name, digest in zip(dataset.class_names, now, strict=True):
            if known.get(name) == digest:
                continue
            if digest in names:
                exchanged.append(f"`{name}` holds what `{names[digest]}` held")
            else:
                others.append(f"`{name}`")
    return exchanged, "; ".join([*exchanged, *([f"there are other files in {', '.join(others)}"] if others else [])])


def remarks_on(record: RunRecord, name: str | None = None) -> list[str]:
    """What is to be said of the images of a run, if they are still there; or of those of another data set like it."""
    name = name or record.dataset
    if not may_have_moved(record, name):
        return []
    try:
        _, changes = changes_since(record, find(name, record.input_shape))
    except UsageError:
        return []
    return [f"`{name}` holds other images than the run was trained on: {changes}"] if changes else []


def described_dataset(record: RunRecord) -> DataSet:
    """The data set of a run as it was then; its class folders need not be there any more. Raises UsageError."""
    if not is_own(record.dataset):
        return _as_recorded(find(record.dataset), record)
    return DataSet(
        name=record.dataset,
        reader=reader_of(record.dataset),
        from_files=is_folder(record.dataset),
        shape=record.input_shape,
        classes=record.classes,
        images=UNKNOWN,
        class_names=record.class_names,
        mean=record.mean,
        std=record.std,
        split=record.split,
        recipe=record.recipe,
    )


def recorded_dataset(record: RunRecord, name: str | None = None) -> DataSet:
    """The data set of a run, standardised as it was then; `name` says where it has moved to.

    Raises UsageError when it is gone, or its classes are others or exchanged; elsewhere unless it is the same.
    """
    has_moved = name not in (None, record.dataset)
    try:
        dataset = find(name or record.dataset, record.input_shape)
    except UsageError as error:
        if not is_own(name or record.dataset):
            raise
        reader = (name or record.dataset).partition(":")[0]
        help = f"{error.help}; if the images have moved, `--data {reader}:PATH` says where they are"
        raise UsageError(error.message, help, error.details) from error
    refuse_other_classes(record, dataset)
    exchanged, changes = changes_since(record, dataset)
    if exchanged or (has_moved and changes):
        raise UsageError(
            f"`{dataset.name}` does not hold the images that the run was trained on: {changes}",
            "restore the original images, or start another run",
        )
    if with_holdout(dataset, record.recipe).fingerprint != record.fingerprint:
        raise UsageError(
            f"`{dataset.name}` holds other images now than when the run was trained, and they would be divided "
            "otherwise: the run would be tested on images that it was trained on",
            "put the images back as they were, or start another run",
        )
    return _as_recorded(skipping(dataset, record.skipped_files), record)


def refuse_other_classes(record: RunRecord, dataset: DataSet) -> None:
    if is_own(dataset.name) and (dataset.classes, dataset.class_names) != (record.classes, record.class_names):
        other = sorted({*dataset.class_names} ^ {*record.class_names}) or [f"{dataset.classes}, not {record.classes}"]
        raise UsageError(
            f"`{dataset.name}` has other classes now than when the run was trained: {', '.join(other)}",
            "restore the original images, or start another run",
        )


def _as_recorded(dataset: DataSet, record: RunRecord) -> DataSet:
    """A data set standardised as a run records it, which trusts the files that were trusted then."""
    dataset = trusting(dataset, record.trusted_files)
    # Older runs leave it to the data set.
    return dataset.model_copy(update={"mean": record.mean, "std": record.std}) if record.mean else dataset
