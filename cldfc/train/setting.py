"""What a training has around it: nothing here changes what it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cldfc.output import ignore
from cldfc.train.catalogue import DATA_DIR
from cldfc.train.keep import Saving
from cldfc.train.pace import Progress, Silence
from cldfc.train.processes import ALONE, Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetting:
    """Who listens to a training, where its images are, when it is saved, and who takes part."""

    progress: Progress = field(default_factory=Silence)
    data_dir: Path = DATA_DIR
    saving: Saving = field(default_factory=Saving)
    processes: Processes = ALONE
    command: str = ""
    """What repeats the run on a command line, if it was started on one."""
    spec_files: Sequence[Path] = ()
    """Where the spec was read from, if it was in files; the commit that they belong to is recorded."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`; None for the best there is."""
    workers: int | None = None
    """How many processes read image files; None for as many as suit."""
    tensorboard: bool = False
    say: Callable[[str], None] = ignore
    """Hears a line about what begins, and where."""
