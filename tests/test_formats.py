"""`cldfc show -o`: Graphviz, Mermaid, JSON and LaTeX, each read back by something else."""

import json
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import networkx
import pydot
import pytest
from matplotlib.mathtext import MathTextParser
from networks import ROOT, build, compile_text, printed, some, spec_text
from PIL import Image
from typer.testing import CliRunner

from cldfc.cli import app
from cldfc.compilation import Compilation
from cldfc.diagnostics import Source, UsageError
from cldfc.files import END, MARK, START
from cldfc.show.dot import dot_string, emit_dot
from cldfc.show.formats import FORMATS, OUTPUT_FORMATS, TEXTS, writer_for
from cldfc.show.json import GraphRecord, Record, describe_graph, emit_json
from cldfc.show.latex import emit_latex
from cldfc.show.mermaid import emit_mermaid, mermaid_string
from cldfc.spec import load
from cldfc.syntax.read import read_source

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot")

FOLDER = ROOT / "tests" / "golden" / "formats"
COMPILE = ROOT / "tests" / "golden" / "compile"
SPECS = [
    *(ROOT / "specs" / f"{name}.cldf" for name in ("preact18_Al", "fbresnet", "unet", "resnet18_Bl_printed", "lista")),
    *sorted((ROOT / "examples").glob("*.cldf")),
    *sorted(COMPILE.glob("*.cldf")),
]
GOLDEN = [
    *(("examples/01_one_iteration", suffix) for suffix in TEXTS),
    *((name, ".tex") for name in ("specs/preact18_Al", "specs/fbresnet", "specs/unet")),
    *((f"tests/golden/compile/{name}", ".tex") for name in ("ties", "v_cycle", "nested_reductions", "operators")),
    *(("examples/03_features", suffix) for suffix in (".dot", ".mmd")),
]


@cache
def graph_of(path):
    return Compilation(read_source(path)).written


def graph_of_text(text):
    return Compilation(Source("test.cldf", text)).simplified


@pytest.mark.parametrize(("name", "suffix"), GOLDEN, ids=[f"{Path(name).name}{suffix}" for name, suffix in GOLDEN])
def test_what_is_written(name, suffix, golden):
    path = ROOT / f"{name}.cldf"
    golden(FOLDER / f"{path.stem}{suffix}", FORMATS[suffix].write(Compilation(read_source(path)).simplified))


def test_every_format_is_on_its_page(golden):
    """The table of docs/formats.md is that of `cldfc/show/formats.py`."""
    page = ROOT / "docs" / "formats.md"
    head = "| suffix | what | for |\n|---|---|---|\n"
    rows = "".join(f"| `{format.suffix}` | {format.what} | {format.use} |\n" for format in FORMATS.values())
    before, _, after = page.read_text(encoding="utf-8").partition(head)
    golden(page, "".join([before, head, rows, "\n", after.partition("\n\n")[2]]))


def test_every_writer_is_in_the_table():
    """In cldfc/emit, a function `emit_dot` of a graph in a file `dot.py`."""
    writers = [format.writer for format in OUTPUT_FORMATS]
    for path in (ROOT / "cldfc" / "emit").glob("*.py"):
        function = f"emit_{path.stem}"
        is_writer = f"\ndef {function}(graph: Graph)" in path.read_text(encoding="utf-8")
        named = any(writer.endswith(f":{function}") for writer in writers)
        assert named or not is_writer, f"`{function}` is not in OUTPUT_FORMATS of cldfc/show/formats.py"


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_says_that_cldfc_has_written_it(suffix):
    """In its first 500 or last 100 bytes; a text, as the digest follows there, in the first."""
    content = writer_for(Path(f"network{suffix}"))(graph_of(ROOT / "examples" / "01_one_iteration.cldf"))
    data = content.encode() if isinstance(content, str) else content
    assert FORMATS[suffix].is_binary == isinstance(content, bytes), f"`is_binary` of `{suffix}`"
    marked = MARK.encode() in data[:START] or MARK.encode() in data[-END:]
    assert marked, f"a `{suffix}` does not say `{MARK}`, so it could not be written twice"


