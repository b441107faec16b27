"""What the documents show is what the program prints."""

import re

from networks import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block_after(heading: str) -> str:
    """The first fenced block after a heading."""
    found = re.search(rf"^## {heading}$.*?^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found.group(1)


def test_the_spec():
    spec = (ROOT / "specs" / "preact18_Al.cldf").read_text(encoding="utf-8")
    assert block_after("From this") == spec.split("\n", 1)[1]


def test_the_code():
    generated = (ROOT / "tests" / "golden" / "compile" / "preact18_Al.py").read_text(encoding="utf-8")
    code = block_after("to this")
    assert code.startswith("def forward")
    assert "\n".join("    " + line if line else line for line in code.splitlines()) in generated


def test_the_error():
    reports = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "golden" / "errors").glob("*.txt")]
    shown = block_after("When something is wrong").strip()
    assert any(shown in report for report in reports)


def test_commands_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\bmake (\w+)", (ROOT / document).read_text(encoding="utf-8")):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_named_exist():
    for document in ("README.md", "CONTRIBUTING.md", "docs/decisions.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for name in re.findall(r"`((?:cldfc|specs|tests|docs|grammar|examples)/[\w./]*)`", text):
            if name != "cldfc/algebra/":  # the place for rewrites, of which there is none yet
                assert (ROOT / name).exists(), name
