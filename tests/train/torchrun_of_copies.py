"""`torchrun` as it is, but for its processes: they are copies of this one, which has loaded torch, and run cldfc."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from cldfc.__main__ import main
from cldfc.training import processes


def run(*words: str) -> None:
    sys.argv = ["cldfc", *words]
    # Who has done its work returns, or torch waits for it; a copy is not taken apart anyway.
    processes.end_process = lambda: None
    try:
        main()
    except SystemExit as end:
        if end.code:
            # When one has failed torchrun ends the others; the first, which says why, is to be heard.
            time.sleep(int(os.environ["RANK"]))
            raise


if __name__ == "__main__":
    config, _, words = config_from_args(parse_args(sys.argv[1:]))
    try:
        elastic_launch(replace(config, start_method="fork"), run)(*words[words.index("cldfc") + 1 :])
    except ChildFailedError:
        sys.exit(1)