def edges_of(graph):
    """Source, target and sign of every operand, from networkx alone."""
    operators = {at: data["node"].operator for at, data in graph.net.nodes(data=True)}
    signs = {at: getattr(operator, "signs", None) for at, operator in operators.items()}
    return Counter(
        (source, target, "-" if signs[target] and signs[target][place] < 0 else "")
        for source, target, place in graph.net.edges(data="operand")
    )


@pytest.mark.parametrize("path", some(SPECS, 24), ids=lambda path: path.stem)
def test_graphviz_reads_the_same_graph(path):
    graph = graph_of(path)
    (read,) = pydot.graph_from_dot_data(emit_dot(graph))
    boxes = {node.get_name(): node for part in (read, *read.get_subgraphs()) for node in part.get_nodes()}
    numbers = {name for name in boxes if re.fullmatch(r"n\d+", name)}
    assert numbers == {f"n{at}" for at in graph.net}
    found = Counter(
        (int(e.get_source()[1:]), int(e.get_destination()[1:]), (e.get_label() or "").strip('"'))
        for e in read.get_edges()
    )
    assert found == edges_of(graph)
    for (name, indices), at in graph.values.items():
        box = boxes[f"n{at}"].get_label()
        assert (f"{name}@{','.join(map(str, indices))}" if indices else name) in box
        assert " × ".join(map(str, graph.net.nodes[at]["node"].shape)) in box


def test_graphviz_groups_levels_and_colours_what_is_shared():
    graph = graph_of(ROOT / "specs" / "preact18_Al.cldf")
    (read,) = pydot.graph_from_dot_data(emit_dot(graph))
    levels = {cluster.get_label().strip('"'): cluster for cluster in read.get_subgraphs()}
    assert list(levels) == ["ℓ=1", "ℓ=2", "ℓ=3", "ℓ=4"]
    frames = {node.get_name(): level for level, cluster in levels.items() for node in cluster.get_nodes()}
    values = {f"n{at}": f"ℓ={indices[0]}" for (_, indices), at in graph.values.items() if indices}
    assert values.items() <= frames.items()
    assert {f"n{graph.values[name, ()]}" for name in "fh"}.isdisjoint(frames)
    coloured = Counter(
        node.get_label().strip('"').split(" ")[0]
        for cluster in levels.values()
        for node in cluster.get_nodes()
        if node.get_fillcolor()
    )
    # Level 1 has two steps; every other level one step and the way to it.
    assert coloured == {f"A@{level}": 2 for level in range(1, 5)}


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it():
    graph = graph_of(ROOT / "specs" / "fbresnet.cldf")
    drawn = subprocess.run(["dot", "-Tsvg"], input=emit_dot(graph), capture_output=True, text=True, check=True)
    assert drawn.stdout.count('class="node"') == graph.net.number_of_nodes()
    assert drawn.stdout.count('class="edge"') == graph.net.number_of_edges()
    assert not drawn.stderr


MERMAID = {
    "frame": r'subgraph level_\d+\["([^"]+)"\]|end',
    "box": r'n(\d+)\["([^"]+)"\]',
    "edge": r'n(\d+) -->(?:\|"(-)"\|)? n(\d+)',
    "colour": r"classDef shared_\d+ fill:#[0-9a-f]{6}|class n\d+(?:,n\d+)+ shared_\d+",
}
"""The forms of Mermaid's grammar that are used; all specs have gone through Mermaid 12.3's own parser by hand."""


