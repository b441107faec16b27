"""`make seeds`: trains the paper's two specs on digits with five seeds, and prints the README's table."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEEDS = range(5)
SPECS = ("preact18_Al", "fbresnet")


def train(spec: str, seed: int, folder: Path) -> tuple[float, float, float]:
    """Accuracy after the last epoch and at best, in percent, and the seconds of the whole command."""
    command = [sys.executable, "-m", "cldfc", "train", f"specs/{spec}.cldf", "--data", "digits"]
    start = time.monotonic()
    result = subprocess.run(
        [*command, "--seed", str(seed), "-o", str(folder / f"{spec}-{seed}")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - start
    last, best = re.findall(r"([\d.]+)% (?:after|at)", result.stdout)
    print(f"{spec}, seed {seed}: {last}% after the last epoch, {best}% at best, {seconds:.0f} s", flush=True)
    return float(last), float(best), seconds


def main() -> None:
    """Print a row for each spec."""
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in SPECS:
            last, best, seconds = zip(*(train(spec, seed, Path(folder)) for seed in SEEDS), strict=True)
            figures = f"{statistics.mean(last):.2f} ± {statistics.stdev(last):.2f} | {min(last)} to {max(last)}"
            rest = f"{statistics.mean(best):.2f} | {statistics.median(seconds):.0f} s"
            rows.append(f"| `specs/{spec}.cldf` | {figures} | {rest} |")
    print("\n| spec | last epoch, mean ± spread | range | best epoch | time |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
