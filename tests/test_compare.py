"""`cldfc compare`: the table, and what two specs say and share differently."""

import io
import json
from pathlib import Path

import pytest
from networks import ROOT, build, compile_text
from rich.console import Console
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.cli.compare import compare_specs
from cldfc.compilation import AS_WRITTEN, read_changes
from cldfc.diagnostics import CldfError, Problems, Source
from cldfc.network.cost import Sharing
from cldfc.show.comparison import comparison_as_data, comparison_markdown, show_comparison
from cldfc.syntax.difference import compare_trees
from cldfc.syntax.parse import parse_spec

SPECS = sorted(path.relative_to(ROOT) for path in (ROOT / "specs").glob("*.cldf"))
SETS = {
    "all": SPECS,
    "preact18_and_Al": [Path("specs/preact18.cldf"), Path("specs/preact18_Al.cldf")],
    "resnet18_and_Bl_printed": [Path("specs/resnet18.cldf"), Path("specs/resnet18_Bl_printed.cldf")],
    "fbresnet_and_mgnet": [Path("specs/fbresnet.cldf"), Path("specs/mgnet.cldf")],
    "the_same": [Path("specs/lista.cldf")] * 2,
}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def compared(paths, **options):
    return compare_specs(paths, read_changes(**options))


def shown(comparison, width=80, colour=False):
    stream = io.StringIO()
    system = "256" if colour else None
    console = Console(file=stream, width=width, force_terminal=colour, color_system=system)
    show_comparison(comparison.rows, comparison.differences, console)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("name", SETS)
def test_what_is_printed(name, golden):
    comparison = compared(SETS[name])
    folder = ROOT / "tests" / "golden" / "compare"
    text = shown(comparison)
    assert max(map(len, text.splitlines())) <= 80
    golden(folder / f"{name}.txt", text)
    golden(folder / f"{name}.md", comparison_markdown(comparison.rows, comparison.differences))
    if len(SETS[name]) == 2:
        data = json.dumps(comparison_as_data(comparison), ensure_ascii=False, indent=2)
        golden(folder / f"{name}.json", data + "\n")


def test_what_differs_is_underlined_in_colour():
    text = shown(compared(SETS["preact18_and_Al"]), colour=True)
    marked = [part.split("\x1b", 1)[0].split("m", 1)[1] for part in text.split("\x1b[1;4;")[1:]]
    assert [mark.rpartition("m")[2] for mark in marked] == ["A@ℓ,i", "A@ℓ", "A@ℓ,i", "A@ℓ", "A@ℓ+1,0", "A@ℓ+1"]
    assert "→ A" not in text.split("sharing")[0]


BASE = """\
model N
levels ℓ = 1..2
steps i = 1..2
input f : 3 × 8 × 8
output h : 10
kernel A@ℓ,i : 3×3 → 4
kernel R@ℓ : 3×3 → 4
scalar ω@ℓ = 0.5
let σ = relu ∘ bn
r@1,0 = R@1 * f
r@ℓ,i = r@ℓ,i-1 + ω@ℓ * A@ℓ,i * σ(r@ℓ,i-1)
r@ℓ+1,0 = R@ℓ+1 *_2 r@ℓ,2
h = linear ∘ avgpool(r@2,2)
"""


def tree_of(text):
    problems = Problems()
    spec = parse_spec(Source("n.cldf", text), problems)
    problems.stop_if_any()
    return spec


def changed(*replaced, base=BASE):
    text = base
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return [(*change.texts(), change.symbols()) for change in compare_trees(tree_of(base), tree_of(text))]


@pytest.mark.parametrize(
    "replaced",
    [
        [("r@ℓ,i = r@ℓ,i-1 + ω@ℓ", r"r^{\ell,i} = r^{\ell,i-1} + \omega^\ell")],
        [("σ = relu ∘ bn", "sigma = relu . bn"), ("3 × 8 × 8", "3 x 8 x 8")],
        [("model N", "model M\nexpect params = 3"), ("linear ∘ avgpool(r@2,2)", "(linear ∘ (avgpool(r@2,2)))")],
        [("scalar ω@ℓ = 0.5\n", ""), ("model N\n", "model N\nscalar ω@ℓ = 0.50\n")],
    ],
    ids=["LaTeX", "ASCII", "name, parentheses, expect", "order"],
)
def test_what_makes_no_difference(replaced):
    assert changed(*replaced) == []