@pytest.mark.parametrize("path", some(SPECS, 3), ids=lambda path: path.stem)
def test_mermaid_has_the_same_graph(path):
    graph = graph_of(path)
    comment, head, *lines = emit_mermaid(graph).splitlines()
    assert comment.startswith("%% ") and head == "flowchart TB"
    kinds = {line: [kind for kind, form in MERMAID.items() if re.fullmatch(form, line.strip())] for line in lines}
    assert all(len(kind) == 1 for kind in kinds.values()), kinds
    found = [re.fullmatch(MERMAID["edge"], line.strip()) for line in lines]
    edges = Counter((int(match[1]), int(match[3]), match[2] or "") for match in found if match)
    assert edges == edges_of(graph)
    assert sum(kinds[line] == ["box"] for line in lines) == graph.net.number_of_nodes()


def test_strings_are_escaped():
    assert dot_string('a"b\\c', "d") == '"a\\"b\\\\c\\nd"'
    assert mermaid_string('<b>"#&`', "x") == '"#60;b#62;#34;#35;#38;#96;<br>x"'


@pytest.mark.parametrize("path", some(SPECS, 3), ids=lambda path: path.stem)
def test_json_is_the_same_graph_for_networkx(path):
    graph = graph_of(path)
    text = emit_json(graph)
    data = json.loads(text)
    read = networkx.node_link_graph(data, edges="edges")
    assert isinstance(read, networkx.MultiDiGraph)
    assert dict(read.nodes(data="shape")) == {at: list(d["node"].shape) for at, d in graph.net.nodes(data=True)}
    assert sorted(read.edges(keys=True, data="operand")) == sorted(graph.net.edges(keys=True, data="operand"))
    assert GraphRecord.model_validate_json(text) == describe_graph(graph)
    # What the parts add up to, and what a torch module of the same spec stores.
    about = data["graph"]
    stored = sum(parameter["numbers"] for parameter in about["parameters"])
    network = build(Compilation(read_source(path)).code("written"))
    assert stored == about["cost"]["parameters"] == sum(p.numel() for p in network.parameters())
    assert sum(node["multiply_adds"] for node in data["nodes"]) == about["cost"]["multiply_adds"]
    stored_by = [node[part] for node in data["nodes"] for part in ("parameter", "statistics")]
    uses = Counter(name for name in stored_by if name is not None)
    assert uses == {parameter["name"]: parameter["uses"] for parameter in about["parameters"]}


def test_json_of_one_step():
    text = "model N\nsteps i = 1..1\ninput f : 3 × 4 × 4\noutput h : 2\nkernel A : 3×3 → 3\n"
    text += "r@0 = f\nr@i = f - A * r@i-1\nh = linear ∘ flatten ∘ maxpool[2](r@1)\n"
    data = json.loads(emit_json(graph_of_text(text)))
    assert [(n["operator"], n["label"], n["parameter"], n["values"]) for n in data["nodes"]] == [
        ("input", "f", None, ["f", "r@0"]),
        ("convolution", "A *", "A", []),
        ("add", "+", None, ["r@1"]),
        ("maxpool", "maxpool[2]", None, []),
        ("flatten", "flatten", None, []),
        ("linear", "linear", "linear", ["h"]),
    ]
    assert data["nodes"][2]["equation"] == "r@i" and data["nodes"][2]["indices"] == {"i": 1}
    assert data["nodes"][3]["settings"] == {"size": 2, "stride": None, "padding": None, "ceil": 0}
    assert data["nodes"][1]["multiply_adds"] == 9 * 3 * 3 * 4 * 4


def test_the_page_says_what_every_key_means():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| (.*) \|$", page, re.MULTILINE))
    stated = {
        f"{record.__name__.removesuffix('Record').lower()}.{name}": " ".join((field.description or "").split())
        for record in Record.__subclasses__()
        for name, field in record.model_fields.items()
    }
    assert rows == stated and all(stated.values())


# LaTeX

MATRIX = re.compile(r"\\begin\{bmatrix\}(.*?)\\end\{bmatrix\}", re.DOTALL)
MATHS = re.compile(r"\$([^$]+)\$|\\begin\{equation\}(.*?)\\end\{equation\}", re.DOTALL)


