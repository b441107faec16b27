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


def train(spec: str, seed: int, folder: Path) -> tuple[float, float]:
    """Test accuracy after the last epoch, in percent, and the seconds of the whole command."""
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
    (last,) = re.findall(r"test accuracy ([\d.]+)% after the last epoch", result.stdout)
    print(f"{spec}, seed {seed}: {last}% after the last epoch, {seconds:.0f} s", flush=True)
    return float(last), seconds


def main() -> None:
    """Print a row for each spec."""
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in SPECS:
            last, seconds = zip(*(train(spec, seed, Path(folder)) for seed in SEEDS), strict=True)
            figures = f"{statistics.mean(last):.2f} ± {statistics.stdev(last):.2f} | {min(last)} to {max(last)}"
            rows.append(f"| `specs/{spec}.cldf` | {figures} | {statistics.median(seconds):.0f} s |")
    print("\n| spec | last epoch, mean ± spread | range | time |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
