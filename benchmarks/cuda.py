"""All that only a CUDA device can answer, in one command: `make cuda`, or `python benchmarks/cuda.py`.

It needs no network and no installation: the package runs from the checkout, and wheels of what the machine lacks
(`pydantic`, `lark` and what they need) may lie in a folder, `--wheels`. Without a CUDA device it says what it skips.

Four parts, in the order of their worth, each with its share of the minutes that are left:

- specs: every spec, forward and backward, on CUDA against float64 on the CPU;
- tests: the tests marked `cuda`;
- speed: images per second of the training loop against a bare step, a plain script and a good one;
- training: two networks of the paper at full width on Fashion-MNIST.

Each part works in a process of its own, and in another one where that crashes or hangs: what it met there has failed,
the rest goes on. The file is written after each part, and the tables are printed at the end, also when the time is over
or SIGTERM comes. The exit code is 1 when something has failed, 2 for a wrong option, 143 after SIGTERM, else 0.
"""

# This file has the name of a package that torch looks for, and lies where scripts beside it are started: only the
# standard library is imported here, and the folder of a script is not where modules are looked for.

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve()
ROOT = SCRIPT.parents[1]
PARTS = ("specs", "tests", "speed", "training")
PATIENCE = {"probe": 60, "specs": 60, "tests": 120, "speed": 150, "training": 150}
"""Seconds without a word after which a part hangs."""
SPARE = 5.0
"""Seconds that are kept for the tables."""
LAST_LINES = 12
ENDED = "ended"
"""What a process says when it has done all that it was to do."""

Record = dict[str, Any]


class Asked(Exception):
    """A signal asks for an end."""


def main() -> int:
    """Run the parts that were asked for; gives the exit code."""
    options = read_options()
    if options.work_on:
        return work(options)
    deadline = time.monotonic() + 60 * options.minutes - SPARE
    asked = 0

    def end(number: int, _: object) -> None:
        for ignored in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ignored, signal.SIG_IGN)
        raise Asked(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    record: Record = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "minutes": options.minutes,
        "rehearsal": options.device == "cpu",
        "machine": {},
        "parts": {part: {"state": "not reached", "items": {}} for part in options.parts},
    }
    output = free_name(options.output)
    write(record, output)
    with tempfile.TemporaryDirectory(prefix="cldfc-cuda-", ignore_cleanup_errors=True) as folder:
        environment = environment_of(options, Path(folder))
        try:
            run_all(record, options, environment, Path(folder), deadline, output)
        except Asked as signalled:
            asked = int(signalled.args[0])
            record["ended_by"] = signal.Signals(asked).name
    write(record, output)
    from benchmarks.cuda_parts.tables import tables

    print(f"\n{tables(record)}\n\n{output}", flush=True)
    return 128 + asked if asked else int(has_failed(record))