def formulas(text):
    """Every formula, a line of a broken one for itself."""
    for inline, displayed in MATHS.findall(text):
        # matplotlib knows no matrices.
        text = MATRIX.sub(lambda rows: "[" + rows[1].replace(r"\\", ";") + "]", inline or displayed)
        for line in re.sub(r"\\(begin|end)\{split\}|&", "", text).split(r"\\"):
            if line.strip():
                yield line.strip()


@pytest.mark.parametrize("path", some(SPECS, 16), ids=lambda path: path.stem)
def test_every_formula_typesets(path):
    found = list(formulas(emit_latex(graph_of(path))))
    assert len(found) > 3
    for formula in found:
        MathTextParser("path").parse(f"${formula}$")


DOCUMENT = (
    r"\documentclass{article}\usepackage{amsmath,amssymb,algorithm,algpseudocode}\begin{document}%s\end{document}"
)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_a_document_typesets(tmp_path):
    texts = [emit_latex(graph_of(path)) + "\\clearpage\n" for path in SPECS]
    (tmp_path / "x.tex").write_text(DOCUMENT % "".join(texts), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "x.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stdout.decode(errors="replace")[-2000:]


def equations(text):
    """The equations of an algorithm, on a line each, as they can be pasted into a spec: there `\\nu_{J}` is a name."""
    shown = re.findall(
        r"\\State \$(.*?)\$$|\\begin\{equation\}\n(.*?)\\end\{equation\}", text, re.DOTALL | re.MULTILINE
    )
    found = [" ".join((inline or displayed).split()) for inline, displayed in shown]
    return [line.replace(r"\nu_{J}", r"\nu^{J}") for line in found]


@pytest.mark.parametrize("name", ["preact18_Al", "fbresnet", "mgnet", "preact18"])
def test_pasted_equations_are_the_same_network(name):
    """The language reads LaTeX: what the algorithm prints, put in place of the equations, compiles to the same."""
    text = spec_text(name)
    pasted = equations(emit_latex(graph_of_text(text)))
    own = [line for line in text.splitlines() if re.match(r"[\w𝒜ℬ@ℓ+,0-9]+ *= ", line)]
    assert len(own) == len(pasted)
    others = [line for line in text.splitlines() if line not in own]
    assert equations_dropped(compile_text("\n".join([*others, *pasted, ""]))) == equations_dropped(compile_text(text))


def equations_dropped(code):
    """Code without its first docstring, which has the equations in their order."""
    return code.split('"""', 2)[2]


def test_an_algorithm_is_as_long_for_many_steps():
    few, many = (
        emit_latex(graph_of_text(spec_text("preact18_Al", ("2, 1, 1, 1", steps))))
        for steps in ("2, 1, 1, 1", "30, 40, 50, 60")
    )
    assert many == few.replace("2, 1, 1, 1", "30, 40, 50, 60")


def test_the_algorithm_is_that_of_the_paper():
    """Algorithm 1 with A for each level, (3.6): its loops, and (2.1) and (2.2) in them."""
    text = emit_latex(graph_of(ROOT / "specs" / "preact18_Al.cldf"))
    steps = [line.strip() for line in text.splitlines() if re.match(r" *(\\(For|If|End(For|If)|State)\b|r\^|h )", line)]
    basic = r"r^{\ell,i} = r^{\ell,i-1} + A^{\ell} * \sigma \circ B^{\ell,i} * \sigma(r^{\ell,i-1})"
    pooling = r"r^{\ell+1,0} = R^{\ell+1} *_{2} r^{\ell,\nu_{\ell}}"
    pooling += r" + A^{\ell+1} * \sigma \circ B^{\ell+1,0} *_{2} \sigma(r^{\ell,\nu_{\ell}})"
    assert steps == [
        r"\State $r^{1,0} = \sigma \circ \theta * f$",
        *(r"\For{$\ell = 1 : J$}", r"\For{$i = 1 : \nu_{\ell}$}", r"\State", basic, r"\EndFor"),
        *(r"\If{$\ell < J$}", r"\State", pooling, r"\EndIf", r"\EndFor"),
        r"\State $h = \mathrm{linear} \circ \mathrm{avgpool} \circ \sigma(r^{J,\nu_{J}})$",
    ]
    assert r"\caption{$h = \mathrm{PreActResNet18\_Al}(f; J, \nu_{1}, \cdots, \nu_{J})$}" in text


# The command

SPEC = str(ROOT / "examples" / "01_one_iteration.cldf")


def show(*arguments):
    return CliRunner().invoke(app, ["show", SPEC, *map(str, arguments)])


@pytest.mark.parametrize("suffix", TEXTS)
def test_the_suffix_says_what_is_written(suffix, tmp_path):
    path = tmp_path / f"network{suffix.upper()}"
    for _ in range(2):
        assert show("-o", path).exit_code == 0
    assert printed(path) == FORMATS[suffix].write(graph_of(ROOT / "examples" / "01_one_iteration.cldf"))


def test_an_unknown_suffix_and_a_file_of_somebody_else(tmp_path):
    assert show("-o", tmp_path / "x.dto").exit_code == 2
    precious = tmp_path / "thesis.tex"
    precious.write_text("mine")
    assert show("-o", precious).exit_code == 2
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("thesis.tex", "mine")]
    with pytest.raises(UsageError, match=r"end its name in one of .*`\.dot`"):
        writer_for(tmp_path / "x.dto")


