"""Pages that run as they are written, block by block.

A block whose first line names a file (`# net.cldf`) is written to it. `# in net.cldf` replaces the lines that
define the same, `# in net.py` must stand in that file. Other Python is run, and prints the `output` that
follows. Commands print what is shown, where `…` stands for anything within a line, or for any lines.
"""

import re
import shlex
from pathlib import Path

import pytest
from networks import ROOT, some
from typer.testing import CliRunner

from cldfc.cli import app


def blocks_of(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page in docs/, each with its language."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_margin(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def pattern(shown: str) -> str:
    """A regular expression for what a command may print."""
    lines = [line.split("…") for line in shown.splitlines()]
    return "".join(r"(?:.*\n)*?" if line == ["", ""] else ".*".join(map(re.escape, line)) + r"\n" for line in lines)


def run_commands(block: str) -> None:
    for command, shown in re.findall(r"^\$ cldfc (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
        printed = without_margin(CliRunner().invoke(app, shlex.split(command)).output)
        assert re.fullmatch(pattern(shown), printed), f"$ cldfc {command}\n{printed}"


def replace_lines(path: Path, block: str) -> None:
    """Put the lines of the block in place of those with the same left side."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for new in block.splitlines():
        (place,) = [at for at, line in enumerate(lines) if line.split(" =")[0] == new.split(" =")[0]]
        lines[place] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("page", some(["tutorial.md", "related.md"], 2))
def test_a_page_runs_as_written(page: str, tmp_path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    namespace: dict[str, object] = {}
    for language, block in blocks_of(page):
        first, rest = block.split("\n", 1)
        if written := re.fullmatch(r"# (\w+\.cldf)", first):
            Path(written[1]).write_text(block, encoding="utf-8")
        elif changed := re.fullmatch(r"# in (\w+\.cldf)", first):
            replace_lines(Path(changed[1]), rest)
        elif quoted := re.fullmatch(r"# in (\w+\.py)", first):
            assert rest in Path(quoted[1]).read_text(encoding="utf-8")
        elif language == "console":
            run_commands(block)
        elif language == "python":
            capsys.readouterr()
            exec(block, namespace)
        elif language == "output":
            assert capsys.readouterr().out == block
        else:
            assert language == "latex"


@pytest.mark.parametrize(
    ("shown", "printed", "agree"),
    [
        ("loss … %\n", "loss 1.2 %\n", True),
        ("loss … %\n", "loss 1.2\n%\n", False),
        ("…\nend\n", "a\nb\nend\n", True),
        ("…\nend\n", "end\n", True),
        ("…\nend\n", "a\nend\nb\n", False),
        ("a.b\n", "axb\n", False),
    ],
)
def test_dots_stand_for_a_part_of_a_line_or_for_lines(shown: str, printed: str, agree: bool):
    assert bool(re.fullmatch(pattern(shown), printed)) == agree