STEP = "r@ℓ,i = r@ℓ,i-1 + ω@ℓ * A@ℓ,i * σ(r@ℓ,i-1)"
POOL = "r@ℓ+1,0 = R@ℓ+1 *_2 r@ℓ,2"


@pytest.mark.parametrize(
    ("old", "new", "before", "after", "symbols"),
    [
        ("A@ℓ,i *", "R@ℓ *", STEP, STEP.replace("A@ℓ,i", "R@ℓ"), [("A@ℓ,i", "R@ℓ")]),
        ("= relu ∘", "= relu ∘ relu ∘", "let σ = relu ∘ bn", "let σ = relu ∘ relu ∘ bn", [("", "relu ∘")]),
        (" σ(r@ℓ,i-1)", " r@ℓ,i-1", STEP, STEP.replace(" σ(r@ℓ,i-1)", " r@ℓ,i-1"), [("σ", "")]),
        ("*_2 r@ℓ,2", "* r@ℓ,2", POOL, "r@ℓ+1,0 = R@ℓ+1 * r@ℓ,2", [("*_2", "*")]),
        ("h = linear", "tie A@ℓ\nh = linear", None, "tie A@ℓ", []),
        ("scalar ω@ℓ = 0.5\n", "", "scalar ω@ℓ = 0.5", None, []),
        ("r@ℓ,2\n", "r@ℓ,2 for ℓ = 1..1\n", POOL, f"{POOL} for ℓ = 1", [("", "for ℓ = 1")]),
        (
            "avgpool(r@2,2)",
            "avgpool(r@2,1)",
            "h = linear ∘ avgpool(r@2,2)",
            "h = linear ∘ avgpool(r@2,1)",
            [("r@2,2", "r@2,1")],
        ),
        ("R@1 * f", "A@1,1 * R@1 * relu ∘ abs ∘ A@1,2 * relu(f)", "r@1,0 = R@1 * f", ..., []),
        ("i = 1..2", "i = 0..2", "steps i = 1..2", "steps i = 0..2", [("1", "0")]),
        ("R@ℓ : 3×3 → 4", "R@ℓ : 3×3, 4 → 4, bias", "kernel R@ℓ : 3×3 → 4", ..., [("", ", 4"), ("", ", bias")]),
    ],
)
def test_one_difference(old, new, before, after, symbols):
    ((found_before, found_after, found_symbols),) = changed((old, new))
    assert (found_before, found_symbols) == (before, symbols)
    assert after in (found_after, ...)


def test_of_very_long_statements_no_symbols_are_named():
    terms = " + ".join(["R@1 * f"] * 200)
    long = BASE.replace("R@1 * f", terms)
    ((before, after, symbols),) = changed((terms, f"{terms} + f"), base=long)
    assert after == f"{before} + f" and symbols == []


def sharing(text, tmp_path):
    for name, content in (("one", BASE), ("two", text)):
        (tmp_path / f"{name}.cldf").write_text(content, encoding="utf-8")
    comparison = compared([tmp_path / "one.cldf", tmp_path / "two.cldf"])
    return comparison.differences[0].sharing


@pytest.mark.parametrize(
    ("tie", "after", "text"),
    [
        ("tie A@ℓ", Sharing("kernel", 2, ("ℓ",)), "one per ℓ, 2 kernels"),
        ("tie A", Sharing("kernel", 1, ()), "one per network, 1 kernel"),
        ("tie A@i", Sharing("kernel", 2, ("i",)), "one per i, 2 kernels"),
        (
            "tie A@ℓ for ℓ >= 2",
            Sharing("kernel", 3, ("ℓ", "i"), ("ℓ",), "ℓ ≥ 2"),
            "one per ℓ where ℓ ≥ 2, else per (ℓ, i), 3 kernels",
        ),
    ],
)
def test_a_tie_is_seen_in_what_is_shared(tie, after, text, tmp_path):
    """Though the equations are the same; the numbers of kernels are those of the generated class."""
    found = sharing(f"{BASE}{tie}\n", tmp_path)
    assert found == {"A": (Sharing("kernel", 4, ("ℓ", "i")), after)}
    assert str(after) == text
    network = build(compile_text(f"{BASE}{tie}\n"))
    assert sum(name.startswith("A.") for name, _ in network.named_parameters()) == after.count


