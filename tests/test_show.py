"""`cldfc show` in the terminal, as golden files at two widths."""

import io

import pytest
from networks import ROOT, SHOWN_SPECS, spec_text
from rich.console import Console

from cldfc.compilation import Compilation, read_changes
from cldfc.diagnostics import Source
from cldfc.show.summary import summary_as_data, summary_lines
from cldfc.show.terminal import show_network

SPECS = sorted([*SHOWN_SPECS, *(ROOT / "examples").glob("*.cldf")])


LARGE = """model Large
input f : 3 × 8 × 8
output h : 10
levels ℓ = 1..{levels}
steps i = 1..2
kernel θ   : 3×3 → 8
kernel A@ℓ : 3×3 → 8
r@1,0   = θ * f
r@ℓ,i   = r@ℓ,i-1 + A@ℓ * relu(r@ℓ,i-1)
r@ℓ+1,0 = relu(r@ℓ,2)
h = linear ∘ avgpool(r@{levels},2)
"""
CHAIN = """model Chain
input f : 3 × 8 × 8
output h : 10
{equations}h = linear ∘ avgpool(x{last})
"""


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


def text_of(text, is_full=False, width=100):
    stream = io.StringIO()
    show_network(Compilation(Source("x.cldf", text)).simplified, Console(file=stream, width=width), is_full)
    return stream.getvalue()


def test_the_middle_of_many_levels_and_kernels_is_left_out():
    text = text_of(LARGE.format(levels=1000))
    assert text.count("… 920 more levels (--full)") == text.count("… 922 more kernels (--full)") == 1
    assert all(f" ℓ={level} " in text for level in (1, 40, 961, 1000))
    assert " ℓ=41 " not in text and " ℓ=960 " not in text
    assert all(f"■ A@{level} " in text for level in (1, 40, 963, 1000))
    assert "■ A@41 " not in text and "■ A@962 " not in text
    assert f"{1000 * 8 * 8 * 9 + 3 * 8 * 9 + 90:,} parameters stored" in text
    assert len(text.splitlines()) < 270


def test_up_to_a_hundred_levels_and_kernels_are_all_shown():
    text = text_of(LARGE.format(levels=98))
    assert "more" not in text and all(f" ℓ={level} " in text for level in range(1, 99))


def test_full_leaves_out_nothing():
    text = text_of(LARGE.format(levels=130), is_full=True)
    assert "more" not in text
    assert all(f" ℓ={level} " in text and f"■ A@{level} " in text for level in range(1, 131))


def test_the_middle_of_many_equations_and_values_is_left_out():
    equations = "".join(f"x{n} = relu(x{n - 1} + f)\n" for n in range(1, 301)).replace("x0", "f")
    text = text_of(CHAIN.format(equations=equations, last=300))
    assert "  … 221 more equations (--full)" in text and "… 221 more values (--full)" in text
    assert "  x40  = " in text and "  x41  = " not in text and "  x261 = " not in text and "  x262 = " in text
    assert len(text.splitlines()) < 270
    whole = text_of(CHAIN.format(equations=equations, last=300), is_full=True)
    assert "more" not in whole and all(f"x{n} " in whole for n in range(1, 301))


def test_compile_leaves_out_the_middle_of_many_levels():
    graph = Compilation(Source("x.cldf", LARGE.format(levels=150))).simplified
    lines = summary_lines(graph)
    names = [line.split("  ")[0] for line in lines]
    assert names[1] == "ℓ=1" and names[40:43] == ["ℓ=40", "… 71 more levels (--json)", "ℓ=112"]
    assert names[80:83] == ["ℓ=150", "h", "all"]
    assert len(summary_as_data(graph)["levels"]) == 151
