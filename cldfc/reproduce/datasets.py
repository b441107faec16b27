"""Which of the tables' data sets are there, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cldfc.diagnostics import UsageError
from cldfc.reproduce.recipes import find_dataset
from cldfc.reproduce.runs import Wanted
from cldfc.train.catalogue import DATA_DIR, DataSet
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
    there: list[str] = []
    for name in dict.fromkeys(name for table in wanted.tables for name in wanted.datasets(table)):
        lacking = fetch_or_look(find_dataset(name), data_dir, download, wanted.data is not None, say)
        if lacking:
            tables = ", ".join(table.name for table in wanted.tables if name in wanted.datasets(table))
            say(f"not trained on {name} ({tables}) without `{lacking[0]}`: {how_to_get(find_dataset(name))}")
        else:
            there.append(name)
    return there


def fetch_or_look(
    dataset: DataSet, data_dir: Path | None, download: bool, is_named: bool, say: Callable[[str], None]
) -> list[str]:
    """What a data set lacks, after it has been fetched if that is wanted and possible.

    Where neither it nor a folder is named and no download is wanted, files are not looked for: training takes days.
    """
    if download and not dataset.folders:
        fetch_missing(dataset, data_dir or DATA_DIR, say)
    if data_dir is None and not download and not is_named:
        return [*(file.place for file in dataset.files), *dataset.folders]
    return missing(dataset, data_dir or DATA_DIR)