def test_a_tie_and_a_shorter_tag_share_the_same(tmp_path):
    tied, tagged = f"{BASE}tie A@ℓ\n", BASE.replace("A@ℓ,i", "A@ℓ")
    assert sharing(tied, tmp_path) == sharing(tagged, tmp_path)


def test_a_kernel_that_is_declared_alone_is_not_shared_differently(tmp_path):
    assert sharing(f"{BASE}kernel K@ℓ : 3×3 → 4\n", tmp_path) == {}


def test_families_that_one_has_alone(tmp_path):
    text = BASE.replace("ω@ℓ * ", "").replace("scalar ω@ℓ = 0.5\n", "").replace("= R@1 * f", "= bn ∘ R@1 * f")
    assert sharing(text, tmp_path) == {
        "ω": (Sharing("scalar", 2, ("ℓ",)), None),
        "bn": (Sharing("bn", 4), Sharing("bn", 5)),
    }


def test_what_is_wrong_in_every_spec(tmp_path):
    for at, old in enumerate(["relu ∘ bn", "avgpool(r@2,2)"]):
        (tmp_path / f"{at}.cldf").write_text(BASE.replace(old, "nothing"), encoding="utf-8")
    with pytest.raises(CldfError) as error:
        compare_specs([tmp_path / "0.cldf", ROOT / "specs" / "lista.cldf", tmp_path / "1.cldf"], AS_WRITTEN)
    places = [diagnostic.places[0].span.source.name for diagnostic in error.value.diagnostics]
    assert places == [str(tmp_path / "0.cldf"), str(tmp_path / "1.cldf")]


def test_networks_of_one_name_are_told_apart_by_their_specs(tmp_path):
    (tmp_path / "one.cldf").write_text('extend "lista"\nlet J = 1\n', encoding="utf-8")
    comparison = compared([Path("specs/lista.cldf"), tmp_path / "one.cldf", Path("specs/unet.cldf")])
    assert [row.label for row in comparison.rows] == ["specs/lista.cldf", str(tmp_path / "one.cldf"), "UNet"]


def test_options_change_every_spec():
    """16 blocks and 3 poolings with two convolutions in a row each, the first convolution, and `linear`."""
    options = {"lets": ["ν = 3, 4, 6, 3"], "ties": ["B@ℓ for i >= 1"], "classes": 100, "input": "1x16x16"}
    both = SETS["preact18_and_Al"]
    rows = compared(both, **options).rows
    assert list(rows) == [compared([path], **options).rows[0] for path in both]
    assert [row.cost.depth for row in rows] == [2 * (16 + 3) + 2] * 2


def test_each_is_compared_with_the_first():
    data = comparison_as_data(compared([*SETS["preact18_and_Al"], *SETS["preact18_and_Al"]]))
    found = [(d["to"], len(d["statements"]), list(d["sharing"])) for d in data["differences"]]
    al, plain = "specs/preact18_Al.cldf", "specs/preact18.cldf"
    assert found == [(al, 3, ["A"]), (plain, 0, []), (al, 3, ["A"])]


@pytest.mark.parametrize("option", [None, "--json", "--markdown"])
def test_the_command(option, golden):
    arguments = ["compare", *map(str, SETS["preact18_and_Al"]), *([option] if option else [])]
    result = CliRunner(env={"COLUMNS": "80", "FORCE_COLOR": None}).invoke(app, arguments)
    assert result.exit_code == 0
    suffix = {None: "txt", "--json": "json", "--markdown": "md"}[option]
    text = "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())
    golden(ROOT / "tests" / "golden" / "compare" / f"preact18_and_Al.{suffix}", text)