def read_options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="stop after so many, and print what is there")
    parser.add_argument("--wheels", type=Path, help="a folder with wheels of what this Python lacks")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "data", help="where the files of Fashion-MNIST are")
    parser.add_argument("--output", type=Path, default=Path("cuda.json"), help="the figures; no file is overwritten")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    for hidden in ("--device", "--work-on", "--done", "--until"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.minutes <= 0 or options.device not in (None, "cpu", "cuda"):
        parser.error("give minutes above 0, and no other device than cpu or cuda")
    for name in ("wheels", "data_dir", "output"):
        path = getattr(options, name)
        setattr(options, name, path and path.resolve())
    if options.wheels and not options.wheels.is_dir():
        parser.error(f"there is no folder {options.wheels}")
    if not options.output.parent.is_dir():
        parser.error(f"there is no folder {options.output.parent}")
    return options


def free_name(path: Path) -> Path:
    """The path, or the next free one of `cuda-2.json`, `cuda-3.json`, …: figures are never overwritten."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def commit() -> str:
    """What is checked out, and whether it was changed; empty where git does not say."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


# The processes of the parts


def environment_of(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """What the processes of the parts find: the checkout, the wheels, and a folder for all that they leave behind."""
    places = [str(ROOT)]
    if options.wheels:
        unpack(options.wheels, folder / "wheels")
        places.append(str(folder / "wheels"))
    places += filter(None, [os.environ.get("PYTHONPATH")])
    temporary = folder / "tmp"
    temporary.mkdir()
    own = {"PYTHONPATH": os.pathsep.join(places), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {}
    return {**os.environ, **own, **hidden, "PYDANTIC_DISABLE_PLUGINS": "__all__"}


def unpack(wheels: Path, folder: Path) -> None:
    """Unpack the wheels that are for this Python; of a pure one it makes no difference which."""
    for wheel in sorted(wheels.glob("*.whl")):
        python, abi, platform = wheel.stem.split("-")[-3:]
        own = f"cp{sys.version_info.major}{sys.version_info.minor}"
        is_for_python = own in python.split(".") or "py3" in python.split(".") or abi == "abi3"
        is_for_machine = platform == "any" or (sys.platform == "linux" and os.uname().machine in platform)
        if is_for_python and is_for_machine:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)


def run_all(
    record: Record,
    options: argparse.Namespace,
    environment: Mapping[str, str],
    folder: Path,
    deadline: float,
    output: Path,
) -> None:
    """Look at the machine, then run the parts one after another; `record` holds whatever is found."""
    probe: Record = {"state": "not reached", "items": {}}
    run_part("probe", probe, options, environment, folder, min(deadline, time.monotonic() + PATIENCE["probe"]))
    machine = probe["items"].get("machine", {})
    record["machine"] = {**machine, **({"error": probe["error"]} if "error" in probe else {})}
    for place, part in enumerate(options.parts):
        found = record["parts"][part]
        missing = [*machine.get("missing", []), *machine.get("missing_of", {}).get(part, [])]
        has_device = bool(machine.get("cuda")) or options.device == "cpu"
        if "error" in record["machine"]:
            found.update(state="failed", error="the machine could not be looked at")
        elif not has_device:
            found.update(
                state="skipped", error="torch finds no CUDA device" if machine.get("torch") else "there is no torch"
            )
        elif missing:
            found.update(state="failed", error=f"{', '.join(missing)} missing: give wheels by `--wheels DIR`")
        else:
            now = time.monotonic()
            print(f"{part}: …", flush=True)
            run_part(part, found, options, environment, folder, now + (deadline - now) / (len(options.parts) - place))
        print(f"{part}: {found['state']}{': ' * ('error' in found)}{found.get('error', '')}", flush=True)
        write(record, output)


def run_part(
    part: str, found: Record, options: argparse.Namespace, environment: Mapping[str, str], folder: Path, until: float
) -> None:
    """Let a process work on a part, and others after it where one fails, until all is done or the time is over."""
    start = time.monotonic()
    found.update(state="cut short")
    log = folder / f"{part}.log"
    while time.monotonic() < until:
        known = len(found["items"])
        end, begun = run_process(part, found, options, environment, log, until)
        if end == ENDED:
            found.update(state="done")
            break
        if end == "out of time":
            if begun:
                found["items"].setdefault(begun, {})["cut_short"] = True
            break
        reason = f"{end}; its last lines:\n{last_lines(log)}"
        if begun:
            found["items"].setdefault(begun, {}).update(error=reason)
        if not begun or len(found["items"]) == known:
            found.update(state="failed", error=reason)
            break
    found["seconds"] = round(time.monotonic() - start, 1)


def run_process(
    part: str, found: Record, options: argparse.Namespace, environment: Mapping[str, str], log: Path, until: float
) -> tuple[str, str]:
    """Let one process work, and note what it says: how that ended, and the item that it was at."""
    command = [sys.executable, str(SCRIPT), *words_of(part, found, options, until)]
    begun, heard = "", time.monotonic()
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=ROOT, start_new_session=True
        )
    try:
        lines = lines_of(process)
        while True:
            now = time.monotonic()
            if now > until:
                return "out of time", begun
            if now - heard > PATIENCE[part]:
                return f"no word for {PATIENCE[part]} s", begun
            try:
                line = lines.get(timeout=max(0.0, min(0.5, until - now)))
            except queue.Empty:
                continue
            if line is None:
                return f"the process has ended with {process.wait()}", begun
            heard, said = time.monotonic(), json.loads(line)
            if said == ENDED:
                return ENDED, ""
            begun = note(found, said, begun)
    finally:
        stop(process)


def words_of(part: str, found: Record, options: argparse.Namespace, until: float) -> list[str]:
    """The command line of a process that works on a part, and passes over what is known."""
    words = ["--work-on", part, "--until", str(until), "--done", json.dumps(list(found["items"]))]
    return [*words, "--data-dir", str(options.data_dir), "--device", options.device or "cuda"]


def note(found: Record, said: Record, begun: str) -> str:
    """Note what a process has said; gives the item that it is at now."""
    if "begin" in said:
        return said["begin"]
    name = said.get("item") or said["update"]
    found["items"][name] = said["values"]
    if "error" in said["values"]:
        print(f"  {name}: {said['values']['error'].splitlines()[0][:200]}", flush=True)
    return "" if "item" in said else name


def lines_of(process: subprocess.Popen[bytes]) -> queue.Queue[bytes | None]:
    """What a process writes, line by line, then None."""
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started, at once: nothing of it is needed any more."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_lines(log: Path) -> str:
    """The end of what a process has written, without colours."""
    text = re.sub(r"\x1b\[[\d;]*m", "", log.read_text(encoding="utf-8", errors="replace"))
    return "\n".join([line for line in text.splitlines() if line.strip()][-LAST_LINES:])


def has_failed(record: Record) -> bool:
    """Whether anything has failed, or a check was not done to its end."""
    parts: dict[str, Record] = record["parts"]
    is_wrong = any(found["state"] == "failed" for found in parts.values()) or "error" in record["machine"]
    has_errors = any("error" in item for found in parts.values() for item in found["items"].values())
    return is_wrong or has_errors or any(parts.get(part, {}).get("state") == "cut short" for part in ("specs", "tests"))


def write(record: Record, path: Path) -> None:
    """Write the figures, as a whole."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, path)


def work(options: argparse.Namespace) -> int:
    """Work on a part: in a process of its own, whose standard output is for what it reports."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.insert(0, str(ROOT))
    if options.work_on == "probe":
        from benchmarks.cuda_parts.probe import look

        print(json.dumps({"item": "machine", "values": look()}), file=channel)
    else:
        from importlib import import_module

        from benchmarks.cuda_parts.job import Job, leave_with

        leave_with(os.getppid())
        is_tiny = options.device == "cpu"
        done = frozenset(json.loads(options.done))
        job = Job(options.device, is_tiny, float(options.until), options.data_dir, channel, done)
        import_module(f"benchmarks.cuda_parts.{options.work_on}").work(job)
    print(json.dumps(ENDED), file=channel, flush=True)
    return 0


if __name__ == "__main__":
    # Otherwise torch would take this file for the package of its name.
    sys.path[0] = str(ROOT)
    sys.exit(main())
