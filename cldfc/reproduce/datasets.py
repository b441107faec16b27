"""Which of the tables' data sets are there, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.reproduce.recipes import find_dataset
from cldfc.reproduce.runs import Wanted
from cldfc.train.catalogue import DATA_DIR
from cldfc.train.data.download import fetch_missing
from cldfc.train.data.files import how_to_get, missing
from cldfc.train.launch import Launch


def prepare_datasets(
    wanted: Wanted, data_dir: Path | None, download: bool, launch: Launch, say: Callable[[str], None]
) -> list[str]:
    """The names of the data sets that can be trained on; `say` hears what the others lack.

    Raises UsageError when the folder is not there, a download fails, or several processes are to do the same one.
    """
    if data_dir is not None and not download and not data_dir.exists():
        raise UsageError(
            f"there is no folder `{data_dir}`", "name the one with the data, or fetch them by `--download`"
        )
    if download and launch.count > 1:
        raise UsageError(
            "several processes cannot fetch the same files", "run the command once with `--download`, without torchrun"
        )
    folder = data_dir or DATA_DIR
    there: list[str] = []
    for name in dict.fromkeys(name for table in wanted.tables for name in wanted.datasets(table)):
        dataset = find_dataset(name)
        if download and not dataset.folders:
            fetch_missing(dataset, folder, say)
        # Training takes days: it is done where somebody has named the data, the folder, or a download.
        if data_dir is None and not download and wanted.data is None:
            lacking = [*(file.place for file in dataset.files), *dataset.folders]
        else:
            lacking = missing(dataset, folder)
        if lacking:
            tables = ", ".join(table.name for table in wanted.tables if name in wanted.datasets(table))
            say(f"not trained on {name} ({tables}) without `{lacking[0]}`: {how_to_get(dataset)}")
        else:
            there.append(name)
    return there
