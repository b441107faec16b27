"""Change the code in one place at a time, and see whether the tests notice: a sample of mutmut's mutants.

python tools/mutants.py                                  # 200 mutants of all that [tool.mutmut] in pyproject.toml names
python tools/mutants.py 'cldfc.ops.*' --sample 50 --seed 1

A mutant that was killed is not run again until its function changes: a run that was stopped goes on, and one with
new assertions runs the survivors alone. Everything lies in mutants/; remove it after a change to [tool.mutmut].
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATISTICS = ROOT / "mutants" / "mutmut-stats.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", nargs="*", default=["*"], help="patterns of dotted names")
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()

    # mutmut writes the mutants, and finds which tests call which function, before it looks for the names it is given.
    made = mutmut("run", "none")
    if not STATISTICS.exists():
        sys.exit(made.stdout + made.stderr)
    found = [name for name in results() if any(fnmatchcase(name, pattern) for pattern in asked.functions)]
    sample = random.Random(asked.seed).sample(sorted(found), min(asked.sample, len(found)))
    called = json.loads(STATISTICS.read_text(encoding="utf-8"))["tests_by_mangled_function_name"]
    idle = [name for name in sample if name.partition("__mutmut_")[0] not in called]
    now = results()
    if waiting := [name for name in sample if name not in idle and now[name] in ("not checked", "survived")]:
        mutmut("run", "--max-children", str(asked.processes), *waiting, is_shown=True)

    now = results()
    for name in sorted(sample):
        if now[name] == "survived":
            print(mutmut("show", name).stdout)
    for name in sorted(idle):
        print("no test calls", name)
    counts = Counter("no test" if name in idle else now[name] for name in sample)
    print(
        f"{len(sample)} of {len(found)} mutants:", ", ".join(f"{count} {word}" for word, count in counts.most_common())
    )


def results() -> dict[str, str]:
    """What became of each mutant, by its name."""
    lines = mutmut("results", "--all", "true").stdout.splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if "__mutmut_" in line)


def mutmut(*words: str, is_shown: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mutmut", *words], cwd=ROOT, text=True, capture_output=not is_shown)


if __name__ == "__main__":
    main()
