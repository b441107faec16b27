"""`cldfc show` in the terminal, as golden files at two widths."""

import io

import pytest
from networks import ROOT, SHOWN_SPECS, spec_text
from rich.console import Console

from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.show.terminal import show_network

SPECS = sorted([*SHOWN_SPECS, *(ROOT / "examples").glob("*.cldf")])


def shown(path, width, colour=False, lets=()):
    source = Source(str(path), path.read_text(encoding="utf-8"))
    graph = Compilation(source, read_changes(lets)).simplified
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, highlight=False, force_terminal=colour, color_system="256" if colour else None
    )
    show_network(graph, console)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_terminal(path, width, golden):
    text = "\n".join(line.rstrip() for line in shown(path, width).splitlines()) + "\n"
    assert max(map(len, text.splitlines())) <= width
    golden(ROOT / "tests" / "golden" / "show" / f"{path.stem}_{width}.txt", text)


def test_a_shared_kernel_has_one_colour_everywhere():
    text = shown(ROOT / "specs" / "preact18_Al.cldf", 100, colour=True)
    background = {text.split(f" A{level} \x1b")[0].rsplit("\x1b[", 1)[1] for level in range(1, 5)}
    assert len(background) == 4
    for level in range(1, 5):
        before = [part.rsplit("\x1b[", 1)[1] for part in text.split(f" A{level} \x1b")[:-1]]
        assert len(before) == 2
        assert len(set(before)) == 1


def test_many_steps_are_folded():
    text = spec_text("preact18_Al", ("2, 1, 1, 1", "30, 1, 1, 1"))
    graph = Compilation(Source("many.cldf", text)).simplified
    stream = io.StringIO()
    show_network(graph, Console(file=stream, width=80))
    assert len(stream.getvalue().splitlines()) < 40


def test_what_is_used_again_and_again_is_cut_short():
    """In a W-cycle each grid is used twice by the one above: written out, a line would double with every level."""
    text = shown(ROOT / "specs" / "multigrid" / "poisson_w.cldf", 100, lets=["J = 5", "ν = 2"])
    assert "…" in text and len(text.splitlines()) < 100