@pytest.mark.parametrize("suffix", FORMATS)
def test_only_what_cldfc_has_written_is_overwritten(suffix, tmp_path):
    """One rule for all formats; a picture that somebody has drawn, or drawn over, is a file of theirs."""
    path = tmp_path / f"network{suffix}"
    for _ in range(2):
        assert show("-o", path).exit_code == 0
    whole = path.read_bytes()
    for foreign in (b"mine", whole.replace(b"generated by", b"mended after"), b"mine" * 1000):
        path.write_bytes(foreign)
        result = show("-o", path)
        assert result.exit_code == 2 and "was not written by cldfc" in result.stderr
        with pytest.raises(UsageError, match="was not written by cldfc"):
            load(ROOT / SPEC).write(path)
        assert path.read_bytes() == foreign
    path.write_bytes(b"")
    assert show("-o", path).exit_code == 0 and path.read_bytes() == whole


@pytest.mark.parametrize("suffix", [suffix for suffix, format in FORMATS.items() if not format.is_binary])
def test_a_text_that_was_changed_is_not_overwritten(suffix, tmp_path):
    """Line ends are those of an editor, and another network is no change."""
    path = tmp_path / f"network{suffix}"
    assert show("-o", path).exit_code == 0
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    assert show("-o", path, "--classes", "3").exit_code == 0
    assert show("-o", path).exit_code == 0 and path.read_bytes() == whole
    place = whole.rindex(b"e")
    path.write_bytes(changed := whole[:place] + b"E" + whole[place + 1 :])
    result = show("-o", path)
    assert result.exit_code == 2 and f"`{path}` has been changed since cldfc wrote it" in result.stderr
    assert path.read_bytes() == changed


def test_marked_pictures_can_be_read(tmp_path):
    for suffix in (".svg", ".html"):
        assert show("-o", tmp_path / f"network{suffix}").exit_code == 0
        ElementTree.parse(tmp_path / f"network{suffix}")
    assert show("-o", tmp_path / "network.png").exit_code == 0
    with Image.open(tmp_path / "network.png") as image:
        image.load()
        assert image.info["Software"] == "generated by cldfc"


def test_json_of_the_command():
    result = show("--json", "--classes", "7")
    assert result.exit_code == 0 and json.loads(result.stdout)["graph"]["classes"] == 7
    assert show("--json", "-o", "x.json").exit_code == 2
